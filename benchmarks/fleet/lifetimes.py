"""How many appends a log takes over the life of a task."""

from __future__ import annotations

from benchmarks.fleet.cadence import rounds
from benchmarks.fleet.tables import Table, percent, rounded, seconds

from batch_outputs.log_part import MAX_APPEND, MAX_BLOCKS

HOUR = 3600.0
DAY = 24 * HOUR
AGES = {"1 hour": HOUR, "1 day": DAY, "7 days": 7 * DAY, "30 days": 30 * DAY, "180 days": 180 * DAY}
INTERVALS = (1.0, 5.0, 15.0, 60.0, 300.0)
SLOW = 10.0
RATES = {"10 KiB/s": 10, "100 KiB/s": 100, "1 MiB/s": 1024, "10 MiB/s": 10 * 1024}


def by_age() -> Table:
    """Appends of a log that grows all the time, but slowly."""
    table = Table("Appends of one log", ["`flush_interval`", *AGES, "of one blob's"])
    for interval in INTERVALS:
        ages = [age for age, _ in rounds(interval, SLOW, max(AGES.values()))]
        counts = [sum(age <= until for age in ages) for until in AGES.values()]
        table.add(f"{interval:g} s", *map(rounded, counts), percent(counts[-1] / MAX_BLOCKS))
    return table


def by_rate() -> Table:
    """Appends of a log that grows fast, in its first day at 15 s."""
    table = Table(
        "A fast log in its first day, at 15 s",
        ["it grows by", "stored", "seconds between rounds", "appends", "blobs"],
    )
    for name, kib in RATES.items():
        found = list(rounds(15.0, kib * 1024.0, DAY))
        appends = sum(-(-size // MAX_APPEND) for _, size in found)
        stored = sum(size for _, size in found)
        table.add(
            name,
            f"{rounded(stored / 1024**3)} GiB",
            seconds(DAY / len(found)),
            rounded(appends),
            str(-(-appends // MAX_BLOCKS)),
        )
    return table
