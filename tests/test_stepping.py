"""Going through asynchronous iterators without an event loop: all of it, or it is said that this cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from batch_outputs.stepping import awaited, without_loop

pytestmark = pytest.mark.anyio


async def numbers(count: int) -> AsyncIterator[int]:
    """The first ones, without waiting for anything."""

    async def same(number: int) -> int:
        return number

    for number in range(count):
        yield await same(number)


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_all_come(count: int) -> None:
    """What waits for nothing gives the same as on an event loop."""
    assert list(without_loop(numbers(count))) == list(range(count))


def test_one_value() -> None:
    """A coroutine that waits for nothing gives its result, or its error; of one that waits this is said."""

    async def total(*, of: AsyncIterator[int]) -> int:
        return sum([item async for item in of])

    async def waiting() -> None:
        await asyncio.sleep(0)

    assert awaited(total(of=numbers(5))) == 10
    work = waiting()
    with pytest.raises(RuntimeError, match="waits"):
        awaited(work)
    work.close()


def test_errors() -> None:
    """An error comes as it is, and what came before it has come."""

    async def broken() -> AsyncIterator[int]:
        yield 1
        raise LookupError

    items = without_loop(broken())
    assert next(items) == 1
    with pytest.raises(LookupError):
        next(items)


async def test_gone_on_with() -> None:
    """What was left early goes on where it was, on an event loop."""
    items = numbers(5)
    stepped = without_loop(items)
    assert [next(stepped), next(stepped)] == [0, 1]
    del stepped
    assert [item async for item in items] == [2, 3, 4]


def test_what_waits() -> None:
    """What has to wait is refused instead of standing still."""

    async def waiting() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)
        yield 2

    items = without_loop(waiting())
    assert next(items) == 1
    with pytest.raises(RuntimeError, match="waits"):
        next(items)
