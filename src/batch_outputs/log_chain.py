"""A file's log in storage: one blob, or a chain of parts where one blob cannot be the file's beginning any more.

Every part is written by the append protocol of `log_part`. A part ends and the next begins when the file was truncated,
replaced or rewritten, and before the service's limit of blocks. What an earlier attempt of the task left is taken up
again if the file still begins with it, and kept under names of its own otherwise.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import replace

from batch_outputs.errors import (
    BlobChangedError,
    BlobExistsError,
    BlobNotFoundError,
    LogLostError,
    SourceError,
    WrongBlobTypeError,
)
from batch_outputs.growing_file import GrowingFile
from batch_outputs.log_part import MAX_APPEND, LogPart
from batch_outputs.marks import LogMarks, Reason
from batch_outputs.names import beside
from batch_outputs.stored import with_parts
from batch_outputs.stores.base import BlobProperties, Store

logger: logging.Logger = logging.getLogger("batch_outputs.tracking")

_OPENING_ROUNDS = 5
_REMEMBERED = 4096
"""Bytes before the confirmed offset that are compared at each reading, to notice a file that was written anew."""
_FINAL_COMPARISONS = 2

SENTENCES: dict[Reason, str] = {
    "truncated": "was truncated",
    "replaced": "was replaced by another file",
    "rewritten": "was changed where it had been saved already",
    "limit": "has as many blocks in storage as the service takes in one blob",
}


class _ChangedError(Exception):
    """The file does not hold any more what was saved of it."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class LogChain:
    """Writes a growing file to storage under `blob_name`, going on in parts where it must.

    `noticed` is called with an error that says what was noticed about the file. With `own_only` it goes on behind a log
    only if that was written under the same `attempt`. Methods raise `StoreError` and `SourceError`; after any of these
    the next call finds out where things stand and goes on.
    """

    def __init__(
        self,
        store: Store,
        blob_name: str,
        file: GrowingFile,
        marks: LogMarks,
        *,
        content_type: str,
        noticed: Callable[[SourceError], None],
        own_only: bool = False,
    ) -> None:
        self.blob_name: str = blob_name
        self.file = file
        self._store = store
        self._marks = marks._replace(log=secrets.token_hex(8))
        self._content_type = content_type
        self._noticed = noticed
        self._own_only = own_only
        self._first: LogPart | None = None
        self._part: LogPart | None = None
        self._pending: Reason | None = None
        # Why a part is to be begun, until that has been done.
        self._saved_before = 0
        self._tail = b""
        self._generation = hashlib.sha256()
        self._final_comparisons = 0

    @property
    def bytes_saved(self) -> int:
        """How many bytes are confirmed to be stored, in all parts."""
        return self._saved_before + (self._part.size if self._part else 0)

    @property
    def properties(self) -> BlobProperties | None:
        """The first part as last heard of; None until the log is open."""
        return self._first.properties if self._first else None

    @property
    def waiting(self) -> int:
        """How many bytes of the file are known to wait."""
        return max(0, self.file.look().size - (self._part.end if self._part and not self._pending else 0))

    @property
    def is_outdated(self) -> bool:
        """Whether the file's name leads to another file by now."""
        return self.file.look().replaced

    @property
    def is_caught_up(self) -> bool:
        """Whether all that the file holds now is stored."""
        look = self.file.look()
        return self._part is not None and self._pending is None and not look.replaced and look.size == self._part.end

    async def open(self) -> None:
        """Find or make the blob to write to, and the offset to go on from."""
        if self._part is not None:
            return
        self._begin_afresh()
        for _ in range(_OPENING_ROUNDS):
            try:
                if await self._try_to_open():
                    return
            except (BlobChangedError, BlobNotFoundError, BlobExistsError):
                continue  # another writer is at work: look again
        self._leave_the_name()
        logger.warning("Another writer keeps changing the log; this one goes on as %s.", self.blob_name)
        await self._start(self._new_part(self.blob_name, self._marks))

    async def advance(self, *, final: bool = False) -> None:
        """Save what the file holds now.

        A file whose name leads to another by now is left for that once nothing more comes into it; at once if `final`.
        """
        await self.open()
        try:
            await self._advance(final=final)
        except LogLostError as error:
            await self._give_up_the_name(error)

    async def finish(self, exit_code: int | None = None) -> bool:
        """Mark the log as complete; False if there turns out to be more to save first."""
        await self.open()
        if self._final_comparisons < _FINAL_COMPARISONS and not self._file_is_as_saved():
            self._final_comparisons += 1
            self._break_off("rewritten")
            return False
        first, last = self._opened()
        try:
            if last is not first:
                await last.finish(complete=True, exit_code=exit_code)
            await first.finish(complete=True, parts=last.marks.part, exit_code=exit_code)
        except LogLostError as error:
            await self._give_up_the_name(error)
        return True

    async def note(self, notice: str) -> None:
        """Mark the log with what has been announced for its node."""
        await self.open()
        await self._opened()[0].note(notice)

    async def _advance(self, *, final: bool) -> None:
        _, part = self._opened()
        await part.settle()
        if self._pending is not None:
            await self._begin_part()
        look = self.file.look()
        try:
            stood_still = await self._append_up_to(look.size)
        except _ChangedError as change:
            self._break_off(change.reason)
            await self._begin_part()
            await self._append_up_to(self.file.look().size)
            return
        # A writer may still have the old file open, so it is left only when a whole round has found nothing new in it.
        if look.replaced and (final or (stood_still and self.file.look() == look)):
            self._break_off("replaced")
            self.file.switch()
            await self._begin_part()
            await self._append_up_to(self.file.look().size)

    async def _append_up_to(self, size: int) -> bool:
        """Append what the file has up to `size`; True if there was nothing."""
        _, part = self._opened()
        if size < part.end:
            raise _ChangedError("truncated")
        if size == part.end:
            self._check_tail(part.end, b"")
            return True
        while part.end < size:
            if part.is_full:
                self._break_off("limit")
                await self._begin_part()
                _, part = self._opened()
            data = self._read_checked(part.end, min(size - part.end, MAX_APPEND))
            await part.append(data)
        return False

    def _confirmed(self, data: bytes) -> None:
        self._generation.update(data)
        self._tail = (self._tail + data[-_REMEMBERED:])[-_REMEMBERED:]

    def _new_part(self, blob_name: str, marks: LogMarks) -> LogPart:
        return LogPart(self._store, blob_name, marks, content_type=self._content_type, confirmed=self._confirmed)

    def _read_checked(self, start: int, length: int) -> bytes:
        """Bytes of the file that certainly follow those saved before."""
        data = self.file.read(start, length)
        if not data:
            raise _ChangedError("truncated")
        self._check_tail(start, data)
        return data

    def _check_tail(self, start: int, data: bytes) -> None:
        # After the reading, and with the first bytes read: a file that was written anew before or during the reading
        # shows here, unless it holds the same again.
        beginning = data[:_REMEMBERED]
        around = self.file.read(start - len(self._tail), len(self._tail) + len(beginning))
        if around != self._tail + beginning:
            raise _ChangedError("truncated" if len(around) < len(self._tail) + len(beginning) else "rewritten")

    def _file_is_as_saved(self) -> bool:
        """Whether the file still begins with everything saved of it, read once more from its beginning."""
        _, part = self._opened()
        position, now = 0, hashlib.sha256()
        while position < part.end and (data := self.file.read(position, min(MAX_APPEND, part.end - position))):
            now.update(data)
            position += len(data)
        return now.digest() == self._generation.digest()

    def _break_off(self, reason: Reason) -> None:
        self._pending = reason
        _, part = self._opened()
        if reason != "limit":
            self._noticed(
                SourceError(
                    f"{self.file.path} {SENTENCES[reason]} after {part.end:,} of its bytes had been saved; they stay "
                    f"in {part.blob_name}, and the log goes on in its next part.",
                    path=self.file.path,
                )
            )

    async def _begin_part(self) -> None:
        """End the part that is written to, and begin the next, for the pending reason."""
        first, part = self._opened()
        await part.finish(complete=part is not first)  # the first says so of the whole log
        number = part.marks.part + 1
        base = part.end if self._pending == "limit" else 0
        marks = self._marks._replace(part=number, base=base, reason=self._pending)
        following = self._new_part(beside(self.blob_name, f"part-{number}"), marks)
        try:
            await following.create()
        except BlobExistsError:
            await self._clear_for(following)
        self._saved_before += part.size
        self._part = following
        self._pending = None
        if base == 0:
            self._forget()

    async def _clear_for(self, part: LogPart) -> None:
        """Begin a part where something is: our own creation, whose answer was lost, or an earlier attempt's part."""
        found = await self._store.properties(part.blob_name)
        theirs = LogMarks.from_metadata(found.metadata)
        if theirs == part.marks and not found.size:
            part.adopt(found)
            return
        if theirs.log is None or theirs.part != part.marks.part:
            raise LogLostError(
                f"{part.blob_name} is no part of a log and stays as it is, so this log cannot go on there.",
                place=self._store.location.place,
                blob=part.blob_name,
            )
        await self._keep([found])
        await part.create(replaces=found.etag)

    async def _try_to_open(self) -> bool:
        """True once there is a blob to write to; False to look again."""
        part = self._new_part(self.blob_name, self._marks)
        try:
            await self._start(part)
        except BlobExistsError:
            found = await self._store.properties(self.blob_name)
        else:
            return True
        if found.blob_type != "append":
            raise WrongBlobTypeError(
                f"{self.blob_name} in {self._store.location.place} is a saved file, which a tracked log cannot "
                "replace; choose another name, or delete the file first.",
                place=self._store.location.place,
                blob=self.blob_name,
            )
        # It may be our own, created or taken over without an answer that said so: it is compared once more.
        chain = list((await with_parts(self._store, found)).parts)
        return await self._resume(chain) or await self._set_aside(chain, part)

    async def _start(self, part: LogPart) -> None:
        await part.create()
        self._first = self._part = part

    async def _resume(self, chain: list[BlobProperties]) -> bool:
        """Go on behind an earlier writer's log if the file begins with all that it saved since the file was new."""
        marks = [LogMarks.from_metadata(part.metadata) for part in chain]
        if marks[0].exit_code is not None:
            return False  # its program has ended: what writes the same again is another attempt
        if self._own_only and marks[0].attempt != self._marks.attempt:
            return False  # another program may have begun with the same words
        self._forget()  # an earlier try may have come half way
        newest = max(index for index, mark in enumerate(marks) if mark.base == 0)
        if newest > 0 and not chain[newest].size:
            return False  # an empty file begins every file, also one that has nothing to do with the parts before
        if any(part.size != mark.length for part, mark in zip(chain[:-1], marks[:-1], strict=True)):
            return False  # somebody has added to a part that was finished
        self.file.look()  # opens it, where it has come to be
        hashed = hashlib.sha256()
        for properties, mark in zip(chain[newest:], marks[newest:], strict=True):
            hashed = hashlib.sha256()
            if not await self._begins_with(properties, mark.base, hashed):
                self._forget()
                return False
        mine = self._marks._replace(
            log=marks[0].log or self._marks.log, started=marks[0].started, notice=marks[0].notice
        )
        first = last = await self._take_over(chain[0], mine, hashed if len(chain) == 1 else None)
        if len(chain) > 1:
            last = await self._take_over(chain[-1], mine, hashed)
        self._marks, self._first, self._part = mine, first, last
        self._saved_before = sum(properties.size for properties in chain[:-1])
        return True

    async def _begins_with(self, properties: BlobProperties, base: int, hashed: hashlib._Hash) -> bool:
        """Whether the file has at `base` exactly what a part holds."""
        position = base
        async for chunk in self._store.read(properties.name, length=properties.size):
            if self.file.read(position, len(chunk)) != chunk:
                return False
            hashed.update(chunk)
            self._confirmed(chunk)
            position += len(chunk)
        return position == base + properties.size

    async def _take_over(self, found: BlobProperties, marks: LogMarks, hashed: hashlib._Hash | None) -> LogPart:
        earlier = LogMarks.from_metadata(found.metadata)
        marks = marks._replace(part=earlier.part, base=earlier.base, reason=earlier.reason)
        part = self._new_part(found.name, marks)
        await part.take_over(found, hashed)
        return part

    async def _set_aside(self, chain: list[BlobProperties], part: LogPart) -> bool:
        """Keep an earlier attempt's log under names of its own, then begin anew in its place."""
        if len(chain) > 1:
            chain = [*chain[:-1], await self._fence(chain[-1])]
        kept = await self._keep(chain)
        await part.create(replaces=chain[0].etag)
        self._first = self._part = part
        logger.info("An earlier attempt's log was kept as %s.", kept)
        return True

    async def _fence(self, last: BlobProperties) -> BlobProperties:
        """Tell a writer that may be at work in the last part to stop: a new first part does not reach it."""
        marks = LogMarks.from_metadata(last.metadata)._replace(attempt=self._marks.attempt)
        metadata = marks.among(last.metadata)
        written = await self._store.set_metadata(last.name, metadata, etag=last.etag)
        return replace(last, etag=written.etag, metadata=metadata)

    async def _keep(self, chain: list[BlobProperties]) -> str:
        """Copy a log to the lowest free name of an earlier attempt."""
        number = 1
        while True:
            kept = beside(chain[0].name, f"attempt-{number}")
            names = [kept, *(beside(kept, f"part-{index}") for index in range(2, len(chain) + 1))]
            if all([await self._copy(found, name) for found, name in zip(chain, names, strict=True)]):
                return kept
            number += 1

    async def _copy(self, found: BlobProperties, name: str) -> bool:
        """Copy a blob; False if something else has the name."""
        try:
            await self._store.copy(found.name, name, etag=found.etag)
        except BlobExistsError:
            there = await self._store.properties(name)  # a try that did not get further may have copied it
            return bool(found.metadata) and (there.size, there.metadata) == (found.size, found.metadata)
        return True

    async def _give_up_the_name(self, error: LogLostError) -> None:
        """What was ours is another's: from now on write, from the file's beginning, under a name of our own."""
        lost = self.blob_name
        if isinstance(error.__cause__, BlobNotFoundError) and self._opened()[1].marks.part == 1:
            self._part = None  # deleted, and nobody else is there: it is made anew
        else:
            self._leave_the_name()
        raise LogLostError(
            f"{error} This one goes on as {self.blob_name}, from the file's beginning.",
            place=self._store.location.place,
            blob=lost,
        ) from error

    def _leave_the_name(self) -> None:
        self.blob_name = beside(self.blob_name, f"attempt-{self._marks.attempt}")
        self._begin_afresh()

    def _begin_afresh(self) -> None:
        self._marks = self._marks._replace(log=secrets.token_hex(8))
        self._first = self._part = self._pending = None
        self._saved_before = 0
        self._forget()

    def _forget(self) -> None:
        """Nothing is saved yet of what the file holds."""
        self._tail = b""
        self._generation = hashlib.sha256()

    def _opened(self) -> tuple[LogPart, LogPart]:
        """The first part and the one that is written to."""
        if self._first is None or self._part is None:
            raise RuntimeError("the log is not open")
        return self._first, self._part
