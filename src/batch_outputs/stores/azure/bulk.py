"""An accelerator for puts: obstore, called on a few worker threads.

It is never needed: what it cannot do, or fails at, goes over the wire, which also says why in words of ours. Its calls
are the blocking ones, because its asynchronous ones can abort the interpreter at exit. No text of its errors is let
through: it may hold the URL, and the URL holds the SAS.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio

from batch_outputs.location import AzureAccount, StoreLocation
from batch_outputs.stores.azure.access import Ticket, Tickets
from batch_outputs.stores.azure.content import Source
from batch_outputs.stores.azure.retries import RetryPolicy
from batch_outputs.stores.azure.transport import KEEP_ALIVE, proxy_for
from batch_outputs.stores.base import Written

if TYPE_CHECKING:
    from obstore.store import AzureBearerToken, AzureSASToken, ClientConfig
    from obstore.store import AzureStore as Client

SWITCH = "BATCH_OUTPUTS_BULK"

_SLOTS = 8
"""Blocks in flight at most, and worker threads: 64 MiB of memory."""

_SLOTS_OF_LARGE = 5
_BLOCKS_AT_ONCE = 4
_TIMEOUT = timedelta(seconds=60)
_FAILURES_ALLOWED = 3

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
    """Puts into one container; belongs to one event loop.

    Memory is bounded by blocks in flight. When it fails some times in a row, it is left alone from then on.
    """

    def __init__(self, location: StoreLocation, account: AzureAccount, tickets: Tickets, policy: RetryPolicy) -> None:
        self._location = location
        self._account = account
        self._tickets = tickets
        self._policy = policy
        self._client: tuple[Ticket, Client | None] | None = None
        self._threads = ThreadPoolExecutor(_SLOTS, thread_name_prefix="batch-outputs-bulk")
        self._slots = asyncio.Semaphore(_SLOTS)
        self._one_large = asyncio.Lock()
        self._failures = 0

    async def put(
        self, name: str, source: Source, *, content_type: str | None, metadata: Mapping[str, str]
    ) -> Written | None:
        """Store a whole block blob; None when obstore failed, which leaves what was there before.

        The service's time of the write is not told by obstore, so `last_modified` is that of our clock.
        """
        if self._failures >= _FAILURES_ALLOWED or not _runs_here():
            return None
        client = self._client_for(await self._tickets.ticket())
        if client is None:
            return None
        attributes = dict(metadata)
        if content_type:
            attributes["Content-Type"] = content_type
        async with self._room_for(source):
            etag = await self._in_thread(_Upload(client, name, source, attributes))
        if etag is None:
            self._failures += 1
            return None
        self._failures = 0
        return Written(etag, datetime.now(UTC).replace(microsecond=0))

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def _room_for(self, source: Source) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            if source.is_large:
                # One at a time, or two could each hold half of what both need.
                await held.enter_async_context(self._one_large)
            for _ in range(_SLOTS_OF_LARGE if source.is_large else 1):
                await held.enter_async_context(self._slots)
            yield

    async def _in_thread(self, upload: _Upload) -> str | None:
        running = asyncio.get_running_loop().run_in_executor(self._threads, upload.run)
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            upload.abandoned.set()
            # The source may be closed only when the thread has let go of it.
            with anyio.CancelScope(shield=True):
                await asyncio.wait([running])
            running.exception()  # looked at, so that asyncio does not report it as lost
            raise
        return await running

    def _client_for(self, ticket: Ticket) -> Client | None:
        if self._client is None or self._client[0] != ticket:
            self._client = ticket, self._new_client(ticket)
        return self._client[1]

    def _new_client(self, ticket: Ticket) -> Client | None:
        """A client; None where obstore, which reads the environment, does not like what it finds there."""
        with suppress(Exception):
            return self._configured(ticket)
        return None

    def _configured(self, ticket: Ticket) -> Client:
        from obstore.store import AzureStore as Client

        options: ClientConfig = {
            "allow_http": self._account.endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=20),
            "timeout": _TIMEOUT,
            "pool_idle_timeout": timedelta(seconds=KEEP_ALIVE),
        }
        if proxy := proxy_for(self._account.endpoint):
            options["proxy_url"] = proxy
        # A provider comes before every key, token and switch that obstore might find in the environment.
        return Client(
            self._location.container,
            config={
                "endpoint": self._account.endpoint,
                "account_name": "-",
                "use_emulator": False,
                "skip_signature": False,
            },
            credential_provider=lambda: _credential(ticket),
            client_options=options,
            # Where this ends, the wire goes on with patience of its own.
            retry_config={
                "max_retries": 10 if self._policy.patience else 0,
                "retry_timeout": timedelta(seconds=self._policy.patience / 3),
            },
        )


def _credential(ticket: Ticket) -> AzureSASToken | AzureBearerToken:
    if ticket.sas:
        return {"sas_token": ticket.sas, "expires_at": None}
    return {"token": ticket.token, "expires_at": None}


class _Upload:
    """One put, as a worker thread does it."""

    def __init__(self, client: Client, name: str, source: Source, attributes: dict[str, str]) -> None:
        self.abandoned = threading.Event()
        self._client = client
        self._name = name
        self._source = source
        self._attributes = attributes
        self._source_error: BaseException | None = None

    def run(self) -> str | None:
        """The new ETag; None if obstore failed. Errors of the source are raised as they are."""
        import obstore

        done = None
        with suppress(Exception):  # its own classes, ValueError, OSError: the wire will find out what is wrong
            done = obstore.put(
                self._client,
                self._name,
                self._blocks() if self._source.is_large else self._read(),
                attributes=self._attributes,
                use_multipart=self._source.is_large,
                chunk_size=self._source.block_size,
                max_concurrency=_BLOCKS_AT_ONCE,
            )
        if self._source_error is not None:
            raise self._source_error
        return done["e_tag"] if done else None

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


class _AbandonedError(Exception):
    """Nobody waits for the upload any more."""
