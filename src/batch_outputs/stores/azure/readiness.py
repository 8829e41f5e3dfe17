"""Whether something has come over a connection, asked alike on Linux and Windows."""

from __future__ import annotations

import select
import socket
import sys


def can_be_read(wire: socket.socket, seconds: float | None = 0) -> bool:
    """Whether there is something to read, or will be in so many seconds; None: however long that takes."""
    if sys.platform == "win32":  # its `select` takes any socket, and there is nothing else
        return bool(select.select([wire], [], [], seconds)[0])
    watched = select.poll()
    watched.register(wire, select.POLLIN)
    return bool(watched.poll(None if seconds is None else seconds * 1000))
