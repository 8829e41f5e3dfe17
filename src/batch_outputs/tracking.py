"""Tracked saves: a growing file is kept in storage while it grows.

`track_file` is the way in; `TrackedSave` is what a caller holds meanwhile. On which thread the work is done is decided
in `log_thread`, when a round runs in `followed_log`, what becomes of a truncated file or an earlier attempt in
`log_chain`, and how bytes get into a blob in `log_part`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import anyio

from batch_outputs.content_types import guess_content_type
from batch_outputs.environment import TaskEnvironment
from batch_outputs.errors import LogNotSavedError
from batch_outputs.followed_log import LONGEST_SETTLING, FollowedLog, TrackingError
from batch_outputs.location import StoreLocation
from batch_outputs.log_thread import LogThread
from batch_outputs.marks import LogMarks
from batch_outputs.stores.base import BlobProperties, Store
from batch_outputs.termination import termination

if TYPE_CHECKING:
    from concurrent.futures import Future

    from batch_outputs.outputs import OutputFileReference

T = TypeVar("T")
Reference: TypeAlias = Callable[[str, BlobProperties | None], "OutputFileReference"]
"""Makes the output of a blob's name and what is known of it."""

__all__ = ["TrackedSave", "TrackingError", "track_file"]

_SETTLE_OWN_STREAMS = 3.0


class TrackedSave:
    """A file that is being saved while it grows; given by `save_tracked`."""

    def __init__(self, thread: LogThread, log: FollowedLog, reference: Reference) -> None:
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

    def end_within(self, seconds: float) -> None:
        """From now on, leaving the block takes at most so long, even while bytes move; no limit unless set.

        The least that was ever asked for counts.
        """
        self._log.end_within(seconds)

    def hurry(self, notice: str | None = None) -> None:
        """Begin to save at once, and from now on every second: the process or its node is about to end.

        With a `notice`, such as `Preempt`, the log's metadata says what was announced.

        Raises:
            ValueError: the notice is not plain printable ASCII text, as metadata has to be.
        """
        if notice is not None and not (notice.isascii() and notice.isprintable()):
            raise ValueError(f"the notice {notice!r} is not plain printable ASCII text")
        self._log.hurry(notice)

    async def flush(self) -> None:
        """Save now what the file holds at this moment, and return when it is stored.

        Raises:
            StoreError: it could not be stored; the tracked save goes on and tries again.
            SourceError: the file cannot be read.
            RuntimeError: this is a forked child; the tracked save is its parent's.
        """
        if not self._thread.is_of_this_process:
            raise RuntimeError("this tracked save is of the process that this one was forked from; begin one here")
        await _in_thread(self._thread.submit(self._log.flush()))

    @property
    def bytes_saved(self) -> int:
        """How many bytes are confirmed to be stored; they are the beginning of the file."""
        return self._log.chain.bytes_saved

    @property
    def interval(self) -> float:
        """Seconds between two rounds at present; it grows with the age of the log."""
        return self._log.interval

    @property
    def output(self) -> OutputFileReference:
        """The output in storage, as it is now."""
        return self._reference(self._log.chain.blob_name, self._log.chain.properties)


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
    attempt: str | None = None,
    opened: int | None = None,
) -> AsyncIterator[TrackedSave]:
    """Keep the file at `path` stored as `blob_name` while the block runs; see `TaskOutputStorage.save_tracked`.

    When `owner`, the thread that the block runs in, ends with the interpreter and not with the block, so does the save.
    """
    settle_time = _settle_time(settle, path, environment)
    await prepare()
    thread = LogThread.acquire()
    termination.hold()
    marks = LogMarks(
        attempt=attempt or secrets.token_hex(8),
        node=environment.node_id,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )

    def make(store: Store) -> FollowedLog:
        return FollowedLog(
            store,
            path,
            blob_name,
            marks,
            content_type=guess_content_type(blob_name),
            flush_interval=flush_interval,
            on_error=on_error,
            own_only=attempt is not None,
            opened=opened,
        )

    try:
        # Cancelled here, the work over there is too.
        log = await asyncio.wrap_future(thread.submit(_begin(thread, location, make)))
        thread.add(log, owner, settle_time)
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
        termination.release()


async def _begin(thread: LogThread, location: StoreLocation, make: Callable[[Store], FollowedLog]) -> FollowedLog:
    log = make(thread.store(location))
    await log.begin()
    return log


async def _end(thread: LogThread, log: FollowedLog, settle: float) -> LogNotSavedError | None:
    if not thread.is_of_this_process:
        return None  # a forked child leaves a block of its parent's, which goes on saving
    if settle:
        _flush_own_streams()
    await _to_the_end(thread.submit(thread.end(log, settle)))
    return log.unsaved()


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
        return min(settle, LONGEST_SETTLING)
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
