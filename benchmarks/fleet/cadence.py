"""When the rounds of a log come, as long as every request is served: exact, without running the tracked save.

A round follows from the one before it and from a number of the jitter, so a log of 180 days is 30,000 steps. Constants,
jitter and rules are the library's; a test holds the moments against a tracked save that runs in simulated time.
"""

# ruff: noqa: SLF001 - the rules are asked inside of the tracked save

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from functools import cache
from typing import Self

from benchmarks.fleet.service import LATENCY, LOCATION

from batch_outputs import followed_log
from batch_outputs.followed_log import _LOOK as LOOK
from batch_outputs.followed_log import FollowedLog
from batch_outputs.log_part import MAX_APPEND
from batch_outputs.log_thread import TICK
from batch_outputs.marks import LogMarks


class _NoStore:
    """For a tracked save whose rules are asked, and which is never begun."""

    location = LOCATION


class _Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class _Rules:
    """The interval and the threshold of a log of any age and size, by the library's own rules."""

    def __init__(self, flush_interval: float) -> None:
        self._hands = _Hands()
        state = random.getstate()
        self._log = FollowedLog(
            _NoStore(),  # type: ignore[arg-type]
            "log.txt",
            "t1/$TaskLog/log.txt",
            LogMarks(),
            content_type="text/plain",
            flush_interval=flush_interval,
            clock=self._hands,
        )
        random.setstate(state)  # whoever asks for rules that are known already is to have the same chance
        self._log.chain = self._stored = _Stored()  # type: ignore[assignment]

    @classmethod
    @cache
    def of(cls, flush_interval: float) -> Self:
        return cls(flush_interval)

    def interval(self, age: float) -> float:
        self._hands.time = age
        return self._log.interval

    def threshold(self, size: int) -> int:
        self._stored.bytes_saved = size
        return self._log.threshold


class _Stored:
    """As much of a chain as the threshold looks at."""

    bytes_saved = 0


def rounds(flush_interval: float, rate: float, until: float) -> Iterator[tuple[float, int]]:
    """The age at which each round of a log begins, up to `until`, and how many bytes it saves; `rate` in bytes/s."""
    rules = _Rules.of(flush_interval)
    due, saved = flush_interval * followed_log._jitter(0.5), 0
    last = LATENCY  # the creation
    while True:
        wakes = (saved + rules.threshold(saved)) / rate
        began = max(math.ceil(min(due, wakes) / TICK) * TICK, (math.floor(last / TICK) + 1) * TICK)
        if began > until:
            return
        size = int(began * rate)
        yield began, size - saved
        last = began + LATENCY * math.ceil((size - saved) / MAX_APPEND)
        saved = size
        due = last + max(0.0, rules.interval(last) * followed_log._jitter(0.9) - LOOK)
