"""`jobs` and `tasks`: whose outputs are stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from batch_outputs.cli.help_page import argument, command, option
from batch_outputs.cli.options import Where, run_async, run_listing, where_options
from batch_outputs.cli.table import COLOURS, Cell, Column, Table, changed_column, when_text, width_of
from batch_outputs.cli.talk import check_output, say, show
from batch_outputs.marks import LogMarks
from batch_outputs.names import is_of_earlier_attempt
from batch_outputs.wording import counted, printable, size_text

if TYPE_CHECKING:
    from batch_outputs.account import StoredJob
    from batch_outputs.output_state import OutputState
    from batch_outputs.outputs import OutputFileReference
    from batch_outputs.storage import JobOutputStorage

_MOST_SORTED = 5_000
"""Jobs that are held in memory to be sorted by age."""
_WIDEST_NAME = 40


@command("jobs")
@argument("prefix", metavar="[PREFIX]", default="", help="Only jobs whose id begins so, in capitals or not.")
@option("--json", "as_json", is_flag=True, help="One JSON object a line, in the order of the containers' names.")
@where_options(job=False, task=False)
def jobs_command(prefix: str, as_json: bool, where: Where) -> None:
    """List the jobs that have stored outputs, newest first.

    \b
    batch-outputs jobs
    batch-outputs jobs render
    batch-outputs jobs --json

    The time is when a job's container was made or last changed, not what is in it. Needs an account key, an account SAS
    or an identity: with access to one container only, that one job is listed.

    An object of --json has job (what --job takes), container and last_modified.
    """
    check_output()
    run_async(_jobs(prefix, where, as_json=as_json))


async def _jobs(prefix: str, where: Where, *, as_json: bool) -> None:
    from batch_outputs.account import OutputAccount
    from batch_outputs.selection import find_jobs

    count = 0
    async with OutputAccount.at(where.target_to_read()) as account:
        found = find_jobs(account, prefix)
        if as_json:
            async for job in found:
                show(json.dumps(_job_record(job)))
            return
        first = [job async for job in _at_most(found, _MOST_SORTED)]
        rest = await anext(found, None) if len(first) == _MOST_SORTED else None
        if rest is None:
            first.sort(key=lambda job: (job.last_modified is not None, job.last_modified), reverse=True)
        table = Table(
            changed_column(),
            Column("JOB", width_of("JOB", (job.name for job in first), at_most=_WIDEST_NAME)),
            Column("CONTAINER"),
        )
        now = datetime.now(UTC)
        for job in first:
            table.row(when_text(job.last_modified, now), job.name, job.container)
        count = len(first)
        while rest is not None:
            table.row(when_text(rest.last_modified, now), rest.name, rest.container)
            count += 1
            rest = await anext(found, None)
        order = f", by name as they are more than {_MOST_SORTED:,}" if count > _MOST_SORTED else ""
        say(f"{counted(count, 'job')} in {account.place}{order}.")


async def _at_most(items: AsyncIterator[StoredJob], number: int) -> AsyncIterator[StoredJob]:
    for _ in range(number):
        item = await anext(items, None)
        if item is None:
            return
        yield item


def _job_record(job: StoredJob) -> dict[str, object]:
    changed = job.last_modified
    return {"job": job.name, "container": job.container, "last_modified": changed.isoformat() if changed else None}


@command("tasks")
@argument("prefix", metavar="[PREFIX]", default="", help="Only tasks whose id begins so.")
@option(
    "-l",
    "--long",
    is_flag=True,
    help="With outputs, bytes, last change, state and exit code; takes longer, as every output is looked at.",
)
@option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@where_options(task=False)
def tasks_command(prefix: str, long: bool, as_json: bool, where: Where) -> None:
    """List the tasks of a job that have stored outputs.

    \b
    batch-outputs tasks --job render-2026
    batch-outputs tasks --job render-2026 --long frame-00
    batch-outputs tasks --job render-2026 --json

    With --long a task is growing while one of its logs is, else partial if a log has no end mark, else complete; the
    exit code is what run has kept with its logs.

    An object of --json has task; with --long also files, size (bytes), last_modified, state and exit_code.
    """
    check_output()
    job = where.job_to_read()
    run_listing(job, _tasks(job, prefix, long=long, as_json=as_json))


async def _tasks(job: JobOutputStorage, prefix: str, *, long: bool, as_json: bool) -> None:
    count = 0
    async with job:
        if long:
            table = Table(
                Column("OUTPUTS", 9, right=True),
                Column("SIZE", 9, right=True),
                changed_column(),
                Column("STATE", 8),
                Column("EXIT", 5, right=True),
                Column("TASK"),
            )
            async for facts in _facts_of_tasks(job, prefix):
                count += 1
                if as_json:
                    show(json.dumps(facts.record))
                else:
                    table.row(*facts.cells(datetime.now(UTC)))
        else:
            async for task_id in job.list_tasks(prefix):
                count += 1
                show(json.dumps({"task": task_id}) if as_json else printable(task_id))
        if not as_json:
            say(f"{counted(count, 'task')} in {job.place}.")


@dataclass(slots=True)
class _TaskFacts:
    """What is known of a task by the outputs of it that have been added."""

    task_id: str
    files: int = 0
    size: int = 0
    last_modified: datetime | None = None
    state: OutputState = "complete"
    exit_code: int | None = None
    _ended: datetime | None = None

    def add(self, output: OutputFileReference, now: datetime) -> None:
        from batch_outputs.output_state import state_of

        self.files += 1
        self.size += output.size or 0
        changed = output.last_modified
        self.last_modified = max(filter(None, [self.last_modified, changed]), default=None)
        marks = LogMarks.from_metadata(output.metadata or {})
        if marks.log is not None and is_of_earlier_attempt(output.name):
            return  # how an earlier attempt ended says nothing of the last one
        state = state_of(output, now)
        if state == "growing" or (state == "partial" and self.state == "complete"):
            self.state = state
        if marks.exit_code is not None and changed is not None and (self._ended is None or changed >= self._ended):
            self._ended, self.exit_code = changed, marks.exit_code

    @property
    def record(self) -> dict[str, object]:
        return {
            "task": self.task_id,
            "files": self.files,
            "size": self.size,
            "last_modified": self.last_modified.isoformat() if self.last_modified else None,
            "state": self.state,
            "exit_code": self.exit_code,
        }

    def cells(self, now: datetime) -> tuple[Cell | str, ...]:
        code = "" if self.exit_code is None else str(self.exit_code)
        return (
            f"{self.files:,}",
            size_text(self.size),
            when_text(self.last_modified, now),
            Cell(self.state, COLOURS[self.state]),
            Cell(code, "red" if self.exit_code else None),
            self.task_id,
        )


async def _facts_of_tasks(job: JobOutputStorage, prefix: str) -> AsyncIterator[_TaskFacts]:
    """The facts of each task, as soon as its last output has been seen."""
    facts: _TaskFacts | None = None
    async for output in job.list_all_outputs(prefix):  # one listing, many tasks a page
        if output.task_id is None or not output.task_id.startswith(prefix):
            continue  # a prefix with a slash in it is none of ids
        if facts is None or output.task_id != facts.task_id:
            if facts is not None:
                yield facts
            facts = _TaskFacts(output.task_id)
        facts.add(output, datetime.now(UTC))
    if facts is not None:
        yield facts
