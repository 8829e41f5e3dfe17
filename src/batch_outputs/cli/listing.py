"""`list`: what is stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from batch_outputs.cli.filters import Filters, choosing_option, filter_options, patterns_argument
from batch_outputs.cli.help_page import command, options_under
from batch_outputs.cli.options import Where, run_listing, where_options
from batch_outputs.cli.output_table import OutputTable
from batch_outputs.cli.table import Column, Table, width_of
from batch_outputs.cli.talk import check_output, say, show, showing
from batch_outputs.wording import counted, size_text

if TYPE_CHECKING:
    from batch_outputs.output_state import OutputState
    from batch_outputs.outputs import OutputFileReference
    from batch_outputs.selection import Wanted
    from batch_outputs.storage import JobOutputStorage

_WIDEST_KIND = 40
_json = json.JSONEncoder().encode  # of a text several times as quick as `json.dumps`

_showing_option = options_under("How they are shown")


@command("list")
@patterns_argument
@filter_options
@_showing_option("--summary", is_flag=True, help="Only sums: tasks, files and bytes of each kind.")
@_showing_option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@where_options(task_option=choosing_option)
def list_command(patterns: tuple[str, ...], filters: Filters, summary: bool, as_json: bool, where: Where) -> None:
    """List the outputs of a job, or of one task.

    \b
    batch-outputs list --job render-2026
    batch-outputs list --job render-2026 --task t1 --kind TaskLog --newer-than 2h
    batch-outputs list --job render-2026 --json '**/*.png'
    batch-outputs list --job render-2026 --summary

    A log is shown as growing if it has no end mark and changed within the last 10 minutes, and as partial if that is
    longer ago: its task was cut off, or is silent. A log whose file was truncated or replaced is stored in parts, and
    "part 1" goes on in the next one. Each blob is shown, and its age judged, by itself; download and delete take the
    parts of a log as one, which is as new as the last. Where nothing matches, nothing is listed and the exit code is 0.

    An object of --json has task, kind, name, blob, size (bytes), last_modified, complete, state (complete, growing,
    partial, or continued for a first part) and part; of --summary --json kind, tasks, files, size, growing and partial,
    with null for the kind in the last one, which is the sum of all.
    """
    check_output()
    job = where.job_to_read()
    run_listing(job, _list(job, filters.wanted(where.task, patterns), summary=summary, as_json=as_json))


async def _list(job: JobOutputStorage, wanted: Wanted, *, summary: bool, as_json: bool) -> None:
    from batch_outputs.selection import check_task_has_outputs, select_wanted

    async with job:
        found = select_wanted(job, wanted)
        total = await (_sum_up(found, as_json=as_json) if summary else _show_all(found, as_json=as_json))
        if not total.files and wanted.task is not None:
            await check_task_has_outputs(job, wanted.task)
        if not as_json:
            say(f"{counted(total.files, 'output')} in {job.place}, {size_text(total.size)}.")


@dataclass(slots=True)
class Sums:
    """What is counted of outputs that come in the order of their names, one task after the other."""

    tasks: int = 0
    files: int = 0
    size: int = 0
    states: dict[OutputState, int] = field(default_factory=dict)
    _task: str | None = None

    def add(self, output: OutputFileReference, state: OutputState) -> None:
        """Count one more."""
        self.files += 1
        self.size += output.size or 0
        self.states[state] = self.states.get(state, 0) + 1
        # A task's names all begin alike, so they stand together, and one id to compare with is enough.
        if output.task_id not in (None, self._task):
            self._task = output.task_id
            self.tasks += 1

    def record(self, kind: str | None) -> dict[str, object]:
        """The object of `--json`."""
        incomplete = {state: self.states.get(state, 0) for state in ("growing", "partial")}
        return {"kind": kind, "tasks": self.tasks, "files": self.files, "size": self.size, **incomplete}

    @property
    def incomplete_text(self) -> str:
        """How many logs have no end, in words; empty where there are none."""
        counts = ((self.states.get(state, 0), state) for state in ("growing", "partial"))
        return ", ".join(f"{number:,} {state}" for number, state in counts if number)


async def _show_all(found: AsyncIterator[OutputFileReference], *, as_json: bool) -> Sums:
    from batch_outputs.output_state import state_of

    total = Sums()
    with showing() as show_soon:
        table = OutputTable(show_soon)
        async for output in found:
            now = datetime.now(UTC)
            state = state_of(output, now)
            total.add(output, state)
            if as_json:
                show_soon(_json_line(output, state))
            else:
                table.row(output, state, now)
    return total


async def _sum_up(found: AsyncIterator[OutputFileReference], *, as_json: bool) -> Sums:
    from batch_outputs.output_state import state_of

    total = Sums()
    kinds: dict[str, Sums] = {}
    async for output in found:
        state = state_of(output, datetime.now(UTC))
        for sums in (total, kinds.setdefault(str(output.kind), Sums())):
            sums.add(output, state)
    if as_json:
        for kind, sums in [*sorted(kinds.items()), (None, total)]:
            show(json.dumps(sums.record(kind)))
    elif kinds:
        _show_sums({**dict(sorted(kinds.items())), "all": total})
    return total


def _show_sums(kinds: dict[str, Sums]) -> None:
    table = Table(
        Column("KIND", width_of("KIND", kinds, at_most=_WIDEST_KIND)),
        Column("TASKS", 12, right=True),
        Column("FILES", 12, right=True),
        Column("SIZE", 9, right=True),
        Column("LOGS WITHOUT END"),
        headed=True,
    )
    for kind, sums in kinds.items():
        table.row(kind, f"{sums.tasks:,}", f"{sums.files:,}", size_text(sums.size), sums.incomplete_text)


def _json_line(output: OutputFileReference, state: OutputState) -> str:
    """The object of `--json` for what a listing gave, put together here: `json.dumps` would take four times as long."""
    changed = output.last_modified
    return (
        f'{{"task": {_json(output.task_id)}, "kind": {_json(output.kind)}, "name": {_json(output.name)}, '
        f'"blob": {_json(output.blob_name)}, "size": {output.size}, '
        f'"last_modified": {_json(changed.isoformat() if changed else None)}, '
        f'"complete": {"true" if state == "complete" else "false"}, "state": "{state}", "part": {output.part}}}'
    )
