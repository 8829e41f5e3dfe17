"""How long saving may go on once it is time to end."""

from __future__ import annotations

import math
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from batch_outputs.tracking import TrackedSave

T = TypeVar("T")

_AFTER_SIGNAL = 20.0
_AFTER_SECOND_SIGNAL = 5.0

_LEAST = 1.0
"""Seconds that anything is tried for, also when no time is left: it might just be done."""
_LOOK = 0.25
_TIME_TO_STOP = 1.0


class Budget:
    """The time for saving, from `begin` on; without a limit as long as bytes move. It can only become shorter.

    Tracked saves that are added heed it. Call it from the main thread; signal handlers may.
    """

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._allowed = math.inf if limit is None else limit
        self._deadline = math.inf
        self._has_begun = False
        self._tracked: list[TrackedSave] = []

    def begin(self) -> None:
        """There is nothing left to wait for but saving: from now on its time counts."""
        if not self._has_begun:
            self._has_begun = True
            self._shorten(self._allowed)

    def hurry(self, seconds: float) -> None:
        """Allow only so many seconds from now on, or from `begin` on."""
        self._allowed = min(self._allowed, seconds)
        if self._has_begun:
            self._shorten(seconds)

    def asked_to_end(self, times: int = 1) -> None:
        """By a signal: 20 s, unless a limit was given; 5 s when asked again."""
        if times > 1:
            self.hurry(_AFTER_SECOND_SIGNAL)
        elif self._limit is None:
            self.hurry(_AFTER_SIGNAL)

    def node_ends_in(self, seconds: float) -> None:
        """The node is to end so much later at the earliest: most of that, at least 20 s, unless a limit was given."""
        if self._limit is None:
            self.hurry(max(_AFTER_SIGNAL, seconds - _AFTER_SIGNAL))

    def add(self, tracked: TrackedSave) -> None:
        """One more tracked save that has to end in this time."""
        self._tracked.append(tracked)
        if self._deadline < math.inf:
            tracked.end_within(self.left())

    def left(self) -> float:
        """Seconds that are left."""
        return self._deadline - time.monotonic()

    def _shorten(self, seconds: float) -> None:
        self._deadline = min(self._deadline, time.monotonic() + seconds)
        if self._deadline < math.inf:
            for tracked in self._tracked:
                tracked.end_within(self.left())

    async def spend_on(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this in the time that is left, and return its result.

        What hangs in a thread cannot be cancelled, and is left to itself a second later.

        Raises:
            TimeoutError: it was not done by then.
        """
        import asyncio  # not for --help

        task = asyncio.create_task(work)
        least = time.monotonic() + _LEAST
        try:
            while not task.done() and (self.left() > 0 or time.monotonic() < least):
                await asyncio.wait([task], timeout=_LOOK)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=_TIME_TO_STOP)
        if not task.done() or task.cancelled():
            raise TimeoutError
        return task.result()
