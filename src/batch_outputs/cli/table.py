"""Lines for people: columns one below the other, and colours and headings at a terminal only."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import click

from batch_outputs.cli.talk import show
from batch_outputs.wording import age_text, is_printable, printable, time_text

_GAP = "  "
COLOURS: dict[str, str | None] = {"complete": "green", "growing": "cyan", "partial": "yellow", "continued": None}
"""Of the states of an output."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Text of a column, perhaps in a colour. It may be anything; what could steer a terminal is shown escaped."""

    text: str
    colour: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, the width that its texts are filled up to, and at which side they stand."""

    heading: str
    width: int = 0
    right: bool = False

    def fill(self, text: str) -> str:
        """A text as wide as the column at least."""
        return text.rjust(self.width) if self.right else text.ljust(self.width)


class Table:
    """Shows rows as they come, so that a long list begins at once; `headed` with its headings everywhere."""

    def __init__(self, *columns: Column, headed: bool = False, show: Callable[[str], None] = show) -> None:
        self._show = show
        self._columns = columns
        self._colours = at_terminal() and wants_colours()
        self._heading_is_due = headed or at_terminal()

    def row(self, *cells: Cell | str) -> None:
        """Show one row; the heading goes before the first."""
        if self._heading_is_due:
            self._heading_is_due = False
            heading = self._line([column.heading for column in self._columns])
            self._show(click.style(heading, bold=True) if self._colours else heading)
        self._show(self._line(cells))

    def _line(self, cells: Sequence[Cell | str]) -> str:
        texts = [cell if isinstance(cell, str) else cell.text for cell in cells]
        if not is_printable("".join(texts)):
            texts = [printable(text) for text in texts]
        filled = [column.fill(text) for column, text in zip(self._columns, texts, strict=True)]
        if self._colours:
            for number, (cell, text) in enumerate(zip(cells, texts, strict=True)):
                if text and isinstance(cell, Cell) and cell.colour is not None:
                    filled[number] = filled[number].replace(text, click.style(text, fg=cell.colour), 1)
        return _GAP.join(filled).rstrip(" ")


def width_of(heading: str, texts: Iterable[str], *, at_most: int) -> int:
    """The width of a column for these texts; longer ones than `at_most` stick out."""
    return max([len(heading), *(min(len(printable(text)), at_most) for text in texts)])


def at_terminal() -> bool:
    """Whether a person reads our data as it comes."""
    return sys.stdout is not None and sys.stdout.isatty()


def wants_colours() -> bool:
    """Whether colours are welcome at the terminal (NO_COLOR, see no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def changed_column() -> Column:
    """The column of what `when_text` gives."""
    return Column("CHANGED", 10 if at_terminal() else 20)


def when_text(moment: datetime | None, now: datetime) -> str:
    """When something changed: at a terminal how long ago, elsewhere the time in UTC."""
    return age_text(moment, now) if at_terminal() else time_text(moment)
