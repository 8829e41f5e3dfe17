"""What a program loses of its own time when it runs under `batch-outputs run`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.cases import Case, Row, Stage
from benchmarks.contenders.base import PROGRAMS
from benchmarks.contenders.ours import our_command
from benchmarks.errors import BenchmarkError
from benchmarks.measuring import MIB, Command, measured
from benchmarks.metrics import Sample
from benchmarks.programs.busy import compute
from benchmarks.verdicts import Limit
from benchmarks.works.starting import BARE_PROGRAM

_WRITES = 16
"""How often the program writes for each MiB."""


class SlowDown(Case):
    """A program that computes, and writes 100 MiB over 20 s: its own wall time and CPU, from its first instruction.

    Alone it writes to a file, under `run` to the sink as well.
    """

    def __init__(self, limits: Sequence[Limit] = ()) -> None:
        super().__init__("run", limits, service="sink")

    @contextmanager
    def rows(self, stage: Stage) -> Iterator[Sequence[Row]]:
        """Both."""
        mib, seconds = (8, 1.0) if stage.quick else (100, 20.0)
        amount = _calibrated(mib, seconds)
        yield [
            Row("under batch-outputs run", "ours", partial(_compute, stage, mib, amount, True)),
            Row(BARE_PROGRAM, "reference", partial(_compute, stage, mib, amount, False)),
        ]


def _calibrated(mib: int, seconds: float) -> int:
    """How much the program is to compute before each write, so that all of it takes about this long.

    It is the same in all rounds, so that a slower machine shows.
    """
    amount, times = 20_000, 20
    began = time.process_time()
    for _ in range(times):
        compute(amount)
    each = (time.process_time() - began) / times / amount
    return max(1, int(seconds / (mib * _WRITES) / each))


def _compute(stage: Stage, mib: int, amount: int, wrapped: bool, _check: bool) -> Sample:
    sink = stage.services.sink
    container = sink.fresh(check=False)
    with stage.scratch() as folder:
        output = folder / "output"
        words = [sys.executable, str(PROGRAMS / "busy.py"), str(mib * _WRITES), str(amount), "numbers"]
        command = Command(words, folder=folder, output=output)
        if wrapped:
            command = our_command("run", "--", *words, container=container, folder=folder, output=output)
        cost = measured(command)
        stored = sink.sink.counts().stored
        if output.stat().st_size != mib * MIB or (wrapped and stored != mib * MIB):
            raise BenchmarkError(f"of {mib} MiB {output.stat().st_size:,} bytes came through and {stored:,} are stored")
        wall, cpu = Path(folder, "numbers").read_text().split()
    return {"program": float(wall), "program_cpu": float(cpu), "cpu": cost.cpu}
