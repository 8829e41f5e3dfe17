"""One blob into a file by ranges, several at a time, each written where it belongs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Protocol

from batch_outputs.pool import NoThreadError, Pool
from batch_outputs.stop import Stop
from batch_outputs.stores.azure.content import BLOCK
from batch_outputs.stores.azure.moving import NotWrittenError

_FIRST = 2
"""Ranges at a time in the beginning: while the bytes of one are written those of the other come."""

_MOST = 8

_LARGEST = 8 * BLOCK
"""Bytes of a range where they come so fast that asking for it, and answering, would be much of the work."""

_AHEAD = 2
"""Ranges, for each at a time, that may be there behind a gap, and are lost if the program is killed."""

_NEAR = 0.05
_FAR = 4.0
"""Seconds for 8 MiB: below the one, ranges should be larger; from there on more at a time are quicker, up to the other,
where the link is the limit."""

_TOLD_AT_LEAST = 8 * 1024 * 1024
_TOLD_EVERY = 0.25


class MoveRange(Protocol):
    """Moves the bytes from `start` to `behind` into the file, and tells of them as they come; raises if it fails."""

    def __call__(self, start: int, behind: int, moved: Callable[[int], object]) -> None:
        """Do it."""


class Pour:
    """Moves what lies from `offset` to `size`, in threads.

    `moved` hears now and then how much has come, with what was there before; `whole` up to where the file has no gaps,
    also if it does not end well. Both are called by any of the threads, one at a time.
    """

    def __init__(
        self,
        move: MoveRange,
        offset: int,
        size: int,
        stop: Stop,
        *,
        moved: Callable[[int], object],
        whole: Callable[[int], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._move = move
        self._size = size
        self._stop = stop
        self._tell_moved = moved
        self._tell_whole = whole
        self._clock = clock
        self._changed = threading.Condition()
        self._next = offset
        self._length = BLOCK
        self._whole = self._told_whole = offset
        self._tells_whole = False
        self._behind_gaps: dict[int, int] = {}
        """Where ranges that have come end, by where they begin."""
        self._moved = self._told = offset
        self._told_at = clock()
        self._threads: Pool | None = None
        self._others: list[Future[None]] = []
        self._failure: BaseException | None = None
        self._is_over = False

    def carry_out(self, threads: Pool | None) -> None:
        """Do it in this thread and in some of these; None: in this one alone.

        Raises:
            NotWrittenError: the file cannot be written.
            BaseException: whatever the first range to fail has raised.
        """
        self._threads = threads
        try:
            with self._changed:
                while len(self._others) + 1 < _FIRST and self._joined():
                    pass
            self._work()
        finally:
            with self._changed:
                self._is_over = self._is_over or self._next < self._size
                self._changed.notify_all()
            wait([other for other in self._others if not other.cancel()])
        if self._failure is not None:
            raise self._failure

    def _joined(self) -> bool:
        """Whether there is use in one more, and one has come. The lock is held."""
        last = self._next + BLOCK * (len(self._others) + 1)  # those that have just come have not begun yet
        if self._threads is None or self._is_over or last >= self._size or len(self._others) + 1 >= _MOST:
            return False
        try:
            self._others.append(self._threads.submit(self._work))
        except NoThreadError:
            return False
        return True

    def _work(self) -> None:
        try:
            while (range_ := self._claimed()) is not None:
                began = self._clock()
                self._move(*range_, self._count)
                self._finish(*range_, self._clock() - began)
        except BaseException as error:  # of whatever class: the others may be waiting for what this was to bring
            with self._changed:
                if self._failure is None or isinstance(error, NotWrittenError):
                    self._failure = error
                self._is_over = True
                self._changed.notify_all()

    def _claimed(self) -> tuple[int, int] | None:
        """The next range; None if there is none to begin."""
        with self._changed:
            while not self._is_over and self._next < self._size:
                if self._stop.is_set():
                    break
                at_once = len(self._others) + 1
                if self._next - self._whole < _AHEAD * self._length * at_once:
                    # Towards the end smaller ones, so that no thread is left alone with a large one.
                    share = (self._size - self._next) // (2 * at_once) // BLOCK * BLOCK
                    start, self._next = self._next, self._next + max(BLOCK, min(self._length, share))
                    return start, min(self._next, self._size)
                self._changed.wait()
            return None

    def _count(self, size: int) -> None:
        with self._changed:
            self._moved += size
            now = self._clock()
            if self._moved - self._told >= _TOLD_AT_LEAST or now - self._told_at >= _TOLD_EVERY:
                self._told, self._told_at = self._moved, now
                self._tell_moved(self._moved)

    def _finish(self, start: int, behind: int, seconds: float) -> None:
        with self._changed:
            self._behind_gaps[start] = behind
            while self._whole in self._behind_gaps:
                self._whole = self._behind_gaps.pop(self._whole)
                self._changed.notify_all()
            seconds *= BLOCK / max(BLOCK, behind - start)
            if seconds < _NEAR:
                self._length = min(2 * self._length, _LARGEST)
            else:
                self._length = BLOCK
                if seconds < _FAR and behind < self._size:
                    self._joined()
        self._tell_of_whole()

    def _tell_of_whole(self) -> None:
        """Tell of it if nobody is at it; the others go on, also while the disk is waited for."""
        with self._changed:
            if self._tells_whole:
                return
            self._tells_whole = True
        while True:
            with self._changed:
                if self._told_whole == self._whole:
                    self._tells_whole = False
                    return
                self._told_whole = self._whole
            try:
                self._tell_whole(self._told_whole)
            except OSError as error:
                raise NotWrittenError(error) from error
