"""What only a look at every output of a job tells: how much each task has stored, when, and how its program ended.

A listing of tasks says their ids and nothing more. A small job is looked at as a whole whenever it is shown; a large
one only when somebody asks for it, in the background, with one small row kept for each task.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from batch_outputs.browse.log_marks import attempts_among, marks_of
from batch_outputs.errors import BatchOutputsError
from batch_outputs.marks import LogMarks
from batch_outputs.output_state import GROWS_WITHIN
from batch_outputs.outputs import OutputFileReference
from batch_outputs.storage import JobOutputStorage

logger: logging.Logger = logging.getLogger("batch_outputs.browse")

Order: TypeAlias = Literal["id", "-id", "changed", "size", "files"]
"""By id, by id from the end, the newest first, the largest first, those with most outputs first."""

MOST_TASKS = 200_000
"""Rows that are kept, in all tables together."""
SMALL = 5000
"""A job of fewer outputs is looked at whenever it is shown: that is one request."""
_FRESH = 60.0
"""Seconds for which a table of a large job is good."""
_FRESH_SMALL = 2.0
_LARGE_FOR = 300.0
"""Seconds for which a job that turned out to be large is not tried again as a small one."""
_BRIEFLY = 0.8
"""Seconds that a look at a small job takes at most, beyond the one request that it always is."""
_BEGINNINGS = 20
_PATIENCE = 1.0
"""Seconds that a page waits for a look at all outputs, before it shows how far that has come."""
_ABANDONED = 120.0
"""Seconds after which a look that nobody waits for any more is given up."""
_BREATH = 500
"""Outputs between two chances for others to be served."""
_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True)
class _Log:
    """What a log says of itself, and when it was changed."""

    marks: LogMarks
    is_complete: bool
    moment: float


@dataclass(slots=True)
class TaskRow:
    """One task. Times are seconds since 1970; `growing_at` is the last change of a log without its end.

    What its logs say counts once all of them are there, and `settle` is called.
    """

    task_id: str
    files: int = 0
    size: int = 0
    changed: float = 0.0
    growing_at: float = 0.0
    exit_code: int | None = None
    ended_at: float = 0.0
    _logs: dict[str, dict[str, _Log]] = field(default_factory=dict)

    @property
    def last_modified(self) -> datetime:
        """When anything of it was last changed."""
        return datetime.fromtimestamp(self.changed, UTC)

    @property
    def has_state(self) -> bool:
        """Whether a log says how the task's program stands."""
        return bool(self.growing_at) or self.exit_code is not None

    @property
    def has_open_log(self) -> bool:
        """Whether a log has no end, so that more of it may come."""
        return bool(self.growing_at)

    def is_growing(self, now: datetime) -> bool:
        """Whether its program is likely to run."""
        return now - datetime.fromtimestamp(self.growing_at, UTC) < GROWS_WITHIN

    def add(self, output: OutputFileReference) -> None:
        """Count an output in."""
        moment = output.last_modified.timestamp() if output.last_modified else 0.0
        self.files += _is_one(output)
        self.size += output.size or 0
        self.changed = max(self.changed, moment)
        if output.is_log and output.part == 1:
            log = _Log(marks_of(output), bool(output.complete), moment)
            self._logs.setdefault(str(output.kind), {})[output.name] = log

    def settle(self) -> None:
        """See how the program stands by the logs that were counted in; one of another attempt says nothing of that."""
        for logs in self._logs.values():
            others = attempts_among({name: log.marks for name, log in logs.items()})
            for log in (log for name, log in logs.items() if name not in others):
                if not log.is_complete:
                    self.growing_at = max(self.growing_at, log.moment)
                elif log.marks.exit_code is not None and log.moment >= self.ended_at:
                    self.exit_code, self.ended_at = log.marks.exit_code, log.moment
        self._logs.clear()


@dataclass(slots=True)
class KindSum:
    """What is stored of one kind."""

    kind: str
    of_job: bool
    tasks: int = 0
    files: int = 0
    size: int = 0
    _last_task: str | None = None

    def add(self, output: OutputFileReference) -> None:
        """Count an output in; they come task by task."""
        self.files += _is_one(output)
        self.size += output.size or 0
        if output.task_id != self._last_task:
            self.tasks += 1
            self._last_task = output.task_id


@dataclass(slots=True)
class TaskTable:
    """A job's outputs, counted; `is_done` once all have been.

    `looked_at` are blobs; the parts of a log are one of the `files`.
    """

    rows: dict[str, TaskRow] = field(default_factory=dict)
    kinds: dict[tuple[bool, str], KindSum] = field(default_factory=dict)
    looked_at: int = 0
    files: int = 0
    size: int = 0
    is_done: bool = False
    is_small: bool = False
    has_too_many: bool = False
    error: str | None = None
    ended: float = 0.0
    asked: float = field(default_factory=time.monotonic)
    _last: TaskRow | None = None
    _orders: dict[Order, list[TaskRow]] = field(default_factory=dict)

    @property
    def age(self) -> timedelta:
        """How long ago it was done."""
        return timedelta(seconds=time.monotonic() - self.ended)

    def add(self, output: OutputFileReference) -> None:
        """Count an output in; they come task by task."""
        self.looked_at += 1
        self.files += _is_one(output)
        self.size += output.size or 0
        key = output.task_id is None, str(output.kind)
        if key not in self.kinds:
            self.kinds[key] = KindSum(key[1], key[0])
        self.kinds[key].add(output)
        if output.task_id is not None:
            row = self.rows.get(output.task_id)
            if row is None:
                row = self.rows[output.task_id] = TaskRow(output.task_id)
            if row is not self._last:
                self.settle()
                self._last = row
            row.add(output)

    def settle(self) -> None:
        """The last task has been counted, too."""
        if self._last is not None:
            self._last.settle()
            self._last = None

    def ordered(self, order: Order, wanted: Callable[[str], bool] | None = None) -> list[TaskRow]:
        """The tasks in an order, perhaps only those whose id is wanted."""
        if order not in self._orders:
            self._orders[order] = self._sorted(order)
        rows = self._orders[order]
        return rows if wanted is None else [row for row in rows if wanted(row.task_id)]

    def _sorted(self, order: Order) -> list[TaskRow]:
        if order in {"id", "-id"}:
            # Numbers as people count, where that is no contrast to the pages of a listing.
            by_id = sorted(self.rows.values(), key=_natural) if self.is_small else list(self.rows.values())
            return by_id if order == "id" else by_id[::-1]
        attribute = {"changed": lambda row: row.changed, "size": lambda row: row.size, "files": lambda row: row.files}
        return sorted(self.ordered("id"), key=attribute[order], reverse=True)


class TaskTables:
    """The tables of the jobs that are looked at."""

    def __init__(self, most_tasks: int = MOST_TASKS) -> None:
        self._most_tasks = most_tasks
        self._tables: dict[str, TaskTable] = {}
        self._beginnings: dict[str, TaskTable] = {}
        self._running: dict[str, tuple[TaskTable, asyncio.Task[None]]] = {}

    async def beginning(self, job: JobOutputStorage, tasks: int, *, is_needed: bool) -> TaskTable:
        """The first tasks of a job by one request, at least so many; of a small job all, and then it `is_small`.

        Of a job whose tasks have very many outputs it holds fewer, perhaps none; and none where only a small job's
        `is_needed`, and this one is known to be large.

        Raises:
            StoreError: it cannot be listed.
        """
        known = self._beginnings.pop(job.container, None)
        age = known.age.total_seconds() if known is not None else 0.0
        is_of_use = known is not None and (known.is_small or (is_needed and len(known.rows) >= tasks))
        if known is None or age >= (_FRESH_SMALL if is_of_use else _LARGE_FOR):
            known = await _beginning(job)
        self._beginnings[job.container] = known
        if len(self._beginnings) > _BEGINNINGS:
            del self._beginnings[next(iter(self._beginnings))]
        return known if known.is_small or is_needed else TaskTable()

    def known(self, container: str) -> TaskTable | None:
        """A table of all tasks that is good still, without a look at anything."""
        table = self._tables.get(container)
        return table if table is not None and table.is_done and table.age.total_seconds() < _FRESH else None

    async def wanted(self, job: JobOutputStorage) -> TaskTable:
        """The newest table of a job; a look at all its outputs is begun where there is none, or an old one.

        While the first one goes on, it is what is given, with what has been counted so far.
        """
        last = self._tables.get(job.container)
        if last is not None and last.age.total_seconds() < (_FRESH if last.error is None else _FRESH_SMALL):
            return last
        if job.container not in self._running:
            counting = TaskTable()
            self._running[job.container] = counting, asyncio.create_task(self._look(job, counting))
        counting, task = self._running[job.container]
        counting.asked = time.monotonic()
        if last is not None and last.is_done:
            return last
        await asyncio.wait([task], timeout=_PATIENCE)
        return counting

    async def aclose(self) -> None:
        """Break off what is counted still."""
        running = [task for _, task in self._running.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _look(self, job: JobOutputStorage, table: TaskTable) -> None:
        def goes_on(counted: TaskTable) -> bool:
            return len(counted.rows) <= self._most_tasks and time.monotonic() - counted.asked < _ABANDONED

        try:
            table.is_done = await _count(job, table, goes_on)
            table.has_too_many = len(table.rows) > self._most_tasks
            if table.has_too_many:
                table.rows.clear()
        except BatchOutputsError as error:
            table.error = str(error)
        except Exception as error:  # its storage was closed, because the server ends or other jobs were opened
            logger.debug("Counting the outputs of %s broke.", job.container, exc_info=True)
            table.error = f"Counting was broken off ({type(error).__name__}); try again."
        finally:
            table.ended = time.monotonic()
            self._running.pop(job.container, None)
        if table.is_done or table.has_too_many or table.error is not None:
            self._keep(job.container, table)

    def _keep(self, container: str, table: TaskTable) -> None:
        self._tables.pop(container, None)
        self._tables[container] = table
        while len(self._tables) > 1 and sum(len(kept.rows) for kept in self._tables.values()) > self._most_tasks:
            del self._tables[next(iter(self._tables))]


async def _beginning(job: JobOutputStorage) -> TaskTable:
    table = TaskTable()
    begun = 0.0

    def goes_on(counted: TaskTable) -> bool:
        nonlocal begun
        begun = begun or time.monotonic()  # what a service takes to answer is spent, and all of its answer is of use
        return counted.looked_at < SMALL and time.monotonic() - begun < _BRIEFLY

    table.is_done = table.is_small = await _count(job, table, goes_on)
    if not table.is_done and table.rows:
        table.rows.popitem()  # there may be more of the last one
    table.ended = time.monotonic()
    return table


async def _count(job: JobOutputStorage, table: TaskTable, goes_on: Callable[[TaskTable], bool]) -> bool:
    """Count all outputs; False if it was not to go on to the end."""
    async for output in job.list_all_outputs():
        table.add(output)
        if table.looked_at % _BREATH == 0:
            await asyncio.sleep(0)
        if not goes_on(table):
            return False
    table.settle()
    return True


def _is_one(output: OutputFileReference) -> int:
    """1, but 0 for a later part of a log, which is one file with those before it."""
    return int((output.part or 1) == 1)


def last_change(rows: Iterable[TaskRow]) -> datetime | None:
    """When anything of these tasks was last changed."""
    latest = max((row.changed for row in rows), default=0.0)
    return datetime.fromtimestamp(latest, UTC) if latest else None


def _natural(row: TaskRow) -> tuple[tuple[str, int, str], ...]:
    """A key that puts `frame-9` before `frame-10`."""
    pieces = _DIGITS.split(row.task_id)
    numbers = [*pieces[1::2], "0"]
    # Longer numbers than any id has in earnest are text.
    return tuple(
        (text.lower(), int(number) if len(number) < 19 else 0, number)
        for text, number in zip(pieces[::2], numbers, strict=True)
    )
