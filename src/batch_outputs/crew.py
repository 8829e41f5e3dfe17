"""Worker threads for many small works.

For each of very many files, a task on the event loop and the ways between it and a thread would cost more than the
work itself. Here a thread does one after the other, beginning the next where one waits for somebody else, and outcomes
are taken by the dozen. Threads of Python hinder each other, so there are no more than it takes.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Generic, TypeAlias, TypeVar

from batch_outputs.stop import Stop

logger: logging.Logger = logging.getLogger("batch_outputs.storage")

T = TypeVar("T")
R = TypeVar("R")

Work: TypeAlias = Callable[[T], Generator[int, None, R | None]]
"""What is done for an item. It yields at most once, where it has begun something that goes on without it, the number
of bytes that this is to move: then the thread begins the next one before it goes on with this. What it returns is the
result."""

_MOST = 32
_EACH = 0.001
"""Seconds; so that about a thousand works can begin in a second, whatever one takes, as far as threads go."""

_BYTES_IN_EACH = 1024 * 1024
"""What moves more bytes may take longer by as much: a GiB in a second is what such threads move at most."""

_TOO_LONG = 1.0
"""Seconds of the quickest work, from which on no second one is begun by a thread."""

_FORGETTING = 1.05
"""How much longer the quickest counts as with each that is slower, so that a few trifles do not count for ever."""

LOOK_EVERY = 0.02
"""Seconds between two looks at whether anything has come."""

_LONGEST_PATIENCE = 1.0
"""Seconds; while nothing comes, the pauses between two nudges become twice as long up to this."""


class Crew(Generic[T, R]):
    """Does `work` for each item that is given, in threads; items and results are in `outcomes`, in no order.

    The result is None for what came to nothing, also by an error: somebody else is to do that, and to say what is
    wrong. Threads become more where the quickest work takes long, as with a service that is far away. `wake` is called,
    by a thread, when there is something in `outcomes` and at the end of each thread; it must be quick.
    """

    def __init__(self, work: Work[T, R], wake: Callable[[], object]) -> None:
        self.outcomes: deque[tuple[T, R | None]] = deque()
        self._work = work
        self._wake = wake
        self._waiting: queue.SimpleQueue[T | None] = queue.SimpleQueue()  # None: there is nothing more to come
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._working = 0
        self._quickest = math.inf
        self._least = math.inf
        """Seconds of the quickest, by the MiB where it was of many."""
        self._finished = 0
        self._is_over = False

    @property
    def is_at_work(self) -> bool:
        """Whether any thread has not ended."""
        return self._working > 0

    def give(self, item: T) -> None:
        """Have one more done."""
        self._waiting.put(item)
        if not self._threads:
            self._start_thread(1)
        if not self._threads:  # the system gives none: then all comes to nothing here
            self._decline()

    def nudge(self) -> None:
        """Nothing has come for a while: have one thread more, so that one slow work does not hold up the others."""
        if self._waiting.qsize():
            self._start_thread(min(_MOST, len(self._threads) + 1))

    def end(self, *, now: bool = False) -> None:
        """Let the threads end when all is done or, with `now`, when each has done what it is at."""
        self._is_over = self._is_over or now
        self._waiting.put(None)

    def join(self) -> None:
        """Wait for the threads, behind `end`; one that has not begun yet does nothing any more."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _start_thread(self, wanted: int) -> None:
        """One thread more, if there are fewer than are wanted: two may have seen that one is missing."""
        with self._lock:
            if len(self._threads) >= wanted or self._is_over:
                return
            thread = threading.Thread(target=self._run, name="batch-outputs-crew")
            # Known before it starts: Ctrl-C may come while it does.
            self._threads.append(thread)
            self._working += 1
            try:
                thread.start()
            except RuntimeError:  # the system gives no more; those that are there will do
                self._threads.remove(thread)
                self._working -= 1

    def _decline(self) -> None:
        while True:
            try:
                item = self._waiting.get(block=False)
            except queue.Empty:
                return
            if item is not None:
                self.outcomes.append((item, None))
                self._wake()

    def _run(self) -> None:
        try:
            self._work_off()
        finally:
            self._waiting.put(None)  # for the next thread
            with self._lock:
                self._working -= 1
            self._wake()

    def _work_off(self) -> None:
        begun: _Begun[T, R] | None = None
        while not self._is_over:
            item = None
            # Where one takes long, as on a slow link, a second one would only share what there is.
            if begun is None or not _TOO_LONG <= self._quickest < math.inf:
                try:
                    item = self._waiting.get(block=begun is None)
                except queue.Empty:
                    pass
                else:
                    if item is None:
                        break
            next_one = None if item is None else _Begun(item, self._work)
            if begun is not None:
                self._finish(begun)
            begun = next_one
        if begun is not None:
            self._finish(begun)

    def _finish(self, begun: _Begun[T, R]) -> None:
        result, seconds = begun.finish()
        if result is not None:  # what is declined at once says nothing of how long others take
            self._quickest = min(_FORGETTING * self._quickest, seconds)
            self._least = min(_FORGETTING * self._least, seconds / max(1, begun.moves / _BYTES_IN_EACH))
        self.outcomes.append((begun.item, result))
        self._wake()
        self._finished += 1
        # The first one had a connection to make.
        if self._finished > 1 and self._least > _EACH and len(self._threads) < (wanted := self._wanted()):
            self._start_thread(wanted)

    def _wanted(self) -> int:
        """How many threads there should be; no more than there is work for."""
        if self._least == math.inf:
            return 1
        return min(_MOST, math.ceil(self._least / _EACH), len(self._threads) + self._waiting.qsize())


class _Begun(Generic[T, R]):
    """A work that is begun, and counts the seconds that the thread spends on it, not those in between."""

    def __init__(self, item: T, work: Work[T, R]) -> None:
        self.item = item
        self.moves: int = 0
        """Bytes."""
        self._steps = work(item)
        self._result: R | None = None
        self._is_finished = False
        self._seconds = 0.0
        self._go_on()

    def finish(self) -> tuple[R | None, float]:
        """What comes of it, and how long it took."""
        if not self._is_finished:
            self._go_on()
        return self._result, self._seconds

    def _go_on(self) -> None:
        began = time.monotonic()
        try:
            self.moves = next(self._steps)
        except StopIteration as end:
            self._result, self._is_finished = end.value, True
        except Exception as error:
            # Without its text, which may hold anything; the ordinary way says in words of ours what is wrong.
            logger.debug("A quick way failed (%s); the ordinary one is taken.", type(error).__name__)
            self._is_finished = True
        self._seconds += time.monotonic() - began


def work_off(
    items: Iterable[T],
    work: Work[T, R],
    told: Callable[[T, R | None], object],
    stop: Stop,
    *,
    ahead: float = math.inf,
    look: Callable[[], object] | None = None,
) -> None:
    """Have a crew do `work` for each item, and call `told(item, result)` in this thread.

    No more than `ahead` items are taken before others are done. `look` is called now and then, in this thread, too.
    Left by an error, as by Ctrl-C, it sets `stop`, so that works end early, and goes on when no thread works on; behind
    Ctrl-C what is done by then is told.
    """
    has_ended = threading.Event()
    crew = Crew[T, R](work, lambda: None if crew.is_at_work else has_ended.set())
    nudging = Nudging(crew.nudge)
    unfinished, looked = 0, time.monotonic()

    def tell() -> None:
        nonlocal unfinished, looked
        looked = time.monotonic()
        nudging.look(something_came=bool(crew.outcomes))
        while crew.outcomes:
            unfinished -= 1
            told(*crew.outcomes.popleft())
        if look is not None:
            look()

    try:
        for item in items:
            crew.give(item)
            unfinished += 1
            if time.monotonic() - looked >= LOOK_EVERY:
                tell()
            while unfinished > ahead:
                has_ended.wait(LOOK_EVERY)
                tell()
        crew.end()
        while crew.is_at_work:
            has_ended.wait(LOOK_EVERY)
            tell()
        tell()
    except BaseException as error:
        crew.end(now=True)
        stop.set()
        crew.join()
        if isinstance(error, KeyboardInterrupt):
            tell()
        raise
    crew.join()


class Nudging:
    """When to nudge a crew of which nothing comes."""

    def __init__(self, nudge: Callable[[], object]) -> None:
        self._nudge = nudge
        self._patience = LOOK_EVERY
        self._since = time.monotonic()

    def look(self, *, something_came: bool) -> None:
        """Take note of whether something has come since the last look, and nudge if nothing has for long enough."""
        now = time.monotonic()
        if something_came:
            self._since, self._patience = now, LOOK_EVERY
        elif now - self._since >= self._patience:
            self._since, self._patience = now, min(2 * self._patience, _LONGEST_PATIENCE)
            self._nudge()
