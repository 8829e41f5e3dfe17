"""Blocking work in threads, told to stop and waited for when nobody needs it any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TypeVar

import anyio

T = TypeVar("T")


class Stop(threading.Event):
    """Set when nobody needs a work any more; what it waits for may be broken off by that."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._actions: list[Callable[[], object]] = []

    def set(self) -> None:
        """Let whoever looks know, and break off what is waited for in `breaking` blocks."""
        super().set()
        with self._lock:
            for action in self._actions:
                action()

    @contextmanager
    def breaking(self, action: Callable[[], object]) -> Iterator[None]:
        """While the block runs, in a thread, have `action` done if this is set; it must be quick, and raise nothing."""
        with self._lock:
            self._actions.append(action)
            if self.is_set():
                action()
        try:
            yield
        finally:
            with self._lock:
                self._actions.remove(action)


async def finished(work: Callable[[], T], stop: threading.Event, threads: Executor | None = None) -> T:
    """What `work` returns, done in a thread; on being cancelled, set `stop` and go on when the thread has ended.

    So a file that the work uses can be closed then.
    """
    running = asyncio.get_running_loop().run_in_executor(threads, work)
    try:
        await asyncio.wait([running])
    except asyncio.CancelledError:
        stop.set()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # looked at, so that asyncio does not report it as lost
        raise
    return await running
