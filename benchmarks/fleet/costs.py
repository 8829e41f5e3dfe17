"""Requests, ingress and money of a day."""

from __future__ import annotations

from benchmarks.fleet.cadence import rounds
from benchmarks.fleet.lifetimes import DAY
from benchmarks.fleet.limits import GB, INGRESS, INGRESS_IN_LARGE_REGIONS, Prices
from benchmarks.fleet.service import Service
from benchmarks.fleet.simulated_time import run_simulated
from benchmarks.fleet.tables import Table, rounded
from benchmarks.fleet.tasks import RATE, Life, Task, run_all

STREAMS = 2
PROGRAMS = {"1 second": 1.0, "1 minute": 60.0, "10 minutes": 600.0, "1 hour": 3600.0}
FLEETS = (10_000, 100_000)


def of_a_task() -> Table:
    """All requests of a task under `run`, as its tracked saves make them."""
    table = Table(
        "Requests of one task", ["its program runs", "logs begun", "appends", "logs marked complete", "in all"]
    )
    for name, length in PROGRAMS.items():
        service = Service()
        run_simulated(run_all([Task(service, Life(0.0, length, 15.0))]))
        made = service.by_operation
        table.add(name, str(made["create"]), str(made["append"]), str(made["mark"]), str(made.total()))
    return table


def of_a_day(prices: Prices) -> Table:
    """What a day of tasks that run all day makes and costs."""
    table = Table(
        "A day",
        [
            "tasks",
            "`flush_interval`",
            "million requests",
            "dollars for requests",
            "GB stored",
            "dollars a month for these",
        ],
    )
    for tasks in FLEETS:
        for interval in (15.0, 60.0, 300.0):
            appends = sum(1 for _ in rounds(interval, RATE, DAY))
            logs = tasks * STREAMS
            stored = logs * RATE * DAY / GB
            table.add(
                f"{tasks:,}",
                f"{interval:g} s",
                rounded(logs * (appends + 2) / 1e6),
                rounded(prices.of_requests(writes=logs * (appends + 1), others=logs)),
                rounded(stored),
                rounded(stored * prices.gb_month),
            )
    return table


def ingress() -> Table:
    """How fast each task may write before the account's ingress is full."""
    table = Table("Bytes that each task may write in a second", ["tasks", "at 25 Gbps", "at 60 Gbps"])
    for tasks in FLEETS:
        table.add(
            f"{tasks:,}", *(f"{rounded(limit / tasks / 1e3)} kB" for limit in (INGRESS, INGRESS_IN_LARGE_REGIONS))
        )
    return table
