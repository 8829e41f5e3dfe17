"""Deleting many outputs: what is asked for is looked for, judged and deleted a batch at a time, in bounded memory.

A log is judged and deleted as a whole, with all its parts: its first part may be weeks old while its last one grows.
What was judged is what is deleted: an output that changes in between is judged again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from batch_outputs.deleting import delete_stored, first_of
from batch_outputs.errors import AccessDeniedError, BlobChangedError, BlobNotFoundError
from batch_outputs.log_parts import goes_on_with_log
from batch_outputs.names import parse_blob_name
from batch_outputs.output_state import is_recent
from batch_outputs.outputs import OutputFileReference
from batch_outputs.selection import Wanted, select_wanted
from batch_outputs.storage import JobOutputStorage
from batch_outputs.stored import Stored, with_parts
from batch_outputs.stores.base import Store
from batch_outputs.transfer import for_each

_BATCH = 256
_TRIES = 3
"""How often an output that changes under our hands is judged."""
_NAMED = 10
"""How many outputs are named, where all are counted."""
MOST_FAILURES = 100
"""After so many the rest is left, and no more of them are said."""

_Verdict: TypeAlias = Literal["delete", "growing", "part", "pass"]


@dataclass(slots=True)
class Cleared:
    """What was deleted, or would be: how many outputs, their bytes, and how many of them are logs without an end.

    `names` are the first few of them. `growing` counts the logs that were left as they grow still, `growing_names` are
    the first few; `parts` counts the later parts of logs that were asked for without their log, and left. `failures`
    has an error for each output that could not be deleted. `newest` is when the last of all was changed.
    """

    files: int = 0
    size: int = 0
    without_end: int = 0
    names: list[str] = field(default_factory=list)
    growing: int = 0
    growing_names: list[str] = field(default_factory=list)
    parts: int = 0
    failures: list[Exception] = field(default_factory=list)
    newest: datetime | None = None

    @property
    def has_failed(self) -> bool:
        """Whether it is of no use to go on: something is not allowed, and all would fail alike, or too much fails."""
        return len(self.failures) >= MOST_FAILURES or self._denied is not None

    @property
    def failures_to_tell(self) -> list[Exception]:
        """The failures that are worth a sentence each: of refusals of the access the first, and not too many."""
        others = [failure for failure in self.failures if not isinstance(failure, AccessDeniedError)]
        return ([] if self._denied is None else [self._denied]) + others[:MOST_FAILURES]

    @property
    def _denied(self) -> AccessDeniedError | None:
        return next((failure for failure in self.failures if isinstance(failure, AccessDeniedError)), None)

    def add(self, name: str, stored: Stored) -> None:
        """Count one more."""
        self.files += 1
        self.size += stored.size
        self.without_end += not stored.complete
        if len(self.names) < _NAMED:
            self.names.append(name)
        self.newest = max(filter(None, [self.newest, stored.last_modified]))

    def leave(self, name: str, verdict: _Verdict) -> None:
        """Count one that is left."""
        if verdict == "part":
            self.parts += 1
        elif verdict == "growing":
            self.growing += 1
            if len(self.growing_names) < _NAMED:
                self.growing_names.append(name)


class Clearing:
    """What is to be deleted of a job.

    `growing`: logs that still grow, too. `until`: of what has not changed since; growing logs do that, and are excepted
    where they are asked for.
    """

    def __init__(
        self, job: JobOutputStorage, wanted: Wanted, *, growing: bool = False, until: datetime | None = None
    ) -> None:
        self._job = job
        self._wanted = wanted
        self._growing = growing
        self._until = until

    async def look(self, cleared: Cleared) -> AsyncIterator[OutputFileReference]:
        """What would be deleted, counted as it comes; a log with the size of all its parts.

        Raises:
            ContainerNotFoundError: nothing was ever prepared for this job.
        """
        async for batch in self._batches():
            for output, stored in await self._judged(batch, cleared):
                cleared.add(output.blob_name, stored)
                yield output
            if cleared.has_failed:
                return

    async def delete(self, cleared: Cleared) -> None:
        """Delete it, counting; failures are collected, and the rest goes on up to `MOST_FAILURES`.

        Raises:
            ContainerNotFoundError: nothing was ever prepared for this job.
        """
        async for batch in self._batches():
            found = await self._judged(batch, cleared)
            results = await for_each(found, lambda item: self._delete(*item, cleared))
            cleared.failures += [result for result in results if isinstance(result, Exception)]
            if cleared.has_failed:
                return

    async def _batches(self) -> AsyncIterator[list[OutputFileReference]]:
        batch: list[OutputFileReference] = []
        # A log is as new as its last part.
        async for output in select_wanted(self._job, replace(self._wanted, newer_than=None)):
            batch.append(output)
            if len(batch) == _BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    async def _judged(
        self, batch: list[OutputFileReference], cleared: Cleared
    ) -> list[tuple[OutputFileReference, Stored]]:
        """Those that are to be deleted, with all that belongs to them. Judged before any of them is deleted."""

        async def judge(output: OutputFileReference) -> tuple[_Verdict, Stored]:
            store, seen = _inside(output)
            stored = await with_parts(store, seen.first)
            output._stored = stored  # noqa: SLF001 - of the same family: it shows its sum from now on
            return await self._verdict(output, stored), stored

        found = []
        for output, result in zip(batch, await for_each(batch, judge), strict=True):
            if isinstance(result, BlobNotFoundError):
                continue
            if isinstance(result, Exception):
                cleared.failures.append(result)
                continue
            verdict, stored = result
            if verdict == "delete":
                found.append((output, stored))
            else:
                cleared.leave(output.blob_name, verdict)
        return found

    async def _verdict(self, output: OutputFileReference, stored: Stored) -> _Verdict:
        if not self._wanted.includes_time(stored.last_modified):
            return "pass"
        if await goes_on_with_log(output):
            # It goes when its log does.
            log = parse_blob_name(first_of(stored.first) or "")
            return "pass" if log is not None and self._wanted.includes_name(log.name, log.blob_name) else "part"
        if not stored.complete and is_recent(stored.last_modified, datetime.now(UTC)):
            return "delete" if self._growing else "growing"
        return "pass" if self._until is not None and stored.last_modified > self._until else "delete"

    async def _delete(self, output: OutputFileReference, stored: Stored, cleared: Cleared) -> None:
        store, _ = _inside(output)
        for left in reversed(range(_TRIES)):
            try:
                # A growing log that is to go changes all the time, and goes whatever it has grown to.
                await delete_stored(store, stored, unchanged=stored.complete or not self._growing)
            except BlobNotFoundError:
                return  # somebody else was faster
            except BlobChangedError:
                try:
                    await output.refresh()
                except BlobNotFoundError:
                    return
                _, stored = _inside(output)
                verdict = await self._verdict(output, stored)
                if verdict != "delete":
                    cleared.leave(output.blob_name, verdict)
                    return
                if not left:
                    raise
            else:
                cleared.add(output.blob_name, stored)
                return


def _inside(output: OutputFileReference) -> tuple[Store, Stored]:
    """The store of an output that was listed, and what was seen of it."""
    stored = output._stored  # noqa: SLF001 - of the same family
    if stored is None:
        raise RuntimeError("it was not listed")
    return output._store, stored  # noqa: SLF001
