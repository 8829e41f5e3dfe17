"""What is saved of a run, under which names, after which end; and what is said and reported of it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

import pytest

from batch_outputs.errors import InvalidNameError
from batch_outputs.names import name_at
from batch_outputs.runner import SaveRule
from support.azurite import Container
from support.command import Desk

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs of POSIX")

MAKE = "mkdir -p out/deep; echo a >out/a.png; echo bb >out/deep/b.png; echo c >core"


def files(desk: Desk, *arguments: str) -> set[str]:
    """The files that are stored of the task, without the logs."""
    return {name.removeprefix("task/") for name in desk.outputs(*arguments) if "$TaskLog" not in name}


@pytest.mark.parametrize(
    ("path", "below", "name"),
    [
        ("whole/name.txt", None, "whole/name.txt"),
        ("folder", "a/b.txt", "folder/a/b.txt"),
        ("folder/", "b.txt", "folder/b.txt"),
        ("a/./b//", "c", "a/b/c"),
        ("", "b.txt", "b.txt"),
    ],
)
def test_names_by_a_path(path: str, below: str | None, name: str) -> None:
    """The path of a rule is the whole name of a plain file, and a folder for what a pattern leads to."""
    assert name_at(path, below) == name


@pytest.mark.parametrize("path", ["", "folder/", "/abs", "../up"])
def test_paths_that_are_no_names(path: str) -> None:
    """For a plain file the path has to be a name."""
    with pytest.raises(InvalidNameError):
        name_at(path, None)


def test_as_names_files_and_folders(desk: Desk) -> None:
    """--as belongs to the --save before it: a name for a path, a folder for a pattern or a folder."""
    rules = ["--save", "core", "--as", "crash/dump", "--save", "out/**/*.png", "--as", "frames", "--save", "core"]
    desk.run("run", *rules, "--save", "Own=out", "--as", "x/y", "--", "sh", "-c", MAKE)
    assert files(desk) == {
        "$TaskOutput/crash/dump",
        "$TaskOutput/frames/a.png",
        "$TaskOutput/frames/deep/b.png",
        "$TaskOutput/core",
        "$Own/x/y/a.png",
        "$Own/x/y/deep/b.png",
    }


def test_as_gives_a_name_to_what_has_none(desk: Desk, tmp_path: Path) -> None:
    """With --as, files outside the task's directories can be saved."""
    (tmp_path / "else").mkdir()
    line = f"echo x >{tmp_path}/else/a.dat"
    desk.run("run", "--save", f"{tmp_path}/else/*.dat", "--as", "else", "--", "sh", "-c", line)
    assert files(desk) == {"$TaskOutput/else/a.dat"}


@pytest.mark.parametrize(("code", "saved"), [(0, {"s", "c", "d"}), (3, {"f", "c", "d"})])
def test_when(desk: Desk, code: int, saved: set[str]) -> None:
    """Files are saved after success, after failure, or after either, which is the default."""
    rules = [
        "--save",
        "s",
        "--when",
        "success",
        "--save",
        "f",
        "--when",
        "failure",
        "--save",
        "c",
        "--when",
        "completion",
    ]
    desk.run("run", *rules, "--save", "d", "--", "sh", "-c", f"touch s f c d; exit {code}", code=code)
    assert files(desk) == {f"$TaskOutput/{name}" for name in saved}


def test_require(desk: Desk) -> None:
    """A pattern that no file matches is said; with --require it is a failure, for the rule that it stands behind."""
    done = desk.run("run", "--save", "none", "--save", "core", "--require", "--", "sh", "-c", MAKE)
    assert "There is no file none; check the path." in done.sentences
    done = desk.run("run", "--save", "core", "--save", "*.none", "--require", "--", "sh", "-c", MAKE, code=125)
    assert "No file matches *.none; check the pattern." in done.sentences
    assert done.summary.endswith("and this run ends with 125, as not everything is saved.")
    failed = ["--save", "gone", "--when", "failure", "--require"]
    desk.run("run", *failed, "--", "true")
    desk.run("run", *failed, "--", "false", code=1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--as", "x", "--save", "a"], "--as stands before any --save"),
        (["--save", "a", "--as", "x", "--as", "y"], "--as stands twice behind one --save"),
        (["--require", "--save", "a"], "--require stands before any --save"),
        (["--when", "success"], "--when stands before any --save"),
        (["--save", "a", "--when", "never"], "'never' is not one of"),
        (["--save", "a", "--newest", "2"], "--newest stands before any --restore"),
        (["--restore", "a", "--newest", "0"], "0 is not in the range"),
        (["--grace", "-1"], "-1"),
        (["--nonsense"], "No such option '--nonsense'"),
        (["--preempt-signal", "NOPE"], "there is no signal NOPE"),
        (["--stdout", "x"], "'x' is not one of"),
        (["--spool", ""], "it is empty"),
        (["--report", ""], "it is empty"),
    ],
)
def test_wrong_usage(desk: Desk, options: list[str], text: str) -> None:
    """Options that belong to none, or have no such value, are refused before the program starts."""
    assert text in desk.run("run", *options, "--", "touch", "ran", code=125).err
    assert desk.everything == set()


@pytest.mark.parametrize("option", ["--save", "--as", "--grace", "--report", "--job"])
def test_option_without_its_value(desk: Desk, option: str) -> None:
    """An option at the end that lacks its value is wrong usage of `run`: 125, as all that is ours."""
    done = desk.run("run", option, code=125)
    assert f"Option '{option}' requires an argument" in done.err
    assert "Try 'batch-outputs run --help'" in done.err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--save", "a", "--as", "dir/"], "ends like a folder"),
        (["--save", "*", "--as", "../up"], "leads out of its kind"),
        (["--save", "*", "--as", "/abs"], "begins with a slash"),
        (["--save", "a", "--as", "x" * 1100], "1,024"),
        (["--checkpoint", "=x"], "--checkpoint '=x' lacks a kind or a pattern"),
        (["--restore", "Kind="], "--restore 'Kind=' lacks a kind or a pattern"),
        (["--per-node"], "AZ_BATCH_NODE_ID is not set"),
        (["--report", "no/such/folder/r.json"], "make the folder no/such/folder"),
        (["--report", "."], "is a folder; name a file"),
        (["--spool", "/proc/none"], "cannot be made"),
    ],
)
def test_refused(desk: Desk, options: list[str], text: str) -> None:
    """What cannot work is refused with a sentence before the program starts, and nothing is left on the disk."""
    done = desk.run("run", *options, "--", "touch", "ran", code=125)
    assert text in done.err
    assert len(done.sentences) == 1
    assert desk.everything == set()


@pytest.mark.parametrize("value", ["nan", "inf", "1e400", "1e12"])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("run", "--grace"),
        ("run", "--flush-interval"),
        ("run", "--flush-timeout"),
        ("track", "--flush-interval"),
        ("track", "--flush-timeout"),
        ("resume", "--flush-timeout"),
    ],
)
def test_times_that_nobody_can_wait(desk: Desk, command: str, option: str, value: str) -> None:
    """A time is a number, and one that ends; anything else is wrong usage."""
    rest = {"run": ["touch", "ran"], "track": ["log.txt"], "resume": []}[command]
    refused = desk.run(command, option, value, *rest, code=125 if command == "run" else 2)
    assert f"Invalid value for '{option}': {value} is no number of seconds" in refused.err
    assert desk.everything == set()


def test_program_without_a_name(desk: Desk) -> None:
    """An empty name, most likely a variable of a script that is not set, is refused as such."""
    refused = desk.run("run", "--restore", "*.none", "--", "", "argument", code=125)
    assert refused.sentences == ["The program's name is empty; name a program, and check the variable it comes from."]
    assert desk.everything == set()


def test_two_files_with_one_name(desk: Desk) -> None:
    """A file that would replace another of the same run is named and not saved; everything else is."""
    rules = ["--save", "a", "--as", "same", "--save", "b", "--as", "same", "--save", "b"]
    done = desk.run("run", *rules, "--", "sh", "-c", "echo a >a; echo b >b", code=125)
    assert "b would replace a, which this run has saved as task/$TaskOutput/same" in done.err
    assert desk.run("cat", "same").out == "a\n"
    assert files(desk) == {"$TaskOutput/same", "$TaskOutput/b"}


def test_direct_streams(desk: Desk) -> None:
    """A direct stream is the program's own, as it is without us, and no log is kept of it."""
    script = "import os; print(os.fstat(1).st_ino == os.stat('own').st_ino); os.write(2, b'words\\n')"
    desk.write("p.py", script)
    desk.shell(f"batch-outputs run --stdout direct -- {sys.executable} p.py >own")
    assert (desk.folder / "own").read_text() == "True\n"
    assert set(desk.outputs()) == {"task/$TaskLog/stderr.txt"}
    done = desk.run(
        "run", "--task", "t2", "--stdout", "direct", "--stderr", "direct", "--", "sh", "-c", "echo out; exit 3", code=3
    )
    assert done.out == "out\n"
    assert set(desk.outputs("--task", "task")) == set(desk.outputs())
    assert not (desk.folder / ".batch-outputs").exists()


@pytest.mark.parametrize(("options", "master"), [(["--per-node"], "true"), ([], "false")])
def test_per_node(azure: Desk, container: Container, options: list[str], master: str) -> None:
    """Where one task id runs on several nodes, each has logs of its own: when asked for, and in a subtask by itself."""
    azure.variables |= {"AZ_BATCH_NODE_ID": "tvm-1", "AZ_BATCH_IS_CURRENT_NODE_MASTER": master}
    azure.run("run", *options, "--", "echo", "x")
    assert list(container.client.list_blob_names()) == [
        f"t1/$TaskLog/tvm-1/{name}" for name in ("stderr.txt", "stdout.txt")
    ]


def test_report(desk: Desk) -> None:
    """--report writes what came of it as JSON: codes, times, what is stored, what is not, and no argument."""
    rules = ["--save", "out/*.png", "--save", "*.none", "--checkpoint", "core", "--save", "x", "--require"]
    line = f"{MAKE}; echo hello; exit 0"
    desk.run("run", "--report", "report.json", *rules, "--", "sh", "-c", line, code=125)
    report = json.loads((desk.folder / "report.json").read_text())
    assert report["exit_code"] == 125
    assert report["program"]["exit_code"] == 0
    assert report["program"]["seconds"] >= 0
    assert report["seconds_saving"] >= 0
    assert report["task"] == "task"
    assert report["place"].endswith("batch-outputs/job-local")
    assert {log["blob"]: log["size"] for log in report["logs"]} == {
        "task/$TaskLog/stdout.txt": 6,
        "task/$TaskLog/stderr.txt": 0,
    }
    assert [saved["blob"] for saved in report["saved"]] == ["task/$TaskOutput/out/a.png"]
    assert [kept["blob"] for kept in report["checkpoints"]] == ["task/$TaskIntermediate/core"]
    assert report["unmatched"] == ["No file matches *.none; check the pattern."]
    assert report["failures"] == ["There is no file x; check the path."]
    assert (report["left_in"], report["notice"], report["restored"], report["recovered"]) == (None, None, [], [])
    assert "hello" not in json.dumps(report)


def test_report_that_cannot_be_written(desk: Desk) -> None:
    """A report that turns out not to be writable is a failure like any other."""
    line = "rm -r there; echo x >there"
    (desk.folder / "there").mkdir()
    done = desk.run("run", "--report", "there/r.json", "--", "sh", "-c", line, code=125)
    assert "The report there/r.json cannot be written" in done.err


def test_report_through_a_link(desk: Desk) -> None:
    """A link stays one: the report goes to where it leads, whether there is a file already or not."""
    (desk.folder / "reports").mkdir()
    for name in ("old.json", "new.json"):
        (desk.folder / name).symlink_to(f"reports/{name}")
    desk.write("reports/old.json", "an earlier report")
    for name in ("old.json", "new.json"):
        desk.run("run", "--report", name, "--", "true")
        assert (desk.folder / name).is_symlink()
        assert json.loads((desk.folder / "reports" / name).read_text())["exit_code"] == 0
    assert sorted(os.listdir(desk.folder / "reports")) == ["new.json", "old.json"]


@pytest.mark.parametrize(
    ("target", "text"),
    [("folder", "is a folder; name a file"), ("no/such/r.json", "make the folder"), ("link", "cannot be written")],
    ids=["to a folder", "into no folder", "to itself"],
)
def test_report_through_a_link_that_leads_nowhere(desk: Desk, target: str, text: str) -> None:
    """Where a link leads is checked before the program starts."""
    (desk.folder / "folder").mkdir()
    (desk.folder / "link").symlink_to(target)
    assert text in desk.run("run", "--report", "link", "--", "touch", "ran", code=125).err
    assert (desk.folder / "link").is_symlink()
    assert not (desk.folder / "ran").exists()


def test_report_to_a_pipe(desk: Desk) -> None:
    """A named pipe is written to, and stays what it is."""
    os.mkfifo(desk.folder / "pipe")
    with open(os.open(desk.folder / "pipe", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        desk.run("run", "--report", "pipe", "--", "sh", "-c", "exit 3", code=3)
        assert json.loads(reader.read())["exit_code"] == 3
    assert (desk.folder / "pipe").is_fifo()


@pytest.mark.parametrize("is_full", [False, True], ids=["without a reader", "that is full"])
def test_report_to_a_pipe_that_takes_nothing(desk: Desk, is_full: bool) -> None:
    """A named pipe that nobody reads is a report that cannot be written, and holds us for some seconds at most."""
    os.mkfifo(desk.folder / "pipe")
    ends = os.open(desk.folder / "pipe", os.O_RDWR | os.O_NONBLOCK)
    if is_full:
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(ends, bytes(4096))
    else:
        os.close(ends)
    done = desk.run("run", "--report", "pipe", "--", "true", code=125)
    if is_full:
        os.close(ends)
    assert "The report pipe cannot be written" in done.err
    assert (desk.folder / "pipe").is_fifo()


@pytest.mark.parametrize("by_link", [False, True], ids=["by its name", "through a link"])
def test_report_to_a_device(desk: Desk, by_link: bool) -> None:
    """A device, here a terminal, is written to; neither it nor a link to it is replaced."""
    master, slave = os.openpty()
    device = os.ttyname(slave)
    (desk.folder / "link").symlink_to(device)
    desk.run("run", "--report", "link" if by_link else device, "--", "true")
    with open(master, "rb", buffering=0) as terminal:
        report = b""
        while not report.endswith(b"\r\n}\r\n"):
            report += terminal.read(4096)
    os.close(slave)
    assert json.loads(report)["exit_code"] == 0
    assert (desk.folder / "link").is_symlink()


def test_report_to_our_own_stdout(desk: Desk) -> None:
    """/dev/stdout is behind the program's output, in a pipe and in a file."""
    assert json.loads(desk.run("run", "--report", "/dev/stdout", "--", "true").out)["exit_code"] == 0
    desk.shell("batch-outputs run --report /dev/stdout -- echo output >both")
    first, rest = (desk.folder / "both").read_text().split("\n", 1)
    assert (first, json.loads(rest)["exit_code"]) == ("output", 0)


def test_summary_of_many(desk: Desk) -> None:
    """The summary names the first ten files, how many more there are, and how large they are together."""
    done = desk.run("run", "--save", "f*", "--", "sh", "-c", "for i in $(seq 10 40); do echo $i >f$i; done")
    assert [line for line in done.sentences if line.startswith("saved task/")] == [
        f"saved task/$TaskOutput/f{number}, 3 B." for number in range(10, 20)
    ]
    assert "saved 21 more files." in done.sentences
    assert done.summary == "saved 31 files (93 B) and 2 logs (0 B) of task task; the program ended with 0."


@pytest.mark.parametrize(
    ("when", "code", "expected"), [("success", None, None), ("failure", 0, False), ("completion", None, True)]
)
def test_rules_and_ends(when: str, code: int | None, expected: bool | None) -> None:
    """A rule for one kind of end cannot be decided while the end is not known."""
    assert SaveRule.parse("a", when=when).is_for(code) is expected  # type: ignore[arg-type]  # a row of a table
