"""A service of a test's own making that answers for ranges of one blob, x: rightly, or in all manner of wrong ways."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import TypeAlias

from aiohttp import web

from batch_outputs.stores.azure import AzureStore
from batch_outputs.stores.base import BlockingCalls
from stores.azure.answering import BLOB, answering, location

Ranged: TypeAlias = Callable[[web.Request, int], web.Response]
"""Makes an answer to a request for a range of a blob of this size."""


@cache
def data(size: int) -> bytes:
    """Bytes in which a lost or repeated piece shows, the same ones each time."""
    return random.Random(size).randbytes(size)  # noqa: S311 - not a secret


@asynccontextmanager
async def calls_to(handler: Callable[[web.Request], object]) -> AsyncIterator[BlockingCalls]:
    """The quick calls of a store whose service answers with the handler."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = handler(request)
        return response if isinstance(response, web.StreamResponse) else await response  # type: ignore[misc]

    async with answering(answer) as endpoint:
        store = AzureStore(location(endpoint))
        calls = await store.blocking_calls()
        assert calls is not None
        yield calls
        await store.aclose()


def asked(request: web.Request) -> tuple[int, int]:
    """The range that is asked for: its first byte, and the one behind its last."""
    first, _, last = request.headers["x-ms-range"].removeprefix("bytes=").partition("-")
    return int(first), int(last) + 1


def ranged(request: web.Request, size: int, **changes: str | None) -> web.Response:
    """The right answer, with changes to its headers; None leaves one out."""
    first, behind = asked(request)
    headers: dict[str, str | None] = {**BLOB, "Content-Range": f"bytes {first}-{behind - 1}/{size}"}
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    return web.Response(
        status=206,
        body=data(size)[first:behind],
        headers={name: value for name, value in headers.items() if value is not None},
    )


async def broken_off(request: web.Request, size: int, cut: int) -> web.StreamResponse:
    """The right answer, which ends behind so many bytes of its body."""
    first, behind = asked(request)
    headers = {**BLOB, "Content-Range": f"bytes {first}-{behind - 1}/{size}", "Content-Length": str(behind - first)}
    response = web.StreamResponse(status=206, headers=headers)
    await response.prepare(request)
    await response.write(data(size)[first : first + cut])
    assert request.transport is not None
    request.transport.close()
    return response


def with_body(request: web.Request, size: int, body: bytes) -> web.Response:
    """The right answer's headers, over another body."""
    content_range = ranged(request, size).headers["Content-Range"]
    return web.Response(status=206, body=body, headers={**BLOB, "Content-Range": content_range})


WRONG: dict[str, Ranged] = {
    "all of it": lambda request, size: web.Response(status=200, body=data(size), headers=BLOB),
    "page": lambda request, size: web.Response(text="<html>Please sign in</html>", content_type="text/html"),
    "redirection": lambda request, size: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
    "changed": lambda request, size: web.Response(status=412),
    "another": lambda request, size: ranged(request, size, ETag='"0x2"'),
    "error": lambda request, size: web.Response(status=500),
    "no range": lambda request, size: ranged(request, size, Content_Range=None),
    "wrong range": lambda request, size: ranged(request, size, Content_Range=f"bytes 1-{asked(request)[1]}/{size}"),
    "no range at all": lambda request, size: ranged(request, size, Content_Range="x"),
    "no blob": lambda request, size: ranged(request, size, x_ms_blob_type=None),
    "too short": lambda request, size: with_body(request, size, b"x"),
    "too long": lambda request, size: with_body(request, size, data(size) * 2),
}
"""Answers that are not the range that was asked for."""
