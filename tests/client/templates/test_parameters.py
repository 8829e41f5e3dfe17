"""Parameters: which values they take, and which definitions and values are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batch_outputs.client.templates import Template, read_parameters
from batch_outputs.errors import TemplateError


def value_of(definition: dict[str, object], *given: object) -> object:
    """What a template makes of one parameter x, and of a value for it."""
    template = Template.parse(
        json.dumps(
            {
                "parameters": {"x": definition},
                "job": {
                    "value": "[parameters('x')]",
                    "taskFactory": {"type": "taskCollection", "tasks": [{"id": "a", "commandLine": "a"}]},
                },
            }
        ),
        "t.json",
    )
    return template.expand({"x": given[0]} if given else {}).job["value"]


def refused(definition: dict[str, object], *given: object) -> str:
    with pytest.raises(TemplateError) as caught:
        value_of(definition, *given)
    return str(caught.value)


@pytest.mark.parametrize(
    ("definition", "given", "value"),
    [
        ({"type": "int"}, 5, 5),
        ({"type": "int"}, "-05", -5),
        ({"type": "Int", "minValue": -1, "maxValue": 5}, -1, -1),
        ({"type": "int", "allowedValues": [1, "2"]}, "2", 2),
        ({"type": "string"}, "", ""),
        ({"type": "string", "minLength": 2, "maxLength": 2}, "äö", "äö"),
        ({"type": "string"}, "[parameters('x')]", "[parameters('x')]"),
        ({"type": "string", "allowedValues": ["a", "b"]}, "b", "b"),
        ({"type": "bool"}, False, False),
        ({"type": "bool"}, "TRUE", True),
        ({"type": "object"}, {"a": [1]}, {"a": [1]}),
        ({"type": "object"}, [1], [1]),
        ({"type": "object", "allowedValues": [{"a": 1, "b": 2}]}, {"b": 2, "a": 1}, {"a": 1, "b": 2}),
    ],
)
def test_values_become_what_the_type_says(definition: dict[str, object], given: object, value: object) -> None:
    """A value of the type, or a text that says one, is taken; what somebody gives is never an expression."""
    assert value_of(definition, given) == value
    assert type(value_of(definition, given)) is type(value)


@pytest.mark.parametrize(
    ("definition", "given", "sentence"),
    [
        ({"type": "int"}, "five", 'the parameter x is "five"; give it a whole number.'),
        ({"type": "int"}, True, "the parameter x is true; give it a whole number."),
        ({"type": "int"}, 1.0, "the parameter x is 1.0; give it a whole number."),
        ({"type": "int"}, None, "the parameter x is null; give it a whole number."),
        ({"type": "int", "minValue": 3}, 2, "the parameter x is 2; give it at least 3."),
        ({"type": "int", "maxValue": 3}, "4", "the parameter x is 4; give it at most 3."),
        ({"type": "int", "allowedValues": [1, 2]}, 3, "the parameter x is 3; allowed are 1, 2."),
        ({"type": "string"}, 5, "the parameter x is 5; give it a text."),
        ({"type": "string", "minLength": 1}, "", "the parameter x has 0 characters; give it at least 1."),
        ({"type": "string", "maxLength": 1}, "ab", "the parameter x has 2 characters; give it at most 1."),
        ({"type": "string", "allowedValues": ["a"]}, "A", 'the parameter x is "A"; allowed are "a".'),
        (
            {"type": "string", "allowedValues": ["u?sig=S3"]},
            "b",
            'the parameter x is "b"; allowed are a text with a se',
        ),
        ({"type": "string", "allowedValues": ["a"]}, "u?sig=S3", "the parameter x is a text with a secret; allowed"),
        ({"type": "bool"}, 1, "the parameter x is 1; give it true or false."),
        ({"type": "bool"}, "yes", 'the parameter x is "yes"; give it true or false.'),
        ({"type": "object"}, "a", 'the parameter x is "a"; give it an object or array.'),
    ],
)
def test_wrong_values_are_refused(definition: dict[str, object], given: object, sentence: str) -> None:
    """A value of another type or out of bounds is named with what it may be, whether it is given or the default."""
    assert refused(definition, given).startswith(f"the parameters given (x): {sentence}")
    default = refused({**definition, "defaultValue": given})
    assert default.startswith("t.json:1:")
    assert f"(parameters.x.defaultValue): {sentence}" in default


@pytest.mark.parametrize(
    ("definition", "sentence"),
    [
        ({}, "(parameters.x): the parameter x has no type; add one of int, string, bool, object."),
        ({"type": "array"}, "(parameters.x.type): array is no type; use one of int, string, bool, object."),
        ({"type": 5}, "(parameters.x.type): the type is a whole number; give it a text."),
        (
            {"type": "int", "default": 5},
            "(parameters.x.default): a parameter has no default; did you mean defaultValue?",
        ),
        ({"type": "int", "maxLength": 5}, "(parameters.x.maxLength): maxLength is for parameters of type string"),
        ({"type": "string", "minValue": 5}, "(parameters.x.minValue): minValue is for parameters of type int"),
        ({"type": "int", "minValue": "5"}, "(parameters.x.minValue): minValue is a text; give it a whole number."),
        ({"type": "int", "minValue": 5, "maxValue": 4}, "(parameters.x.minValue): minValue is greater than maxValue"),
        ({"type": "int", "allowedValues": []}, "(parameters.x.allowedValues): allowedValues is empty"),
        ({"type": "int", "allowedValues": ["a"]}, '(parameters.x.allowedValues[0]): the parameter x is "a"; give it'),
        ({"type": "int", "minValue": 5, "allowedValues": [4]}, "(parameters.x.allowedValues[0]): the parameter x is 4"),
    ],
)
def test_wrong_definitions_are_refused(definition: dict[str, object], sentence: str) -> None:
    """A mistake in a parameter's definition is pointed at, whatever the value."""
    assert sentence in refused(definition, 5)


def test_all_missing_values_are_named_at_once() -> None:
    """Whoever forgets several values is told all of them, and where the first is defined."""
    template = Template.parse(
        '{"parameters": {"a": {"type": "int"},\n "b": {"type": "bool"}, "c": {"type": "int", "defaultValue": 1},\n'
        ' "d": {"type": "int"}}, "job": {}}',
        "t.json",
    )
    with pytest.raises(TemplateError) as caught:
        template.expand({"a": 1})
    assert str(caught.value) == (
        "t.json:2:7 (parameters.b): the parameters b, d have neither a value nor a defaultValue; "
        "give one by a parameters file or --parameter b=VALUE."
    )
    with pytest.raises(TemplateError, match=r"the template has no parameter C; did you mean|there are a, b, c, d"):
        template.expand({"C": 1})


def test_defaults_may_use_other_parameters_but_no_circle() -> None:
    """An expression in a default is resolved, and has to lead to a value."""
    text = (
        '{"parameters": {"a": {"type": "string", "defaultValue": "[parameters(\'b\')]"},'
        ' "b": {"type": "string", "defaultValue": "%s"}},'
        ' "job": {"id": "[parameters(\'a\')]", "taskFactory": {"type": "taskCollection",'
        ' "tasks": [{"id": "a", "commandLine": "a"}]}}}'
    )
    assert Template.parse(text % "x").expand().job["id"] == "x"
    with pytest.raises(TemplateError, match=r"a → b → a is a circle"):
        Template.parse(text % "[parameters('a')]").expand()


def test_files_and_texts_give_values(tmp_path: Path) -> None:
    """Both forms of a parameters file are read, bare or in a deployment's envelope; typed values stand above them."""
    template = Template.parse(
        '{"parameters": {"a": {"type": "int"}, "b": {"type": "string"}, "c": {"type": "object"},'
        ' "d": {"type": "bool"}},'
        ' "job": {"v": ["[parameters(\'a\')]", "[parameters(\'b\')]", "[parameters(\'c\')]", "[parameters(\'d\')]"],'
        ' "taskFactory": {"type": "taskCollection", "tasks": [{"id": "a", "commandLine": "a"}]}}}'
    )
    file = tmp_path / "values.json"
    values = {"a": {"value": 1}, "b": "text", "c": {"value": 2, "unit": "s"}, "d": {"value": True}}
    for document in (values, {"$schema": "x", "contentVersion": "1.0.0.0", "parameters": values}):
        file.write_text(json.dumps(document))
        given = read_parameters(file, {"a": "7", "b": "5"}, template=template)
        assert template.expand(given).job["v"] == [7, "5", {"value": 2, "unit": "s"}, True]
    given = read_parameters(file, {"c": '{"k": [1]}', "d": "false"}, template=template)
    assert template.expand(given).job["v"] == [1, "text", {"k": [1]}, False]


def test_mistakes_in_values_are_pointed_at_where_they_were_given(tmp_path: Path) -> None:
    """A wrong value shows its own place: the parameters file with line and column, or the option."""
    template = Template.parse('{"parameters": {"a": {"type": "int"}, "o": {"type": "object"}}, "job": {}}')
    file = tmp_path / "values.json"
    file.write_text('{"o": {},\n "a": {"value": "x"}}')
    for texts, place in (({}, f"{file}:2:17 (a.value): "), ({"a": "y"}, "--parameter a: ")):
        with pytest.raises(TemplateError) as caught:
            template.expand(read_parameters(file, texts, template=template))
        assert str(caught.value).startswith(place)
    with pytest.raises(TemplateError, match=r"^--parameter o:1:2: this is not JSON"):
        read_parameters(None, {"o": "{a}"}, template=template)
    file.write_text("[1]")
    with pytest.raises(TemplateError, match=r"values.json:1:1: a parameters file is an array; make it an object"):
        read_parameters(file)
