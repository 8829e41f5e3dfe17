"""TLS over a socket: what is said arrives as it was said, nobody is trusted without cause, and an end is an end."""

from __future__ import annotations

import random
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from batch_outputs.stores.azure.http1 import Connection
from batch_outputs.stores.azure.tls_socket import TlsSocket
from support.certificates import self_signed
from support.command import wait_until
from support.sockets import PATIENCE, connected

MIB = 1 << 20

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Ends:
    """A certificate of `localhost`, and the two ends of connections that show it."""

    def __init__(self, folder: Path) -> None:
        certificate, private = self_signed(folder, "localhost", authority=False)
        self.theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.theirs.load_cert_chain(certificate, private)
        self.trust = ssl.create_default_context(cafile=certificate)

    @contextmanager
    def connected(self, speak: Callable[[ssl.SSLSocket], object], *, host: str = "localhost") -> Iterator[TlsSocket]:
        """A connection to somebody who speaks, and then hangs up without a word."""

        def run(wire: socket.socket) -> None:
            with self.theirs.wrap_socket(wire, server_side=True) as sealed:
                speak(sealed)

        with connected(run) as wire:
            sealed = TlsSocket(wire, self.trust, host)
            sealed.do_handshake()
            yield sealed


@pytest.fixture
def ends(tmp_path: Path) -> Ends:
    """Both ends."""
    return Ends(tmp_path)


def heard(wire: TlsSocket, size: int, most: int) -> bytes:
    """So many bytes, read in pieces of this size, one way and the other in turn."""
    came = bytearray()
    memory = memoryview(bytearray(most))
    while len(came) < size:
        piece = bytes(memory[: wire.recv_into(memory)]) if len(came) % 2 else wire.recv(most)
        assert 0 < len(piece) <= most
        came += piece
    return bytes(came)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("most", [1, 100, 16 * 1024, 300_000])
def test_what_is_said(ends: Ends, version: ssl.TLSVersion, most: int, seed: int) -> None:
    """In pieces of any size, whatever is said arrives byte for byte, in both directions."""
    ends.theirs.minimum_version = ends.theirs.maximum_version = version
    chance = random.Random(seed)  # noqa: S311 - not a secret
    said = chance.randbytes(chance.randint(1, 3 * MIB if most > 100 else 5000))
    answer = bytearray()

    def echo(wire: ssl.SSLSocket) -> None:
        while len(answer) < len(said):
            answer.extend(wire.recv(chance.randint(1, 100_000)))
        at = 0
        while at < len(answer):
            at += wire.send(answer[at : at + chance.randint(1, 100_000)])

    with ends.connected(echo) as wire:
        wire.sendall(said)
        assert heard(wire, len(said), max(most, 1)) == said
    assert answer == said


def test_memory_is_filled(ends: Ends) -> None:
    """Where much is there, memory is filled by a few calls, not by the 16 KiB that TLS has at once."""
    said = random.Random(1).randbytes(MIB)  # noqa: S311 - not a secret
    memory = memoryview(bytearray(256 * 1024))
    with ends.connected(lambda wire: wire.sendall(said)) as wire:
        calls = came = 0
        while came < len(said):
            came += wire.recv_into(memory)
            calls += 1
    assert calls < len(said) / (16 * 1024) / 2


def test_little_is_not_waited_with(ends: Ends) -> None:
    """What comes little by little is handed on after a moment, and not when memory is full."""
    is_over = threading.Event()

    def trickle(wire: ssl.SSLSocket) -> None:
        while not is_over.wait(0.01):  # it is about how long things take
            wire.send(b"x")

    with ends.connected(trickle) as wire:
        began = time.monotonic()
        assert 0 < wire.recv_into(memoryview(bytearray(MIB))) < MIB
        took = time.monotonic() - began
        is_over.set()
    assert took < PATIENCE / 2


@pytest.mark.parametrize("then", ["silence", "a reset"])
def test_what_came_before(ends: Ends, then: str) -> None:
    """What has come is handed on before a silence or a broken connection is told of."""
    is_read, is_over = threading.Event(), threading.Event()

    def speak(wire: ssl.SSLSocket) -> None:
        wire.sendall(b"x" * 5000)
        if then == "a reset":
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            assert is_read.wait(PATIENCE)
        else:
            is_over.wait(PATIENCE)

    with ends.connected(speak) as wire:
        wire.settimeout(1.0)
        memory = memoryview(bytearray(MIB))
        assert wire.recv_into(memory) == 5000
        is_read.set()
        with pytest.raises(OSError):  # noqa: PT011 - of several classes
            wire.recv_into(memory)
        is_over.set()


def test_another_host(ends: Ends) -> None:
    """A certificate of another host is refused."""
    with pytest.raises(ssl.SSLCertVerificationError), ends.connected(lambda _: None, host="elsewhere"):
        pass


def test_a_certificate_that_nobody_knows(ends: Ends) -> None:
    """A certificate that is not trusted is refused."""
    ends.trust = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError), ends.connected(lambda _: None):
        pass


def test_it_is_said_why(ends: Ends) -> None:
    """The other side hears why it is not spoken to."""
    heard: list[ssl.SSLError] = []

    def listen(wire: socket.socket) -> None:
        try:
            ends.theirs.wrap_socket(wire, server_side=True).recv(1)
        except ssl.SSLError as error:
            heard.append(error)

    with connected(listen) as wire, pytest.raises(ssl.SSLCertVerificationError):
        TlsSocket(wire, ssl.create_default_context(), "localhost").do_handshake()
    assert "UNKNOWN_CA" in str(heard[0])


def test_a_handshake_without_end(ends: Ends) -> None:
    """Who says what is needed byte by byte is not listened to for ever."""
    wanted, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = ends.theirs.wrap_bio(wanted, outgoing, server_side=True)

    def trickle(wire: socket.socket) -> None:
        wanted.write(wire.recv(10_000))
        with suppress(ssl.SSLWantReadError):
            theirs.do_handshake()
        for number in outgoing.read():
            wire.send(bytes([number]))
            time.sleep(0.02)  # it is about how long things take

    with connected(trickle, patience=0.3) as wire:
        sealed = TlsSocket(wire, ends.trust, "localhost")
        with pytest.raises(TimeoutError):
            sealed.do_handshake()


def test_no_tls(ends: Ends) -> None:
    """Who answers without TLS is not spoken to."""
    with connected(lambda wire: wire.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as wire:
        sealed = TlsSocket(wire, ends.trust, "localhost")
        with pytest.raises(OSError, match=r"WRONG_VERSION_NUMBER|wrong version number"):
            sealed.do_handshake()


@pytest.mark.parametrize("into", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
def test_an_end(ends: Ends, version: ssl.TLSVersion, into: bool) -> None:
    """An end that TLS has announced is the end; one that it has not is broken."""
    ends.theirs.minimum_version = ends.theirs.maximum_version = version
    memory = memoryview(bytearray(100))

    def read(wire: TlsSocket) -> int:
        return wire.recv_into(memory) if into else len(wire.recv(100))

    def end(wire: ssl.SSLSocket) -> None:
        wire.sendall(b"all")
        with suppress(OSError):
            wire.unwrap()

    with ends.connected(end) as wire:
        assert [read(wire) for _ in range(3)] == [3, 0, 0]

    def cut(wire: ssl.SSLSocket) -> None:
        wire.sendall(b"not all")
        socket.socket.shutdown(wire, socket.SHUT_RDWR)

    def read_to_the_end(wire: TlsSocket) -> None:
        while read(wire):
            pass

    with ends.connected(cut) as wire, pytest.raises(OSError):  # noqa: PT011 - of several classes
        read_to_the_end(wire)


def test_silence(ends: Ends) -> None:
    """Who says nothing is waited for no longer than was said."""
    is_over = threading.Event()
    with ends.connected(lambda _: is_over.wait(PATIENCE)) as wire:
        wire.settimeout(0.2)
        assert wire.gettimeout() == 0.2
        with pytest.raises(TimeoutError):
            wire.recv(1)
        is_over.set()


def test_a_link_that_gets_on(ends: Ends) -> None:
    """Who takes what is sent, though slowly, is waited for; each bit that goes is a sign of life."""
    said = bytes(8 * MIB)
    taken = 0

    def take(wire: ssl.SSLSocket) -> None:
        nonlocal taken
        while taken < len(said):
            time.sleep(0.005)  # it is about how long things take
            taken += len(wire.recv(16 * 1024))

    with ends.connected(take) as wire:
        wire.settimeout(1.0)
        began = time.monotonic()
        wire.sendall(said)
        assert time.monotonic() - began > 1.0
        wire.settimeout(PATIENCE)
        with suppress(OSError):
            wire.recv(1)
    assert taken == len(said)


def test_broken_off(ends: Ends) -> None:
    """Broken off from another thread, a wait ends at once."""
    is_over = threading.Event()
    with ends.connected(lambda _: is_over.wait(PATIENCE)) as wire:
        threading.Timer(0.05, lambda: wire.shutdown(socket.SHUT_RDWR)).start()
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011 - of several classes
            wire.recv(1)
        assert time.monotonic() - began < PATIENCE / 2
        is_over.set()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("what", ["nothing", "something", "an end", "a cut"])
def test_quiet(ends: Ends, version: ssl.TLSVersion, what: str) -> None:
    """A connection is used again if the other side has said nothing more, TLS's own words aside, and is still there."""
    ends.theirs.minimum_version = ends.theirs.maximum_version = version
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
    goes_on, has_said, is_over = threading.Event(), threading.Event(), threading.Event()

    def speak(wire: ssl.SSLSocket) -> None:
        wire.recv(1000)
        wire.sendall(answer)
        assert goes_on.wait(PATIENCE)
        if what == "something":
            wire.sendall(b"x")
        elif what == "an end":
            wire.settimeout(0.1)
            with suppress(OSError):
                wire.unwrap()
        elif what == "a cut":
            socket.socket.shutdown(wire, socket.SHUT_RDWR)
        has_said.set()
        if what == "nothing":
            wire.sendall(wire.recv(1000))
        is_over.wait(PATIENCE)

    with ends.connected(speak) as wire:
        connection = Connection(wire, "localhost")
        connection.send("GET", "/", {})
        assert connection.answer().read(10) == b"ab"
        assert connection.is_quiet
        goes_on.set()
        assert has_said.wait(PATIENCE)
        if what == "nothing":
            assert connection.is_quiet
            connection.wire.sendall(answer)
            assert connection.answer().read(10) == b"ab"
        else:
            wait_until(lambda: not connection.is_quiet, PATIENCE)
        is_over.set()
