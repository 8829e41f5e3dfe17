"""The program's output, saved as it grows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batch_outputs.errors import LogNotSavedError
from batch_outputs.runner.budget import Budget
from batch_outputs.runner.plan import RunPlan
from batch_outputs.runner.result import RunResult
from batch_outputs.runner.spool import Spool
from batch_outputs.storage import TaskOutputStorage

if TYPE_CHECKING:
    from batch_outputs.tracking import TrackedSave

logger = logging.getLogger("batch_outputs.runner")

_PAUSE_AFTER_REFUSAL = 60.0


@dataclass(slots=True)
class Streams:
    """Follows the files that the program writes to, each to a log of its own."""

    plan: RunPlan
    spool: Spool
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
        output = self.plan.logs[stream]
        while True:
            last_try = ended.is_set()
            try:
                async with self.storage.save_tracked(
                    output.kind,
                    self.spool.path(stream),
                    output.name,
                    flush_interval=self.plan.flush_interval,
                    settle=0,
                    per_node=False,  # the name says it already
                    attempt=self.plan.attempt,
                ) as tracked:
                    self._tracked.append(tracked)
                    if self._in_a_hurry:
                        tracked.hurry(self._notice)
                    await ended.wait()
                    tracked.exit_code = self.result.exit_code
                    self.budget.add(tracked)
                self.result.logs.append(tracked.output)
            except Exception as error:
                if last_try or isinstance(error, LogNotSavedError):
                    self.result.failures.append(error)
                    return
                logger.warning("The program runs on, but its %s is not saved at present: %s", stream, error)
            else:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _PAUSE_AFTER_REFUSAL)

    def hurry(self, notice: str | None = None) -> None:
        """The end is near: save at once and every second, and mark the logs with what was announced."""
        self._in_a_hurry = True
        self._notice = notice or self._notice
        for tracked in self._tracked:
            tracked.hurry(self._notice)

    @property
    def all_complete(self) -> bool:
        """Whether all streams are stored to their end and marked so."""
        return len(self.result.logs) == len(self.plan.logs) and all(log.complete for log in self.result.logs)
