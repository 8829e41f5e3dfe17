"""Tables as Markdown, and putting them into a document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Table:
    """A title, the head, and rows of text."""

    title: str
    head: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """Add a row."""
        self.rows.append(cells)

    def markdown(self) -> str:
        """The table without its title; all columns but the first to the right."""
        lines = [self.head, ["---", *["--:"] * (len(self.head) - 1)], *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def put_into(self, document: str) -> str:
        """The document with this table in the place of the one that has the same head, whose last line ends.

        Raises:
            ValueError: it has none.
        """
        text = self.markdown()
        old = re.compile(rf"^{re.escape(text.partition(chr(10))[0])}\n(?:\|.*\n)*", re.MULTILINE)
        changed, found = old.subn(lambda _: f"{text}\n", document)
        if found != 1:
            raise ValueError(f"the document has {found} tables with the head of: {self.title}")
        return changed


def rounded(number: float) -> str:
    """A number to two digits, as its chance allows; larger than a hundred with commas."""
    if number == 0:
        return "0"
    if number < 9.5:
        return f"{number:.1f}" if number >= 0.95 else f"{number:.2g}"
    digits = len(str(int(number)))
    step = 10 ** (digits - 2)
    return f"{int(number / step + 0.5) * step:,}"


def percent(share: float) -> str:
    """A share of one as a whole percentage."""
    return f"{share * 100:.0f} %"


def seconds(number: float) -> str:
    """A time in seconds, or minutes from two of them on."""
    return f"{number / 60:.0f} min" if number >= 119.5 else f"{rounded(number)} s"
