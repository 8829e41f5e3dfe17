"""The jobs of a storage account: which there are, and the way to the outputs of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

from batch_outputs.environment import TaskEnvironment
from batch_outputs.errors import ConfigurationError, ContainerNotFoundError
from batch_outputs.job_container import JOB_ID_KEY, JobContainer
from batch_outputs.location import StoreLocation
from batch_outputs.names import job_container_name
from batch_outputs.settings import Target, account_target, connection_string_target, find_target
from batch_outputs.storage import JobOutputStorage
from batch_outputs.stores import open_account
from batch_outputs.stores.base import StoreAccount

JOB_PREFIX = "job-"
"""What the name of every job's container begins with (Batch File Conventions)."""


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job of which there is a container.

    `job_id` is None where nobody kept it with the container, whose name may be a shortened and hashed form of it.
    `last_modified` is when the container was made or last changed (not what is in it), in UTC; None where access is to
    this container only.
    """

    container: str
    job_id: str | None
    last_modified: datetime | None

    @property
    def name(self) -> str:
        """What to call it: its id, or what the container's name says of it."""
        return self.job_id or self.container.removeprefix(JOB_PREFIX)


class OutputAccount:
    """The jobs whose outputs are in one place. Use one of the `from_…` constructors, in an `async with` block.

    With access to one container only, that of its job is the one there is.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._account: StoreAccount | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, credential: object | None = None) -> Self:
        """The account or container that the environment names; see `TaskOutputStorage.from_env`.

        Raises:
            ConfigurationError: on a node with nothing configured, or something malformed. Nothing was requested.
        """
        return cls.at(find_target(environ, credential=credential))

    @classmethod
    def at(cls, target: Target) -> Self:
        """The account or container of a target that was found before."""
        return cls(target)

    @classmethod
    def from_account_url(cls, url: str, *, credential: object | None = None) -> Self:
        """The account of this URL (`https://…[?SAS]` or `file:///…`).

        Raises:
            ConfigurationError: the URL is malformed.
        """
        return cls(account_target(url, credential=credential))

    @classmethod
    def from_connection_string(cls, conn_str: str) -> Self:
        """The account of a connection string.

        Raises:
            ConfigurationError: the connection string is malformed.
        """
        return cls(connection_string_target(conn_str))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give back connections; storages that were opened from here have their own."""
        if self._account is not None:
            account, self._account = self._account, None
            await account.aclose()

    @property
    def only_container(self) -> str | None:
        """The one container that there is access to; None where it is a whole account."""
        return self._target.container

    @property
    def place(self) -> str:
        """Where the jobs are, for people: a host, perhaps with a container, or a folder; never with a secret."""
        return self._target.place

    async def list_jobs(self, prefix: str = "") -> AsyncIterator[StoredJob]:
        """The jobs, by the name of their containers, page by page as they are asked for.

        Args:
            prefix: What the containers' names begin with behind `job-`; ids are in small letters there.

        Raises:
            AccessDeniedError: the credential may not list containers.
        """
        if self._target.container is not None:
            yield StoredJob(self._target.container, None, None)
            return
        async for found in self._open().list_containers(JOB_PREFIX + prefix):
            yield StoredJob(found.name, found.metadata.get(JOB_ID_KEY) or None, found.last_modified)

    def job(self, job_id: str) -> JobOutputStorage:
        """The outputs of a job, without a request. To be closed by itself.

        Raises:
            InvalidNameError: the id cannot be used.
            ConfigurationError: there is access to another job's container only.
        """
        self._target.check_job(job_id)
        return self.container(self._target.container or job_container_name(job_id))

    def container(self, name: str) -> JobOutputStorage:
        """The outputs of the job whose container this is, without a request. To be closed by itself.

        Raises:
            ConfigurationError: there is access to another container only.
        """
        if self._target.container not in {None, name}:
            raise ConfigurationError(
                f"There is access to {self.place} only, not to the container {name}; configure the account instead."
            )
        location = StoreLocation(self._target.account, name)
        container = JobContainer(location, job_id=None, folder=self._target.folder(name))
        return JobOutputStorage(container, None, TaskEnvironment.from_environ())

    async def delete_container(self, name: str) -> None:
        """Delete a job's container with all that is in it.

        Raises:
            ContainerNotFoundError: there is none.
            AccessDeniedError: the credential may not delete containers (a container SAS may not).
        """
        if not await self._open().delete_container(name):
            place = self._target.account.place(name)
            raise ContainerNotFoundError(f"There is no container {place}; it may be gone already.", place=place)

    def _open(self) -> StoreAccount:
        if self._account is None:
            self._account = open_account(self._target.account)
        return self._account
