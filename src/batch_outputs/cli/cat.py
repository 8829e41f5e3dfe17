"""`cat`: one output to standard output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from batch_outputs.cli.options import Where, run_async, where_options
from batch_outputs.cli.talk import writing_output
from batch_outputs.cli.terminal import TerminalFilter
from batch_outputs.errors import TargetError

if TYPE_CHECKING:
    from batch_outputs.outputs import OutputFileReference


@click.command("cat")
@click.argument("name", metavar="NAME")
@where_options()
def cat_command(name: str, where: Where) -> None:
    """Write an output to standard output.

    \b
    batch-outputs cat --job render-2026 --task t1 stdout.txt
    batch-outputs cat --job render-2026 --task t1 TaskOutput/frames/0001.png > 0001.png
    batch-outputs cat --job render-2026 JobOutput/summary.json

    NAME is a path, a kind and a path, or a whole name as list shows it. A path alone is looked for among the task's
    logs and other outputs, and among the job's own; one that is found twice is an error. To a file or pipe the bytes
    are written as they are; to a terminal, without control codes other than colours.
    """
    if sys.stdout is None:
        raise TargetError("Standard output is closed; lead it to a file, a pipe or a terminal.", path="-")
    run_async(_cat(name, where))


async def _cat(name: str, where: Where) -> None:
    from batch_outputs.environment import TaskEnvironment
    from batch_outputs.selection import find
    from batch_outputs.settings import EMBEDDED_TASK

    task = where.task or TaskEnvironment.from_environ().task_id
    if task is None and where.target().embedded:
        task = EMBEDDED_TASK
    async with where.job_to_read() as job:
        output = await find(job, task, name)
        await (_show(output) if sys.stdout.isatty() else _copy(output))


async def _copy(output: OutputFileReference) -> None:
    async for chunk in output.chunks():
        with writing_output():
            sys.stdout.buffer.write(chunk)


async def _show(output: OutputFileReference) -> None:
    clean = TerminalFilter()
    async for chunk in output.chunks():
        with writing_output():
            sys.stdout.write(clean.feed(chunk))
    with writing_output():
        sys.stdout.write(clean.feed(b"", last=True))
