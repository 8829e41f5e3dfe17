"""Reading blobs by calls that block: ranges over plain connections, into a file or into memory used again.

What costs most here is moving bytes about in memory, so each goes from the socket to the file, or to where the caller
takes it from, and nowhere else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from typing import NamedTuple

from batch_outputs.stop import Stop
from batch_outputs.stores.azure import urls
from batch_outputs.stores.azure.access import Ticket
from batch_outputs.stores.azure.answers import UnusableAnswerError, blob_range
from batch_outputs.stores.azure.content import BLOCK
from batch_outputs.stores.azure.http1 import Answer
from batch_outputs.stores.azure.moving import PIECE, move_body
from batch_outputs.stores.azure.plain_http import PlainHttp

_AHEAD = 4


class RangeReader:
    """Ranges of the blobs of one container, for threads. Whatever goes wrong is raised, of whatever class."""

    def __init__(self, http: PlainHttp, container: str) -> None:
        self._http = http
        self._container = container

    def pieces(self, ticket: Ticket, name: str, etag: str, offset: int, size: int, stop: Stop) -> Generator[memoryview]:
        """The bytes from `offset` to `size`, a range behind the other; each piece is good until the next one."""
        memory = memoryview(bytearray(min(PIECE, size - offset)))
        while offset < size:
            behind = min(offset + BLOCK, size)
            asked = _Range(name, etag, offset, behind)
            yield from _pieces(asked, self._http.answer(*self._request(ticket, asked, stop)), memory)
            offset = behind

    def begin_pieces(self, ticket: Ticket, name: str, etag: str, size: int, stop: Stop) -> Generator[memoryview]:
        """The same of a whole blob of at most 8 MiB, which is asked for at once; it is to be read in any case."""
        asked = _Range(name, etag, 0, size)
        answer = self._http.begin_answer(*self._request(ticket, asked, stop))
        return _pieces(asked, answer, memoryview(bytearray(min(PIECE, size))))

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
                for start in range(0, length, PIECE):
                    yield memory[start : min(start + PIECE, length)]
                begin_next(memory)
        finally:
            # What was cancelled never begins, and nobody would tell us so when the threads are let go.
            wait([filling for _, _, filling in coming if not filling.cancel()])

    def move(
        self,
        ticket: Ticket,
        name: str,
        etag: str,
        start: int,
        behind: int,
        file: int,
        moved: Callable[[int], object],
        stop: Stop,
    ) -> None:
        """One range into an open file, where it belongs."""
        asked = _Range(name, etag, start, behind)
        with self._http.answer(*self._request(ticket, asked, stop)) as answer:
            asked.check(answer)
            move_body(answer, behind - start, file, start, moved)

    def begin_move(self, ticket: Ticket, name: str, etag: str, size: int, stop: Stop) -> Callable[[int], None]:
        """The same of a whole blob of at most 8 MiB, which is asked for at once; what is returned takes the file."""
        asked = _Range(name, etag, 0, size)
        answering = self._http.begin_answer(*self._request(ticket, asked, stop))

        def move(file: int) -> None:
            with answering as answer:
                asked.check(answer)
                move_body(answer, size, file, 0, _nobody)

        return move

    def _fill(self, ticket: Ticket, name: str, etag: str, start: int, memory: memoryview, stop: Stop) -> None:
        asked = _Range(name, etag, start, start + len(memory))
        with self._http.answer(*self._request(ticket, asked, stop)) as answer:
            asked.check(answer)
            filled = 0
            while filled < len(memory):
                filled += _taken(answer, memory[filled:])

    def _request(self, ticket: Ticket, asked: _Range, stop: Stop) -> tuple[str, str, Ticket, Stop, dict[str, str]]:
        headers = {"x-ms-range": f"bytes={asked.offset}-{asked.behind - 1}", "If-Match": asked.etag}
        return urls.blob_path(self._container, asked.name), "", ticket, stop, headers


class _Range(NamedTuple):
    """Bytes of a blob: the first, and the one behind the last."""

    name: str
    etag: str
    offset: int
    behind: int

    def check(self, answer: Answer) -> None:
        """Refuse an answer that does not hold exactly this."""
        *found, _ = blob_range(answer.status, answer.headers)
        is_range = (
            answer.status == 206 and found == [self.offset, self.behind] and answer.headers.get("ETag", "") == self.etag
        )
        if not is_range or answer.length != self.behind - self.offset:
            raise UnusableAnswerError


def _nobody(_size: int) -> None:
    """Nobody wants to know."""


def _pieces(asked: _Range, answering: AbstractContextManager[Answer], memory: memoryview) -> Generator[memoryview]:
    with answering as answer:
        asked.check(answer)
        left = asked.behind - asked.offset
        while left:
            length = _taken(answer, memory[:left])
            yield memory[:length]
            left -= length


def _taken(answer: Answer, memory: memoryview) -> int:
    length = answer.readinto(memory)
    if not length:
        raise UnusableAnswerError
    return length
