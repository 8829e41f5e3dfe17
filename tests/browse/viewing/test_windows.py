"""Windows of a text: each small, all together the text, cut where lines begin."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_outputs.browse.viewing.encodings import UTF_8, UTF_16_BE, UTF_16_LE, Encoding, encoding_of
from batch_outputs.browse.viewing.windows import WINDOW, Window, Windows, parse_place

T = TypeVar("T")

ALPHABET = st.sampled_from(["a", "\n", "\n", "é", "€", "😀", "\r", "\u0a0a", "\u0a00", "\u000a"])
TEXTS = st.lists(st.tuples(ALPHABET, st.integers(1, 12))).map(lambda runs: "".join(c * n for c, n in runs))
ENCODINGS = st.sampled_from([UTF_8, UTF_16_LE, UTF_16_BE])
LONGEST = st.integers(8, 20).map(lambda half: 2 * half)
MOST_LINES = st.integers(1, 8)


@dataclass
class File:
    """Bytes to be read by range, which remember how many were asked for at once."""

    content: bytes
    most: int = field(default=0, init=False)

    async def read(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        self.most = max(self.most, length)
        return self.content[offset : offset + length]

    def windows(self, encoding: Encoding, longest: int = WINDOW, most_lines: int = 50_000) -> Windows:
        return Windows(self.read, len(self.content), encoding, longest, most_lines)


def done(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def forward(windows: Windows) -> list[Window]:
    found = [await windows.at(0)]
    while found[-1].end < windows.size:
        found.append(await windows.at(found[-1].end, found[-1].line_at_end(windows.encoding)))
        assert len(found) <= windows.size
    return found


async def backward(windows: Windows, line: int | None) -> list[Window]:
    found = [await windows.before(windows.size, line)]
    while found[0].start > 0:
        found.insert(0, await windows.before(found[0].start, found[0].line))
        assert len(found) <= windows.size
    return found


def check(content: bytes, encoding: Encoding, found: list[Window], longest: int, most_lines: int) -> None:
    """They are the content, in order; each is small, and begins with a line or in the middle of a huge one."""
    assert b"".join(window.data for window in found) == content
    for window in found:
        before = content[: window.start]
        assert len(window.data) <= longest
        assert encoding.count_lines(window.data) <= most_lines
        assert window.begins_line == (not before or before.endswith(encoding.newline))
        assert window.line == encoding.count_lines(before) + 1


@given(TEXTS, ENCODINGS, LONGEST, MOST_LINES)
def test_windows_tile_the_text(text: str, encoding: Encoding, longest: int, most_lines: int) -> None:
    """Forwards and backwards, windows are the whole text; a cut is at a line's beginning, or in a line too long."""
    file = File(text.encode(encoding.codec))
    windows = file.windows(encoding, longest, most_lines)
    found = done(forward(windows))
    check(file.content, encoding, found, longest, most_lines)
    for before, window in pairwise(found):
        assert window.begins_line or encoding.count_lines(before.data[longest // 4 * 2 :]) == 0
    lines = encoding.count_lines(file.content) + 1
    found = done(backward(windows, lines))
    check(file.content, encoding, found, longest, most_lines)
    assert "".join(encoding.decode(window.data) for window in found) == text, "no character is cut"
    assert file.most <= longest + 4


@given(st.binary(max_size=300), ENCODINGS, LONGEST, MOST_LINES)
def test_windows_tile_what_is_no_text(content: bytes, encoding: Encoding, longest: int, most_lines: int) -> None:
    """Bytes that are no characters are shown, too, and there is always a next window."""
    windows = File(content).windows(encoding, longest, most_lines)
    for found in (done(forward(windows)), done(backward(windows, None))):
        assert b"".join(window.data for window in found) == content


@given(TEXTS, ENCODINGS, LONGEST, st.integers(0, 400))
def test_a_window_anywhere(text: str, encoding: Encoding, longest: int, offset: int) -> None:
    """Wherever somebody goes, the window has that byte, begins with its line if it can, and cuts no character."""
    content = text.encode(encoding.codec)
    window = done(File(content).windows(encoding, longest).at(offset))
    if offset < len(content):
        assert window.start <= offset < window.end
        before = content[window.start : offset - offset % encoding.unit]
        assert encoding.count_lines(before) == 0
    else:
        assert window.end == len(content)
    assert encoding.decode(window.data) in text


def test_sizes() -> None:
    """A file of a MiB is one window; no window is larger, and a line of 64 MiB is cut, not read whole."""
    whole = File(b"0123456789abcdef0123456789abcde\n" * 32768)
    assert len(whole.content) == WINDOW
    assert done(whole.windows(UTF_8).at(0)).data == whole.content
    huge = File(b"begin\n" + b"x" * (64 * WINDOW) + b"\nend\n")
    windows = huge.windows(UTF_8)
    assert len(done(windows.at(0)).data) == WINDOW
    in_line = done(windows.at(6 + WINDOW, 2))
    assert (len(in_line.data), in_line.line, in_line.begins_line) == (WINDOW, 2, False)
    assert len(done(windows.before(windows.size)).data) == WINDOW
    assert huge.most <= WINDOW + 4
    many = File(b"\n" * WINDOW)
    assert len(done(many.windows(UTF_8).at(0)).data) == 50_000


@pytest.mark.parametrize(
    ("beginning", "encoding"),
    [
        (b"", UTF_8),
        (b"\xef\xbb\xbftext", UTF_8),
        (b"\xff\xfet\0", UTF_16_LE),
        (b"\xfe\xff\0t", UTF_16_BE),
        (b"\xff\xfe\0\0", UTF_8),
    ],
)
def test_encodings(beginning: bytes, encoding: Encoding) -> None:
    """UTF-16 is known by its mark; the mark is no part of the text."""
    assert encoding_of(beginning) == encoding
    assert encoding.decode(encoding.mark + "é\n".encode(encoding.codec), first=True) == "é\n"


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("50%", 5_000_000),
        (" 12.5 % ", 1_250_000),
        ("1234567", 1_234_567),
        ("1,234,567", 1_234_567),
        ("1.5 MB", 1_500_000),
        ("1 MiB", 1_048_576),
        ("2k", 2000),
        ("0", 0),
        ("99999 GB", 10_000_000),
        ("1" * 41, None),
        ("-1", None),
        ("1e9", None),
        ("٣", None),
        ("half", None),
        ("", None),
    ],
)
def test_places(text: str, offset: int | None) -> None:
    """A place in a file is said in bytes, in units or as a part of the whole, and is never behind its end."""
    assert parse_place(text, 10_000_000) == offset
