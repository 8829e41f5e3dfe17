"""Finding a text in a whole output, however long it or its lines are, in bounded time and memory.

The search runs over bytes. A text without capitals is found in capitals and small letters alike, one with capitals as
it stands.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Self

from anyio import to_thread

from batch_outputs.browse.iterating import closing
from batch_outputs.outputs import OutputFileReference
from batch_outputs.terminal_text import TerminalFilter

AROUND = 150
"""Characters of a line that are shown before what was found, and behind it."""
LONGEST_NEEDLE = 1000
"""Characters of a text that is looked for."""

_CONTEXT = 4 * AROUND
"""Bytes that hold as many characters for certain."""
_AT_ONCE = 256 * 1024
"""Bytes between two looks at the clock."""

_Find = Callable[[bytes, int, int], tuple[int, int] | None]
"""Where a text stands first in a range of bytes: begin and end."""


@dataclass(frozen=True, slots=True)
class Match:
    """A line in which the text stands, and where it does so first.

    `line` counts from 1, `line_offset` is the byte at which the line begins, `offset` that of the match. `text` is the
    line without control codes, cut to what is around the match; `text[start:end]` is the match. `cut_before` and
    `cut_after` say whether the line has more on that side.
    """

    line: int
    line_offset: int
    offset: int
    text: str
    start: int
    end: int
    cut_before: bool = False
    cut_after: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """How far an output was searched: to the byte at `offset`, which is in line `line` (from 1).

    That line begins at `line_offset`; `is_found` says that it was among the matches already.
    """

    offset: int = 0
    line: int = 1
    line_offset: int = 0
    is_found: bool = False

    def __str__(self) -> str:
        """As it stands in an address."""
        return f"{self.offset}-{self.line}-{self.line_offset}{'-found' if self.is_found else ''}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what stands in an address; anything unreadable is the beginning."""
        found = re.fullmatch(r"([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,18})(-found)?", text, re.ASCII)
        if found is None:
            return cls()
        offset, line, line_offset = (int(number) for number in found.groups()[:3])
        if line < 1 or line_offset > offset:
            return cls()
        return cls(offset, line, line_offset, is_found=found[4] is not None)


class Search:
    """A search for `needle` from a position on, for at most `limit` lines and about so many `seconds`.

    After the last of `matches`, `position` says how far it came, and `is_at_end` whether that is the end of the output;
    if not, another search goes on from there.
    """

    def __init__(
        self,
        output: OutputFileReference,
        needle: str,
        begin: Position | None = None,
        *,
        limit: int = 100,
        seconds: float = 10.0,
    ) -> None:
        if not needle or len(needle) > LONGEST_NEEDLE or "\n" in needle:
            raise ValueError(f"what is looked for is one line of 1 to {LONGEST_NEEDLE:,} characters")
        self.position: Position = begin or Position()
        self.is_at_end: bool = False
        self._output = output
        self._limit = limit
        self._seconds = seconds
        self._find, self._longest = _finder(needle)

    async def matches(self) -> AsyncGenerator[Match, None]:
        """The lines in which the text stands, as they are found.

        Raises:
            StoreError: the output cannot be read.
        """
        until = time.monotonic() + self._seconds
        window = _Window(self._find, self._longest, self.position)
        left = self._limit
        # What is before the position is shown of its line, and no more.
        behind = max(self.position.line_offset, self.position.offset - _CONTEXT)
        window.begin(behind)
        async with closing(self._pieces(behind)) as pieces:
            async for piece, is_last in pieces:
                for match in await to_thread.run_sync(window.take, piece, is_last, left):
                    left -= 1
                    yield match
                self.position = window.position
                if left == 0 or (not is_last and time.monotonic() >= until):
                    return
        self.is_at_end = True

    async def _pieces(self, offset: int) -> AsyncIterator[tuple[bytes, bool]]:
        """The content in pieces of a moderate length, and whether each is the last; always at least one."""
        held = b""
        async with closing(self._output.chunks(offset)) as chunks:
            async for chunk in chunks:
                for begin in range(0, len(chunk), _AT_ONCE):
                    if held:
                        yield held, False
                    held = chunk[begin : begin + _AT_ONCE]
        yield held, True


class _Window:
    """The bytes in hand: those around the place that the search has come to."""

    def __init__(self, find: _Find, longest: int, position: Position) -> None:
        self.position = position
        self._find = find
        self._longest = longest
        self._data = b""
        self._base = 0

    def begin(self, base: int) -> None:
        """The first byte that will come is this one of the output."""
        self._base = base

    def take(self, piece: bytes, is_last: bool, limit: int) -> list[Match]:
        """What is found now that these bytes have come, too, at most `limit` lines."""
        self._data += piece
        # Behind a match there must be as much as is shown of its line.
        end = len(self._data) if is_last else max(0, len(self._data) - self._longest - _CONTEXT)
        found: list[Match] = []
        while len(found) < limit and (match := self._next(end)) is not None:
            found.append(match)
        if len(found) < limit:
            self._go_to(max(end, self._here))
        self._forget()
        return found

    @property
    def _here(self) -> int:
        return self.position.offset - self._base

    def _next(self, end: int) -> Match | None:
        """The next match that begins before `end`; the position is then behind it, in the same line."""
        if self.position.is_found:
            line_end = self._data.find(b"\n", self._here, end)
            if line_end < 0:
                return None
            self._go_to(line_end + 1)
        span = self._find(self._data, self._here, end)
        if span is None:
            return None
        self._go_to(span[0])
        match = self._match(*span)
        position = self.position
        self.position = Position(self._base + span[1], position.line, position.line_offset, is_found=True)
        return match

    def _go_to(self, index: int) -> None:
        """Count the lines up to a place; a line that begins has not been found yet."""
        here = self._here
        lines = self._data.count(b"\n", here, index)
        position = self.position
        if lines == 0:
            self.position = Position(self._base + index, position.line, position.line_offset, position.is_found)
            return
        line_offset = self._base + self._data.rfind(b"\n", here, index) + 1
        self.position = Position(self._base + index, position.line + lines, line_offset)

    def _match(self, start: int, end: int) -> Match:
        position = self.position
        line_start = max(0, position.line_offset - self._base)
        line_end = self._data.find(b"\n", end, end + _CONTEXT)
        before, cut_before = _last(_shown(self._data[max(line_start, start - _CONTEXT) : start]))
        behind, cut_after = _first(_shown(self._data[end : line_end if line_end >= 0 else end + _CONTEXT]))
        text = _shown(self._data[start:end])
        return Match(
            line=position.line,
            line_offset=position.line_offset,
            offset=self._base + start,
            text=before + text + behind.rstrip("\r"),
            start=len(before),
            end=len(before) + len(text),
            cut_before=cut_before or self._base + start - _CONTEXT > position.line_offset,
            cut_after=cut_after or (line_end < 0 and end + _CONTEXT < len(self._data)),
        )

    def _forget(self) -> None:
        """Keep what may still be shown before a match."""
        spare = self._here - _CONTEXT
        if spare > 0:
            self._data = self._data[spare:]
            self._base += spare


def _shown(data: bytes) -> str:
    clean = TerminalFilter(colours=False)
    return clean.feed(data, last=True)


def _last(text: str) -> tuple[str, bool]:
    # What is not whole at the edge of the bytes is not shown.
    return text[-AROUND:].lstrip("\ufffd"), len(text) > AROUND


def _first(text: str) -> tuple[str, bool]:
    return text[:AROUND].rstrip("\ufffd"), len(text) > AROUND


def _finder(needle: str) -> tuple[_Find, int]:
    """What finds a text, and the length in bytes of the longest form of it."""
    encoded = needle.encode("utf-8", "replace")
    if needle == needle.lower():
        if needle.isascii():
            return _in_any_case(encoded), len(encoded)
        forms = [_forms(character) for character in needle]
        if any(len(some) > 1 for some in forms):
            # Pieces of one form begin alike in many letters, which makes this nearly as fast.
            pattern = b"".join(b"(?:" + b"|".join(map(re.escape, some)) + b")" for some in forms)
            return _by_pattern(re.compile(pattern)), sum(len(some[0]) for some in forms)
    return _exactly(encoded), len(encoded)


def _exactly(needle: bytes) -> _Find:
    def find(data: bytes, begin: int, end: int) -> tuple[int, int] | None:
        start = data.find(needle, begin, end + len(needle) - 1)
        return None if start < 0 else (start, start + len(needle))

    return find


def _in_any_case(needle: bytes) -> _Find:
    seen = small = b""

    def find(data: bytes, begin: int, end: int) -> tuple[int, int] | None:
        nonlocal seen, small
        if data is not seen:
            seen, small = data, data.lower()  # of ASCII only, so that every byte keeps its place
        start = small.find(needle, begin, end + len(needle) - 1)
        return None if start < 0 else (start, start + len(needle))

    return find


def _by_pattern(pattern: re.Pattern[bytes]) -> _Find:
    def find(data: bytes, begin: int, end: int) -> tuple[int, int] | None:
        found = pattern.search(data, begin)
        return found.span() if found is not None and found.start() < end else None

    return find


def _forms(character: str) -> list[bytes]:
    """A small letter and its capitals, the longest first; anything else as it is."""
    forms = {character, character.upper(), character.title(), _OTHER_FORM.get(character, character)}
    return sorted((form.encode("utf-8", "replace") for form in forms), key=lambda form: (-len(form), form))


_OTHER_FORM = {"ß": "ẞ", "\u03c2": "\u03c3", "\u03c3": "\u03c2", "k": "\u212a", "å": "\u212b", "ω": "\u2126"}
"""Letters of one sound, of which Unicode has more than two; among them the Greek s and the one that ends a word."""
