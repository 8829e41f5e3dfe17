"""A crew on an event loop: each work is done and told once, and nothing of it is left behind."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter

import pytest

from batch_outputs.loop_crew import LoopCrew
from batch_outputs.stop import Stop
from support.crews import in_one

pytestmark = pytest.mark.anyio

NAME = "batch-outputs-crew"
PATIENCE = 30.0


def threads_there() -> int:
    """How many threads of crews there are."""
    return sum(thread.name == NAME for thread in threading.enumerate())


class Held:
    """Work that lasts until it is released, and notes who does it."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.is_released = threading.Event()
        self._changed = threading.Condition()

    def work(self, item: int) -> int:
        with self._changed:
            self.begun.append(item)
            self._changed.notify_all()
        assert self.is_released.wait(PATIENCE)
        return item

    async def have_begun(self, count: int) -> None:
        """Wait for so many works."""

        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(lambda: len(self.begun) >= count, PATIENCE)

        assert await asyncio.to_thread(wait)


@pytest.mark.parametrize("count", [0, 1, 2, 5000])
async def test_each_is_told_once(count: int) -> None:
    """However many items there are, each is told once, with its own result, on the event loop; no thread is left."""
    told: list[tuple[int, int | None]] = []
    tellers: set[str] = set()
    workers: set[str] = set()

    def work(item: int) -> int:
        workers.add(threading.current_thread().name)
        return item * item

    def note(item: int, result: int | None) -> None:
        tellers.add(threading.current_thread().name)
        told.append((item, result))

    async with LoopCrew(in_one(work), note) as crew:
        for item in range(count):
            crew.give(item)
    assert sorted(told) == [(item, item * item) for item in range(count)]
    assert tellers <= {threading.current_thread().name}
    assert workers <= {NAME}
    assert threads_there() == 0


async def test_items_that_come_one_by_one() -> None:
    """A crew that has nothing to do for a while goes on when there is something."""
    told: asyncio.Queue[int] = asyncio.Queue()

    def note(item: int, result: int | None) -> None:
        told.put_nowait(item)

    async with LoopCrew(in_one(lambda item: item), note) as crew:
        for item in range(20):
            crew.give(item)
            assert await asyncio.wait_for(told.get(), PATIENCE) == item


async def test_errors(caplog: pytest.LogCaptureFixture) -> None:
    """Work that fails is told as None, and of its error nothing but the class is noted: its text may be a secret."""
    told: dict[int, int | None] = {}

    def work(item: int) -> int | None:
        if item % 3 == 0:
            raise RuntimeError(f"https://host/?sig=secret{item}")
        return None if item % 3 == 1 else item

    with caplog.at_level(logging.DEBUG):
        async with LoopCrew(in_one(work), told.__setitem__) as crew:
            for item in range(30):
                crew.give(item)
    assert told == {item: item if item % 3 == 2 else None for item in range(30)}
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text + repr([vars(record) for record in caplog.records])


async def most_threads(*works: float, before: float | None = None) -> int:
    """How many threads have worked at most on works of this length, perhaps behind one of another length."""
    most = 0

    def work(seconds: float) -> float:
        nonlocal most
        time.sleep(seconds)
        most = max(most, threads_there())
        return seconds

    async with LoopCrew(in_one(work), lambda *_: None) as crew:
        for seconds in works if before is None else (before, *works):
            crew.give(seconds)
    return most


async def test_grows_with_slow_works() -> None:
    """Where each work waits for long there are more threads, but no more than 32, nor than there are works."""
    assert await most_threads(*[0.05] * 300) == 32
    assert await most_threads(*[0.05] * 6) <= 6


async def test_does_not_grow_with_quick_works() -> None:
    """For quick works one thread mostly does: more would be in each other's way, also when one of them takes long."""
    assert await most_threads(*[0.0] * 2000) <= 4
    assert await most_threads(*[0.0] * 2000, before=0.05) <= 4


async def test_grows_behind_trifles() -> None:
    """A few works that were done at once, or declined, do not keep the crew small when the others take long."""
    assert await most_threads(*[0.01] * 400, before=0.0) > 8
    most = 0

    def work(item: int) -> int | None:
        nonlocal most
        if item == 0:
            return None
        time.sleep(0.01)
        most = max(most, threads_there())
        return item

    async with LoopCrew(in_one(work), lambda *_: None) as crew:
        for item in range(100):
            crew.give(item)
    assert most > 8


async def test_cancelled() -> None:
    """Cancelled, it tells the works under way to stop and waits for them, begins no other, and tells nothing more."""
    held = Held()
    stop = Stop()
    told: list[int] = []

    async def use() -> None:
        async with LoopCrew(in_one(held.work), lambda item, _: told.append(item), stop) as crew:
            for item in range(100):
                crew.give(item)

    using = asyncio.ensure_future(use())
    await held.have_begun(2)
    using.cancel()
    assert await asyncio.to_thread(stop.wait, PATIENCE)
    assert not using.done()
    held.is_released.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(using, PATIENCE)
    assert threads_there() == 0
    await asyncio.sleep(0.05)  # what would still be told comes within a hundredth of a second
    assert len(held.begun) < 20
    assert told == []


async def test_an_error_in_the_block() -> None:
    """An error in the block comes out as it is, when no thread works on."""
    held = Held()
    told: list[int] = []

    async def use() -> None:
        async with LoopCrew(in_one(held.work), lambda item, _: told.append(item)) as crew:
            for item in range(100):
                crew.give(item)
            await held.have_begun(2)
            held.is_released.set()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(use(), PATIENCE)
    assert threads_there() == 0
    assert len(held.begun) < 20
    assert told == []


async def test_an_error_of_who_is_told() -> None:
    """What the one who is told raises comes out of the block, instead of keeping it waiting for ever."""
    told: list[int] = []

    def note(item: int, result: int | None) -> None:
        told.append(item)
        raise ZeroDivisionError

    async def use() -> None:
        async with LoopCrew(in_one(lambda item: item), note) as crew:
            for item in range(1000):
                crew.give(item)
                await crew.has_room(10)

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(use(), PATIENCE)
    assert len(told) == 1
    assert threads_there() == 0


async def test_has_room() -> None:
    """It waits until few enough are unfinished, and not longer."""
    held = Held()
    told: Counter[int] = Counter()
    async with LoopCrew(in_one(held.work), lambda item, _: told.update([item])) as crew:
        for item in range(10):
            crew.give(item)
        await asyncio.wait_for(crew.has_room(10), PATIENCE)
        waiting = asyncio.ensure_future(crew.has_room(3))
        await held.have_begun(2)
        assert not waiting.done()
        held.is_released.set()
        await asyncio.wait_for(waiting, PATIENCE)
        assert len(told) >= 7
        await asyncio.wait_for(crew.has_room(0), PATIENCE)
        assert told == Counter(range(10))
