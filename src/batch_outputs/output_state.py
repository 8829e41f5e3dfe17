"""How far an output has come: complete, still growing, broken off, or going on in another part."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from batch_outputs.marks import LogMarks

if TYPE_CHECKING:
    from batch_outputs.outputs import OutputFileReference

OutputState: TypeAlias = Literal["complete", "growing", "continued", "partial"]
"""The state of an output.

`complete`: a file, a log whose tracked save has ended well, or a finished later part of a log. `growing`: a log without
its end that changed within the last ten minutes. `continued`: the finished first part of a log whose end is not marked;
it goes on in the next part. `partial`: a log without its end that has not changed for longer: nobody writes it any
more, or its program is silent.
"""

GROWS_WITHIN = timedelta(minutes=10)
"""A log without its end that changed no longer ago counts as growing.

Flushes come at least every minute in the first days of a log that is written to; clocks differ by less than the rest.
"""


def state_of(output: OutputFileReference, now: datetime) -> OutputState:
    """The state of an output that has been looked at, by a listing or `refresh`."""
    if output.complete:
        return "complete"
    if is_recent(output.last_modified, now):
        return "growing"
    marks = LogMarks.from_metadata(output.metadata or {})
    return "continued" if marks.length is not None and marks.length == output.size else "partial"


def is_recent(last_modified: datetime | None, now: datetime) -> bool:
    """Whether what was changed then, and has no end yet, is likely to grow still."""
    return last_modified is not None and now - last_modified < GROWS_WITHIN
