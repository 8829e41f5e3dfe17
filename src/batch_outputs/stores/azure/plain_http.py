"""Connections of the standard library's HTTP client, kept and used again: for threads, and light to import."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from batch_outputs.stores.azure import urls
from batch_outputs.stores.azure.access import Ticket
from batch_outputs.stores.azure.answers import retry_after
from batch_outputs.stores.azure.network import KEEP_ALIVE
from batch_outputs.stores.azure.pressure import BUSY, Pressure
from batch_outputs.threads import Stop

if TYPE_CHECKING:  # not every program asks for anything
    from collections.abc import Mapping
    from http.client import HTTPConnection, HTTPResponse
    from ssl import SSLContext

_CONNECT = 5.0
"""Seconds for each step towards a connection; whoever then asks in the ordinary way has more patience."""

_SILENCE = 60.0


class PlainHttp:
    """GET requests to one account, without a proxy. Whatever goes wrong is raised, of whatever class."""

    def __init__(self, endpoint: str, pressure: Pressure, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._endpoint = urlsplit(endpoint)
        self._pressure = pressure
        self._clock = clock
        self._idle: deque[tuple[HTTPConnection, float]] = deque()
        self._process = os.getpid()
        self._is_closed = threading.Event()

    @contextmanager
    def answer(
        self, path: str, query: str, ticket: Ticket, stop: Stop, headers: Mapping[str, str] | None = None
    ) -> Iterator[HTTPResponse]:
        """The answer to one request, of whatever status; all of its body is to be read in the block.

        `path` is the one below the account's endpoint; it and `query` are encoded. When `stop` is set, it breaks off,
        save while a name is looked up or, elsewhere than on Linux, a host's first answer is waited for.
        """
        parts = "&".join(part for part in (query, ticket.sas) if part)
        target = f"{self._endpoint.path}{path}{'?' if parts else ''}{parts}"
        sent = {
            "x-ms-version": urls.API_VERSION,
            "User-Agent": "batch-outputs",
            **(headers or {}),
            **ticket.headers(),
        }
        connection, wire, response = self._asked(target, sent, stop)
        try:
            if response.status in BUSY:
                self._pressure.busy(retry_after(response.headers))
            with stop.breaking(partial(_break, wire)):
                yield response
                is_free = not response.read(1)
        except BaseException:
            response.close()
            connection.close()
            raise
        if not is_free or response.will_close or stop.is_set():
            response.close()
            connection.close()
            return
        self._idle.append((connection, self._clock()))
        if self._is_closed.is_set():  # looked at behind that, or one could be kept that nobody closes
            self.close()

    def close(self) -> None:
        """Close the connections that are not in use, and the others when they no longer are."""
        self._is_closed.set()
        self._let_go()

    def _asked(
        self, target: str, headers: dict[str, str], stop: Stop
    ) -> tuple[HTTPConnection, socket.socket, HTTPResponse]:
        from http.client import HTTPException

        while True:
            kept = self._kept()
            connection = kept or self._connected(stop)
            wire = connection.sock  # which the connection forgets where the answer is to be the last
            try:
                with stop.breaking(partial(_break, wire)):
                    connection.request("GET", target, headers=headers)
                    return connection, wire, connection.getresponse()
            except BaseException as error:
                connection.close()
                is_lost = isinstance(error, (HTTPException, OSError)) and not isinstance(error, TimeoutError)
                if kept is None or not is_lost or stop.is_set():
                    raise  # a kept one may have been closed by the other side long ago

    def _kept(self) -> HTTPConnection | None:
        """The connection used last, if there is one that may still be alive."""
        if self._process != os.getpid():  # a forked child has copies, over which it would read its parent's answers
            self._process = os.getpid()
            self._let_go()
        try:
            connection, since = self._idle.pop()
        except IndexError:
            return None
        if self._clock() - since < KEEP_ALIVE:
            return connection
        # What lies between may have forgotten it, and has told nobody. All the others are older yet.
        connection.close()
        self._let_go()
        return None

    def _let_go(self) -> None:
        with suppress(IndexError):  # which another thread may have emptied
            while True:
                self._idle.pop()[0].close()

    def _connected(self, stop: Stop) -> HTTPConnection:
        from http.client import HTTP_PORT, HTTPS_PORT, HTTPConnection, HTTPSConnection

        host = self._endpoint.hostname or ""
        is_tls = self._endpoint.scheme == "https"
        # Without a port the client would look for one behind the last colon of an IPv6 address.
        port = self._endpoint.port or (HTTPS_PORT if is_tls else HTTP_PORT)
        connection = HTTPSConnection(host, port, context=self._trust) if is_tls else HTTPConnection(host, port)
        wire = self._dialled(host, port, stop)
        try:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if is_tls:
                wire = self._trust.wrap_socket(wire, server_hostname=host, do_handshake_on_connect=False)
                with stop.breaking(partial(_break, wire)):
                    wire.do_handshake()
            wire.settimeout(_SILENCE)
        except BaseException:
            wire.close()
            raise
        connection.sock = wire
        return connection

    def _dialled(self, host: str, port: int, stop: Stop) -> socket.socket:
        """A connection to the first of a host's addresses that takes it."""
        failure = OSError("there is no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            if stop.is_set():
                break
            wire = socket.socket(family, kind, protocol)
            wire.settimeout(_CONNECT)
            try:
                with stop.breaking(partial(_break, wire)):
                    wire.connect(address)
            except OSError as error:
                wire.close()
                failure = error
            else:
                return wire
        raise failure

    @cached_property
    def _trust(self) -> SSLContext:
        # One for all connections: reading all certificates that the system trusts costs more than a range.
        from ssl import create_default_context

        return create_default_context()


def _break(wire: socket.socket) -> None:
    """Have whoever waits for bytes in another thread go on, as if the other side had hung up."""
    with suppress(OSError):
        socket.socket.shutdown(wire, socket.SHUT_RDWR)  # past TLS, which would want to wait
