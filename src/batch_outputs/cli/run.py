"""`run`: a program wrapped, so that what it writes and makes is kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from batch_outputs.cli.options import Where, flush_interval_option, where_options
from batch_outputs.cli.talk import counted, say, say_where, sentences, size_text
from batch_outputs.runner.plan import FLUSH_INTERVAL, FLUSH_TIMEOUT, RunPlan
from batch_outputs.runner.program import CannotStartError, Program
from batch_outputs.runner.spool import Spool
from batch_outputs.settings import current_folder

if TYPE_CHECKING:
    from batch_outputs.runner.attend import RunResult

NOT_SAVED = 125


@click.command(
    "run",
    short_help="Run a program, keep its output and its files.",
    context_settings={"allow_interspersed_args": False},
)
@click.argument("command", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--save", "saves", multiple=True, metavar="[KIND=]PATTERN", help="Save matching files when the program has ended."
)
@flush_interval_option("streams", FLUSH_INTERVAL)
@click.option(
    "--flush-timeout",
    type=click.FloatRange(min=0),
    default=FLUSH_TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="How long to try at the end while nothing moves.",
)
@click.option("--best-effort", is_flag=True, help="Return 0 for a program that did, even if something was not saved.")
@where_options()
def run_command(
    command: tuple[str, ...],
    saves: tuple[str, ...],
    flush_interval: float,
    flush_timeout: float,
    best_effort: bool,
    where: Where,
) -> int:
    """Run a program, keep its output and its files, and return its exit code.

    \b
    batch-outputs run -- python train.py
    batch-outputs run --save '*.mp4' --save 'TaskPreview=thumbs/**/*.png' -- ffmpeg -i in.mov out.mp4

    Its stdout and stderr come through as they are, and are saved as they grow: $TaskLog/stdout.txt and
    $TaskLog/stderr.txt. Patterns follow the rules of Batch's upload rules; without a kind, files are TaskOutput.

    The exit code is the program's own; 128+n if signal n ended it; 126 if it is not executable; 127 if it was not
    found; 125 if the options are wrong or storage is not configured, and if the program ended with 0 but something
    could not be saved.
    """
    _keep_standard_descriptors()
    plan = RunPlan.make(
        command,
        where.target(),
        job=where.job,
        task=where.task,
        saves=saves,
        flush_interval=flush_interval,
        flush_timeout=flush_timeout,
        best_effort=best_effort,
    )
    spool = Spool.create(plan.environment.working_dir or current_folder())
    program = Program()
    try:
        program.start(plan.command, spool)
    except CannotStartError as error:
        spool.remove()
        say(str(error))
        return error.exit_code
    say_where(plan.location.place, embedded=plan.target.embedded)
    try:
        return _attend(plan, program, spool)
    except Exception as error:
        # Whatever breaks in us, the program is left to its end, which is what counts.
        for sentence in sentences(error):
            say(f"{sentence} The program runs on; its output is kept in {spool.folder}.")
        return _our_code(program.wait(), plan)


def _attend(plan: RunPlan, program: Program, spool: Spool) -> int:
    import asyncio  # everything heavy comes after the program's start

    from batch_outputs.cli.warnings import show_warnings
    from batch_outputs.runner.attend import attend

    show_warnings()
    result = asyncio.run(attend(plan, program, spool))
    code = _our_code(result.exit_code, plan) if result.failures else result.exit_code
    _summarise(result, plan, spool, code)
    return code


def _our_code(exit_code: int, plan: RunPlan) -> int:
    """What to return when something was not saved: a failure of the program's own is never hidden by ours."""
    return NOT_SAVED if exit_code == 0 and not plan.best_effort else exit_code


def _summarise(result: RunResult, plan: RunPlan, spool: Spool, code: int) -> None:
    size = sum(output.size or 0 for output in result.saved)
    logs = sum(log.size or 0 for log in result.logs)
    for missing in result.unmatched:
        say(str(missing))
    # Both streams usually fail for one reason, which is said once.
    for sentence in dict.fromkeys(sentence for failure in result.failures for sentence in sentences(failure)):
        say(sentence)
    if not result.all_logs_complete:
        say(f"the program's output is kept in {spool.folder}.")
    verdict = "" if code == result.exit_code else f", and this run ends with {code}, as not everything is saved"
    files = f"{counted(len(result.saved), 'file')} ({size_text(size)}) and " if plan.rules else ""
    say(
        f"saved {files}{counted(len(result.logs), 'log')} ({size_text(logs)}) of task {plan.task_id}; "
        f"the program ended with {result.exit_code}{verdict}."
    )


def _keep_standard_descriptors() -> None:
    """Where stdin, stdout or stderr is closed, take its number, lest a file of ours gets it and is written to."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
