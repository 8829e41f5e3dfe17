"""One pause for all requests to an account, while the service says that it has too much to do.

What one request learns holds for every other of this process, logs and files alike: sending on would only be refused,
and keeps the service from getting better.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator

BUSY = frozenset({429, 503})
"""Answers that mean too much at once: for this account, or for the service."""

_FIRST = 0.1
_LONGEST = 8.0
_LONGEST_ASKED_FOR = 60.0


class Pressure:
    """How long requests wait; may be told, and asked, in any thread.

    Each time that the service is busy again right after a pause, the next one is twice as long; one answer that is not
    that ends this. Pauses differ from process to process, and not all that waited go on at the same moment.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._lock = threading.Lock()
        self._pause = 0.0
        self._until = 0.0

    def busy(self, retry_after: float | None = None) -> None:
        """Note a refusal, and how many seconds the service asks us to wait, if it does."""
        with self._lock:
            now = self._clock()
            if now >= self._until:  # otherwise it was sent before the others were refused, and says nothing new
                self._pause = min(max(_FIRST, 2 * self._pause), _LONGEST)
                self._until = now + self._pause * (0.5 + self._jitter())
            self._until = max(self._until, now + min(retry_after or 0.0, _LONGEST_ASKED_FOR))

    def served(self) -> None:
        """Note any other answer."""
        if self._pause and self._clock() >= self._until:
            self._pause = 0.0

    def pauses(self, patience: float) -> Iterator[float]:
        """Seconds to wait before the next request, mostly none; all together no more than the `patience` of who asks.

        There is another pause behind one in which somebody else has been refused: the first to go on finds out for all.
        """
        while self._until and (left := self._until - self._clock()) > 0 and patience > 0:
            pause = min(left + self._pause * self._jitter() / 2, patience)
            yield pause
            patience -= pause


_accounts: dict[str, Pressure] = {}


def pressure_on(endpoint: str) -> Pressure:
    """What this process knows of an account, by its endpoint."""
    return _accounts.setdefault(endpoint, Pressure())
