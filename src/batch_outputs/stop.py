"""Telling threads that nobody needs their work any more, and breaking off what they wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stop(threading.Event):
    """Set when nobody needs a work any more; what it waits for may be broken off by that."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._actions: list[Callable[[], object]] = []

    def set(self) -> None:
        """Let whoever looks know, and break off what is waited for in `breaking` blocks."""
        super().set()
        with self._lock:
            for action in self._actions:
                action()

    @contextmanager
    def breaking(self, action: Callable[[], object]) -> Iterator[None]:
        """While the block runs, in a thread, have `action` done if this is set; it must be quick, and raise nothing."""
        with self._lock:
            self._actions.append(action)
            if self.is_set():
                action()
        try:
            yield
        finally:
            with self._lock:
                self._actions.remove(action)
