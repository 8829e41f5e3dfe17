"""A store in memory, as strict as Azure Blob Storage about conditions, types and limits."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from batch_outputs.errors import (
    BlobChangedError,
    BlobExistsError,
    BlobNotFoundError,
    ContainerNotFoundError,
    StoreError,
    WrongBlobTypeError,
)
from batch_outputs.location import DirectoryAccount, StoreLocation
from batch_outputs.stores.base import (
    BlobPrefix,
    BlobProperties,
    BlobType,
    ContainerProperties,
    Page,
    Readable,
    Written,
)

PIECE = 4 * 1024 * 1024
BLOCK_LIMIT = 50_000
"""Appends that one blob takes."""


@dataclass(slots=True)
class _Blob:
    """A blob; `data` is only ever added to, or replaced by another object."""

    data: bytearray
    blob_type: BlobType
    content_type: str | None
    metadata: dict[str, str]
    etag: str = ""
    last_modified: datetime = datetime.min
    blocks: int = 0


@dataclass(slots=True)
class _Container:
    metadata: Mapping[str, str]
    created: datetime
    blobs: dict[str, _Blob] = field(default_factory=dict)


class MemoryAccount:
    """Containers in memory; `block_limit` may be lowered to meet it sooner."""

    def __init__(self, *containers: str, block_limit: int = BLOCK_LIMIT) -> None:
        self.account = DirectoryAccount(Path("memory"))
        self.block_limit = block_limit
        self.containers = {name: _Container({}, datetime.now(UTC)) for name in containers}
        self._etags = itertools.count(1)

    async def list_containers(self, prefix: str = "") -> AsyncIterator[ContainerProperties]:
        """See `StoreAccount.list_containers`."""
        for name, container in sorted(self.containers.items()):
            if name.startswith(prefix):
                yield ContainerProperties(name, container.created, container.metadata)

    async def create_container(self, name: str, *, metadata: Mapping[str, str] | None = None) -> bool:
        """See `StoreAccount.create_container`."""
        if name in self.containers:
            return False
        self.containers[name] = _Container(dict(metadata or {}), datetime.now(UTC))
        return True

    async def delete_container(self, name: str) -> bool:
        """See `StoreAccount.delete_container`."""
        return self.containers.pop(name, None) is not None

    async def signed_url(self, name: str, *, permissions: str, expires: datetime) -> str:
        """See `StoreAccount.signed_url`."""
        return self.account.container_url(name)

    def open(self, container: str) -> MemoryStore:
        """See `StoreAccount.open`."""
        return MemoryStore(self, container)

    async def aclose(self) -> None:
        """See `StoreAccount.aclose`."""

    def next_etag(self) -> str:
        """An ETag that no state of any blob had before."""
        return f'"0x{next(self._etags):X}"'


class MemoryStore:
    """One container of a `MemoryAccount`; all stores of it see the same blobs."""

    def __init__(self, account: MemoryAccount, container: str) -> None:
        self.location = StoreLocation(account.account, container)
        self._account = account

    async def put(
        self,
        name: str,
        content: bytes | Readable,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Written:
        """See `Store.put`."""
        there = self._blobs().get(name)
        if there is not None and there.blob_type == "append":
            raise self._error(WrongBlobTypeError, name, "InvalidBlobType")
        data = bytearray(content if isinstance(content, bytes) else _read_to_the_end(content))
        return self._make(name, _Blob(data, "block", content_type, dict(metadata or {})))

    def calls_at_hand(self) -> None:
        """There are none."""

    def blocking_lists(self) -> AbstractContextManager[None]:
        """Its listings wait for nothing."""
        return nullcontext()

    def close_calls(self) -> None:
        """There is nothing to close."""

    async def blocking_calls(self) -> None:
        """There are none."""

    async def create_append(
        self,
        name: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        replaces: str | None = None,
    ) -> Written:
        """See `Store.create_append`."""
        there = self._blobs().get(name)
        if replaces is None and there is not None:
            raise self._error(BlobExistsError, name, "BlobAlreadyExists")
        if replaces is not None:
            if there is None or there.etag != replaces:
                raise self._error(BlobChangedError, name, "ConditionNotMet")
            if there.blob_type != "append":
                raise self._error(WrongBlobTypeError, name, "InvalidBlobType")
        return self._make(name, _Blob(bytearray(), "append", content_type, dict(metadata or {})))

    async def append(self, name: str, data: bytes, *, offset: int | None, etag: str | None) -> Written:
        """See `Store.append`; None leaves a condition out."""
        blob = self._blob(name)
        if blob.blob_type != "append":
            raise self._error(WrongBlobTypeError, name, "InvalidBlobType")
        self._check(blob, name, etag)
        if offset not in (None, len(blob.data)):
            raise self._error(BlobChangedError, name, "AppendPositionConditionNotMet")
        if not 0 < len(data) <= PIECE:
            raise self._error(StoreError, name, "RequestBodyTooLarge")
        if blob.blocks >= self._account.block_limit:
            raise self._error(StoreError, name, "BlockCountExceedsLimit")
        blob.data += data
        blob.blocks += 1
        return self._changed(blob)

    async def properties(self, name: str) -> BlobProperties:
        """See `Store.properties`."""
        return _properties(name, self._blob(name))

    async def read(
        self, name: str, *, offset: int = 0, length: int | None = None, etag: str | None = None
    ) -> AsyncIterator[bytes]:
        """See `Store.read`."""
        blob = self._blob(name)
        self._check(blob, name, etag)
        data = blob.data
        end = len(data) if length is None else min(len(data), offset + length)
        for start in range(offset, end, PIECE):
            self._check(self._blob(name) if etag else blob, name, etag)
            yield bytes(data[start : min(end, start + PIECE)])

    async def list(self, prefix: str = "") -> AsyncIterator[BlobProperties]:
        """See `Store.list`."""
        for name, blob in sorted(self._blobs().items()):
            if name.startswith(prefix):
                yield _properties(name, blob)

    async def list_level(self, prefix: str = "") -> AsyncIterator[BlobProperties | BlobPrefix]:
        """See `Store.list_level`."""
        level: dict[str, _Blob | None] = {}
        for name, blob in self._blobs().items():
            if name.startswith(prefix):
                head, slash, _ = name[len(prefix) :].partition("/")
                level[prefix + head + slash] = None if slash else blob
        for name, shown in sorted(level.items()):
            yield BlobPrefix(name) if shown is None else _properties(name, shown)

    async def list_page(
        self, prefix: str = "", *, one_level: bool = False, after: str | None = None, limit: int = 5000
    ) -> Page:
        """See `Store.list_page`."""
        entries = [entry async for entry in (self.list_level(prefix) if one_level else self.list(prefix))]
        entries = [entry for entry in entries if entry.name > (after or "")]
        return Page(tuple(entries[:limit]), entries[limit - 1].name if len(entries) > limit else None)

    async def set_metadata(self, name: str, metadata: Mapping[str, str], *, etag: str | None = None) -> Written:
        """See `Store.set_metadata`."""
        blob = self._blob(name)
        self._check(blob, name, etag)
        blob.metadata = dict(metadata)
        return self._changed(blob)

    async def copy(self, source: str, target: str, *, etag: str | None = None) -> Written:
        """See `Store.copy`."""
        blob = self._blob(source)
        if target in self._blobs():
            raise self._error(BlobExistsError, target, "BlobAlreadyExists")
        self._check(blob, source, etag)
        made = _Blob(bytearray(blob.data), blob.blob_type, blob.content_type, dict(blob.metadata), blocks=blob.blocks)
        return self._make(target, made)

    async def delete(self, name: str, *, etag: str | None = None) -> None:
        """See `Store.delete`."""
        self._check(self._blob(name), name, etag)
        del self._blobs()[name]

    async def aclose(self) -> None:
        """See `Store.aclose`."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.location.place!r})"

    def _blobs(self) -> dict[str, _Blob]:
        container = self._account.containers.get(self.location.container)
        if container is None:
            raise ContainerNotFoundError(f"There is no {self.location.place}.", place=self.location.place)
        return container.blobs

    def _blob(self, name: str) -> _Blob:
        blob = self._blobs().get(name)
        if blob is None:
            raise self._error(BlobNotFoundError, name, "BlobNotFound")
        return blob

    def _check(self, blob: _Blob, name: str, etag: str | None) -> None:
        if etag not in (None, blob.etag):
            raise self._error(BlobChangedError, name, "ConditionNotMet")

    def _make(self, name: str, blob: _Blob) -> Written:
        self._blobs()[name] = blob
        return self._changed(blob)

    def _changed(self, blob: _Blob) -> Written:
        blob.etag, blob.last_modified = self._account.next_etag(), datetime.now(UTC)
        return Written(blob.etag, blob.last_modified)

    def _error(self, kind: type[StoreError], name: str, code: str) -> StoreError:
        place = self.location.place
        return kind(f"{place} refuses this for {name}: {code}.", place=place, blob=name, code=code)


def _properties(name: str, blob: _Blob) -> BlobProperties:
    return BlobProperties(
        name,
        len(blob.data),
        blob.etag,
        blob.last_modified,
        blob.content_type,
        dict(blob.metadata),
        blob.blob_type,
        blob.blocks if blob.blob_type == "append" else None,
    )


def _read_to_the_end(content: Readable) -> bytes:
    content.rewind()
    pieces = []
    while piece := content.read(PIECE):
        pieces.append(piece)
    return b"".join(pieces)
