"""Listings: what a page holds, what is declined, and page after page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

import pytest
from aiohttp import web

from batch_outputs.errors import StoreUnavailableError
from batch_outputs.stores.azure import AzureStore
from batch_outputs.stores.azure.answers import UnusableAnswerError
from batch_outputs.stores.azure.listing import Page
from batch_outputs.stores.azure.listings import Listings
from batch_outputs.stores.base import BlobPrefix, BlobProperties
from stores.azure.answering import answering, location
from support.azurite import Container

pytestmark = pytest.mark.anyio

OpenStore: TypeAlias = Callable[..., AzureStore]

PROPERTIES = (
    "<Last-Modified>Sun, 22 Nov 2026 13:49:03 GMT</Last-Modified><Etag>0x1</Etag><Content-Length>7</Content-Length>"
    "<Content-Type>text/plain</Content-Type><Content-Encoding /><BlobType>AppendBlob</BlobType>"
)
PAGE = f"""\ufeff<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ServiceEndpoint="https://acct.blob.core.windows.net/" ContainerName="job-x">
<Prefix>t1/</Prefix><MaxResults>5000</MaxResults><Delimiter>/</Delimiter><Blobs>
<Blob><Name>t1/a &amp; b &lt;ü😀&gt;%41</Name><Properties>{PROPERTIES}</Properties>
<Metadata><attempt>1</attempt><Name>not the name</Name><empty /></Metadata><OrMetadata /></Blob>
<Blob><Name Encoded="true">t1/%EF%BF%BF%2541</Name><Properties>{PROPERTIES}</Properties><Metadata /></Blob>
<Blob><Name>t1/folder</Name><Properties>{PROPERTIES}</Properties><Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>
</Blob>
<BlobPrefix><Name>t1/$TaskLog/</Name></BlobPrefix>
<BlobPrefix><Name Encoded="true">t1/%01/</Name><Properties><ResourceType>directory</ResourceType></Properties>
</BlobPrefix>
</Blobs><NextMarker>2!72!MDAw</NextMarker></EnumerationResults>"""


def parse(text: str | bytes, step: int) -> Page:
    """A page that comes in pieces of `step` bytes."""
    data = text.encode() if isinstance(text, str) else text
    page = Page()
    for start in range(0, len(data), step):
        page.feed(data[start : start + step])
    page.close()
    return page


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_a_page(step: int) -> None:
    """However it is cut into pieces, a page gives names as they are, metadata, prefixes and the next marker."""
    page = parse(PAGE, step)
    names = ["t1/a & b <ü😀>%41", "t1/\uffff%41", "t1/$TaskLog/", "t1/\x01/"]
    assert [entry.name for entry in page.entries] == names
    assert page.entries[0] == BlobProperties(
        name=names[0],
        size=7,
        etag='"0x1"',
        last_modified=datetime(2026, 11, 22, 13, 49, 3, tzinfo=UTC),
        content_type="text/plain",
        metadata={"attempt": "1", "Name": "not the name", "empty": ""},
        blob_type="append",
    )
    assert page.entries[2] == BlobPrefix("t1/$TaskLog/")
    assert page.next_marker == "2!72!MDAw"


ENTITIES = '<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
# But for the entities this is a page like any other.
BOMB = PAGE.replace("?>", "?>" + ENTITIES, 1).replace("t1/folder", "&b;")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html><body>Sign in<br></body></html>",
        "<html></html>",
        "<!DOCTYPE html><html></html>",
        BOMB,
        PAGE[: len(PAGE) // 2],
        PAGE.replace("<Etag>0x1</Etag>", ""),
        PAGE.replace("<Content-Length>7<", "<Content-Length>many<"),
        PAGE.replace("Sun, 22 Nov", "Some"),
        PAGE.replace("utf-8", "utf-eight"),
        "{}",
    ],
    ids=[
        "nothing",
        "html",
        "no listing",
        "document type",
        "entities",
        "half",
        "no etag",
        "size",
        "date",
        "encoding",
        "json",
    ],
)
def test_what_is_no_listing(text: str) -> None:
    """Pages of others, half ones and entity bombs are declined, by one error."""
    with pytest.raises(UnusableAnswerError):
        parse(text, 100)


async def test_a_listing_that_is_none(open_store: OpenStore, impatient: None) -> None:
    """A listing that stays unusable is an unavailable store, not a parser's traceback."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=BOMB, content_type="application/xml")

    async with answering(handler) as endpoint:
        store = open_store(location(endpoint))
        with pytest.raises(StoreUnavailableError, match="not Blob Storage"):
            await anext(aiter(store.list()))
        with pytest.raises(StoreUnavailableError, match="not Blob Storage"):
            await anext(aiter(store.list_level()))


async def test_pages_are_asked_for_as_they_are_needed(open_store: OpenStore) -> None:
    """Each page is asked for with the marker of the one before, 5,000 at once, and not before it is needed."""
    asked: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        page = PAGE.replace("2!72!MDAw", "" if len(asked) == 3 else f"&amp;next={len(asked)}")
        return web.Response(body=page.encode())

    async with answering(handler) as endpoint:
        listing = aiter(open_store(location(endpoint)).list("t1/ä&b"))
        await anext(listing)
        assert len(asked) == 1
        assert [entry.name async for entry in listing][-1] == "t1/\uffff%41"
    assert [page.get("marker") for page in asked] == [None, "&next=1", "&next=2"]
    assert {(page["prefix"], page["maxresults"], page["include"]) for page in asked} == {("t1/ä&b", "5000", "metadata")}


async def test_small_pages(open_store: OpenStore, container: Container) -> None:
    """Against the emulator: with pages of 3 nothing is lost or repeated, on all levels."""
    store = open_store(container.location())
    names = [*(f"{folder}/{number}" for folder in "abcd" for number in range(5)), "e", "f"]
    await asyncio.gather(*(store.put(name, b"", metadata={"n": name}) for name in names))
    listings = Listings(store._page, page_size=3)
    found = [blob async for blob in listings.blobs("")]
    assert [(blob.name, blob.metadata["n"]) for blob in found] == [(name, name) for name in names]
    assert [entry.name async for entry in listings.level("")] == ["a/", "b/", "c/", "d/", "e", "f"]
    assert [entry.name async for entry in listings.level("b/")] == [f"b/{number}" for number in range(5)]


async def test_more_than_one_full_page(open_store: OpenStore, container: Container) -> None:
    """Against the emulator: 5,010 blobs, more than the service gives at once, are all listed, in order."""
    store = open_store(container.location())
    names = [f"t1/{number:05}" for number in range(5010)]
    for start in range(0, len(names), 1000):
        await asyncio.gather(*(store.put(name, b"") for name in names[start : start + 1000]))
    assert [blob.name async for blob in store.list()] == names
    assert [entry.name async for entry in store.list_level()] == ["t1/"]
