"""An accelerator for whole blobs: obstore, called on worker threads.

It is never needed: what it cannot do, or fails at, goes over the wire, which also says why in words of ours. Its calls
are the blocking ones, because its asynchronous ones can abort the interpreter at exit. No text of its errors is let
through: it may hold the URL, and the URL holds the SAS.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from batch_outputs.location import AzureAccount, StoreLocation
from batch_outputs.stores.azure import urls
from batch_outputs.stores.azure.access import Tickets
from batch_outputs.stores.azure.answers import UnusableAnswerError
from batch_outputs.stores.azure.bulk_clients import Clients
from batch_outputs.stores.azure.content import BLOCK, Source
from batch_outputs.stores.azure.listing import Page
from batch_outputs.stores.azure.network import proxy_for
from batch_outputs.stores.azure.pages import NoPageError, PageReader
from batch_outputs.stores.azure.plain_http import PlainHttp
from batch_outputs.stores.azure.pressure import BUSY, Pressure
from batch_outputs.stores.azure.ranges import RangeReader
from batch_outputs.stores.azure.retries import RetryPolicy
from batch_outputs.stores.azure.room import Room
from batch_outputs.stores.base import Readable, Written
from batch_outputs.threads import Stop, finished

if TYPE_CHECKING:
    from obstore.store import AzureStore as Client
    from typing_extensions import Buffer

SWITCH = "BATCH_OUTPUTS_BULK"

_THREADS = 8
_MEMORY = 8 * BLOCK
"""Bytes in flight at most, those of small blobs not counted."""

_SMALL = 256 * 1024

_FOR_OBSTORE = 1024 * 1024
"""Bytes; what is longer than this is read with less moving about."""

_BLOCKS_AT_ONCE = 4
_FAILURES_ALLOWED = 3
_FIRST_REST = 1.0
_LONGEST_REST = 60.0
_STATUS = re.compile(r"status code: (\d{3})\b")

# obstore takes a leading or trailing slash away, makes `\` a slash, and refuses empty and dot segments and controls.
_CHANGED_NAME = re.compile(r"^/|/$|//|(?:^|/)\.\.?(?:/|$)|[\\\x00-\x1f\x7f-\x9f]")


def is_wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment leaves it switched on."""
    variables = os.environ if environ is None else environ
    # obstore would encrypt with a key that it finds there by itself, and nothing else could read the blobs.
    return variables.get(SWITCH) != "0" and not variables.get("AZURE_ENCRYPTION_KEY")


def carries(name: str, metadata: Mapping[str, str]) -> bool:
    """Whether a blob arrives under exactly this name and with exactly this metadata (keys are sent in lower case)."""
    return not _CHANGED_NAME.search(name) and all(key == key.lower() for key in metadata)


def _runs_here() -> bool:
    """Whether obstore works in this process: a forked child has its memory, but not its threads."""
    global _process  # noqa: PLW0603 - obstore's threads are one set for the whole process, too
    _process = _process or os.getpid()
    return _process == os.getpid()


_process = 0
"""The process that obstore was first used in."""


class Bulk:
    """Whole blobs of one container; belongs to one event loop, save for the `BulkCalls` that it gives to threads."""

    def __init__(
        self,
        location: StoreLocation,
        account: AzureAccount,
        tickets: Tickets,
        policy: RetryPolicy,
        pressure: Pressure,
    ) -> None:
        self._tickets = tickets
        self._patience = policy.patience
        self._pressure = pressure
        self._clients = Clients(location, account, policy)
        self._rest = _Rest()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="batch-outputs-bulk")
        self._room = Room(_MEMORY)
        # With a proxy in between the wire reads: it knows how to speak to one.
        self._http = PlainHttp(account) if proxy_for(account.endpoint) is None else None
        self._ranges = self._pages = None
        if self._http is not None:
            self._ranges = RangeReader(self._http, location.container, pressure)
            self._pages = PageReader(self._http, location.container, pressure)
        self._calls = BulkCalls(
            location, self._clients, policy, pressure, self._rest, self._room, self._threads, self._ranges
        )

    async def put(
        self, name: str, source: Source, *, content_type: str | None, metadata: Mapping[str, str]
    ) -> Written | None:
        """Store a whole block blob; None when obstore failed, which leaves what was there before."""
        if self._rest.is_needed or not _runs_here():
            return None
        self._clients.renew(await self._tickets.ticket())
        client = self._clients.patient
        if client is None:
            return None
        for pause in self._pressure.pauses(self._patience):
            await asyncio.sleep(pause)
        upload = _Upload(client, name, source, _attributes(content_type, metadata))
        etag = await finished(lambda: self._hold_and_run(source, upload), upload.abandoned, self._threads)
        if upload.is_refused_as_busy:
            self._pressure.busy()
        return self._rest.counted(_written(etag))

    async def calls(self) -> BulkCalls | None:
        """Calls for worker threads; None where there is no use in trying."""
        if self._rest.is_needed or not _runs_here():
            return None
        self._clients.renew(await self._tickets.ticket())
        return None if self._clients.prompt is None else self._calls

    async def page(self, query: str) -> Page | None:
        """A page of a listing; None if it has to be asked for in another way."""
        if self._pages is None or self._rest.is_needed:
            return None
        ticket = await self._tickets.ticket()
        for pause in self._pressure.pauses(self._patience):
            await asyncio.sleep(pause)
        stop = Stop()
        try:
            return await finished(partial(self._pages.read, query, ticket, stop), stop)
        except (NoPageError, UnusableAnswerError):
            return None
        except Exception:  # of many classes; whoever asks again will find out what is wrong
            self._rest.failed()
            return None

    def close(self) -> None:
        """Let the threads and connections go."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._clients.forget()
        if self._http is not None:
            self._http.close()

    def _hold_and_run(self, source: Source, upload: _Upload) -> str | None:
        # obstore has one block more in its hands than it sends.
        with self._room.taken((_BLOCKS_AT_ONCE + 1) * source.block_size if source.is_large else source.size):
            return upload.run()


class BulkCalls:
    """Quick calls for worker threads; see `batch_outputs.stores.base.BlockingCalls`."""

    def __init__(
        self,
        location: StoreLocation,
        clients: Clients,
        policy: RetryPolicy,
        pressure: Pressure,
        rest: _Rest,
        room: Room,
        threads: ThreadPoolExecutor,
        ranges: RangeReader | None,
    ) -> None:
        self._location = location
        self._clients = clients
        self._patience = policy.patience
        self._pressure = pressure
        self._rest = rest
        self._room = room
        self._threads = threads
        self._ranges = ranges
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
        """Store a whole block blob of at most 8 MiB; None if it was not done.

        The service's time of the write is not told by obstore, so `last_modified` is that of our clock.
        """
        client = self._clients.prompt
        if client is None or content.size > BLOCK or self._rest.is_needed or not carries(name, metadata or {}):
            return None
        source = Source(content, blob=name, place=self._location.place)
        if metadata:
            urls.metadata_headers(metadata)  # refuses what the service would not keep
        upload = _Upload(client, name, source, _attributes(content_type, metadata or {}), stop)
        if source.size <= _SMALL:
            etag = self._persistently(upload)
        else:
            # On few threads: each keeps the memory that it has had once.
            etag = self._threads.submit(self._hold_and_persist, upload, source.size).result()
        return self._rest.counted(_written(etag))

    def read(self, name: str, *, offset: int, size: int, etag: str, stop: Stop | None = None) -> Generator[Buffer]:
        """The bytes from `offset` to `size`; ends early where the rest has to be read in another way."""
        if offset >= size or self._rest.is_needed:
            return
        for pause in self._pressure.pauses(self._patience):
            (stop or Stop()).wait(pause)
        try:
            yield from self._pieces(name, offset, size, etag, stop)
        except Exception as error:  # of many classes; whoever reads on will find out what is wrong
            if stop is not None and stop.is_set():
                return
            if _says_busy(error):
                self._pressure.busy()
            self._rest.failed()
        else:
            self._pressure.served()
            self._rest.succeeded()

    def _pieces(self, name: str, offset: int, size: int, etag: str, stop: Stop | None) -> Generator[Buffer]:
        client, ticket = self._clients.prompt, self._clients.ticket
        is_for_obstore = stop is None and size - offset <= _FOR_OBSTORE  # it cannot be broken off
        stop = stop or Stop()
        if is_for_obstore and client is not None and carries(name, {}):
            import obstore

            found = obstore.get(client, name, options={"if_match": etag, "range": (offset, size)})
            yield found.bytes()
        elif ticket is None or self._ranges is None:
            return
        elif size - offset > 2 * BLOCK and self._reading_ahead.acquire(blocking=False):
            # One at a time, so that the bytes that wait stay few.
            try:
                yield from self._ranges.pieces_ahead(ticket, name, etag, offset, size, stop, self._threads)
            finally:
                self._reading_ahead.release()
        else:
            yield from self._ranges.pieces(ticket, name, etag, offset, size, stop)

    def _hold_and_persist(self, upload: _Upload, size: int) -> str | None:
        with self._room.taken(size):
            return self._persistently(upload)

    def _persistently(self, upload: _Upload) -> str | None:
        """What an upload gives; repeated as long as the service is busy, for a part of the time that is allowed."""
        patience = RetryPolicy(self._patience / 3).begin()
        while True:
            for pause in self._pressure.pauses(self._patience):
                upload.abandoned.wait(pause)
            etag = upload.run()
            if not upload.is_refused_as_busy:
                if etag is not None:
                    self._pressure.served()
                return etag
            self._pressure.busy()
            wait = patience.wait()
            if wait is None or upload.abandoned.wait(wait):
                return None
            upload.rewind()


class _Rest:
    """When to leave obstore alone: after some failures in a row for a while, each time for longer."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._until = 0.0
        self._next = _FIRST_REST

    @property
    def is_needed(self) -> bool:
        return time.monotonic() < self._until

    def counted(self, written: Written | None) -> Written | None:
        """The same, counted as a success or, if it is None, as a failure."""
        if written is None:
            self.failed()
        else:
            self.succeeded()
        return written

    def succeeded(self) -> None:
        self._in_a_row, self._next = 0, _FIRST_REST

    def failed(self) -> None:
        self._in_a_row += 1
        if self._in_a_row >= _FAILURES_ALLOWED:
            self._until = time.monotonic() + self._next
            self._next = min(2 * self._next, _LONGEST_REST)
            self._in_a_row = _FAILURES_ALLOWED - 1  # the next one decides whether it is well again


class _Upload:
    """One put, as a worker thread does it."""

    def __init__(
        self, client: Client, name: str, source: Source, attributes: dict[str, str], abandoned: Stop | None = None
    ) -> None:
        self.abandoned = abandoned or Stop()
        self.is_refused_as_busy = False
        self._client = client
        self._name = name
        self._source = source
        self._attributes = attributes
        self._source_error: BaseException | None = None

    def run(self) -> str | None:
        """The new ETag; None if obstore failed. Errors of the source are raised as they are."""
        import obstore

        etag: str | None = None
        self.is_refused_as_busy = False
        try:
            done = obstore.put(
                self._client,
                self._name,
                self._blocks() if self._source.is_large else self._read(),
                attributes=self._attributes,
                use_multipart=self._source.is_large,
                chunk_size=self._source.block_size,
                max_concurrency=_BLOCKS_AT_ONCE,
            )
        except Exception as error:  # its own classes, ValueError, OSError: the wire will find out what is wrong
            self.is_refused_as_busy = _says_busy(error)
        else:
            etag = done["e_tag"]
        if self._source_error is not None:
            raise self._source_error  # behind the handler, so that obstore's error is not its context
        return etag

    def rewind(self) -> None:
        """Begin again at the first byte."""
        self._source.rewind()

    def _blocks(self) -> Iterator[bytes]:
        while not self._source.is_at_end:
            yield self._read()

    def _read(self) -> bytes:
        try:
            self._check_wanted()
            return self._source.read()
        except BaseException as error:
            self._source_error = error
            raise

    def _check_wanted(self) -> None:
        if self.abandoned.is_set():
            raise _AbandonedError


def _says_busy(failure: Exception) -> bool:
    found = _STATUS.search(str(failure))
    return found is not None and int(found[1]) in BUSY


class _AbandonedError(Exception):
    """Nobody waits for the upload any more."""


def _attributes(content_type: str | None, metadata: Mapping[str, str]) -> dict[str, str]:
    return {**metadata, "Content-Type": content_type} if content_type else dict(metadata)


def _written(etag: str | None) -> Written | None:
    return None if etag is None else Written(etag, datetime.now(UTC).replace(microsecond=0))
