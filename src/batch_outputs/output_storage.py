"""What the outputs of a task and of a job have in common: save, list, read."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache, partial
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

from batch_outputs.environment import TaskEnvironment, log_folder
from batch_outputs.errors import InvalidNameError
from batch_outputs.job_container import JobContainer
from batch_outputs.kinds import OutputKind
from batch_outputs.names import (
    OutputName,
    check_blob_name,
    name_from_source,
    output_name,
    output_prefix,
    parse_blob_name,
)
from batch_outputs.outputs import OutputFileReference
from batch_outputs.saving import Saving
from batch_outputs.saving_all import SaveProgress, SavingAll
from batch_outputs.snapshot import check_source
from batch_outputs.sources import Folders, Source, find_sources
from batch_outputs.stores.base import BlobPrefix, BlobProperties, BlockingCalls

if TYPE_CHECKING:
    from batch_outputs.tracking import TrackedSave, TrackingError

logger: logging.Logger = logging.getLogger("batch_outputs.storage")


@dataclass(frozen=True, slots=True)
class OutputPage:
    """Some outputs, by name; `after` asks for the next ones, and is None where there are no more."""

    outputs: tuple[OutputFileReference, ...]
    after: str | None


class OutputStorage:
    """What the outputs of a task and of a job have in common."""

    _kind_class: ClassVar[type[OutputKind]]
    _owner: ClassVar[str]

    def __init__(
        self, container: JobContainer, task_id: str | None, environment: TaskEnvironment, *, shared: bool = False
    ) -> None:
        self._container = container
        self._task_id = task_id
        self._environment = environment
        self._shared = shared

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give back connections and threads. Outputs obtained from this storage cannot be read afterwards."""
        if not self._shared:
            await self._container.aclose()

    @property
    def container(self) -> str:
        """The name of the job's container."""
        return self._container.location.container

    @property
    def container_url(self) -> str:
        """The URL of the job's container, never with a SAS: for those who have access of their own."""
        return self._container.location.url

    @property
    def place(self) -> str:
        """Where outputs go, for people: host and container, or a folder; never with a secret."""
        return self._container.location.place

    async def save(
        self,
        kind: OutputKind | str,
        source: str | os.PathLike[str],
        name: str | None = None,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        replace_log: bool = False,
    ) -> OutputFileReference:
        """Save one file: a verified copy of one moment of it.

        Args:
            kind: What it is, such as `TaskOutputKind.TASK_OUTPUT`; any other text is a custom kind.
            source: The file. A relative path is relative to the current directory.
            name: Its name below the kind. By default a relative `source` itself, without leading `..`; an absolute one
                relative to the task's working directory or task directory.
            content_type: By default guessed from the name.
            metadata: Kept with it; names are letters, digits and `_`.
            replace_log: Delete a tracked log of that name first. Otherwise a save over a tracked log is refused.

        An earlier save of that name is replaced.

        Raises:
            InvalidNameError: kind or name cannot be used. Nothing was requested.
            SourceError: the file cannot be read; `FileChangedError` when it changed each time it was read.
            WrongBlobTypeError: a tracked log has that name.
            StoreError: the store refused it or does not answer.
        """
        from anyio import to_thread

        path = os.fspath(source)
        output = self._output(kind, name if name is not None else self._name(path))
        await to_thread.run_sync(check_source, path)
        return await self._saving.file(
            output, path, content_type=content_type, metadata=metadata, replace_log=replace_log
        )

    async def save_text(
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
        """Save a text under a name, as `save` does a file.

        Raises:
            InvalidNameError, WrongBlobTypeError, StoreError: as `save`.
        """
        return await self.save_bytes(
            kind, text.encode(encoding), name, content_type=content_type, metadata=metadata, replace_log=replace_log
        )

    async def save_bytes(
        self,
        kind: OutputKind | str,
        data: bytes,
        name: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        replace_log: bool = False,
    ) -> OutputFileReference:
        """Save bytes under a name, as `save` does a file.

        Raises:
            InvalidNameError, WrongBlobTypeError, StoreError: as `save`.
        """
        output = self._output(kind, name)
        return await self._saving.data(
            output, bytes(data), content_type=content_type, metadata=metadata, replace_log=replace_log
        )

    async def save_all(
        self,
        kind: OutputKind | str,
        *patterns: str | os.PathLike[str],
        base: str | os.PathLike[str] | None = None,
        name: str | None = None,
        on_progress: Callable[[SaveProgress], object] | None = None,
    ) -> list[OutputFileReference]:
        """Save many files at once: files, folders (all files below) and patterns.

        Args:
            kind: What they are.
            patterns: Paths, or patterns by the rules of Batch's upload rules: `*`, `**`, `?`, `[abc]`, `[!abc]`.
            base: The folder that `patterns` and names are relative to. By default the current directory, and names as
                `save` gives them.
            name: As the `path` of an upload rule: the whole name for the path of one file, and a folder below the kind
                for what a folder or pattern leads to, which is named relative to the folder before the first wildcard.
            on_progress: Called with a `SaveProgress` as each file is stored.

        Raises:
            InvalidNameError: a file has no usable name, or two would get the same. Nothing was requested.
            ExceptionGroup: some could not be saved, or led to no file; one error for each. All others are saved.
        """
        from anyio import to_thread

        saving = await to_thread.run_sync(partial(self._saving_all, kind, patterns, base, name, on_progress))
        await saving.rest()
        return saving.saved()

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
    ) -> AbstractAsyncContextManager[TrackedSave]:
        """Save a file that still grows, such as a log, while the block runs.

            async with outputs.save_tracked(TaskOutputKind.TASK_LOG, "../stdout.txt"):
                render()  # may block: the log is saved from a thread of its own

        At every moment the blob is byte for byte the file's beginning. Leaving the block saves the rest, also when it
        is left by an error or cancelled.

        Args:
            kind: What it is, usually `TaskOutputKind.TASK_LOG`.
            source: The file; it may not exist yet.
            name: Its name below the kind, by default as in `save`.
            flush_interval: Seconds between two savings at most, unless much waits (then sooner). It grows with the age
                of the log, to keep within the service's 50,000 blocks a blob: see `TrackedSave.interval`.
            settle: At the end, wait until the file has been quiet for so many seconds (at most 10 in all). By default 3
                for the task's own `stdout.txt` and `stderr.txt`, which the node writes with delay, and 0 for others.
            per_node: Store it below the node's id, for tasks that run on several nodes under one id. By default only in
                subtasks of a multi-instance task.
            attempt: An id of your own for whoever writes the file (letters and digits). A log of that name that was
                written under another id is kept aside, whatever it holds. By default the log goes on if the file begins
                with it.
            opened: A descriptor of the file, open for reading, so that it is followed although its name may be taken
                away before the first look. It stays yours.
            on_error: Called with a `TrackingError` for each failed round; the next round tries again.

        Raises:
            InvalidNameError: kind or name cannot be used. Nothing was requested.
            LogNotSavedError: on leaving the block, when bytes could not be stored.
            StoreError: on entering the block, when the store refuses.
            ConfigurationError: it is to be stored below the node's id, and that is not known.
            ValueError: `flush_interval` is not above 0.
        """
        if not flush_interval > 0:
            raise ValueError(f"flush_interval is {flush_interval}; it is a number of seconds above 0")
        path = os.fspath(source)
        wanted = name if name is not None else self._name(path)
        output = self._output(kind, log_folder(self._environment, per_node) + wanted)
        from batch_outputs.tracking import track_file  # with all that follows logs, which many do not need

        return track_file(
            self._container.location,
            path,
            output.blob_name,
            reference=lambda blob_name, properties: self._reference(
                parse_blob_name(blob_name) or output,
                properties,  # a fenced log has another name
            ),
            prepare=self._container.prepare_to_write,
            flush_interval=flush_interval,
            settle=settle,
            environment=self._environment,
            on_error=on_error,
            attempt=attempt,
            opened=opened,
            owner=threading.current_thread(),
        )

    async def list_outputs(self, kind: OutputKind | str | None = None) -> AsyncIterator[OutputFileReference]:
        """The stored outputs of a kind (default: of all kinds), by name, page by page as they are asked for.

        Raises:
            InvalidNameError: the kind cannot be used.
            ContainerNotFoundError: nothing was ever prepared for this job.
        """
        async for properties in self._container.store.list(self._prefix(kind)):
            output = parse_blob_name(properties.name)
            if output is not None and output.task_id == self._task_id:
                yield self._reference(output, properties)

    async def page_of_outputs(
        self, kind: OutputKind | str | None = None, *, after: str | None = None, limit: int = 100
    ) -> OutputPage:
        """One page of what `list_outputs` gives, for those who show it to people.

        Args:
            kind: Only outputs of this kind.
            after: What the page before said.
            limit: The most outputs on the page, up to 5,000. There may be fewer before the last.

        Raises:
            InvalidNameError: the kind cannot be used.
            ContainerNotFoundError: nothing was ever prepared for this job.
        """
        page = await self._container.store.list_page(self._prefix(kind), after=after, limit=limit)
        found = []
        for properties in page.entries:
            output = parse_blob_name(properties.name)
            if isinstance(properties, BlobProperties) and output is not None and output.task_id == self._task_id:
                found.append(self._reference(output, properties))
        return OutputPage(tuple(found), page.after)

    async def list_kinds(self) -> AsyncIterator[str]:
        """The kinds of which something is stored, by name, without a look at the outputs themselves.

        Raises:
            ContainerNotFoundError: nothing was ever prepared for this job.
        """
        prefix = output_prefix(self._task_id, "")
        async for entry in self._container.store.list_level(prefix):
            if isinstance(entry, BlobPrefix) and len(entry.name) > len(prefix) + 1:
                yield entry.name.removeprefix(prefix).removesuffix("/")

    def get_output(self, kind: OutputKind | str, name: str) -> OutputFileReference:
        """The output of that kind and name, without a request; whether it exists shows when it is used.

        Raises:
            InvalidNameError: kind or name cannot be used.
        """
        return self._reference(self._output(kind, name), None)

    def output_prefix(self, kind: OutputKind | str) -> str:
        """The folder of a kind in the container, such as `t1/$TaskLog`.

        Raises:
            InvalidNameError: the kind cannot be used.
        """
        return output_prefix(self._task_id, self._kind(kind))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._task_id or self.container!r} in {self.place!r})"

    @property
    def _saving(self) -> Saving:
        return Saving(self._container, self._reference)

    def _saving_all(
        self,
        kind: OutputKind | str,
        patterns: Sequence[str | os.PathLike[str]],
        base: str | os.PathLike[str] | None,
        name: str | None,
        on_progress: Callable[[SaveProgress], object] | None,
    ) -> SavingAll:
        """See `save_all`; the files are looked for."""
        kind = self._kind(kind)
        folders = Folders(
            None if base is None else os.fspath(base),
            self._environment.working_dir,
            self._environment.task_dir,
            skip=self._container.folder,
        )
        sources, refused = find_sources(patterns, folders, os.environ, name)
        return SavingAll(self._saving, sources, refused, lambda source: self._named(kind, source.name), on_progress)

    def _kind(self, kind: OutputKind | str) -> OutputKind:
        if isinstance(kind, OutputKind) and not isinstance(kind, self._kind_class):
            raise InvalidNameError(
                f"{kind!r} is not a kind of {self._owner} output; use a {self._kind_class.__name__}.", name=str(kind)
            )
        return self._kind_class(kind)

    def _prefix(self, kind: OutputKind | str | None) -> str:
        """What the blob names of a kind, or of all, begin with."""
        return output_prefix(self._task_id, "") if kind is None else f"{self.output_prefix(kind)}/"

    def _output(self, kind: OutputKind | str, name: str) -> OutputName:
        return self._named(self._kind(kind), output_name(name))

    def _named(self, kind: OutputKind, name: str) -> OutputName:
        output = OutputName(self._task_id, kind, name)
        check_blob_name(output.blob_name)
        return output

    def _name(self, path: str) -> str:
        return name_from_source(
            path,
            working_dir=self._environment.working_dir,
            task_dir=self._environment.task_dir,
            windows=os.name == "nt",
        )

    def _reference(self, output: OutputName, properties: BlobProperties | None) -> OutputFileReference:
        return OutputFileReference(
            self._container.store,
            output.task_id,
            _made(self._kind_class, output.kind),
            output.name,
            properties=properties,
        )


@lru_cache(maxsize=4096)  # a listing has the same few again and again
def _made(kind_class: type[OutputKind], text: str) -> OutputKind:
    return kind_class(text)


# For the command: saving and listing by calls that block, without the event loop, whose import takes as long as all
# the rest.


def save_all_at_once(
    storage: OutputStorage,
    kind: OutputKind,
    patterns: Sequence[str],
    on_progress: Callable[[SaveProgress], object] | None = None,
) -> SavingAll:
    """Begin a `save_all`, and save what can be saved so.

    Raises:
        InvalidNameError: as `OutputStorage.save_all`.
    """
    saving = storage._saving_all(kind, patterns, None, None, on_progress)  # noqa: SLF001 - here and in the next functions only
    saving.at_once()
    return saving


def save_at_once(storage: OutputStorage, kind: OutputKind, path: str, name: str) -> OutputFileReference | None:
    """As `OutputStorage.save`; None if it was not done, and has to be done by that."""
    output = storage._output(kind, name)  # noqa: SLF001
    saved: list[OutputFileReference] = []
    storage._saving.at_once([Source(path, output.name)], lambda _: output, lambda _, stored: saved.append(stored))  # noqa: SLF001
    return saved[0] if saved else None


def blocking_lists(storage: OutputStorage) -> AbstractContextManager[BlockingCalls | None]:
    """A block in which listings of the storage are waited for by blocking; not where the calls are None.

    Raises:
        ConfigurationError: nothing can be asked of the store.
    """
    return storage._container.blocking_lists()  # noqa: SLF001


def close_at_once(storage: OutputStorage) -> None:
    """Close what these have opened, when nothing else was done with the storage."""
    storage._container.close_calls()  # noqa: SLF001
