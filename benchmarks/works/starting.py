"""What it takes until something happens: the start of the command, and of a program that it wraps."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.cases import Case, Row, Stage
from benchmarks.contenders.ours import our_command, our_program
from benchmarks.measuring import Command, measured
from benchmarks.metrics import Sample
from benchmarks.verdicts import Limit

BARE_PYTHON = "python -c pass"
BARE_PROGRAM = "the program alone"
_EACH = 10
_EACH_QUICK = 2
_TELLS_WHEN = "import sys, time; open(sys.argv[1], 'w').write(repr(time.monotonic()))"


class Help(Case):
    """`batch-outputs --help` beside a Python that does nothing."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        super().__init__("--help", limits)

    @contextmanager
    def rows(self, stage: Stage) -> Iterator[Sequence[Row]]:
        """Both, each several times in a round."""
        times = _EACH_QUICK if stage.quick else _EACH
        yield [
            Row("batch-outputs --help", "ours", partial(_start, [our_program(), "--help"], times)),
            Row(BARE_PYTHON, "reference", partial(_start, [sys.executable, "-c", "pass"], times)),
        ]


def _start(words: Sequence[str], times: int, _check: bool) -> Sample:
    costs = [measured(Command(words)) for _ in range(times)]
    return {
        "wall": statistics.median(cost.wall for cost in costs),
        "cpu": statistics.median(cost.cpu for cost in costs),
    }


class FirstInstruction(Case):
    """When a program under `batch-outputs run` begins, and when it does so alone; its logs go to the sink."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        super().__init__("run", limits, service="sink")

    @contextmanager
    def rows(self, stage: Stage) -> Iterator[Sequence[Row]]:
        """Both, each several times in a round."""
        yield [
            Row("under batch-outputs run", "ours", partial(_begin, stage, True)),
            Row(BARE_PROGRAM, "reference", partial(_begin, stage, False)),
        ]


def _begin(stage: Stage, wrapped: bool, _check: bool) -> Sample:
    delays, walls = [], []
    for _ in range(_EACH_QUICK if stage.quick else _EACH):
        container = stage.services.sink.fresh(check=False)
        with stage.scratch() as folder:
            words = [sys.executable, "-c", _TELLS_WHEN, "when"]
            command = Command(words, folder=folder)
            if wrapped:
                command = our_command("run", "--", *words, container=container, folder=folder)
            cost = measured(command)
            delays.append((float(Path(folder, "when").read_text()) - cost.began) * 1000)
            walls.append(cost.wall)
    return {"delay": statistics.median(delays), "wall": statistics.median(walls)}
