"""The outputs of a task or a job, and the ways to say which: the heart of the library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from batch_outputs.environment import TaskEnvironment
from batch_outputs.errors import ConfigurationError, InvalidNameError
from batch_outputs.job_container import JobContainer
from batch_outputs.kinds import JobOutputKind, TaskOutputKind
from batch_outputs.names import (
    check_blob_name,
    check_task_id,
    is_task_id,
    job_container_name,
    parse_blob_name,
)
from batch_outputs.output_storage import OutputStorage
from batch_outputs.outputs import OutputFileReference
from batch_outputs.settings import (
    Target,
    account_target,
    carries_secret,
    connection_string_target,
    container_target,
    find_target,
)
from batch_outputs.shared_access import LIFETIME, PERMISSIONS, expiry_moment, ordered_permissions
from batch_outputs.stores.base import BlobPrefix, BlobProperties


class TaskOutputStorage(OutputStorage):
    """The outputs of one task. Use one of the `from_…` constructors, in an `async with` block."""

    _kind_class = TaskOutputKind
    _owner = "task"

    @property
    def task_id(self) -> str:
        """The task's id, as it leads the blob names."""
        return self._task_id or ""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, credential: object | None = None) -> Self:
        """The task that this process runs in, stored where the environment says.

        Reads `BATCH_OUTPUTS_CONTAINER_URL`, else `BATCH_OUTPUTS_ACCOUNT_URL` (each also as `…_FILE`), else the Azure
        CLI's `AZURE_STORAGE_…` variables, and `AZ_BATCH_JOB_ID` and `AZ_BATCH_TASK_ID`. Away from a node, with nothing
        configured: the folder `./batch-outputs`, job `local`, task `task`.

        Args:
            environ: By default the environment of this process.
            credential: For a URL without SAS: a SAS or key as text, azure-core's credentials for these, or a blocking
                `TokenCredential`. By default the identity of the node, or `DefaultAzureCredential` elsewhere.

        Raises:
            ConfigurationError: on a node with nothing configured, or something malformed. Nothing was requested.
        """
        environment = TaskEnvironment.from_environ(environ)
        return cls.at(find_target(environ, credential=credential), environment=environment)

    @classmethod
    def at(
        cls,
        target: Target,
        *,
        job_id: str | None = None,
        task_id: str | None = None,
        environment: TaskEnvironment | None = None,
    ) -> Self:
        """A task at a target that was found before; job and task by default from the environment.

        Raises:
            ConfigurationError: job or task is not known.
            InvalidNameError: an id cannot be used.
        """
        environment = environment or TaskEnvironment.from_environ()
        container = JobContainer.to(target, job_id or environment.job_id)
        return cls(container, check_task_id(target.task(task_id or environment.task_id)), environment)

    @classmethod
    def from_container_url(cls, url: str, task_id: str, *, credential: object | None = None) -> Self:
        """A task's outputs in the container of this URL (`https://…[?SAS]` or `file:///…`).

        Raises:
            ConfigurationError: the URL is malformed.
            InvalidNameError: the task id cannot be used.
        """
        return cls.at(container_target(url, credential=credential), task_id=check_task_id(task_id))

    @classmethod
    def from_account_url(cls, url: str, job_id: str, task_id: str, *, credential: object | None = None) -> Self:
        """A task's outputs in the account of this URL (`https://…[?SAS]` or `file:///…`).

        Raises:
            ConfigurationError: the URL is malformed.
            InvalidNameError: an id cannot be used.
        """
        target = account_target(url, credential=credential)
        return cls.at(target, job_id=_checked(job_id), task_id=check_task_id(task_id))

    @classmethod
    def from_connection_string(cls, conn_str: str, job_id: str, task_id: str) -> Self:
        """A task's outputs in the account of a connection string.

        Raises:
            ConfigurationError: the connection string is malformed.
            InvalidNameError: an id cannot be used.
        """
        target = connection_string_target(conn_str)
        return cls.at(target, job_id=_checked(job_id), task_id=check_task_id(task_id))

    @classmethod
    def from_service_client(cls, client: object, job_id: str, task_id: str) -> Self:
        """A task's outputs in the account of a `BlobServiceClient` (blocking or aio).

        Only its URL and credential are used; the client itself stays with the caller.

        Raises:
            ConfigurationError: its credential is asynchronous.
            InvalidNameError: an id cannot be used.
        """
        return cls.at(_target_of(client), job_id=_checked(job_id), task_id=check_task_id(task_id))


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Some task ids, by name; `after` asks for the next ones, and is None where there are no more."""

    tasks: tuple[str, ...]
    after: str | None


class JobOutputStorage(OutputStorage):
    """The outputs of one job as a whole, and the way to those of its tasks."""

    _kind_class = JobOutputKind
    _owner = "job"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, *, credential: object | None = None) -> Self:
        """The job that this process runs in, stored where the environment says; see `TaskOutputStorage.from_env`.

        Raises:
            ConfigurationError: on a node with nothing configured, or something malformed. Nothing was requested.
        """
        environment = TaskEnvironment.from_environ(environ)
        return cls.at(find_target(environ, credential=credential), environment=environment)

    @classmethod
    def at(cls, target: Target, *, job_id: str | None = None, environment: TaskEnvironment | None = None) -> Self:
        """A job at a target that was found before; the job by default from the environment.

        Raises:
            ConfigurationError: the job is not known.
            InvalidNameError: its id cannot be used.
        """
        environment = environment or TaskEnvironment.from_environ()
        return cls(JobContainer.to(target, job_id or environment.job_id), None, environment)

    @classmethod
    def from_container_url(cls, url: str, *, credential: object | None = None) -> Self:
        """The job whose container this URL names (`https://…[?SAS]` or `file:///…`).

        Raises:
            ConfigurationError: the URL is malformed.
        """
        return cls.at(container_target(url, credential=credential))

    @classmethod
    def from_account_url(cls, url: str, job_id: str, *, credential: object | None = None) -> Self:
        """A job's outputs in the account of this URL (`https://…[?SAS]` or `file:///…`).

        Raises:
            ConfigurationError: the URL is malformed.
            InvalidNameError: the job id cannot be used.
        """
        return cls.at(account_target(url, credential=credential), job_id=_checked(job_id))

    @classmethod
    def from_connection_string(cls, conn_str: str, job_id: str) -> Self:
        """A job's outputs in the account of a connection string.

        Raises:
            ConfigurationError: the connection string is malformed.
            InvalidNameError: the job id cannot be used.
        """
        return cls.at(connection_string_target(conn_str), job_id=_checked(job_id))

    @classmethod
    def from_service_client(cls, client: object, job_id: str) -> Self:
        """A job's outputs in the account of a `BlobServiceClient`; see `TaskOutputStorage.from_service_client`.

        Raises:
            ConfigurationError: its credential is asynchronous.
            InvalidNameError: the job id cannot be used.
        """
        return cls.at(_target_of(client), job_id=_checked(job_id))

    def task(self, task_id: str) -> TaskOutputStorage:
        """The outputs of one of the job's tasks, without a request. It is closed with this storage.

        Raises:
            InvalidNameError: the task id cannot be used.
        """
        return TaskOutputStorage(self._container, check_task_id(task_id), self._environment, shared=True)

    def output_at(self, blob_name: str) -> OutputFileReference:
        """The output whose whole name in the container this is, as listings show it, without a request.

        Unlike `get_output` it takes the name as it stands, with any `..` and `\\` that somebody else has stored.

        Raises:
            InvalidNameError: it is not the name of an output.
        """
        output = parse_blob_name(blob_name)
        if output is None:
            raise InvalidNameError(
                f"{blob_name!r} is not the name of an output; list shows what there is.", name=blob_name
            )
        check_blob_name(blob_name)
        owner = self if output.task_id is None else self.task(output.task_id)
        return owner._reference(output, None)  # noqa: SLF001 - of the same family

    async def list_tasks(self, prefix: str = "") -> AsyncIterator[str]:
        """The task ids that begin with `prefix` and under which something is stored, by name.

        They come page by page as they are asked for.

        Raises:
            ContainerNotFoundError: nothing was ever prepared for this job.
        """
        async for entry in self._container.store.list_level(_without_slash(prefix)):
            if (task_id := _task_id(entry)) is not None:
                yield task_id

    async def page_of_tasks(self, prefix: str = "", *, after: str | None = None, limit: int = 100) -> TaskPage:
        """One page of what `list_tasks` gives, for those who show it to people.

        Args:
            prefix: What the ids begin with.
            after: What the page before said.
            limit: The most tasks on the page, up to 5,000. There may be fewer before the last.

        Raises:
            ContainerNotFoundError: nothing was ever prepared for this job.
        """
        page = await self._container.store.list_page(_without_slash(prefix), one_level=True, after=after, limit=limit)
        tasks = [task_id for entry in page.entries if (task_id := _task_id(entry)) is not None]
        return TaskPage(tuple(tasks), page.after)

    async def list_all_outputs(self, prefix: str = "") -> AsyncIterator[OutputFileReference]:
        """The stored outputs of the job and of all its tasks, by blob name, page by page as they are asked for.

        Args:
            prefix: What the blob names begin with: `frame-0` for all tasks whose ids do, `t1/$TaskLog/` for one folder.

        Raises:
            ContainerNotFoundError: nothing was ever prepared for this job.
        """
        task: TaskOutputStorage | None = None  # a task's outputs stand together
        async for properties in self._container.store.list(prefix):
            output = parse_blob_name(properties.name)
            if output is None:
                continue  # somebody else's blob
            owner: OutputStorage = self
            if output.task_id is not None:
                if task is None or task.task_id != output.task_id:
                    task = self.task(output.task_id)
                owner = task
            yield owner._reference(output, properties)  # noqa: SLF001 - of the same family

    async def create_container(self) -> bool:
        """Create the job's container, for whoever submits the job; False if it was there.

        Raises:
            AccessDeniedError: the credential may not create containers (a container SAS may not).
        """
        return await self._container.create()

    async def generate_container_url(
        self, expiry: timedelta | datetime = LIFETIME, permissions: str = PERMISSIONS
    ) -> str:
        """The URL of the job's container with a SAS, for tasks that have no access of their own. It is a secret.

        With an account key it is a service SAS, made without a request; with an identity a user-delegation SAS, which
        ends after 7 days at most and allows no more than the identity may do. For a folder it is its `file:` URL. The
        container need not exist yet.

        Args:
            expiry: For how long it is good from now, or until when (with a time zone).
            permissions: The letters of the service: `r` read, `a` add, `c` create, `w` write, `d` delete, `l` list and
                so on.

        Raises:
            ConfigurationError: the expiry is past, absurd or beyond what an identity can sign, a letter is unknown, or
                access is by a SAS, which cannot make another.
            AccessDeniedError: the identity may not sign.
            StoreUnavailableError: the service does not answer.
        """
        letters = ordered_permissions(permissions)
        return await self._container.signed_url(permissions=letters, expires=expiry_moment(expiry))


def _task_id(entry: BlobProperties | BlobPrefix) -> str | None:
    """The task that a level's entry stands for, if it is one."""
    task_id = entry.name.removesuffix("/")
    return task_id if isinstance(entry, BlobPrefix) and is_task_id(task_id) else None


def _without_slash(prefix: str) -> str:
    # No task id has a slash, and what lies behind one is no task.
    return f"{prefix.partition('/')[0]}/" if "/" in prefix else prefix


def _checked(job_id: str) -> str:
    job_container_name(job_id)
    return job_id


def _target_of(client: Any) -> Target:
    try:
        url, credential = str(client.url), client.credential
    except AttributeError:
        raise ConfigurationError(f"A {type(client).__name__} is not a BlobServiceClient.") from None
    return account_target(url, credential=None if carries_secret(url) else credential, variable="The client's URL")
