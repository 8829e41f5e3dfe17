"""Bringing stored files back before the program starts, so that it goes on where an earlier attempt ended."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence

from batch_outputs.errors import (
    BlobNotFoundError,
    ContainerNotFoundError,
    SourceNotFoundError,
    StoreUnavailableError,
    TargetError,
)
from batch_outputs.followed_log import FLUSH_TIMEOUT
from batch_outputs.local_names import local_path
from batch_outputs.outputs import OutputFileReference
from batch_outputs.patterns import Pattern
from batch_outputs.runner.plan import RunPlan
from batch_outputs.runner.result import RunResult
from batch_outputs.runner.rules import RestoreRule
from batch_outputs.runner.uploads import Uploads
from batch_outputs.storage import JobOutputStorage
from batch_outputs.transfer import for_each, refuse_links

logger = logging.getLogger("batch_outputs.runner")

MTIME = "lastmodified"
"""Metadata of a checkpoint: its file's time of modification in seconds since 1970, as text."""

_AT_ONCE = 4
_PAUSE_IN_AN_OUTAGE = 2.0
_WINDOWS = os.name == "nt"


def mtime_metadata(status: os.stat_result) -> dict[str, str]:
    """The metadata that keeps a file's time of modification."""
    return {MTIME: f"{status.st_mtime_ns // 10**9}.{status.st_mtime_ns % 10**9:09d}"}


async def restore(plan: RunPlan, job: JobOutputStorage, uploads: Uploads, result: RunResult) -> None:
    """Bring back what the rules name, each file whole; a file of that name on the disk is replaced.

    A store that does not answer is waited for, for 600 s.

    Raises:
        ExceptionGroup: something could not be brought back; one error for each.
    """
    began = time.monotonic()
    while True:
        try:
            for rule in plan.restores:
                await _restore(rule, uploads, result, embedded=plan.target.embedded, place=job.place)
        except* StoreUnavailableError as outage:
            if time.monotonic() - began >= FLUSH_TIMEOUT:
                raise
            logger.warning("Nothing can be restored at present: %s", outage.exceptions[0])
        else:
            return
        await asyncio.sleep(_PAUSE_IN_AN_OUTAGE)


async def _restore(rule: RestoreRule, uploads: Uploads, result: RunResult, *, embedded: bool, place: str) -> None:
    try:
        wanted = await _wanted(rule, uploads)
    except ContainerNotFoundError:
        if not embedded:
            raise
        wanted = []  # there the container comes with the first output
    if not wanted:
        text = f"Nothing that matches {rule.pattern} is stored as {rule.kind} in {place}, so nothing is restored."
        result.unmatched.append(SourceNotFoundError(text, path=rule.pattern))
        return
    results = await for_each(wanted, _bring_back, at_once=_AT_ONCE)
    result.restored += [one for one in results if isinstance(one, OutputFileReference)]
    if failures := [one for one in results if isinstance(one, Exception)]:
        raise ExceptionGroup(f"{len(failures)} of {len(results)} files could not be restored", failures)


async def _wanted(rule: RestoreRule, uploads: Uploads) -> Sequence[OutputFileReference]:
    storage = uploads.storage(rule.kind)
    pattern = Pattern.parse(rule.pattern, environ=os.environ, windows=_WINDOWS)
    if pattern.is_literal:
        try:
            return [await storage.get_output(rule.kind, pattern.base).refresh()]
        except BlobNotFoundError:
            return []
    found = [output async for output in storage.list_outputs(rule.kind) if pattern.matches_name(output.name)]
    if rule.newest is not None:
        found.sort(key=_age, reverse=True)
    return found[: rule.newest]


def _age(output: OutputFileReference) -> float:
    """The time of modification of the file that was saved, or else of the blob, in seconds since 1970."""
    return mtime_ns(output) / 1e9


def mtime_ns(output: OutputFileReference) -> int:
    """The time of modification that the file has when it is brought back, in nanoseconds since 1970."""
    seconds, _, fraction = ((output.metadata or {}).get(MTIME) or "").partition(".")
    if seconds.isascii() and seconds.isdigit() and (not fraction or (fraction.isascii() and fraction.isdigit())):
        return int(seconds) * 10**9 + int(fraction[:9].ljust(9, "0"))
    return int(output.last_modified.timestamp()) * 10**9 if output.last_modified else 0


async def _bring_back(output: OutputFileReference) -> OutputFileReference:
    path = local_path(output.name)
    mtime = mtime_ns(output)
    try:
        there = os.stat(path)
        if (there.st_size, there.st_mtime_ns) == (output.size, mtime):
            return output  # the very file that was saved
    except OSError:
        pass
    refuse_links(os.curdir, path)
    await output.download(path)
    try:
        os.utime(path, ns=(mtime, mtime))  # programs look for their latest checkpoint by its time
    except OSError as error:
        raise TargetError(f"The time of {path} cannot be set: {error.strerror}.", path=path) from error
    return output
