"""Iterators that hold something open: closed when nobody asks them any more, and begun before they are handed on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


@asynccontextmanager
async def closing(items: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """The same items; what holds them open is closed at the end of the block, and not some time later."""
    try:
        yield items
    finally:
        if (aclose := getattr(items, "aclose", None)) is not None:
            await aclose()


async def begun(items: AsyncIterator[T], *, if_none: Exception | None = None) -> AsyncGenerator[T, None]:
    """The same items, of which the first is there: what is wrong from the outset can still be told on a page.

    Raises:
        Exception: what the first one raises; `if_none`, if it is given and there is no item.
    """
    try:
        first = [await anext(items)]
    except StopAsyncIteration:
        if if_none is not None:
            raise if_none from None
        first = []
    except BaseException:
        async with closing(items):
            raise
    return _from_first(first, items)


async def _from_first(first: list[T], items: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    async with closing(items):
        for item in first:
            yield item
        async for item in items:
            yield item
