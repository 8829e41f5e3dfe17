"""`list`: what is stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from batch_outputs.cli.options import Where, not_empty, run_async, where_options
from batch_outputs.cli.talk import counted, printable, say, show, size_text, time_text

if TYPE_CHECKING:
    from batch_outputs.outputs import OutputFileReference


@click.command("list")
@click.argument("patterns", metavar="[PATTERN...]", nargs=-1)
@click.option("--kind", callback=not_empty, help="Only outputs of this kind.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@where_options(task_help="Only outputs of this task.")
def list_command(patterns: tuple[str, ...], kind: str | None, as_json: bool, where: Where) -> None:
    """List what is stored of a job, or of one task.

    \b
    batch-outputs list --job render-2026
    batch-outputs list --job render-2026 --task t1 --kind TaskLog
    batch-outputs list --job render-2026 --json '**/*.png'

    A log is shown as partial until its tracked save has ended well: it grows still, or its task was cut off.
    """
    run_async(_list(patterns, kind, where, as_json=as_json))


async def _list(patterns: tuple[str, ...], kind: str | None, where: Where, *, as_json: bool) -> None:
    from batch_outputs.selection import check_task_has_outputs, select

    files = size = 0
    async with where.job_to_read() as job:
        async for output in select(job, task=where.task, kind=kind, patterns=patterns):
            files += 1
            size += output.size or 0
            show(json.dumps(_record(output)) if as_json else _line(output))
        if not files and where.task is not None:
            await check_task_has_outputs(job, where.task)
        if not as_json:
            say(f"{counted(files, 'output')} in {job.place}, {size_text(size)}.")


def _record(output: OutputFileReference) -> dict[str, object]:
    return {
        "task": output.task_id,
        "kind": str(output.kind),
        "name": output.name,
        "blob": output.blob_name,
        "size": output.size,
        "last_modified": output.last_modified.isoformat() if output.last_modified else None,
        "complete": output.complete,
    }


def _line(output: OutputFileReference) -> str:
    state = "" if output.complete else "partial"
    return f"{size_text(output.size):>9}  {time_text(output.last_modified)}  {state:7}  {printable(output.blob_name)}"
