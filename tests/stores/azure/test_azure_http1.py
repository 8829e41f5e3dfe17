"""Answers as they come over a connection: understood as the standard library's client does, or refused."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable
from http.client import HTTPResponse

import pytest

from batch_outputs.stores.azure.http1 import Answer, BrokenAnswerError, Connection
from support.sockets import connected, saying

Said = tuple[int, dict[str, str], bytes]
"""What an answer says: its status, its headers by name in small letters, its body."""


def body_of(answer: Answer, most: int, *, into: bool) -> bytes:
    """All of an answer's body, taken so many bytes at a time."""
    pieces: list[bytes] = []
    memory = memoryview(bytearray(most))
    while piece := bytes(memory[: answer.readinto(memory)]) if into else answer.read(most):
        assert len(piece) <= most
        pieces.append(piece)
    assert answer.is_read
    return b"".join(pieces)


def heard(said: bytes, cuts: list[int] | None = None, *, most: int = 1000, into: bool = False) -> Said:
    """What we understand."""
    with connected(saying(said, cuts)) as wire:
        answer = Connection(wire, "host").answer()
        return answer.status, dict(answer.headers), body_of(answer, most, into=into)


def understood(said: bytes) -> Said:
    """What the standard library's client understands."""
    with connected(saying(said)) as wire:
        response = HTTPResponse(wire)
        response.begin()
        fields: dict[str, str] = {}
        for name, value in response.headers.items():
            key, text = name.lower(), value.rstrip()  # blanks at the end are no part of a value; it leaves them there
            fields[key] = f"{fields[key]}, {text}" if key in fields else text
        body = response.read()
        response.close()
        return response.status, fields, body


def chunked(chance: random.Random, body: bytes) -> bytes:
    """A body in chunks of any size, with what may stand beside them."""
    said = bytearray()
    while body:
        piece, body = body[: (size := chance.randint(1, 700))], body[size:]
        extension = chance.choice([b"", b";x=y", b" ; x"])
        said += format(len(piece), chance.choice("xX")).encode() + extension + b"\r\n" + piece + b"\r\n"
    return bytes(said) + b"0\r\n" + chance.choice([b"", b"Trailer: x\r\n"]) + b"\r\n"


def made_up(chance: random.Random) -> tuple[bytes, int]:
    """A valid answer, and where its head ends."""
    body = chance.randbytes(chance.choice([0, 1, 17, 5000, 40_000]))
    status = chance.choice([200, 201, 204, 206, 304, 403, 503])
    lines = [f"HTTP/1.{chance.choice('01')} {status}{chance.choice([' OK', ' ', ' Not so: at all', ''])}"]
    lines += [
        f"{name}:{chance.choice(['', ' ', chr(9) + ' '])}{value}{chance.choice(['', ' '])}"
        for name, value in (("ETag", '"0x1"'), ("x-ms-META-Key", "a: b"), ("Empty", ""), ("Other", "ü"))
        if chance.random() < 0.7
    ]
    if chance.random() < 0.2:
        lines += ["Twice: a", "twice: b"]
    if status in {204, 304}:
        body = b""
    elif (way := chance.choice(["length", "chunks", "end"])) == "length":
        lines.append(f"{chance.choice(['Content-Length', 'content-length'])}: {len(body)}")
    elif way == "chunks":
        lines.append(f"Transfer-Encoding: {chance.choice(['chunked', 'Chunked'])}")
        body = chunked(chance, body)
    chance.shuffle(rest := lines[1:])
    head = "\r\n".join([lines[0], *rest, "", ""]).encode("latin-1")
    before = chance.choice([b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n"])
    return before + head + body, len(before + head)


@pytest.mark.parametrize("seed", range(150))
def test_as_the_standard_library(seed: int) -> None:
    """Any valid answer, in whatever pieces it comes and is taken, says to us what it says to another client."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    said, _ = made_up(chance)
    cuts = sorted(chance.randint(0, min(len(said), 600)) for _ in range(chance.randint(0, 5)))
    most = chance.choice([1, 100, 10_000, 1 << 20])
    assert heard(said, cuts, most=most, into=chance.random() < 0.5) == understood(said)


@pytest.mark.parametrize("seed", range(60))
def test_cut_short(seed: int) -> None:
    """An answer that ends before it should is refused, unless only its end tells how long it is."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    said, head = made_up(chance)
    is_told = b"content-length" in said[:head].lower() or b"chunked" in said[:head].lower()
    cut = chance.randint(0, len(said) - 1)
    if cut >= head and not is_told:
        assert heard(said[:cut])[2] == said[head:cut]
    else:
        with pytest.raises(BrokenAnswerError):
            heard(said[:cut])


@pytest.mark.parametrize(
    "said",
    [
        b"\r\n\r\n",
        b"220 smtp.example.com ESMTP\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA Name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nName : x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nFolded: x\r\n y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBare: x\ny: z\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n0123456789",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nLong: " + b"x" * 100_000,
    ],
)
def test_refused(said: bytes) -> None:
    """What is no answer, or says two things at once, is refused, and nobody waits for more."""
    with pytest.raises(BrokenAnswerError):
        heard(said)


def test_one_behind_the_other() -> None:
    """Behind the body of one answer comes the next; one that closes the connection says that it is the last."""
    said = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n0\r\n\r\n"
        b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n"
    )
    with connected(saying(said)) as wire:
        connection = Connection(wire, "host")
        answers = [(answer := connection.answer(), body_of(answer, 10, into=False)) for _ in range(3)]
    assert [body for _, body in answers] == [b"ab", b"c", b""]
    assert [answer.length for answer, _ in answers] == [2, None, 0]
    assert [answer.is_last for answer, _ in answers] == [False, False, True]


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 3 << 20])
def test_a_request(size: int) -> None:
    """A request goes out as it was meant, however long its body is, with its length."""
    body = random.Random(size).randbytes(size)  # noqa: S311 - not a secret
    ours, theirs = socket.socketpair()
    came = bytearray()

    def take() -> None:
        while piece := theirs.recv(100_000):
            came.extend(piece)

    with theirs:
        taking = threading.Thread(target=take)
        taking.start()
        connection = Connection(ours, "[::1]:80")
        connection.send("PUT", "/a%20b?x=y", {"x-ms-meta-a": "b c"}, body)
        connection.close()
        taking.join()
    head = f"PUT /a%20b?x=y HTTP/1.1\r\nHost: [::1]:80\r\nx-ms-meta-a: b c\r\nContent-Length: {size}\r\n\r\n"
    assert bytes(came) == head.encode() + body


@pytest.mark.parametrize(
    "send",
    [
        lambda connection: connection.send("GET", "/a", {"If-Match": '"x"\r\nHost: other'}),
        lambda connection: connection.send("GET", "/a", {"If-Match": "x\ny"}),
        lambda connection: connection.send("GET", "/a", {"If-Match": "x\ry"}),
        lambda connection: connection.send("GET", "/a b", {}),
        lambda connection: connection.send("GET", "/a\r\n", {}),
        lambda connection: connection.send("GET", "/a", {"If-Match": "\u2026"}),
    ],
)
def test_no_request_in_a_request(send: Callable[[Connection], object]) -> None:
    """What would end a line of a request, and so begin another, is not sent."""
    ours, theirs = socket.socketpair()
    with theirs:
        connection = Connection(ours, "host")
        with pytest.raises(ValueError, match=r"."):
            send(connection)
        connection.close()
        assert theirs.recv(100) == b""
