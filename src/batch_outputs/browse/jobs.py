"""The jobs that the page shows: looked up now and then, opened once."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from batch_outputs.account import OutputAccount, StoredJob
from batch_outputs.storage import JobOutputStorage

MOST_OPEN = 100
"""Jobs whose connections are kept."""
_FRESH = 5.0
"""Seconds for which a list of all jobs is good."""
_NEVER = datetime.min.replace(tzinfo=UTC)


class Jobs:
    """An account's jobs, newest first, and their storages, open until the server ends."""

    def __init__(self, account: OutputAccount) -> None:
        self._account = account
        self._open: dict[str, JobOutputStorage] = {}
        self._listed: list[StoredJob] = []
        self._listed_at = -_FRESH

    @property
    def place(self) -> str:
        """Where they are, for people."""
        return self._account.place

    @property
    def only_container(self) -> str | None:
        """The one container that there is access to, if it is one."""
        return self._account.only_container

    async def newest_first(self) -> list[StoredJob]:
        """All jobs, by the time their containers were made.

        Raises:
            StoreError: the account cannot be listed.
        """
        if time.monotonic() - self._listed_at >= _FRESH:
            jobs = [job async for job in self._account.list_jobs()]
            self._listed = sorted(jobs, key=lambda job: job.last_modified or _NEVER, reverse=True)
            self._listed_at = time.monotonic()
        return self._listed

    async def storage(self, container: str) -> JobOutputStorage:
        """The outputs of a job, without a request.

        Raises:
            ConfigurationError: there is access to another container only.
            InvalidNameError: no container can have this name.
        """
        storage = self._open.pop(container, None) or self._account.container(container)
        self._open[container] = storage  # now the one used last
        if len(self._open) > MOST_OPEN:
            await self._open.pop(next(iter(self._open))).aclose()
        return storage

    async def name(self, container: str) -> str:
        """What to call a job, as far as it is known without asking for more than the page has asked for."""
        known = {job.container: job.name for job in self._listed}
        return known.get(container) or StoredJob(container, None, None).name

    async def aclose(self) -> None:
        """Give back all connections."""
        while self._open:
            await self._open.popitem()[1].aclose()
        await self._account.aclose()
