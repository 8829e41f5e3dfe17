"""`cat`: one output to standard output."""

from __future__ import annotations

from batch_outputs.cli.help_page import Decorator, argument, command
from batch_outputs.cli.options import Where, run_async, where_options
from batch_outputs.cli.outlet import Outlet

name_argument: Decorator = argument(
    "name", metavar="NAME", help="A path, a kind and a path (TaskLog/stdout.txt), or a whole name as list shows it."
)
"""The argument that names one output."""


@command("cat")
@name_argument
@where_options()
def cat_command(name: str, where: Where) -> None:
    """Write an output to standard output.

    \b
    batch-outputs cat --job render-2026 --task t1 stdout.txt
    batch-outputs cat --job render-2026 --task t1 TaskOutput/frames/0001.png > 0001.png
    batch-outputs cat --job render-2026 JobOutput/summary.json

    A path alone is looked for among the task's logs and other outputs, and among the job's own; one that is found twice
    is an error. To a file or pipe the bytes are written as they are; to a terminal, without control codes other than
    colours.
    """
    with Outlet() as outlet:
        run_async(_cat(name, where, outlet))


async def _cat(name: str, where: Where, outlet: Outlet) -> None:
    from batch_outputs.finding import find

    async with where.job_to_read() as job:
        output = await find(job, task_to_read(where), name)
        async for chunk in output.chunks():
            outlet.write(chunk)


def task_to_read(where: Where) -> str | None:
    """The task whose outputs a name may mean; None where none is said."""
    from batch_outputs.environment import TaskEnvironment
    from batch_outputs.settings import EMBEDDED_TASK

    task = where.task or TaskEnvironment.from_environ().task_id
    if task is None and where.target().embedded:
        return EMBEDDED_TASK
    return task
