"""How the bytes of a text are to be read: where characters and lines begin, before any of them is decoded."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

LONGEST_CHARACTER = 4
"""Bytes, in every encoding."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """UTF-8, or UTF-16 in one of its two orders.

    Offsets into the bytes given are even in UTF-16: all of them begin where a character of two or four bytes may begin.
    """

    codec: str
    mark: bytes
    """What may stand before the text to say how it is encoded."""
    unit: int

    @property
    def newline(self) -> bytes:
        """The end of a line."""
        return "\n".encode(self.codec)

    def count_lines(self, data: bytes) -> int:
        """How many lines end in the bytes."""
        if self.unit == 1:
            return data.count(b"\n")
        return len(self._line_ends(data))

    def nth_line(self, data: bytes, number: int) -> int:
        """The offset behind the `number`th line end; 0 if there are fewer."""
        if self.unit > 1:
            ends = self._line_ends(data)
            return ends[number - 1] if number <= len(ends) else 0
        position = 0
        for _ in range(number):
            position = data.find(b"\n", position) + 1
            if position == 0:
                break
        return position

    def last_line(self, data: bytes) -> int | None:
        """The offset behind the last line end; None if there is none."""
        if self.unit == 1:
            return data.rfind(b"\n") + 1 or None
        position = len(data)
        while (position := data.rfind(self.newline, 0, position)) >= 0:
            if position % self.unit == 0:
                return position + self.unit
            position += len(self.newline) - 1
        return None

    def line_starts(self, data: bytes) -> list[int]:
        """The offsets at which lines begin, the first at 0."""
        return [0, *(self._line_ends(data))]

    def broken_end(self, data: bytes) -> int:
        """How many bytes at the end belong to a character that is not whole."""
        if self.unit == 2:
            odd = len(data) % 2
            last = data[len(data) - odd - 2 : len(data) - odd]
            return odd + (2 if len(last) == 2 and 0xD8 <= self._high_byte(last) <= 0xDB else 0)
        for back in range(1, min(LONGEST_CHARACTER, len(data) + 1)):
            byte = data[-back]
            if byte >= 0xC0:
                length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2
                return back if length > back else 0
            if byte < 0x80:
                break
        return 0

    def broken_beginning(self, data: bytes) -> int:
        """How many bytes at the beginning belong to a character that began before."""
        if self.unit == 2:
            return 2 if len(data) >= 2 and 0xDC <= self._high_byte(data[:2]) <= 0xDF else 0
        begun = data[:LONGEST_CHARACTER]
        length = next((i for i, byte in enumerate(begun) if not 0x80 <= byte < 0xC0), len(begun))
        return length if length < LONGEST_CHARACTER else 0

    def begun_before(self, data: bytes, position: int) -> int:
        """How many bytes before `position` the character there began."""
        before = data[max(0, position - LONGEST_CHARACTER) : position]
        return self.broken_end(before) if self.broken_beginning(data[position:]) else 0

    def decode(self, data: bytes, *, first: bool = False) -> str:
        """The text, without the mark if it is the `first` of a file; what is no character becomes U+FFFD."""
        if first:
            data = data.removeprefix(self.mark)
        return data.decode(self.codec, "replace")

    def _line_ends(self, data: bytes) -> list[int]:
        found, position = [], -1
        while (position := data.find(self.newline, position + 1)) >= 0:
            if position % self.unit == 0:
                found.append(position + self.unit)
        return found

    def _high_byte(self, unit: bytes) -> int:
        return unit[1] if self.codec == "utf-16-le" else unit[0]


UTF_8 = Encoding("utf-8", codecs.BOM_UTF8, 1)
UTF_16_LE = Encoding("utf-16-le", codecs.BOM_UTF16_LE, 2)
UTF_16_BE = Encoding("utf-16-be", codecs.BOM_UTF16_BE, 2)


def encoding_of(beginning: bytes) -> Encoding:
    """The encoding that a file's first bytes say; UTF-8 where they say nothing."""
    if beginning.startswith(codecs.BOM_UTF32_LE):  # begins as UTF-16 does
        return UTF_8
    return next((one for one in (UTF_16_LE, UTF_16_BE) if beginning.startswith(one.mark)), UTF_8)
