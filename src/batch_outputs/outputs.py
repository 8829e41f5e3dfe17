"""An output that is stored, or that a name stands for: read it, download it, delete it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Self

from batch_outputs.kinds import OutputKind
from batch_outputs.marks import LogMarks
from batch_outputs.names import OutputName
from batch_outputs.stored import Stored, look_up, read
from batch_outputs.stores.base import BlobProperties, Store
from batch_outputs.transfer import download_blob


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
        marks = LogMarks.from_metadata(self._stored.first.metadata)
        return marks.part if self._stored.is_log and marks.log is not None else 1

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

    async def chunks(self, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The content from `offset`, of `length` or to the end (both in bytes), in pieces of at most 4 MiB.

        Nothing at or past the end.

        A log that was stored in parts is read as one. One that grows meanwhile is read up to the length it had at the
        first piece, or further.

        Raises:
            BlobNotFoundError: it does not exist.
        """
        if offset < 0 or (length or 0) < 0:
            raise ValueError(f"offset is {offset} and length {length}; neither is ever negative")
        stored = self._stored
        if stored is None or stored.is_log:
            stored = self._stored = await look_up(self._store, self.blob_name)
        async for chunk in read(self._store, stored, offset, length):
            yield chunk

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

        Missing folders are made. The file appears whole or not at all, and replaces one of that name.

        Raises:
            BlobNotFoundError: it does not exist.
            TargetError: the file cannot be written.
        """
        self._stored = await download_blob(self._store, self.blob_name, os.fspath(path))
        return self._stored.size

    async def delete(self) -> None:
        """Delete it from storage.

        Raises:
            BlobNotFoundError: it does not exist.
        """
        await self._store.delete(self.blob_name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.blob_name!r} in {self._store.location.place!r})"
