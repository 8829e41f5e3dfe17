"""What a fleet of tasks asks of storage: requests, limits, lag and money, from the library's own tracked saves.

    python -m benchmarks.fleet [--into docs/scale.md]
    python -m benchmarks.fleet variations [--sample 1000]

Tasks are those of `batch-outputs run` with two streams that grow all the time. The tables are Markdown; with `--into`
each replaces the one of a document that has the same head. The same seed gives the same figures. `variations` shows
how the fleets in need would fare if the library did something otherwise, and takes minutes.

Where every request is served, the moments of a log follow from each other, and are gone through by themselves. Where
some are refused, the library's tracked saves run in simulated time, on a service that refuses what goes beyond its
limit; a sample of the tasks stands for all, against as small a part of the limit.
"""

# ruff: noqa: T201 - it prints what it has found

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

from benchmarks.fleet import costs, demand, lifetimes, overload
from benchmarks.fleet.limits import Prices
from benchmarks.fleet.tables import Table


def tables(prices: Prices, *, sample: int, seed: int) -> Iterator[Table]:
    """All tables that people who plan a job need."""
    random.seed(seed)
    yield costs.of_a_task()
    yield demand.steady()
    yield demand.peaks()
    yield overload.in_need(sample, seed)
    random.seed(seed)
    yield lifetimes.by_age()
    yield lifetimes.by_rate()
    yield costs.of_a_day(prices)
    yield costs.ingress()


def main() -> None:
    """Simulate and print, or put into a document."""
    known = Prices()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["tables", "variations"], default="tables")
    parser.add_argument("--into", type=Path, metavar="FILE", help="a document whose tables are to be replaced")
    parser.add_argument("--sample", type=int, default=overload.SAMPLE, help="tasks that stand for all where some fail")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--writes", type=float, default=known.writes, help="dollars for 10,000 writes")
    parser.add_argument("--others", type=float, default=known.others, help="dollars for 10,000 other requests")
    parser.add_argument("--gb-month", type=float, default=known.gb_month, help="dollars for a GB kept for a month")
    asked = parser.parse_args()
    if asked.what == "variations" and asked.into is not None:
        parser.error("variations are only printed; no document has them.")
    if asked.what == "variations":
        found = overload.varied(asked.sample, asked.seed)
    else:
        prices = Prices(asked.writes, asked.others, asked.gb_month)
        found = tables(prices, sample=asked.sample, seed=asked.seed)
    if asked.into is None:
        for table in found:
            print(f"{table.title}:\n\n{table.markdown()}\n", flush=True)
        return
    text = asked.into.read_text(encoding="utf-8")
    for table in found:
        text = table.put_into(text)
    asked.into.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
