"""Parts of a text that are small enough to show, however large the text is: whole lines, wherever they can be."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from batch_outputs.browse.viewing.encodings import LONGEST_CHARACTER, Encoding

Read: TypeAlias = Callable[[int, int], Awaitable[bytes]]
"""Gives the bytes of a file from an offset on, so many; fewer only at its end."""

WINDOW = 1024 * 1024
"""Bytes of a window at most."""
MOST_LINES = 50_000
"""Lines of a window at most; a browser is slow with more."""
_BACK = 64 * 1024
"""Bytes that are looked at to find the beginning of a line."""
_PLACE = re.compile(r"\s*([0-9][0-9,_ ]*(?:\.[0-9]+)?|\.[0-9]+)\s*(%|B|[kMGT]i?B?)?\s*", re.IGNORECASE)
_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True)
class Window:
    """Some bytes of a text from `start` on; `line` is the number of the line that begins there, or is cut there."""

    start: int
    data: bytes
    line: int | None
    begins_line: bool
    """False where a line is cut that is longer than half a window."""

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.start + len(self.data)

    def line_at_end(self, encoding: Encoding) -> int | None:
        """The number of the line that begins, or is cut, at the end."""
        return None if self.line is None else self.line + encoding.count_lines(self.data)


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of one text of `size` bytes."""

    read: Read
    size: int
    encoding: Encoding
    longest: int = WINDOW
    most_lines: int = MOST_LINES

    async def at(self, offset: int, line: int | None = None) -> Window:
        """The window that begins with the line which has the byte at `offset`, if it is not too long a line.

        From 0 on, each window's `end` gives the next, until all of the text has been shown. `line` is the number of the
        line at `offset`, where it is known. At the end of the text or behind it: the last window.
        """
        if offset >= self.size:
            return await self.before(self.size)
        start, begins_line = await self._line_start(offset)
        data = await self.read(start, min(self.longest, self.size - start))
        data = data[: self._shown(data, is_last=start + len(data) >= self.size)]
        return Window(start, data, 1 if start == 0 else line, begins_line)

    async def before(self, end: int, line: int | None = None) -> Window:
        """The window that ends before the byte at `end`; `line` is the number of the line that begins there.

        From the size on, each window's `start` gives the one before it, until the text's beginning has been shown.
        """
        unit = self.encoding.unit
        end = min(end, self.size)
        end -= end % unit if end < self.size else 0
        start = max(0, end - self.longest)
        start += start % unit
        if start == 0:
            data, begins_line = await self.read(0, end), True
        else:
            data = await self.read(start - unit, end - start + unit)  # with what may be the end of the line before
            skipped = self.encoding.nth_line(data, 1)
            begins_line = 0 < skipped < len(data) // 2
            if not begins_line:
                skipped = unit + self.encoding.broken_beginning(data[unit:])
            start, data = start - unit + skipped, data[skipped:]
        number = self.encoding.count_lines(data)
        if number > self.most_lines:
            cut = self.encoding.nth_line(data, number - self.most_lines)
            start, data, begins_line, number = start + cut, data[cut:], True, self.most_lines
        return Window(start, data, 1 if start == 0 else line and max(1, line - number), begins_line)

    async def around(self, offset: int, line: int | None = None) -> Window:
        """As `at`, with something of what comes before it."""
        here = await self.at(offset, line)
        few = replace(self, longest=self.longest // 8, most_lines=self.most_lines // 8)
        above = await few.before(here.start, here.line)
        return Window(above.start, above.data + here.data, above.line, above.begins_line)

    async def _line_start(self, offset: int) -> tuple[int, bool]:
        """Where the line of the byte at `offset` begins; or the character, in a line that began far before."""
        encoding = self.encoding
        offset -= offset % encoding.unit
        first = max(0, offset - max(LONGEST_CHARACTER, min(_BACK, self.longest // 4)))
        first -= first % encoding.unit
        data = await self.read(first, offset - first + LONGEST_CHARACTER)
        position = offset - first
        found = encoding.last_line(data[:position])
        if found is not None or first == 0:
            return first + (found or 0), True
        return offset - encoding.begun_before(data, position), False

    def _shown(self, data: bytes, *, is_last: bool) -> int:
        """How many bytes are whole lines, and not too many; of a line that is too long, whole characters."""
        encoding = self.encoding
        if encoding.count_lines(data) > self.most_lines:
            return encoding.nth_line(data, self.most_lines)
        if is_last:
            return len(data)
        found = encoding.last_line(data) or 0
        return found if found > len(data) // 2 else len(data) - encoding.broken_end(data)


def parse_place(text: str, size: int) -> int | None:
    """The offset that somebody means by `50%`, `1234567`, `1,234,567` or `1.5 GB`; None if it means nothing."""
    match = _PLACE.fullmatch(text)
    if match is None or len(text) > 40:
        return None
    number, unit = float(re.sub("[,_ ]", "", match[1])), (match[2] or "").lower()
    if unit == "%":
        offset = number / 100 * size
    else:
        offset = number * (1024 if "i" in unit else 1000) ** _POWERS[unit[:1]]
    return int(min(offset, size))
