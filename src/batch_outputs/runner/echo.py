"""Passing on what the program writes, from its spool to our own stdout or stderr, as it comes."""

from __future__ import annotations

import os
import threading
import time

_LOOK = 0.05
"""Seconds between two looks at a file that does not grow."""
_PIECE = 256 * 1024
_PATIENCE = 30.0
"""Seconds that whoever reads our output may take none of it, once the program has ended."""


class Echo:
    """A thread that copies a growing file to a descriptor.

    A reader that is slow or gone holds up only this thread: never the program, and never what is saved.
    """

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._copied = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._copy, name="batch-outputs-echo", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Copy what is left, and return when it is passed on or nobody takes it any more."""
        self._closing.set()
        copied, since = self._copied, time.monotonic()
        while self._thread.is_alive() and time.monotonic() - since < _PATIENCE:
            self._thread.join(_LOOK)
            if self._copied != copied:
                copied, since = self._copied, time.monotonic()

    def _copy(self) -> None:
        try:
            source = os.open(self._path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError:
            return  # somebody took the spool away; the program goes on
        try:
            while True:
                last_look = self._closing.is_set()  # before reading: what came until then is in the file
                _back_up_if_truncated(source)
                while piece := os.read(source, _PIECE):
                    self._write(piece)
                if last_look:
                    return
                self._closing.wait(_LOOK)
        except OSError:
            return  # our reader is gone; the program and its log go on
        finally:
            os.close(source)

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


def _back_up_if_truncated(source: int) -> None:
    """A program may empty its own output, as `tee /dev/stderr` does; what it writes then begins anew."""
    if os.lseek(source, 0, os.SEEK_CUR) > os.fstat(source).st_size:
        os.lseek(source, 0, os.SEEK_SET)
