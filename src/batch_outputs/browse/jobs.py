"""The jobs that the page shows: looked up now and then, opened once."""

from __future__ import annotations

import re
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime

from batch_outputs.account import JOB_PREFIX, OutputAccount, StoredJob
from batch_outputs.browse.iterating import closing
from batch_outputs.errors import AccessDeniedError, StoreError
from batch_outputs.storage import JobOutputStorage

MOST_OPEN = 100
"""Jobs whose connections are kept when nobody uses them."""
_FRESH = 5.0
"""Seconds for which a list of all jobs is good."""
_NEVER = datetime.min.replace(tzinfo=UTC)
_CONTAINER = re.compile(rf"{JOB_PREFIX}[a-z0-9-]{{1,59}}")


class Jobs:
    """An account's jobs, newest first, and their storages, open as long as they are used and often longer."""

    def __init__(self, account: OutputAccount, most_open: int = MOST_OPEN) -> None:
        self._account = account
        self._most_open = most_open
        self._open: dict[str, JobOutputStorage] = {}
        self._users: Counter[str] = Counter()
        self._names: dict[str, str] = {}
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
            self._names = {job.container: job.name for job in jobs}
        return self._listed

    def borrow(self, container: str) -> JobOutputStorage:
        """The outputs of a job, without a request; they stay open until they are given back.

        Raises:
            ConfigurationError: there is access to another container only.
            InvalidNameError: no container can have this name.
        """
        storage = self._open.pop(container, None) or self._account.container(container)
        self._open[container] = storage  # now the one used last
        self._users[container] += 1
        return storage

    async def give_back(self, container: str) -> None:
        """Be done with a job that was borrowed; those that nobody uses are closed where there are many."""
        self._users[container] -= 1
        if not self._users[container]:
            del self._users[container]
        idle = [name for name in self._open if name not in self._users]
        closed = [self._open.pop(name) for name in idle[: max(0, len(self._open) - self._most_open)]]
        for storage in closed:
            await storage.aclose()

    async def name(self, container: str) -> str:
        """What to call a job: its id, or where that cannot be had, what the container's name says of it."""
        if container not in self._names and _CONTAINER.fullmatch(container):
            with suppress(StoreError):
                await self._look_up(container)
        return self._names.get(container) or StoredJob(container, None, None).name

    async def aclose(self) -> None:
        """Give back all connections."""
        while self._open:
            await self._open.popitem()[1].aclose()
        await self._account.aclose()

    async def _look_up(self, container: str) -> None:
        try:
            async with closing(self._account.list_jobs(container.removeprefix(JOB_PREFIX))) as jobs:
                async for job in jobs:
                    if job.container >= container:  # they come by name
                        if job.container == container:
                            self._names[container] = job.name
                        break
        except AccessDeniedError:
            self._names[container] = StoredJob(container, None, None).name  # and it will not be given the next time
