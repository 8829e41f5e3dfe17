"""An output that is stored, or that a name stands for: read it, download it, delete it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Self

from batch_outputs.deleting import delete_output
from batch_outputs.errors import BlobNotFoundError, StoreUnavailableError
from batch_outputs.kinds import OutputKind
from batch_outputs.log_parts import first_of
from batch_outputs.marks import LogMarks
from batch_outputs.names import OutputName
from batch_outputs.stored import Stored, check_is_still, look_up, read, with_parts
from batch_outputs.stores.base import BlobProperties, Store
from batch_outputs.tailing import last_lines

if TYPE_CHECKING:  # much of what comes with it is not needed by those who save
    from batch_outputs.fetching_at_once import Fetched


class OutputFileReference:
    """One output of a task or job in storage.

    Made by saving, listing or `get_output`; the latter asks for nothing, so that `size`, `last_modified`,
    `content_type`, `complete` and `metadata` are None until `refresh()`. A reference is of use as long as the storage
    that gave it is open.
    """

    def __init__(
        self,
        store: Store,
        task_id: str | None,
        kind: OutputKind,
        name: str,
        *,
        properties: BlobProperties | None = None,
    ) -> None:
        self._store = store
        self._task_id = task_id
        self._kind = kind
        self._name = name
        self._stored = None if properties is None else Stored((properties,))

    @property
    def kind(self) -> OutputKind:
        """The kind of output."""
        return self._kind

    @property
    def name(self) -> str:
        """The path below the kind, with `/`."""
        return self._name

    @property
    def task_id(self) -> str | None:
        """The task whose output it is; None for an output of the job."""
        return self._task_id

    @property
    def blob_name(self) -> str:
        """The blob's name in the job's container: `[<task id>/]$<kind>/<name>`."""
        if self._stored is not None:
            return self._stored.parts[0].name  # the same, without putting it together
        return OutputName(self._task_id, self._kind, self._name).blob_name

    @property
    def url(self) -> str:
        """The blob's URL, never with a SAS (a `file:` URL in a folder)."""
        return self._store.location.blob_url(self.blob_name)

    @property
    def size(self) -> int | None:
        """Length in bytes when last looked at. A listing gives a log's parts singly, `refresh()` their sum."""
        return self._stored.size if self._stored else None

    @property
    def last_modified(self) -> datetime | None:
        """When it was last changed, in UTC, when last looked at."""
        return self._stored.last_modified if self._stored else None

    @property
    def etag(self) -> str | None:
        """An opaque text that changes with every change of content or metadata, when last looked at."""
        return self._stored.etag if self._stored else None

    @property
    def content_type(self) -> str | None:
        """The content type when last looked at."""
        return self._stored.first.content_type if self._stored else None

    @property
    def complete(self) -> bool | None:
        """Whether it is whole: True for a file; for a log only once its tracked save has ended well."""
        return self._stored.complete if self._stored else None

    @property
    def is_log(self) -> bool | None:
        """Whether it is an append blob, as tracked logs are, when last looked at."""
        return self._stored.is_log if self._stored else None

    @property
    def part(self) -> int | None:
        """Which part of a log the blob of this name is, when last looked at: 1 for a whole log, and for a file."""
        if self._stored is None:
            return None
        if not self._stored.is_log:
            return 1
        marks = self._stored.marks
        return marks.part if marks.log is not None else 1

    @property
    def metadata(self) -> Mapping[str, str] | None:
        """What is kept with it, when last looked at; a log's marks stand there too."""
        return self._stored.first.metadata if self._stored else None

    async def refresh(self) -> Self:
        """Look at the blob again and return this reference.

        Raises:
            BlobNotFoundError: it does not exist.
        """
        self._stored = await look_up(self._store, self.blob_name)
        return self

    async def chunks(
        self, offset: int = 0, length: int | None = None, *, exactly: bool = False
    ) -> AsyncIterator[bytes]:
        """The content from `offset`, of `length` or to the end (both in bytes), in pieces of at most 4 MiB.

        Nothing at or past the end.

        A log that was stored in parts is read as one. One that grows meanwhile is read up to the length it had at the
        first piece, or further.

        With `exactly`, it is what was last looked at (now, if nothing was): of a log no more than it had then, and an
        error where it is another by now. A log is known to be the same only when the iteration has ended.

        Raises:
            BlobNotFoundError: it does not exist.
            BlobChangedError: it was replaced midway or, with `exactly`, since it was looked at.
            ValueError: `offset` or `length` is negative.
        """
        if offset < 0 or (length or 0) < 0:
            raise ValueError(f"offset is {offset} and length {length}; neither is ever negative")
        stored = self._stored
        if stored is None or (stored.is_log and not exactly):
            stored = self._stored = await look_up(self._store, self.blob_name)
        async for chunk in read(self._store, stored, offset, length, exactly=exactly):
            yield chunk
        if exactly and stored.is_log:
            await check_is_still(self._store, stored)

    async def follow(
        self,
        offset: int = 0,
        *,
        interval: float = 1.0,
        on_outage: Callable[[StoreUnavailableError], object] | None = None,
        on_recovery: Callable[[], object] | None = None,
    ) -> AsyncIterator[bytes]:
        """The content of a log from `offset` (bytes) on as it comes, until the log is complete: `tail -f`.

        Pieces have at most 4 MiB. A log that goes on in parts is read as one, and so is one that a later attempt of the
        task goes on with. Every `interval` seconds the log is looked at for new bytes. One that is never marked as
        complete, as its writer was killed or knows no marks, is followed until the caller stops. A file that is no log
        is read to its end. While it is followed, `size`, `complete` and the like show what was seen last.

        Outages are ridden out, however long they last, from the first request on. `on_outage` is called at the
        beginning of each with an error that says what is the matter, and `on_recovery` at its end. Without `on_outage`
        the error is logged.

        An `offset` other than 0 is one of the log that this reference has looked at last, if it has.

        Raises:
            BlobNotFoundError: it does not exist, or was deleted meanwhile.
            BlobChangedError: another attempt has begun the log anew, or the file was replaced: what came until then is
                of the former, and what is there now can be followed from its beginning.
            ValueError: `offset` or `interval` is negative.
        """
        if offset < 0 or interval < 0:
            raise ValueError(f"offset is {offset} and interval {interval}; neither is ever negative")
        from batch_outputs.following import Following

        following = Following(
            self._store,
            self.blob_name,
            offset,
            interval=interval,
            known=self._stored if offset else None,
            on_outage=on_outage,
            on_recovery=on_recovery,
        )
        async with aclosing(following.pieces()) as pieces:
            async for piece in pieces:
                self._stored = following.stored
                yield piece
        self._stored = following.stored

    async def tail_offset(self, lines: int) -> int:
        """The offset in bytes at which the last `lines` lines begin; 0 if there are no more than these.

        Bytes behind the last line end are a line, too. It is found by reading backwards, no further than needed.

        Raises:
            BlobNotFoundError: it does not exist.
            ValueError: `lines` is negative.
        """
        if lines < 0:
            raise ValueError(f"lines is {lines}; it is never negative")
        self._stored = await look_up(self._store, self.blob_name)
        return await last_lines(self._store, self._stored, lines)

    async def read_bytes(self) -> bytes:
        """The whole content.

        Raises:
            BlobNotFoundError: it does not exist.
        """
        return b"".join([chunk async for chunk in self.chunks()])

    async def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole content as text; `encoding` and `errors` as for `bytes.decode`.

        Raises:
            BlobNotFoundError: it does not exist.
        """
        return (await self.read_bytes()).decode(encoding, errors)

    async def download(self, path: str | os.PathLike[str]) -> int:
        """Write the content to a local file and return its length in bytes.

        Missing folders are made. The file appears whole or not at all, and replaces one of that name. It is written
        anew, whatever is there; `fetch` does no more than needed.

        Raises:
            BlobNotFoundError: it does not exist.
            TargetError: the file cannot be written.
            StoreError: it could not be read, or is not what its checksum says.
        """
        from batch_outputs.fetching import download_blob

        self._stored = await download_blob(self._store, self.blob_name, os.fspath(path))
        return self._stored.size

    async def fetch(
        self,
        path: str | os.PathLike[str],
        *,
        refresh: bool = True,
        check: bool = True,
        on_bytes: Callable[[int], object] | None = None,
    ) -> Fetched:
        """Make a local file what is stored, with as few bytes read as that takes.

        A file of the same length and time of modification is left alone. An earlier fetch of the same content that was
        cut short, be it by a kill, is gone on with: what it had is in a hidden file beside the target. The content is
        held against its length and against the checksum that it was stored with, if it was; with a wrong one it is
        fetched once more from the beginning. The file appears whole or not at all, missing folders are made, and its
        time of modification becomes that of the output, by which it is known the next time; the parts of a second stand
        for the version. Of a log that still grows it is what it had at the beginning.

        Args:
            path: The file; it is replaced if it is there.
            refresh: Look at the output first. Without, what was last looked at, as by a listing, is taken to be so
                still, until the service says otherwise.
            check: Hold the content against the checksum that it was stored with, if it was; without, its length alone
                is looked at.
            on_bytes: Called with how many further bytes are in place; less than 0 if some are to be fetched again.

        Raises:
            BlobNotFoundError: it does not exist.
            TargetError: the file cannot be written.
            StoreError: it could not be read, or is not what its checksum says.
        """
        from batch_outputs.fetching import fetch_blob

        known = None if refresh else self._stored
        self._stored, fetched = await fetch_blob(
            self._store, self.blob_name, os.fspath(path), known=known, check=check, on_bytes=on_bytes
        )
        return fetched

    async def delete(self) -> None:
        """Delete it from storage; a log with all its parts, the first one first.

        If that is broken off, what is left claims to be no whole log, and deleting it again removes the rest.

        Raises:
            BlobNotFoundError: it does not exist.
        """
        await delete_output(self._store, self.blob_name, self._stored)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.blob_name!r} in {self._store.location.place!r})"


# For the library's own modules: what is inside an output, which is nobody else's business.


def inside(output: OutputFileReference) -> tuple[Store, Stored]:
    """The store of an output that has been looked at, by a listing or `refresh`, and what was seen of it.

    Raises:
        RuntimeError: nobody has looked at it.
    """
    stored = output._stored  # noqa: SLF001 - here and in the next function only
    if stored is None:
        raise RuntimeError(f"{output!r} has not been looked at")
    return output._store, stored  # noqa: SLF001


async def join_parts(output: OutputFileReference) -> Stored:
    """Take the later parts of a log that a listing gave singly into what was seen of it, and return that.

    Raises:
        BlobChangedError: another log has taken its place meanwhile.
    """
    store, seen = inside(output)
    output._stored = await with_parts(store, seen.first)  # noqa: SLF001
    return output._stored  # noqa: SLF001


async def goes_on_with_log(output: OutputFileReference) -> bool:
    """Whether an output that has been looked at is a later part of a log whose first part is there.

    Reading the first part gives this one, too.
    """
    store, stored = inside(output)
    name = first_of(stored.first)
    if name is None:
        return False
    try:
        first = await store.properties(name)
    except BlobNotFoundError:
        return False
    marks = LogMarks.from_metadata(first.metadata)
    return first.blob_type == "append" and marks.part == 1 and marks.log == stored.writer
