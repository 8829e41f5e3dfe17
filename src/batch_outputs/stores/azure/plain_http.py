"""Connections of the standard library's HTTP client, kept and used again: for threads, and light to import."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from batch_outputs.location import AzureAccount
from batch_outputs.stores.azure import urls
from batch_outputs.stores.azure.access import Ticket
from batch_outputs.threads import Stop

if TYPE_CHECKING:  # not every program asks for anything
    from collections.abc import Mapping
    from http.client import HTTPConnection, HTTPResponse
    from ssl import SSLContext

_CONNECT = 20.0
_SILENCE = 60.0


class PlainHttp:
    """GET requests to one account, without a proxy. Whatever goes wrong is raised, of whatever class."""

    def __init__(self, account: AzureAccount) -> None:
        self._endpoint = urlsplit(account.endpoint)
        self._idle: deque[HTTPConnection] = deque()
        self._is_closed = threading.Event()

    @contextmanager
    def answer(
        self, path: str, query: str, ticket: Ticket, stop: Stop, headers: Mapping[str, str] | None = None
    ) -> Iterator[HTTPResponse]:
        """The answer to one request, of whatever status; all of its body is to be read in the block.

        `path` is the one below the account's endpoint; it and `query` are encoded. When `stop` is set, it breaks off.
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
            with stop.breaking(partial(_break, wire)):
                yield response
                is_free = not response.read(1)
        except BaseException:
            response.close()
            connection.close()
            raise
        if not is_free or response.will_close or stop.is_set() or self._is_closed.is_set():
            response.close()
            connection.close()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Close the connections that are not in use, and the others when they no longer are."""
        self._is_closed.set()
        while self._idle:
            self._idle.pop().close()

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
