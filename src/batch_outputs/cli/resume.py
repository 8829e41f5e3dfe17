"""`resume`: what runs that were killed, or had no more time, have left on the disk."""

from __future__ import annotations

import contextlib
import os

from batch_outputs.cli.codes import FAILURE
from batch_outputs.cli.help_page import argument, command
from batch_outputs.cli.options import Where, flush_timeout_option, run_async, where_options
from batch_outputs.cli.talk import say, sentences
from batch_outputs.errors import TargetError
from batch_outputs.wording import counted, size_text


@command("resume")
@argument(
    "folder",
    metavar="[DIR]",
    default=".",
    help="The working directory of the run, its --spool DIR, or one of the folders in .batch-outputs there.",
)
@flush_timeout_option
@where_options(job=False, task=False)
def resume_command(folder: str, flush_timeout: float | None, where: Where) -> int:
    """Finish what a killed run has left unsaved, or one that had no more time.

    \b
    batch-outputs resume
    batch-outputs resume task-1/wd

    The logs are completed and marked, and files are saved as --save said, for the job and task of the run. A program
    that still runs, without the run that started it, is left alone.

    The exit code is 0 when nothing is left unsaved, and 125 otherwise.
    """
    from batch_outputs.runner.budget import Budget
    from batch_outputs.runner.leftovers import Leftover, finish, take
    from batch_outputs.runner.result import RunResult

    if not os.path.isdir(folder):
        raise TargetError(f"There is no folder {folder}; name the working directory of the run.", path=folder)
    configured = where.target()
    found = take(folder)
    result = RunResult()

    async def work() -> None:
        budget = Budget(flush_timeout)
        budget.begin()
        for leftover in found:
            if isinstance(leftover, Leftover):
                say(f"finishing the run of task {leftover.record.task_id} in {leftover.spool.folder}.")
                with contextlib.suppress(OSError):  # it is gone, which matters if there were files to save
                    os.chdir(leftover.record.folder)
                await finish(leftover, configured, budget, result, files=True)
            else:
                result.failures.append(leftover)

    if not found:
        say(f"there is nothing to resume in {os.path.abspath(folder)}.")
        return 0
    run_async(work())
    errors = (*result.unmatched, *result.failures)
    for sentence in dict.fromkeys(sentence for error in errors for sentence in sentences(error)):
        say(sentence)
    saved = [*result.saved, *result.checkpoints]
    if result.recovered or saved:
        logs, files = (sum(output.size or 0 for output in outputs) for outputs in (result.recovered, saved))
        say(
            f"finished {counted(len(result.recovered), 'log')} ({size_text(logs)}) and saved "
            f"{counted(len(saved), 'file')} ({size_text(files)})."
        )
    return FAILURE if result.failures else 0
