"""HTTP/1.1 as the fault proxy needs it: messages as values, read from and written to streams.

Bodies are held whole, without transfer coding: this is not for single bodies of gigabytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias
from urllib.parse import parse_qs, unquote

Operation: TypeAlias = Literal[
    "put", "create", "append", "stage", "commit", "copy", "set_metadata", "read", "properties", "list", "delete",
    "container", "other",
]  # fmt: skip
Headers: TypeAlias = tuple[tuple[str, str], ...]

PIECE = 64 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
WRITES: dict[str, Operation] = {
    "appendblock": "append",
    "block": "stage",
    "blocklist": "commit",
    "metadata": "set_metadata",
}
OTHERS: dict[str, Operation] = {"GET": "read", "HEAD": "properties", "DELETE": "delete"}


@dataclass(frozen=True)
class Message:
    """What a request and an answer have in common: a first line, headers, a body."""

    start: str
    headers: Headers
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The value of a header, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def head(self) -> bytes:
        """All but the body, as it goes over the wire."""
        return "\r\n".join([self.start, *(f"{name}: {value}" for name, value in self.headers), "", ""]).encode(
            "latin-1"
        )


@dataclass(frozen=True)
class Request(Message):
    """A request, with what it means to a blob service whose paths are /account/container/blob."""

    @property
    def method(self) -> str:
        """GET, PUT and so on."""
        return self.start.split(" ")[0]

    @property
    def target(self) -> str:
        """Path and query."""
        return self.start.split(" ")[1]

    @cached_property
    def query(self) -> dict[str, str]:
        """The parameters of the query; the first value of each."""
        return {key: values[0] for key, values in parse_qs(self.target.partition("?")[2]).items()}

    @property
    def container(self) -> str:
        """The container's name, or nothing."""
        return "".join(self._path[1:2])

    @property
    def blob(self) -> str:
        """The blob's name, or nothing."""
        return "/".join(self._path[2:])

    @cached_property
    def operation(self) -> Operation:
        """What is asked for, in the words of the store protocol; `stage` and `commit` are the parts of a large put."""
        comp = self.query.get("comp")
        if comp == "list":
            return "list"
        if not self.blob:
            return "container"
        if comp:
            return WRITES.get(comp, "other")
        if self.method == "PUT":
            return self._whole_write()
        return OTHERS.get(self.method, "other")

    @cached_property
    def _path(self) -> list[str]:
        return [unquote(segment) for segment in self.target.partition("?")[0].split("/")[1:]]

    def _whole_write(self) -> Operation:
        if self.header("x-ms-copy-source"):
            return "copy"
        return "create" if self.header("x-ms-blob-type") == "AppendBlob" else "put"


@dataclass(frozen=True)
class Answer(Message):
    """An answer of the service, or of the proxy in its place."""

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.start.split(" ")[1])


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pace: Callable[[int], Awaitable[None]]
) -> Request | None:
    """The next request of a client, or None after its last; `pace` is awaited with the length of each piece."""
    try:
        start, headers = await _read_head(reader)
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise
        return None
    request = Request(start, headers)
    if request.header("Expect"):
        writer.write(CONTINUE)
    headers, body = await _read_body(request, reader, pace)
    return replace(request, headers=headers, body=body)


async def read_answer(reader: asyncio.StreamReader, request: Request) -> Answer:
    """The service's answer to a request."""
    answer = Answer(*await _read_head(reader))
    if request.method == "HEAD" or answer.status in (204, 304):
        return answer
    headers, body = await _read_body(answer, reader, _no_pace)
    return replace(answer, headers=headers, body=body)


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, Headers]:
    start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    pairs = (line.partition(":") for line in lines)
    return start, tuple((name, value.strip()) for name, _, value in pairs)


async def _read_body(
    message: Message, reader: asyncio.StreamReader, pace: Callable[[int], Awaitable[None]]
) -> tuple[Headers, bytes]:
    if (message.header("Transfer-Encoding") or "").lower() == "chunked":
        body = await _read_chunks(reader)
        return _with_length(message.headers, len(body)), body
    length = int(message.header("Content-Length") or 0)
    pieces = bytearray()
    while len(pieces) < length:
        piece = await reader.readexactly(min(length - len(pieces), PIECE))
        pieces += piece
        await pace(len(piece))
    return message.headers, bytes(pieces)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while length := int((await reader.readline()).partition(b";")[0], 16):
        body += await reader.readexactly(length)
        await reader.readline()
    while (await reader.readline()).strip():
        pass  # trailers
    return bytes(body)


def _with_length(headers: Headers, length: int) -> Headers:
    kept = tuple((name, value) for name, value in headers if name.lower() != "transfer-encoding")
    return (*kept, ("Content-Length", str(length)))


async def _no_pace(_length: int) -> None:
    return
