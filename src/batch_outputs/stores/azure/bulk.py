"""An accelerator for whole blobs: obstore, called on worker threads.

It is never needed: what it cannot do, or fails at, goes over the wire, which also says why in words of ours. Its calls
are the blocking ones, because its asynchronous ones can abort the interpreter at exit.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from batch_outputs.location import AzureAccount, StoreLocation
from batch_outputs.stores.azure import urls
from batch_outputs.stores.azure.access import Ticket, Tickets
from batch_outputs.stores.azure.bulk_clients import Clients
from batch_outputs.stores.azure.content import BLOCK, Source
from batch_outputs.stores.azure.plain_http import PlainHttp
from batch_outputs.stores.azure.pressure import Pressure, pressure_on
from batch_outputs.stores.azure.ranges import RangeReader
from batch_outputs.stores.azure.rest import Rest
from batch_outputs.stores.azure.retries import RetryPolicy
from batch_outputs.stores.azure.room import Room
from batch_outputs.stores.azure.upload import BLOCKS_AT_ONCE, Upload, says_busy
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
    """Whole blobs of one container; belongs to one event loop, save for the `BulkCalls` that it gives to threads.

    Without `http`, large blobs are not read here.
    """

    def __init__(
        self,
        location: StoreLocation,
        account: AzureAccount,
        tickets: Tickets,
        policy: RetryPolicy,
        *,
        proxy: str | None = None,
        http: PlainHttp | None = None,
    ) -> None:
        self._tickets = tickets
        self._means = _Means(
            place=location.place,
            patience=policy.patience,
            pressure=pressure_on(account.endpoint),
            clients=Clients(location.container, account.endpoint, policy, proxy),
            ranges=None if http is None else RangeReader(http, location.container),
        )
        self._calls = BulkCalls(self._means)

    async def put(
        self, name: str, source: Source, *, content_type: str | None, metadata: Mapping[str, str]
    ) -> Written | None:
        """Store a whole block blob; None when obstore failed, which leaves what was there before."""
        means = self._means
        if means.rest.is_needed or not _runs_here():
            return None
        means.clients.renew(await self._tickets.ticket())
        client = means.clients.patient
        if client is None:
            return None
        for pause in means.pressure.pauses(means.patience):
            await asyncio.sleep(pause)
        upload = Upload(client, name, source, _attributes(content_type, metadata))
        etag = await finished(lambda: self._hold_and_run(source, upload), upload.abandoned, means.threads)
        if upload.is_refused_as_busy:
            means.pressure.busy()
        return means.rest.counted(_written(etag))

    async def calls(self) -> BulkCalls | None:
        """Calls for worker threads; None where there is no use in trying."""
        means = self._means
        if means.rest.is_needed or not _runs_here():
            return None
        means.clients.renew(await self._tickets.ticket())
        return None if means.clients.prompt is None else self._calls

    def close(self) -> None:
        """Let the threads and connections go."""
        self._means.threads.shutdown(wait=False, cancel_futures=True)
        self._means.clients.forget()

    def _hold_and_run(self, source: Source, upload: Upload) -> str | None:
        # obstore has one block more in its hands than it sends.
        size = (BLOCKS_AT_ONCE + 1) * source.block_size if source.is_large else source.size
        with self._means.room.taken(size):
            return upload.run()


@dataclass(frozen=True, slots=True)
class _Means:
    """What a `Bulk` and its calls for threads work with, all of it for threads too."""

    place: str
    patience: float
    pressure: Pressure
    clients: Clients
    ranges: RangeReader | None
    rest: Rest = field(default_factory=Rest)
    room: Room = field(default_factory=lambda: Room(_MEMORY))
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS, "batch-outputs-bulk"))


class BulkCalls:
    """Quick calls for worker threads; see `batch_outputs.stores.base.BlockingCalls`."""

    def __init__(self, means: _Means) -> None:
        self._means = means
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
        client = self._means.clients.prompt
        if client is None or content.size > BLOCK or self._means.rest.is_needed or not carries(name, metadata or {}):
            return None
        source = Source(content, blob=name, place=self._means.place)
        if metadata:
            urls.metadata_headers(metadata)  # refuses what the service would not keep
        upload = Upload(client, name, source, _attributes(content_type, metadata or {}), stop)
        if source.size <= _SMALL:
            etag = self._persistently(upload)
        else:
            # On few threads: each keeps the memory that it has had once.
            etag = self._means.threads.submit(self._hold_and_persist, upload, source.size).result()
        return self._means.rest.counted(_written(etag))

    def read(self, name: str, *, offset: int, size: int, etag: str, stop: Stop | None = None) -> Generator[Buffer]:
        """The bytes from `offset` to `size`; ends early where the rest has to be read in another way."""
        if offset >= size or self._means.rest.is_needed:
            return
        pieces = self._pieces(name, offset, size, etag, stop)
        if pieces is None:
            return
        for pause in self._means.pressure.pauses(self._means.patience):
            (stop or Stop()).wait(pause)
        try:
            yield from pieces
        except Exception as error:  # of many classes; whoever reads on will find out what is wrong
            if stop is not None and stop.is_set():
                return
            if says_busy(error):
                self._means.pressure.busy()
            self._means.rest.failed()
        else:
            self._means.pressure.served()
            self._means.rest.succeeded()

    def _pieces(self, name: str, offset: int, size: int, etag: str, stop: Stop | None) -> Generator[Buffer] | None:
        """The bytes by the way that is best for so many, before anything is asked; None if there is none."""
        clients, ranges = self._means.clients, self._means.ranges
        # What obstore does cannot be broken off.
        if stop is None and size - offset <= _FOR_OBSTORE and clients.prompt is not None and carries(name, {}):
            return _in_one_piece(clients.prompt, name, offset, size, etag)
        if clients.ticket is None or ranges is None:
            return None
        stop = stop or Stop()
        if size - offset > 2 * BLOCK:
            return self._pieces_ahead(ranges, clients.ticket, name, etag, offset, size, stop)
        return ranges.pieces(clients.ticket, name, etag, offset, size, stop)

    def _pieces_ahead(
        self, ranges: RangeReader, ticket: Ticket, name: str, etag: str, offset: int, size: int, stop: Stop
    ) -> Generator[Buffer]:
        # One at a time, so that the bytes that wait stay few.
        if not self._reading_ahead.acquire(blocking=False):
            yield from ranges.pieces(ticket, name, etag, offset, size, stop)
            return
        try:
            yield from ranges.pieces_ahead(ticket, name, etag, offset, size, stop, self._means.threads)
        finally:
            self._reading_ahead.release()

    def _hold_and_persist(self, upload: Upload, size: int) -> str | None:
        with self._means.room.taken(size):
            return self._persistently(upload)

    def _persistently(self, upload: Upload) -> str | None:
        """What an upload gives; repeated as long as the service is busy, for a part of the time that is allowed."""
        patience = RetryPolicy(self._means.patience / 3).begin()
        while True:
            for pause in self._means.pressure.pauses(self._means.patience):
                upload.abandoned.wait(pause)
            etag = upload.run()
            if not upload.is_refused_as_busy:
                if etag is not None:
                    self._means.pressure.served()
                return etag
            self._means.pressure.busy()
            wait = patience.wait()
            if wait is None or upload.abandoned.wait(wait):
                return None
            upload.rewind()


def _in_one_piece(client: Client, name: str, offset: int, size: int, etag: str) -> Generator[Buffer]:
    import obstore

    found = obstore.get(client, name, options={"if_match": etag, "range": (offset, size)})
    yield found.bytes()


def _attributes(content_type: str | None, metadata: Mapping[str, str]) -> dict[str, str]:
    return {**metadata, "Content-Type": content_type} if content_type else dict(metadata)


def _written(etag: str | None) -> Written | None:
    return None if etag is None else Written(etag, datetime.now(UTC).replace(microsecond=0))
