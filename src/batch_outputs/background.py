"""One event loop in the background, on which everything runs that blocks whoever calls it."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

LISTED_AT_ONCE = 256
"""Entries fetched in one hop between threads; a page of a listing has up to 5,000."""


class _Background:
    """An event loop in a daemon thread, for all blocking calls of this process."""

    _guard = threading.Lock()
    _current: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None

    @classmethod
    def run(cls, coroutine: Coroutine[Any, Any, T]) -> T:
        loop = cls._loop()
        if threading.current_thread() is cls._thread:
            coroutine.close()
            raise RuntimeError("a callback of batch_outputs.sync cannot wait for batch_outputs.sync itself")
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @classmethod
    def forget(cls) -> None:
        """After a fork: the child has the memory of the loop and its lock, and not the thread."""
        cls._guard = threading.Lock()
        cls._current = None

    @classmethod
    def _loop(cls) -> asyncio.AbstractEventLoop:
        with cls._guard:
            if cls._current is None:
                cls._current = asyncio.new_event_loop()
                cls._thread = threading.Thread(target=cls._current.run_forever, name="batch-outputs-sync", daemon=True)
                cls._thread.start()
            return cls._current


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_Background.forget)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result; an interruption of the wait cancels it.

    Raises:
        RuntimeError: this is the background thread itself, as in a callback.
    """
    return _Background.run(coroutine)


def iterate(items: AsyncIterator[T], at_once: int) -> Iterator[T]:
    """The items, as many at a time as `at_once`; what holds them open is closed when nobody asks for more."""

    async def some() -> tuple[list[T], bool]:
        batch: list[T] = []
        async for item in items:
            batch.append(item)
            if len(batch) == at_once:
                return batch, True
        return batch, False

    async def close() -> None:
        if (aclose := getattr(items, "aclose", None)) is not None:
            await aclose()

    try:
        more = True
        while more:
            batch, more = run(some())
            yield from batch
    finally:
        if not sys.is_finalizing():  # then the loop stands still
            run(close())


def like(original: Callable[..., Any] | property) -> Callable[[F], F]:
    """Take the docstring of the asynchronous original."""

    def document(function: F) -> F:
        function.__doc__ = original.__doc__
        return function

    return document
