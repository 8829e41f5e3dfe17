"""The tables of a Markdown page, row by row, for tests that hold each row against the code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CODE = re.compile(r"`([^`]+)`")
_RULE = re.compile(r"\|(?:---\|)+")
_HEADING = re.compile(r"#+ (.+)")


@dataclass(frozen=True)
class Row:
    """A row below a heading; `cells` has the text of each column by its title."""

    heading: str
    line: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def code(self, column: str) -> str:
        """What a cell says that has one piece of code and nothing else."""
        found = CODE.fullmatch(self[column])
        assert found, f"line {self.line}: {column} is {self[column]!r}, and should be one piece of code"
        return found[1]

    def codes(self, column: str) -> list[str]:
        """All pieces of code in a cell."""
        return CODE.findall(self[column])

    def one_of(self, column: str, *words: str) -> str:
        """The text of a cell, which is one of these."""
        assert self[column] in words, f"line {self.line}: {column} is {self[column]!r}, and should be one of {words}"
        return self[column]


@dataclass(frozen=True)
class Table:
    """A table below a heading."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def tables_of(page: Path) -> list[Table]:
    """All tables of a page outside its fenced blocks; a line that looks like a row and is none is an error."""
    found: list[Table] = []
    heading = ""
    columns: tuple[str, ...] = ()
    rows: list[Row] = []
    fenced = ruled = False
    for number, line in enumerate([*page.read_text(encoding="utf-8").splitlines(), ""], 1):
        fenced ^= line.startswith("```")
        if fenced or not line.startswith("|"):
            if columns:
                assert rows, f"the table that ends before line {number} has no rows"
                found.append(Table(heading, columns, tuple(rows)))
            columns, rows, ruled = (), [], False
            if not fenced and (title := _HEADING.fullmatch(line)):
                heading = title[1]
            continue
        cells = tuple(cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|"))
        if not columns:
            columns = cells
        elif not ruled:
            assert _RULE.fullmatch(line), f"line {number} should divide the titles of a table from its rows"
            ruled = True
        else:
            rows.append(Row(heading, number, dict(zip(columns, cells, strict=True))))
    return found
