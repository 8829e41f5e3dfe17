"""The program's output, saved as it grows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batch_outputs.errors import LogNotSavedError, StoreError, StoreUnavailableError
from batch_outputs.runner.budget import Budget
from batch_outputs.runner.launch import Run
from batch_outputs.runner.result import RunResult
from batch_outputs.storage import TaskOutputStorage

if TYPE_CHECKING:
    from batch_outputs.tracking import TrackedSave

logger: logging.Logger = logging.getLogger("batch_outputs.runner")

_PAUSE_AFTER_REFUSAL = 60.0


@asynccontextmanager
async def in_time(
    saving: AbstractAsyncContextManager[TrackedSave], budget: Budget, place: str
) -> AsyncIterator[TrackedSave]:
    """A tracked save whose beginning, too, takes no longer than there is time.

    Raises:
        StoreUnavailableError: the store did not answer by then.
    """
    try:
        tracked = await budget.spend_on(_entered(saving))
    except TimeoutError:
        raise StoreUnavailableError(f"{place} gave no answer in time.", place=place) from None
    try:
        yield tracked
    except BaseException as error:
        if not await saving.__aexit__(type(error), error, error.__traceback__):
            raise
    else:
        await saving.__aexit__(None, None, None)


async def _entered(saving: AbstractAsyncContextManager[TrackedSave]) -> TrackedSave:
    return await saving.__aenter__()


@dataclass(slots=True)
class Streams:
    """Follows the files that the program writes to, each to a log of its own."""

    run: Run
    storage: TaskOutputStorage
    budget: Budget
    result: RunResult
    _tracked: list[TrackedSave] = field(default_factory=list)
    _in_a_hurry: bool = False
    _notice: str | None = None

    async def follow(self, stream: str, ended: asyncio.Event) -> None:
        """Save one stream until the program has ended. Whatever happens to that, the program goes on.

        A store that refuses (a role that is not in effect yet, a container that is still to be made) is tried again now
        and then, and for a last time when the program has ended: the spool has everything.
        """
        while True:
            last_try = ended.is_set()
            try:
                await self._save(stream, ended)
            except Exception as error:
                if last_try or isinstance(error, LogNotSavedError):
                    self.result.failures.append(error)
                    return
                logger.warning("The program runs on, but its %s is not saved at present: %s", stream, error)
            else:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _PAUSE_AFTER_REFUSAL)

    async def _save(self, stream: str, ended: asyncio.Event) -> None:
        output = self.run.plan.logs[stream]
        saving = self.storage.save_tracked(
            output.kind,
            self.run.spool.path(stream),
            output.name,
            flush_interval=self.run.plan.flush_interval,
            settle=0,
            per_node=False,  # the name says it already
            attempt=self.run.plan.attempt,
            opened=self.run.opened[stream],
        )
        async with in_time(saving, self.budget, self.storage.place) as tracked:
            self._tracked.append(tracked)
            if self._in_a_hurry:
                tracked.hurry(self._notice)
            await ended.wait()
            tracked.exit_code = self.result.exit_code
            self.budget.add(tracked)
        log = tracked.output
        if log.size != tracked.bytes_saved:  # it has gone on in parts
            with contextlib.suppress(StoreError, TimeoutError):
                log = await self.budget.spend_on(log.refresh())
        self.result.logs.append(log)

    def hurry(self, notice: str | None = None) -> None:
        """The end is near: save at once and every second, and mark the logs with what was announced."""
        self._in_a_hurry = True
        self._notice = notice or self._notice
        for tracked in self._tracked:
            tracked.hurry(self._notice)

    @property
    def all_complete(self) -> bool:
        """Whether all streams are stored to their end and marked so."""
        return len(self.result.logs) == len(self.run.plan.logs) and all(log.complete for log in self.result.logs)
