"""What of a log reaches a terminal: text and colours, and nothing that moves or changes the terminal."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_outputs.terminal_text import TerminalFilter

RED, PLAIN = b"\x1b[31m", b"\x1b[0m"
PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"\x1b",
                b"[",
                b"]",
                b"P",
                b"m",
                b"31",
                b"8",
                b";",
                b":",
                b"\x07",
                b"\\",
                b"\r",
                b"\n",
                b"\x9b",
                b"\xc2\x9b",
                b"\xc2",
            ]
        ),
        st.sampled_from([RED, b"\x1b[2J", b"\x1b]0;title\x07", b"\x1b(0", b"\x1b[>4;1m", b" ", b"0" * 70, b"?"]),
        st.binary(max_size=6),
        st.text(max_size=6).map(str.encode),
    ),
    max_size=30,
)


def filtered(*pieces: bytes) -> str:
    clean = TerminalFilter()
    return "".join([clean.feed(piece) for piece in pieces]) + clean.feed(b"", last=True)


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        (b"plain \ttext\r\n", "plain \ttext\n"),
        (b"1%\r20%\r\rdone\r\r\n\nnext\r", "1%\n20%\ndone\n\nnext\n"),
        (b"\x1b[8mhidden", "hidden"),
        (b"\x1b[31;08;1mhidden", "\x1b[31;1mhidden\x1b[0m"),
        (b"\x1b[8:1mhidden", "hidden"),
        (b"\x1b[38;5;8mgrey\x1b[48;2;8;8;8mon grey\x1b[m", "\x1b[38;5;8mgrey\x1b[48;2;8;8;8mon grey\x1b[m\x1b[0m"),
        (b"\x1b[38;5;8;8mgrey", "\x1b[38;5;8mgrey\x1b[0m"),
        ("Grüße, 你好\n".encode(), "Grüße, 你好\n"),
        (RED + b"red" + PLAIN, "\x1b[31mred\x1b[0m\x1b[0m"),
        (b"\x1b[38:2::255:0:0mtrue\x1b[m", "\x1b[38:2::255:0:0mtrue\x1b[m\x1b[0m"),
        (b"\x1b[2J\x1b[Hcleared", "cleared"),
        (b"\x1b[>4;1mkeys", "keys"),
        (b"\x1b]0;a title\x07text", "text"),
        (b"\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1bP1$r0m\x1b\\answer", "answer"),
        (b"\x1b_secret\x1b\\", ""),
        (b"\x1b(0lines\x1b(B", "lines"),
        (b"\x1bcreset", "reset"),
        (b"\x1b7\x1b8\x1b=\x1b>", ""),
        (b"beep\x07 back\x08 null\x00 delete\x7f", "beep back null delete"),
        (b"\xc2\x9b31mnot a colour? it is one", "\x1b[31mnot a colour? it is one\x1b[0m"),
        (b"\xc2\x9d0;title\xc2\x9ctext", "text"),
        (b"\x9b2J", "\ufffd2J"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"\x1b]0;never closed\nthe next line", "\nthe next line"),
        (b"\x1b[31\nthe next line", "\nthe next line"),
        (b"a lone \x1b\n", "a lone \n"),
        (b"\x1b\x1b[31mx", "\x1b[31mx\x1b[0m"),
        (b"\x1b[" + b"1;" * 50 + b"31mx", "x"),
    ],
)
def test_table(log: bytes, shown: str) -> None:
    """Text and colours pass; titles, links, cursor movements, answers and character sets do not."""
    assert filtered(log) == shown


@given(PIECES)
def test_no_escape_but_colours(pieces: list[bytes]) -> None:
    """Whatever a log holds, no control character comes out but tab, line end and colours."""
    shown = filtered(b"".join(pieces))
    without_colours = re.sub(r"\x1b\[[0-9;:]*m", "", shown)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", without_colours)


@given(PIECES)
def test_chunks_do_not_matter(pieces: list[bytes]) -> None:
    """However the log is cut into pieces, the same comes out, and no byte waits for the end but those of a sequence."""
    whole = b"".join(pieces)
    assert filtered(*pieces) == filtered(whole) == filtered(*[whole[i : i + 1] for i in range(len(whole))])


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_text_passes(text: str) -> None:
    """Text without control characters passes unchanged, at once."""
    assert TerminalFilter().feed(text.encode()) == text


def test_nothing_is_held_back_for_long() -> None:
    """A sequence that never ends holds back neither the text after it nor memory."""
    clean = TerminalFilter()
    assert clean.feed(b"\x1b]0;" + b"x" * 100_000) == ""
    assert clean.feed(b"\nshown") == "\nshown"


@given(PIECES)
def test_text_alone(pieces: list[bytes]) -> None:
    """Without colours text alone passes, the same but for carriage returns, and none is held back behind a line end."""
    plain = TerminalFilter(colours=False)
    text = "".join([plain.feed(piece) for piece in [*pieces, b"\n"]])
    assert plain.is_at_rest
    for_terminal = re.sub(r"\x1b\[[0-9;:]*m", "", filtered(*pieces, b"\n"))
    assert re.sub(r"[\r\n]+", "\n", text) == re.sub(r"\n+", "\n", for_terminal)
