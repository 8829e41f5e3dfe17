"""Expressions: what they give, and which texts are none."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch_outputs.client.templates.document import Node, Place, node_of
from batch_outputs.client.templates.expressions import FUNCTIONS, WrongExpressionError, parse_text, resolve
from batch_outputs.errors import TemplateError

HERE = Place("t.json", 3, 7, "job.id")
VALUES = {
    "n": 5,
    "word": "wörd [x] {0}",
    "yes": True,
    "list": [1, ["a"]],
    "object": {"a": {"b c": "deep"}, "at": 1},
    "none": None,
    "key": "a",
}


def lookup(function: str, name: str, place: Place) -> Node:
    assert function in {"parameters", "variables"}
    if name not in VALUES:
        raise place.error(f"no {name}.")
    return node_of(VALUES[name], Place("values.json", 1, 1, name))


def resolved(text: str) -> object:
    return resolve(Node(text, HERE), lookup).plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[parameters('n')]", 5),
        ("[ variables( 'yes' ) ]", True),
        ("[parameters('list')]", [1, ["a"]]),
        ("[parameters('object')]", {"a": {"b c": "deep"}, "at": 1}),
        ("[parameters('none')]", None),
        ("[parameters('object').a['b c']]", "deep"),
        ("[parameters('object')[parameters('key')]]", {"b c": "deep"}),
        ("[parameters('list')[1][0]]", "a"),
        ("x-[parameters('n')]-[parameters('yes')].png", "x-5-true.png"),
        ("[parameters('n')] ", "5 "),
        ("[parameters('word')]", "wörd [x] {0}"),
        ("[[parameters('n')]", "[parameters('n')]"),
        ("[[[parameters('n')]]", "[5]"),
        ("a]b", "a]b"),
        ("[[[[ -f x ]]", "[[ -f x ]]"),
        ("[concat('a', 1, -2, parameters('n'), concat(), 'it''s', ', ]')]", "a1-25it's, ]"),
        ("[concat(parameters('list'), parameters('list'))]", [1, ["a"], 1, ["a"]]),
        ("['']", ""),
        ("[7]", 7),
        ("", ""),
    ],
)
def test_what_expressions_give(text: str, value: object) -> None:
    """A whole expression keeps its type, others are written into the text, and `[[` is a bracket."""
    assert resolved(text) == value
    assert type(resolved(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[uniqueString('x')]", "the function uniqueString is not known; there are concat, parameters, variables."),
        ("[parameter('x')]", "the function parameter is not known; did you mean parameters?"),
        ("frame[0-9].png", "[0-9].png is no expression such as [parameters('x')], at its character 3;"),
        ("[parameters('x'", "[parameters('x' is no expression"),
        ("[parameters('x)]", "[parameters('x)] is no expression"),
        ("[parameters(x)]", "[parameters(x)] is no expression"),
        ("[]", "[] is no expression"),
        ("[ -f x ]", "[ -f x ] is no expression"),
        ("a[", "[ is no expression"),
        ("[parameters('n'), 1]", "is no expression"),
        ("[parameters()]", "parameters takes one name; write [parameters('NAME')]."),
        ("[parameters('n', 'n')]", "parameters takes one name"),
        ("[parameters(5)]", "parameters takes one name"),
        ("[parameters('object').b]", "the object has no member b; there are a, at."),
        ("[parameters('list')[2]]", "the array has no item 2; its 2 items are numbered from 0."),
        ("[parameters('n').x]", 'a whole number has nothing under "x"'),
        ("x[parameters('object')]", "an object cannot become part of a text"),
        ("[concat('a', parameters('none'))]", "null cannot become part of a text"),
        ("[concat('a', parameters('list'))]", "an array cannot become part of a text"),
        ("[parameters('z')]", "no z."),
        (f"[{'concat(' * 60}", "nested more than 50 levels deep"),
    ],
)
def test_mistakes_name_the_place_of_the_text(text: str, sentence: str) -> None:
    """What is wrong in an expression is said with the text's place and the way out."""
    with pytest.raises(TemplateError) as caught:
        resolved(text)
    assert str(caught.value).startswith("t.json:3:7 (job.id): ")
    assert sentence in str(caught.value)
    assert (caught.value.file, caught.value.line, caught.value.column) == ("t.json", 3, 7)
    assert caught.value.path == "job.id"


@given(st.text())
def test_any_text_can_be_escaped(text: str) -> None:
    """With its brackets doubled, a text stands for itself."""
    assert resolved(text.replace("[", "[[")) == text


@given(st.text(alphabet="[](),.' xn1'parametersconcat"))
@example("[parameters('n')].")
def test_every_text_is_read_or_refused(text: str) -> None:
    """No text makes the reader fail otherwise than by saying so, and only known functions are let through."""
    try:
        parts = parse_text(text)
    except WrongExpressionError:
        return
    for part in parts:
        assert isinstance(part, str) or getattr(part, "function", "concat") in FUNCTIONS


@given(st.lists(st.text() | st.integers(-(10**17), 10**17)))
def test_concat_joins_whatever_is_quoted(values: list[str | int]) -> None:
    """Any text can stand in quotes, with those in it doubled."""
    arguments = ", ".join("'" + v.replace("'", "''") + "'" if isinstance(v, str) else str(v) for v in values)
    assert resolved(f"[concat({arguments})]") == "".join(map(str, values))


def test_objects_keep_the_place_they_were_written_at() -> None:
    """A mistake inside a parameter's object is to be mended where the object stands."""
    assert resolve(Node("[parameters('object')]", HERE), lookup).place.file == "values.json"
    assert resolve(Node("[parameters('n')]", HERE), lookup).place == HERE
