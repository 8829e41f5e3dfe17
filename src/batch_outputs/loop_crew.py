"""A crew whose outcomes are told on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

import anyio

from batch_outputs.crew import LOOK_EVERY, Crew, Nudging, Work
from batch_outputs.stop import Stop

T = TypeVar("T")
R = TypeVar("R")

_TOLD_EVERY = 0.01
"""Seconds between two tellings."""


class LoopCrew(Generic[T, R]):
    """Does `work` for each item that is given, in the threads of a `Crew`, and calls `told(item, result)` on the loop.

    Use it in an `async with` block, which ends when all is done and told; left by an error or cancelled, when no thread
    works on. Then `stop` is set, so that works end early. What `told` raises comes out of the block.
    """

    def __init__(self, work: Work[T, R], told: Callable[[T, R | None], object], stop: Stop | None = None) -> None:
        self._told = told
        self._stop = stop or Stop()
        self._crew = Crew(work, self._wake)
        self._loop = asyncio.get_running_loop()
        self._is_telling = False
        self._unfinished = 0
        self._changed = asyncio.Event()
        self._failure: Exception | None = None
        self._is_over = False
        self._nudging = Nudging(self._crew.nudge)
        self._has_told = False

    def give(self, item: T) -> None:
        """Have one more done."""
        self._unfinished += 1
        self._crew.give(item)

    async def has_room(self, ahead: float) -> None:
        """Wait until no more than `ahead` items are unfinished."""
        while self._unfinished > ahead and self._failure is None:
            self._changed.clear()
            await self._changed.wait()
        if self._failure is not None:
            raise self._failure

    async def __aenter__(self) -> Self:
        self._look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.has_room(0)
        finally:
            if self._unfinished:
                self._stop.set()
            self._is_over = True  # what is told from now on is of no interest
            self._crew.end(now=True)
            with anyio.CancelScope(shield=True):
                while self._crew.is_at_work:
                    self._changed.clear()
                    await self._changed.wait()
                self._crew.join()  # they have done all but vanish

    def _wake(self) -> None:
        """There is something to be told, says a thread."""
        if not self._is_telling or not self._crew.is_at_work:
            self._is_telling = True
            self._loop.call_soon_threadsafe(self._loop.call_later, 0 if self._is_over else _TOLD_EVERY, self._tell)

    def _look(self) -> None:
        if not self._is_over:
            self._nudging.look(something_came=self._has_told or not self._unfinished)
            self._has_told = False
            self._loop.call_later(LOOK_EVERY, self._look)

    def _tell(self) -> None:
        self._is_telling = False
        self._has_told = True
        outcomes = self._crew.outcomes
        while outcomes:
            item, result = outcomes.popleft()
            self._unfinished -= 1
            if self._is_over or self._failure is not None:
                continue
            try:
                self._told(item, result)
            except Exception as error:
                self._failure = error  # raised in the block, where somebody hears of it
        self._changed.set()
