"""A service of a test's own making: it answers as Azure does where the emulator cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from aiohttp import web

from batch_outputs.location import Access, AzureAccount, SasAccess, StoreLocation

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

SIGNATURE = "c2VjcmV0/c2ln+bmF0dXJl="
SAS = "sv=2022-11-02&sr=c&sp=racwdl&se=2099-01-01T00%3A00%3A00Z&sig=c2VjcmV0%2Fc2ln%2BbmF0dXJl%3D"
DATE = "Sun, 22 Nov 2026 13:49:03 GMT"
BLOB = {"ETag": '"0x1"', "Last-Modified": DATE, "x-ms-blob-type": "BlockBlob"}


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[str]:
    """Run a server on a free port and give the account's endpoint there."""
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/acct"
    finally:
        await runner.cleanup()


def location(endpoint: str, access: Access | None = None) -> StoreLocation:
    """The container job-x behind an endpoint, with a SAS unless told otherwise."""
    return StoreLocation(AzureAccount(endpoint, access or SasAccess(SAS)), "job-x")


def refusal(status: int, code: str, **headers: str) -> web.Response:
    """An error as the service words it."""
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>No.</Message></Error>'
    return web.Response(
        status=status,
        body=body.encode(),
        headers={"x-ms-error-code": code, "Content-Type": "application/xml"}
        | {name.replace("_", "-"): value for name, value in headers.items()},
    )


def stored(status: int = 201, **headers: str) -> web.Response:
    """The answer to a write that was carried out."""
    return web.Response(
        status=status, headers=BLOB | {name.replace("_", "-"): value for name, value in headers.items()}
    )


async def hang_up(request: web.Request) -> web.Response:
    """Break the connection once the request is in."""
    await request.read()
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
