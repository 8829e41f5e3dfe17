"""Whether something is quick enough, on a machine that is busy with other things as well.

Such a machine makes anything late now and then; a program that waits for too long is late every time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

TRIES = 5


class Stopwatch:
    """Measures the blocks that it is used in; `seconds` is what the longest of them took.

    Where a block does not fit, `start` and `stop` do the same.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def start(self) -> None:
        """From now on it runs."""
        self._began = time.monotonic()

    def stop(self) -> None:
        """It is done."""
        self.seconds = max(self.seconds, time.monotonic() - self._began)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def in_time(seconds: float, *, tries: int = TRIES) -> Iterator[Stopwatch]:
    """Have a loop's body done until what it measures takes less than so long, and fail if it never does.

        for watch in in_time(1.0):
            log.append(b"a line\n")
            with watch:
                await until(log_is_stored)

    Each try has a stopwatch of its own; where all is well, there is one.
    """
    took: list[float] = []
    for _ in range(tries):
        watch = Stopwatch()
        yield watch
        if watch.seconds < seconds:
            return
        took.append(watch.seconds)
    raise AssertionError(f"it is to take less than {seconds} s, and took {', '.join(f'{one:.2f}' for one in took)} s")
