"""Text as a table: comma-separated values and their relatives, as much of them as a page can hold."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from itertools import islice

MOST_ROWS = 1000
MOST_COLUMNS = 100
LONGEST_CELL = 500
"""Characters."""
_DELIMITERS = (",", "\t", ";", "|")
_SAMPLE = 20
"""Lines that are looked at to find what separates."""
_QUOTED = re.compile(r'"(?:[^"\n]|"")*"')
_NUMBER = re.compile(r"[-+]?(?:\d[\d,_ ]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?%?|nan|[-+]?inf", re.IGNORECASE)


class NotATableError(ValueError):
    """What cannot be read as a table; the text says why."""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text, all rows as long as the header; `numbers` says which columns hold numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[bool, ...]
    more_rows: bool
    more_columns: bool
    cut_cells: bool


def parse_table(text: str, delimiter: str, *, is_whole: bool) -> Table:
    """The first rows of a table; the first of all is its header.

    `is_whole` is False if the text ends in the middle of the table; the last row may then be half and is left out.

    Raises:
        NotATableError: a quote is never closed, or there is nothing.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        rows = list(islice((row for row in reader if row), MOST_ROWS + 2))
    except csv.Error as error:
        raise NotATableError(f"line {reader.line_num}: {error}") from error
    if not is_whole and len(rows) < MOST_ROWS + 2:
        del rows[-1:]
    if not rows:
        raise NotATableError("there is no row in it")
    widest = max(len(row) for row in rows[: MOST_ROWS + 1])
    width = min(widest, MOST_COLUMNS)
    shown = [(*(cell[:LONGEST_CELL] for cell in row[:width]), *[""] * (width - len(row))) for row in rows]
    header, body = shown[0], shown[1 : MOST_ROWS + 1]
    return Table(
        header,
        tuple(body),
        tuple(_are_numbers([row[column] for row in body]) for column in range(width)),
        more_rows=len(rows) > MOST_ROWS + 1 or not is_whole,
        more_columns=widest > width,
        cut_cells=any(len(cell) > LONGEST_CELL for row in rows for cell in row[:width]),
    )


def delimiter_of(text: str, name: str) -> str:
    """What separates the cells: what stands in the first lines most evenly. A comma if nothing does.

    In a file that is called `.tsv` or `.tab` it is a tab.
    """
    if name.lower().endswith((".tsv", ".tab")):
        return "\t"
    lines = [line for line in _QUOTED.sub("", text[: 64 * 1024]).split("\n")[:_SAMPLE] if line.strip()]

    def evenness(delimiter: str) -> tuple[float, int]:
        counts = [line.count(delimiter) for line in lines]
        usual = max(set(counts), key=lambda count: (counts.count(count), count), default=0)
        return (counts.count(usual) / len(counts), usual) if usual else (0.0, 0)

    return max(_DELIMITERS, key=evenness)


def _are_numbers(cells: list[str]) -> bool:
    said = [cell for cell in cells if cell.strip()]
    return bool(said) and all(len(cell) < 40 and _NUMBER.fullmatch(cell.strip()) for cell in said)
