"""A stored output as one stream: a blob, or the parts of a log one behind the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from batch_outputs.errors import BlobChangedError
from batch_outputs.log_parts import find_part
from batch_outputs.marks import LogMarks
from batch_outputs.stores.base import BlobProperties, Store

_LOOKS = 5
"""How often something is looked at that is replaced each time."""

_AT_ONCE = 4 * 1024 * 1024
"""Bytes of a log that are asked for at once."""


class Stored:
    """What is known of an output: its blob, or all parts of its log; never empty, and never changed."""

    __slots__ = ("_marks", "parts")

    def __init__(self, parts: tuple[BlobProperties, ...]) -> None:
        self.parts: tuple[BlobProperties, ...] = parts
        self._marks: LogMarks | None = None

    @property
    def first(self) -> BlobProperties:
        """The blob that has the output's name."""
        return self.parts[0]

    @property
    def size(self) -> int:
        """Length in bytes, of all parts."""
        return self.parts[0].size if len(self.parts) == 1 else sum(part.size for part in self.parts)

    @property
    def last_modified(self) -> datetime:
        """When any part was last changed."""
        return self.parts[0].last_modified if len(self.parts) == 1 else max(part.last_modified for part in self.parts)

    @property
    def etag(self) -> str:
        """What changes with every change of any part."""
        return "+".join(part.etag for part in self.parts)

    @property
    def is_log(self) -> bool:
        """Whether it is an append blob, which may still grow."""
        return self.parts[0].blob_type == "append"

    @property
    def complete(self) -> bool:
        """Whether it is whole: a file always is, a log once its end is marked."""
        return not self.is_log or self.marks.vouch_for(self.first.size)

    @property
    def marks(self) -> LogMarks:
        """What its first blob says of itself."""
        if self._marks is None:  # read once: a listing asks several times, of very many
            self._marks = LogMarks.from_metadata(self.first.metadata)
        return self._marks

    @property
    def writer(self) -> str | None:
        """What tells this log from another of the same name."""
        return self.marks.log or self.marks.attempt


async def look_up(store: Store, blob_name: str) -> Stored:
    """What is stored under a name now.

    Raises:
        BlobNotFoundError: nothing.
        BlobChangedError: it is replaced again and again.
    """
    for _ in range(_LOOKS - 1):
        try:
            return await with_parts(store, await store.properties(blob_name))
        except BlobChangedError:
            continue
    return await with_parts(store, await store.properties(blob_name))


async def with_parts(store: Store, first: BlobProperties) -> Stored:
    """A blob with the parts that follow it, if it is the first of a log: by name, and by their own word.

    Raises:
        BlobChangedError: another log has taken its place meanwhile.
    """
    marks = LogMarks.from_metadata(first.metadata)
    parts = [first]
    if first.blob_type == "append" and marks.log is not None and marks.part == 1:
        known = marks.parts if marks.complete else None
        while len(parts) != known:
            following = await find_part(store.properties, first.name, len(parts) + 1, marks.log)
            if following is None:
                break
            parts[-1] = await _ended(store, parts[-1])
            parts.append(following)
    return Stored(tuple(parts))


async def check_is_still(store: Store, log: Stored) -> None:
    """Make sure that a log of which something was read is that log still.

    Each append to a log changes its ETag and leaves what was there, so its writer's id is compared instead.

    Raises:
        BlobNotFoundError: it is gone.
        BlobChangedError: it was begun anew.
    """
    name, place = log.first.name, store.location.place
    now = Stored((await store.properties(name),))
    if now.writer != log.writer or now.size < log.first.size:
        raise BlobChangedError(
            f"{name} in {place} was begun anew while it was read; read it again.", place=place, blob=name
        )


async def read(
    store: Store, stored: Stored, offset: int = 0, length: int | None = None, *, exactly: bool = False
) -> AsyncIterator[bytes]:
    """The content from `offset` on, `length` bytes of it or all.

    Of a growing log what has come meanwhile too, unless `exactly` what was seen.

    Raises:
        BlobChangedError: a file changed midway or, if it is to be `exactly` what was seen, since then.
    """
    etag = stored.first.etag if exactly and not stored.is_log else None
    left = length
    for part in stored.parts:
        is_last = part is stored.parts[-1]
        here = None if is_last and not exactly else max(0, part.size - offset)
        wanted = here if left is None else left if here is None else min(here, left)
        if (offset < part.size or is_last) and wanted != 0:
            if part.blob_type == "append":
                chunks = _read_log(store, part.name, offset, wanted)
            else:
                chunks = store.read(part.name, offset=offset, length=wanted, etag=etag)
            async for chunk in chunks:
                left = None if left is None else left - len(chunk)
                yield chunk
        offset = max(0, offset - part.size)


async def _read_log(store: Store, name: str, offset: int, length: int | None) -> AsyncIterator[bytes]:
    """A log's bytes, each range for itself: a store reads on under the ETag of what it has read, until an append."""
    end = None if length is None else offset + length
    while end is None or offset < end:
        wanted = _AT_ONCE if end is None else min(_AT_ONCE, end - offset)
        reached = offset
        try:
            async for piece in store.read(name, offset=offset, length=wanted):
                reached += len(piece)
                yield piece
            if reached < offset + wanted:
                return
        except BlobChangedError:
            pass  # an answer broke, and meanwhile there was an append; what is there already stays
        offset = reached


async def _ended(store: Store, part: BlobProperties) -> BlobProperties:
    """A part as it was when the next was begun, before which it was marked with its length.

    One without was looked at too early: it may have grown on, and ended, before the next was looked for.
    """
    seen = LogMarks.from_metadata(part.metadata)
    if seen.length == part.size:
        return part
    now = await store.properties(part.name)
    if LogMarks.from_metadata(now.metadata).log != seen.log:
        raise BlobChangedError(
            f"{part.name} was replaced while it was looked at; try again.", place=store.location.place, blob=part.name
        )
    return now
