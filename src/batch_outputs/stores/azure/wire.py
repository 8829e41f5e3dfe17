"""All that a store does with blobs, each as the request it is.

This is the hot path: a call is built, sent over the `Line`, and the answer's headers are read; nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import aiohttp

from batch_outputs.errors import BlobChangedError, BlobNotFoundError
from batch_outputs.location import StoreLocation
from batch_outputs.stores.azure import answers, urls
from batch_outputs.stores.azure.blocks import block_list, new_block_id
from batch_outputs.stores.azure.calls import Call, Deed
from batch_outputs.stores.azure.content import Source, read_block
from batch_outputs.stores.azure.copying import copy
from batch_outputs.stores.azure.download import NOTHING_THERE, Span, download
from batch_outputs.stores.azure.line import Line
from batch_outputs.stores.azure.listing import Page
from batch_outputs.stores.base import BlobProperties, Written


class Wire:
    """The blobs of one container."""

    def __init__(self, location: StoreLocation, line: Line, *, own_thread: bool = False) -> None:
        self._location = location
        self._line = line
        self._own_thread = own_thread

    async def put(self, name: str, source: Source, headers: Mapping[str, str]) -> Written:
        """Store a whole block blob with these headers (content type and metadata)."""
        if source.is_large:
            return await self._put_blocks(name, source, headers)
        body = await read_block(source, own_thread=self._own_thread)
        headers = {"x-ms-blob-type": "BlockBlob", **headers}
        return await self._write(self._call("PUT", name, "save", "wc", headers=headers, body=body), 201)

    async def _put_blocks(self, name: str, source: Source, headers: Mapping[str, str]) -> Written:
        blocks: list[str] = []
        while not source.is_at_end:
            block = await read_block(source, own_thread=self._own_thread)
            blocks.append(new_block_id())
            query = urls.query(comp="block", blockid=blocks[-1])
            call = self._call("PUT", name, "save", "wc", query=query, body=block, expect=(201,))
            await self._line.ask(call, nothing)
        body = block_list(blocks)
        call = self._call("PUT", name, "save", "wc", query="comp=blocklist", headers=headers, body=body)
        return await self._write(call, 201)

    async def create_append(self, name: str, headers: Mapping[str, str], *, replaces: str | None) -> Written:
        """Create an empty append blob; sent once."""
        condition = {"If-None-Match": "*"} if replaces is None else {"If-Match": replaces}
        headers = {"x-ms-blob-type": "AppendBlob", **condition, **headers}
        call = self._call("PUT", name, "create", "cw" if replaces is None else "w", headers=headers, body=b"")
        call.repeats = False
        return await self._write(call, 201)

    async def append(self, name: str, data: bytes, *, offset: int, etag: str) -> Written:
        """Append at exactly this offset to exactly this state of the blob; sent once."""
        headers = {"x-ms-blob-condition-appendpos": str(offset), "If-Match": etag}
        call = self._call("PUT", name, "append to", "aw", query="comp=appendblock", headers=headers, body=data)
        call.repeats = False
        return await self._write(call, 201)

    async def properties(self, name: str) -> BlobProperties:
        """What is known of a blob."""
        return answers.properties(name, await self._head(name))

    def read(self, name: str, *, offset: int, length: int | None, etag: str | None) -> AsyncIterator[bytes]:
        """A blob's bytes; after a break, on from the byte reached, if it is still the same blob."""
        return download(
            self._line,
            lambda headers: self._call("GET", name, "read", "r", headers=headers, expect=(200, 206, NOTHING_THERE)),
            Span(offset, None if length is None else offset + length, etag),
        )

    async def page(self, query: str) -> Page:
        """The page of a listing that an encoded query asks for."""
        path = urls.container_path(self._location.container)
        return await self._line.ask(Call("GET", path, "list", "l", query), read_page)

    async def set_metadata(self, name: str, metadata: Mapping[str, str], *, etag: str | None) -> Written:
        """Replace a blob's metadata."""
        condition = {"If-Match": etag} if etag else {}
        headers = {**condition, **urls.metadata_headers(metadata)}
        call = self._call("PUT", name, "mark", "w", query="comp=metadata", headers=headers, body=b"")
        try:
            return await self._write(call, 200)
        except BlobChangedError:
            # The ETag may be another because an earlier sending, whose answer was lost, has done the work.
            if not call.unsure:
                raise
            found = await self.properties(name)
            if _folded(found.metadata) != _folded(metadata):
                raise
            return Written(found.etag, found.last_modified)

    async def delete(self, name: str, *, etag: str | None) -> None:
        """Delete a blob."""
        headers = {"If-Match": etag} if etag else {}
        call = self._call("DELETE", name, "delete", "d", headers=headers, expect=(202,))
        try:
            await self._line.ask(call, nothing)
        except BlobNotFoundError:
            # An earlier sending whose answer was lost has done it.
            if not call.unsure:
                raise
        except BlobChangedError:
            # The emulator says this, too, of a blob that is gone.
            if not call.unsure or await self._exists(name):
                raise

    async def copy(self, source: str, target: str, *, etag: str | None) -> Written:
        """Copy a blob to a name where nothing is, and wait until it is there."""
        headers = {"If-None-Match": "*"}
        if etag:
            headers["x-ms-source-if-match"] = etag
        call = self._call("PUT", target, "copy", "wc", headers=headers, body=b"", expect=(202,))
        call.source = urls.blob_path(self._location.container, source)
        try:
            return await copy(self._line, call, lambda: self._head(target))
        except BlobNotFoundError:
            # It is the source that is missing, or the container: a look at it says which.
            await self._head(source)
            raise

    async def aclose(self) -> None:
        """Close the connections."""
        await self._line.aclose()

    async def _head(self, name: str) -> Mapping[str, str]:
        async def checked(response: aiohttp.ClientResponse) -> Mapping[str, str]:
            answers.properties(name, response.headers)
            return response.headers

        return await self._line.ask(self._call("HEAD", name, "look at", "r"), checked)

    async def _exists(self, name: str) -> bool:
        try:
            await self._head(name)
        except BlobNotFoundError:
            return False
        return True

    def _call(
        self,
        method: str,
        name: str,
        deed: Deed,
        needs: str,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        expect: tuple[int, ...] = (200,),
    ) -> Call:
        """A request about one blob."""
        path = urls.blob_path(self._location.container, name)
        return Call(method, path, deed, needs, query, dict(headers or {}), body, name, expect)

    async def _write(self, call: Call, status: int) -> Written:
        call.expect = (status,)
        return await self._line.ask(call, _written)


async def nothing(response: aiohttp.ClientResponse) -> None:
    """Read an answer whose status says all."""
    await response.read()


async def read_page(response: aiohttp.ClientResponse) -> Page:
    """The page of a listing that an answer holds.

    Raises:
        UnusableAnswerError: it is not a listing.
    """
    page = Page()
    async for piece in response.content.iter_any():
        page.feed(piece)
    page.close()
    return page


async def _written(response: aiohttp.ClientResponse) -> Written:
    await response.read()
    return answers.written(response.headers)


def _folded(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key.lower(): value for key, value in metadata.items()}
