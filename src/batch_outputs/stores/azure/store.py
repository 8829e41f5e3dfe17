"""`AzureStore`: one container, over the client that is best at each request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from batch_outputs.location import AzureAccount, StoreLocation
from batch_outputs.stores.azure import bulk, urls
from batch_outputs.stores.azure.access import tickets_for
from batch_outputs.stores.azure.bulk import Bulk
from batch_outputs.stores.azure.content import Source
from batch_outputs.stores.azure.network import proxy_for
from batch_outputs.stores.azure.plain_http import PlainHttp
from batch_outputs.stores.azure.pressure import pressure_on
from batch_outputs.stores.azure.retries import RetryPolicy
from batch_outputs.stores.base import BlobPrefix, BlobProperties, BlockingCalls, Page, Readable, Written

if TYPE_CHECKING:
    from batch_outputs.stores.azure import listing
    from batch_outputs.stores.azure.listings import Listings
    from batch_outputs.stores.azure.pages import PlainPages
    from batch_outputs.stores.azure.wire import Wire


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
        self._location = location
        self._account = account
        self._own_thread = own_thread
        self._lists_block = False
        self._policy = RetryPolicy.from_environ()
        self._tickets = tickets_for(account, location.container)
        self._proxy = proxy_for(account.endpoint)
        self._http = self._bulk = None
        # With a proxy in between the wire does all, which knows how to speak to it.
        if not own_thread and self._proxy is None and bulk.is_wanted():
            self._http = PlainHttp(account.endpoint, pressure_on(account.endpoint))
            self._bulk = Bulk(location, self._tickets, self._policy, self._http)

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
        if self._bulk is not None:
            written = await self._bulk.put(name, source, headers)
            if written is not None:
                return written
            source.rewind()
        return await self._wire.put(name, source, headers)

    def calls_at_hand(self) -> BlockingCalls | None:
        """As `blocking_calls`, where the ticket is at hand."""
        return None if self._bulk is None else self._bulk.calls_at_hand()

    async def blocking_calls(self) -> BlockingCalls | None:
        """Calls for worker threads over plain connections."""
        return None if self._bulk is None else await self._bulk.calls()

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
        return self._listings.blobs(prefix)

    def list_level(self, prefix: str = "") -> AsyncIterator[BlobProperties | BlobPrefix]:
        """One level of names."""
        return self._listings.level(prefix)

    async def list_page(
        self, prefix: str = "", *, one_level: bool = False, after: str | None = None, limit: int = 5000
    ) -> Page:
        """Some entries of a listing; `after` is the service's marker."""
        return await self._listings.page(prefix, one_level=one_level, after=after, limit=limit)

    async def set_metadata(self, name: str, metadata: Mapping[str, str], *, etag: str | None = None) -> Written:
        """Replace a blob's metadata."""
        return await self._wire.set_metadata(name, metadata, etag=etag)

    async def copy(self, source: str, target: str, *, etag: str | None = None) -> Written:
        """Copy a blob to a name where nothing is, and wait for it."""
        return await self._wire.copy(source, target, etag=etag)

    async def delete(self, name: str, *, etag: str | None = None) -> None:
        """Delete a blob."""
        await self._wire.delete(name, etag=etag)

    @contextmanager
    def blocking_lists(self) -> Iterator[None]:
        """A block in which listings are waited for by blocking."""
        self._lists_block = True
        try:
            yield
        finally:
            self._lists_block = False

    def close_calls(self) -> None:
        """Let plain connections and their threads go."""
        if self._bulk is not None:
            self._bulk.close()
        if self._http is not None:
            self._http.close()

    async def aclose(self) -> None:
        """Give back connections and threads."""
        self.close_calls()
        if "_wire" in self.__dict__:
            await self._wire.aclose()

    async def _page(self, query: str) -> listing.Page:
        pages, page = self._plain_pages, None
        if self._lists_block:
            page = None if pages is None else pages.page_at_once(query)
            if page is None:
                return self._page_by_a_loop(query)
        elif pages is not None:
            page = await pages.page(query)
        return await self._wire.page(query) if page is None else page

    def _page_by_a_loop(self, query: str) -> listing.Page:
        """What the wire says, on an event loop for this one page: it is what is left where the quick way fails."""
        import asyncio

        async def page() -> listing.Page:
            wire = self._new_wire()
            try:
                return await wire.page(query)
            finally:
                await wire.aclose()

        return asyncio.run(page())

    @cached_property
    def _listings(self) -> Listings:
        from batch_outputs.stores.azure.listings import Listings  # an XML parser comes with it

        return Listings(self._page)

    @cached_property
    def _plain_pages(self) -> PlainPages | None:
        from batch_outputs.stores.azure.pages import PlainPages  # a command that saves quickly needs no event loop

        if self._http is None:
            return None
        pressure = pressure_on(self._account.endpoint)
        return PlainPages(self._http, self._location.container, self._tickets, self._policy, pressure)

    @cached_property
    def _wire(self) -> Wire:
        return self._new_wire()

    def _new_wire(self) -> Wire:
        # aiohttp comes with it, and half of a short command's time with that. Saving, listing and downloading mostly do
        # without.
        from batch_outputs.stores.azure.line import Line
        from batch_outputs.stores.azure.wire import Wire

        place = self._location.place
        line = Line(self._account, self._tickets, self._policy, self._proxy, place=place, own_thread=self._own_thread)
        return Wire(self._location, line, own_thread=self._own_thread)


def _headers(content_type: str | None, metadata: Mapping[str, str] | None) -> dict[str, str]:
    return {**urls.content_type_header(content_type), **urls.metadata_headers(metadata)}
