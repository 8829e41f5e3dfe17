"""What came of the rounds of a case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from benchmarks.metrics import METRICS, Sample

Role: TypeAlias = Literal["ours", "peer", "reference"]
"""A reference is compared with where a limit names it; peers are where it names none."""


@dataclass
class CaseResult:
    """The samples of each row, round by round, and the rows that failed with why."""

    work: str
    case: str
    roles: dict[str, Role]
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    load: float = 0.0
    """The machine's load average before the first round: of what else it does."""

    @property
    def ours(self) -> str:
        """The row that is judged where a limit names no other."""
        return next(row for row, role in self.roles.items() if role == "ours")

    @property
    def title(self) -> str:
        """What it is called."""
        return f"{self.work}, {self.case}"

    def values(self, row: str, metric: str) -> list[float]:
        """The numbers of all rounds; none for a row that failed, or has no such numbers."""
        if row in self.failures:
            return []
        return [sample[metric] for sample in self.samples.get(row, []) if metric in sample]

    def peers_with(self, metric: str) -> tuple[str, ...]:
        """The peers that have such numbers."""
        return tuple(row for row, role in self.roles.items() if role == "peer" and self.values(row, metric))

    @property
    def metrics(self) -> list[str]:
        """What was measured of any row."""
        return [metric for metric in METRICS if any(self.values(row, metric) for row in self.roles)]
