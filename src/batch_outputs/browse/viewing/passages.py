"""Which part of a text is shown, by what the address asks for, and which addresses lead to the rest of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from batch_outputs.browse.viewing.lines import Lines, lines_of
from batch_outputs.browse.viewing.windows import Window, Windows, parse_place

Query: TypeAlias = dict[str, str | int | None]
"""What in the address of a file's page says which part of it to show."""

BEGINNING: Query = {"offset": 0, "line": 1}


@dataclass(frozen=True, slots=True)
class Passage:
    """What is shown of a text of `size` bytes: one piece, or its beginning and its end.

    `earlier` and `later` lead to what comes before and behind; between two pieces `later` goes on behind the first, and
    `earlier` before the second.
    """

    pieces: tuple[Lines, ...]
    size: int
    earlier: Query | None = None
    later: Query | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of the text is shown."""
        return not self.earlier and not self.later

    @property
    def width(self) -> int:
        """Characters of the longest label of a line."""
        return max(piece.width for piece in self.pieces)

    @property
    def left_out(self) -> int:
        """Bytes between the two pieces."""
        return self.pieces[-1].window.start - self.pieces[0].window.end if len(self.pieces) > 1 else 0

    @property
    def has_end(self) -> bool:
        """Whether the end of the text is shown."""
        return self.pieces[-1].window.end >= self.size

    @property
    def knows_lines(self) -> bool:
        """Whether all lines have their numbers."""
        return all(piece.window.line is not None for piece in self.pieces)

    @property
    def words(self) -> str:
        """Which bytes are shown."""
        pieces = [self.pieces[:1], self.pieces[-1:]] if self.left_out else [self.pieces]
        spans = [f"{some[0].window.start:,} to {some[-1].window.end:,}" for some in pieces]
        return f"Bytes {' and '.join(spans)} of {self.size:,}"

    @property
    def next_line(self) -> int | None:
        """The number of the line that begins at `follow_from`, where it is known."""
        return self.pieces[-1].line_at_end

    @property
    def follow_from(self) -> int:
        """The offset of what comes next, with a last line that is not ended yet."""
        return self.pieces[-1].begun_line if self.pieces[-1].ends_in_line else self.pieces[-1].window.end


async def passage(windows: Windows, asked: Mapping[str, str], *, grows: bool) -> Passage:
    """What an address asks for; by default all, or the beginning and the end, or the end of what still grows."""
    line = _number(asked.get("line"))
    if (offset := _number(asked.get("offset"))) is not None:
        return _one(windows, await windows.at(offset, line))
    if (offset := _number(asked.get("near"))) is not None:
        return _one(windows, await windows.around(offset, line))
    if (end := _number(asked.get("before"))) is not None:
        return _one(windows, await windows.before(end, line))
    if (offset := parse_place(asked.get("go", ""), windows.size)) is not None:
        return _one(windows, await windows.at(offset))
    if grows:
        return _one(windows, await windows.before(windows.size))
    first = await windows.at(0)
    if first.end >= windows.size:
        return _one(windows, first)
    last = await windows.before(windows.size)
    if last.start <= first.end:
        last = await windows.at(first.end, first.line_at_end(windows.encoding))
        return Passage((lines_of(first, windows.encoding), lines_of(last, windows.encoding)), windows.size)
    return Passage(
        (lines_of(first, windows.encoding), lines_of(last, windows.encoding)),
        windows.size,
        earlier=_earlier(last),
        later=_later(windows, first),
    )


def _one(windows: Windows, window: Window) -> Passage:
    return Passage(
        (lines_of(window, windows.encoding),),
        windows.size,
        earlier=_earlier(window) if window.start > 0 else None,
        later=_later(windows, window) if window.end < windows.size else None,
    )


def _earlier(window: Window) -> Query:
    return {"before": window.start, "line": window.line}


def _later(windows: Windows, window: Window) -> Query:
    return {"offset": window.end, "line": window.line_at_end(windows.encoding)}


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 else None
