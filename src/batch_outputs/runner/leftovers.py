"""Finishing what runs that were killed, or had no more time, have left unsaved."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from batch_outputs.errors import (
    BatchOutputsError,
    BlobNotFoundError,
    ConfigurationError,
    ContainerNotFoundError,
    StoreUnavailableError,
    TargetError,
)
from batch_outputs.location import DirectoryAccount
from batch_outputs.marks import LogMarks
from batch_outputs.names import beside, parse_blob_name
from batch_outputs.outputs import OutputFileReference
from batch_outputs.runner.budget import Budget
from batch_outputs.runner.checkpoints import Checkpoints
from batch_outputs.runner.record import RunRecord
from batch_outputs.runner.result import RunResult
from batch_outputs.runner.saving import save_by_rules
from batch_outputs.runner.spool import Spool, left_behind
from batch_outputs.runner.streams import in_time
from batch_outputs.runner.uploads import Uploads
from batch_outputs.settings import Target, container_target
from batch_outputs.storage import JobOutputStorage

logger: logging.Logger = logging.getLogger("batch_outputs.runner")


class StillRunningError(BatchOutputsError):
    """The program of an earlier run still runs, so that its output is not to be finished yet."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A run that nobody looks after any more, held by us: its spool, and what is written down of it."""

    spool: Spool
    record: RunRecord


def take(folder: str) -> list[Leftover | BatchOutputsError]:
    """The runs in this folder that ended without us, oldest first, and an error for each that cannot be finished.

    Runs that somebody looks after are left out. An error is a `StillRunningError` for a program that runs without its
    wrapper.
    """
    found: list[Leftover | BatchOutputsError] = []
    for path in left_behind(folder):
        if (spool := Spool.take(path)) is None:
            continue
        try:
            record = RunRecord.read(spool)
            if record.program_lives(spool):
                raise StillRunningError(
                    f"Process {record.pid or 'unknown'}, whose wrapper has ended without it, still runs and writes to "
                    f"{path}; when it has ended, batch-outputs resume saves the rest."
                )
        except BatchOutputsError as error:
            spool.release()
            found.append(error)
        else:
            found.append(Leftover(spool, record))
    return found


async def finish_all(folder: str, configured: Target, budget: Budget, result: RunResult) -> None:
    """Save the rest of all logs of earlier runs in this folder; what cannot be saved is said, and left."""
    budget.begin()

    async def finish_one(leftover: Leftover) -> None:
        past = RunResult()
        await finish(leftover, configured, budget, past, files=False)
        result.recovered += past.recovered
        for failure in past.failures:
            logger.warning("What an earlier run left in %s is not saved: %s", leftover.spool.folder, failure)

    for error in await _for_each_in(folder, finish_one):
        logger.warning("%s", error)


async def save_checkpoints_of(folder: str, configured: Target) -> None:
    """Store the checkpoints that earlier runs in this folder had no time for, as they are about to be restored.

    Only of a program that is known to have ended by itself: of any other, they may be half-written.
    """

    async def save_one(leftover: Leftover) -> None:
        record = leftover.record
        if not (record.by_itself and record.checkpoints and _is_current(record.folder)):
            return
        target, result = _target(record, configured), RunResult()
        async with JobOutputStorage.at(target, job_id=record.job_id, environment=record.environment) as job:
            uploads = Uploads.of(job, job.task(record.task_id), target, record.environment)
            await Checkpoints(record.checkpoints, uploads, result).finish(by_itself=True)

    await _for_each_in(folder, save_one)  # what is wrong is told when the logs are finished


async def _for_each_in(folder: str, action: Callable[[Leftover], Coroutine[Any, Any, None]]) -> list[Exception]:
    """Do something for each run that was left in a folder; what went wrong. All are given back in the end."""
    errors: list[Exception] = []
    found = await asyncio.to_thread(take, folder)
    try:
        for leftover in found:
            if not isinstance(leftover, Leftover):
                errors.append(leftover)
                continue
            try:
                await action(leftover)
            except Exception as error:
                errors.append(error)
    finally:
        for leftover in found:
            if isinstance(leftover, Leftover):
                leftover.spool.release()
    return errors


async def finish(leftover: Leftover, configured: Target, budget: Budget, result: RunResult, *, files: bool) -> None:
    """Save the rest of a run's logs, and its files if wanted. The spool goes if all could be saved.

    Files are looked for relative to the current directory, which has to be that of the run.
    """
    record, spool = leftover.record, leftover.spool
    before = len(result.failures)
    try:
        target = _target(record, configured)
        async with JobOutputStorage.at(target, job_id=record.job_id, environment=record.environment) as job:
            for stream in record.logs:
                try:
                    result.recovered.append(await _finish_log(leftover, stream, job, budget))
                except Exception as error:
                    result.failures.append(error)
            if files:
                await _save_files(leftover, job, target, budget, result)
    except BatchOutputsError as error:
        result.failures.append(error)
    if len(result.failures) > before:
        spool.release()
    else:
        spool.remove()


async def _save_files(
    leftover: Leftover, job: JobOutputStorage, target: Target, budget: Budget, result: RunResult
) -> None:
    record = leftover.record
    if (record.saves or record.checkpoints) and not _is_current(record.folder):
        raise TargetError(
            f"The folder {record.folder} is gone, and with it the files that the run was to save; remove "
            f"{leftover.spool.folder} if they are not to be had any more.",
            path=record.folder,
        )
    uploads = Uploads.of(job, job.task(record.task_id), target, record.environment)
    if record.checkpoints and not record.by_itself:
        logger.warning("It is not known whether the checkpoints on the disk are whole, so they are left as they are.")

    async def save() -> None:
        if record.by_itself:
            await Checkpoints(record.checkpoints, uploads, result).finish(by_itself=True)
        await save_by_rules(record.saves, record.exit_code, uploads, result)

    try:
        await budget.spend_on(save())
    except TimeoutError:
        result.failures += uploads.not_in_time()


def _is_current(folder: str) -> bool:
    """Whether this is the current directory."""
    return os.path.realpath(folder) == os.path.realpath(os.curdir)


def _target(record: RunRecord, configured: Target) -> Target:
    """Where the run's outputs go, with the access that is configured now.

    A record might be anybody's: no credential is sent to a place that the environment does not name.
    """
    recorded = container_target(record.container_url)
    here = configured._replace(container=recorded.container)
    if here.location(record.job_id).url == record.container_url:
        return here
    if isinstance(recorded.account, DirectoryAccount):
        return recorded._replace(embedded=record.embedded)
    raise ConfigurationError(
        f"The outputs of the run go to {recorded.location(None).place}, and something else is configured; set "
        "BATCH_OUTPUTS_CONTAINER_URL to that container, or name it by --container-url."
    )


async def _finish_log(leftover: Leftover, stream: str, job: JobOutputStorage, budget: Budget) -> OutputFileReference:
    """Save the rest of one stream where the run has begun to, unless another attempt has that name by now."""
    record = leftover.record
    output = record.output(stream)
    name = output.name
    task = job.task(record.task_id)
    for blob_name in (output.blob_name, beside(output.blob_name, f"attempt-{record.attempt}")):
        parsed = parse_blob_name(blob_name)
        name = parsed.name if parsed else name
        try:
            found = await budget.spend_on(task.get_output(output.kind, name).refresh())
        except (BlobNotFoundError, ContainerNotFoundError):
            break  # nothing of it is stored
        except TimeoutError:
            raise StoreUnavailableError(f"{job.place} gave no answer in time.", place=job.place) from None
        if LogMarks.from_metadata(found.metadata or {}).attempt == record.attempt:
            if found.complete:
                return found
            break
    saving = task.save_tracked(
        output.kind,
        leftover.spool.path(stream),
        name,
        flush_interval=1.0,
        settle=0,
        per_node=False,
        attempt=record.attempt,
    )
    async with in_time(saving, budget, job.place) as tracked:
        tracked.exit_code = record.exit_code
        budget.add(tracked)
    return tracked.output
