"""`AzureStore`: one container, over the client that is best at each request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from batch_outputs.location import AzureAccount, StoreLocation
from batch_outputs.stores.azure import bulk, urls
from batch_outputs.stores.azure.access import tickets_for
from batch_outputs.stores.azure.bulk import Bulk
from batch_outputs.stores.azure.content import Source
from batch_outputs.stores.azure.line import Line
from batch_outputs.stores.azure.retries import RetryPolicy
from batch_outputs.stores.azure.wire import Wire
from batch_outputs.stores.base import BlobPrefix, BlobProperties, Page, Readable, Written


class AzureStore:
    """One container of Azure Blob Storage, as a `Store`.

    Making it requests nothing; connections, threads and credentials come with the first request that needs them. With
    `own_thread` nothing is handed to an executor, so that it works past the end of the main thread.

    Raises:
        ConfigurationError: an identity is to be used over plain HTTP, the proxy of the environment is none for HTTP, or
            `BATCH_OUTPUTS_RETRY_SECONDS` is not a number.
    """

    def __init__(self, location: StoreLocation, *, own_thread: bool = False) -> None:
        account = location.account
        if not isinstance(account, AzureAccount):
            raise TypeError(f"{location.place} is not on Azure")
        policy = RetryPolicy.from_environ()
        tickets = tickets_for(account, location.container)
        self._location = location
        self._line = Line(account, tickets, policy, place=location.place, own_thread=own_thread)
        self._wire = Wire(location, self._line, own_thread=own_thread)
        self._bulk = None if own_thread or not bulk.is_wanted() else Bulk(location, account, tickets, policy)

    @property
    def location(self) -> StoreLocation:
        """Where this store is."""
        return self._location

    async def put(
        self,
        name: str,
        content: bytes | Readable,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Written:
        """Store a whole block blob, without looking first what is there."""
        headers = _headers(content_type, metadata)
        urls.blob_path(self._location.container, name)  # refuses what cannot be a name, whichever client is to carry it
        source = Source(content, blob=name, place=self._location.place)
        if self._bulk is not None and bulk.carries(name, metadata or {}):
            written = await self._bulk.put(name, source, content_type=content_type, metadata=metadata or {})
            if written is not None:
                return written
            source.rewind()
        return await self._wire.put(name, source, headers)

    async def create_append(
        self,
        name: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        replaces: str | None = None,
    ) -> Written:
        """Create an empty append blob; never repeated."""
        return await self._wire.create_append(name, _headers(content_type, metadata), replaces=replaces)

    async def append(self, name: str, data: bytes, *, offset: int, etag: str) -> Written:
        """Append to exactly this state of the blob; never repeated."""
        return await self._wire.append(name, data, offset=offset, etag=etag)

    async def properties(self, name: str) -> BlobProperties:
        """What is known of a blob."""
        return await self._wire.properties(name)

    def read(
        self, name: str, *, offset: int = 0, length: int | None = None, etag: str | None = None
    ) -> AsyncIterator[bytes]:
        """The blob's bytes, as stored, whatever their content encoding."""
        return self._wire.read(name, offset=offset, length=length, etag=etag)

    def list(self, prefix: str = "") -> AsyncIterator[BlobProperties]:
        """All blobs whose name begins with `prefix`."""
        return self._wire.list_blobs(prefix)

    def list_level(self, prefix: str = "") -> AsyncIterator[BlobProperties | BlobPrefix]:
        """One level of names."""
        return self._wire.list_level(prefix)

    async def list_page(
        self, prefix: str = "", *, one_level: bool = False, after: str | None = None, limit: int = 5000
    ) -> Page:
        """Some entries of a listing; `after` is the service's marker."""
        return await self._wire.list_page(prefix, "/" if one_level else "", after, limit)

    async def set_metadata(self, name: str, metadata: Mapping[str, str], *, etag: str | None = None) -> Written:
        """Replace a blob's metadata."""
        return await self._wire.set_metadata(name, metadata, etag=etag)

    async def copy(self, source: str, target: str, *, etag: str | None = None) -> Written:
        """Copy a blob to a name where nothing is, and wait for it."""
        return await self._wire.copy(source, target, etag=etag)

    async def delete(self, name: str, *, etag: str | None = None) -> None:
        """Delete a blob."""
        await self._wire.delete(name, etag=etag)

    async def aclose(self) -> None:
        """Give back connections and threads."""
        if self._bulk is not None:
            self._bulk.close()
        await self._line.aclose()


def _headers(content_type: str | None, metadata: Mapping[str, str] | None) -> dict[str, str]:
    return {**urls.content_type_header(content_type), **urls.metadata_headers(metadata)}
