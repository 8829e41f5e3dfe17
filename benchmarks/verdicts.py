"""Limits, and whether what was measured keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from benchmarks.metrics import METRICS
from benchmarks.results import CaseResult

Word: TypeAlias = Literal["holds", "misses", "misses by less than the spread", "no limit", "not compared"]


@dataclass(frozen=True)
class Limit:
    """What our number may be: at most `factor` times that of others, plus `plus`; with no factor, at most `plus`.

    The others are the rows `against`, by default all peers; the best of them counts, that with the lowest number. They
    are shown as they are `called`, or by their names.
    """

    metric: str
    factor: float | None = None
    plus: float = 0.0
    against: tuple[str, ...] = ()
    called: str = ""
    ours: str | None = None
    """The row of ours that is meant, where it is not the first."""

    @property
    def shown(self) -> str:
        """The limit for a table."""
        number = f"{self.plus:,.{METRICS[self.metric].digits}f}"
        if self.factor is None:
            return f"≤ {number}"
        return f"≤ {self.factor:g} times {self.called or ' or '.join(self.against)}".rstrip() + (
            f" + {number}" if self.plus else ""
        )


@dataclass(frozen=True)
class Verdict:
    """A limit, or none, with what was measured."""

    metric: str
    row: str
    """Which one of ours."""

    ours: float
    best: str | None
    """The row that ours was compared with, and its number."""

    theirs: float | None
    ratio: float | None
    ratios: tuple[float, ...]
    """The ratio of each round."""

    limit: Limit | None
    word: Word


def verdicts(result: CaseResult, limits: Sequence[Limit]) -> list[Verdict]:
    """One for each limit, and for wall and CPU where there are peers though no limit."""
    metrics = {limit.metric for limit in limits}
    rest = [metric for metric in ("wall", "cpu") if metric not in metrics and result.peers_with(metric)]
    found = [_judged(result, limit.metric, limit) for limit in limits]
    found += [_judged(result, metric, None) for metric in rest]
    return [verdict for verdict in found if verdict is not None]


def _judged(result: CaseResult, metric: str, limit: Limit | None) -> Verdict | None:
    row = limit.ours if limit and limit.ours else result.ours
    ours = result.values(row, metric)
    if not ours:
        return None
    of = METRICS[metric].of
    best: str | None = None
    theirs: list[float] = []
    if limit is None or limit.factor is not None:
        against = limit.against if limit and limit.against else result.peers_with(metric)
        known = {row: values for row in against if (values := result.values(row, metric))}
        if not known:
            return Verdict(metric, row, of(ours), None, None, None, (), limit, "not compared")
        best = min(known, key=lambda row: of(known[row]))
        theirs = known[best]
    ratios = tuple(our / their for our, their in zip(ours, theirs, strict=False) if their)
    number = of(theirs) if theirs else None
    ratio = of(ours) / number if number else None
    return Verdict(metric, row, of(ours), best, number, ratio, ratios, limit, _word(metric, limit, ours, theirs))


def _word(metric: str, limit: Limit | None, ours: Sequence[float], theirs: Sequence[float]) -> Word:
    if limit is None:
        return "no limit"
    of = METRICS[metric].of
    factor = limit.factor or 0.0
    miss = of(ours) / (factor * (of(theirs) if theirs else 0.0) + limit.plus) - 1
    if miss <= 0:
        return "holds"
    others = theirs or [0.0] * len(ours)
    each = [our / (factor * their + limit.plus) for our, their in zip(ours, others, strict=False)]
    return "misses by less than the spread" if miss < max(each) - min(each) else "misses"
