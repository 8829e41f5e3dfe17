"""The append protocol: bytes into one append blob, exactly, whatever goes wrong on the way.

The confirmed offset is the only state. It moves when the service has confirmed an append, or when looking back has
shown that an append whose answer was lost did arrive. Every append carries the offset and the ETag of the last answer,
so that neither a late request nor a second writer can slip in between, and none whose outcome is unknown is repeated
before the blob has been looked at. One that the service has refused for its load is: a look would add to that.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace

from batch_outputs.errors import (
    BlobChangedError,
    BlobNotFoundError,
    LogLostError,
    StoreBusyError,
    StoreError,
    StoreUnavailableError,
)
from batch_outputs.marks import LogMarks
from batch_outputs.stores.base import BlobProperties, Store

logger: logging.Logger = logging.getLogger("batch_outputs.tracking")

MAX_APPEND = 4 * 1024 * 1024
"""Bytes of one append; larger ones cost no less per byte."""

MAX_BLOCKS = 49_990
"""Appends to one blob; the service takes 50,000, and some room is left for a writer that takes over."""

_MOST_IN_FLIGHT = 4
"""Unanswered appends that are remembered; more than one differ only if the file was written anew behind the offset."""


_NO_MORE_BLOCKS = "BlockCountExceedsLimit"


class LogPart:
    """One blob of a log, written by one writer, which `marks.attempt` tells from any other.

    Methods raise `StoreError`; after any but `LogLostError` the part is still good, and the next call finds out where
    it stands.
    """

    def __init__(
        self,
        store: Store,
        blob_name: str,
        marks: LogMarks,
        *,
        content_type: str,
        confirmed: Callable[[bytes], None],
    ) -> None:
        self.blob_name = blob_name
        self.marks: LogMarks = marks
        self.properties: BlobProperties | None = None
        """The blob as last heard of; None until it is created or taken over."""
        self.blocks: int = 0
        """How many appends the blob has, as far as known."""
        self._store = store
        self._content_type = content_type
        self._confirmed = confirmed
        self._hash = hashlib.sha256()
        self._sealed: str | None = None
        self._in_flight: list[bytes] = []
        # What was sent and not confirmed since the blob last changed: each may have arrived, or may yet arrive. The
        # file may not have these bytes any more when that is found out.
        self._unsure = False
        # Whether the outcome of one is unknown, and the blob has not been looked at since.

    @property
    def size(self) -> int:
        """How many bytes are confirmed to be stored in this part."""
        return self.properties.size if self.properties else 0

    @property
    def end(self) -> int:
        """The offset in the file behind the last confirmed byte."""
        return self.marks.base + self.size

    @property
    def is_full(self) -> bool:
        """Whether the service will soon take no more appends."""
        return self.blocks >= MAX_BLOCKS

    async def create(self, *, replaces: str | None = None) -> None:
        """Create the blob, empty; only if nothing is there, or over the blob of the ETag `replaces`."""
        metadata = self.marks.metadata()
        written = await self._store.create_append(
            self.blob_name, content_type=self._content_type, metadata=metadata, replaces=replaces
        )
        self.properties = BlobProperties(
            self.blob_name, 0, written.etag, written.last_modified, self._content_type, metadata, "append"
        )

    def adopt(self, found: BlobProperties) -> None:
        """Go on with a blob of our own, empty, whose creation was not answered."""
        self.properties = found

    async def take_over(self, found: BlobProperties, hashed: hashlib._Hash | None) -> None:
        """Make an earlier writer's part ours; our mark tells it to stop.

        With the hash of what it holds it can be written on; without, it is one that has been finished before.
        """
        earlier = LogMarks.from_metadata(found.metadata)
        if hashed is None:
            self._sealed = earlier.sha256
            self.marks = self.marks._replace(length=earlier.length, sha256=earlier.sha256)
        else:
            self._hash = hashed
        metadata = self.marks.among(found.metadata)
        written = await self._store.set_metadata(self.blob_name, metadata, etag=found.etag)
        self.blocks = found.blocks or 0
        self.properties = replace(found, etag=written.etag, last_modified=written.last_modified, metadata=metadata)

    async def append(self, data: bytes) -> None:
        """Append these bytes behind the confirmed ones.

        When this raises, they may be stored or not, but after `StoreBusyError` are not; `settle` finds out, and tells
        by `end` which.
        """
        properties = self._known()
        try:
            written = await self._store.append(self.blob_name, data, offset=properties.size, etag=properties.etag)
        except (StoreUnavailableError, BlobChangedError, BlobNotFoundError) as error:
            self._remember(data)
            if isinstance(error, StoreBusyError):
                raise  # not stored; should somebody on the way have sent it twice, the next append is refused
            self._unsure = True
            logger.debug("An append to %s at %d has to be looked at: %s", self.blob_name, properties.size, error)
            if isinstance(error, StoreUnavailableError) and error.retry_after:
                raise  # the service wants to be left alone; the next round looks
            await self.settle()
            if self._known().etag == properties.etag:
                raise  # nothing happened to the blob: trying again is for later
            return
        except StoreError as error:
            if error.code == _NO_MORE_BLOCKS:
                self.blocks = MAX_BLOCKS  # somebody else's appends count as well
            raise
        self._confirm(data, replace(properties, etag=written.etag, last_modified=written.last_modified))

    async def settle(self) -> None:
        """Find out what an append of unknown outcome did; nothing to do without one.

        Raises:
            LogLostError: the blob is gone, another writer's, or has bytes that are not ours.
        """
        if self._unsure:
            await self._look_again()

    async def finish(self, *, complete: bool, parts: int = 1, exit_code: int | None = None) -> None:
        """Mark the part with its length and checksum; `complete` unless it is the first of a log that goes on."""
        await self.settle()
        finished = self.marks._replace(
            complete=complete,
            length=self.size,
            sha256=self._sealed or self._hash.hexdigest(),
            parts=parts,
            exit_code=exit_code,
        )
        try:
            await self._mark(finished)
        except BlobChangedError:
            # Perhaps our own marks, whose answer was lost, or metadata that somebody added and that is theirs to keep.
            await self._look_again()
            if self.size != finished.length:
                raise  # an append of ours that came late: there is more to be finished
            await self._mark(finished)
        except BlobNotFoundError as error:
            raise self._lost(f"{self.blob_name} was deleted while it was written.") from error

    async def note(self, notice: str) -> None:
        """Add to the marks that the node's end has been announced."""
        await self.settle()
        self.marks = self.marks._replace(notice=notice)
        try:
            await self._mark_notice(notice)
        except BlobChangedError:
            await self._look_again()  # perhaps our own mark, whose answer was lost, or what somebody has added
            await self._mark_notice(notice)

    async def _mark_notice(self, notice: str) -> None:
        marks = LogMarks.from_metadata(self._known().metadata)
        if marks.notice != notice:
            await self._mark(marks._replace(notice=notice))

    async def _mark(self, marks: LogMarks) -> None:
        known = self._known()
        metadata = marks.among(known.metadata)
        written = await self._store.set_metadata(self.blob_name, metadata, etag=known.etag)
        self.properties = replace(known, etag=written.etag, last_modified=written.last_modified, metadata=metadata)
        self._in_flight.clear()

    def _remember(self, data: bytes) -> None:
        """Note bytes of an append that may arrive. Those that they begin with are theirs, too."""
        others = [sent for sent in self._in_flight if not data.startswith(sent)]
        self._in_flight = [data, *others][:_MOST_IN_FLIGHT]

    async def _look_again(self) -> None:
        """Take the blob as it is now, if all that has come into it is what was sent."""
        known = self._known()
        try:
            found = await self._store.properties(self.blob_name)
        except BlobNotFoundError as error:
            raise self._lost(f"{self.blob_name} was deleted while it was written.") from error
        if LogMarks.from_metadata(found.metadata).attempt != self.marks.attempt:
            raise self._lost(f"Another attempt of the task took over {self.blob_name}.")
        if found.size == known.size:
            if found.etag != known.etag:
                self._in_flight.clear()  # whatever is on its way still carries the former ETag
            self.properties = found
            self._unsure = False
            return
        most = max((len(sent) for sent in self._in_flight), default=0)
        if known.size < found.size <= known.size + most:
            stored = await self._stored(known.size, found)
            if any(sent.startswith(stored) for sent in self._in_flight):
                self._confirm(stored, replace(found, size=known.size))
                return
        raise self._lost(f"{self.blob_name} holds bytes that are not of this log.")

    async def _stored(self, start: int, found: BlobProperties) -> bytes:
        chunks = self._store.read(self.blob_name, offset=start, length=found.size - start, etag=found.etag)
        return b"".join([chunk async for chunk in chunks])

    def _confirm(self, data: bytes, properties: BlobProperties) -> None:
        self._hash.update(data)
        self._confirmed(data)
        self.blocks += 1
        self.properties = replace(properties, size=properties.size + len(data))
        self._in_flight.clear()
        self._unsure = False

    def _lost(self, what: str) -> LogLostError:
        return LogLostError(what, place=self._store.location.place, blob=self.blob_name)

    def _known(self) -> BlobProperties:
        if self.properties is None:
            raise StoreError(f"{self.blob_name} is not open.", place=self._store.location.place, blob=self.blob_name)
        return self.properties
