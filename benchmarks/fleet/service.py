"""A blob service as a fleet sees it: it takes so many requests a second, and answers 503 to the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from batch_outputs.errors import StoreBusyError, StoreUnavailableError
from batch_outputs.location import AzureAccount, SasAccess, StoreLocation
from batch_outputs.stores.azure.pressure import Pressure
from batch_outputs.stores.azure.retries import Patience, RetryPolicy
from batch_outputs.stores.base import BlobProperties, Written

Operation: TypeAlias = Literal["create", "append", "look", "mark"]

PATIENCE = RetryPolicy().patience

LATENCY = 0.02
"""Seconds between a request and its answer, in the same region."""

LOCATION = StoreLocation(AzureAccount("https://account.blob.core.windows.net", SasAccess("sig=none")), "job-x")
_MODIFIED = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Service:
    """One account. `limit` is how many requests it serves in a second; None for all.

    Nothing is published about how the limit is applied. Here the first `limit` requests of each second are served, the
    others are refused, and a refusal costs the service nothing.
    """

    limit: float | None = None
    down_from: float = 0.0
    down_until: float = 0.0
    """The service refuses everything between these two moments."""
    sent: Counter[int] = field(default_factory=Counter)
    """Requests by the second."""
    refused: Counter[int] = field(default_factory=Counter)
    by_operation: Counter[Operation] = field(default_factory=Counter)
    looks_served: Counter[int] = field(default_factory=Counter)
    lags: list[tuple[float, float]] = field(default_factory=list)
    """Moments at which an append was served, and how long its first byte had been in the file then."""
    completed: list[float] = field(default_factory=list)
    """Moments at which a log was complete."""

    def takes(self, operation: Operation, now: float) -> bool:
        """Whether a request is served; counts it."""
        second = int(now)
        self.sent[second] += 1
        self.by_operation[operation] += 1
        full = self.limit is not None and self.sent[second] - self.refused[second] > self.limit
        if full or self.down_from <= now < self.down_until:
            self.refused[second] += 1
            return False
        self.looks_served[second] += operation == "look"
        return True


class SimulatedStore:
    """One blob of the service, with so much of `Store` as a tracked save of a new log needs.

    `pressure` is what the process knows of the account; without it no request waits for what befell another. With
    `believed` a refusal is taken at its word; otherwise for an answer that leaves open what was done.
    """

    location = LOCATION

    def __init__(
        self,
        service: Service,
        written_at: Callable[[int], float],
        pressure: Pressure | None,
        *,
        believed: bool = True,
    ) -> None:
        self._service = service
        self._written_at = written_at
        self._pressure = pressure
        self._refusal = StoreBusyError if believed else StoreUnavailableError
        self._size = 0
        self._version = 0
        self._metadata: Mapping[str, str] = {}

    async def create_append(
        self,
        name: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        replaces: str | None = None,
    ) -> Written:
        """Create the blob; sent once, as by the real store."""
        await self._ask_once("create", name)
        self._metadata = dict(metadata or {})
        return self._written()

    async def append(self, name: str, data: bytes, *, offset: int, etag: str) -> Written:
        """Append; sent once."""
        await self._ask_once("append", name)
        now = asyncio.get_running_loop().time()
        self._service.lags.append((now, now - self._written_at(offset)))
        self._size += len(data)
        return self._written()

    async def properties(self, name: str) -> BlobProperties:
        """Look at the blob; repeated as the real store does."""
        await self._ask("look", name)
        return BlobProperties(name, self._size, str(self._version), _MODIFIED, None, self._metadata, "append")

    async def set_metadata(self, name: str, metadata: Mapping[str, str], *, etag: str | None = None) -> Written:
        """Mark the blob; repeated as the real store does."""
        await self._ask("mark", name)
        self._metadata = dict(metadata)
        return self._written()

    def _written(self) -> Written:
        self._version += 1
        return Written(str(self._version), _MODIFIED)

    async def _ask(self, operation: Operation, name: str) -> None:
        patience = Patience(PATIENCE, clock=asyncio.get_running_loop().time)
        while True:
            try:
                return await self._ask_once(operation, name)
            except StoreUnavailableError as error:
                wait = patience.wait(error.retry_after)
                if wait is None:
                    raise
            await asyncio.sleep(wait)

    async def _ask_once(self, operation: Operation, name: str) -> None:
        for pause in self._pressure.pauses(PATIENCE) if self._pressure else ():
            await asyncio.sleep(pause)
        served = self._service.takes(operation, asyncio.get_running_loop().time())
        await asyncio.sleep(LATENCY)
        if self._pressure and served:
            self._pressure.served()
        elif self._pressure:
            self._pressure.busy()
        if not served:
            raise self._refusal("The service has too much to do.", place=LOCATION.place, blob=name, code="ServerBusy")
