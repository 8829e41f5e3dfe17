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
from batch_outputs.runner.plan import RunPlan
from batch_outputs.runner.result import RunResult
from batch_outputs.runner.rules import RestoreRule
from batch_outputs.runner.spool import REPLACED
from batch_outputs.runner.uploads import Uploads
from batch_outputs.sources import OWN_FOLDER, pattern_here
from batch_outputs.storage import JobOutputStorage
from batch_outputs.target_guard import refuse_links
from batch_outputs.transfer import for_each

logger: logging.Logger = logging.getLogger("batch_outputs.runner")

MTIME = "lastmodified"
"""Metadata of a checkpoint: its file's time of modification in seconds since 1970, as text."""

_AT_ONCE = 4
_PAUSE_IN_AN_OUTAGE = 2.0


def mtime_metadata(status: os.stat_result) -> dict[str, str]:
    """The metadata that keeps a file's time of modification."""
    return {MTIME: f"{status.st_mtime_ns // 10**9}.{status.st_mtime_ns % 10**9:09d}"}


async def restore(plan: RunPlan, job: JobOutputStorage, uploads: Uploads, result: RunResult) -> None:
    """Bring back what the rules name, each file whole; a file of that name on the disk makes room.

    A store that does not answer is waited for, until nothing has come for 600 s.

    Raises:
        ExceptionGroup, BatchOutputsError: something could not be brought back; one error for each.
    """
    aside = os.path.join(plan.folder, OWN_FOLDER, REPLACED)
    for rule in plan.restores:
        restored: dict[str, OutputFileReference] = {}
        had, since = 0, time.monotonic()
        while True:
            try:
                await _restore(rule, uploads, restored, aside, embedded=plan.target.embedded)
                break
            except (StoreUnavailableError, ExceptionGroup) as error:
                if len(restored) > had:
                    had, since = len(restored), time.monotonic()
                outage = _outage_in(error)
                if outage is None or time.monotonic() - since >= FLUSH_TIMEOUT:
                    raise
                logger.warning("Not everything can be restored at present: %s", outage)
            await asyncio.sleep(_PAUSE_IN_AN_OUTAGE)
        result.restored += restored.values()
        if not restored:
            what = f"Nothing that matches {rule.pattern} is stored as {rule.kind} in {job.place}"
            result.unmatched.append(SourceNotFoundError(f"{what}, so nothing is restored.", path=rule.pattern))


def _outage_in(error: Exception) -> BaseException | None:
    """What the store did not answer, if that is all that is the matter."""
    if not isinstance(error, ExceptionGroup):
        return error
    outages, others = error.split(StoreUnavailableError)
    return outages.exceptions[0] if outages is not None and others is None else None


async def _restore(
    rule: RestoreRule, uploads: Uploads, restored: dict[str, OutputFileReference], aside: str, *, embedded: bool
) -> None:
    """Bring back what a rule names, adding each file to `restored`."""
    try:
        base, wanted = await _wanted(rule, uploads)
    except ContainerNotFoundError:
        if embedded:
            return  # there the container comes with the first output
        raise

    async def bring_back(output: OutputFileReference) -> None:
        if output.blob_name not in restored:
            restored[output.blob_name] = await _bring_back(output, base, aside)

    results = await for_each(wanted, bring_back, at_once=_AT_ONCE)
    if failures := [one for one in results if isinstance(one, Exception)]:
        raise ExceptionGroup(f"{len(failures)} of {len(results)} files could not be restored", failures)


async def _wanted(rule: RestoreRule, uploads: Uploads) -> tuple[str, Sequence[OutputFileReference]]:
    """What is to be brought back, and the folder before the rule's first wildcard."""
    storage = uploads.storage(rule.kind)
    pattern = pattern_here(rule.pattern)
    if pattern.is_literal:
        base = os.path.dirname(pattern.base)
        try:
            return base, [await storage.get_output(rule.kind, pattern.base).refresh()]
        except BlobNotFoundError:
            return base, []
    found = [output async for output in storage.list_outputs(rule.kind) if pattern.matches_name(output.name)]
    if rule.newest is not None:
        found.sort(key=mtime_ns, reverse=True)
    return pattern.base, found[: rule.newest]


def mtime_ns(output: OutputFileReference) -> int:
    """The time of modification that the file has when it is brought back, in nanoseconds since 1970."""
    seconds, _, fraction = ((output.metadata or {}).get(MTIME) or "").partition(".")
    if seconds.isascii() and seconds.isdigit() and (not fraction or (fraction.isascii() and fraction.isdigit())):
        return int(seconds) * 10**9 + int(fraction[:9].ljust(9, "0"))
    return int(output.last_modified.timestamp()) * 10**9 if output.last_modified else 0


async def _bring_back(output: OutputFileReference, base: str, aside: str) -> OutputFileReference:
    path = local_path(output.name)
    mtime = mtime_ns(output)
    there = _status(path)
    if there is not None and (there.st_size, there.st_mtime_ns) == (output.size, mtime):
        return output  # the very file that was saved
    refuse_links(base or os.curdir, path)  # those before the wildcard are the user's own
    if there is not None and there.st_mtime_ns > mtime:
        _move_aside(path, os.path.join(aside, path))
    await output.download(path)
    try:
        os.utime(path, ns=(mtime, mtime))  # programs look for their latest checkpoint by its time
    except OSError as error:
        raise TargetError(f"The time of {path} cannot be set: {error.strerror}.", path=path) from error
    return output


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _move_aside(path: str, aside: str) -> None:
    """Keep a file that is newer than what is stored: it may be half-written, or all that there is of some hours."""
    try:
        os.makedirs(os.path.dirname(aside), mode=0o700, exist_ok=True)
        os.replace(path, aside)
    except OSError as error:
        raise TargetError(
            f"{path} is newer than what is stored and cannot be moved to {aside}: {error.strerror}; move it away.",
            path=path,
        ) from error
    logger.warning("%s is newer than what is stored, and may be half-written; it is kept as %s.", path, aside)
