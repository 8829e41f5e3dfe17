"""Names of blobs as names of files: the rules one by one, and that they can be turned back without exception."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch_outputs.stores.directory.escaping import CONTINUED, MARK, PRIVATE, escape, escape_letters, forms, unescape

SEGMENTS = st.one_of(
    st.text(alphabet=st.characters(exclude_characters="/", exclude_categories=["Cs"])),
    st.text(alphabet="aA.%~1 é\N{COMBINING ACUTE ACCENT}:*\\\x00🐈", max_size=400),
    st.sampled_from(["con", "NUL", "Com1", "lpt¹", "conin$", "aux"]).flatmap(
        lambda device: st.sampled_from(
            [device, f"{device}.txt", f"{device} ", f"{device} .a", f"{device}." + "x" * 300]
        )
    ),
)
COMPONENTS = st.lists(st.text(alphabet="ab%+2E5.F~1", min_size=1, max_size=8), min_size=1, max_size=3).map(tuple)


@pytest.mark.parametrize(
    ("segment", "component"),
    [
        ("frame 1 (copy) [x] #é+&=;,'@$.png", "frame 1 (copy) [x] #é+&=;,'@$.png"),
        ("", "%"),
        ("100%", "100%25"),
        ("%41", "%2541"),
        ("%", "%25"),
        ("a\\b", "a%5Cb"),
        ('<>:"|?*', "%3C%3E%3A%22%7C%3F%2A"),
        ("a\x00\x1f\x7f", "a%00%1F%7F"),
        (".", "%2E"),
        ("..", ".%2E"),
        ("...", "..%2E"),
        ("a.", "a%2E"),
        ("a ", "a%20"),
        (" a", " a"),
        (".hidden", ".hidden"),
        ("con", "%63on"),
        ("NUL.txt", "%4EUL.txt"),
        ("Aux.tar.gz", "%41ux.tar.gz"),
        ("COM0", "%43OM0"),
        ("lpt9", "%6Cpt9"),
        ("com²", "%63om²"),
        ("CONIN$", "%43ONIN$"),
        ("conout$.log", "%63onout$.log"),
        ("prn .x", "%70rn .x"),
        ("console", "console"),
        ("com10", "com10"),
        ("LONGNA~1.TXT", "LONGNA%7E1.TXT"),
        ("notes~", "notes~"),
        ("~$book.xlsx", "~$book.xlsx"),
    ],
)
def test_each_rule(segment: str, component: str) -> None:
    """Each rule changes what it must, and a segment that every system can hold stays as it is."""
    assert escape(segment) == (component,)
    assert unescape((component,)) == segment


@pytest.mark.parametrize("segment", [PRIVATE, ".Batch-Outputs"])
def test_the_private_folder_is_no_blob(segment: str) -> None:
    """Only as the first segment would it be the store's own folder, in whatever case."""
    assert escape(segment, first=True) == ("%2E" + segment[1:],)
    assert unescape(escape(segment, first=True), first=True) == segment
    assert unescape((PRIVATE,), first=True) is None
    assert escape(segment) == (segment,)


def test_a_long_segment_is_cut_between_characters() -> None:
    """200 bytes fit; what is longer goes on in a folder below, never cut within a character or an escape."""
    assert escape("x" * 200) == ("x" * 200,)
    assert escape("x" * 201) == ("x" * 200 + CONTINUED, "x")
    assert escape("x" * 199 + "é") == ("x" * 199 + CONTINUED, "é")
    assert escape("x" * 199 + ":") == ("x" * 199 + CONTINUED, "%3A")
    assert escape_letters("1" * 199 + "é") == ("1" * 199 + CONTINUED, "%C3%A9")


def test_pieces_of_a_long_segment_are_no_devices() -> None:
    """Each piece of a long segment is a name of its own, so each keeps the rule about devices and trailing dots."""
    assert escape("x" * 200 + "con") == ("x" * 200 + CONTINUED, "%63on")
    assert escape("nul." + "x" * 300)[0].startswith("%6Eul.")
    assert escape("x" * 200 + ".") == ("x" * 200 + CONTINUED, "%2E")


@given(SEGMENTS, st.booleans())
@example(PRIVATE, True)
def test_every_segment_comes_back(segment: str, first: bool) -> None:
    """Whatever a segment is, all its forms say it again, and say nothing else."""
    assert all(unescape(components, first=first) == segment for components in forms(segment, first=first))


@given(SEGMENTS, st.booleans())
def test_every_component_is_a_name_on_every_system(segment: str, first: bool) -> None:
    """No component is too long, a device, a short name, a way up, or ends or contains what Windows cannot hold."""
    for components in forms(segment, first=first):
        *pieces, last = components
        assert all(piece.endswith(CONTINUED) for piece in pieces)
        assert not last.endswith(CONTINUED)
        assert last == MARK or not last.endswith(MARK)
        for component in components:
            assert 0 < len(component.encode()) <= 210
            assert not re.search(r'[\x00-\x1f\x7f<>:"/|?*\\]|~[0-9]|[. ]$', component)
            stem = component.partition(".")[0].rstrip(" ").lower()
            assert stem not in {"con", "prn", "aux", "nul", "conin$", "conout$"}
            assert not re.fullmatch(r"(com|lpt)[0-9¹²³]", stem)
        assert not (first and components[0].lower() == PRIVATE)


@given(SEGMENTS, SEGMENTS)
@example("Readme", "README")
@example("é", "e\N{COMBINING ACUTE ACCENT}")
@example("ß", "ss")
def test_letters_escaped_never_differ_in_case_only(one: str, other: str) -> None:
    """Two segments with their letters escaped differ on a disk blind to case, and so they do from usual ones."""
    if one != other:
        folded = [component.casefold() for component in escape_letters(one)]
        assert folded != [component.casefold() for component in escape_letters(other)]
        assert folded != [component.casefold() for component in escape(other)]
        assert all(component.isascii() for component in escape_letters(one))


@given(COMPONENTS, st.booleans())
@example(("100%.txt",), False)
@example(("%6a",), False)
@example(("%2F",), False)
@example(("%FF",), False)
@example(("a%+", "b"), False)
@example(("\udcff",), False)
def test_a_foreign_path_has_no_name(components: tuple[str, ...], first: bool) -> None:
    """Any path is either one that the rules make of its name, or says None."""
    segment = unescape(components, first=first)
    assert segment is None or components in forms(segment, first=first)
