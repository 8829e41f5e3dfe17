"""`delete`: what goes, what stays, and what is asked before."""

from __future__ import annotations

import os
import sys
import time

import pytest

from batch_outputs.names import job_container_name
from support.azurite import KEY, Azurite, Container
from support.command import Desk, wait_until
from support.terminal import CTRL_C, at_terminal

JOB = "batch-outputs/job-local"
STORED = {
    "t1/$TaskOutput/frames/1.png",
    "t1/$TaskOutput/frames/2.tmp",
    "t1/$TaskLog/stdout.txt",
    "t2/$TaskOutput/frames/1.png",
    "t2/$TaskIntermediate/a.tmp",
    "$JobOutput/sum.json",
}
needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")


@pytest.fixture
def furnished(desk: Desk) -> Desk:
    """Outputs of two tasks and a job, of which those of t2 are ten days old."""
    for name in STORED:
        path = desk.write(f"{JOB}/{name}", "12345")
        if name.startswith("t2/"):
            os.utime(path, times=(time.time() - 864_000,) * 2)
    return desk


def stored(desk: Desk) -> set[str]:
    """What is there, by blob name."""
    return {name.removeprefix(f"{JOB}/") for name in desk.everything if "/.batch-outputs/" not in name}


@pytest.mark.parametrize(
    ("arguments", "gone"),
    [
        (["--task", "t1"], {name for name in STORED if name.startswith("t1/")}),
        (["--kind", "TaskIntermediate"], {"t2/$TaskIntermediate/a.tmp"}),
        (["--kind", "TaskLog", "--kind", "JobOutput"], {"t1/$TaskLog/stdout.txt", "$JobOutput/sum.json"}),
        (["**/*.tmp"], {"t1/$TaskOutput/frames/2.tmp", "t2/$TaskIntermediate/a.tmp"}),
        (["*.json", "t1/$TaskLog/stdout.txt"], {"$JobOutput/sum.json", "t1/$TaskLog/stdout.txt"}),
        (["--older-than", "7d"], {name for name in STORED if name.startswith("t2/")}),
        (["--newer-than", "7d", "--kind", "TaskOutput", "frames"], {name for name in STORED if "t1/$TaskO" in name}),
        (["--all"], STORED),
    ],
)
def test_what_is_asked_for_goes(furnished: Desk, arguments: list[str], gone: set[str]) -> None:
    """Exactly what the filters say is shown by --dry-run and deleted by --yes, and one sentence tells how much."""
    size = 5 * len(gone)
    outputs = f"{len(gone)} output{'' if len(gone) == 1 else 's'}"
    shown = furnished.run("delete", "--dry-run", *arguments)
    assert {line[42:] for line in shown.out.splitlines()} == gone
    assert shown.sentences == [f"{outputs}, {size} B, would be deleted from {furnished.folder}/{JOB}."]
    assert stored(furnished) == STORED
    done = furnished.run("delete", "--yes", *arguments)
    assert done.out == ""
    assert done.sentences == [f"{outputs}, {size} B, deleted from {furnished.folder}/{JOB}."]
    assert stored(furnished) == STORED - gone
    again = furnished.run("delete", "--yes", *arguments)
    assert again.sentences == [f"nothing in {furnished.folder}/{JOB} is what was asked for, so nothing was deleted."]


@pytest.mark.parametrize(
    ("arguments", "part", "code"),
    [
        ([], "Nothing says what is to be deleted", 2),
        (["--yes"], "Nothing says what is to be deleted", 2),
        (["--dry-run"], "Nothing says what is to be deleted", 2),
        (["--growing", "--yes"], "Nothing says what is to be deleted", 2),
        (["--all"], "no terminal to ask at; add --yes", 2),
        (["--task", "t1"], "no terminal to ask at; add --yes", 2),
        (["--all", "--task", "t1", "--yes"], "--all is all of the job", 2),
        (["--all", "--yes", "*.tmp"], "--all is all of the job", 2),
        (["--container", "--yes"], "Name the job", 2),
        (["--container", "--job", "local"], "no terminal to ask at; add --yes", 2),
        (["--container", "--job", "local", "--yes", "--task", "t1"], "name only the job with it", 2),
        (["--container", "--job", "local", "--yes", "--older-than", "7d"], "name only the job with it", 2),
        (["--container", "--job", "local", "--yes", "*.tmp"], "name only the job with it", 2),
        (["--container", "--job", "other", "--yes"], "There is no container", 125),
        (["--kind", "", "--yes"], "it is empty", 2),
        (["--kind", "a/b", "--yes"], "a/b", 125),
        (["--task", "a/b", "--yes"], "is not a task id", 125),
        (["--older-than", "later", "--yes"], "neither an age", 2),
        (["--kind", "JobOutput", "--task", "t1", "--yes"], "JobOutput is of the job as a whole", 2),
        (["--kind", "tasklog", "--yes"], "write TaskLog", 2),
    ],
)
def test_refusals_change_nothing(furnished: Desk, arguments: list[str], part: str, code: int) -> None:
    """What does not say clearly what is to go, or that it may go unasked, is refused, and all stays."""
    done = furnished.run("delete", *arguments, code=code)
    assert part in done.err
    assert stored(furnished) == STORED


def test_the_job_of_the_environment_is_not_named(furnished: Desk) -> None:
    """A job's container goes only if its id was typed in this command, not because a task of it runs here."""
    furnished.variables["AZ_BATCH_JOB_ID"] = "local"
    assert "Name the job" in furnished.run("delete", "--container", "--yes", code=2).err
    assert stored(furnished) == STORED


def test_a_container(furnished: Desk) -> None:
    """--container takes the whole container of the job that is named, with what is none of ours, and no other."""
    furnished.write("batch-outputs/job-other/t1/$TaskOutput/a", "x")
    furnished.write(f"{JOB}/somebody's", "x")
    shown = furnished.run("delete", "--container", "--job", "local", "--dry-run")
    assert shown.sentences == [
        f"{furnished.folder}/{JOB} with 6 outputs, 30 B, and whatever else is in it, would be deleted."
    ]
    assert stored(furnished) >= STORED
    done = furnished.run("delete", "--container", "--job", "local", "--yes")
    assert done.sentences == [f"the container {furnished.folder}/{JOB} was deleted with all that was in it."]
    assert furnished.everything == {"batch-outputs/job-other/t1/$TaskOutput/a"}


@pytest.mark.parametrize("container", ["job-mine", "mine"])
def test_a_container_that_is_configured(desk: Desk, container: str) -> None:
    """A container that is configured goes only as that of the job that is named, and any other stays."""
    desk.write(f"acct/{container}/t1/$TaskOutput/a", "x")
    desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = (desk.folder / "acct" / container).as_uri()
    done = desk.run("delete", "--container", "--job", "yours", "--yes", code=125)
    assert "The job yours has the container job-yours" in done.err
    assert desk.everything == {f"acct/{container}/t1/$TaskOutput/a"}
    desk.run("delete", "--container", "--job", "mine", "--yes", code=0 if container == "job-mine" else 125)
    assert bool(desk.everything) == (container == "mine")


@needs_pty
def test_the_question(furnished: Desk) -> None:
    """At a terminal names, count and bytes are shown, and only a yes deletes."""
    where = f"{furnished.folder}/{JOB}"
    question = f"Delete 3 outputs, 15 B, from {where}? [y/N]: "
    asked = question.rstrip().encode()
    for answer in (b"n\n", b"\n", b"what\nn\n"):
        shown = at_terminal(furnished, "delete", "--task", "t1", asked=asked, answer=answer, code=125).text
        assert question in shown
        assert "batch-outputs:   t1/$TaskLog/stdout.txt\n" in shown
        assert shown.endswith("batch-outputs: nothing was deleted.\n")
    shown = at_terminal(furnished, "delete", "--task", "t1", asked=asked, answer=b"\x04", code=125).text
    assert shown.endswith("\nbatch-outputs: nothing was deleted.\n")
    at_terminal(furnished, "delete", "--task", "t1", asked=asked, answer=CTRL_C, code=130)
    assert stored(furnished) == STORED
    shown = at_terminal(furnished, "delete", "--task", "t1", asked=asked, answer=b"y\n").text
    assert shown.endswith(f"batch-outputs: 3 outputs, 15 B, deleted from {where}.\n")
    assert not {name for name in stored(furnished) if name.startswith("t1/")}
    assert "nothing was deleted" in at_terminal(furnished, "delete", "--task", "t1").text


@needs_pty
def test_what_comes_after_the_question_stays(furnished: Desk) -> None:
    """What is stored while the question waits for its answer was not shown, and is not deleted."""
    newer = furnished.folder / JOB / "t1/$TaskOutput/newer"

    def answer() -> bytes:
        newer.write_text("x")
        os.utime(newer, times=(time.time() + 1,) * 2)
        return b"y\n"

    shown = at_terminal(furnished, "delete", "--task", "t1", asked=b"[y/N]:", answer=answer).text
    assert "batch-outputs: 1 output left that was stored or changed after the question.\n" in shown
    assert {name for name in stored(furnished) if name.startswith("t1/")} == {"t1/$TaskOutput/newer"}


@needs_pty
def test_the_question_for_a_container(furnished: Desk) -> None:
    """Before a container goes, the job's id is to be typed; anything else leaves it."""
    command = ("delete", "--container", "--job", "local")
    for answer in (b"y\n", b"\n", b"Local\n", b"\x04"):
        shown = at_terminal(furnished, *command, asked=b"the job's id:", answer=answer, code=125).text
        assert "with 6 outputs, 30 B, and whatever else is in it, is to be deleted" in shown
        assert "so nothing was deleted" in shown
    assert stored(furnished) == STORED
    at_terminal(furnished, *command, asked=b"the job's id:", answer=b"local\n")
    assert furnished.everything == set()


@needs_pty
def test_many_are_named_in_part(desk: Desk) -> None:
    """Of many outputs the question names ten and counts the rest."""
    for number in range(25):
        desk.write(f"{JOB}/t/$TaskOutput/{number:02}\u202e", "x")
    shown = at_terminal(desk, "delete", "--all", asked=b"[y/N]:", answer=b"n\n", code=125).text
    assert shown.count("$TaskOutput/") == 10
    assert "t/$TaskOutput/00\\u202e" in shown
    assert "and 15 more outputs" in shown
    assert "Delete 25 outputs, 25 B," in shown


def test_a_log_that_is_written(desk: Desk) -> None:
    """A log that grows stays, with its name and 125, while all else goes; with --growing it goes, too."""
    log = desk.folder / JOB / "task/$TaskLog/stdout.txt"
    desk.write(f"{JOB}/task/$TaskOutput/a", "x")
    command = ("run", "--best-effort", "--flush-interval", "0.1", "--", "sh", "-c", "echo y; read wait; true")
    with desk.started(*command) as child:
        wait_until(lambda: log.exists() and log.read_bytes() == b"y\n")
        wait_until((log.parent / "stderr.txt").exists)
        for dry in ("--dry-run", "--yes"):
            done = desk.run("delete", "--task", "task", dry, code=125)
            assert done.sentences[0].startswith("1 output, 1 B,")
            assert done.sentences[-1] == (
                "2 logs left that may still grow: task/$TaskLog/stderr.txt, task/$TaskLog/stdout.txt; "
                "wait for the end of the task, or add --growing."
            )
        assert set(desk.outputs()) == {"task/$TaskLog/stdout.txt", "task/$TaskLog/stderr.txt"}
        shown = desk.run("delete", "--task", "task", "--growing", "--dry-run")
        assert "2 outputs, 2 B, would be deleted" in shown.err
        assert "(2 logs of them without an end mark)." in shown.err
        assert "2 outputs, 2 B, deleted" in desk.run("delete", "--task", "task", "--growing", "--yes").err
        assert not log.exists()
        desk.ended(child, code=None)


def test_parts_go_with_their_log(desk: Desk) -> None:
    """A log that was saved in parts counts as one output and goes as a whole; a part alone is refused."""
    growing = desk.write("a.log", "first\n" * 3)
    parts = desk.folder / JOB / "task/$TaskLog"
    with desk.started("track", "--flush-interval", "0.1", "a.log") as child:
        wait_until(lambda: (parts / "a.log").exists() and (parts / "a.log").stat().st_size == 18)
        growing.write_text("new\n")
        wait_until((parts / "a.part-2.log").exists)
        child.terminate()
        desk.ended(child)
    part = desk.run("delete", "--yes", "a.part-2.log", code=125)
    assert part.sentences == ["1 later part of logs left: a part goes with its log only."]
    assert len(list(parts.iterdir())) == 2
    assert "1 output, 22 B, deleted" in desk.run("delete", "--yes", "a.log").err
    assert not parts.exists()


def test_on_a_service(azure: Desk, container: Container) -> None:
    """With a container's SAS outputs are deleted; the container itself cannot be, and the reason is said."""
    for name in STORED:
        container.client.upload_blob(name, b"12345")
    done = azure.run("delete", "--yes", "--task", "t1")
    assert done.summary.startswith("3 outputs, 15 B, deleted from 127.0.0.1")
    assert {blob.name for blob in container.client.list_blobs()} == {n for n in STORED if not n.startswith("t1/")}


def test_a_container_by_its_own_sas(azure: Desk, container: Container) -> None:
    """That a container's SAS cannot delete the container is said before anything is asked."""
    name = container.url.rpartition("/")[2]
    azure.variables["BATCH_OUTPUTS_CONTAINER_URL"] = container.sas_url("racwdl").replace(name, "job-mine")
    for how in ("--yes", "--dry-run"):
        done = azure.run("delete", "--container", "--job", "mine", how, code=125)
        assert len(done.sentences) == 1
        assert "is by a SAS of this container, which cannot delete the container itself" in done.err


def test_rights_that_are_missing(azure: Desk, container: Container) -> None:
    """A SAS without the right to delete is refused in one sentence, however much was asked for, and nothing goes."""
    for name in STORED:
        container.client.upload_blob(name, b"12345")
    azure.variables["BATCH_OUTPUTS_CONTAINER_URL"] = container.sas_url("rl")
    done = azure.run("delete", "--yes", "--all", code=125)
    assert len(done.sentences) == 1
    assert "delete" in done.err
    assert {blob.name for blob in container.client.list_blobs()} == STORED


def test_a_container_of_a_service(desk: Desk, azurite: Azurite) -> None:
    """With an account's key a job's container is deleted, and a second time it is said to be gone."""
    desk.variables["AZURE_STORAGE_CONNECTION_STRING"] = azurite.connection_string
    desk.secrets.append(KEY)
    container = azurite.new_container(job_container_name("To_Go"))
    container.client.upload_blob("t1/$TaskOutput/a", b"x")
    desk.run("delete", "--container", "--job", "To_Go", "--yes")
    assert not container.client.exists()
    assert "There is no container" in desk.run("delete", "--container", "--job", "To_Go", "--yes", code=125).err
