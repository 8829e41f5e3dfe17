"""The blobs of a container as listings show them: by pages, all of them or one level, whoever asks for the pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from batch_outputs.stores.azure import listing, urls
from batch_outputs.stores.base import BlobPrefix, BlobProperties, ContainerProperties, Page


class Listings:
    """The listings of one container; `ask` gets the page that an encoded query asks for."""

    def __init__(self, ask: Callable[[str], Awaitable[listing.Page]], *, page_size: int = listing.PAGE_SIZE) -> None:
        self._ask = ask
        self._page_size = page_size

    async def blobs(self, prefix: str) -> AsyncIterator[BlobProperties]:
        """All blobs below a prefix, a page at a time as they are asked for."""
        async for entry in self._entries(prefix, one_level=False):
            if isinstance(entry, BlobProperties):
                yield entry

    async def level(self, prefix: str) -> AsyncIterator[BlobProperties | BlobPrefix]:
        """Blobs and prefixes of one level; a prefix whose blobs lie on several pages is shown once."""
        shown = ""
        async for entry in self._entries(prefix, one_level=True):
            if isinstance(entry, BlobPrefix):
                if entry.name == shown:
                    continue
                shown = entry.name
            yield entry

    async def page(self, prefix: str, *, one_level: bool, after: str | None, limit: int) -> Page:
        """One page; the service may well give empty ones before the last, and these are passed over."""
        marker: str | None = after or ""
        entries: list[BlobProperties | BlobPrefix] = []
        while not entries and marker is not None:
            page = await self._ask(_query(prefix, "/" if one_level else "", marker, limit))
            # The service mixes blobs and prefixes by name; the emulator lists one after the other.
            found = sorted(page.entries, key=_name)
            entries = [entry for entry in found if not isinstance(entry, ContainerProperties)]
            marker = page.next_marker or None
        return Page(tuple(entries), marker)

    async def _entries(self, prefix: str, *, one_level: bool) -> AsyncIterator[BlobProperties | BlobPrefix]:
        after: str | None = ""
        while after is not None:
            page = await self.page(prefix, one_level=one_level, after=after, limit=self._page_size)
            for entry in page.entries:
                yield entry
            after = page.after
            del page  # before the next one comes, so that there is one at a time


def _query(prefix: str, delimiter: str, marker: str, limit: int) -> str:
    return urls.query(
        restype="container",
        comp="list",
        include="metadata",
        prefix=prefix,
        delimiter=delimiter,
        marker=marker,
        maxresults=str(limit),
    )


def _name(entry: listing.Entry) -> str:
    return entry.name
