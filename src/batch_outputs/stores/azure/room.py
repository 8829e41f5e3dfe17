"""A bound on the bytes that are in memory at one time, shared by threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """So many bytes; who wants some waits until they are free, in the order of coming."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._next = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Hold bytes while the block runs; more than there are is all there are."""
        wanted = min(size, self._size)
        # Only one waits for bytes, the others for it, so that many small ones do not keep a large one waiting for ever.
        with self._next, self._changed:
            while self._free < wanted:
                self._changed.wait()
            self._free -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify()
