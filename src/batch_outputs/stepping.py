"""Going through what is written for an event loop, and waits for nothing, without one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import TypeVar

T = TypeVar("T")


def awaited(work: Awaitable[T]) -> T:
    """What `work` gives.

    Raises:
        RuntimeError: it waits for something, which only an event loop could bring about.
    """
    try:
        next(work.__await__())
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("what was not to wait for anything waits")


def without_loop(items: AsyncIterator[T]) -> Iterator[T]:
    """What an asynchronous iterator gives; left early, it can be gone on with on an event loop.

    Raises:
        RuntimeError: as `awaited`.
    """
    while True:
        try:
            item = awaited(anext(items))
        except StopAsyncIteration:
            return
        yield item
