"""Time that passes only when it is told to, and coroutines that never wait for anything else."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")


class SimulatedClock:
    """A clock that stands still between `advance`s; who sleeps by it moves it on."""

    def __init__(self) -> None:
        self.slept = 0
        """How often somebody slept."""
        self._now = 0.0
        self._count = itertools.count()
        self._planned: list[tuple[float, int, Callable[[], object]]] = []

    def now(self) -> float:
        """Seconds since the clock was made."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.slept += 1
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let the time pass; what was planned for it happens at its moment."""
        end = self._now + seconds
        while self._planned and self._planned[0][0] <= end:
            self._now, _, action = heapq.heappop(self._planned)
            action()
        self._now = end

    def plan(self, moment: float, action: Callable[[], object]) -> None:
        """Do something when that moment comes."""
        heapq.heappush(self._planned, (moment, next(self._count), action))


def run_now(coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end at once, without an event loop; it may wait for nothing but a simulated clock."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    coroutine.close()
    raise AssertionError("the coroutine waited for something that is not simulated")
