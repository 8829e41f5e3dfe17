"""Passing on what the program writes, from its spool to our own stdout or stderr, as it comes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from batch_outputs.files import read_at

_LOOK = 0.05
"""Seconds between two looks at a file that does not grow."""
_PIECE = 256 * 1024
_PATIENCE = 30.0
"""Seconds that whoever reads our output may take none of it, once the program has ended."""


class Echo:
    """A thread that copies a growing file to a descriptor.

    A reader that is slow or gone holds up only this thread: never the program, and never what is saved.
    """

    def __init__(self, source: int, descriptor: int) -> None:
        """Copy from `source`, a descriptor of the file that stays the caller's, to `descriptor`."""
        self._source = os.dup(source)
        self._descriptor = descriptor
        self._position = 0
        self._copied = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._copy, name="batch-outputs-echo", daemon=True)
        self._thread.start()

    def finish(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """Copy what is left; return when it is passed on, nobody takes it any more, or the time for it `is_over`."""
        self._closing.set()
        copied, since = self._copied, time.monotonic()
        while self._thread.is_alive() and time.monotonic() - since < _PATIENCE and not is_over():
            self._thread.join(_LOOK)
            if self._copied != copied:
                copied, since = self._copied, time.monotonic()

    def _copy(self) -> None:
        try:
            while True:
                last_look = self._closing.is_set()  # before reading: what came until then is in the file
                self._back_up_if_truncated()
                while piece := read_at(self._source, _PIECE, self._position):
                    self._position += len(piece)
                    self._write(piece)
                if last_look:
                    return
                self._closing.wait(_LOOK)
        except OSError:
            return  # our reader is gone; the program and its log go on
        finally:
            os.close(self._source)

    def _back_up_if_truncated(self) -> None:
        """A program may empty its own output, as `tee /dev/stderr` does; what it writes then begins anew."""
        if self._position > os.fstat(self._source).st_size:
            self._position = 0

    def _write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            try:
                written = os.write(self._descriptor, rest)
            except BlockingIOError:
                time.sleep(_LOOK)  # whoever gave us the descriptor made it non-blocking, and it is full
                continue
            self._copied += written
            rest = rest[written:]
