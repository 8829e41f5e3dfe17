"""Reading large blobs by calls that block: ranges over connections of the standard library, into memory used again.

What costs most here is moving bytes about in memory, so each goes from the socket to where the caller takes it from,
and nowhere else.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from batch_outputs.location import AzureAccount
from batch_outputs.stores.azure import urls
from batch_outputs.stores.azure.access import Ticket
from batch_outputs.stores.azure.content import BLOCK
from batch_outputs.stores.azure.pressure import BUSY, Pressure
from batch_outputs.threads import Stop

if TYPE_CHECKING:  # only large downloads need it
    from http.client import HTTPConnection, HTTPResponse
    from ssl import SSLContext

_PIECE = 256 * 1024
"""Bytes given at once: few enough for the processor's cache, and large writes cost the system many times as much."""

_AHEAD = 4
_CONNECT = 20.0
_SILENCE = 60.0


class RefusedError(Exception):
    """Another answer than the range that was asked for."""


class RangeReader:
    """Ranges of the blobs of one container, for threads. Whatever goes wrong is raised, of whatever class."""

    def __init__(self, account: AzureAccount, container: str, pressure: Pressure) -> None:
        self._container = container
        self._endpoint = urlsplit(account.endpoint)
        self._pressure = pressure
        self._idle: deque[HTTPConnection] = deque()
        self._is_closed = threading.Event()

    def pieces(self, ticket: Ticket, name: str, etag: str, offset: int, size: int, stop: Stop) -> Generator[memoryview]:
        """The bytes from `offset` to `size`, a range behind the other; each piece is good until the next one."""
        memory = memoryview(bytearray(min(_PIECE, size - offset)))
        while offset < size:
            behind = min(offset + BLOCK, size)
            with self._answer(ticket, name, etag, offset, behind, stop) as response:
                while offset < behind:
                    length = response.readinto(memory[: behind - offset])
                    if not length:
                        raise RefusedError
                    yield memory[:length]
                    offset += length

    def pieces_ahead(
        self, ticket: Ticket, name: str, etag: str, offset: int, size: int, stop: Stop, threads: ThreadPoolExecutor
    ) -> Generator[memoryview]:
        """The same, with some ranges on their way at one time."""
        starts = iter(range(offset, size, BLOCK))
        coming: deque[tuple[memoryview, int, Future[None]]] = deque()

        def begin_next(memory: memoryview) -> None:
            start = next(starts, None)
            if start is not None:
                length = min(BLOCK, size - start)
                filling = threads.submit(self._fill, ticket, name, etag, start, memory[:length], stop)
                coming.append((memory, length, filling))

        try:
            for _ in range(_AHEAD):
                begin_next(memoryview(bytearray(BLOCK)))
            while coming:
                memory, length, filling = coming.popleft()
                filling.result()
                for start in range(0, length, _PIECE):
                    yield memory[start : min(start + _PIECE, length)]
                begin_next(memory)
        finally:
            # What was cancelled never begins, and nobody would tell us so when the threads are let go.
            wait([filling for _, _, filling in coming if not filling.cancel()])

    def close(self) -> None:
        """Close the connections that are not in use, and the others when they no longer are."""
        self._is_closed.set()
        while self._idle:
            self._idle.pop().close()

    def _fill(self, ticket: Ticket, name: str, etag: str, start: int, memory: memoryview, stop: Stop) -> None:
        with self._answer(ticket, name, etag, start, start + len(memory), stop) as response:
            filled = 0
            while filled < len(memory):
                length = response.readinto(memory[filled:])
                if not length:
                    raise RefusedError
                filled += length

    @contextmanager
    def _answer(
        self, ticket: Ticket, name: str, etag: str, offset: int, behind: int, stop: Stop
    ) -> Iterator[HTTPResponse]:
        """The answer that holds exactly a range; all of its body is to be read in the block."""
        path = f"{self._endpoint.path}{urls.blob_path(self._container, name)}"
        target = f"{path}?{ticket.sas}" if ticket.sas else path
        headers = {
            "x-ms-version": urls.API_VERSION,
            "User-Agent": "batch-outputs",
            "x-ms-range": f"bytes={offset}-{behind - 1}",
            "If-Match": etag,
            **ticket.headers(),
        }
        connection, wire, response = self._asked(target, headers, stop)
        try:
            with stop.breaking(partial(_break, wire)):
                self._check(response, offset, behind)
                yield response
                response.read()  # nothing: now the connection is free
        except BaseException:
            response.close()
            connection.close()
            raise
        if response.will_close or stop.is_set() or self._is_closed.is_set():
            connection.close()
        else:
            self._idle.append(connection)

    def _check(self, response: HTTPResponse, offset: int, behind: int) -> None:
        if response.status in BUSY:
            self._pressure.busy()
        is_range = response.getheader("Content-Range", "").startswith(f"bytes {offset}-{behind - 1}/")
        is_of_blob = response.getheader("x-ms-blob-type") is not None
        if not (response.status == 206 and is_range and is_of_blob and response.length == behind - offset):
            raise RefusedError

    def _asked(
        self, target: str, headers: dict[str, str], stop: Stop
    ) -> tuple[HTTPConnection, socket.socket, HTTPResponse]:
        from http.client import HTTPException

        while True:
            try:
                connection, is_kept = self._idle.pop(), True
            except IndexError:
                connection, is_kept = self._connect(), False
            wire = connection.sock  # which the connection forgets where the answer is to be the last
            try:
                with stop.breaking(partial(_break, wire)):
                    connection.request("GET", target, headers=headers)
                    return connection, wire, connection.getresponse()
            except BaseException as error:
                connection.close()
                is_lost = isinstance(error, (HTTPException, OSError)) and not isinstance(error, TimeoutError)
                if not (is_kept and is_lost) or stop.is_set():
                    raise  # a kept one may have been closed by the other side long ago

    def _connect(self) -> HTTPConnection:
        from http.client import HTTPConnection, HTTPSConnection

        host = self._endpoint.hostname or ""
        if self._endpoint.scheme == "https":
            connection: HTTPConnection = HTTPSConnection(
                host, self._endpoint.port, timeout=_CONNECT, context=self._trust
            )
        else:
            connection = HTTPConnection(host, self._endpoint.port, timeout=_CONNECT)
        connection.connect()
        connection.sock.settimeout(_SILENCE)
        return connection

    @cached_property
    def _trust(self) -> SSLContext:
        # One for all connections: reading all certificates that the system trusts costs more than a range.
        from ssl import create_default_context

        return create_default_context()


def _break(wire: socket.socket) -> None:
    """Have whoever waits for bytes in another thread go on, as if the other side had hung up."""
    with suppress(OSError):
        socket.socket.shutdown(wire, socket.SHUT_RDWR)  # past TLS, which would want to wait
