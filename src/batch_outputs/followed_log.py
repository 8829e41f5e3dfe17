"""When a tracked file's rounds run, and what happens when one fails."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from batch_outputs.clock import Clock, RealClock
from batch_outputs.errors import (
    BatchOutputsError,
    BlobChangedError,
    BlobNotFoundError,
    LogNotSavedError,
    SourceError,
    StoreBusyError,
    StoreUnavailableError,
)
from batch_outputs.growing_file import GrowingFile
from batch_outputs.log_chain import LogChain
from batch_outputs.marks import LogMarks
from batch_outputs.stores.base import Store

logger: logging.Logger = logging.getLogger("batch_outputs.tracking")
changes: logging.Logger = logging.getLogger("batch_outputs.tracking.changes")

FLUSH_TIMEOUT = 600.0
"""Seconds without progress after which the end of a tracked save gives up."""

LONGEST_SETTLING = 10.0

_MIB = 1024 * 1024
_BLOCKS_FOR_TIME = 4000
"""A round every age/4000, or up to a tenth sooner, makes 28,000 blocks in the 180 days of the longest task at 15 s, and
40,000 at 1 s; a blob takes 50,000."""
_BLOCKS_FOR_SIZE = 8000

_LOOK = 0.25
_REFUSALS_AT_THE_END = 3
_LONGEST_SLEEP = 5.0
_IN_A_HURRY = 1.0
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_LONGEST_STRETCH = 60.0
"""Each time that the service has too much to do the interval doubles, up to this; each good round takes a tenth off."""
_EASING = 0.9


@dataclass(frozen=True, slots=True)
class TrackingError:
    """A round of a tracked save failed, or something about the file was noticed; the tracked save goes on.

    `offset` bytes are stored and `pending` more wait. `attempts` counts the failed rounds since the last good one; it
    is 0 for what was only noticed, such as a truncation.
    """

    path: str
    blob: str
    offset: int
    pending: int
    cause: BatchOutputsError
    attempts: int


class FollowedLog:
    """A file and its log in storage: saved at its interval, when much waits, on request, and at the end."""

    def __init__(
        self,
        store: Store,
        path: str,
        blob_name: str,
        marks: LogMarks,
        *,
        content_type: str,
        flush_interval: float,
        on_error: Callable[[TrackingError], object] | None = None,
        clock: Clock | None = None,
        own_only: bool = False,
        opened: int | None = None,
    ) -> None:
        self.chain: LogChain = LogChain(
            store,
            blob_name,
            GrowingFile(path, opened),
            marks,
            content_type=content_type,
            noticed=self._noticed,
            own_only=own_only,
        )
        self.exit_code: int | None = None
        self.flush_timeout = FLUSH_TIMEOUT
        self._path = path
        self._place = store.location.place
        self._asked_interval = flush_interval
        self._on_error = on_error
        self._clock = clock or RealClock()
        self._one_round = asyncio.Lock()
        self._began = self._clock.now()
        self._failures = 0
        self._stretched = 0.0
        self._not_before = self._began  # by the service's own word
        self._deadline = math.inf
        self._hurried = False
        self._notice: str | None = None
        self._last_error: BatchOutputsError | None = None
        self._ended = False
        self._over = asyncio.Event()
        self._goal = 0
        self._progress: tuple[int, float] | None = None
        self._saved_all = False
        # The first round of each of a thousand tasks comes at another moment of the interval.
        self._next_round = self._began + flush_interval * _jitter(0.5)

    def end_within(self, seconds: float) -> None:
        """From now on the end may take at most so long, even while bytes move. Call it from anywhere."""
        self._deadline = min(self._deadline, self._clock.now() + seconds)

    def hurry(self, notice: str | None = None) -> None:
        """Save now, and every second from now on; mark the log with what was announced. Call it from anywhere."""
        self._notice = notice or self._notice
        self._hurried = True
        self._next_round = max(self._clock.now(), self._not_before)

    @property
    def interval(self) -> float:
        """Seconds between rounds: as asked, but at least age/4000, more while the service is busy; one in a hurry."""
        if self._hurried:
            return min(self._asked_interval, _IN_A_HURRY)
        return max(self._asked_interval, (self._clock.now() - self._began) / _BLOCKS_FOR_TIME, self._stretched)

    @property
    def threshold(self) -> int:
        """Bytes that are saved at once, whatever the interval."""
        return min(max(_MIB, self.chain.bytes_saved // _BLOCKS_FOR_SIZE), 16 * _MIB)

    async def begin(self) -> None:
        """Open the log in storage. A store that does not answer now is tried again later; a refusal is raised."""
        try:
            self.chain.file.look()
            await self.chain.open()
        except StoreUnavailableError as error:
            self._failed(error)
        except BaseException:
            self.chain.file.close()
            raise

    def is_due(self, now: float) -> bool:
        """Whether a round should begin."""
        if self._ended:
            return False
        return now >= self._next_round or (self._failures == 0 and self._waiting() >= self.threshold)

    async def round(self) -> None:
        """Save what is new. Failures are reported, and the next round is put off."""
        try:
            await self.flush()
        except BatchOutputsError as error:
            self._failed(error)
        except Exception as error:
            logger.exception("A round of the tracked save of %s broke.", self._path)
            self._failed(BatchOutputsError(f"Saving {self._path} broke: {type(error).__name__}."))

    async def flush(self) -> None:
        """Save what the file holds now."""
        async with self._one_round:
            await self.chain.advance(final=self._ended)
            await self._mark_notice()
            self._failures = 0
            self._stretched *= _EASING
            self._last_error = None
            # Rounds begin at a look; the last one within the interval, and not the first behind it.
            self._next_round = self._clock.now() + max(0.0, self.interval * _jitter(0.9) - _LOOK)

    async def _mark_notice(self) -> None:
        if self._notice is None:
            return
        try:
            await self.chain.note(self._notice)
        except (StoreUnavailableError, BlobChangedError) as error:
            logger.debug("The mark on %s is left to the next round: %s", self.chain.blob_name, error)
            return
        except BatchOutputsError as error:
            logger.warning("%s cannot be marked with %s: %s", self.chain.blob_name, self._notice, error)
        self._notice = None

    def is_out_of_time(self) -> bool:
        """Whether the end has had its time, as by `_time_left`; whoever sees that may cancel it."""
        return self._time_left() <= 0

    async def end(self, settle: float = 0.0) -> None:
        """Save the rest and mark the log complete; give up after `flush_timeout` seconds without progress, or when what
        `end_within` allows is over.

        A request that hangs may take longer than that; then it has to be cancelled.
        """
        if self._ended:
            return
        self._ended = True
        try:
            await self._wait_until_quiet(settle)
            await self._save_the_rest()
        except asyncio.CancelledError:
            if self._last_error is None:
                text = f"{self._place} gave no answer in time."
                self._last_error = StoreUnavailableError(text, place=self._place, blob=self.chain.blob_name)
            raise
        finally:
            self.chain.file.close()
            self._over.set()

    async def save_now(self, settle: float = 0.0) -> None:
        """Save what the file holds now, and what comes until it has been quiet for `settle` seconds; then go on.

        What fails is tried again until the store refuses. Where the end is under way, that is waited for.
        """
        await self._save_until_caught_up()
        if settle and not self._ended:
            await self._wait_until_quiet(settle)
            await self._save_until_caught_up()
        if self._ended:
            await self._over.wait()

    async def _save_until_caught_up(self) -> None:
        goal = self.chain.bytes_saved + self._waiting()
        while not self._ended:
            await self.round()
            if self._failures:
                if self._is_hopeless():
                    return
                await self._pause()
            elif self._has_reached(goal):
                return

    def unsaved(self) -> LogNotSavedError | None:
        """After the end: how many bytes are on this disk only, and where; None if all are stored."""
        if self._saved_all:
            return None
        saved = self.chain.bytes_saved
        pending = max(0, self._goal - saved)
        error = LogNotSavedError(
            f"{pending:,} bytes of {self._path} could not be saved to {self.chain.blob_name}, which has its first "
            f"{saved:,}: {self._last_error} They are still in the file; save it from there."
            if pending
            else f"The log {self.chain.blob_name} could not be kept to the end: {self._last_error}",
            path=self._path,
            blob=self.chain.blob_name,
            saved=saved,
            pending=pending,
        )
        error.__cause__ = self._last_error
        return error

    async def _save_the_rest(self) -> None:
        # The length is taken once: who leaves a file that is still written to does not wait for its writer.
        self._goal = self.chain.bytes_saved + self._waiting()
        self._progress = (self.chain.bytes_saved, self._clock.now())
        while not await self._try_to_finish():
            left = self._time_left()
            if left <= 0 or self._is_hopeless():
                return
            if self._failures:
                await self._pause()
                if self._clock.now() < self._not_before:
                    return  # the service wants to be left alone for longer than there is time

    async def _pause(self) -> None:
        """Wait until it is worth trying again: not long, but as long as the service has asked for."""
        until = max(min(self._next_round, self._clock.now() + _LONGEST_SLEEP), self._not_before)
        while (rest := min(until - self._clock.now(), self._time_left())) > 0:
            await self._clock.sleep(min(rest, _LONGEST_SLEEP))  # in steps: the time that is left may be cut meanwhile

    def _time_left(self) -> float:
        """Seconds until the end gives up, if no byte is saved meanwhile."""
        in_all = self._deadline - self._clock.now()
        if self._progress is None:
            return min(self.flush_timeout, in_all)
        saved, moved = self._progress
        if self.chain.bytes_saved != saved:
            moved = self._clock.now()
            self._progress = (self.chain.bytes_saved, moved)
        # Asked for each time: who is told to hurry lowers it meanwhile.
        return min(moved + self.flush_timeout - self._clock.now(), in_all)

    async def _try_to_finish(self) -> bool:
        """True when there is nothing more to be done: all is saved, and marked complete or not to be marked."""
        if not self._saved_all:
            await self.round()
            if self._failures or not self._has_reached(self._goal):
                return False
            self._saved_all = True
        try:
            self._saved_all = await self.chain.finish(self.exit_code)
        except (StoreUnavailableError, BlobChangedError) as error:
            self._failed(error)
            self._saved_all = self.chain.is_caught_up  # a name that was lost is begun anew
            return False
        except BatchOutputsError as error:
            self._failed(error)  # refused: the log is whole, and shows as incomplete
        return self._saved_all

    def _has_reached(self, goal: int) -> bool:
        try:
            return (self.chain.bytes_saved >= goal or self.chain.is_caught_up) and not self.chain.is_outdated
        except SourceError:
            return False  # the next round says what is the matter

    def _is_hopeless(self) -> bool:
        """Whether the store refuses, rather than fails to answer, and has done so several times in a row."""
        passing = isinstance(self._last_error, StoreUnavailableError | BlobChangedError | BlobNotFoundError)
        return self._failures >= _REFUSALS_AT_THE_END and not passing

    async def _wait_until_quiet(self, settle: float) -> None:
        began = quiet_since = self._clock.now()
        waiting = self._waiting()
        while self._clock.now() - quiet_since < settle and self._clock.now() - began < LONGEST_SETTLING:
            await self._clock.sleep(min(_LOOK, settle))
            if self._waiting() != waiting:
                waiting, quiet_since = self._waiting(), self._clock.now()

    def _failed(self, cause: BatchOutputsError) -> None:
        self._failures += 1
        self._last_error = cause
        is_busy = isinstance(cause, StoreBusyError)
        if is_busy and self._failures == 1:
            # A fleet that asks for more than there is comes down to it.
            self._stretched = min(2 * self.interval, _LONGEST_STRETCH)
        longest = _IN_A_HURRY if self._hurried else _LONGEST_PAUSE
        pause = min(longest, _FIRST_PAUSE * 2 ** min(self._failures - 1, 10))
        now = self._clock.now()
        self._not_before = now + ((cause.retry_after or 0.0) if isinstance(cause, StoreUnavailableError) else 0.0)
        # Those who were refused together are many, and are to come back at any moment rather than together.
        self._next_round = max(now + pause * _jitter(0.0 if is_busy else 0.7), self._not_before)
        logger.warning("%s is not saved at present (%d bytes wait): %s", self._path, self._waiting(), cause)
        self._report(cause)

    def _noticed(self, cause: SourceError) -> None:
        changes.warning("%s", cause)
        self._report(cause)

    def _report(self, cause: BatchOutputsError) -> None:
        if self._on_error is None:
            return
        record = TrackingError(
            self._path, self.chain.blob_name, self.chain.bytes_saved, self._waiting(), cause, self._failures
        )
        try:
            self._on_error(record)
        except Exception:
            logger.exception("The on_error of the tracked save of %s raised.", self._path)

    def _waiting(self) -> int:
        try:
            return self.chain.waiting
        except BatchOutputsError:
            return 0


def _jitter(least: float) -> float:
    return random.uniform(least, 1.0)  # noqa: S311 - spreads load, guards nothing
