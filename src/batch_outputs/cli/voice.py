"""Saying things on a stderr that may be stuck: a pipe that is full, and that nobody reads."""

from __future__ import annotations

import contextlib
import threading
import time
from queue import Empty, SimpleQueue
from typing import TextIO

MOST_WAITING = 10_000
"""Lines that may wait for a reader. Beyond them the oldest go: the last ones say what came of it all."""
_PATIENCE = 1.0
"""Seconds that whoever reads us may take nothing, once there is nothing more to say."""
_LOOK = 0.05


class Voice:
    """A thread that writes lines, in their order, so that who has something to say never waits for a reader.

    It starts with the first line. Where the stream is stuck it waits inside the stream, which must not be flushed then.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._written = 0
        self._thread = threading.Thread(target=self._write_all, name="batch-outputs-voice", daemon=True)

    def say(self, line: str) -> None:
        """Have a line written behind those that wait."""
        if self._lines.qsize() >= MOST_WAITING:
            with contextlib.suppress(Empty):
                self._lines.get_nowait()
        self._lines.put(line)
        if self._thread.ident is None:
            with contextlib.suppress(RuntimeError):  # another thread was faster, or the system gives no more of them
                self._thread.start()

    def finish(self) -> bool:
        """Say nothing more, and wait for what is not yet written; False if nobody takes it any more."""
        self._lines.put(None)
        written, since = self._written, time.monotonic()
        while self._thread.is_alive() and time.monotonic() - since < _PATIENCE:
            self._thread.join(_LOOK)
            if self._written != written:
                written, since = self._written, time.monotonic()
        return not self._thread.is_alive()

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            write(self._stream, line)
            self._written += 1


def write(stream: TextIO | None, line: str) -> None:
    """Write a line at once; if the stream is closed or broken there is nobody to tell."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.write(line)  # type: ignore[union-attr]  # where stderr is closed there is none
        stream.flush()  # type: ignore[union-attr]
