"""Ports that nobody takes by chance."""

from __future__ import annotations

import random
import socket
import sys

_QUIET = range(12_000, 32_000)
"""What systems hand out to whoever binds port 0, or connects, lies above."""


def quiet_port() -> int:
    """A port of 127.0.0.1 that is free, and that no system gives away by itself until it is used."""
    with kept_port() as kept:
        return port_of(kept)


def kept_port() -> socket.socket:
    """A socket that keeps such a port from everybody, for a server that is not there all the time.

    Nobody listens on it. On Linux a server can be started on the port beside it.
    """
    while True:
        kept = socket.socket()
        try:
            kept.bind(("127.0.0.1", random.choice(_QUIET)))  # noqa: S311 - not a secret
        except OSError:
            kept.close()
            continue
        if sys.platform.startswith("linux"):  # only now, lest it shares what another keeps
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return kept


def port_of(bound: socket.socket) -> int:
    """The port that a socket is bound to."""
    port: int = bound.getsockname()[1]
    return port
