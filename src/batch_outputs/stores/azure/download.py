"""Reading a blob to its end over connections that may break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial

from batch_outputs.errors import StoreUnavailableError
from batch_outputs.stores.azure.answers import UnusableAnswerError, blob_range
from batch_outputs.stores.azure.calls import Call
from batch_outputs.stores.azure.line import Line

RANGE = 8 * 1024 * 1024
"""Bytes asked for at once. Each range is asked for under the first one's ETag, so that a change midway is noticed."""

NOTHING_THERE = 416


class Span:
    """What is still to be read: from `offset` to `end` (None: to the blob's end) of the blob of this ETag."""

    def __init__(self, offset: int, end: int | None, etag: str | None) -> None:
        self.offset = offset
        self._end = end
        self._etag = etag

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return self._end is not None and self.offset >= self._end

    def headers(self) -> dict[str, str]:
        """The headers that ask for the next range."""
        behind = self.offset + RANGE if self._end is None else min(self.offset + RANGE, self._end)
        condition = {"If-Match": self._etag} if self._etag else {}
        return {"x-ms-range": f"bytes={self.offset}-{behind - 1}", **condition}

    def take_over(self, status: int, headers: Mapping[str, str]) -> None:
        """Learn from an answer what was not known before: where the blob ends, and which one it is.

        Raises:
            UnusableAnswerError: it does not answer what was asked.
        """
        first, behind, size = blob_range(status, headers)
        if first != self.offset or (behind <= first and size > first):
            raise UnusableAnswerError
        self._end = size if self._end is None else min(self._end, size)
        self._etag = headers["ETag"]


async def download(line: Line, make_call: Callable[[dict[str, str]], Call], span: Span) -> AsyncIterator[bytes]:
    """The bytes of a span. Patience with the service begins anew whenever bytes have come."""
    patience = line.policy.begin()
    while not span.is_done:
        call = make_call(span.headers())
        try:
            async with await line.open(call) as response:
                if response.status == NOTHING_THERE:
                    return
                line.usable(call, response, partial(span.take_over, response.status, response.headers))
                async for piece in line.pieces(response, call):
                    span.offset += len(piece)
                    patience = line.policy.begin()
                    yield piece
            continue
        except StoreUnavailableError as error:
            wait = patience.wait(error.retry_after)
            if wait is None:
                raise
        await asyncio.sleep(wait)
