"""A search finds each line with the text once, at its place, however the content is cut and however often it stops."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_outputs.browse.viewing import searching
from batch_outputs.browse.viewing.searching import AROUND, Match, Position, Search

pytestmark = pytest.mark.anyio

TEXTS = st.lists(
    st.sampled_from(["a", "A", "b", "\n", "ö", "Ö", "ß", "ẞ", "\r\n", "\x1b[31m", "€", "x" * 700]), max_size=40
)
NEEDLES = st.text(st.sampled_from(["a", "A", "b", "ö", "ß", "€"]), min_size=1, max_size=3)


class Content:
    """What is searched, in pieces of a given length."""

    def __init__(self, data: bytes, piece: int = 4 * 1024 * 1024, repeat: int = 1) -> None:
        self.data = data
        self.piece = piece
        self.repeat = repeat

    async def chunks(self, offset: int = 0) -> AsyncIterator[bytes]:
        for _ in range(self.repeat):
            for begin in range(offset, len(self.data), self.piece):
                yield self.data[begin : begin + self.piece]


async def found(content: Content, needle: str, **options: object) -> list[Match]:
    """All matches, going on where a search has stopped."""
    matches: list[Match] = []
    position = Position()
    while True:
        search = Search(content, needle, position, **options)  # type: ignore[arg-type]
        matches += [match async for match in search.matches()]
        position = Position.parse(str(search.position))
        if search.is_at_end:
            return matches


def expected(data: bytes, needle: str) -> list[tuple[int, int, int]]:
    """Line, its offset and that of the match, by the plainest of means."""
    places = []
    offset = 0
    sensitive = needle != needle.lower()
    for number, line in enumerate(data.split(b"\n"), 1):
        text = line.decode()
        column = text.find(needle) if sensitive else text.lower().find(needle)
        if column >= 0:
            places.append((number, offset, offset + len(text[:column].encode())))
        offset += len(line) + 1
    return places


@settings(max_examples=150)
@given(texts=TEXTS, needle=NEEDLES, piece=st.integers(1, 2000), limit=st.integers(1, 5), at_once=st.integers(1, 1500))
async def test_finds_what_is_there(texts: list[str], needle: str, piece: int, limit: int, at_once: int) -> None:
    """Line numbers, offsets and spans are right for any cut into pieces and any number of pages."""
    data = "".join(texts).encode()
    before = searching._AT_ONCE
    searching._AT_ONCE = at_once
    try:
        matches = await found(Content(data, piece), needle, limit=limit)
    finally:
        searching._AT_ONCE = before
    assert [(m.line, m.line_offset, m.offset) for m in matches] == expected(data, needle)
    for match in matches:
        shown = match.text[match.start : match.end]
        assert shown == needle or (needle == needle.lower() == shown.lower())
        assert "\x1b" not in match.text
        assert len(match.text) <= 2 * AROUND + len(needle)


@pytest.mark.parametrize(
    ("needle", "text", "there"),
    [
        ("error", "an ERROR came", True),
        ("Error", "an ERROR came", False),
        ("Error", "an Error came", True),
        ("größe", "GRÖSSE", True),
        ("größe", "GRÖẞE", True),
        ("größe", "Größe", True),
        ("Größe", "größe", False),
        ("你好", "说你好吗", True),
        (".*", "what ever", False),
        (".*", "a.*b", True),
        ("\u03c3", "ΟΔΥΣΣΕΥΣ", True),
    ],
)
async def test_capitals_count_where_there_are_some(needle: str, text: str, there: bool) -> None:
    """A text without capitals is found in either case, of any script; one with capitals, and signs, as they stand."""
    assert bool(await found(Content(text.encode()), needle)) is there


async def test_a_line_is_cut_around_the_match() -> None:
    """Of an endless line what is around the match is shown, and that there is more."""
    content = Content(b"-" * 3_000_000 + b"needle" + b"+" * 3_000_000, piece=1_000_003)
    (match,) = await found(content, "needle")
    assert match.text == "-" * AROUND + "needle" + "+" * AROUND
    assert (match.line, match.offset, match.cut_before, match.cut_after) == (1, 3_000_000, True, True)


async def test_short_lines_are_whole() -> None:
    """A line that is short is shown whole, without its end and its control codes."""
    (match,) = await found(Content(b"first\r\n\x1b[31mthe needle\x1b[0m here\r\nlast"), "needle")
    assert (match.text, match.line, match.line_offset) == ("the needle here", 2, 7)
    assert not match.cut_before
    assert not match.cut_after


async def test_time_is_limited() -> None:
    """A search stops when its time is over, says how far it came, and goes on from there."""
    content = Content(b"x" * 999 + b"\n", repeat=10**9)
    search = Search(content, "needle", seconds=0.05)  # type: ignore[arg-type]
    began = time.monotonic()
    assert [match async for match in search.matches()] == []
    assert time.monotonic() - began < 30  # all of it would take hours
    assert not search.is_at_end
    assert search.position.offset > 0
    assert search.position.line == search.position.offset // 1000 + 1


async def test_memory_is_limited() -> None:
    """Neither a long output nor a long line is held."""
    content = Content(b"x" * 1_000_000, repeat=60)
    tracemalloc.start()
    try:
        assert await found(content, "needle") == []
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", ["", "x", "1-2", "5-0-0", "1-1-2", "-1-1-0", "1-1-1-lost", "٣-1-0"])
def test_an_unreadable_position_is_the_beginning(text: str) -> None:
    """What somebody has changed in an address does no harm."""
    assert Position.parse(text) == Position()
