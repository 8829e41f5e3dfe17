"""Tasks whose streams the library's own tracked saves follow, on a simulated service in simulated time."""

# ruff: noqa: SLF001 - moments are read, and variations made, inside of the tracked save

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from benchmarks.fleet.service import Service, SimulatedStore
from benchmarks.fleet.simulated_time import LoopClock

from batch_outputs import followed_log
from batch_outputs.followed_log import FollowedLog
from batch_outputs.growing_file import GrowingFile, Look
from batch_outputs.log_thread import TICK
from batch_outputs.marks import LogMarks
from batch_outputs.stores.azure.pressure import Pressure

if TYPE_CHECKING:
    from batch_outputs.stores.base import Store

RATE = 100.0
"""Bytes that a stream grows by in a second: a line or two."""

_CONTENT = bytes(4 * 1024 * 1024)


class SteadyFile(GrowingFile):
    """A file that is nowhere, and grows by so many bytes a second until it is `ended`."""

    def __init__(self, rate: float) -> None:
        super().__init__("log.txt")
        self._rate = rate
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._ended = math.inf

    def end(self) -> None:
        """Grow no more."""
        self._ended = self._loop.time()

    def written_at(self, offset: int) -> float:
        """The moment at which this byte was written."""
        return self._began + offset / self._rate

    def look(self) -> Look:
        """See `GrowingFile.look`."""
        return Look(int((min(self._loop.time(), self._ended) - self._began) * self._rate))

    def read(self, offset: int, length: int) -> bytes:
        """See `GrowingFile.read`."""
        return _CONTENT[: max(0, min(length, self.look().size - offset))]


@dataclass(frozen=True)
class Variation:
    """What could be otherwise in the library; the defaults are what it does."""

    believed: bool = True
    """What is refused for the load was not done; otherwise it is as after a lost answer: the blob is looked at, the
    interval stays, and pauses are of seven tenths or more.
    """
    shared_pause: bool = True
    """What one request of a process learns of the service's load holds for all of them."""
    stretch: bool = True
    """The interval grows while too much is asked of the service."""
    least_pause: float = 0.0
    """The shortest pause after a refusal, as a part of the longest."""


AS_IT_IS = Variation()


@dataclass
class Life:
    """When a task begins and ends, and how it saves."""

    begins: float
    ends: float
    flush_interval: float
    streams: int = 2
    rate: float = RATE


class Task:
    """A task under `batch-outputs run`: the streams of a program, followed until it ends."""

    def __init__(self, service: Service, life: Life, variation: Variation = AS_IT_IS) -> None:
        self.logs: list[FollowedLog] = []
        self._service = service
        self._life = life
        self._variation = variation
        self._pressure: Pressure | None = None

    async def run(self) -> None:
        """Live from the beginning to the end."""
        await asyncio.sleep(self._life.begins)
        clock = asyncio.get_running_loop().time
        self._pressure = Pressure(clock=clock) if self._variation.shared_pause else None
        await asyncio.gather(*(self._follow() for _ in range(self._life.streams)))

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        file = SteadyFile(self._life.rate)
        store = SimulatedStore(self._service, file.written_at, self._pressure, believed=self._variation.believed)
        log = FollowedLog(
            cast("Store", store),
            "log.txt",
            "t1/$TaskLog/log.txt",
            LogMarks(attempt="a"),
            content_type="text/plain",
            flush_interval=self._life.flush_interval,
            on_error=lambda error: self._failed(log, error.attempts),
            clock=LoopClock(),
        )
        log.chain.file = file
        self.logs.append(log)
        await log.begin()
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._look_after(log, began))
            await asyncio.sleep(self._life.ends - loop.time())
            file.end()
            # A round that is under way is waited for by the end.
            await log.end()
            looking.cancel()
        if log.unsaved() is None:
            self._service.completed.append(loop.time())

    async def _look_after(self, log: FollowedLog, began: float) -> None:
        """What the log thread does, but for the ticks at which nothing is due."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            wakes = now + (log.threshold - log.chain.waiting) / self._life.rate if not log._failures else math.inf
            due = max(now + 1e-6, min(log._next_round, wakes))
            await asyncio.sleep(began + math.ceil((due - began) / TICK) * TICK - now)
            if log.is_due(loop.time()):
                await log.round()
                if not self._variation.stretch:
                    log._stretched = 0.0

    def _failed(self, log: FollowedLog, failures: int) -> None:
        if failures and self._variation.least_pause != AS_IT_IS.least_pause:
            now = log._clock.now()
            longest = min(followed_log._LONGEST_PAUSE, followed_log._FIRST_PAUSE * 2 ** min(failures - 1, 10))
            log._next_round = now + longest * random.uniform(self._variation.least_pause, 1.0)  # noqa: S311 - spreads load


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of thousands of tracked saves that are refused."""
    logger = logging.getLogger("batch_outputs")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


async def run_all(tasks: list[Task]) -> None:
    """Run all tasks to their end."""
    await asyncio.gather(*(task.run() for task in tasks))
