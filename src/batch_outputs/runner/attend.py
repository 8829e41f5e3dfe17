"""Attending a running program: its streams saved and passed on, its files saved at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field

import anyio

from batch_outputs.errors import LogNotSavedError, SourceNotFoundError, StoreUnavailableError
from batch_outputs.kinds import JobOutputKind, TaskOutputKind
from batch_outputs.output_storage import SaveProgress
from batch_outputs.outputs import OutputFileReference
from batch_outputs.runner.echo import Echo
from batch_outputs.runner.plan import RunPlan, SaveRule
from batch_outputs.runner.program import Program
from batch_outputs.runner.spool import STREAMS, Spool
from batch_outputs.storage import JobOutputStorage, TaskOutputStorage

logger = logging.getLogger("batch_outputs.runner")

_PAUSE_AFTER_REFUSAL = 60.0
_PAUSE_IN_AN_OUTAGE = 1.0


@dataclass(slots=True)
class RunResult:
    """What came of a run: the program's own exit code, what is stored, and what could not be."""

    exit_code: int
    logs: list[OutputFileReference] = field(default_factory=list)
    saved: list[OutputFileReference] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    unmatched: list[SourceNotFoundError] = field(default_factory=list)

    @property
    def all_logs_complete(self) -> bool:
        """Whether both streams are stored to their end and marked so."""
        return len(self.logs) == len(STREAMS) and all(log.complete for log in self.logs)


async def attend(plan: RunPlan, program: Program, spool: Spool) -> RunResult:
    """Stay with a started program until it has ended and what it made is stored, or cannot be.

    The spool is removed if the logs are complete in storage, else it is what is left of them.
    """
    echoes = [Echo(spool.path(stream), descriptor) for stream, descriptor in zip(STREAMS, (1, 2), strict=True)]
    result = RunResult(exit_code=0)
    ended = asyncio.Event()
    async with (
        JobOutputStorage.at(plan.target, job_id=plan.job_id, environment=plan.environment) as job,
        anyio.create_task_group() as group,
    ):
        task = job.task(plan.task_id)
        for stream in STREAMS:
            group.start_soon(_follow, task, plan, program, spool.path(stream), stream, ended, result)
        result.exit_code = await asyncio.to_thread(program.wait)
        ended.set()
        for echo in echoes:
            group.start_soon(asyncio.to_thread, echo.finish)
        for rule in plan.rules:
            storage = job if isinstance(rule.kind, JobOutputKind) else task
            await _save_files(storage, rule, plan.patience(program), result)
    if result.all_logs_complete:
        spool.remove()
    return result


async def _follow(
    storage: TaskOutputStorage,
    plan: RunPlan,
    program: Program,
    path: str,
    name: str,
    ended: asyncio.Event,
    result: RunResult,
) -> None:
    """Save one of the program's streams as it grows. Whatever happens to that, the program goes on.

    A store that refuses (a role that is not in effect yet, a container that is still to be made) is tried again now and
    then, and for a last time when the program has ended: the spool has everything.
    """
    while True:
        last_try = ended.is_set()
        try:
            async with storage.save_tracked(
                TaskOutputKind.TASK_LOG, path, name, flush_interval=plan.flush_interval, settle=0
            ) as tracked:
                await ended.wait()
                tracked.exit_code = result.exit_code
                tracked.flush_timeout = plan.patience(program)
            result.logs.append(tracked.output)
        except Exception as error:
            if last_try or isinstance(error, LogNotSavedError):
                result.failures.append(error)
                return
            logger.warning("The program runs on, but its %s is not saved at present: %s", name, error)
        else:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _PAUSE_AFTER_REFUSAL)


async def _save_files(
    storage: TaskOutputStorage | JobOutputStorage, rule: SaveRule, patience: float, result: RunResult
) -> None:
    """Save the files that a rule names; while the store does not answer, again and again for `patience` seconds."""
    saved: dict[str, OutputFileReference] = {}

    def note(progress: SaveProgress) -> None:
        saved[progress.output.blob_name] = progress.output

    had, deadline = 0, time.monotonic() + patience
    while True:
        failures: list[Exception] = []
        try:
            await storage.save_all(rule.kind, rule.pattern, on_progress=note)
        except* SourceNotFoundError as missing:
            result.unmatched.extend(error for error in missing.exceptions if isinstance(error, SourceNotFoundError))
        except* Exception as errors:
            failures.extend(errors.exceptions)
        if len(saved) > had:
            had, deadline = len(saved), time.monotonic() + patience
        outage = any(isinstance(failure, StoreUnavailableError) for failure in failures)
        if not outage or time.monotonic() >= deadline:
            break
        await asyncio.sleep(_PAUSE_IN_AN_OUTAGE)
    result.saved.extend(saved.values())
    result.failures.extend(failures)
