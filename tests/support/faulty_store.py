"""A store whose requests go wrong when they are told to, in the ways that a network has."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal, TypeAlias, TypeVar

from batch_outputs.errors import StoreBusyError, StoreError, StoreUnavailableError
from batch_outputs.location import StoreLocation
from batch_outputs.stores.base import BlobPrefix, BlobProperties, Page, Readable, Store, Written

T = TypeVar("T")
Operation: TypeAlias = Literal["create", "append", "properties", "read", "set_metadata", "copy"]
WRITES: tuple[Operation, ...] = ("create", "append", "set_metadata", "copy")


class Fault(Enum):
    """What becomes of a request."""

    NOT_SENT = auto()
    """It never arrives, and nobody answers."""
    ANSWER_LOST = auto()
    """It is carried out, and nobody answers."""
    LATE = auto()
    """Nobody answers, and it arrives when `deliver` lets it."""
    BUSY = auto()
    """The service has too much to do, and says so."""
    BUSY_AFTER = auto()
    """It is carried out; somebody on the way sends it again, and for that the service has too much to do."""
    KILLED_BEFORE = auto()
    """The process dies before it is sent."""
    KILLED_AFTER = auto()
    """It is carried out, and the process dies before the answer comes."""


class KilledError(BaseException):
    """The end of a simulated process, which nothing in it can catch."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to the next request of an operation: something else just before it, and a fault."""

    on: Operation
    fault: Fault | None = None
    before: Callable[[], object] | None = None


class FaultyStore:
    """Passes everything on to another store, but for what is planned, or while it is `down`."""

    def __init__(self, store: Store) -> None:
        self.plans: list[Plan] = []
        self.down = False
        self.retry_after: float | None = None
        self.fired: Counter[Fault] = Counter()
        self.requests: Counter[Operation] = Counter()
        self.on_request: Callable[[], object] = lambda: None
        self._store = store
        self._late: list[Callable[[], Awaitable[object]]] = []

    @property
    def location(self) -> StoreLocation:
        """See `Store.location`."""
        return self._store.location

    @property
    def late(self) -> int:
        """How many requests are still on their way."""
        return len(self._late)

    async def deliver(self) -> None:
        """Let the oldest late request arrive; whatever the service says to it, nobody hears it."""
        with contextlib.suppress(StoreError):
            await self._late.pop(0)()

    async def put(
        self,
        name: str,
        content: bytes | Readable,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Written:
        """See `Store.put`."""
        return await self._store.put(name, content, content_type=content_type, metadata=metadata)

    def calls_at_hand(self) -> None:
        """There are none."""

    def blocking_lists(self) -> AbstractContextManager[None]:
        """Its listings wait for nothing."""
        return nullcontext()

    def close_calls(self) -> None:
        """There is nothing to close."""

    async def blocking_calls(self) -> None:
        """There are none: nothing is to go round the faults."""

    async def create_append(
        self,
        name: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        replaces: str | None = None,
    ) -> Written:
        """See `Store.create_append`."""
        return await self._ask(
            "create",
            name,
            lambda: self._store.create_append(name, content_type=content_type, metadata=metadata, replaces=replaces),
        )

    async def append(self, name: str, data: bytes, *, offset: int, etag: str) -> Written:
        """See `Store.append`."""
        return await self._ask("append", name, lambda: self._store.append(name, data, offset=offset, etag=etag))

    async def properties(self, name: str) -> BlobProperties:
        """See `Store.properties`."""
        return await self._ask("properties", name, lambda: self._store.properties(name))

    async def read(
        self, name: str, *, offset: int = 0, length: int | None = None, etag: str | None = None
    ) -> AsyncIterator[bytes]:
        """See `Store.read`."""

        async def all_of_it() -> list[bytes]:
            return [piece async for piece in self._store.read(name, offset=offset, length=length, etag=etag)]

        for piece in await self._ask("read", name, all_of_it):
            yield piece

    async def list(self, prefix: str = "") -> AsyncIterator[BlobProperties]:
        """See `Store.list`."""
        async for blob in self._store.list(prefix):
            yield blob

    async def list_page(
        self, prefix: str = "", *, one_level: bool = False, after: str | None = None, limit: int = 5000
    ) -> Page:
        """See `Store.list_page`."""
        return await self._store.list_page(prefix, one_level=one_level, after=after, limit=limit)

    async def list_level(self, prefix: str = "") -> AsyncIterator[BlobProperties | BlobPrefix]:
        """See `Store.list_level`."""
        async for entry in self._store.list_level(prefix):
            yield entry

    async def set_metadata(self, name: str, metadata: Mapping[str, str], *, etag: str | None = None) -> Written:
        """See `Store.set_metadata`."""
        return await self._ask("set_metadata", name, lambda: self._store.set_metadata(name, metadata, etag=etag))

    async def copy(self, source: str, target: str, *, etag: str | None = None) -> Written:
        """See `Store.copy`."""
        return await self._ask("copy", target, lambda: self._store.copy(source, target, etag=etag))

    async def delete(self, name: str, *, etag: str | None = None) -> None:
        """See `Store.delete`."""
        await self._store.delete(name, etag=etag)

    async def aclose(self) -> None:
        """See `Store.aclose`."""
        await self._store.aclose()

    async def _ask(self, operation: Operation, name: str, send: Callable[[], Awaitable[T]]) -> T:
        self.requests[operation] += 1
        self.on_request()
        plan = next((plan for plan in self.plans if plan.on == operation), None)
        if plan is not None:
            self.plans.remove(plan)
            if plan.before is not None:
                plan.before()
        fault = plan.fault if plan is not None else None
        if self.down:
            fault = Fault.NOT_SENT
        if fault is None:
            return await send()
        self.fired[fault] += 1
        if fault in (Fault.ANSWER_LOST, Fault.BUSY_AFTER, Fault.KILLED_AFTER):
            await send()
        if fault is Fault.LATE and operation in WRITES:
            self._late.append(send)
        if fault in (Fault.KILLED_BEFORE, Fault.KILLED_AFTER):
            raise KilledError
        place = self.location.place
        if fault in (Fault.BUSY, Fault.BUSY_AFTER):
            raise StoreBusyError(f"{place} is busy.", place=place, blob=name, retry_after=self.retry_after)
        raise StoreUnavailableError(f"{place} does not answer.", place=place, blob=name, retry_after=self.retry_after)
