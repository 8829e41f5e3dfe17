"""What the benchmarks say of a limit follows from the numbers."""

from __future__ import annotations

import pytest
from benchmarks.results import CaseResult
from benchmarks.verdicts import Limit, Verdict, verdicts


def result(**walls: list[float]) -> CaseResult:
    """Rounds with these wall times: of ours, of peers, and of a reference."""
    roles = {row: row if row in ("ours", "reference") else "peer" for row in walls}
    samples = {row: [{"wall": wall} for wall in found] for row, found in walls.items()}
    return CaseResult("work", "case", roles, samples)  # type: ignore[arg-type]


def judged(found: CaseResult, limit: Limit) -> Verdict:
    [verdict] = verdicts(found, [limit])
    return verdict


def test_the_peer_with_the_lowest_median_is_the_one_that_counts() -> None:
    """One lucky round does not make a peer the best one, and a reference is none."""
    found = result(ours=[3.0, 3.0, 3.0], lucky=[1.0, 9.0, 9.0], best=[2.0, 4.0, 6.0], reference=[0.1, 0.1, 0.1])
    verdict = judged(found, Limit("wall", 1.0))
    assert (verdict.best, verdict.theirs, verdict.ratio) == ("best", 4.0, 0.75)
    assert verdict.ratios == (1.5, 0.75, 0.5)
    assert verdict.word == "holds"


@pytest.mark.parametrize(
    ("ours", "word"),
    [
        ([8.0, 10.0, 12.0], "holds"),
        ([10.0, 10.5, 12.0], "misses by less than the spread"),
        ([13.0, 13.0, 13.1], "misses"),
        ([13.0], "misses"),
    ],
)
def test_a_miss_is_held_against_the_spread_of_its_rounds(ours: list[float], word: str) -> None:
    """At the limit it holds; what one round takes more than another excuses a miss that is smaller."""
    assert judged(result(ours=ours, peer=[10.0] * len(ours)), Limit("wall", 1.0)).word == word


def test_a_limit_can_be_against_one_row_or_none() -> None:
    """A named row counts with what is added, a plain number by itself; without the row there is no verdict."""
    found = result(ours=[0.12], peer=[0.01], reference=[0.02])
    assert judged(found, Limit("wall", 3.0, plus=0.06, against=("reference",))).word == "holds"
    assert judged(found, Limit("wall", 3.0, plus=0.05, against=("reference",))).word == "misses"
    assert [verdict.word for verdict in verdicts(found, [Limit("wall", plus=0.12)])] == ["holds"]
    assert judged(found, Limit("wall", 1.0, against=("AzCopy",))).word == "not compared"


def test_each_of_ours_is_held_against_its_like() -> None:
    """A limit that names a row of ours judges that one, and is silent where it failed."""
    found = result(ours=[3.0], careful=[4.0], quick=[2.0])
    found.roles["ours, quick"] = "ours"
    found.samples["ours, quick"] = [{"wall": 1.0}]
    limits = [
        Limit("wall", 1.0, against=("careful",), ours="ours"),
        Limit("wall", 1.0, against=("quick",), ours="ours, quick"),
    ]
    judged = [(verdict.row, verdict.ratio, verdict.word) for verdict in verdicts(found, limits)]
    assert judged == [("ours", 0.75, "holds"), ("ours, quick", 0.5, "holds")]
    found.failures["ours, quick"] = "wrong bytes"
    assert [verdict.row for verdict in verdicts(found, limits)] == ["ours"]


def test_a_peer_that_failed_is_compared_with_nothing() -> None:
    """A fast wrong answer is no answer."""
    found = result(ours=[3.0], fast=[1.0], slow=[4.0])
    found.failures["fast"] = "wrong bytes"
    assert judged(found, Limit("wall", 1.0)).best == "slow"
