"""What can go wrong with one request, as actions for the fault proxy.

An action is a coroutine function that is handed an `Exchange`. Tests may write their own; one that neither answers nor
cuts leaves the client's connection cut.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol, TypeAlias

from support.http1 import Answer, Request

REASONS = {200: "OK", 409: "Conflict", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}
CODES = {409: "InvalidBlobType", 500: "InternalError", 503: "ServerBusy"}
HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to the network.</body></html>"


class Exchange(Protocol):
    """One request, and what can be done about it."""

    @property
    def request(self) -> Request:
        """What the client asks for."""

    async def forward(self, request: Request | None = None) -> Answer:
        """Have the service carry out the request, or another one in its place, and return its answer."""

    async def forward_half(self) -> None:
        """Let the service see the request's head and half of its body, and then nothing more."""

    async def answer(self, answer: Answer) -> None:
        """Give the client an answer."""

    async def answer_half(self, answer: Answer) -> None:
        """Give the client an answer that promises a whole body and ends after half of it."""

    async def answer_in_pieces(self, answer: Answer, pieces: int, pause: float) -> None:
        """Give the client an answer whose body comes in pieces, with `pause` seconds behind each."""

    def cut(self) -> None:
        """Break the client's connection; the service may still be asked afterwards."""

    async def client_gone(self) -> None:
        """Wait until the client gives up."""


Action: TypeAlias = Callable[[Exchange], Awaitable[None]]


async def pass_on(exchange: Exchange) -> None:
    """What happens without a fault."""
    await exchange.answer(await exchange.forward())


async def cut_before(exchange: Exchange) -> None:
    """Break the connection before the service sees the request."""
    exchange.cut()


async def cut_after(exchange: Exchange) -> None:
    """Have the request carried out and lose the answer."""
    await exchange.forward()
    exchange.cut()


def answer_before(
    status: int, *, code: str | None = None, retry_after: int | None = None, html: bool = False
) -> Action:
    """Answer with an error (or, with `html`, a page as a captive network does) in the service's place."""

    async def action(exchange: Exchange) -> None:
        await exchange.answer(made_up(status, code=code, retry_after=retry_after, html=html))

    return action


def answer_after(status: int, *, code: str | None = None, retry_after: int | None = None, html: bool = False) -> Action:
    """Have the request carried out, and answer as `answer_before` all the same."""

    async def action(exchange: Exchange) -> None:
        await exchange.forward()
        await exchange.answer(made_up(status, code=code, retry_after=retry_after, html=html))

    return action


async def half_request(exchange: Exchange) -> None:
    """Deliver half of the request's body to the service, then break both connections."""
    await exchange.forward_half()
    exchange.cut()


async def half_answer(exchange: Exchange) -> None:
    """Deliver half of the answer's body to the client, then end the connection."""
    await exchange.answer_half(await exchange.forward())


async def flip_request(exchange: Exchange) -> None:
    """Change one byte of what the client sends."""
    request = exchange.request
    await exchange.answer(await exchange.forward(replace(request, body=_flipped(request.body))))


async def flip_answer(exchange: Exchange) -> None:
    """Change one byte of what the client is given."""
    answer = await exchange.forward()
    await exchange.answer(replace(answer, body=_flipped(answer.body)))


def delay(seconds: float) -> Action:
    """Wait before the service sees the request."""

    async def action(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await pass_on(exchange)

    return action


def trickle(pieces: int = 20, pause: float = 0.05) -> Action:
    """Deliver the answer's body in pieces, with a pause in seconds behind each."""

    async def action(exchange: Exchange) -> None:
        await exchange.answer_in_pieces(await exchange.forward(), pieces, pause)

    return action


def small_pages(size: int) -> Action:
    """Have lists come in pages of at most `size`, as those of a service with thousands of blobs do."""

    async def action(exchange: Exchange) -> None:
        method, target, version = exchange.request.start.split(" ")
        asked = re.search(r"(?<=[?&]maxresults=)\d+", target)
        if asked is None:
            target += f"&maxresults={size}"
        else:
            target = f"{target[: asked.start()]}{min(size, int(asked.group()))}{target[asked.end() :]}"
        await exchange.answer(await exchange.forward(replace(exchange.request, start=f"{method} {target} {version}")))

    return action


async def hang(exchange: Exchange) -> None:
    """Never answer; the service sees nothing."""
    await exchange.client_gone()


async def silent(exchange: Exchange) -> None:
    """Answer as the service does, and go silent midway."""
    await exchange.answer_in_pieces(await exchange.forward(), 2, 60)


class Gate:
    """Holds requests back until a test lets them go; `FaultProxy.gate` makes one."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open = asyncio.Event()

    def release(self) -> None:
        """Let the requests go, those that wait and those to come."""
        self._loop.call_soon_threadsafe(self._open.set)

    async def held(self, exchange: Exchange) -> None:
        """The action: the request reaches the service only after the release, while the client waits."""
        await self._open.wait()
        await pass_on(exchange)

    async def late(self, exchange: Exchange) -> None:
        """The action: the client loses its connection at once; the request reaches the service after the release."""
        exchange.cut()
        await self._open.wait()
        await exchange.forward()


def made_up(status: int, *, code: str | None = None, retry_after: int | None = None, html: bool = False) -> Answer:
    """An answer that no service gave: an error in the service's XML, or a page."""
    code = code or CODES.get(status, "MadeUp")
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>Made up.</Message></Error>'.encode()
    )
    headers = [("Content-Type", "application/xml"), ("x-ms-error-code", code)]
    if html:
        body, headers = HTML, [("Content-Type", "text/html")]
    if retry_after is not None:
        headers.append(("Retry-After", str(retry_after)))
    start = f"HTTP/1.1 {status} {REASONS.get(status, 'Made Up')}"
    return Answer(start, (*headers, ("Content-Length", str(len(body)))), body)


def _flipped(body: bytes) -> bytes:
    assert body, "there is no byte to flip"
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
