"""Noticing that nothing comes any more, long before the store gives up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Silence:
    """Calls `tell`, from a thread, when no `sign` of life has come for `patience` seconds; again only after a sign."""

    def __init__(self, tell: Callable[[], object], *, patience: float = 10.0) -> None:
        self._tell = tell
        self._patience = patience
        self._last = 0.0
        self._is_over = threading.Event()

    def sign(self) -> None:
        """Note that something has come; any thread may."""
        self._last = time.monotonic()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch while the block runs."""
        self.sign()
        self._is_over.clear()
        watching = threading.Thread(target=self._watch, name="batch-outputs-silence", daemon=True)
        with suppress(RuntimeError):  # the system gives no thread: then nobody is told
            watching.start()
        try:
            yield
        finally:
            self._is_over.set()
            if watching.ident is not None:
                watching.join()

    def _watch(self) -> None:
        told = -1.0
        left = self._patience
        while not self._is_over.wait(left):
            last = self._last
            left = self._patience if last == told else last + self._patience - time.monotonic()
            if left <= 0:
                told, left = last, self._patience
                self._tell()
