"""A quick way for whole blobs: plain connections, used by worker threads.

It is never needed: what it cannot do, or fails at, goes over the wire, which also says why in words of ours.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batch_outputs.location import StoreLocation
from batch_outputs.pool import NoThreadError, Pool
from batch_outputs.stop import Stop
from batch_outputs.stores.azure import urls
from batch_outputs.stores.azure.access import Ticket, Tickets
from batch_outputs.stores.azure.content import BLOCK, Source
from batch_outputs.stores.azure.moving import NotWrittenError
from batch_outputs.stores.azure.plain_http import PlainHttp
from batch_outputs.stores.azure.pour import Pour
from batch_outputs.stores.azure.pressure import Pressure, pressure_on
from batch_outputs.stores.azure.ranges import RangeReader
from batch_outputs.stores.azure.rest import Rest
from batch_outputs.stores.azure.retries import RetryPolicy
from batch_outputs.stores.azure.room import Room
from batch_outputs.stores.azure.upload import NotStoredError, Upload, is_busy, may_pass
from batch_outputs.stores.base import Readable, Written

if TYPE_CHECKING:
    from typing_extensions import Buffer

SWITCH = "BATCH_OUTPUTS_BULK"

_THREADS = 8
_MEMORY = 8 * BLOCK
"""Bytes of blocks in flight at most."""


def is_wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment leaves it switched on."""
    variables = os.environ if environ is None else environ
    return variables.get(SWITCH) != "0"


def _runs_here() -> bool:
    """Whether this is the process that has our threads: a forked child has their memory, and not them."""
    global _process  # noqa: PLW0603 - what is forked is the whole process, too
    _process = _process or os.getpid()
    return _process == os.getpid()


_process = 0
"""The process in which the quick way was first taken."""


class Bulk:
    """Whole blobs of one container; belongs to one event loop, save for the `BulkCalls` that it gives to threads."""

    def __init__(self, location: StoreLocation, tickets: Tickets, policy: RetryPolicy, http: PlainHttp) -> None:
        self._tickets = tickets
        self._means = _Means(location.container, location.place, policy.patience, pressure_on(http.endpoint), http)
        self._calls = BulkCalls(self._means)

    async def put(self, name: str, source: Source, headers: Mapping[str, str]) -> Written | None:
        """Store a whole block blob with these headers; None when it was not done, and all is as it was before."""
        if not await self._is_ready():
            return None
        means, stop = self._means, Stop()
        upload = means.upload(name, source, headers, stop, may_pass)
        from batch_outputs.threads import finished  # a command that saves quickly needs no event loop

        try:
            written = await finished(lambda: means.stored(upload), stop, means.threads)
        except NoThreadError:
            return None
        except NotStoredError:
            written = None
        return means.rest.counted(written)

    def calls_at_hand(self) -> BulkCalls | None:
        """Calls for worker threads, where nothing has to be waited for; None also where there is no use in trying."""
        return self._calls if self._has_use() and self._use(self._tickets.at_hand()) else None

    async def calls(self) -> BulkCalls | None:
        """Calls for worker threads; None where there is no use in trying."""
        return self._calls if await self._is_ready() else None

    def close(self) -> None:
        """Let the threads go."""
        self._means.threads.shutdown(wait=False, cancel_futures=True)
        self._means.ticket = None

    async def _is_ready(self) -> bool:
        return self._has_use() and self._use(self._tickets.at_hand() or await self._tickets.ticket())

    def _has_use(self) -> bool:
        return not self._means.rest.is_needed and _runs_here()

    def _use(self, ticket: Ticket | None) -> bool:
        self._means.ticket = ticket
        return ticket is not None


@dataclass(slots=True)
class _Means:
    """What a `Bulk` and its calls for threads work with, all of it for threads too."""

    container: str
    place: str
    patience: float
    pressure: Pressure
    http: PlainHttp
    ticket: Ticket | None = None
    rest: Rest = field(default_factory=Rest)
    room: Room = field(default_factory=lambda: Room(_MEMORY))
    threads: Pool = field(default_factory=lambda: Pool(_THREADS, "batch-outputs-bulk"))

    def upload(
        self, name: str, source: Source, headers: Mapping[str, str], stop: Stop, again: Callable[[Exception], bool]
    ) -> Upload:
        """An upload that ends so early that the wire, which goes on where this ends, has time for tries of its own."""
        path = urls.blob_path(self.container, name)
        ticket = self.ticket or Ticket()
        return Upload(self.http, ticket, path, source, headers, stop, self.pressure, self.patience / 3, again)

    def stored(self, upload: Upload) -> Written:
        """What an upload leaves behind, done by one of `threads`: each keeps the memory that it has had once.

        Raises:
            NotStoredError: it was not done.
        """
        if upload.source.is_large:
            return upload.in_blocks(self.room, self.threads)
        return upload.in_one_request()


class BulkCalls:
    """Quick calls for worker threads; see `batch_outputs.stores.base.BlockingCalls`."""

    def __init__(self, means: _Means) -> None:
        self._means = means
        self._ranges = RangeReader(means.http, means.container)
        self._reading_ahead = threading.Lock()

    def put(
        self,
        name: str,
        content: Readable,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        stop: Stop | None = None,
    ) -> Written | None:
        """Store a whole block blob of at most 8 MiB; None if it was not done."""
        return self.begin_put(name, content, content_type=content_type, metadata=metadata, stop=stop)()

    def begin_put(
        self,
        name: str,
        content: Readable,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        stop: Stop | None = None,
    ) -> Callable[[], Written | None]:
        """The same in two steps; of the second the content is still needed."""
        means = self._means
        if means.ticket is None or content.size > BLOCK or means.rest.is_needed:
            return _nothing
        stop = stop or Stop()
        source = Source(content, blob=name, place=means.place)
        headers = {**urls.content_type_header(content_type), **urls.metadata_headers(metadata)}
        upload = means.upload(name, source, headers, stop, is_busy)
        try:
            finish = upload.begin_in_one_request()
        except NotStoredError:
            return _nothing  # it is stopped

        def finished() -> Written | None:
            try:
                written = finish()
            except NotStoredError:
                if not stop.is_set():
                    means.rest.failed()
                return None
            means.rest.succeeded()
            return written

        return finished

    def read(self, name: str, *, offset: int, size: int, etag: str, stop: Stop | None = None) -> Generator[Buffer]:
        """The bytes from `offset` to `size`; ends early where the rest has to be read in another way."""
        means, stop = self._means, stop or Stop()
        if means.ticket is None or offset >= size or means.rest.is_needed:
            return
        self._wait_for_turn(stop)
        if size - offset > 2 * BLOCK:
            pieces = self._pieces_ahead(means.ticket, name, etag, offset, size, stop)
        else:
            pieces = self._ranges.pieces(means.ticket, name, etag, offset, size, stop)
        yield from self._counted(pieces, stop)

    def begin_read(self, name: str, *, size: int, etag: str, stop: Stop) -> Generator[Buffer]:
        """As `read`, of a whole blob of at most 8 MiB, which is asked for at once; it is to be read in any case."""
        means = self._means
        if means.ticket is None or not size or means.rest.is_needed:
            return _no_pieces()
        self._wait_for_turn(stop)
        return self._counted(self._ranges.begin_pieces(means.ticket, name, etag, size, stop), stop)

    def pour(
        self,
        name: str,
        file: int,
        *,
        offset: int,
        size: int,
        etag: str,
        stop: Stop,
        moved: Callable[[int], object],
        whole: Callable[[int], object],
    ) -> None:
        """The bytes from `offset` to `size` into an open file."""
        means, ticket = self._means, self._means.ticket
        if ticket is None or offset >= size or means.rest.is_needed:
            return
        self._wait_for_turn(stop)

        def move(start: int, behind: int, moved: Callable[[int], object]) -> None:
            self._ranges.move(ticket, name, etag, start, behind, file, moved, stop)
            means.rest.succeeded()  # what breaks off after hours is no failure in a row

        pour = Pour(move, offset, size, stop, moved=moved, whole=whole)
        # One at a time has several connections, so that those of all together stay few.
        is_first = self._reading_ahead.acquire(blocking=False)
        try:
            with self._judged(stop):
                pour.carry_out(means.threads if is_first else None)
        finally:
            if is_first:
                self._reading_ahead.release()

    def begin_pour(self, name: str, *, size: int, etag: str, stop: Stop) -> Callable[[int], bool]:
        """A whole blob of at most 8 MiB into an open file; it is asked for at once."""
        means = self._means
        if means.ticket is None or not size or means.rest.is_needed:
            return _not_poured
        self._wait_for_turn(stop)
        try:
            move = self._ranges.begin_move(means.ticket, name, etag, size, stop)
        except Exception:  # of many classes, and none of them is the file's
            if not stop.is_set():
                means.rest.failed()
            return _not_poured

        def finish(file: int) -> bool:
            with self._judged(stop):
                move(file)
                return True
            return False

        return finish

    def _wait_for_turn(self, stop: Stop) -> None:
        for pause in self._means.pressure.pauses(self._means.patience):
            stop.wait(pause)

    def _counted(self, pieces: Generator[Buffer], stop: Stop) -> Generator[Buffer]:
        """The same; if they break off, whoever reads on will find out what is wrong."""
        with self._judged(stop):
            yield from pieces

    @contextmanager
    def _judged(self, stop: Stop) -> Iterator[None]:
        """Take note of whether the block goes well; of what goes wrong only errors of a file come out of it."""
        means = self._means
        try:
            yield
        except NotWrittenError as error:
            raise error.error from None
        except Exception:  # of many classes
            if not stop.is_set():
                means.rest.failed()
        else:
            means.pressure.served()
            means.rest.succeeded()

    def _pieces_ahead(
        self, ticket: Ticket, name: str, etag: str, offset: int, size: int, stop: Stop
    ) -> Generator[Buffer]:
        # One at a time, so that the bytes that wait stay few.
        if not self._reading_ahead.acquire(blocking=False):
            yield from self._ranges.pieces(ticket, name, etag, offset, size, stop)
            return
        try:
            yield from self._ranges.pieces_ahead(ticket, name, etag, offset, size, stop, self._means.threads)
        finally:
            self._reading_ahead.release()


def _nothing() -> None:
    """Nothing was done."""


def _not_poured(_file: int) -> bool:
    return False


def _no_pieces() -> Generator[Buffer]:
    yield from ()
