"""The library for code without an event loop: the same names, methods, parameters and defaults, blocking.

    from batch_outputs.sync import TaskOutputKind, TaskOutputStorage

    with TaskOutputStorage.from_env() as outputs:
        with outputs.save_tracked(TaskOutputKind.TASK_LOG, "../stdout.txt"):
            render()
        outputs.save(TaskOutputKind.TASK_OUTPUT, "frame.png")

Everything is done by the asynchronous library, on one background event loop of the process. Objects may be used from
any thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Generic, Self, TypeVar

from batch_outputs import account as async_account
from batch_outputs import background, saving_all
from batch_outputs import outputs as async_outputs
from batch_outputs import storage as async_storage
from batch_outputs import tracking as async_tracking
from batch_outputs.account import StoredJob
from batch_outputs.background import LISTED_AT_ONCE, iterate, like
from batch_outputs.environment import TaskEnvironment
from batch_outputs.errors import BatchOutputsError, StoreUnavailableError
from batch_outputs.fetching_at_once import Fetched
from batch_outputs.kinds import JobOutputKind, OutputKind, TaskOutputKind
from batch_outputs.names import job_container_name
from batch_outputs.settings import Target, account_target, connection_string_target, find_target
from batch_outputs.shared_access import LIFETIME, PERMISSIONS
from batch_outputs.storage import TaskPage
from batch_outputs.termination import termination
from batch_outputs.tracking import TrackingError

__all__ = [
    "BatchOutputsError",
    "Fetched",
    "JobOutputKind",
    "JobOutputStorage",
    "OutputAccount",
    "OutputFileReference",
    "OutputPage",
    "SaveProgress",
    "StoredJob",
    "TaskEnvironment",
    "TaskOutputKind",
    "TaskOutputStorage",
    "TaskPage",
    "TrackedSave",
    "TrackingError",
    "job_container_name",
]

Storage = TypeVar("Storage", async_storage.TaskOutputStorage, async_storage.JobOutputStorage)

_run = background.run


class OutputFileReference:
    __doc__ = async_outputs.OutputFileReference.__doc__

    def __init__(self, reference: async_outputs.OutputFileReference) -> None:
        self._reference = reference

    @property
    @like(async_outputs.OutputFileReference.kind)
    def kind(self) -> OutputKind:
        return self._reference.kind

    @property
    @like(async_outputs.OutputFileReference.name)
    def name(self) -> str:
        return self._reference.name

    @property
    @like(async_outputs.OutputFileReference.task_id)
    def task_id(self) -> str | None:
        return self._reference.task_id

    @property
    @like(async_outputs.OutputFileReference.blob_name)
    def blob_name(self) -> str:
        return self._reference.blob_name

    @property
    @like(async_outputs.OutputFileReference.url)
    def url(self) -> str:
        return self._reference.url

    @property
    @like(async_outputs.OutputFileReference.size)
    def size(self) -> int | None:
        return self._reference.size

    @property
    @like(async_outputs.OutputFileReference.last_modified)
    def last_modified(self) -> datetime | None:
        return self._reference.last_modified

    @property
    @like(async_outputs.OutputFileReference.etag)
    def etag(self) -> str | None:
        return self._reference.etag

    @property
    @like(async_outputs.OutputFileReference.content_type)
    def content_type(self) -> str | None:
        return self._reference.content_type

    @property
    @like(async_outputs.OutputFileReference.complete)
    def complete(self) -> bool | None:
        return self._reference.complete

    @property
    @like(async_outputs.OutputFileReference.is_log)
    def is_log(self) -> bool | None:
        return self._reference.is_log

    @property
    @like(async_outputs.OutputFileReference.part)
    def part(self) -> int | None:
        return self._reference.part

    @property
    @like(async_outputs.OutputFileReference.metadata)
    def metadata(self) -> Mapping[str, str] | None:
        return self._reference.metadata

    @like(async_outputs.OutputFileReference.refresh)
    def refresh(self) -> Self:
        _run(self._reference.refresh())
        return self

    @like(async_outputs.OutputFileReference.chunks)
    def chunks(self, offset: int = 0, length: int | None = None, *, exactly: bool = False) -> Iterator[bytes]:
        return iterate(self._reference.chunks(offset, length, exactly=exactly), 1)

    @like(async_outputs.OutputFileReference.follow)
    def follow(
        self,
        offset: int = 0,
        *,
        interval: float = 1.0,
        on_outage: Callable[[StoreUnavailableError], object] | None = None,
        on_recovery: Callable[[], object] | None = None,
    ) -> Iterator[bytes]:
        pieces = self._reference.follow(offset, interval=interval, on_outage=on_outage, on_recovery=on_recovery)
        return iterate(pieces, 1)

    @like(async_outputs.OutputFileReference.tail_offset)
    def tail_offset(self, lines: int) -> int:
        return _run(self._reference.tail_offset(lines))

    @like(async_outputs.OutputFileReference.read_bytes)
    def read_bytes(self) -> bytes:
        return _run(self._reference.read_bytes())

    @like(async_outputs.OutputFileReference.read_text)
    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return _run(self._reference.read_text(encoding, errors))

    @like(async_outputs.OutputFileReference.download)
    def download(self, path: str | os.PathLike[str]) -> int:
        return _run(self._reference.download(path))

    @like(async_outputs.OutputFileReference.fetch)
    def fetch(
        self,
        path: str | os.PathLike[str],
        *,
        refresh: bool = True,
        check: bool = True,
        on_bytes: Callable[[int], object] | None = None,
    ) -> Fetched:
        return _run(self._reference.fetch(path, refresh=refresh, check=check, on_bytes=on_bytes))

    @like(async_outputs.OutputFileReference.delete)
    def delete(self) -> None:
        _run(self._reference.delete())

    def __repr__(self) -> str:
        return repr(self._reference)


class TrackedSave:
    __doc__ = async_tracking.TrackedSave.__doc__

    def __init__(self, tracked: async_tracking.TrackedSave) -> None:
        self._tracked = tracked

    @property
    @like(async_tracking.TrackedSave.exit_code)
    def exit_code(self) -> int | None:
        return self._tracked.exit_code

    @exit_code.setter
    def exit_code(self, code: int | None) -> None:
        self._tracked.exit_code = code

    @property
    @like(async_tracking.TrackedSave.flush_timeout)
    def flush_timeout(self) -> float:
        return self._tracked.flush_timeout

    @flush_timeout.setter
    def flush_timeout(self, seconds: float) -> None:
        self._tracked.flush_timeout = seconds

    @like(async_tracking.TrackedSave.end_within)
    def end_within(self, seconds: float) -> None:
        self._tracked.end_within(seconds)

    @like(async_tracking.TrackedSave.hurry)
    def hurry(self, notice: str | None = None) -> None:
        self._tracked.hurry(notice)

    @like(async_tracking.TrackedSave.flush)
    def flush(self) -> None:
        _run(self._tracked.flush())

    @property
    @like(async_tracking.TrackedSave.bytes_saved)
    def bytes_saved(self) -> int:
        return self._tracked.bytes_saved

    @property
    @like(async_tracking.TrackedSave.interval)
    def interval(self) -> float:
        return self._tracked.interval

    @property
    @like(async_tracking.TrackedSave.output)
    def output(self) -> OutputFileReference:
        return OutputFileReference(self._tracked.output)


class _TrackedBlock(AbstractContextManager[TrackedSave]):
    # Not a generator: one that is never left would be closed at the interpreter's end, and wait for a loop that stands.
    def __init__(self, manager: AbstractAsyncContextManager[async_tracking.TrackedSave]) -> None:
        self._manager = manager

    def __enter__(self) -> TrackedSave:
        termination.hold()  # here, as it is for the main thread to do
        try:
            return TrackedSave(_run(self._manager.__aenter__()))
        except BaseException:
            termination.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        try:
            return _run(self._manager.__aexit__(kind, error, traceback))
        finally:
            termination.release()


@dataclass(frozen=True, slots=True)
class SaveProgress:
    """One more file of a `save_all` is stored: `output`, the `files`th of `total_files`; `size` is all bytes so far."""

    output: OutputFileReference
    files: int
    total_files: int
    size: int


@dataclass(frozen=True, slots=True)
class OutputPage:
    """Some outputs, by name; `after` asks for the next ones, and is None where there are no more."""

    outputs: tuple[OutputFileReference, ...]
    after: str | None


class _OutputStorage(Generic[Storage]):
    def __init__(self, storage: Storage) -> None:
        self._storage: Storage = storage

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back connections and threads. Outputs obtained from this storage cannot be read afterwards."""
        _run(self._storage.aclose())

    @property
    @like(async_storage.TaskOutputStorage.container)
    def container(self) -> str:
        return self._storage.container

    @property
    @like(async_storage.TaskOutputStorage.container_url)
    def container_url(self) -> str:
        return self._storage.container_url

    @property
    @like(async_storage.TaskOutputStorage.place)
    def place(self) -> str:
        return self._storage.place

    @like(async_storage.TaskOutputStorage.save)
    def save(
        self,
        kind: OutputKind | str,
        source: str | os.PathLike[str],
        name: str | None = None,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        replace_log: bool = False,
    ) -> OutputFileReference:
        return OutputFileReference(
            _run(
                self._storage.save(
                    kind, source, name, content_type=content_type, metadata=metadata, replace_log=replace_log
                )
            )
        )

    @like(async_storage.TaskOutputStorage.save_text)
    def save_text(
        self,
        kind: OutputKind | str,
        text: str,
        name: str,
        *,
        encoding: str = "utf-8",
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        replace_log: bool = False,
    ) -> OutputFileReference:
        saving = self._storage.save_text(
            kind,
            text,
            name,
            encoding=encoding,
            content_type=content_type,
            metadata=metadata,
            replace_log=replace_log,
        )
        return OutputFileReference(_run(saving))

    @like(async_storage.TaskOutputStorage.save_bytes)
    def save_bytes(
        self,
        kind: OutputKind | str,
        data: bytes,
        name: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        replace_log: bool = False,
    ) -> OutputFileReference:
        saving = self._storage.save_bytes(
            kind, data, name, content_type=content_type, metadata=metadata, replace_log=replace_log
        )
        return OutputFileReference(_run(saving))

    @like(async_storage.TaskOutputStorage.save_all)
    def save_all(
        self,
        kind: OutputKind | str,
        *patterns: str | os.PathLike[str],
        base: str | os.PathLike[str] | None = None,
        name: str | None = None,
        on_progress: Callable[[SaveProgress], object] | None = None,
    ) -> list[OutputFileReference]:
        def report(progress: saving_all.SaveProgress) -> None:
            if on_progress is not None:
                output = OutputFileReference(progress.output)
                on_progress(SaveProgress(output, progress.files, progress.total_files, progress.size))

        saved = _run(self._storage.save_all(kind, *patterns, base=base, name=name, on_progress=report))
        return [OutputFileReference(reference) for reference in saved]

    @like(async_storage.TaskOutputStorage.save_tracked)
    def save_tracked(
        self,
        kind: OutputKind | str,
        source: str | os.PathLike[str],
        name: str | None = None,
        *,
        flush_interval: float = 60.0,
        settle: float | None = None,
        per_node: bool | None = None,
        attempt: str | None = None,
        opened: int | None = None,
        on_error: Callable[[TrackingError], object] | None = None,
    ) -> AbstractContextManager[TrackedSave]:
        manager = self._storage.save_tracked(
            kind,
            source,
            name,
            flush_interval=flush_interval,
            settle=settle,
            per_node=per_node,
            attempt=attempt,
            opened=opened,
            on_error=on_error,
        )

        return _TrackedBlock(manager)

    @like(async_storage.TaskOutputStorage.list_outputs)
    def list_outputs(self, kind: OutputKind | str | None = None) -> Iterator[OutputFileReference]:
        return map(OutputFileReference, iterate(self._storage.list_outputs(kind), LISTED_AT_ONCE))

    @like(async_storage.TaskOutputStorage.page_of_outputs)
    def page_of_outputs(
        self, kind: OutputKind | str | None = None, *, after: str | None = None, limit: int = 100
    ) -> OutputPage:
        page = _run(self._storage.page_of_outputs(kind, after=after, limit=limit))
        return OutputPage(tuple(map(OutputFileReference, page.outputs)), page.after)

    @like(async_storage.TaskOutputStorage.list_kinds)
    def list_kinds(self) -> Iterator[str]:
        return iterate(self._storage.list_kinds(), LISTED_AT_ONCE)

    @like(async_storage.TaskOutputStorage.get_output)
    def get_output(self, kind: OutputKind | str, name: str) -> OutputFileReference:
        return OutputFileReference(self._storage.get_output(kind, name))

    @like(async_storage.TaskOutputStorage.output_prefix)
    def output_prefix(self, kind: OutputKind | str) -> str:
        return self._storage.output_prefix(kind)

    def __repr__(self) -> str:
        return repr(self._storage)


class TaskOutputStorage(_OutputStorage[async_storage.TaskOutputStorage]):
    __doc__ = (async_storage.TaskOutputStorage.__doc__ or "").replace("async with", "with")

    @property
    @like(async_storage.TaskOutputStorage.task_id)
    def task_id(self) -> str:
        return self._storage.task_id

    @classmethod
    @like(async_storage.TaskOutputStorage.from_env)
    def from_env(cls, environ: Mapping[str, str] | None = None, *, credential: object | None = None) -> Self:
        return cls(async_storage.TaskOutputStorage.from_env(environ, credential=credential))

    @classmethod
    @like(async_storage.TaskOutputStorage.at)
    def at(
        cls,
        target: Target,
        *,
        job_id: str | None = None,
        task_id: str | None = None,
        environment: TaskEnvironment | None = None,
    ) -> Self:
        return cls(async_storage.TaskOutputStorage.at(target, job_id=job_id, task_id=task_id, environment=environment))

    @classmethod
    @like(async_storage.TaskOutputStorage.from_container_url)
    def from_container_url(cls, url: str, task_id: str, *, credential: object | None = None) -> Self:
        return cls(async_storage.TaskOutputStorage.from_container_url(url, task_id, credential=credential))

    @classmethod
    @like(async_storage.TaskOutputStorage.from_account_url)
    def from_account_url(cls, url: str, job_id: str, task_id: str, *, credential: object | None = None) -> Self:
        return cls(async_storage.TaskOutputStorage.from_account_url(url, job_id, task_id, credential=credential))

    @classmethod
    @like(async_storage.TaskOutputStorage.from_connection_string)
    def from_connection_string(cls, conn_str: str, job_id: str, task_id: str) -> Self:
        return cls(async_storage.TaskOutputStorage.from_connection_string(conn_str, job_id, task_id))

    @classmethod
    @like(async_storage.TaskOutputStorage.from_service_client)
    def from_service_client(cls, client: object, job_id: str, task_id: str) -> Self:
        return cls(async_storage.TaskOutputStorage.from_service_client(client, job_id, task_id))


class JobOutputStorage(_OutputStorage[async_storage.JobOutputStorage]):
    __doc__ = async_storage.JobOutputStorage.__doc__

    @classmethod
    @like(async_storage.JobOutputStorage.from_env)
    def from_env(cls, environ: Mapping[str, str] | None = None, *, credential: object | None = None) -> Self:
        return cls(async_storage.JobOutputStorage.from_env(environ, credential=credential))

    @classmethod
    @like(async_storage.JobOutputStorage.at)
    def at(cls, target: Target, *, job_id: str | None = None, environment: TaskEnvironment | None = None) -> Self:
        return cls(async_storage.JobOutputStorage.at(target, job_id=job_id, environment=environment))

    @classmethod
    @like(async_storage.JobOutputStorage.from_container_url)
    def from_container_url(cls, url: str, *, credential: object | None = None) -> Self:
        return cls(async_storage.JobOutputStorage.from_container_url(url, credential=credential))

    @classmethod
    @like(async_storage.JobOutputStorage.from_account_url)
    def from_account_url(cls, url: str, job_id: str, *, credential: object | None = None) -> Self:
        return cls(async_storage.JobOutputStorage.from_account_url(url, job_id, credential=credential))

    @classmethod
    @like(async_storage.JobOutputStorage.from_connection_string)
    def from_connection_string(cls, conn_str: str, job_id: str) -> Self:
        return cls(async_storage.JobOutputStorage.from_connection_string(conn_str, job_id))

    @classmethod
    @like(async_storage.JobOutputStorage.from_service_client)
    def from_service_client(cls, client: object, job_id: str) -> Self:
        return cls(async_storage.JobOutputStorage.from_service_client(client, job_id))

    @like(async_storage.JobOutputStorage.task)
    def task(self, task_id: str) -> TaskOutputStorage:
        return TaskOutputStorage(self._storage.task(task_id))

    @like(async_storage.JobOutputStorage.output_at)
    def output_at(self, blob_name: str) -> OutputFileReference:
        return OutputFileReference(self._storage.output_at(blob_name))

    @like(async_storage.JobOutputStorage.list_tasks)
    def list_tasks(self, prefix: str = "") -> Iterator[str]:
        return iterate(self._storage.list_tasks(prefix), LISTED_AT_ONCE)

    @like(async_storage.JobOutputStorage.page_of_tasks)
    def page_of_tasks(self, prefix: str = "", *, after: str | None = None, limit: int = 100) -> TaskPage:
        return _run(self._storage.page_of_tasks(prefix, after=after, limit=limit))

    @like(async_storage.JobOutputStorage.list_all_outputs)
    def list_all_outputs(self, prefix: str = "") -> Iterator[OutputFileReference]:
        return map(OutputFileReference, iterate(self._storage.list_all_outputs(prefix), LISTED_AT_ONCE))

    @like(async_storage.JobOutputStorage.create_container)
    def create_container(self) -> bool:
        return _run(self._storage.create_container())

    @like(async_storage.JobOutputStorage.generate_container_url)
    def generate_container_url(self, expiry: timedelta | datetime = LIFETIME, permissions: str = PERMISSIONS) -> str:
        return _run(self._storage.generate_container_url(expiry, permissions))


class OutputAccount:
    __doc__ = (async_account.OutputAccount.__doc__ or "").replace("async with", "with")

    def __init__(self, target: Target) -> None:
        self._account = async_account.OutputAccount(target)

    @classmethod
    @like(async_account.OutputAccount.from_env)
    def from_env(cls, environ: Mapping[str, str] | None = None, *, credential: object | None = None) -> Self:
        return cls(find_target(environ, credential=credential))

    @classmethod
    @like(async_account.OutputAccount.at)
    def at(cls, target: Target) -> Self:
        return cls(target)

    @classmethod
    @like(async_account.OutputAccount.from_account_url)
    def from_account_url(cls, url: str, *, credential: object | None = None) -> Self:
        return cls(account_target(url, credential=credential))

    @classmethod
    @like(async_account.OutputAccount.from_connection_string)
    def from_connection_string(cls, conn_str: str) -> Self:
        return cls(connection_string_target(conn_str))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @like(async_account.OutputAccount.aclose)
    def close(self) -> None:
        _run(self._account.aclose())

    @property
    @like(async_account.OutputAccount.only_container)
    def only_container(self) -> str | None:
        return self._account.only_container

    @property
    @like(async_account.OutputAccount.place)
    def place(self) -> str:
        return self._account.place

    @like(async_account.OutputAccount.list_jobs)
    def list_jobs(self, prefix: str = "") -> Iterator[StoredJob]:
        return iterate(self._account.list_jobs(prefix), LISTED_AT_ONCE)

    @like(async_account.OutputAccount.job)
    def job(self, job_id: str) -> JobOutputStorage:
        return JobOutputStorage(self._account.job(job_id))

    @like(async_account.OutputAccount.container)
    def container(self, name: str) -> JobOutputStorage:
        return JobOutputStorage(self._account.container(name))

    @like(async_account.OutputAccount.delete_container)
    def delete_container(self, name: str) -> None:
        _run(self._account.delete_container(name))
