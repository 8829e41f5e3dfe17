"""Moving an answer's body into a file: byte for byte by every way, and whoever fails is the one that is named."""

from __future__ import annotations

import errno
import os
import random
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batch_outputs.stores.azure.answers import UnusableAnswerError
from batch_outputs.stores.azure.http1 import BrokenAnswerError, Connection
from batch_outputs.stores.azure.moving import NotWrittenError, move_body
from batch_outputs.stores.azure.tls_socket import TlsSocket
from support.certificates import self_signed
from support.sockets import PATIENCE, connected, saying

MIB = 1 << 20
FIRST = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 206 Partial Content\r\n"
NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"

needs_pipes = pytest.mark.skipif(sys.platform != "linux", reason="only Linux moves from a connection to a pipe")


def with_length(body: bytes, length: int | None = None) -> bytes:
    """An answer with this body, and this length."""
    return FIRST + f"Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def in_chunks(chance: random.Random, body: bytes) -> bytes:
    """An answer with this body in chunks of any size."""
    said = bytearray(FIRST + b"Transfer-Encoding: chunked\r\n\r\n")
    while body:
        piece, body = body[: (size := chance.randint(1, 600_000))], body[size:]
        said += f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    return bytes(said) + b"0\r\n\r\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty file."""
    path = tmp_path / "target"
    path.touch()
    return path


@contextmanager
def opened(path: Path, flags: int = 0) -> Iterator[int]:
    """A file's descriptor."""
    descriptor = os.open(path, os.O_RDWR | flags | getattr(os, "O_BINARY", 0))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def move(wire: socket.socket | TlsSocket, length: int, path: Path, offset: int = 0, flags: int = 0) -> list[int]:
    """Move an answer's body; what was told of it."""
    moved: list[int] = []
    with opened(path, flags) as file:
        move_body(Connection(wire, "host").answer(), length, file, offset, moved.append)
    return moved


@pytest.mark.parametrize("form", ["length", "chunks"])
@pytest.mark.parametrize("size", [1, 1000, 256 * 1024 + 1, MIB, MIB + 1, 5 * MIB + 3])
def test_byte_for_byte(path: Path, seed: int, size: int, form: str) -> None:
    """In whatever pieces a body comes, it gets where it belongs, and nothing else; then the next answer is heard."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    body, offset = chance.randbytes(size), chance.choice([0, 1, 4096, 70_001])
    said = (with_length(body) if form == "length" else in_chunks(chance, body)) + NEXT
    near = [chance.randint(1, min(len(said), 20_000)) for _ in range(4)]
    cuts = sorted(near + [chance.randint(1, len(said)) for _ in range(4)])
    path.write_bytes(b"\xff" * (offset + size + 5))
    moved: list[int] = []
    with connected(saying(said, cuts)) as wire, opened(path) as file:
        connection = Connection(wire, "host")
        answer = connection.answer()
        move_body(answer, size, file, offset, moved.append)
        assert answer.is_read
        following = connection.answer()
        assert (following.status, following.read(10)) == (200, b"next")
    assert path.read_bytes() == b"\xff" * offset + body + b"\xff" * 5
    assert sum(moved) == size
    assert all(moved)


def test_over_tls(path: Path, tmp_path: Path) -> None:
    """What has to be decrypted comes byte for byte, too."""
    body = random.Random(1).randbytes(3 * MIB)  # noqa: S311 - not a secret
    certificate, private = self_signed(tmp_path, "localhost", authority=False)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate, private)

    def speak(wire: socket.socket) -> None:
        with theirs.wrap_socket(wire, server_side=True) as sealed:
            sealed.sendall(with_length(body))

    with connected(speak) as wire:
        context = ssl.create_default_context(cafile=certificate)
        sealed = TlsSocket(wire, context, "localhost")
        sealed.do_handshake()
        assert sum(move(sealed, len(body), path)) == len(body)
    assert path.read_bytes() == body


@needs_pipes
def test_a_tiny_pipe(path: Path) -> None:
    """Through the smallest pipe that there is, a body comes whole, with what came together with its head."""
    import fcntl

    body = random.Random(2).randbytes(300_000)  # noqa: S311 - not a secret
    end, pipe = os.pipe()
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1)
    came = bytearray()
    with connected(saying(with_length(body) + NEXT)) as wire:
        answer = Connection(wire, "host").answer()
        while size := answer.read_into_pipe(pipe, MIB):
            while size:
                piece = os.read(end, size)
                came += piece
                size -= len(piece)
    os.close(end)
    os.close(pipe)
    assert answer.is_read
    assert bytes(came) == body


@needs_pipes
def test_a_disk_that_takes_nothing_from_pipes(path: Path) -> None:
    """Where a file takes nothing from a pipe, what is in the pipe already is not lost, and the rest comes behind it."""
    body = random.Random(3).randbytes(4 * MIB)  # noqa: S311 - not a secret
    with connected(saying(with_length(body))) as wire:
        assert sum(move(wire, len(body), path, flags=os.O_APPEND)) == len(body)
    assert path.read_bytes() == body


@needs_pipes
@pytest.mark.parametrize("size", [1000, 4 * MIB])
def test_a_full_disk(size: int) -> None:
    """A disk that is full is named as what fails, not the service."""
    with connected(saying(with_length(bytes(size)))) as wire, pytest.raises(NotWrittenError) as raised:
        move(wire, size, Path("/dev/full"))
    assert raised.value.error.errno == errno.ENOSPC


LIMITED = """
import errno, os, resource, socket, sys, threading
from batch_outputs.stores.azure.http1 import Connection
from batch_outputs.stores.azure.moving import NotWrittenError, move_body

path, limit, length = sys.argv[1], int(sys.argv[2]), 4 << 20
ours, theirs = socket.socketpair()

def speak():
    try:
        theirs.sendall(b"HTTP/1.1 206 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % length + b"x" * length)
    except OSError:
        pass

threading.Thread(target=speak).start()
ours.settimeout(10)
file = os.open(path, os.O_RDWR)
before = len(os.listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
moved = []
try:
    move_body(Connection(ours, "host").answer(), length, file, 0, moved.append)
except NotWrittenError as error:
    print(errno.errorcode[error.error.errno], sum(moved) <= os.path.getsize(path) <= limit)
print(len(os.listdir("/proc/self/fd")) - before)
ours.close()
"""


@needs_pipes
@pytest.mark.parametrize("limit", [0, 1000, 2 * MIB + 5])
def test_a_file_that_becomes_too_long(path: Path, limit: int) -> None:
    """A write that the system ends in the middle is the file's error, and no descriptor stays open."""
    command = [sys.executable, "-c", LIMITED, str(path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == ["EFBIG True", "0"], done.stderr
    assert set(path.read_bytes()) <= {ord("x")}


WITHOUT_DESCRIPTORS = """
import os, resource, socket, sys, threading
from batch_outputs.stores.azure.http1 import Connection
from batch_outputs.stores.azure.moving import move_body

length = 3 << 20
ours, theirs = socket.socketpair()
said = b"HTTP/1.1 206 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % length + b"x" * length
speaking = threading.Thread(target=theirs.sendall, args=(said,))
speaking.start()
file = os.open(sys.argv[1], os.O_RDWR)
resource.setrlimit(resource.RLIMIT_NOFILE, (file + 1, file + 1))
move_body(Connection(ours, "host").answer(), length, file, 0, lambda size: None)
speaking.join()
"""


@needs_pipes
def test_no_more_descriptors(path: Path) -> None:
    """Where too many files are open for a pipe, the body comes all the same."""
    command = [sys.executable, "-c", WITHOUT_DESCRIPTORS, str(path)]
    subprocess.run(command, timeout=60, check=True)
    assert path.read_bytes() == b"x" * 3 * MIB


@pytest.mark.parametrize("length", [100_000, 4 * MIB])
@pytest.mark.parametrize("came", [0, 10, 90_000])
def test_a_peer_that_hangs_up(path: Path, length: int, came: int) -> None:
    """An answer that breaks off is refused; what was told of it is there."""
    body = random.Random(4).randbytes(came)  # noqa: S311 - not a secret
    moved: list[int] = []
    with connected(saying(with_length(body, length))) as wire, opened(path) as file:
        answer = Connection(wire, "host").answer()
        with pytest.raises((BrokenAnswerError, ConnectionError)):
            move_body(answer, length, file, 0, moved.append)
        assert not answer.is_read
    assert sum(moved) <= came
    assert path.read_bytes()[: sum(moved)] == body[: sum(moved)]


@pytest.mark.parametrize("length", [100_000, 4 * MIB])
def test_too_little(path: Path, length: int) -> None:
    """A body that ends well before the length that was wanted is refused."""
    with connected(saying(with_length(b"x" * 1000))) as wire, pytest.raises(UnusableAnswerError):
        move(wire, length, path)
    with connected(saying(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000)) as wire, pytest.raises(UnusableAnswerError):
        move(wire, length, path)


@pytest.mark.parametrize("length", [100_000, 4 * MIB])
@pytest.mark.parametrize("came", [0, 50_000])
def test_a_silent_peer(path: Path, length: int, came: int) -> None:
    """Who says nothing more is waited for as long as the connection's time-out says, and no longer."""
    is_over = threading.Event()

    def speak(theirs: socket.socket) -> None:
        theirs.sendall(with_length(bytes(came), length))
        is_over.wait(PATIENCE)

    with connected(speak, patience=0.1) as wire:
        began = time.monotonic()
        try:
            with pytest.raises(TimeoutError):
                move(wire, length, path)
        finally:
            is_over.set()
        assert time.monotonic() - began < PATIENCE


@needs_pipes
def test_urgent_bytes(path: Path) -> None:
    """What is sent as urgent, which nobody asked for, has nobody wait with his processor busy; the body is the rest."""
    body = random.Random(5).randbytes(3 * MIB)  # noqa: S311 - not a secret
    is_heard = threading.Event()

    def speak(theirs: socket.socket) -> None:
        theirs.sendall(with_length(body[:1000], len(body)))
        assert is_heard.wait(PATIENCE)
        theirs.send(b"!", socket.MSG_OOB)
        theirs.sendall(body[1000:])

    with connected(speak) as wire, opened(path) as file:
        answer = Connection(wire, "host").answer()
        began = time.thread_time()
        move_body(answer, len(body), file, 0, lambda _: is_heard.set())
        assert time.thread_time() - began < PATIENCE / 4
        assert answer.is_read
    assert path.read_bytes() == body
