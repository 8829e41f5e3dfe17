"""Each command's main job and its options, on the embedded folder."""

from __future__ import annotations

import gzip
import re
import shutil

import pytest

from batch_outputs.names import job_container_name
from support.command import Desk

STORE = "batch-outputs/job-local"
FIELDS = {"task", "kind", "name", "blob", "size", "last_modified", "complete", "state", "part"}


def test_save_list_cat_download(desk: Desk) -> None:
    """With nothing configured, what is saved is announced, listed, shown and brought back, byte for byte."""
    picture = gzip.compress(b"\x00\x1b[2J\xff" * 1000)
    desk.write("out/frame 1.png", picture)
    desk.write("notes.txt", "first\n")

    saved = desk.run("save", "out", "notes.txt")
    assert saved.out == "task/$TaskOutput/notes.txt\ntask/$TaskOutput/out/frame 1.png\n"
    assert saved.sentences == [
        f"nothing says where outputs go, so they go to the folder {desk.folder}/{STORE}.",
        f"2 files saved, {len(picture) + 6} B.",
    ]
    assert (desk.folder / STORE / "task/$TaskOutput/out/frame 1.png").read_bytes() == picture

    listed = desk.run("list")
    lines = listed.out.splitlines()
    assert [line[42:] for line in lines] == ["task/$TaskOutput/notes.txt", "task/$TaskOutput/out/frame 1.png"]
    assert re.fullmatch(r" {6}6 B  \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ {11}", lines[0][:42])
    assert listed.sentences == [f"2 outputs in {desk.folder}/{STORE}, {len(picture) + 6} B."]

    assert desk.run("cat", "out/frame 1.png").stdout == picture
    assert desk.run("cat", "TaskOutput/notes.txt").out == "first\n"
    assert desk.run("cat", "task/$TaskOutput/notes.txt").out == "first\n"

    loaded = desk.run("download", "--to", "back")
    assert loaded.out == ""
    assert loaded.sentences == [f"2 files downloaded to back, {len(picture) + 6} B (checked by length only)."]
    assert (desk.folder / "back/task/$TaskOutput/out/frame 1.png").read_bytes() == picture


def test_list_json(desk: Desk) -> None:
    """An object of --json has exactly the fields that were promised, and nothing else stands on stdout or stderr."""
    desk.write("a.txt", "abc")
    desk.run("save", "--task", "t1", "a.txt")
    desk.run("save", "--kind", "JobOutput", "a.txt")
    done = desk.run("list", "--json")
    assert done.err == ""
    of_job, of_task = done.objects
    assert set(of_task) == set(of_job) == FIELDS
    assert of_task | {"last_modified": ""} == {
        "task": "t1",
        "kind": "TaskOutput",
        "name": "a.txt",
        "blob": "t1/$TaskOutput/a.txt",
        "size": 3,
        "last_modified": "",
        "complete": True,
        "state": "complete",
        "part": 1,
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", of_task["last_modified"])
    assert (of_job["task"], of_job["kind"], of_job["blob"]) == (None, "JobOutput", "$JobOutput/a.txt")


def test_save_options(desk: Desk) -> None:
    """--kind, --as, --job, --task and patterns say what is saved, as what and where."""
    for name in ("thumbs/1.png", "thumbs/deep/2.png", "thumbs/3.jpg", "thumbs/.hidden.png", "dir/x"):
        desk.write(name, name)
    done = desk.run("save", "--job", "Render", "--task", "T-1", "--kind", "TaskPreview", "thumbs/**/*.png", "dir")
    assert done.out.split() == [
        "T-1/$TaskPreview/dir/x",
        "T-1/$TaskPreview/thumbs/1.png",
        "T-1/$TaskPreview/thumbs/deep/2.png",
    ]
    desk.run("save", "--job", "Render", "--task", "T-1", "--kind", "Own kind", "--as", "x/y.bin", "dir/x")
    assert (desk.folder / "batch-outputs/job-render/T-1/$Own kind/x/y.bin").read_text() == "dir/x"
    assert desk.run("list", "--job", "render").out.count("\n") == 4


def test_save_absolute_path(desk: Desk) -> None:
    """In a task an absolute path below its directories has a name; elsewhere it needs one and then is saved."""
    path = desk.write("wd/out/a.txt", "x")
    desk.variables |= {"BATCH_OUTPUTS_ACCOUNT_URL": (desk.folder / "acct").as_uri()}
    desk.variables |= {"AZ_BATCH_JOB_ID": "j", "AZ_BATCH_TASK_ID": "t1", "AZ_BATCH_TASK_DIR": str(desk.folder)}
    desk.variables |= {"AZ_BATCH_TASK_WORKING_DIR": str(desk.folder / "wd")}
    desk.run("prepare")
    assert desk.run("save", str(path)).out == "t1/$TaskOutput/out/a.txt\n"
    assert desk.run("save", "--as", "b.txt", str(path)).out == "t1/$TaskOutput/b.txt\n"


def test_save_stdin(desk: Desk) -> None:
    """Standard input is saved as it is, under the name that it needs, also when it is empty."""
    data = bytes(range(256)) * 20_000
    assert desk.run("save", "--as", "in/data.bin", "-", stdin=data).out == "task/$TaskOutput/in/data.bin\n"
    assert (desk.folder / STORE / "task/$TaskOutput/in/data.bin").read_bytes() == data
    desk.run("save", "--kind", "TaskLog", "--as", "empty", "-")
    assert (desk.folder / STORE / "task/$TaskLog/empty").read_bytes() == b""


def test_save_again_and_over_a_log(desk: Desk) -> None:
    """A save replaces an earlier one; a tracked log is replaced only when that is asked for."""
    desk.write("stdout.txt", "file")
    desk.run("run", "--", "echo", "logged")
    refused = desk.run("save", "--kind", "TaskLog", "stdout.txt", code=125)
    assert "tracked log" in refused.err
    assert "--replace-log" in refused.err
    assert desk.run("cat", "stdout.txt").out == "logged\n"
    desk.run("save", "--kind", "TaskLog", "--replace-log", "stdout.txt")
    desk.write("stdout.txt", "newer")
    desk.run("save", "--kind", "TaskLog", "stdout.txt")
    assert desk.run("cat", "stdout.txt").out == "newer"


def test_job_kinds_belong_to_the_job(desk: Desk) -> None:
    """JobOutput and JobPreview are saved as the job's, by save and by run, and never as a task's."""
    desk.write("summary.json", "{}")
    assert desk.run("save", "--kind", "JobOutput", "summary.json").out == "$JobOutput/summary.json\n"
    desk.run("run", "--save", "JobPreview=*.json", "--", "true")
    assert {"$JobOutput/summary.json", "$JobPreview/summary.json"} <= set(desk.outputs())
    assert desk.run("cat", "JobOutput/summary.json").out == "{}"
    refused = desk.run("save", "--kind", "JobOutput", "--task", "t1", "summary.json", code=2)
    assert "leave out --task" in refused.err


def test_list_and_download_by_task_kind_and_pattern(desk: Desk) -> None:
    """--task, --kind and patterns narrow what is listed and downloaded; one task and one kind give plain names."""
    for task in ("t1", "t10"):
        for name in ("frames/1.png", "frames/2.jpg"):
            desk.write(name, task)
            desk.run("save", "--task", task, name)
    desk.run("save", "--task", "t1", "--kind", "TaskPreview", "frames/1.png")
    assert len(desk.outputs()) == 5
    assert len(desk.outputs("--task", "t1")) == 3
    assert len(desk.outputs("--kind", "TaskPreview")) == 1
    assert set(desk.outputs("--task", "t1", "**/*.png")) == {
        "t1/$TaskOutput/frames/1.png",
        "t1/$TaskPreview/frames/1.png",
    }

    desk.run("download", "--task", "t10", "--kind", "TaskOutput", "--to", "plain", "**/*.png")
    assert (desk.folder / "plain/frames/1.png").read_text() == "t10"
    assert not (desk.folder / "plain/frames/2.jpg").exists()
    desk.run("download", "--task", "t10", "--to", "mirrored")
    assert (desk.folder / "mirrored/t10/$TaskOutput/frames/2.jpg").read_text() == "t10"
    shutil.rmtree(desk.folder / "mirrored")
    desk.run("download", "--to", "mirrored", "t1/$TaskPreview/frames/1.png")
    assert len([name for name in desk.everything if name.startswith("mirrored/")]) == 1


@pytest.mark.parametrize("job", ["MyTerrificJob", "my-_EVEN_MORE_-terrific-job", "job:my-job-1"])
def test_container(desk: Desk, job: str) -> None:
    """`container` prints the name of the conventions and does nothing else."""
    done = desk.run("container", job)
    assert (done.out, done.err) == (f"{job_container_name(job)}\n", "")
    assert desk.everything == set()


def test_prepare(desk: Desk) -> None:
    """`prepare` makes the job's container, once, prints its name, and takes the job as argument, option or variable."""
    account = (desk.folder / "acct").as_uri()
    first = desk.run("prepare", "--account-url", account, "Render")
    assert first.out == "job-render\n"
    assert first.sentences == [f"{desk.folder}/acct/job-render was created."]
    again = desk.run("prepare", "--account-url", account, "--job", "Render")
    assert again.sentences == [f"{desk.folder}/acct/job-render was there already."]
    assert desk.run("prepare", "--account-url", account, variables={"AZ_BATCH_JOB_ID": "other"}).out == "job-other\n"
    assert "Two jobs" in desk.run("prepare", "--account-url", account, "--job", "a", "b", code=2).err


def test_container_that_was_not_prepared(desk: Desk) -> None:
    """With an account named, a container is not made by saving: a missing one is said, with the way to make it."""
    desk.write("a.txt", "x")
    desk.variables |= {"BATCH_OUTPUTS_ACCOUNT_URL": (desk.folder / "acct").as_uri(), "AZ_BATCH_JOB_ID": "j"}
    done = desk.run("save", "--task", "t", "a.txt", code=125)
    assert "job-j does not exist" in done.err
    assert "prepare" in done.err
    assert desk.everything == {"a.txt"}


def test_argument_beats_environment(desk: Desk) -> None:
    """--container-url and --account-url are heeded before any variable."""
    desk.write("a.txt", "x")
    (desk.folder / "mine").mkdir()
    desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = "https://acct.blob.core.windows.net/other"
    desk.run("save", "--container-url", (desk.folder / "mine").as_uri(), "--task", "t", "a.txt")
    assert (desk.folder / "mine/t/$TaskOutput/a.txt").exists()


def test_store_is_not_saved_into_itself(desk: Desk) -> None:
    """`**` and `.` leave out the folder that outputs are stored in, and the spools of runs."""
    desk.write("a.txt", "x")
    desk.write(".batch-outputs/run-1/stdout.txt", "another run's")
    desk.run("run", "--save", "**", "--", "true")
    assert [name for name in desk.outputs() if "$TaskOutput" in name] == ["task/$TaskOutput/a.txt"]
    desk.run("save", ".")
    assert [name for name in desk.outputs() if "$TaskOutput" in name] == ["task/$TaskOutput/a.txt"]
    assert (desk.folder / ".batch-outputs/run-1/stdout.txt").exists()


def test_control_characters_are_shown_escaped(desk: Desk) -> None:
    """A name or text that could steer a terminal is shown escaped, on stdout and stderr alike."""
    evil = "a\x1b[2J\x07\nb\u202e.txt"
    desk.write(evil, "x")
    for done in (desk.run("save", evil), desk.run("list"), desk.run("cat", f"{evil}x", code=125)):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.out + done.err)
    assert "a\\x1b[2J\\x07\\x0ab\\u202e.txt" in desk.run("list").out
    assert desk.run("list", "--json").objects[0]["name"] == evil
    assert desk.run("cat", evil).out == "x"


def test_version_and_script(desk: Desk) -> None:
    """The installed script is the same command."""
    assert re.fullmatch(r"\d+\.\d+.*\n", desk.shell("batch-outputs --version").out)
