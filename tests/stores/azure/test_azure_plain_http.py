"""Plain connections, used again: what one request has to do with has nothing to do with the next."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from batch_outputs.stop import Stop
from batch_outputs.stores.azure.access import Ticket
from batch_outputs.stores.azure.plain_http import PlainHttp
from batch_outputs.stores.azure.pressure import Pressure

STORED = b"HTTP/1.1 201 Created\r\nETag: %s\r\nContent-Length: 0\r\n\r\n"
PATIENCE = 30.0
Answering = Callable[[int], bytes]


def _requests(wire: socket.socket) -> Iterator[None]:
    """Each request with a short body that comes over a connection."""
    came = b""
    while True:
        while b"\r\n\r\n" not in came:
            piece = wire.recv(65536)
            if not piece:
                return
            came += piece
        head, _, came = came.partition(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length: ")
        left = int(length.split(b"\r\n")[0] or b"0")
        while len(came) < left:
            came += wire.recv(65536)
        came = came[left:]
        yield


@contextmanager
def served(
    answering: Answering, afterwards: Callable[[int, socket.socket], object] = lambda *_: None
) -> Iterator[tuple[PlainHttp, list[int]]]:
    """A client of a service that says so for the first request, the second, ...; and which connection each came by."""
    by: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve(wire: socket.socket, number: int) -> None:
            with wire, suppress(OSError):  # a connection that is not used again is broken off
                for _ in _requests(wire):
                    by.append(number)
                    wire.sendall(answering(len(by)))
                    afterwards(len(by), wire)

        def accept() -> None:
            number = 0
            while True:
                try:
                    wire, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(wire, number), daemon=True).start()
                number += 1

        accepting = threading.Thread(target=accept)
        accepting.start()
        http = PlainHttp(f"http://127.0.0.1:{server.getsockname()[1]}/acct", Pressure())
        try:
            yield http, by
        finally:
            http.close()
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()


def put(http: PlainHttp, *, begun: bool = False) -> tuple[int, str]:
    """Status and ETag of a put."""
    answer = (
        http.begin_put("/x", "", Ticket(), Stop(), {}, b"data")()
        if begun
        else http.put("/x", "", Ticket(), Stop(), {}, b"data")
    )
    return answer.status, answer.headers.get("ETag", "")


@pytest.mark.parametrize("begun", [False, True])
def test_used_again(begun: bool) -> None:
    """Requests one behind the other go over one connection."""
    with served(lambda number: STORED % b"%d" % number) as (http, by):
        assert [put(http, begun=begun) for _ in range(3)] == [(201, "1"), (201, "2"), (201, "3")]
        assert by == [0, 0, 0]


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize(
    ("first", "status"),
    [
        (STORED % b"1" + STORED % b"stray", 201),
        (b"HTTP/1.1 204 No\r\nContent-Length: 90\r\n\r\n" + STORED % b"stray", 204),
        (b"HTTP/1.1 409 C\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloJUNK\r\n" + STORED % b"stray", 409),
        (b"HTTP/1.1 403 No\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello" + STORED % b"stray", 403),
    ],
    ids=["two answers", "a body that is none", "a broken chunk", "the last"],
)
def test_more_than_was_asked_for(first: bytes, status: int, begun: bool) -> None:
    """What a service says besides an answer is never taken for the answer to the next request."""
    with served(lambda number: first if number == 1 else STORED % b"%d" % number) as (http, by):
        assert put(http)[0] == status
        assert put(http, begun=begun) == (201, "2")
        assert by == [0, 1]


def test_what_comes_while_nobody_asks() -> None:
    """A connection over which something has come unasked, as when the service says that it was idle, is not used."""
    said = threading.Event()

    def afterwards(number: int, wire: socket.socket) -> None:
        if number == 1:
            wire.sendall(b"HTTP/1.1 408 Idle\r\nContent-Length: 0\r\n\r\n")
            said.set()

    with served(lambda number: STORED % b"%d" % number, afterwards) as (http, by):
        assert put(http) == (201, "1")
        assert said.wait(PATIENCE)
        assert [put(http) for _ in range(2)] == [(201, "2"), (201, "3")]
        assert by == [0, 1, 1]
