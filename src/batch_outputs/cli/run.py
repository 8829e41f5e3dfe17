"""`run`: a program wrapped, so that what it writes and makes is kept."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from typing import Any

import click

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


def _signal(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """The signal of a name such as `USR1` or `SIGUSR1`."""
    if value is None:
        return None
    name = value.upper()
    try:
        return int(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except KeyError:
        raise click.BadParameter(f"there is no signal {value}; name one such as TERM or USR1.") from None


@click.command(
    "run",
    cls=OrderedCommand,
    short_help="Run a program, keep its output and its files.",
    context_settings={"allow_interspersed_args": False},
)
@click.argument("command", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--save", "saves", multiple=True, metavar="[KIND=]PATTERN", help="Save matching files when the program has ended."
)
@click.option(
    "--as",
    "names",
    multiple=True,
    metavar="NAME",
    help="The name, or for a pattern the folder of names, for the --save before it.",
)
@click.option(
    "--when",
    "whens",
    multiple=True,
    type=click.Choice(WHENS),
    help="After which end the --save before it is done.  [default: completion]",
)
@click.option("--require", "requires", count=True, help="If the --save before it matches no file, that is an error.")
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="[KIND=]PATTERN",
    help="Save matching files each time they have changed.",
)
@click.option(
    "--restore",
    "restores",
    multiple=True,
    metavar="[KIND=]PATTERN",
    help="Bring matching checkpoints back before the program starts.",
)
@click.option(
    "--newest",
    "newests",
    multiple=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the N newest files of the --restore before it.",
)
@click.option("--report", metavar="FILE", callback=not_empty, help="Write what came of it to a file, as JSON.")
@flush_interval_option("streams", FLUSH_INTERVAL)
@flush_timeout_option
@click.option(
    "--grace",
    type=Seconds(min=0),
    default=GRACE,
    show_default=True,
    metavar="SECONDS",
    help="Time for the program to end by itself when it is asked to.",
)
@click.option("--best-effort", is_flag=True, help="Return 0 for a program that did, even if something was not saved.")
@click.option("--per-node", is_flag=True, help="Save logs below the node's id, if the task runs on several nodes.")
@click.option(
    "--stdout", type=click.Choice(["log", "direct"]), default="log", show_default=True, help="direct: not saved."
)
@click.option(
    "--stderr", type=click.Choice(["log", "direct"]), default="log", show_default=True, help="direct: not saved."
)
@click.option("--spool", metavar="DIR", callback=not_empty, help="Where output waits.  [default: working directory]")
@click.option(
    "--watch-preemption/--no-watch-preemption",
    default=None,
    help="Listen for the end of the node.  [default: on spot nodes]",
)
@click.option(
    "--preempt-signal",
    metavar="NAME",
    callback=_signal,
    help="Send this to the program when the node is to end.",
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

    Its stdout and stderr come through as they are, and are saved as they grow: $TaskLog/stdout.txt and
    $TaskLog/stderr.txt. Patterns follow the rules of Batch's upload rules; without a kind, files are TaskOutput, and
    checkpoints TaskIntermediate.

    The exit code is the program's own; 128+n if signal n ended it; 126 if it is not executable; 127 if it was not
    found; 125 if the options are wrong or storage is not configured, and if the program ended with 0 but something
    could not be saved.
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
