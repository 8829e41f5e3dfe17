"""The whole files of a run: found by their rules, saved with patience."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from anyio import to_thread

from batch_outputs.environment import TaskEnvironment
from batch_outputs.errors import BatchOutputsError, InvalidNameError, StoreUnavailableError
from batch_outputs.followed_log import FLUSH_TIMEOUT
from batch_outputs.kinds import JobOutputKind, OutputKind
from batch_outputs.outputs import OutputFileReference
from batch_outputs.settings import Target
from batch_outputs.sources import Folders, Source, find_sources
from batch_outputs.storage import JobOutputStorage, TaskOutputStorage
from batch_outputs.transfer import for_each

_PAUSE_IN_AN_OUTAGE = 1.0


class Uploads:
    """Saves files of a run; `waiting` are those that are to be saved and are neither saved nor refused yet."""

    def __init__(self, job: JobOutputStorage, task: TaskOutputStorage, folders: Folders) -> None:
        self.waiting: dict[str, Source] = {}
        self._job = job
        self._task = task
        self._folders = folders
        self._saved_as: dict[str, str] = {}

    @classmethod
    def of(cls, job: JobOutputStorage, task: TaskOutputStorage, target: Target, environment: TaskEnvironment) -> Self:
        """The uploads of a run in this environment. What is stored in a folder is no source of outputs."""
        store = target.folder(job.container)
        return cls(job, task, Folders(None, environment.working_dir, environment.task_dir, skip=store))

    def storage(self, kind: OutputKind) -> TaskOutputStorage | JobOutputStorage:
        """The storage that outputs of a kind belong to."""
        return self._job if isinstance(kind, JobOutputKind) else self._task

    async def find(self, pattern: str, name: str | None = None) -> tuple[Sequence[Source], Sequence[BatchOutputsError]]:
        """The files that a pattern means now, and an error for each thing that is wrong with that.

        Raises:
            InvalidNameError: two of them would have the same name.
        """
        return await to_thread.run_sync(find_sources, [pattern], self._folders, os.environ, name)

    async def save(
        self,
        kind: OutputKind,
        sources: Sequence[Source],
        done: Callable[[Source, OutputFileReference], object],
        *,
        metadata: Callable[[Source], Mapping[str, str]] = lambda _: {},
    ) -> list[Exception]:
        """Save files, telling of each; the errors of those that could not be.

        While the store does not answer this goes on, until nothing has moved for 600 s; cancel it to end it sooner.
        """
        storage = self.storage(kind)
        blobs = {source: storage.get_output(kind, source.name).blob_name for source in sources}
        self.waiting |= {blobs[source]: source for source in sources}
        failures: list[Exception] = []

        async def save_one(source: Source) -> None:
            reference = await storage.save(kind, source.path, source.name, metadata=metadata(source))
            self.waiting.pop(reference.blob_name, None)
            self._saved_as[reference.blob_name] = source.path
            done(source, reference)

        left = []
        for source in sources:
            if (error := self._would_replace(blobs[source], source)) is not None:
                failures.append(error)
                self.waiting.pop(blobs[source], None)
            else:
                left.append(source)
        moved = time.monotonic()
        while left:
            results = await for_each(left, save_one)
            if any(result is None for result in results):
                moved = time.monotonic()
            patient = time.monotonic() - moved < FLUSH_TIMEOUT
            again = []
            for source, result in zip(left, results, strict=True):
                if isinstance(result, StoreUnavailableError) and patient:
                    again.append(source)
                elif isinstance(result, Exception):
                    failures.append(result)
                    self.waiting.pop(blobs[source], None)
            left = again
            if left:
                await asyncio.sleep(_PAUSE_IN_AN_OUTAGE)
        return failures

    def not_in_time(self) -> list[Exception]:
        """Errors for what still waits, when the time for saving is over."""
        if not self.waiting:
            return []
        names = sorted(source.path for source in self.waiting.values())
        more = f" and {len(names) - 1:,} more files are" if len(names) > 1 else " is"
        return [
            StoreUnavailableError(
                f"{names[0]}{more} not saved, as the time for saving was over; what the program made is still on the "
                "disk.",
                place=self._job.place,
            )
        ]

    def _would_replace(self, blob_name: str, source: Source) -> InvalidNameError | None:
        """An error if this run has saved another file under that name."""
        earlier = self._saved_as.get(blob_name)
        if earlier is None or os.path.abspath(earlier) == os.path.abspath(source.path):
            return None
        return InvalidNameError(
            f"{source.path} would replace {earlier}, which this run has saved as {blob_name}; give one of them another "
            "name (--as).",
            name=blob_name,
        )
