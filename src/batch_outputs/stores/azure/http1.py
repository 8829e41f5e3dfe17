"""HTTP/1.1 over one connection, as much of it as Blob Storage needs: a request, then the answer to it, then the next.

The standard library's client takes five times as much of the processor for a small request, and an answer's headers are
nearly all of that. What is unusual is refused here; whoever asked then asks in the ordinary way.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from batch_outputs.stores.azure.readiness import can_be_read

if TYPE_CHECKING:  # not every connection is encrypted
    from typing_extensions import Buffer

    from batch_outputs.stores.azure.tls_socket import TlsSocket

_STATUS = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?")
_FIELD = re.compile(r"^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*)\r\n", re.MULTILINE)
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")

_END = b"\r\n\r\n"
_LONGEST_HEAD = 64 * 1024
_RECEIVED = 16 * 1024
_SENT = 256 * 1024
"""Bytes that are sent at once, some of which have to go within the connection's time-out."""

_SLOWEST_LINK = 32 * 1024
"""Bytes a second, for what still waits in the system to be sent when an answer is waited for."""

_TOGETHER = 64 * 1024
"""Bytes; a body up to this goes in one piece with what stands before it."""

_FITS_A_PIPE = 4096
"""Bytes that any empty pipe takes, also one of a user who has very many."""


class ReadAsSent(NamedTuple):
    """A body of `size` bytes that is read while it is sent; `pieces` begins at its first byte each time."""

    size: int
    pieces: Callable[[], Iterator[Buffer]]


Body: TypeAlias = "Buffer | ReadAsSent"


class BrokenAnswerError(Exception):
    """What came is no answer, not all of it, or one of a kind that is not understood here."""


class Fields(Mapping[str, str]):
    """The headers of an answer, by name in any case."""

    def __init__(self, fields: dict[str, str]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class Connection:
    """A connection to `host`, as the Host header says it; `wire` has the time-outs, and is closed by this."""

    def __init__(self, wire: socket.socket | TlsSocket, host: str) -> None:
        self.wire: socket.socket | TlsSocket = wire
        self._host = host
        self._held = b""  # what came behind what was asked for
        self._patience = wire.gettimeout()
        self._is_patient = False

    @property
    def is_quiet(self) -> bool:
        """Whether the other side has said nothing that it was not asked for, and has not hung up, as far as shows."""
        if self._held:
            return False
        return not (can_be_read(self.wire) if isinstance(self.wire, socket.socket) else self.wire.has_more)

    def send(self, method: str, target: str, headers: Mapping[str, str], body: Body | None = None) -> None:
        """Send a request.

        Raises:
            OSError: it could not be sent.
            Exception: whatever reading the body raises; then the connection is of no use any more.
            ValueError: it holds something that cannot stand in the head of a request.
        """
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        content = body if isinstance(body, ReadAsSent) else memoryview(body or b"").cast("B")
        length = content.size if isinstance(content, ReadAsSent) else len(content)
        if body is not None:
            lines.append(f"Content-Length: {length}")
        head = "\r\n".join(lines)
        if head.count("\n") >= len(lines) or head.count("\r") >= len(lines) or target.count(" "):
            raise ValueError("a line end, or a blank in a target")
        start = f"{head}\r\n\r\n".encode("latin-1")
        if self._is_patient:
            self._wait_for(0)
        if isinstance(content, ReadAsSent):
            self.wire.sendall(start)
            for piece in content.pieces():
                self._send_all(memoryview(piece))
        elif length <= _TOGETHER:
            self.wire.sendall(start + content)
            return
        else:
            self.wire.sendall(start)
            self._send_all(content)
        self._wait_for(length)

    def answer(self) -> Answer:
        """The answer to the request, but for its body; not to a HEAD.

        Raises:
            OSError: it did not come.
            BrokenAnswerError: it is not understood.
        """
        while True:
            version, status, fields = self._head()
            if status >= 200:
                return Answer(self, version, status, fields)

    def line(self) -> bytes:
        """The next line of an answer's body."""
        return self._until(b"\r\n")

    def receive(self, most: int) -> bytes:
        """Some of the bytes that come next; none where the other side has said all."""
        if self._held:
            piece, self._held = self._held[:most], self._held[most:]
            return piece
        return self.wire.recv(most)

    def receive_into(self, memory: memoryview) -> int:
        """The same, into memory; how many."""
        if self._held:
            piece = self.receive(len(memory))
            memory[: len(piece)] = piece
            return len(piece)
        return self.wire.recv_into(memory)

    @property
    def leads_to_pipes(self) -> bool:
        """Whether `receive_into_pipe` can do anything: Linux can, unless the bytes have to be decrypted first."""
        return sys.platform == "linux" and isinstance(self.wire, socket.socket)

    def receive_into_pipe(self, pipe: int, most: int) -> int:
        """As `receive`, into an empty pipe, without a way through this program's memory; how many."""
        if self._held:
            return os.write(pipe, self.receive(min(most, _FITS_A_PIPE)))
        if sys.platform != "linux" or not isinstance(self.wire, socket.socket):
            raise NotImplementedError
        for _ in range(2):
            try:
                return os.splice(self.wire.fileno(), pipe, most)
            except BlockingIOError:
                if not can_be_read(self.wire, self.wire.gettimeout()):
                    raise TimeoutError from None
        # There is something that cannot be had so, such as bytes behind urgent ones.
        return os.write(pipe, self.wire.recv(min(most, _FITS_A_PIPE)))

    def close(self) -> None:
        """Close it."""
        self.wire.close()

    def _send_all(self, rest: memoryview) -> None:
        while rest:
            rest = rest[self.wire.send(rest[:_SENT]) :]

    def _wait_for(self, sent: int) -> None:
        """Wait longer behind a long body, much of which may not have gone yet."""
        self._is_patient = sent > 0
        if self._patience is not None:
            self.wire.settimeout(self._patience + sent / _SLOWEST_LINK)

    def _head(self) -> tuple[str, int, dict[str, str]]:
        start, _, lines = f"{self._until(_END).decode('latin-1')}\r\n".partition("\r\n")
        found, pairs = _STATUS.fullmatch(start), _FIELD.findall(lines)
        if found is None or len(pairs) != lines.count("\n"):
            raise BrokenAnswerError
        fields = {name.lower(): value.rstrip(" \t") for name, value in pairs}
        return found[1], int(found[2]), fields if len(fields) == len(pairs) else _joined(pairs)

    def _until(self, end: bytes) -> bytes:
        held = self._held
        while (length := held.find(end)) < 0:
            if len(held) > _LONGEST_HEAD:
                raise BrokenAnswerError
            piece = self.wire.recv(_RECEIVED)
            if not piece:
                raise BrokenAnswerError
            held += piece
        self._held = held[length + len(end) :]
        return held[:length]


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Headers of which some come several times."""
    fields: dict[str, str] = {}
    for written, value in pairs:
        name, text = written.lower(), value.rstrip(" \t")
        fields[name] = f"{fields[name]}, {text}" if name in fields else text
    return fields


class Answer:
    """The answer to a request; its body is to be read to its end before the next request is sent.

    `length` is that of the body, None where only its end tells. `is_last`: the other side closes the connection then.
    """

    def __init__(self, connection: Connection, version: str, status: int, fields: dict[str, str]) -> None:
        self.status: int = status
        self.headers: Fields = Fields(fields)
        self.length: int | None = None
        self.is_last: bool = version == "0" or "close" in fields.get("connection", "").lower()
        self._connection = connection
        self._left = 0
        """Bytes of the body, or of its chunk, that are still to be read; less than 0 where nobody has told."""
        self._is_chunked = False
        coding, length = fields.get("transfer-encoding"), fields.get("content-length")
        if status in {204, 304}:
            self.length = 0
        elif coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise BrokenAnswerError
            self._is_chunked = True
            self._begin_chunk()
        elif length is not None:
            if not _LENGTH.fullmatch(length):
                raise BrokenAnswerError
            self.length = self._left = int(length)
        else:
            self._left = -1
            self.is_last = True

    @property
    def is_read(self) -> bool:
        """Whether there is no more of the body."""
        return self._left == 0

    def read(self, most: int) -> bytes:
        """The next bytes of the body; none at its end.

        Raises:
            OSError, BrokenAnswerError: they do not come.
        """
        if self._left == 0:
            return b""
        piece = self._connection.receive(most if self._left < 0 else min(most, self._left))
        self._count(len(piece))
        return piece

    def readinto(self, memory: memoryview) -> int:
        """As `read`, into memory; how many."""
        if self._left == 0:
            return 0
        length = self._connection.receive_into(memory if self._left < 0 else memory[: self._left])
        self._count(length)
        return length

    @property
    def leads_to_pipes(self) -> bool:
        """Whether `read_into_pipe` can do anything here."""
        return self._connection.leads_to_pipes

    def read_into_pipe(self, pipe: int, most: int) -> int:
        """As `read`, into an empty pipe; how many."""
        if self._left == 0:
            return 0
        length = self._connection.receive_into_pipe(pipe, most if self._left < 0 else min(most, self._left))
        self._count(length)
        return length

    def _count(self, length: int) -> None:
        if self._left < 0:
            self._left = -1 if length else 0
        elif not length:
            raise BrokenAnswerError
        else:
            self._left -= length
            if self._is_chunked and not self._left:
                if self._connection.line():
                    raise BrokenAnswerError
                self._begin_chunk()

    def _begin_chunk(self) -> None:
        found = _CHUNK.fullmatch(self._connection.line())
        if found is None:
            raise BrokenAnswerError
        self._left = int(found[1], 16)
        if not self._left:
            while self._connection.line():
                pass  # trailers, which nobody needs
