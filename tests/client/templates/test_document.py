"""JSON in which every value knows its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_outputs.client.templates.document import Node, Place, node_of, parse, read
from batch_outputs.errors import TemplateError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(value=JSON, indent=st.sampled_from([None, 0, 3]), ascii_only=st.booleans())
def test_every_document_is_read_as_json_reads_it(value: object, indent: int | None, ascii_only: bool) -> None:
    """The values are those of `json`, in whatever way the document is laid out."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert repr(parse(text, "x").plain) == repr(json.loads(text))


@given(value=JSON, indent=st.sampled_from([None, 0, 3]))
def test_the_text_at_a_value_s_place_is_the_value(value: object, indent: int | None) -> None:
    """Line and column lead to where the value begins, for all values of a document."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    lines = text.split("\n")

    def check(node: Node) -> None:
        assert node.place.line is not None
        assert node.place.column is not None
        rest = "\n".join([lines[node.place.line - 1][node.place.column - 1 :], *lines[node.place.line :]])
        assert repr(json.JSONDecoder().raw_decode(rest)[0]) == repr(node.plain)
        if isinstance(node.value, dict | list):
            for item in node.value.values() if isinstance(node.value, dict) else node.value:
                check(item)

    check(parse(text, "x"))


@given(text=st.text(alphabet='{}[],:"\\ \n0123456789.eE+-truefalsn') | st.text())
def test_what_is_refused_is_what_json_refuses(text: str) -> None:
    """Every text is read or refused with a place in it, and none is read that is not JSON."""
    try:
        expected = json.loads(text, parse_constant=lambda name: 1 / 0)
    except (ValueError, ZeroDivisionError):
        with pytest.raises(TemplateError) as caught:
            parse(text, "x")
        lines = text.split("\n")
        assert caught.value.line is not None
        assert caught.value.column is not None
        assert 1 <= caught.value.line <= len(lines)
        assert 1 <= caught.value.column <= len(lines[caught.value.line - 1]) + 1
    else:
        try:
            assert repr(parse(text, "x").plain) == repr(expected)
        except TemplateError as error:
            assert "twice" in str(error) or "absurdly" in str(error)  # noqa: PT017 - both are JSON, and useless


def test_the_path_leads_from_the_root_to_the_value() -> None:
    """Paths are written as in a program, with names that are no words in quotes."""
    document = parse('{"job": {"sets": [{"a b": [1, 2]}]}}', "t.json")
    sets = document.as_object("it")["job"].as_object("it")["sets"].as_list("it")
    inner = sets[0].as_object("it")["a b"].as_list("it")[1]
    assert str(inner.place) == 't.json:1:31 (job.sets[0]["a b"][1])'
    assert str(document.place) == "t.json:1:1"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "t:1:1: this is not JSON: it ends here."),
        ('{"a": 1,}', "t:1:9: this is not JSON: nothing follows the comma before the }; remove the comma."),
        ("[1 2]", "t:1:4: this is not JSON: a comma or ] should stand here."),
        ('{"a" 1}', 't:1:6: this is not JSON: behind the name "a" a colon should stand.'),
        ("{a: 1}", 't:1:2: this is not JSON: the name of a member should stand here, in "…".'),
        ("[\n  yes]", 't:2:3: this is not JSON: a value should stand here; texts stand in "…".'),
        ("[1]\n[2]", "t:2:1: this is not JSON: there is something behind the end of the document; remove it."),
        ('{"a": 1,\n "a": 2}', "t:2:2 (a): the name stands twice in its object; remove one."),
        ('["a\nb"]', "t:1:4: this is not JSON: the text is no JSON (invalid control character)."),
        ("[NaN]", 't:1:2: this is not JSON: a value should stand here; texts stand in "…".'),
        ("[1e999]", "t:1:2: this is not JSON: the number is absurdly large."),
        ("[" + "1" * 5000 + "]", "t:1:2: this is not JSON: the number is absurdly long."),
    ],
)
def test_mistakes_in_json_are_pointed_at(text: str, sentence: str) -> None:
    """What is no JSON, or loses something, is refused with line, column and what to do."""
    with pytest.raises(TemplateError) as caught:
        parse(text, "t")
    assert str(caught.value) == sentence


def test_absurd_nesting_is_refused() -> None:
    """A document that would exhaust the stack is an error like any other."""
    with pytest.raises(TemplateError, match="more than 100 levels"):
        parse("[" * 100_000, "t")


def test_files_are_read_with_or_without_a_mark_and_named_when_they_cannot_be(tmp_path: Path) -> None:
    """A byte order mark of Windows is no content; a missing or binary file gives a sentence."""
    marked = tmp_path / "marked.json"
    marked.write_bytes(b"\xef\xbb\xbf[1]")
    assert read(str(marked)).plain == [1]
    marked.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TemplateError, match="not text in UTF-8"):
        read(str(marked))
    missing = str(tmp_path / "none.json")
    with pytest.raises(TemplateError, match="cannot be read: No such file") as caught:
        read(missing)
    assert caught.value.file == missing


def test_values_of_a_program_become_nodes() -> None:
    """Tuples are arrays; what JSON has no value for is refused with its way."""
    assert node_of({"a": (1, "x")}, Place("f")).plain == {"a": [1, "x"]}
    with pytest.raises(TemplateError, match=r"^f \(a\[1\]\): JSON has no values of the class set"):
        node_of({"a": [1, {2}]}, Place("f"))
