"""Going through what is written for an event loop, and waits for nothing, without one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

T = TypeVar("T")


def without_loop(items: AsyncIterator[T]) -> Iterator[T]:
    """What an asynchronous iterator gives; left early, it can be gone on with on an event loop.

    Raises:
        RuntimeError: it waits for something, which only an event loop could bring about.
    """
    while True:
        step = items.__anext__().__await__()
        try:
            next(step)
        except StopIteration as end:
            yield end.value
        except StopAsyncIteration:
            return
        else:
            raise RuntimeError("an iterator that was not to wait for anything waits")
