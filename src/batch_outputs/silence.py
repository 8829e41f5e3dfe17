"""Noticing that nothing comes any more, long before the store gives up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Silence:
    """Calls `tell` when no `sign` of life has come for `patience` seconds; again only after another sign."""

    def __init__(self, tell: Callable[[], object], *, patience: float = 10.0) -> None:
        self._tell = tell
        self._patience = patience
        self._last = 0.0
        self._heard = asyncio.Event()

    def sign(self) -> None:
        """Note that something has come."""
        self._last = time.monotonic()
        self._heard.set()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Watch while the block runs."""
        self.sign()
        watching = asyncio.ensure_future(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            while (left := self._last + self._patience - time.monotonic()) > 0:  # noqa: ASYNC110 - until a time, not an event
                await asyncio.sleep(left)
            self._heard.clear()
            self._tell()
            await self._heard.wait()
