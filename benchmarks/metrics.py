"""What is measured, and how it is shown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.measuring import MIB, Cost
from benchmarks.services import Traffic

Sample: TypeAlias = Mapping[str, float]
"""The numbers of one run of a contender, by the names in `METRICS`."""


@dataclass(frozen=True)
class Metric:
    """One kind of number; less of each is better."""

    title: str
    digits: int
    highest: bool = False
    """Whether the highest of all rounds stands for them; otherwise that is the median, and their range is shown."""

    ranged: bool = True

    def of(self, values: Sequence[float]) -> float:
        """The number that stands for those of all rounds."""
        return max(values) if self.highest else statistics.median(values)

    def shown(self, values: Sequence[float]) -> str:
        """These for a table."""
        text = f"{self.of(values):,.{self.digits}f}"
        if self.ranged and len(values) > 1:
            text += f" ({min(values):,.{self.digits}f} to {max(values):,.{self.digits}f})"
        return text


METRICS: dict[str, Metric] = {
    "wall": Metric("wall s", 2),
    "cpu": Metric("CPU s", 2),
    "memory": Metric("peak MiB", 0, highest=True, ranged=False),
    "requests": Metric("requests", 0, ranged=False),
    "sent": Metric("MiB sent", 1, ranged=False),
    "delay": Metric("first instruction ms", 0),
    "program": Metric("program's wall s", 2),
    "program_cpu": Metric("program's CPU s", 2),
    "core": Metric("CPU, cores", 3),
    "appends": Metric("appends/s", 0, ranged=False),
    "each": Metric("µs of CPU an append", 0, ranged=False),
    "lag": Metric("longest lag s", 2),
    "rest": Metric("end after writer's s", 2),
}
"""All kinds, in the order of a table's columns."""


def sample_of(cost: Cost, traffic: Traffic | None = None) -> dict[str, float]:
    """What a process has cost, and what it has sent."""
    sample = {"wall": cost.wall, "cpu": cost.cpu, "memory": cost.memory / MIB}
    if traffic is not None:
        sample["requests"] = traffic.requests
        if traffic.sent is not None:
            sample["sent"] = traffic.sent / MIB
    return sample
