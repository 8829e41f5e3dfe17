"""Tracked saves: a growing file is kept in storage while it grows.

`track_file` is the way in; `TrackedSave` is what a caller holds meanwhile. When rounds run is decided here, how bytes
get into the blob in `log_writer`, and on which thread in `log_thread`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import anyio

from batch_outputs.content_types import guess_content_type
from batch_outputs.environment import TaskEnvironment
from batch_outputs.errors import (
    BatchOutputsError,
    BlobChangedError,
    BlobNotFoundError,
    LogNotSavedError,
    StoreUnavailableError,
)
from batch_outputs.growing_file import GrowingFile
from batch_outputs.location import StoreLocation
from batch_outputs.log_thread import TICK, LogThread
from batch_outputs.log_writer import LogWriter
from batch_outputs.marks import LogMarks
from batch_outputs.stores.base import BlobProperties, Store

if TYPE_CHECKING:
    from concurrent.futures import Future

    from batch_outputs.outputs import OutputFileReference

logger = logging.getLogger("batch_outputs.tracking")

T = TypeVar("T")
Reference: TypeAlias = Callable[[str, BlobProperties | None], "OutputFileReference"]
"""Makes the output of a blob's name and what is known of it."""

FLUSH_TIMEOUT = 600.0
"""Seconds without progress after which the end of a tracked save gives up."""

_MIB = 1024 * 1024
_BLOCKS_FOR_TIME = 4000
"""A round every age/4000 makes 26,000 blocks in the 180 days of the longest task; a blob takes 50,000."""
_BLOCKS_FOR_SIZE = 8000

_SETTLE_OWN_STREAMS = 3.0
_LONGEST_SETTLING = 10.0
_REFUSALS_AT_THE_END = 3
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class TrackingError:
    """A round of a tracked save failed; the next one tries again.

    `offset` bytes are stored and `pending` more wait. `attempts` counts the failed rounds since the last good one.
    """

    path: str
    blob: str
    offset: int
    pending: int
    cause: BatchOutputsError
    attempts: int


class TrackedSave:
    """A file that is being saved while it grows; given by `save_tracked`."""

    def __init__(self, thread: LogThread, log: _TrackedLog, reference: Reference) -> None:
        self._thread = thread
        self._log = log
        self._reference = reference

    @property
    def exit_code(self) -> int | None:
        """The exit code of the program that wrote the file; set it before the end, and it is stored with the log."""
        return self._log.exit_code

    @exit_code.setter
    def exit_code(self, code: int | None) -> None:
        self._log.exit_code = code

    @property
    def flush_timeout(self) -> float:
        """Seconds without progress after which leaving the block gives up; 600 unless set."""
        return self._log.flush_timeout

    @flush_timeout.setter
    def flush_timeout(self, seconds: float) -> None:
        self._log.flush_timeout = seconds

    async def flush(self) -> None:
        """Save now what the file holds at this moment, and return when it is stored.

        Raises:
            StoreError: it could not be stored; the tracked save goes on and tries again.
            SourceError: the file cannot be read.
        """
        await _in_thread(self._thread.submit(self._log.flush()))

    @property
    def bytes_saved(self) -> int:
        """How many bytes are confirmed to be stored; they are the beginning of the file."""
        return self._log.writer.offset

    @property
    def interval(self) -> float:
        """Seconds between two rounds at present; it grows with the age of the log."""
        return self._log.interval

    @property
    def output(self) -> OutputFileReference:
        """The output in storage, as it is now."""
        return self._reference(self._log.writer.blob_name, self._log.writer.properties)


@asynccontextmanager
async def track_file(
    location: StoreLocation,
    path: str,
    blob_name: str,
    *,
    reference: Reference,
    prepare: Callable[[], Awaitable[None]],
    flush_interval: float,
    settle: float | None,
    environment: TaskEnvironment,
    on_error: Callable[[TrackingError], object] | None,
    owner: threading.Thread,
) -> AsyncIterator[TrackedSave]:
    """Keep the file at `path` stored as `blob_name` while the block runs; see `TaskOutputStorage.save_tracked`.

    When `owner`, the thread that the block runs in, ends with the interpreter and not with the block, so does the save.
    """
    settle_time = _settle_time(settle, path, environment)
    await prepare()
    thread = LogThread.acquire()
    try:
        # Cancelled here, the work over there is too.
        log = await asyncio.wrap_future(
            thread.submit(_begin(thread, location, path, blob_name, flush_interval, environment, on_error, owner))
        )
        thread.add(log)
        try:
            yield TrackedSave(thread, log, reference)
        except BaseException as error:
            if (unsaved := await _end(thread, log, settle_time)) is not None:
                error.add_note(str(unsaved))
            raise
        if (unsaved := await _end(thread, log, settle_time)) is not None:
            raise unsaved
    finally:
        thread.release()


async def _begin(
    thread: LogThread,
    location: StoreLocation,
    path: str,
    blob_name: str,
    flush_interval: float,
    environment: TaskEnvironment,
    on_error: Callable[[TrackingError], object] | None,
    owner: threading.Thread,
) -> _TrackedLog:
    store, node_id = thread.store(location), environment.node_id
    log = _TrackedLog(thread, store, path, blob_name, flush_interval, node_id, on_error, owner)
    try:
        await log.begin()
    except BaseException:
        log.file.close()
        raise
    return log


async def _end(thread: LogThread, log: _TrackedLog, settle: float) -> LogNotSavedError | None:
    if settle:
        _flush_own_streams()
    await _to_the_end(thread.submit(log.end(settle)))
    return log.unsaved()


class _TrackedLog:
    """When a tracked file's rounds run, and what happens when one fails. Lives on the log thread."""

    def __init__(
        self,
        thread: LogThread,
        store: Store,
        path: str,
        blob_name: str,
        flush_interval: float,
        node_id: str | None,
        on_error: Callable[[TrackingError], object] | None,
        owner: threading.Thread,
    ) -> None:
        self.file = GrowingFile(path)
        marks = LogMarks(
            attempt=secrets.token_hex(8), node=node_id, started=datetime.now(UTC).isoformat(timespec="seconds")
        )
        self.writer = LogWriter(store, blob_name, self.file, marks, content_type=guess_content_type(blob_name))
        self.exit_code: int | None = None
        self.flush_timeout = FLUSH_TIMEOUT
        self._thread = thread
        self._asked_interval = flush_interval
        self._on_error = on_error
        self._owner = owner
        self._one_round = asyncio.Lock()
        self._began = self._now()
        self._failures = 0
        self._last_error: BatchOutputsError | None = None
        self._ended = False
        self._length_at_end = 0
        self._saved_all = False
        # The first round of each of a thousand tasks comes at another moment of the interval.
        self._next_round = self._began + flush_interval * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret

    @property
    def interval(self) -> float:
        """Seconds between rounds: as asked, but at least age/4000."""
        return max(self._asked_interval, (self._now() - self._began) / _BLOCKS_FOR_TIME)

    @property
    def _threshold(self) -> int:
        """Bytes that are saved at once, whatever the interval."""
        return min(max(_MIB, self.writer.offset // _BLOCKS_FOR_SIZE), 16 * _MIB)

    async def begin(self) -> None:
        """Open the log in storage. A store that does not answer now is tried again later; a refusal is raised."""
        self.file.size()
        try:
            await self.writer.open()
        except StoreUnavailableError as error:
            self._failed(error)

    def is_due(self, now: float) -> bool:
        """Whether a round should begin."""
        if self._ended:
            return False
        if now >= self._next_round:
            return True
        return self._failures == 0 and self._new_bytes() >= self._threshold

    async def round(self) -> None:
        """Save what is new. Failures are reported, and the next round is put off."""
        try:
            await self.flush()
        except BatchOutputsError as error:
            self._failed(error)
        except Exception as error:
            logger.exception("A round of the tracked save of %s broke.", self.file.path)
            self._failed(BatchOutputsError(f"Saving {self.file.path} broke: {type(error).__name__}."))

    async def flush(self) -> None:
        """Save what the file holds now."""
        async with self._one_round:
            await self.writer.advance(self.file.size())
            self._failures = 0
            self._last_error = None
            self._next_round = self._now() + self.interval * random.uniform(0.9, 1.0)  # noqa: S311 - not a secret

    async def end(self, settle: float = 0.0) -> None:
        """Save the rest and mark the log complete; give up after `flush_timeout` seconds without progress."""
        if self._ended:
            return
        self._ended = True
        try:
            await self._save_the_rest(settle)
        finally:
            self._thread.remove(self)
            self.file.close()

    async def _save_the_rest(self, settle: float) -> None:
        await self._wait_until_quiet(settle)
        # The length is taken once: who leaves a file that is still written to does not wait for its writer.
        self._length_at_end = self._size()
        saved, deadline = self.writer.offset, self._now() + self.flush_timeout
        while not await self._try_to_finish():
            now = self._now()
            if self.writer.offset != saved:
                saved, deadline = self.writer.offset, now + self.flush_timeout
            if now >= deadline or self._is_hopeless():
                break
            await asyncio.sleep(min(self._next_round - now, deadline - now))

    def is_abandoned(self) -> bool:
        """Whether the block that would end it cannot be left any more."""
        return not self._owner.is_alive() or self._owner.daemon

    def unsaved(self) -> LogNotSavedError | None:
        """After the end: how many bytes are on this disk only, and where; None if all are stored."""
        if self._saved_all:
            return None
        pending = max(0, self._length_at_end - self.writer.offset)
        error = LogNotSavedError(
            f"{pending:,} bytes of {self.file.path} could not be saved to {self.writer.blob_name}, which has its "
            f"first {self.writer.offset:,}: {self._last_error} They are still in the file; save it from there.",
            path=self.file.path,
            blob=self.writer.blob_name,
            saved=self.writer.offset,
            pending=pending,
        )
        error.__cause__ = self._last_error
        return error

    async def _try_to_finish(self) -> bool:
        await self.round()
        self._saved_all = not self._failures
        if self._failures:
            return False
        try:
            await self.writer.finish(self.exit_code)
        except BatchOutputsError as error:
            self._failed(error)
            return False
        return True

    def _is_hopeless(self) -> bool:
        """Whether the store refuses, rather than fails to answer, and has done so several times in a row."""
        passing = isinstance(self._last_error, StoreUnavailableError | BlobChangedError | BlobNotFoundError)
        return self._failures >= _REFUSALS_AT_THE_END and not passing

    async def _wait_until_quiet(self, settle: float) -> None:
        began = quiet_since = self._now()
        size = self._size()
        while self._now() - quiet_since < settle and self._now() - began < _LONGEST_SETTLING:
            await asyncio.sleep(min(TICK, settle))
            if self._size() != size:
                size, quiet_since = self._size(), self._now()

    def _failed(self, cause: BatchOutputsError) -> None:
        self._failures += 1
        self._last_error = cause
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._failures - 1, 10))
        if isinstance(cause, StoreUnavailableError) and cause.retry_after:
            pause = max(pause, cause.retry_after)
        self._next_round = self._now() + pause * random.uniform(0.7, 1.0)  # noqa: S311 - not a secret
        record = TrackingError(
            self.file.path, self.writer.blob_name, self.writer.offset, self._new_bytes(), cause, self._failures
        )
        logger.warning("%s is not saved at present (%d bytes wait): %s", record.path, record.pending, cause)
        if self._on_error is not None:
            try:
                self._on_error(record)
            except Exception:
                logger.exception("The on_error of the tracked save of %s raised.", record.path)

    def _new_bytes(self) -> int:
        return max(0, self._size() - self.writer.offset)

    def _size(self) -> int:
        try:
            return self.file.size()
        except BatchOutputsError:
            return self.writer.offset

    @staticmethod
    def _now() -> float:
        return time.monotonic()


async def _in_thread(future: Future[T]) -> T:
    """Wait for the log thread. Giving up the wait does not stop the work there."""
    return await asyncio.shield(asyncio.wrap_future(future))


async def _to_the_end(future: Future[T]) -> T:
    """Wait for the log thread, whatever is cancelled meanwhile; a cancellation counts once the work is done."""
    work = asyncio.wrap_future(future)
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):  # keeps away a scope's cancellation, which would come again at every step
        while not work.done():
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError as error:
                cancelled = error
            except Exception:  # noqa: S110 - it is raised from the result below
                pass
    if cancelled is not None:
        raise cancelled
    return work.result()


def _settle_time(settle: float | None, path: str, environment: TaskEnvironment) -> float:
    """How long the file should have been quiet; the node writes the task's own streams up to 3 s late."""
    if settle is not None:
        return min(settle, _LONGEST_SETTLING)
    if environment.task_dir is None:
        return 0.0
    own = {os.path.realpath(os.path.join(environment.task_dir, name)) for name in ("stdout.txt", "stderr.txt")}
    if os.path.realpath(path) not in own:
        return 0.0
    return _SETTLE_OWN_STREAMS


def _flush_own_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, broken, or none at all
            stream.flush()
