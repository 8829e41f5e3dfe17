"""`list`: filters, sums, states, and lines for people and programs."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from batch_outputs.sync import JobOutputStorage
from support.command import Desk, wait_until
from support.terminal import at_terminal

JOB = "batch-outputs/job-local"
DAY = 86400
needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")


@pytest.fixture
def aged(desk: Desk) -> Desk:
    """Outputs of two tasks and the job, an hour, a day and ten days old."""
    for path, age in {
        "t1/$TaskOutput/new.png": 3600,
        "t1/$TaskOutput/old.txt": 10 * DAY,
        "t1/$TaskPreview/small.png": DAY,
        "t2/$TaskOutput/new.png": 3600,
        "t2/$Own kind/x": 10 * DAY,
        "$JobOutput/sum.json": DAY,
    }.items():
        backdate(desk.write(f"{JOB}/{path}", "12345"), age)
    return desk


def backdate(path: Path, age: float) -> None:
    """Make a stored output seem that old, in seconds."""
    then = time.time() - age
    os.utime(path, times=(then, then))


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--newer-than", "2h"], 2),
        (["--newer-than", "7200s"], 2),
        (["--newer-than", "120m"], 2),
        (["--newer-than", "1.5d"], 4),
        (["--older-than", "1w"], 2),
        (["--newer-than", "3d", "--older-than", "2h"], 2),
        (["--older-than", "2020-01-01"], 0),
        (["--newer-than", "2020-01-01T00:00+02:00"], 6),
        (["--newer-than", "2020-01-01T00:00Z", "--kind", "TaskOutput", "--task", "t1"], 2),
        (["--kind", "TaskPreview", "--kind", "JobOutput"], 2),
        (["--kind", "Own kind"], 1),
        (["--task", "t1", "--kind", "TaskPreview", "--kind", "TaskOutput", "**/*.png"], 2),
        (["--older-than", "2h", "*.json"], 1),
        (["t1/$TaskOutput", "$JobOutput/*"], 3),
    ],
)
def test_filters(aged: Desk, arguments: list[str], count: int) -> None:
    """Ages, times, kinds, tasks and patterns each narrow what is listed, together too."""
    assert len(aged.outputs(*arguments)) == count


@pytest.mark.parametrize(
    ("option", "value", "part"),
    [
        ("--older-than", "soon", "neither an age such as 90s"),
        ("--newer-than", "3", "neither an age such as 90s"),
        ("--newer-than", "-1d", "neither an age such as 90s"),
        ("--older-than", "", "neither an age such as 90s"),
        ("--older-than", "2026-02-30", "neither an age such as 90s"),
        ("--newer-than", "9" * 30 + "d", "further away than calendars go"),
        ("--older-than", "0001-01-01T00:00+14:00", "further away than calendars go"),
    ],
)
def test_ages_that_are_none(aged: Desk, option: str, value: str, part: str) -> None:
    """What is neither an age nor a time is refused, with what would be."""
    done = aged.run("list", option, value, code=2)
    assert option in done.err
    assert part in done.err
    assert done.out == ""


def test_ages_the_wrong_way_round(aged: Desk) -> None:
    """Ages between which nothing can be are refused."""
    assert "swap them" in aged.run("list", "--newer-than", "1h", "--older-than", "1d", code=2).err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--kind", "taskoutput"],
            "'taskoutput' and TaskOutput differ in their capitals, which count; write TaskOutput.",
        ),
        (["--task", "t1", "--kind", "JobOutput"], "JobOutput is of the job as a whole; leave out --task"),
        (["--task", "t1", "--kind", "TaskLog", "--kind", "JobPreview"], "JobPreview is of the job as a whole"),
    ],
)
def test_what_can_never_be(aged: Desk, arguments: list[str], sentence: str) -> None:
    """Kinds that nothing asked for can have are refused, and do not just find nothing."""
    assert sentence in " ".join(aged.run("list", *arguments, code=2).err.split())


def test_summary(aged: Desk) -> None:
    """--summary counts tasks, files and bytes of each kind and of all, as lines and as objects."""
    records = {record["kind"]: record for record in aged.run("list", "--summary", "--json").objects}
    assert {kind: (of["tasks"], of["files"], of["size"]) for kind, of in records.items()} == {
        "JobOutput": (0, 1, 5),
        "Own kind": (1, 1, 5),
        "TaskOutput": (2, 3, 15),
        "TaskPreview": (1, 1, 5),
        None: (2, 6, 30),
    }
    assert set(records[None]) == {"kind", "tasks", "files", "size", "growing", "partial"}
    done = aged.run("list", "--summary", "--newer-than", "2d")
    assert [line.split() for line in done.out.splitlines()] == [
        ["KIND", "TASKS", "FILES", "SIZE", "LOGS", "WITHOUT", "END"],
        ["JobOutput", "0", "1", "5", "B"],
        ["TaskOutput", "2", "2", "10", "B"],
        ["TaskPreview", "1", "1", "5", "B"],
        ["all", "2", "4", "20", "B"],
    ]
    assert done.sentences == [f"4 outputs in {aged.folder}/{JOB}, 20 B."]
    assert aged.run("list", "--summary", "nothing").out == ""


def test_tasks_are_counted_once(desk: Desk) -> None:
    """Tasks whose ids begin alike, and kinds that stand between each other, are counted right in one pass."""
    for task in ("t", "t-1", "t1", "t.x"):
        for kind in ("A", "B", "TaskLog"):
            for name in ("1", "2"):
                desk.write(f"{JOB}/{task}/${kind}/{name}")
    records = {record["kind"]: record for record in desk.run("list", "--summary", "--json").objects}
    assert {(record["tasks"], record["files"]) for kind, record in records.items() if kind} == {(4, 8)}
    assert (records[None]["tasks"], records[None]["files"]) == (4, 24)


def test_states(desk: Desk) -> None:
    """A log is growing while it is written, partial ten minutes after its last change without an end, then complete."""
    log = desk.folder / JOB / "task/$TaskLog/stdout.txt"
    with desk.started("run", "--flush-interval", "0.1", "--", "sh", "-c", "echo y; read wait; true") as child:
        wait_until(lambda: log.exists() and log.read_bytes() == b"y\n")
        record = desk.outputs("stdout.txt")["task/$TaskLog/stdout.txt"]
        assert (record["state"], record["complete"], record["part"]) == ("growing", False, 1)
        assert "  growing  task/$TaskLog/stdout.txt" in desk.run("list").out
        assert desk.run("list", "--summary", "--json").objects[-1]["growing"] == 2
        assert "2 growing" in desk.run("list", "--summary").out
        backdate(log, 601)
        assert "  partial  task/$TaskLog/stdout.txt" in desk.run("list").out
        desk.ended(child)
    record = desk.outputs()["task/$TaskLog/stdout.txt"]
    assert (record["state"], record["complete"], record["part"]) == ("complete", True, 1)


def test_parts(desk: Desk) -> None:
    """A log that was truncated is listed in its parts, each with its number."""
    growing = desk.write("a.log", "first\n" * 3)
    stored = desk.folder / JOB / "task/$TaskLog"
    with desk.started("track", "--flush-interval", "0.1", "a.log") as child:
        wait_until(lambda: (stored / "a.log").exists() and (stored / "a.log").stat().st_size == 18)
        growing.write_text("new\n")
        wait_until((stored / "a.part-2.log").exists)
        backdate(stored / "a.log", 601)
        first, second = desk.outputs().values()
        assert (first["state"], first["part"], second["state"], second["part"]) == ("continued", 1, "growing", 2)
        assert "  part 1   task/$TaskLog/a.log" in desk.run("list").out
        child.terminate()
        desk.ended(child)
    assert "  part 2   task/$TaskLog/a.part-2.log" in desk.run("list").out


def test_objects_are_json(desk: Desk) -> None:
    """A line of --json is an object as Python writes it, whatever an output, its kind and its task are called."""
    name, kind, task = 'a "b"\t\x7f ü 😀 {"size": 1}, {}', 'Mine\'s "odd"', 't "1" ü'
    with JobOutputStorage.from_container_url((desk.folder / JOB).as_uri()) as job:
        job.create_container()
        job.save_bytes(kind, b"123", name)
        job.task(task).save_bytes(kind, b"", f"{name}/{name}")
    done = desk.run("list", "--json")
    assert done.out.splitlines() == [json.dumps(record) for record in done.objects]
    of_job, of_task = done.objects
    assert all(datetime.fromisoformat(one.pop("last_modified")).tzinfo for one in (of_job, of_task))
    always = {"kind": kind, "complete": True, "state": "complete", "part": 1}
    assert of_job == {"task": None, "name": name, "blob": f"${kind}/{name}", "size": 3, **always}
    name = f"{name}/{name}"
    assert of_task == {"task": task, "name": name, "blob": f"{task}/${kind}/{name}", "size": 0, **always}


@needs_pty
def test_a_table_at_a_terminal(aged: Desk) -> None:
    """At a terminal there are headings, ages and colours, and with NO_COLOR no colours; in a pipe none of these."""
    aged.run("run", "--task", "t3", "--", "true")
    shown = at_terminal(aged, "list").text
    plain = at_terminal(aged, "list", variables={"NO_COLOR": "1"}).text
    assert "\x1b[32mcomplete\x1b[0m  t3/$TaskLog/stdout.txt\n" in shown
    assert re.sub(r"\x1b\[\d+m", "", shown) == plain
    lines = plain.splitlines()
    assert lines[0] == "     SIZE  CHANGED     STATE     NAME"
    assert "      5 B  1 d ago               $JobOutput/sum.json" in lines
    assert "      5 B  1 h ago               t1/$TaskOutput/new.png" in lines
    assert "      5 B  10 d ago              t1/$TaskOutput/old.txt" in lines
    assert at_terminal(aged, "list", variables={"TERM": "dumb"}).text == plain
    piped = aged.run("list", variables={"TERM": "xterm"}).out
    assert "\x1b" not in piped
    assert "CHANGED" not in piped
    assert "ago" not in piped
    assert re.search(r"^ {6}5 B  \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ {11}t1/\$TaskOutput/old.txt$", piped, re.MULTILINE)


@needs_pty
def test_hostile_names_at_a_terminal(desk: Desk) -> None:
    """Names, kinds and task ids that could steer a terminal are shown escaped, wherever they are shown."""
    evil = "\x1b]0;title\x07\x1b[2J\r\u202etxt"
    desk.write("a", "x")
    desk.run("save", "--task", "t\u202e", "--kind", "k\u2066", "--as", f"{evil}/a", "a")
    for command in (["list"], ["list", "--summary"], ["tasks"], ["tasks", "-l"], ["jobs"], ["delete", "--all", "-n"]):
        text = at_terminal(desk, *command, variables={"NO_COLOR": "1"}).text
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066]", text), command
    assert "\\x1b]0;title\\x07\\x1b[2J\\x0d\\u202etxt" in at_terminal(desk, "list").text
