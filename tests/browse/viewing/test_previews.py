"""How outputs are shown: which viewer, and what each makes of content that is odd, huge or hostile."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_outputs.browse.viewing import json_tree, tables
from batch_outputs.browse.viewing.encodings import UTF_8, UTF_16_LE
from batch_outputs.browse.viewing.json_tree import Node, NotJsonError, parse_json, parse_json_lines
from batch_outputs.browse.viewing.lines import harmless, lines_of
from batch_outputs.browse.viewing.previews import LARGEST_TREE, Viewer, hex_dump, is_text, preview_of
from batch_outputs.browse.viewing.tables import NotATableError, delimiter_of, parse_table
from batch_outputs.browse.viewing.windows import Window

PNG = b"\x89PNG\r\n\x1a\n"
NOISE = bytes(range(256))


@pytest.mark.parametrize(
    ("name", "content_type", "beginning", "viewer"),
    [
        ("a.png", None, PNG, Viewer.PICTURE),
        ("a", "image/png", PNG, Viewer.PICTURE),
        ("a.png", "application/octet-stream", PNG, Viewer.PICTURE),
        ("a.jpg", None, b"\xff\xd8\xff\xe0", Viewer.PICTURE),
        ("a.gif", None, b"GIF89a", Viewer.PICTURE),
        ("a.webp", None, b"RIFF\0\0\0\0WEBPVP8 ", Viewer.PICTURE),
        ("a.svg", None, b"<svg/>", Viewer.PICTURE),
        ("a.png", None, b"<script>", Viewer.TEXT),
        ("a.png", None, NOISE, Viewer.BYTES),
        ("a.tiff", None, b"II*\0", Viewer.BYTES),
        ("a.mp4", None, b"\0\0\0\x18ftyp", Viewer.VIDEO),
        ("a.mp3", None, b"ID3", Viewer.AUDIO),
        ("a.pdf", None, b"%PDF-1.7", Viewer.PDF),
        ("a.pdf", None, b"<html>", Viewer.TEXT),
        ("a.json", None, b"{}", Viewer.TREE),
        ("a", "application/geo+json; charset=utf-8", b"{}", Viewer.TREE),
        ("a.json", "text/plain", b"{}", Viewer.TREE),
        ("a.jsonl", None, b"{}\n", Viewer.TREE),
        ("a.csv", None, b"a,b", Viewer.TABLE),
        ("a.tsv", "text/plain", b"a\tb", Viewer.TABLE),
        ("a.html", None, b"<html>", Viewer.TEXT),
        ("a.js", "text/javascript", b"alert(1)", Viewer.TEXT),
        ("a.py", None, b"print()", Viewer.TEXT),
        ("Makefile", None, b"all:\n", Viewer.TEXT),
        ("a.txt", None, "é€😀".encode("utf-16"), Viewer.TEXT),
        ("a.txt", None, NOISE, Viewer.BYTES),
        ("a.bin", None, NOISE, Viewer.BYTES),
        ("a.zip", None, b"PK\3\4" + NOISE, Viewer.BYTES),
    ],
)
def test_viewers(name: str, content_type: str | None, beginning: bytes, viewer: Viewer) -> None:
    """The type, or else the name, says how an output is shown, if its first bytes bear that out."""
    found = preview_of(name, content_type, len(beginning), beginning)
    assert found.viewer == viewer
    assert found.choose("no such viewer") == viewer
    assert all(found.choose(one.value) == one for one in found.choices)


def test_other_ways_to_show() -> None:
    """What is shown as a tree or table is to be had as text; a log is text first; the empty and the huge are told."""
    assert preview_of("a.csv", None, 9, b"a,b").choices == (Viewer.TABLE, Viewer.TEXT, Viewer.BYTES)
    assert preview_of("a.csv", None, 9, b"a,b", is_log=True).choices == (Viewer.TEXT, Viewer.TABLE, Viewer.BYTES)
    assert preview_of("a.txt", None, 9, NOISE, is_log=True).viewer == Viewer.TEXT
    assert preview_of("a.png", None, 0, b"").viewer == Viewer.EMPTY
    assert preview_of("stdout.txt", None, 0, b"", is_log=True).viewer == Viewer.TEXT
    huge = preview_of("a.json", None, LARGEST_TREE + 1, b"{")
    assert (huge.viewer, huge.remark) == (Viewer.TEXT, "Folded up to 1.0 MB only.")
    assert preview_of("a.png", None, 10**9, PNG).viewer == Viewer.BYTES
    assert "is none" in preview_of("a.pdf", None, 9, b"<html>").remark


def test_what_looks_like_text() -> None:
    """A few strange bytes and a character that is cut do not make a text anything else; many do."""
    assert is_text(b"")
    assert is_text(b"plain \x1b[31mred\x1b[0m\r\n" * 10 + b"\0")
    assert is_text("é".encode()[:1])
    assert not is_text(b"\0" * 100)
    assert not is_text(NOISE)


def test_a_dump() -> None:
    """The first 256 bytes are shown in rows of 16 that all have the same width."""
    rows = hex_dump(NOISE * 2)
    assert len(rows) == 16
    assert {len(numbers) for _, numbers, _ in rows} == {48}
    assert rows[4] == ("0040", "40 41 42 43 44 45 46 47  48 49 4a 4b 4c 4d 4e 4f", "@ABCDEFGHIJKLMNO")
    assert hex_dump(b"\n") == [("0000", "0a".ljust(48), "·")]


# Lines


def shown(data: bytes, start: int = 0, line: int | None = 1, *, begins_line: bool = True) -> list[tuple[str, str, str]]:
    found = lines_of(Window(start, data, line, begins_line), UTF_8)
    return [(one.anchor, one.label, one.text) for block in found.blocks for one in block]


def test_lines() -> None:
    """Each line has its number, or else the offset of its first byte; a line that is cut has no number of its own."""
    assert shown(b"a\r\n\nb") == [("L1", "1", "a"), ("L2", "2", ""), ("L3", "3", "b")]
    assert shown(b"x\ny\n", 1000, 7) == [("L7", "7", "x"), ("L8", "8", "y")]
    assert shown("é\ny\n".encode(), 1000, None) == [("B1000", "1,000", "é"), ("B1003", "1,003", "y")]
    assert shown(b"x\ny\n", 1000, 7, begins_line=False)[0] == ("L7", "…", "x")
    assert shown(b"") == []
    window = Window(10, b"a\nbc", 1, begins_line=True)
    assert (lines_of(window, UTF_8).ends_in_line, lines_of(window, UTF_8).begun_line) == (True, 12)
    in_utf_16 = lines_of(Window(0, "\ufeffa\nb\n".encode("utf-16-le"), 1, begins_line=True), UTF_16_LE)
    assert [one.text for one in in_utf_16.blocks[0]] == ["a", "b"]


@given(st.text(alphabet=st.sampled_from("ab\n\r\x1b[]0;m\x07\x9b\x90\x85\u2028\x0b\0é")))
def test_control_codes(text: str) -> None:
    """Control codes are gone, whatever they are cut into, and no line with them."""
    clean = harmless(text)
    assert clean.count("\n") == text.count("\n")
    assert all(character in "\t\n\r" or ord(character) > 0x9F or " " <= character <= "~" for character in clean)
    assert len(shown(text.encode())) == text.count("\n") + (0 if text.endswith("\n") or not text else 1)


def test_progress_is_shown_line_by_line() -> None:
    """What a progress bar has written over itself is one numbered line, and all of it is to be seen."""
    assert shown(b"10%\r20%\r\nend") == [("L1", "1", "10%\n20%"), ("L2", "2", "end")]


# Trees


def flat(node: Node) -> list[str]:
    return [node.kind, *(text for child in node.children for text in flat(child))]


def count(node: Node) -> int:
    return 1 + sum(map(count, node.children))


def depth(node: Node) -> int:
    return 1 + max(map(depth, node.children), default=0)


def test_a_tree_says_what_is_written() -> None:
    """Numbers of any length stay as they are, keys that stand there twice too, and half characters do no harm."""
    digits = "9" * 6000
    root = parse_json(f'{{"a": 1.10, "a": -0, "b": {digits}, "c": NaN, "d": "\\ud800\\u0000<b>", "e": [true, null]}}')
    assert [(child.key, child.kind, child.text[:8]) for child in root.children] == [
        ("a", "number", "1.10"),
        ("a", "number", "-0"),
        ("b", "number", "99999999"),
        ("c", "number", "NaN"),
        ("d", "text", "?<b>"),
        ("e", "array", ""),
    ]
    assert root.children[2].cut == 6000 - json_tree.LONGEST_TEXT
    assert [child.text for child in root.children[5].children] == ["true", "null"]
    assert root.is_open


@pytest.mark.parametrize(
    "text",
    ["[" * 500_000, '{"a":' * 200_000, "[" * 100_000 + "]" * 100_000],
    ids=["brackets", "objects", "closed"],
)
def test_deep_nesting(text: str) -> None:
    """JSON that is nested without end is refused in a sentence, soon."""
    began = time.thread_time()
    with pytest.raises(NotJsonError, match="nested too deeply"):
        parse_json(text)
    assert time.thread_time() - began < 5


def test_trees_are_bounded() -> None:
    """However many values there are, a page gets some thousands, and is told how many it does not get."""
    wide = parse_json(json.dumps(list(range(100_000))))
    assert (wide.count, len(wide.children), wide.left_out) == (100_000, 500, 99_500)
    many = parse_json(json.dumps([[[i] * 100 for i in range(100)] for _ in range(100)]))
    assert count(many) <= json_tree.MOST_NODES
    assert len(many.children) == 100, "what is left out is below, not behind"
    deep = parse_json("[" * 500 + "]" * 500)
    assert depth(deep) == json_tree.DEEPEST


@pytest.mark.parametrize("text", ["", "{", '{"a": 1,}', "nothing", "[1] [2]", "\0"])
def test_what_is_no_json(text: str) -> None:
    """What is no JSON is refused with the place where it breaks."""
    with pytest.raises(NotJsonError, match=r"line \d+, column \d+: "):
        parse_json(text)


def test_json_lines() -> None:
    """Each line is a value; a line that is none is shown as it is, and a last half one is not."""
    root = parse_json_lines('{"a": 1}\n\n2\nno json\n[', is_whole=False)
    assert flat(root) == ["array", "object", "number", "number", "broken"]
    assert root.children[2].text == "no json"
    assert parse_json_lines("1\n" * 5000, is_whole=True).left_out == 5000 - json_tree.MOST_LINES


# Tables


def test_a_table() -> None:
    """Quotes, line ends in cells, short rows and formulas are read as what they are: text."""
    text = 'id,name,note\n1,"a, b","=HYPERLINK(""x"")"\n-2.5,"two\nlines"\n\n3,,<b>,4\n'
    table = parse_table(text, ",", is_whole=True)
    assert table.header == ("id", "name", "note", "")
    assert table.rows == (
        ("1", "a, b", '=HYPERLINK("x")', ""),
        ("-2.5", "two\nlines", "", ""),
        ("3", "", "<b>", "4"),
    )
    assert table.numbers == (True, False, False, True)
    assert (table.more_rows, table.more_columns, table.cut_cells) == (False, False, False)


def test_tables_are_bounded() -> None:
    """Rows, columns and cells are cut, and that is said."""
    table = parse_table("a,b\n" + "1,2\n" * 5000, ",", is_whole=True)
    assert (len(table.rows), table.more_rows) == (tables.MOST_ROWS, True)
    table = parse_table("," * 1_000_000, ",", is_whole=True)
    assert (len(table.header), table.more_columns) == (tables.MOST_COLUMNS, True)
    table = parse_table("x" * 100_000, ",", is_whole=True)
    assert (len(table.header[0]), table.cut_cells) == (tables.LONGEST_CELL, True)
    table = parse_table("a,b\n1,2\n3,", ",", is_whole=False)
    assert (table.rows, table.more_rows) == ((("1", "2"),), True)
    table = parse_table("a,b\n" + "1,2\n" * tables.MOST_ROWS, ",", is_whole=True)
    assert (len(table.rows), table.more_rows) == (tables.MOST_ROWS, False)


@pytest.mark.parametrize("text", ["", "\n\n", 'a,b\n"' + "x," * 200_000], ids=["empty", "blank", "open quote"])
def test_what_is_no_table(text: str) -> None:
    """What cannot be read as a table is refused in a sentence."""
    with pytest.raises(NotATableError):
        parse_table(text, ",", is_whole=True)


@pytest.mark.parametrize(
    ("text", "name", "delimiter"),
    [
        ("a,b\n1,2\n", "t.csv", ","),
        ("a;b\n1,5;2,5\n", "t.csv", ";"),
        ("a\tb\n1\t2\n", "t.csv", "\t"),
        ("a|b\n1|2\n", "t.csv", "|"),
        ('"a;b",c\n"d;e;f",g\n', "t.csv", ","),
        ("a,b\n", "t.tsv", "\t"),
        ("one column\nonly\n", "t.csv", ","),
        ("", "t.csv", ","),
        ('"' * 100_000, "t.csv", ","),
    ],
)
def test_delimiters(text: str, name: str, delimiter: str) -> None:
    """What separates cells is found in the first lines, outside of quotes, in no time."""
    began = time.thread_time()
    assert delimiter_of(text, name) == delimiter
    assert time.thread_time() - began < 2


@given(st.text(alphabet=st.sampled_from('ab,;\t"\n\r\0|é '), max_size=200))
def test_any_text_as_a_table(text: str) -> None:
    """Any text is a table, or is refused in a sentence; all rows are as long as the header."""
    try:
        table = parse_table(text, delimiter_of(text, "t.csv"), is_whole=True)
    except NotATableError:
        return
    assert {len(row) for row in table.rows} <= {len(table.header)}
