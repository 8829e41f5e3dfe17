"""Deleting many outputs: what is asked for is looked for, judged and deleted a batch at a time, in bounded memory.

A log is judged and deleted as a whole, with all its parts: its first part may be weeks old while its last one grows.
What was judged is what is deleted: an output that changes in between is judged again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from batch_outputs.deleting import delete_stored
from batch_outputs.errors import BlobChangedError, BlobNotFoundError
from batch_outputs.failures import Failures, named
from batch_outputs.output_state import is_recent
from batch_outputs.outputs import OutputFileReference, inside, join_parts
from batch_outputs.selection import Wanted, in_batches, judge, select_wanted
from batch_outputs.storage import JobOutputStorage
from batch_outputs.stored import Stored
from batch_outputs.transfer import for_each

_TRIES = 3
"""How often an output that changes under our hands is judged."""
_NAMED = 10
"""How many outputs are named, where all are counted."""

_Verdict: TypeAlias = Literal["delete", "growing", "part", "changed", "pass"]


@dataclass(slots=True)
class Cleared:
    """What was deleted, or would be: how many outputs, their bytes, and how many of them are logs without an end.

    `names` are the first few of them. `growing` counts the logs that were left as they grow still, `growing_names` are
    the first few; `parts` counts the later parts of logs that were asked for without their log, and left, and `changed`
    what was stored or changed too late. `failures` has an error for each output that could not be deleted. `newest` is
    when the last of all was changed.
    """

    files: int = 0
    size: int = 0
    without_end: int = 0
    names: list[str] = field(default_factory=list)
    growing: int = 0
    growing_names: list[str] = field(default_factory=list)
    parts: int = 0
    changed: int = 0
    failures: Failures = field(default_factory=Failures)
    newest: datetime | None = None

    @property
    def failures_to_tell(self) -> list[Exception]:
        """The failures that are worth a sentence each."""
        return self.failures.to_tell

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
        elif verdict == "changed":
            self.changed += 1
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
            if cleared.failures.are_hopeless:
                return

    async def delete(self, cleared: Cleared) -> None:
        """Delete it, counting; failures are collected, and the rest goes on until they are hopeless.

        Raises:
            ContainerNotFoundError: nothing was ever prepared for this job.
        """
        async for batch in self._batches():
            found = await self._judged(batch, cleared)
            results = await for_each(found, lambda item: self._delete(*item, cleared))
            for (output, _), result in zip(found, results, strict=True):
                _note(cleared.failures, output, result)
            if cleared.failures.are_hopeless:
                return

    def _batches(self) -> AsyncIterator[list[OutputFileReference]]:
        # A log is as new as its last part.
        return in_batches(select_wanted(self._job, replace(self._wanted, newer_than=None)))

    async def _judged(
        self, batch: list[OutputFileReference], cleared: Cleared
    ) -> list[tuple[OutputFileReference, Stored]]:
        """Those that are to be deleted, with all that belongs to them. Judged before any of them is deleted."""

        async def look(output: OutputFileReference) -> tuple[_Verdict, Stored]:
            stored = await join_parts(output)  # it shows its sum from now on
            return await self._verdict(output), stored

        found = []
        for output, result in zip(batch, await for_each(batch, look), strict=True):
            if isinstance(result, BlobNotFoundError):
                continue
            if isinstance(result, Exception):
                cleared.failures.add(named(result, output.blob_name))
                continue
            verdict, stored = result
            if verdict == "delete":
                found.append((output, stored))
            else:
                cleared.leave(output.blob_name, verdict)
        return found

    async def _verdict(self, output: OutputFileReference) -> _Verdict:
        verdict = await judge(output, self._wanted)
        if verdict != "wanted":
            return "part" if verdict == "part" else "pass"  # a part goes when its log does
        _, stored = inside(output)
        if not stored.complete and is_recent(stored.last_modified, datetime.now(UTC)):
            return "delete" if self._growing else "growing"
        return "changed" if self._until is not None and stored.last_modified > self._until else "delete"

    async def _delete(self, output: OutputFileReference, stored: Stored, cleared: Cleared) -> None:
        store, _ = inside(output)
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
                _, stored = inside(output)
                verdict = await self._verdict(output)
                if verdict != "delete":
                    cleared.leave(output.blob_name, verdict)
                    return
                if not left:
                    raise
            else:
                cleared.add(output.blob_name, stored)
                return


def _note(failures: Failures, output: OutputFileReference, result: object) -> None:
    if isinstance(result, Exception):
        failures.add(named(result, output.blob_name))
    else:
        failures.succeeded()
