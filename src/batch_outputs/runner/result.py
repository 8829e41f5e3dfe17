"""What came of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch_outputs.outputs import OutputFileReference
    from batch_outputs.runner.preemption import Notice


@dataclass(slots=True)
class RunResult:
    """What came of a run: the program's own exit code, what is stored, and what could not be.

    `exit_code` is 128 + n after death by signal n. Times are in seconds. `failures` holds one error for each thing that
    was to be stored and is not; `unmatched` one for each pattern that no file matched (of rules with `required` they
    are failures). `spool` is the folder in which the program's output was left, if not all of it is stored.
    """

    exit_code: int = 0
    seconds: float = 0.0
    """How long the program ran."""
    seconds_saving: float = 0.0
    """How long saving took when the program had ended."""
    logs: list[OutputFileReference] = field(default_factory=list)
    saved: list[OutputFileReference] = field(default_factory=list)
    checkpoints: list[OutputFileReference] = field(default_factory=list)
    """The checkpoints as they were saved last, each once."""
    restored: list[OutputFileReference] = field(default_factory=list)
    """What was brought back before the program started."""
    recovered: list[OutputFileReference] = field(default_factory=list)
    """Logs of earlier runs in the same folder that were finished meanwhile."""
    failures: list[Exception] = field(default_factory=list)
    unmatched: list[Exception] = field(default_factory=list)
    notice: Notice | None = None
    """What was announced of the node's end, if anything was."""
    spool: str | None = None
