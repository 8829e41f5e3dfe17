"""The table of outputs that `list` shows, and `delete` before it does anything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from batch_outputs.cli.table import COLOURS, Cell, Column, Table, at_terminal, changed_column, when_text
from batch_outputs.cli.talk import show
from batch_outputs.wording import size_text

if TYPE_CHECKING:
    from batch_outputs.output_state import OutputState
    from batch_outputs.outputs import OutputFileReference


class OutputTable:
    """Shows outputs as they come, a row each."""

    def __init__(self, show: Callable[[str], None] = show) -> None:
        self._at_terminal = at_terminal()
        state = Column("STATE", 8 if self._at_terminal else 7)
        self._table = Table(Column("SIZE", 9, right=True), changed_column(), state, Column("NAME"), show=show)

    def row(self, output: OutputFileReference, state: OutputState, now: datetime) -> None:
        """Show one that has been looked at."""
        changed = when_text(output.last_modified, now)
        self._table.row(size_text(output.size), changed, self._state_cell(output, state), output.blob_name)

    def _state_cell(self, output: OutputFileReference, state: OutputState) -> Cell | str:
        if not output.is_log:
            return ""  # of a file there is nothing to say
        part = output.part or 1
        if state == "continued" or (state == "complete" and part > 1):
            return f"part {part}"
        if state == "complete" and not self._at_terminal:
            return ""  # nor, elsewhere than at a terminal, of a log that is as it should be
        return Cell(state, COLOURS[state])
