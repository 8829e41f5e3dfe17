"""Blocking work in a thread, told to stop and waited for when nobody needs it any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

import anyio

T = TypeVar("T")


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
