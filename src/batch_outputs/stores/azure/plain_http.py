"""Plain connections to the service, kept and used again: for threads, and light to import."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from batch_outputs.stop import Stop
from batch_outputs.stores.azure import urls
from batch_outputs.stores.azure.access import Ticket
from batch_outputs.stores.azure.answers import retry_after
from batch_outputs.stores.azure.http1 import Answer, Body, BrokenAnswerError, Connection
from batch_outputs.stores.azure.network import KEEP_ALIVE
from batch_outputs.stores.azure.pressure import BUSY, Pressure

if TYPE_CHECKING:  # not every program asks for anything, and not every connection is encrypted
    from ssl import SSLContext

    from batch_outputs.stores.azure.tls_socket import TlsSocket

_CONNECT = 5.0
"""Seconds for each step towards a connection; whoever then asks in the ordinary way has more patience."""

_SILENCE = 60.0
_SOON = 1.0

_REASON = 64 * 1024

_PORTS = {"http": 80, "https": 443}


class PlainHttp:
    """Requests to one account that may be repeated, without a proxy. Whatever goes wrong is raised, of any class."""

    def __init__(self, endpoint: str, pressure: Pressure, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.endpoint: str = endpoint
        self._parts = urlsplit(endpoint)
        self._pressure = pressure
        self._clock = clock
        self._idle: deque[tuple[Connection, float]] = deque()
        self._process = os.getpid()
        self._is_closed = threading.Event()

    def answer(
        self, path: str, query: str, ticket: Ticket, stop: Stop, headers: Mapping[str, str] | None = None
    ) -> AbstractContextManager[Answer]:
        """The answer to a GET, of whatever status; all of its body is to be read in the block.

        `path` is the one below the account's endpoint; it and `query` are encoded. When `stop` is set, it breaks off,
        save while a name is looked up or, elsewhere than on Linux, a host's first answer is waited for.
        """
        request = self._request("GET", path, query, ticket, headers)
        return self._read(partial(self._asked, request, stop), stop)

    def begin_answer(
        self, path: str, query: str, ticket: Ticket, stop: Stop, headers: Mapping[str, str]
    ) -> AbstractContextManager[Answer]:
        """The same, of a request that is sent at once; it is to be used in any case."""
        return self._read(self._begun(self._request("GET", path, query, ticket, headers), stop), stop)

    def put(self, path: str, query: str, ticket: Ticket, stop: Stop, headers: Mapping[str, str], body: Body) -> Answer:
        """The answer to a PUT, of whatever status, of which nobody reads the body; all else is as for `answer`."""
        return self._settled(*self._asked(self._request("PUT", path, query, ticket, headers, body), stop), stop)

    def begin_put(
        self, path: str, query: str, ticket: Ticket, stop: Stop, headers: Mapping[str, str], body: Body
    ) -> Callable[[], Answer]:
        """The same in two steps: it is sent at once, and what is returned is to be called in any case."""
        begun = self._begun(self._request("PUT", path, query, ticket, headers, body), stop)
        return lambda: self._settled(*begun(), stop)

    def close(self) -> None:
        """Close the connections that are not in use, and the others when they no longer are."""
        self._is_closed.set()
        self._let_go()

    def _request(
        self,
        method: str,
        path: str,
        query: str,
        ticket: Ticket,
        headers: Mapping[str, str] | None,
        body: Body | None = None,
    ) -> _Request:
        parts = "&".join(part for part in (query, ticket.sas) if part)
        target = f"{self._parts.path}{path}{'?' if parts else ''}{parts}"
        sent = {
            "x-ms-version": urls.API_VERSION,
            "User-Agent": "batch-outputs",
            "Accept-Encoding": "identity",
            **(headers or {}),
            **ticket.headers(),
        }
        return _Request(method, target, sent, body)

    def _asked(self, request: _Request, stop: Stop) -> tuple[Connection, Answer]:
        while True:
            kept = self._kept()
            connection = kept or self._connected(stop)
            try:
                with stop.breaking(partial(_break, connection.wire)):
                    return connection, request.answered(connection)
            except BaseException as error:
                connection.close()
                if kept is None or stop.is_set() or not _is_lost(error):
                    raise

    def _begun(self, request: _Request, stop: Stop) -> Callable[[], tuple[Connection, Answer]]:
        """Send a request, and leave its answer to be waited for; where no connection is kept it is sent only then."""
        connection = self._kept()
        if connection is None:
            return partial(self._asked, request, stop)
        try:
            with stop.breaking(partial(_break, connection.wire)):
                request.send(connection)
        except BaseException as error:
            connection.close()
            if stop.is_set() or not _is_lost(error):
                raise
            return partial(self._asked, request, stop)

        def asked() -> tuple[Connection, Answer]:
            try:
                with stop.breaking(partial(_break, connection.wire)):
                    return connection, connection.answer()
            except BaseException as error:
                connection.close()
                if stop.is_set() or not _is_lost(error):
                    raise
            return self._asked(request, stop)

        return asked

    @contextmanager
    def _read(self, asked: Callable[[], tuple[Connection, Answer]], stop: Stop) -> Iterator[Answer]:
        connection, answer = asked()
        if answer.status in BUSY:
            self._pressure.busy(retry_after(answer.headers))
        try:
            with stop.breaking(partial(_break, connection.wire)):
                yield answer
        except BaseException:
            connection.close()
            raise
        self._keep(connection, answer, stop)

    def _settled(self, connection: Connection, answer: Answer, stop: Stop) -> Answer:
        if answer.status in BUSY:
            self._pressure.busy(retry_after(answer.headers))
        if not answer.is_read:  # it says why the service refused, for people
            try:
                with stop.breaking(partial(_break, connection.wire)):
                    answer.read(_REASON)
            except (OSError, BrokenAnswerError):
                connection.close()
                return answer
        self._keep(connection, answer, stop)
        return answer

    def _keep(self, connection: Connection, answer: Answer, stop: Stop) -> None:
        """Have a connection used again, if the answer leaves it as it should be."""
        # What has said more than it was asked for would say it to the next one.
        if not answer.is_read or answer.is_last or stop.is_set() or not connection.is_quiet:
            connection.close()
            return
        self._idle.append((connection, self._clock()))
        if self._is_closed.is_set():  # looked at behind that, or one could be kept that nobody closes
            self.close()

    def _kept(self) -> Connection | None:
        """The connection used last, if there is one that may still be alive."""
        if self._process != os.getpid():  # a forked child has copies, over which it would read its parent's answers
            self._process = os.getpid()
            self._let_go()
        while True:
            try:
                connection, since = self._idle.pop()
            except IndexError:
                return None
            if self._clock() - since >= KEEP_ALIVE:
                # What lies between may have forgotten it, and has told nobody. All the others are older yet.
                connection.close()
                self._let_go()
                return None
            if connection.is_quiet:
                return connection
            connection.close()

    def _let_go(self) -> None:
        with suppress(IndexError):  # which another thread may have emptied
            while True:
                self._idle.pop()[0].close()

    def _connected(self, stop: Stop) -> Connection:
        host = self._parts.hostname or ""
        wire: socket.socket | TlsSocket
        wire = self._dialled(host, self._parts.port or _PORTS[self._parts.scheme], stop)
        try:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._parts.scheme == "https":
                with stop.breaking(partial(_break, wire)):
                    wire = self._sealed(wire, host)
            wire.settimeout(_SILENCE)
        except BaseException:
            wire.close()
            raise
        return Connection(wire, self._parts.netloc)

    def _sealed(self, wire: socket.socket, host: str) -> TlsSocket:
        from batch_outputs.stores.azure.tls_socket import TlsSocket

        sealed = TlsSocket(wire, self._trust, host)
        sealed.do_handshake()
        return sealed

    def _dialled(self, host: str, port: int, stop: Stop) -> socket.socket:
        """A connection to the first of a host's addresses that takes it."""
        failure = OSError("there is no address")
        # As bytes: a text would be encoded by a codec that takes longer to import than all this.
        found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in found:
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


class _Request(NamedTuple):
    method: str
    target: str
    headers: dict[str, str]
    body: Body | None

    def send(self, connection: Connection) -> None:
        """Send it over a connection."""
        connection.send(self.method, self.target, self.headers, self.body)

    def answered(self, connection: Connection) -> Answer:
        """The answer to it over a connection."""
        try:
            self.send(connection)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            # Who refuses a request before all of it has come may have said why.
            connection.wire.settimeout(_SOON)
            answer = connection.answer()
            answer.is_last = True
            return answer
        return connection.answer()


def _is_lost(error: BaseException) -> bool:
    """Whether a connection that was kept may have been closed by the other side long ago."""
    return isinstance(error, (BrokenAnswerError, OSError)) and not isinstance(error, TimeoutError)


def _break(wire: socket.socket | TlsSocket) -> None:
    """Have whoever waits for bytes in another thread go on, as if the other side had hung up."""
    with suppress(OSError):
        wire.shutdown(socket.SHUT_RDWR)
