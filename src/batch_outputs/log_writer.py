"""The append protocol: one file's bytes in one append blob, exactly, whatever goes wrong on the way.

The confirmed offset is the only state. It moves when the service has confirmed an append, or when reading back has
shown that an append whose answer was lost did arrive. Every append carries the offset and the ETag of the last answer,
so that neither a late request nor a second writer can slip in between, and none is repeated before the blob has been
looked at.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace

from batch_outputs.errors import (
    BlobChangedError,
    BlobExistsError,
    BlobNotFoundError,
    SourceError,
    StoreError,
    StoreUnavailableError,
    WrongBlobTypeError,
)
from batch_outputs.growing_file import GrowingFile
from batch_outputs.marks import LogMarks
from batch_outputs.names import beside
from batch_outputs.stores.base import BlobProperties, Store

logger = logging.getLogger("batch_outputs.tracking")

MAX_APPEND = 4 * 1024 * 1024
"""Bytes of one append; larger ones cost no less per byte."""

_OPENING_ROUNDS = 5


class LogWriter:
    """Writes a growing file to a blob of its own name.

    `marks.attempt` tells this writer from any other. Methods raise `StoreError` and `SourceError`; after any of these
    the writer is still good, and the next call finds out where it stands.
    """

    def __init__(self, store: Store, blob_name: str, file: GrowingFile, marks: LogMarks, *, content_type: str) -> None:
        self.blob_name = blob_name
        self.properties: BlobProperties | None = None
        """The blob as last heard of; None until it is open."""
        self._store = store
        self._file = file
        self._marks = marks
        self._content_type = content_type
        self._hash = hashlib.sha256()
        self._uncertain = False

    @property
    def offset(self) -> int:
        """How many bytes are confirmed to be stored."""
        return self.properties.size if self.properties else 0

    async def open(self) -> None:
        """Find or make the blob to write to, and the offset to go on from.

        A log whose whole content is the file's beginning is taken up again. Any other is an earlier attempt's: it is
        kept under a name of its own before this one begins.
        """
        for _ in range(_OPENING_ROUNDS):
            try:
                if await self._try_to_open():
                    return
            except (BlobChangedError, BlobNotFoundError):
                continue  # another writer is at work: look again
        self._leave_the_name()
        logger.warning("Another writer keeps changing the log; this one goes on as %s.", self.blob_name)
        await self._create()

    async def advance(self, length: int) -> None:
        """Append the file's bytes up to `length`, which is no more than it has now."""
        if self.properties is None:
            await self.open()
        if self._uncertain:
            await self._look_back()
        if length < self.offset:
            raise SourceError(
                f"{self._file.path} has {length:,} bytes and had {self.offset:,}: it was truncated or replaced; "
                f"what it had is kept in {self.blob_name}.",
                path=self._file.path,
            )
        while (missing := length - self.offset) > 0:
            data = self._file.read(self.offset, min(missing, MAX_APPEND))
            if not data:
                return
            await self._append(data)

    async def finish(self, exit_code: int | None = None) -> None:
        """Mark the log as complete, with its length and checksum."""
        if self.properties is None:
            await self.open()
        if self._uncertain:
            await self._look_back()
        properties = self._known()
        marks = self._marks.finished(properties.size, self._hash.hexdigest(), exit_code).metadata()
        try:
            written = await self._store.set_metadata(self.blob_name, marks, etag=properties.etag)
        except BlobNotFoundError:
            self._begin_again()  # somebody deleted it: the next round stores it anew
            raise
        except BlobChangedError:
            # Somebody may have added metadata of their own: that is theirs to keep, and the bytes are still ours.
            await self._look_back()
            properties = self._known()
            merged = {**properties.metadata, **marks}
            written = await self._store.set_metadata(self.blob_name, merged, etag=properties.etag)
        self.properties = replace(properties, etag=written.etag, last_modified=written.last_modified, metadata=marks)

    async def _try_to_open(self) -> bool:
        """True once there is a blob to write to; False to look again."""
        try:
            await self._create()
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
        if LogMarks.from_metadata(found.metadata).attempt == self._marks.attempt:
            await self._take_up(found)  # our own creation, whose answer was lost
            return True
        hashed = await self._compare(0, found.size)
        if hashed is None:
            await self._set_aside(found)
        else:
            await self._take_over(found, hashed)
        return True

    async def _create(self, *, replaces: str | None = None) -> None:
        written = await self._store.create_append(
            self.blob_name, content_type=self._content_type, metadata=self._marks.metadata(), replaces=replaces
        )
        self._hash = hashlib.sha256()
        self.properties = BlobProperties(
            self.blob_name,
            0,
            written.etag,
            written.last_modified,
            self._content_type,
            self._marks.metadata(),
            "append",
        )

    async def _take_over(self, found: BlobProperties, hashed: hashlib._Hash) -> None:
        """Go on behind what an earlier writer stored of this very file; our mark tells it to stop."""
        earlier = LogMarks.from_metadata(found.metadata)
        self._marks = replace(self._marks, started=earlier.started or self._marks.started, part=earlier.part)
        marks = self._marks.metadata()
        written = await self._store.set_metadata(self.blob_name, marks, etag=found.etag)
        self._hash = hashed
        self.properties = replace(found, etag=written.etag, last_modified=written.last_modified, metadata=marks)

    async def _set_aside(self, found: BlobProperties) -> None:
        """Keep an earlier attempt's log under a name of its own, then begin anew in its place."""
        number = 1
        while True:
            kept = beside(self.blob_name, f"attempt-{number}")
            try:
                await self._store.copy(self.blob_name, kept, etag=found.etag)
                break
            except BlobExistsError:
                number += 1
        logger.info("An earlier attempt's log was kept as %s.", kept)
        await self._create(replaces=found.etag)

    async def _append(self, data: bytes) -> None:
        properties = self._known()
        try:
            written = await self._store.append(self.blob_name, data, offset=properties.size, etag=properties.etag)
        except (StoreUnavailableError, BlobChangedError, BlobNotFoundError) as error:
            self._uncertain = True
            logger.debug("An append to %s at %d has to be looked at: %s", self.blob_name, properties.size, error)
            await self._look_back()
            if self._known().etag == properties.etag:
                raise  # nothing happened to the blob: trying again is for later
            return
        self._hash.update(data)
        self.properties = replace(
            properties, size=properties.size + len(data), etag=written.etag, last_modified=written.last_modified
        )

    async def _look_back(self) -> None:
        """Find out what an append of unknown outcome did."""
        try:
            found = await self._store.properties(self.blob_name)
        except BlobNotFoundError:
            self._begin_again()
            raise
        if LogMarks.from_metadata(found.metadata).attempt != self._marks.attempt:
            taken = self.blob_name
            self._leave_the_name()
            raise BlobChangedError(
                f"Another attempt took over {taken}; this one goes on as {self.blob_name}.",
                place=self._store.location.place,
                blob=taken,
            )
        await self._take_up(found)
        self._uncertain = False

    async def _take_up(self, found: BlobProperties) -> None:
        """Go on from what the blob has, once all of it beyond the confirmed offset is known to be the file's."""
        hashed = await self._compare(self.offset, found.size)
        if hashed is None:
            spoilt = self.blob_name
            self._leave_the_name()
            raise BlobChangedError(
                f"{spoilt} holds bytes that are not of {self._file.path}; this log goes on as {self.blob_name}.",
                place=self._store.location.place,
                blob=spoilt,
            )
        self._hash = hashed
        self.properties = found

    async def _compare(self, start: int, end: int) -> hashlib._Hash | None:
        """The hash of the file up to `end` if the blob has the same bytes there as the file from `start`; else None."""
        self._file.size()  # opens it, where it has come to be
        if end < start:
            return None
        hashed = self._hash.copy()
        position = start
        if end > start:
            async for chunk in self._store.read(self.blob_name, offset=start, length=end - start):
                if self._file.read(position, len(chunk)) != chunk:
                    return None
                hashed.update(chunk)
                position += len(chunk)
        return hashed if position == end else None

    def _leave_the_name(self) -> None:
        """From now on write, from the file's beginning, under a name that is certainly our own."""
        self.blob_name = beside(self.blob_name, f"attempt-{self._marks.attempt}")
        self._begin_again()

    def _begin_again(self) -> None:
        self.properties = None
        self._hash = hashlib.sha256()
        self._uncertain = False

    def _known(self) -> BlobProperties:
        if self.properties is None:
            raise StoreError(f"{self.blob_name} is not open.", place=self._store.location.place, blob=self.blob_name)
        return self.properties
