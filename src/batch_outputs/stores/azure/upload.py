"""One put over plain connections, as worker threads do it: in one request, or in blocks, some of them at one time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass

from batch_outputs.pool import NoThreadError, Pool
from batch_outputs.stop import Stop
from batch_outputs.stores.azure import urls
from batch_outputs.stores.azure.access import Ticket
from batch_outputs.stores.azure.answers import UnusableAnswerError, written
from batch_outputs.stores.azure.blocks import block_list, new_block_id
from batch_outputs.stores.azure.content import Source
from batch_outputs.stores.azure.http1 import Answer, Body, BrokenAnswerError, ReadAsSent
from batch_outputs.stores.azure.plain_http import PlainHttp
from batch_outputs.stores.azure.pressure import BUSY, Pressure
from batch_outputs.stores.azure.retries import Patience, RetryPolicy
from batch_outputs.stores.azure.room import Room
from batch_outputs.stores.base import Written

BLOCKS_AT_ONCE = 4

_CREATED = 201

_PIECE = 256 * 1024
"""Bytes; a file that is longer is read while it is sent, in pieces that fit into the processor's cache."""


class NotStoredError(Exception):
    """The service was not reached or has refused, for a reason that the wire will find out and word."""


class RefusedError(Exception):
    """The service has answered, with something else than that it is done."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status: int = status


class _ContentError(Exception):
    """Reading the content has raised `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__(type(error).__name__)
        self.error = error


def is_busy(error: Exception) -> bool:
    """Whether an error comes from a service that has too much to do."""
    return isinstance(error, RefusedError) and error.status in BUSY


def may_pass(error: Exception) -> bool:
    """Whether another try may end better: no answer came, or one that says so."""
    if isinstance(error, RefusedError):
        return error.status in BUSY or error.status >= 500
    return isinstance(error, (OSError, BrokenAnswerError))


@dataclass(slots=True)
class Upload:
    """A put of `source` to `path`, with what is stored with it in `headers`; it breaks off when `stop` is set.

    A request is sent again, for so many seconds of `patience`, after an error of which `again` says so.

    Its methods raise `NotStoredError` when it was not done, and what was stored before is still there, and errors of
    the source as they are.
    """

    http: PlainHttp
    ticket: Ticket
    path: str
    source: Source
    headers: Mapping[str, str]
    stop: Stop
    pressure: Pressure
    patience: float
    again: Callable[[Exception], bool]

    def in_one_request(self) -> Written:
        """All of the content at once."""
        return self.begin_in_one_request()()

    def begin_in_one_request(self) -> Callable[[], Written]:
        """Send all of the content at once, and leave the answer to be waited for."""
        headers = {"x-ms-blob-type": "BlockBlob", **self.headers}
        reads_first = self.source.in_memory or self.source.size <= _PIECE
        body = self.source.read() if reads_first else ReadAsSent(self.source.size, self._pieces)
        self._wait_for_turn()
        failure: Exception | None = None
        try:
            begun = self.http.begin_put(self.path, "", self.ticket, self.stop, headers, body)
        except Exception as error:  # of many classes
            failure = error

        def answer() -> Answer:
            if failure is not None:
                raise failure
            return begun()

        return lambda: self._written("", headers, body, answer)

    def _pieces(self) -> Iterator[bytes]:
        # The last one comes only if the content has not changed; without it the service keeps nothing.
        try:
            if self.source.has_begun:
                self.source.rewind()
            while not self.source.is_at_end:
                yield self.source.read(_PIECE)
        except Exception as error:  # of whatever class
            raise _ContentError(error) from error

    def in_blocks(self, room: Room, threads: Pool) -> Written:
        """Content of any length; of the bytes that wait to be sent there are no more than there is room for."""
        blocks = _Blocks(self.source, room, self._send_block)
        helpers: list[Future[None]] = []
        try:
            with suppress(NoThreadError):  # the system gives no more threads; this one will do
                helpers += (threads.submit(blocks.work_off) for _ in range(BLOCKS_AT_ONCE - 1))
            blocks.work_off()
        finally:
            blocks.end()
            # What was cancelled never begins, and nobody would tell us so when the threads are let go.
            wait([helper for helper in helpers if not helper.cancel()])
        return self._written("comp=blocklist", self.headers, block_list(blocks.sent()))

    def _send_block(self, id_: str, block: bytes) -> None:
        self._sent(urls.query(comp="block", blockid=id_), {}, block)

    def _written(
        self, query: str, headers: Mapping[str, str], body: Body, begun: Callable[[], Answer] | None = None
    ) -> Written:
        try:
            return written(self._sent(query, headers, body, begun))
        except UnusableAnswerError:
            raise NotStoredError from None
        except _ContentError as error:
            failure = error.error
        raise failure  # here, so that nothing of ours hangs on it

    def _sent(
        self, query: str, headers: Mapping[str, str], body: Body, begun: Callable[[], Answer] | None = None
    ) -> Mapping[str, str]:
        """The headers of the answer that says that it is done; the first is that to what is `begun`, if anything is."""
        patience: Patience | None = None
        while True:
            if begun is None:
                self._wait_for_turn()
            try:
                answer = begun() if begun else self.http.put(self.path, query, self.ticket, self.stop, headers, body)
                told = _accepted(answer)
            except _ContentError:
                raise
            except Exception as error:  # of many classes
                patience = patience or RetryPolicy(self.patience).begin()
                seconds = patience.wait() if self.again(error) else None
                if seconds is None:
                    raise NotStoredError from error
            else:
                self.pressure.served()
                return told
            begun = None
            self.stop.wait(seconds)

    def _wait_for_turn(self) -> None:
        for pause in self.pressure.pauses(self.patience):
            self.stop.wait(pause)
        if self.stop.is_set():
            raise NotStoredError


def _accepted(answer: Answer) -> Mapping[str, str]:
    if answer.status != _CREATED:
        raise RefusedError(answer.status)
    return answer.headers


class _Blocks:
    """The blocks of one content, sent by as many threads as `work_off`."""

    def __init__(self, source: Source, room: Room, send: Callable[[str, bytes], object]) -> None:
        self._source = source
        self._room = room
        self._send = send
        self._lock = threading.Lock()
        self._ids: list[str] = []
        self._failure: BaseException | None = None
        self._is_over = False

    def work_off(self) -> None:
        """Send one after the other, until there are no more, or one of them failed."""
        is_done = False
        while not is_done:
            with self._room.taken(self._source.block_size):
                try:
                    is_done = not self._send_next()
                except BaseException as error:
                    self._failure = self._failure or error
                    return  # `sent` raises it

    def end(self) -> None:
        """Begin no more: the content is of no use any longer."""
        with self._lock:
            self._is_over = True

    def sent(self) -> list[str]:
        """The ids of all blocks, when all threads are done.

        Raises:
            BaseException: what went wrong first.
        """
        if self._failure is not None:
            raise self._failure
        return self._ids

    def _send_next(self) -> bool:
        with self._lock:
            if self._is_over or self._failure is not None or self._source.is_at_end:
                return False
            block = self._source.read()
            id_ = new_block_id()
            self._ids.append(id_)
        self._send(id_, block)
        return True
