"""Connections: an aiohttp session as this library wants it.

aiohttp's own reading of the environment would look up proxies for each request, with two hops to threads; `network`
does it once.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from batch_outputs.stores.azure.network import KEEP_ALIVE

PIECE = 256 * 1024
"""Bytes written or read at once, so that large bodies leave the event loop to others in between."""

_CONNECT = 20.0
_SILENCE = 60.0
_CONNECTIONS = 64
_SLOWEST_LINK = 32 * 1024


def new_session(*, own_thread: bool) -> aiohttp.ClientSession:
    """A session for one event loop. With `own_thread`, names are looked up inline."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            keepalive_timeout=KEEP_ALIVE,
            limit=_CONNECTIONS,
            resolver=InlineResolver() if own_thread else None,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # a blob stored compressed comes back as it was stored
        trust_env=False,
        read_bufsize=PIECE,
        skip_auto_headers=("Accept-Encoding", "Content-Type"),
    )


def time_allowed(body: bytes | None) -> aiohttp.ClientTimeout:
    """No limit to an answer that keeps coming; a body may take as long as it needs on a slow link, and no longer."""
    total = None if body is None else 2 * _SILENCE + len(body) / _SLOWEST_LINK
    return aiohttp.ClientTimeout(total=total, sock_connect=_CONNECT, sock_read=_SILENCE)


def as_body(body: bytes | None) -> bytes | AsyncIterator[bytes] | None:
    """A body as aiohttp takes it; a large one in pieces."""
    return body if body is None or len(body) <= PIECE else _pieces(body)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]


class InlineResolver(AbstractResolver):
    """Looks names up on the spot; an executor refuses work at interpreter exit, when logs are still being saved."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of a host."""
        found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Nothing to close."""
