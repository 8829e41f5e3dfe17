"""Reading large blobs by calls that block: ranges over plain connections, into memory used again.

What costs most here is moving bytes about in memory, so each goes from the socket to where the caller takes it from,
and nowhere else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

from batch_outputs.stop import Stop
from batch_outputs.stores.azure import urls
from batch_outputs.stores.azure.access import Ticket
from batch_outputs.stores.azure.answers import UnusableAnswerError, blob_range
from batch_outputs.stores.azure.content import BLOCK
from batch_outputs.stores.azure.http1 import Answer
from batch_outputs.stores.azure.plain_http import PlainHttp

_PIECE = 256 * 1024
"""Bytes given at once: few enough for the processor's cache, and large writes cost the system many times as much."""

_AHEAD = 4


class RangeReader:
    """Ranges of the blobs of one container, for threads. Whatever goes wrong is raised, of whatever class."""

    def __init__(self, http: PlainHttp, container: str) -> None:
        self._http = http
        self._container = container

    def pieces(self, ticket: Ticket, name: str, etag: str, offset: int, size: int, stop: Stop) -> Generator[memoryview]:
        """The bytes from `offset` to `size`, a range behind the other; each piece is good until the next one."""
        memory = memoryview(bytearray(min(_PIECE, size - offset)))
        while offset < size:
            behind = min(offset + BLOCK, size)
            with self._answer(ticket, name, etag, offset, behind, stop) as response:
                while offset < behind:
                    length = response.readinto(memory[: behind - offset])
                    if not length:
                        raise UnusableAnswerError
                    yield memory[:length]
                    offset += length

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
                for start in range(0, length, _PIECE):
                    yield memory[start : min(start + _PIECE, length)]
                begin_next(memory)
        finally:
            # What was cancelled never begins, and nobody would tell us so when the threads are let go.
            wait([filling for _, _, filling in coming if not filling.cancel()])

    def _fill(self, ticket: Ticket, name: str, etag: str, start: int, memory: memoryview, stop: Stop) -> None:
        with self._answer(ticket, name, etag, start, start + len(memory), stop) as response:
            filled = 0
            while filled < len(memory):
                length = response.readinto(memory[filled:])
                if not length:
                    raise UnusableAnswerError
                filled += length

    @contextmanager
    def _answer(self, ticket: Ticket, name: str, etag: str, offset: int, behind: int, stop: Stop) -> Iterator[Answer]:
        """The answer that holds exactly a range; all of its body is to be read in the block."""
        path = urls.blob_path(self._container, name)
        headers = {"x-ms-range": f"bytes={offset}-{behind - 1}", "If-Match": etag}
        with self._http.answer(path, "", ticket, stop, headers) as response:
            *found, _ = blob_range(response.status, response.headers)
            is_range = response.status == 206 and found == [offset, behind]
            if not is_range or response.length != behind - offset:
                raise UnusableAnswerError
            yield response
