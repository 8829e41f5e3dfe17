"""The rounds of a case: all its rows in turn, in another order each time."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from benchmarks.cases import Case, Row, Stage
from benchmarks.errors import BenchmarkError
from benchmarks.results import CaseResult


def run_case(work: str, case: Case, stage: Stage, rounds: int) -> CaseResult:
    """Run each row once to warm up, with all bytes compared, and then in so many rounds that count.

    A row that fails is left out of what follows; its sentence is kept, and said at once.
    """
    with case.rows(stage) as rows:
        result = CaseResult(work, case.name, {row.name: row.role for row in rows}, load=os.getloadavg()[0])
        for number in range(rounds + 1):
            _say(f"{result.title}: {f'round {number} of {rounds}' if number else 'warming up and comparing bytes'}")
            for row in _in_turn(rows, number):
                if row.name in result.failures:
                    continue
                try:
                    sample = row.run(number == 0)
                except BenchmarkError as error:
                    result.failures[row.name] = str(error)
                    _say(f"FAILED: {result.title}: {row.name}: {error}")
                else:
                    if number:
                        result.samples.setdefault(row.name, []).append(sample)
    return result


def _in_turn(rows: Sequence[Row], number: int) -> list[Row]:
    """Another first one in each round, and every other round backwards: nobody always comes behind the same one."""
    start = number % len(rows)
    turned = [*rows[start:], *rows[:start]]
    return turned[::-1] if number % 2 else turned


def _say(sentence: str) -> None:
    print(f"benchmarks: {sentence}", file=sys.stderr, flush=True)  # noqa: T201
