"""TLS over a socket, in large pieces.

The standard library's own encrypted sockets ask the system twice for each 16 KiB that come, and send no more at once.
Here what comes is read and what goes is sent in pieces several times as large, and TLS works in memory between them.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ssl import MemoryBIO, SSLContext, SSLError, SSLWantReadError
from typing import TYPE_CHECKING, TypeVar, cast

from batch_outputs.stores.azure.readiness import can_be_read

if TYPE_CHECKING:
    from typing_extensions import Buffer

T = TypeVar("T")

_RECEIVED = 256 * 1024
_SENT = 64 * 1024
"""Bytes at once: few enough for the processor's cache, and for memory that is had again and again."""

_FILLING = 0.1
"""Seconds for which memory is filled, if so much comes."""


class TlsSocket:
    """The client's end of TLS to `host` over a connected socket, which is closed by this; for one thread at a time.

    Its methods are those of a socket, and raise what a socket's do. A connection that ends without TLS having said so
    is broken: `OSError`.
    """

    def __init__(self, wire: socket.socket, trust: SSLContext, host: str) -> None:
        self._wire = wire
        self._incoming, self._outgoing = MemoryBIO(), MemoryBIO()
        # As bytes: a text would be encoded by a codec that takes a while to import.
        self._tls = trust.wrap_bio(self._incoming, self._outgoing, server_hostname=host.encode("ascii"))
        self._received = memoryview(bytearray(_RECEIVED))
        self._has_more = False
        self._is_over = False

    def do_handshake(self) -> None:
        """Agree on how to encrypt, and make sure that it is the host; all within the time of one wait."""
        until = time.monotonic() + (self.gettimeout() or math.inf)
        while True:
            try:
                self._tls.do_handshake()
            except SSLWantReadError:
                if time.monotonic() > until:
                    raise TimeoutError("the other side does not come to an end") from None
                self._exchange()
            except SSLError:
                with suppress(OSError):
                    self._flush()  # it says why
                raise
            else:
                self._flush()
                return

    def recv(self, most: int) -> bytes:
        """Some of the bytes that come next; none at the end."""
        self._wait_for_bytes()
        piece = self._done(partial(self._tls.read, most))
        self._is_over = not piece
        return piece

    def recv_into(self, memory: memoryview) -> int:
        """The same, into memory, which is filled if that does not take long: writing little by little costs more."""
        self._wait_for_bytes()
        size = cast("int", self._done(partial(self._tls.read, len(memory), memory)))
        self._is_over = not size
        until = time.monotonic() + _FILLING
        with suppress(OSError):  # what has come is good, and the next call raises
            while 0 < size < len(memory):
                try:
                    came = cast("int", self._tls.read(len(memory) - size, memory[size:]))
                except SSLWantReadError:
                    if not can_be_read(self._wire, max(0.0, until - time.monotonic())):
                        break
                    self._exchange()
                    continue
                if not came:
                    self._is_over = True
                    break
                size += came
        return size

    def send(self, data: Buffer) -> int:
        """Send some of the data; how many bytes."""
        size = self._done(partial(self._tls.write, memoryview(data).cast("B")[:_SENT]))
        self._flush()
        return size

    def sendall(self, data: Buffer) -> None:
        """Send all of it."""
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest) :]

    @property
    def has_more(self) -> bool:
        """Whether the other side has said something that was not read, or has hung up; that may be lost by asking."""
        if not self._has_more:
            try:
                if can_be_read(self._wire):
                    self._fill()
                elif not self._has_bytes:
                    return False
                self._tls.read(1)
            except SSLWantReadError:
                return False  # it was TLS's own
            except OSError:
                pass
            self._has_more = True
        return True

    def gettimeout(self) -> float | None:
        """Seconds that each wait for the other side takes at most."""
        return self._wire.gettimeout()

    def settimeout(self, seconds: float | None) -> None:
        """Set them."""
        self._wire.settimeout(seconds)

    def shutdown(self, how: int) -> None:
        """Break it off without a word to the other side; from any thread."""
        self._wire.shutdown(how)

    def close(self) -> None:
        """Close it."""
        self._wire.close()

    @property
    def _has_bytes(self) -> bool:
        return self._incoming.pending > 0 or self._tls.pending() > 0

    def _wait_for_bytes(self) -> None:
        """Wait for what is to be read, unless something of it is there.

        TLS would say that it needs something, but by an error, which costs as much as the rest of a small request.
        """
        if not self._has_bytes and not self._is_over:
            self._exchange()

    def _done(self, step: Callable[[], T]) -> T:
        """What a step of TLS returns, with as much read for it as it takes."""
        while True:
            try:
                return step()
            except SSLWantReadError:
                self._exchange()

    def _exchange(self) -> None:
        """Send what TLS has to say, and wait for what it wants to hear."""
        self._flush()
        self._fill()

    def _fill(self) -> None:
        size = self._wire.recv_into(self._received)
        if size:
            self._incoming.write(self._received[:size])
        else:
            self._is_over = True
            self._incoming.write_eof()

    def _flush(self) -> None:
        if not self._outgoing.pending:
            return
        pending = memoryview(self._outgoing.read())
        while pending:
            pending = pending[self._wire.send(pending) :]
