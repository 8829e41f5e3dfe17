"""The lines of a window of text, as a page shows them: each with its number and a name to link to."""

from __future__ import annotations

from dataclasses import dataclass

from batch_outputs.browse.viewing.encodings import UTF_8, Encoding
from batch_outputs.browse.viewing.windows import Window
from batch_outputs.terminal_text import TerminalFilter

_BLOCK = 200
"""Lines that a browser lays out together, once they come into sight."""
_CUT = "…"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; `label` is its number, or the offset of its first byte where the number is not known."""

    anchor: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a window."""

    window: Window
    blocks: tuple[tuple[Line, ...], ...]
    width: int
    """Characters of the longest label."""
    line_at_end: int | None
    """The number of the line that begins behind the last, where it is known."""
    ends_in_line: bool
    """Whether the last line has no end in the window."""
    begun_line: int
    """The offset at which the last line begins."""


def lines_of(window: Window, encoding: Encoding) -> Lines:
    """The lines of a window, harmless: control codes are gone."""
    starts = encoding.line_starts(window.data)
    texts = harmless(encoding.decode(window.data, first=window.start == 0)).split("\n")
    ends_in_line = bool(texts[-1]) or starts[-1] < len(window.data)
    if not ends_in_line:
        del texts[-1]
    found = []
    for index, text in enumerate(texts):
        offset = window.start + starts[index]
        if window.line is None:
            anchor, label = f"B{offset}", f"{offset:,}"
        else:
            anchor, label = f"L{window.line + index}", str(window.line + index)
        if index == 0 and not window.begins_line:
            label = _CUT
        found.append(Line(anchor, label, text.removesuffix("\r").replace("\r", "\n")))
    return Lines(
        window,
        tuple(tuple(found[i : i + _BLOCK]) for i in range(0, len(found), _BLOCK)),
        max((len(line.label) for line in found), default=1),
        window.line_at_end(encoding),
        ends_in_line,
        window.start + starts[len(texts) - 1],
    )


def harmless(text: str) -> str:
    """Text without control codes; the number of its lines stays."""
    return TerminalFilter(colours=False).feed(text.encode(UTF_8.codec, "replace"), last=True)
