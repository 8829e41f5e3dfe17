"""`run`, for callers in Python: a program wrapped as by the command `batch-outputs run`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from batch_outputs.runner.attend import attend, bring_back
from batch_outputs.runner.defaults import FLUSH_INTERVAL, GRACE
from batch_outputs.runner.launch import launch
from batch_outputs.runner.plan import RunPlan
from batch_outputs.runner.program import Program
from batch_outputs.runner.result import RunResult
from batch_outputs.runner.rules import CheckpointRule, RestoreRule, SaveRule
from batch_outputs.settings import find_target

if TYPE_CHECKING:
    from batch_outputs.settings import Target


async def run(
    command: Sequence[str],
    *,
    save: Sequence[str | SaveRule] = (),
    checkpoint: Sequence[str | CheckpointRule] = (),
    restore: Sequence[str | RestoreRule] = (),
    job_id: str | None = None,
    task_id: str | None = None,
    target: Target | None = None,
    echo: bool = True,
    per_node: bool | None = None,
    flush_interval: float = FLUSH_INTERVAL,
    flush_timeout: float | None = None,
    grace: float = GRACE,
    watch_preemption: bool | None = None,
    preempt_signal: int | None = None,
) -> RunResult:
    """Run a program, keep its output and its files, and return what came of it.

        result = await run(["ffmpeg", "-i", "in.mov", "out.mp4"], save=["*.mp4"])
        sys.exit(result.exit_code)

    On the main thread, signals that come to this process while the program runs are passed on to it, as by the command.
    Cancelled, the program is asked to end, killed after `grace` seconds, and what it leaves is saved all the same.

    Args:
        command: The program and its arguments; no shell is involved.
        save: Files to save when it has ended, each `[KIND=]PATTERN` or a `SaveRule`.
        checkpoint: Files to save each time they have changed and settled, each `[KIND=]PATTERN`, TaskIntermediate
            unless the kind is written.
        restore: Stored files to bring back before it starts, each `[KIND=]PATTERN` or a `RestoreRule`.
        job_id: By default `AZ_BATCH_JOB_ID`.
        task_id: By default `AZ_BATCH_TASK_ID`.
        target: Where outputs go; by default what the environment says (`batch_outputs.settings.find_target`).
        echo: Whether the program's output is passed on to our stdout and stderr as well.
        per_node: Store logs below the node's id. By default only in subtasks of a multi-instance task.
        flush_interval: Seconds between two savings of its output at most.
        flush_timeout: Seconds that saving may take when the program has ended. By default as long as bytes move, and
            600 s without that; 20 s after we were asked to end.
        grace: Seconds between asking the program to end and killing it.
        watch_preemption: Whether to listen for the end of the node. By default only on a spot node.
        preempt_signal: A signal to send to the program when the node's end is announced.

    Raises:
        ConfigurationError, InvalidNameError: something is missing or malformed. Nothing was started.
        CannotStartError: there is no such program, or it is not executable.
        TargetError: there is no room for its output.
        ExceptionGroup: something could not be restored. Nothing was started.
        TypeError: the command is a text.
    """
    if isinstance(command, str | bytes):
        raise TypeError('A command is a list, as ["ls", "-l"]; a line for a shell is ["sh", "-c", line].')
    plan = replace(
        RunPlan.make(command, target or find_target(), job=job_id, task=task_id),
        saves=tuple(rule if isinstance(rule, SaveRule) else SaveRule.parse(rule) for rule in save),
        checkpoints=tuple(
            rule if isinstance(rule, CheckpointRule) else CheckpointRule.parse(rule) for rule in checkpoint
        ),
        restores=tuple(rule if isinstance(rule, RestoreRule) else RestoreRule.parse(rule) for rule in restore),
        per_node=per_node,
        flush_interval=flush_interval,
        flush_timeout=flush_timeout,
        grace=grace,
        watch_preemption=watch_preemption,
        preempt_signal=preempt_signal,
    )
    result = RunResult()
    program = Program(grace=grace)
    if plan.restores:
        await bring_back(plan, result)
    if threading.current_thread() is threading.main_thread():
        program.heed_signals()
    try:
        wrapped = launch(plan, program)
        if echo:
            wrapped.pass_on_output()
        await attend(wrapped, result)
    finally:
        program.close()
    return result
