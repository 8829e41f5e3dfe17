"""Worker threads for many small works.

For each of very many files, a task on the event loop and the ways between it and a thread would cost more than the
work itself. Here a thread does one after the other, and outcomes are taken by the dozen.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from batch_outputs.stop import Stop

logger: logging.Logger = logging.getLogger("batch_outputs.storage")

T = TypeVar("T")
R = TypeVar("R")

_FEWEST = 2
_MOST = 32
_EACH = 0.001
"""Seconds; so that about a thousand works can begin in a second, whatever one takes, as far as threads go."""

_FORGETTING = 1.05
"""How much longer the quickest counts as with each that is slower, so that a few trifles do not count for ever."""

_TAKEN_EVERY = 0.02
"""Seconds between two takings of outcomes."""


class Crew(Generic[T, R]):
    """Does `work` for each item that is given, in threads; items and results are in `outcomes`, in no order.

    The result is None for what came to nothing, also by an error: somebody else is to do that, and to say what is
    wrong. Threads become more where the quickest work takes long, as with a service that is far away. `wake` is called,
    by a thread, when there is something in `outcomes` and at the end of each thread; it must be quick.
    """

    def __init__(self, work: Callable[[T], R | None], wake: Callable[[], object]) -> None:
        self.outcomes: deque[tuple[T, R | None]] = deque()
        self._work = work
        self._wake = wake
        self._waiting: queue.SimpleQueue[T | None] = queue.SimpleQueue()  # None: there is nothing more to come
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._working = 0
        self._quickest = math.inf
        self._is_over = False

    @property
    def is_at_work(self) -> bool:
        """Whether any thread has not ended."""
        return self._working > 0

    def give(self, item: T) -> None:
        """Have one more done."""
        self._waiting.put(item)
        if len(self._threads) < _FEWEST:
            self._start_thread(_FEWEST)

    def end(self, *, now: bool = False) -> None:
        """Let the threads end when all is done or, with `now`, when each has done what it is at."""
        self._is_over = self._is_over or now
        self._waiting.put(None)

    def join(self) -> None:
        """Wait for the threads, behind `end`."""
        for thread in self._threads:
            thread.join()

    def _start_thread(self, wanted: int) -> None:
        """One thread more, if there are fewer than are wanted: two may have seen that one is missing."""
        with self._lock:
            if len(self._threads) >= wanted or self._is_over:
                return
            try:
                thread = threading.Thread(target=self._run, name="batch-outputs-crew")
                self._working += 1
                thread.start()
            except RuntimeError:
                self._working -= 1
                if not self._threads:
                    raise
                return  # the system gives no more; those that are there will do
            self._threads.append(thread)

    def _run(self) -> None:
        try:
            self._work_off()
        finally:
            self._waiting.put(None)  # for the next thread
            with self._lock:
                self._working -= 1
            self._wake()

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
            self.outcomes.append((item, result))
            self._wake()
            if self._quickest > _FEWEST * _EACH and len(self._threads) < (wanted := self._wanted()):
                self._start_thread(wanted)

    def _wanted(self) -> int:
        """How many threads there should be; no more than there is work for."""
        if self._quickest == math.inf:
            return _FEWEST
        return min(_MOST, math.ceil(self._quickest / _EACH), len(self._threads) + self._waiting.qsize())


def work_off(
    items: Iterable[T], work: Callable[[T], R | None], told: Callable[[T, R | None], object], stop: Stop
) -> None:
    """Have a crew do `work` for each item, and call `told(item, result)` in this thread.

    Left by an error, as by Ctrl-C, it sets `stop`, so that works end early, and goes on when no thread works on.
    """
    has_ended = threading.Event()
    crew = Crew[T, R](work, lambda: None if crew.is_at_work else has_ended.set())

    def tell() -> None:
        while crew.outcomes:
            told(*crew.outcomes.popleft())

    try:
        for item in items:
            crew.give(item)
        crew.end()
        while crew.is_at_work:
            has_ended.wait(_TAKEN_EVERY)
            tell()
        tell()
    except BaseException:
        crew.end(now=True)
        stop.set()
        raise
    finally:
        crew.join()
