"""Starting the program of a run, as early as possible: nothing heavy is loaded for it."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field

from batch_outputs.errors import TargetError
from batch_outputs.files import open_shared
from batch_outputs.runner.defaults import STREAMS
from batch_outputs.runner.echo import Echo
from batch_outputs.runner.plan import RunPlan
from batch_outputs.runner.program import Program
from batch_outputs.runner.record import RunRecord
from batch_outputs.runner.spool import Spool

_OUR_DESCRIPTORS = dict(zip(STREAMS, (1, 2), strict=True))


@dataclass(slots=True)
class Run:
    """A program that was started, and what belongs to it."""

    plan: RunPlan
    program: Program
    spool: Spool
    record: RunRecord
    began: float
    """When the program was started, by `time.monotonic`."""
    opened: dict[str, int]
    """A descriptor of each stream's file for reading: from before the start, whatever the program does to its name."""
    echoes: list[Echo] = field(default_factory=list)

    def pass_on_output(self) -> None:
        """Begin to write to our own stdout and stderr what the program writes."""
        self.echoes += [Echo(self.opened[stream], _OUR_DESCRIPTORS[stream]) for stream in self.plan.logs]

    def note_end(self, exit_code: int, *, by_itself: bool) -> None:
        """Write down that the program has ended."""
        self.record = self.record.of_end(exit_code, by_itself=by_itself)
        with contextlib.suppress(TargetError):  # a full disk, for example: the logs are what counts
            self.record.write(self.spool)

    def close(self) -> None:
        """Let go of the streams' files."""
        while self.opened:
            os.close(self.opened.popitem()[1])


def launch(plan: RunPlan, program: Program) -> Run:
    """Start the program, writing to files of its own.

    Raises:
        CannotStartError: there is no such program, or it is not executable.
        TargetError: there is no room for its output.
    """
    spool = Spool.create(plan.folder)
    record = RunRecord.of(plan)
    opened: dict[str, int] = {}
    try:
        record.write(spool)
        files = {stream: spool.open(stream) for stream in plan.logs}
        try:
            opened |= {stream: open_shared(spool.path(stream)) for stream in plan.logs}
            began = time.monotonic()
            program.start(plan.command, *(files.get(stream) for stream in STREAMS))
        finally:
            for descriptor in files.values():
                os.close(descriptor)
    except BaseException:
        for descriptor in opened.values():
            os.close(descriptor)
        spool.remove()
        raise
    record = record.of_process(program.pid)
    with contextlib.suppress(TargetError):  # the program runs: whoever finishes it looks for who has the files open
        record.write(spool)
    return Run(plan, program, spool, record, began, opened)
