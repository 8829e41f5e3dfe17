"""A job's container: one store, opened when it is first needed, and created where that is ours to do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Self

from batch_outputs.location import StoreLocation
from batch_outputs.settings import EMBEDDED_JOB, Target
from batch_outputs.stores import open_account, open_store
from batch_outputs.stores.base import BlockingCalls, Store

if TYPE_CHECKING:
    from anyio import Lock

logger: logging.Logger = logging.getLogger("batch_outputs.storage")

JOB_ID_KEY = "batch_outputs_job_id"
"""Metadata of a container that says whose job it is: a hashed name cannot be turned back."""


class JobContainer:
    """One container, opened when it is first needed; shared by a job's storage and those of its tasks."""

    def __init__(
        self, location: StoreLocation, *, job_id: str | None, embedded: bool = False, folder: str | None = None
    ) -> None:
        self.location = location
        self.job_id = job_id
        self.folder = folder
        """The folder that everything is stored in, if it is one; it is no source of outputs."""
        self._to_be_created = embedded
        self._creating: Lock | None = None
        self._store: Store | None = None

    @classmethod
    def to(cls, target: Target, job_id: str | None) -> Self:
        """The container of a job at a target."""
        job_id = job_id or (EMBEDDED_JOB if target.embedded else None)
        location = target.location(job_id)
        return cls(location, job_id=job_id, embedded=target.embedded, folder=target.folder(location.container))

    @property
    def store(self) -> Store:
        """The open store."""
        if self._store is None:
            self._store = open_store(self.location)
        return self._store

    def calls_at_hand(self) -> BlockingCalls | None:
        """Calls of the store that block; None where something is to be waited for first."""
        return None if self._to_be_created else self.store.calls_at_hand()

    @contextmanager
    def blocking_lists(self) -> Iterator[BlockingCalls | None]:
        """The same calls; in the block listings are waited for by blocking, if they are there."""
        calls = self.calls_at_hand()
        with self.store.blocking_lists() if calls is not None else nullcontext():
            yield calls

    async def prepare_to_write(self) -> None:
        """In the embedded folder containers come by themselves."""
        if not self._to_be_created:
            return
        from anyio import Lock  # a command that saves quickly needs no event loop

        self._creating = self._creating or Lock()
        async with self._creating:
            if self._to_be_created:
                logger.warning("Nothing says where outputs go, so they go to the folder %s.", self.location.place)
                await self.create()
                self._to_be_created = False

    async def create(self) -> bool:
        """Create the container, with the job's id kept in its metadata; False if it was there."""
        account = open_account(self.location.account)
        metadata = {JOB_ID_KEY: self.job_id} if self.job_id else {}
        try:
            return await account.create_container(self.location.container, metadata=metadata)
        finally:
            await account.aclose()

    async def signed_url(self, *, permissions: str, expires: datetime) -> str:
        """The container's URL that gives access by itself: a secret, unless it is a folder's."""
        account = open_account(self.location.account)
        try:
            return await account.signed_url(self.location.container, permissions=permissions, expires=expires)
        finally:
            await account.aclose()

    async def aclose(self) -> None:
        """Close the store, if it was opened."""
        if self._store is not None:
            store, self._store = self._store, None
            await store.aclose()

    def close_calls(self) -> None:
        """Close what `calls_at_hand` has opened, when nothing else of the store was used."""
        if self._store is not None:
            self._store.close_calls()
