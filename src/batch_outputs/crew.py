"""Worker threads for many small works, whose outcomes are told on the event loop.

For each of very many files, a task on the event loop and the ways between it and a thread would cost more than the
work itself. Here a thread does one after the other, and its outcomes come to the loop by the dozen.
"""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

import anyio

from batch_outputs.threads import Stop

logger: logging.Logger = logging.getLogger("batch_outputs.storage")

T = TypeVar("T")
R = TypeVar("R")

_FEWEST = 2
_MOST = 32
_EACH = 0.001
"""Seconds; so that about a thousand works can begin in a second, whatever one takes, as far as threads go."""

_FORGETTING = 1.05
"""How much longer the quickest counts as with each that is slower, so that a few trifles do not count for ever."""

_TOLD_EVERY = 0.01
"""Seconds between two tellings."""


class Crew(Generic[T, R]):
    """Does `work` for each item that is given, in threads, and calls `told(item, result)` on the event loop.

    The result is None for what came to nothing, also by an error: somebody else is to do that, and to say what is
    wrong. Threads become more where the quickest work takes long, as with a service that is far away. Use it in an
    `async with` block, which ends when all is done and told; left by an error or cancelled, when no thread works on.
    Then `stop` is set, so that works end early. What `told` raises comes out of the block.
    """

    def __init__(
        self, work: Callable[[T], R | None], told: Callable[[T, R | None], object], stop: Stop | None = None
    ) -> None:
        self._work = work
        self._told = told
        self._stop = stop or Stop()
        self._waiting: queue.SimpleQueue[T | None] = queue.SimpleQueue()  # None: there is nothing more to come
        self._outcomes: deque[tuple[T, R | None]] = deque()
        self._loop = asyncio.get_running_loop()
        self._is_telling = False
        self._threads: list[threading.Thread] = []
        self._working = 0
        self._is_growing = False
        self._quickest = math.inf
        self._unfinished = 0
        self._finished = asyncio.Event()
        self._failure: Exception | None = None
        self._is_over = False

    def give(self, item: T) -> None:
        """Have one more done."""
        self._unfinished += 1
        self._waiting.put(item)
        if len(self._threads) < _FEWEST:
            self._start_thread()

    async def has_room(self, ahead: float) -> None:
        """Wait until no more than `ahead` items are unfinished."""
        while self._unfinished > ahead and self._failure is None:
            self._finished.clear()
            await self._finished.wait()
        if self._failure is not None:
            raise self._failure

    async def __aenter__(self) -> Self:
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
            self._waiting.put(None)
            with anyio.CancelScope(shield=True):
                while self._working:
                    self._finished.clear()
                    await self._finished.wait()
                for thread in self._threads:
                    thread.join()  # it has done all but vanish

    def _start_thread(self) -> None:
        try:
            thread = threading.Thread(target=self._run, name="batch-outputs-crew")
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise
            return  # the system gives no more; those that are there will do
        self._threads.append(thread)
        self._working += 1

    def _run(self) -> None:
        try:
            self._work_off()
        finally:
            self._waiting.put(None)  # for the next thread
            self._loop.call_soon_threadsafe(self._left)

    def _left(self) -> None:
        """One thread has gone, for the event loop."""
        self._working -= 1
        self._finished.set()

    def _work_off(self) -> None:
        while (item := self._waiting.get()) is not None and not self._is_over:
            began = time.monotonic()
            try:
                result = self._work(item)
            except Exception as error:
                # Without its text, which may hold anything; the ordinary way says in words of ours what is wrong.
                logger.debug("A quick way failed (%s); the ordinary one is taken.", type(error).__name__)
                result = None
            if result is not None:  # what is declined at once says nothing of how long others take
                self._quickest = min(_FORGETTING * self._quickest, time.monotonic() - began)
            self._outcomes.append((item, result))
            if not self._is_telling:
                self._is_telling = True
                self._loop.call_soon_threadsafe(self._loop.call_later, _TOLD_EVERY, self._tell)
            if not self._is_growing and len(self._threads) < self._wanted:
                self._is_growing = True
                self._loop.call_soon_threadsafe(self._grow)

    def _grow(self) -> None:
        """One thread more, for the event loop."""
        # Looked at once more: two threads may have asked for the same one.
        if not self._is_over and len(self._threads) < self._wanted:
            self._start_thread()
        self._is_growing = False

    @property
    def _wanted(self) -> int:
        """How many threads there should be; no more than there is work for."""
        if self._quickest == math.inf:
            return _FEWEST
        return min(_MOST, max(_FEWEST, math.ceil(self._quickest / _EACH)), len(self._threads) + self._waiting.qsize())

    def _tell(self) -> None:
        self._is_telling = False
        while self._outcomes:
            item, result = self._outcomes.popleft()
            self._unfinished -= 1
            if self._is_over or self._failure is not None:
                continue
            try:
                self._told(item, result)
            except Exception as error:
                self._failure = error  # raised in the block, where somebody hears of it
        self._finished.set()
