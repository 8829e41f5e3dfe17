"""What a look at every output of a job tells of its tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch_outputs import JobOutputStorage
from batch_outputs.browse.listing.task_table import TaskRow, TaskTable, TaskTables
from batch_outputs.kinds import TaskOutputKind
from batch_outputs.marks import LogMarks
from batch_outputs.outputs import OutputFileReference
from batch_outputs.stores.base import BlobProperties
from support.growing import until

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def job(tmp_path: Path) -> AsyncIterator[JobOutputStorage]:
    """A job of three tasks."""
    for task in ("t1", "t2", "t10"):
        folder = tmp_path / "job-x" / task / "$TaskOutput"
        folder.mkdir(parents=True)
        (folder / "a").write_bytes(b"123")
    async with JobOutputStorage.from_container_url((tmp_path / "job-x").as_uri()) as storage:
        yield storage


async def ended(tables: TaskTables, job: JobOutputStorage) -> TaskTable:
    """The table of a job, counted to its end."""
    table = await tables.wanted(job)
    await until(lambda: table.ended > 0)
    return table


async def test_all_tasks_are_counted_once_a_minute(job: JobOutputStorage) -> None:
    """A look at all outputs counts each task and kind, and is not repeated for the next who asks."""
    tables = TaskTables()
    assert tables.known(job.container) is None
    table = await ended(tables, job)
    assert (table.is_done, table.files, table.size) == (True, 3, 9)
    assert [row.task_id for row in table.ordered("size")] == ["t1", "t10", "t2"]
    ((_, kind),) = table.kinds.items()
    assert (kind.kind, kind.tasks, kind.files, kind.size) == ("TaskOutput", 3, 3, 9)
    assert await tables.wanted(job) is table is tables.known(job.container)


async def test_more_tasks_than_can_be_kept(job: JobOutputStorage) -> None:
    """Where there are more tasks than are kept the look ends, says so, and holds none of them."""
    tables = TaskTables(most_tasks=2)
    table = await ended(tables, job)
    assert (table.has_too_many, table.is_done, table.rows) == (True, False, {})
    assert tables.known(job.container) is None
    assert (await tables.wanted(job)).has_too_many


async def test_store_that_breaks(tmp_path: Path) -> None:
    """A look that cannot be finished has the error as a sentence, and no rows that would look like all."""
    async with JobOutputStorage.from_container_url((tmp_path / "job-none").as_uri()) as job:
        table = await ended(TaskTables(), job)
    assert (table.is_done, table.rows) == (False, {})
    assert table.error is not None
    assert "job-none" in table.error


def log(name: str, marks: LogMarks, age: timedelta = timedelta(hours=1)) -> OutputFileReference:
    """A log as a listing gives it, with 5 bytes."""
    properties = BlobProperties(
        f"t1/$TaskLog/{name}", 5, '"e"', NOW - age, metadata=marks.metadata(), blob_type="append"
    )
    store: object = None  # it is not asked
    return OutputFileReference(store, "t1", TaskOutputKind.TASK_LOG, name, properties=properties)  # type: ignore[arg-type]


def row_of(*outputs: OutputFileReference) -> TaskRow:
    """A task's row."""
    row = TaskRow("t1")
    for output in outputs:
        row.add(output)
    row.settle()
    return row


def finished(exit_code: int | None, **marks: str) -> LogMarks:
    """The marks of a log that is whole."""
    return LogMarks(attempt="a", log=marks.get("log", "l"), complete=True, length=5, exit_code=exit_code)


async def test_how_a_task_stands() -> None:
    """The log finished last says how the program ended, one that grows that it runs, and earlier attempts nothing."""
    minute = timedelta(minutes=1)
    open_end = LogMarks(attempt="a", log="l")
    old = row_of(log("solver.log", finished(1), 3 * minute), log("stdout.txt", finished(0), 2 * minute))
    assert (old.exit_code, old.is_growing(NOW)) == (0, False)
    unsaid = row_of(log("stdout.txt", finished(4), 3 * minute), log("solver.log", finished(None), 2 * minute))
    assert unsaid.exit_code == 4
    running = row_of(log("stdout.attempt-1.txt", finished(9, log="k"), minute), log("stdout.txt", open_end, minute))
    assert (running.exit_code, running.is_growing(NOW), running.files) == (None, True, 2)
    former = LogMarks(attempt="b", log="k")
    kept = row_of(log("stdout.attempt-1.txt", former, minute), log("stdout.txt", finished(0), minute))
    assert (kept.exit_code, kept.is_growing(NOW)) == (0, False)
    silent = row_of(log("stdout.txt", open_end))
    assert (silent.has_state, silent.is_growing(NOW)) == (True, False)
    part = LogMarks(attempt="a", log="l", part=2, reason="limit")
    parts = row_of(log("stdout.part-2.txt", part), log("stdout.txt", open_end))
    assert (parts.files, parts.size) == (1, 10)


async def test_names_alone_make_no_attempt() -> None:
    """A log that is only called like an earlier attempt, beside none that it is one of, says how the task stands."""
    alone = row_of(log("stdout.attempt-1.txt", finished(7)))
    assert alone.exit_code == 7
    elsewhere = row_of(log("run.attempt-2.log", finished(7)), log("stdout.txt", finished(None)))
    assert elsewhere.exit_code == 7
    table = TaskTable()
    for output in (log("stdout.attempt-1.txt", finished(9, log="k")), log("stdout.txt", finished(0))):
        table.add(output)
    table.settle()
    assert table.rows["t1"].exit_code == 0
