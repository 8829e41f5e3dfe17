"""What happens to a fleet that asks for more than its account serves.

A fleet of 100,000 tasks at 20,000 requests/s behaves as one of 1,000 tasks at 200 requests/s: tasks know nothing of
each other, and only the ratio counts. So a sample of the tasks is run against as small a part of the limit, and its
requests are counted as often as it has to.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.fleet.limits import REQUESTS_PER_SECOND
from benchmarks.fleet.service import Service
from benchmarks.fleet.simulated_time import run_simulated
from benchmarks.fleet.tables import Table, percent, rounded, seconds
from benchmarks.fleet.tasks import AS_IT_IS, Life, Task, Variation, quiet, run_all

SAMPLE = 200
"""Tasks that stand for all."""

BUSY = 0.05
"""The part of the requests that is refused, from which on the account counts as busy."""

CALM = 10
"""Seconds that are looked at together: in a single one the sample has more chance than the fleet."""


@dataclass(frozen=True)
class Scenario:
    """A fleet and what befalls it; times in seconds.

    Tasks begin evenly over `begin_over`. At `event` the account goes down for `outage`, and then it is `watched` until
    the tasks end over `end_over`; if it is not watched, their end is what is looked at.
    """

    name: str
    tasks: int
    flush_interval: float = 15.0
    begin_over: float = 60.0
    event: float = 120.0
    outage: float = 0.0
    watched: float = 300.0
    end_over: float = 60.0

    @property
    def until(self) -> float:
        """When the first task ends."""
        return self.event + self.outage + self.watched

    def lives(self, count: int) -> list[Life]:
        """The lives of so many tasks out of all."""
        shares = [(n + 0.5) / count for n in range(count)]
        return [Life(self.begin_over * x, self.until + self.end_over * x, self.flush_interval) for x in shares]


SCENARIOS = (
    Scenario("100,000 at 15 s, nothing happens", 100_000),
    Scenario("100,000 at 5 s, nothing happens", 100_000, flush_interval=5.0),
    Scenario("60,000 at 15 s, down for a minute", 60_000, outage=60.0),
    Scenario("80,000 at 15 s, down for a minute", 80_000, outage=60.0),
    Scenario("100,000 at 15 s, down for a minute", 100_000, outage=60.0),
    Scenario("100,000 at 60 s, down for a minute", 100_000, flush_interval=60.0, outage=60.0),
    Scenario("10,000 at 15 s, all begin in one second", 10_000, begin_over=1.0, event=0.0),
    Scenario("100,000 at 15 s, all begin in one second", 100_000, begin_over=1.0, event=0.0),
    Scenario("100,000 at 60 s, all begin in one second", 100_000, flush_interval=60.0, begin_over=1.0, event=0.0),
    Scenario("10,000 at 15 s, all end in one second", 10_000, watched=0.0, end_over=1.0),
    Scenario("100,000 at 15 s, all end in one second", 100_000, watched=0.0, end_over=1.0),
)


VARIATIONS = {
    "as it is": AS_IT_IS,
    "a refusal is taken for a lost answer": Variation(believed=False),
    "streams of a task share no pause": Variation(shared_pause=False),
    "the interval stays": Variation(stretch=False),
    "pauses of seven tenths or more": Variation(least_pause=0.7),
    "all of these": Variation(believed=False, shared_pause=False),
}


@dataclass(frozen=True)
class Outcome:
    """What came of it, from the event on; times in seconds."""

    sent: float
    """Requests a second."""
    refused: float
    """The part of them that was refused."""
    looks: float
    """The part of the served ones that only looked at a blob."""
    lags: list[float]
    """How long each first byte that was saved had been in its file, in order."""
    calm_after: float | None
    """How long after the event the last request was refused; None if it never ceased."""
    done_after: float
    """How long after the end of the last task its log, or another one, was complete."""
    unsaved: int
    """Logs that were given up."""

    def lag(self, share: float) -> float:
        """The lag that this share of the appends was within."""
        return self.lags[min(len(self.lags) - 1, int(share * len(self.lags)))]


def simulate(scenario: Scenario, variation: Variation = AS_IT_IS, *, sample: int = SAMPLE, seed: int = 1) -> Outcome:
    """Run a scenario with so many tasks for all."""
    random.seed(seed)
    one_in = scenario.tasks / sample
    service = Service(REQUESTS_PER_SECOND / one_in, scenario.event, scenario.event + scenario.outage)
    with quiet():
        logs = run_simulated(_run(service, scenario.lives(sample), variation))
    return _outcome(service, scenario, one_in, logs)


async def _run(service: Service, lives: list[Life], variation: Variation) -> int:
    """How many logs there were."""
    tasks = [Task(service, life, variation) for life in lives]
    await run_all(tasks)
    return sum(len(task.logs) for task in tasks)


def _outcome(service: Service, scenario: Scenario, one_in: float, logs: int) -> Outcome:
    last = scenario.until if scenario.watched else max(service.completed)
    span = range(int(scenario.event), int(last) + 1)
    sent = sum(service.sent[second] for second in span)
    refused = sum(service.refused[second] for second in span)
    calm = _calm_from(service, span)
    served = sent - refused
    return Outcome(
        sent=sent * one_in / len(span),
        refused=refused / sent,
        looks=sum(service.looks_served[second] for second in span) / served,
        lags=sorted(lag for moment, lag in service.lags if scenario.event <= moment <= last),
        calm_after=None if calm is None else max(0.0, calm - scenario.event - scenario.outage),
        done_after=max(service.completed) - scenario.until - scenario.end_over,
        unsaved=logs - len(service.completed),
    )


def _calm_from(service: Service, span: range) -> float | None:
    """The second from which on hardly a request was refused; None if that never came."""
    windows = range(span.start, span.stop - CALM, CALM)
    busy = [
        start
        for start in windows
        if sum(service.refused[start + n] for n in range(CALM))
        > BUSY * sum(service.sent[start + n] for n in range(CALM))
    ]
    if not busy:
        return float(span.start)
    return None if busy[-1] == windows[-1] else float(busy[-1] + CALM)


HEAD = [
    "asked for, per second",
    "refused",
    "behind: half",
    "99 of 100",
    "longest",
    "calm after",
]
LOOKS = "only looks, of the served"


def in_need(sample: int = SAMPLE, seed: int = 1) -> Table:
    """All scenarios, as the library is."""
    table = Table("A fleet and the limit of 20,000 requests/s", ["tasks with two streams each", *HEAD])
    for scenario in SCENARIOS:
        table.add(scenario.name, *_cells(scenario, simulate(scenario, sample=sample, seed=seed)))
    return table


def varied(sample: int = SAMPLE, seed: int = 1) -> Iterator[Table]:
    """The scenarios in which something is refused, with what could be otherwise."""
    for scenario in SCENARIOS:
        table = Table(scenario.name, ["what is otherwise", *HEAD, LOOKS])
        for name, variation in VARIATIONS.items():
            outcome = simulate(scenario, variation, sample=sample, seed=seed)
            table.add(name, *_cells(scenario, outcome), percent(outcome.looks))
        yield table


def _cells(scenario: Scenario, outcome: Outcome) -> list[str]:
    if outcome.unsaved:
        raise RuntimeError(f"{outcome.unsaved} logs of the sample were given up")
    calm = outcome.calm_after if scenario.watched else outcome.done_after
    return [
        rounded(outcome.sent),
        percent(outcome.refused),
        *(seconds(outcome.lag(share)) for share in (0.5, 0.99, 1.0)),
        "never" if calm is None else seconds(calm) if calm else "at once",
    ]
