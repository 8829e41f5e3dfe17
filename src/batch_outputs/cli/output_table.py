"""The table of outputs that `list` shows, and `delete` before it does anything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from batch_outputs.cli.table import COLOURS, Cell, Column, Table, at_terminal, when_text
from batch_outputs.cli.talk import show
from batch_outputs.wording import size_text

if TYPE_CHECKING:
    from batch_outputs.output_state import OutputState
    from batch_outputs.outputs import OutputFileReference


def output_table(show: Callable[[str], None] = show) -> Table:
    """A table of outputs, a row each."""
    when, state = (Column("CHANGED", 10), 8) if at_terminal() else (Column("CHANGED", 20), 7)
    return Table(Column("SIZE", 9, right=True), when, Column("STATE", state), Column("NAME"), show=show)


def output_cells(output: OutputFileReference, state: OutputState, now: datetime) -> tuple[Cell | str, ...]:
    """The row of an output."""
    return size_text(output.size), when_text(output.last_modified, now), _state_cell(output, state), output.blob_name


def _state_cell(output: OutputFileReference, state: OutputState) -> Cell:
    part = output.part or 1
    if state == "continued" or (state == "complete" and part > 1):
        return Cell(f"part {part}")
    # Of a file there is nothing to say, and elsewhere than at a terminal nothing of a log that is as it should be.
    if state == "complete" and not (output.is_log and at_terminal()):
        return Cell("")
    return Cell(state, COLOURS[state])
