"""Outputs as lines of a page: logs with parts and attempts, and what is said of each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch_outputs import JobOutputStorage, TaskOutputStorage
from batch_outputs.browse.listing.entries import SLOWLY, Entry, entries_of, may_change, refresh_after
from batch_outputs.kinds import TaskOutputKind
from batch_outputs.marks import LogMarks
from batch_outputs.outputs import OutputFileReference
from batch_outputs.stores.base import BlobProperties, BlobType

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
OLD = timedelta(hours=1)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def task(tmp_path: Path) -> AsyncIterator[TaskOutputStorage]:
    """A task's storage, with nothing in it."""
    async with JobOutputStorage.from_container_url((tmp_path / "job-x").as_uri()) as job:
        await job.create_container()
        yield job.task("t1")


def listed(
    task: TaskOutputStorage,
    name: str,
    marks: LogMarks | None = None,
    *,
    size: int = 5,
    age: timedelta = OLD,
    content_type: str | None = None,
    blob_type: BlobType | None = None,
) -> OutputFileReference:
    """An output as a listing gives it: a log if it has marks."""
    properties = BlobProperties(
        f"t1/$TaskLog/{name}",
        size,
        '"e"',
        NOW - age,
        content_type,
        marks.metadata() if marks else {},
        blob_type or ("append" if marks else "block"),
    )
    return OutputFileReference(task._container.store, "t1", TaskOutputKind.TASK_LOG, name, properties=properties)


async def lines(task: TaskOutputStorage, *outputs: OutputFileReference) -> list[Entry]:
    """The lines for some outputs."""
    return await entries_of(task, "TaskLog", outputs, NOW)


@pytest.mark.parametrize(
    ("age", "marks", "state", "exit_code"),
    [
        (timedelta(minutes=1), LogMarks(attempt="a", log="l"), "growing", None),
        (OLD, LogMarks(attempt="a", log="l"), "partial", None),
        (OLD, LogMarks(attempt="a", log="l", complete=True, length=5, exit_code=3), "complete", 3),
        (OLD, LogMarks(attempt="a", log="l", complete=True, length=6, exit_code=0), "partial", None),
        (OLD, LogMarks(), "partial", None),
        (timedelta(0), None, "complete", None),
    ],
)
async def test_state_and_exit_code(
    task: TaskOutputStorage, age: timedelta, marks: LogMarks | None, state: str, exit_code: int | None
) -> None:
    """A log is complete only if its mark fits its length; without, it grows while it is young; a file is complete."""
    (line,) = await lines(task, listed(task, "a.log", marks, age=age))
    assert (line.state, line.exit_code, line.is_log) == (state, exit_code, marks is not None)


async def test_attempt_that_was_kept_aside_does_not_grow(task: TaskOutputStorage) -> None:
    """An earlier attempt stands below its log and is partial at once, though it was copied just now."""
    (line,) = await lines(
        task,
        listed(task, "a.attempt-10.log", LogMarks(attempt="a", log="k"), age=timedelta(0)),
        listed(task, "a.attempt-2.log", LogMarks(attempt="b", log="l"), age=timedelta(0)),
        listed(task, "a.attempt-f00.log", LogMarks(attempt="f00", log="m"), age=timedelta(0)),
        listed(task, "a.log", LogMarks(attempt="c", log="n"), age=timedelta(0)),
    )
    assert (line.name, line.state) == ("a.log", "growing")
    assert [(other.name, other.state, other.remark) for other in line.attempts] == [
        ("a.attempt-2.log", "partial", "earlier attempt 2"),
        ("a.attempt-10.log", "partial", "earlier attempt 10"),
        ("a.attempt-f00.log", "growing", "another attempt at the same time"),
    ]


@pytest.mark.parametrize(
    "others",
    [
        [("a.attempt-1.log", None), ("a.log", LogMarks(attempt="a", log="l"))],
        [("a.attempt-1.log", LogMarks(attempt="a", log="l")), ("a.log", None)],
        [("a.attempt-1.log", LogMarks(attempt="a", log="l")), ("b.log", LogMarks(attempt="a", log="l"))],
        [("a.part-2.log", None), ("a.log", LogMarks(attempt="a", log="l"))],
        [("a.part-2.log", LogMarks(attempt="a", log="k", part=2)), ("a.log", None)],
        [("a.part-3.log", LogMarks(attempt="a", log="l", part=2)), ("x.log", LogMarks(attempt="a", log="l"))],
        [("../a.part-2.log", LogMarks(attempt="a", log="l", part=2)), ("b", None)],
    ],
)
async def test_names_alone_join_nothing(task: TaskOutputStorage, others: list[tuple[str, LogMarks | None]]) -> None:
    """What is only called like a part or an attempt, or belongs to another log, is a line of its own."""
    found = await lines(task, *(listed(task, name, marks) for name, marks in others))
    assert [line.name for line in found] == [name for name, _ in others]
    assert all(line.attempts == () and not line.in_parts for line in found)


async def test_parts_on_another_page(task: TaskOutputStorage) -> None:
    """A part whose log stands on another page is left to that; there the log is joined without its part in sight."""
    store = task._container.store
    first = LogMarks(attempt="a", log="l", length=3)
    written = await store.create_append("t1/$TaskLog/a.log", metadata=first.metadata())
    await store.append("t1/$TaskLog/a.log", b"123", offset=0, etag=written.etag)
    second = LogMarks(attempt="a", log="l", part=2, reason="limit")
    written = await store.create_append("t1/$TaskLog/a.part-2.log", metadata=second.metadata())
    await store.append("t1/$TaskLog/a.part-2.log", b"45", offset=0, etag=written.etag)
    by_name = {output.name: output async for output in task.list_outputs("TaskLog")}
    assert await lines(task, by_name["a.part-2.log"]) == []
    (line,) = await lines(task, by_name["a.log"])
    assert (line.name, line.size, line.in_parts) == ("a.log", 5, True)


async def test_pictures_by_type_then_by_name(task: TaskOutputStorage) -> None:
    """A picture is known by the type that it was stored with, else by its name; a huge one is not shown."""
    found = await lines(
        task,
        listed(task, "a.bin", content_type="image/PNG; x=y"),
        listed(task, "b.webp", content_type="application/octet-stream"),
        listed(task, "c.jpeg"),
        listed(task, "d.png", content_type="text/html"),
        listed(task, "e.tiff"),
        listed(task, "f.png", size=10**9),
    )
    assert [line.is_picture for line in found] == [True, True, True, False, False, False]
    assert [line.suffix for line in found] == ["BIN", "WEBP", "JPEG", "PNG", "TIFF", "PNG"]


async def test_young_outputs_may_be_followed_by_more(task: TaskOutputStorage) -> None:
    """A list may change while its newest is young, also where that is an earlier attempt."""
    assert not may_change(await lines(task, listed(task, "a.txt")), NOW)
    assert may_change(await lines(task, listed(task, "a.txt"), listed(task, "b.txt", age=timedelta(minutes=9))), NOW)


async def test_when_to_look_again(task: TaskOutputStorage) -> None:
    """Soon where something is young, slowly where a log has no end, and never where all is whole or of the past."""
    marks, former = LogMarks(attempt="b", log="l"), LogMarks(attempt="a", log="k")
    whole = LogMarks(attempt="b", log="l", complete=True, length=5)
    assert refresh_after(await lines(task, listed(task, "a.txt", age=timedelta(0))), NOW, 5) == 5
    assert refresh_after(await lines(task, listed(task, "a.txt"), listed(task, "a.log", marks)), NOW, 5) == SLOWLY
    past = await lines(task, listed(task, "a.attempt-1.log", former), listed(task, "a.log", whole))
    assert past[0].attempts
    assert refresh_after(past, NOW, 5) is None
