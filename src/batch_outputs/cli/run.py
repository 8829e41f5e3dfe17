"""`run`: a program wrapped, so that what it writes and makes is kept."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from typing import Any

import click

from batch_outputs.cli.help_page import argument, options_under
from batch_outputs.cli.options import (
    Seconds,
    Where,
    flush_interval_option,
    flush_timeout_option,
    not_empty,
    where_options,
)
from batch_outputs.cli.ordered import OrderedCommand, rules_in_order
from batch_outputs.cli.talk import say_without_waiting
from batch_outputs.runner.defaults import FLUSH_INTERVAL, GRACE, STREAMS
from batch_outputs.runner.rules import WHENS, CheckpointRule

_file_option = options_under("Files to save when the program has ended")
_checkpoint_option = options_under("Checkpoints")
_output_option = options_under("The program's output")
_end_option = options_under("The end of the program, and of the node")
_outcome_option = options_under("The exit code, and the report")


def _signal(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """The signal of a name such as `USR1` or `SIGUSR1`."""
    if value is None:
        return None
    name = value.upper()
    try:
        return int(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except KeyError:
        raise click.BadParameter(f"there is no signal {value}; name one such as TERM or USR1.") from None


@click.command("run", cls=OrderedCommand, context_settings={"allow_interspersed_args": False})
@argument(
    "command",
    metavar="-- COMMAND...",
    nargs=-1,
    required=True,
    type=click.UNPROCESSED,
    help="The program and its arguments, as they are.",
)
@_file_option(
    "--save",
    "saves",
    multiple=True,
    metavar="[KIND=]PATTERN",
    help="Save the files that match; without a kind as TaskOutput.",
)
@_file_option(
    "--as",
    "names",
    multiple=True,
    metavar="NAME",
    show_default="the path",
    help="For the --save before it: the name of the file or, for a pattern, the folder that names begin with.",
)
@_file_option(
    "--when",
    "whens",
    multiple=True,
    type=click.Choice(WHENS),
    show_default="completion",
    help="For the --save before it: only after exit code 0, only after another one, or after both.",
)
@_file_option("--require", "requires", count=True, help="For the --save before it: it is a failure if no file matches.")
@_checkpoint_option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="[KIND=]PATTERN",
    help="Save the files that match each time they have changed; without a kind as TaskIntermediate.",
)
@_checkpoint_option(
    "--restore",
    "restores",
    multiple=True,
    metavar="[KIND=]PATTERN",
    help="Bring back the checkpoints that match before the program starts.",
)
@_checkpoint_option(
    "--newest",
    "newests",
    multiple=True,
    type=click.IntRange(min=1),
    metavar="N",
    show_default="all",
    help="For the --restore before it: only the N newest of the files that match.",
)
@_output_option(
    "--stdout",
    type=click.Choice(["log", "direct"]),
    default="log",
    show_default=True,
    help="log: save it as it grows; direct: let it through, and save nothing.",
)
@_output_option(
    "--stderr", type=click.Choice(["log", "direct"]), default="log", show_default=True, help="The same for stderr."
)
@_output_option(
    "--per-node",
    is_flag=True,
    show_default="only in subtasks of a multi-instance task",
    help="Save logs below the node's id, for a task that runs on several nodes.",
)
@_output_option(
    "--spool",
    metavar="DIR",
    callback=not_empty,
    show_default="the working directory",
    help="Where output is kept on the disk until it is saved, in the folder .batch-outputs there.",
)
@_end_option(
    "--grace",
    type=Seconds(min=0),
    default=GRACE,
    show_default=True,
    metavar="SECONDS",
    help="Time that the program has to end by itself after SIGTERM or SIGINT, before it is killed.",
)
@_end_option(
    "--watch-preemption/--no-watch-preemption",
    default=None,
    show_default="on spot nodes",
    help="Whether to listen for the announcement of the node's end, and save at once when it comes.",
)
@_end_option(
    "--preempt-signal",
    metavar="NAME",
    callback=_signal,
    show_default="none",
    help="The signal, such as USR1, that the program is sent when the node's end is announced.",
)
@flush_interval_option("logs", FLUSH_INTERVAL)
@flush_timeout_option
@_outcome_option(
    "--best-effort",
    is_flag=True,
    help="Start the program even if checkpoints cannot be restored, and return its 0 even if something is not saved.",
)
@_outcome_option(
    "--report",
    metavar="FILE",
    callback=not_empty,
    show_default="none",
    help="Write what came of it to a file, as JSON.",
)
@where_options()
@click.pass_context
def run_command(
    context: click.Context,
    /,
    command: tuple[str, ...],
    stdout: str,
    stderr: str,
    report: str | None,
    best_effort: bool,
    where: Where,
    **options: Any,
) -> int:
    """Run a program, keep its output and its files, and return its exit code.

    \b
    batch-outputs run -- python train.py
    batch-outputs run --save '*.mp4' --save 'TaskPreview=thumbs/**/*.png' -- ffmpeg -i in.mov out.mp4
    batch-outputs run --save core --as crash/core --when failure -- python train.py
    batch-outputs run --restore '*.ckpt' --checkpoint '*.ckpt' -- python train.py

    Its stdout and stderr come through as they are, and are saved as they grow, as $TaskLog/stdout.txt and
    $TaskLog/stderr.txt. Patterns follow the rules of Batch's upload rules: *, **, ?, [abc], [!abc]. Put them in
    quotes, so that the shell leaves them alone.

    The exit code is the program's own; 128+n if signal n ended it; 126 if it cannot be executed; 127 if it was not
    found; 125 if it was not started, because options are wrong, storage is not configured or checkpoints cannot be
    restored, and if it ended with 0 but something could not be saved.
    """
    from batch_outputs.cli.wrapping import Wrapping
    from batch_outputs.runner.plan import RunPlan

    _keep_standard_descriptors()
    if sys.platform != "win32" and os.getpid() == 1:
        from batch_outputs.runner.init_posix import serve_as_init

        serve_as_init()
    say_without_waiting()
    saves, restores = rules_in_order(context, options)
    plan = replace(
        RunPlan.make(command, where.target(), job=where.job, task=where.task),
        saves=saves,
        checkpoints=tuple(map(CheckpointRule.parse, options["checkpoints"])),
        restores=restores,
        direct=frozenset(stream for stream, how in zip(STREAMS, (stdout, stderr), strict=True) if how == "direct"),
        per_node=options["per_node"] or None,
        flush_interval=options["flush_interval"],
        flush_timeout=options["flush_timeout"],
        grace=options["grace"],
        spool=options["spool"],
        watch_preemption=options["watch_preemption"],
        preempt_signal=options["preempt_signal"],
    )
    return Wrapping(plan, report=report, best_effort=best_effort).run()


def _keep_standard_descriptors() -> None:
    """Where stdin, stdout or stderr is closed, take its number, lest a file of ours gets it and is written to."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
