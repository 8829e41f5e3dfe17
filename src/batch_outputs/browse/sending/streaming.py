"""Answers whose content comes piece by piece: they end with the client, and when they break, they look broken."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing

import anyio
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from batch_outputs.errors import BatchOutputsError

logger: logging.Logger = logging.getLogger("batch_outputs.browse")


class Streamed(Response):
    """An answer from a generator of bytes, which is closed as soon as it is through or the client has gone.

    When it raises, the connection is closed before the end of the answer, so that nobody takes a part for the whole.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        self._pieces = pieces
        self.status_code = status_code
        self.media_type = media_type
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as an ASGI application."""

        async def answer() -> None:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for piece in self._pieces:
                await send(_body(piece))
            await send(_body(b"", more=False))

        async with aclosing(self._pieces):
            try:
                await while_client_stays(receive, answer)
            except BatchOutputsError as error:
                logger.warning("An answer was broken off: %s", error)
            # With the answer begun and not ended, the server closes the connection.


async def while_client_stays(receive: Receive, work: Callable[[], Awaitable[None]]) -> None:
    """Do something until it is done or the client has gone, with the request's body read before."""

    async def watch(scope: anyio.CancelScope) -> None:
        message: Message = {"type": ""}
        while message["type"] != "http.disconnect":
            message = await receive()
        scope.cancel()

    problem: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(watch, group.cancel_scope)
        try:
            await work()
        except Exception as error:
            problem = error  # by itself, and not in a group
        group.cancel_scope.cancel()
    if problem is not None:
        raise problem


async def verified(pieces: AsyncIterator[bytes], length: int) -> AsyncGenerator[bytes, None]:
    """Pieces of `length` bytes in all; the last is held back until there is an end of them.

    Raises:
        BatchOutputsError: as the pieces do, or as their lengths come to something else.
    """
    held = b""
    left = length
    async for piece in pieces:
        if held:
            yield held
        held = piece
        left -= len(piece)
        if left < 0:
            break
    if left != 0:
        raise BatchOutputsError(f"What was read had not the {length:,} bytes that were announced.")
    if held:
        yield held


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}
