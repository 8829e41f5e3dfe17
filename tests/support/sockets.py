"""Connections to somebody who says what a test wants."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

PATIENCE = 10.0
"""Seconds."""


@contextmanager
def connected(speak: Callable[[socket.socket], object], *, patience: float = PATIENCE) -> Iterator[socket.socket]:
    """A connection to somebody who speaks in a thread of his own, and then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    ours.settimeout(patience)

    def run() -> None:
        with theirs, suppress(OSError):  # some have heard enough before the end
            speak(theirs)

    speaking = threading.Thread(target=run)
    speaking.start()
    try:
        yield ours
    finally:
        ours.close()
        speaking.join()


def saying(said: bytes, cuts: list[int] | None = None) -> Callable[[socket.socket], None]:
    """Says this, cut at these places."""

    def speak(theirs: socket.socket) -> None:
        at = 0
        for cut in [*(cuts or []), len(said)]:
            theirs.sendall(said[at:cut])
            at = cut

    return speak
