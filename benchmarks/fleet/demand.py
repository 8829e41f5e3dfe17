"""How many requests a fleet asks for in a second, by a service that serves them all.

Here every log of the fleet is gone through, but only by the moments of its requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.fleet.cadence import rounds
from benchmarks.fleet.limits import REQUESTS_PER_SECOND
from benchmarks.fleet.tables import Table, percent, rounded
from benchmarks.fleet.tasks import RATE

from batch_outputs import followed_log

STREAMS = 2
"""Logs of a task under `run`; both grow all the time."""

INTERVALS = (5.0, 15.0, 60.0, 300.0)
HEALS = 0.7
"""The part of the limit at which a fleet is well again as soon as a fault is over; see `overload`."""

SETTLED = 20
"""Rounds of a log after which nothing is left of its beginning."""


@dataclass(frozen=True)
class Start:
    """Over how many seconds the tasks of a fleet begin, evenly."""

    name: str
    seconds: float


STARTS = (Start("in one second", 1.0), Start("over ten seconds", 10.0), Start("over a minute", 60.0))


def steady() -> Table:
    """Appends a second, once all tasks run."""
    table = Table(
        "Appends a second while all tasks run",
        [
            "`flush_interval`",
            "10,000 tasks",
            "of 20,000/s",
            "100,000 tasks",
            "of 20,000/s",
            f"tasks at {percent(HEALS)} of it",
        ],
    )
    for interval in INTERVALS:
        moments = [age for _ in range(100) for age, _ in rounds(interval, RATE, SETTLED * interval)]
        late = sum(age > interval for age in moments)
        each = STREAMS * late / (100 * (SETTLED - 1) * interval)
        cells = [
            text
            for tasks in (10_000, 100_000)
            for text in (rounded(tasks * each), percent(tasks * each / REQUESTS_PER_SECOND))
        ]
        table.add(f"{interval:g} s", *cells, rounded(HEALS * REQUESTS_PER_SECOND / each))
    return table


def peaks() -> Table:
    """The highest second of a fleet of 10,000, with jitter and without."""
    table = Table(
        "The second with most requests, 10,000 tasks at 15 s",
        ["10,000 tasks begin", "logs begun", "appends", "appends if nothing were spread"],
    )
    for start in STARTS:
        begun, later = _highest(start, 10_000)
        with _without_jitter():
            _, in_step = _highest(start, 10_000)
        table.add(start.name, rounded(begun), rounded(later), rounded(in_step))
    return table


def _highest(start: Start, tasks: int) -> tuple[int, int]:
    """Most creations in a second, and most appends in one, until a minute after the last beginning."""
    creations: Counter[int] = Counter()
    appends: Counter[int] = Counter()
    until = start.seconds + 60.0
    for number in range(tasks):
        began = start.seconds * number / tasks
        creations[int(began)] += STREAMS
        for _ in range(STREAMS):
            appends.update(int(began + age) for age, _ in rounds(15.0, RATE, until - began))
    return max(creations.values()), max(appends.values())


@contextmanager
def _without_jitter() -> Iterator[None]:
    jitter = followed_log._jitter  # noqa: SLF001 - for comparison
    followed_log._jitter = _never_early  # noqa: SLF001
    try:
        yield
    finally:
        followed_log._jitter = jitter  # noqa: SLF001


def _never_early(least: float) -> float:
    return max(least, 1.0)
