"""The parameters of a template: which values they may have, and the values that are given."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from batch_outputs.client.templates.document import Node, Place, node_of, parse, read
from batch_outputs.client.templates.expressions import suggestion
from batch_outputs.settings import carries_secret

TYPES: Final = ("int", "string", "bool", "object")
_LIMITS: Final = {"minValue": "int", "maxValue": "int", "minLength": "string", "maxLength": "string"}
_MEMBERS: Final = {"type", "defaultValue", "allowedValues", "metadata", *_LIMITS}
_WHOLE_NUMBER = re.compile(r"[-+]?\d{1,18}")


class Parameter:
    """One parameter as the template defines it.

    Raises:
        TemplateError: the definition has a mistake.
    """

    def __init__(self, name: str, definition: Node) -> None:
        self.name = name
        self.place: Place = definition.place
        members = definition.as_object(f"the definition of the parameter {name}")
        for key, member in members.items():
            if key not in _MEMBERS:
                raise member.error(f"a parameter has no {key}; {suggestion(key, _MEMBERS)}")
        if "type" not in members:
            raise definition.error(f"the parameter {name} has no type; add one of {', '.join(TYPES)}.")
        self.type: str = members["type"].as_text("the type").lower()
        if self.type not in TYPES:
            raise members["type"].error(f"{self.type} is no type; use one of {', '.join(TYPES)}.")
        self.default: Node | None = members.get("defaultValue")
        self._limits = {key: self._limit(key, members[key]) for key in _LIMITS if key in members}
        for low, high in (("minValue", "maxValue"), ("minLength", "maxLength")):
            if low in self._limits and high in self._limits and self._limits[low] > self._limits[high]:
                raise members[low].error(f"{low} is greater than {high}; no value could be given.")
        self._allowed: list[Node] | None = None
        if "allowedValues" in members:
            values = members["allowedValues"].as_list("allowedValues")
            if not values:
                raise members["allowedValues"].error("allowedValues is empty; no value could be given.")
            self._allowed = [self._checked(value) for value in values]

    def _limit(self, key: str, node: Node) -> int:
        if _LIMITS[key] != self.type:
            raise node.error(
                f"{key} is for parameters of type {_LIMITS[key]}, and {self.name} is {self.type}; remove it."
            )
        return node.as_whole_number(key)

    def value(self, given: Node) -> Node:
        """The value that is given, of the parameter's type: `"5"` is a number for an int, `"true"` is true for a bool.

        Raises:
            TemplateError: it is of another type, or not one of those that are allowed.
        """
        node = self._checked(given)
        if self._allowed is not None and not any(_same(node.plain, each.plain) for each in self._allowed):
            allowed = ", ".join(map(_shown, self._allowed))
            raise given.error(f"the parameter {self.name} is {_shown(node)}; allowed are {allowed}.")
        return node

    def _checked(self, given: Node) -> Node:
        node = self._converted(given)
        if isinstance(node.value, str):
            measure, what = len(node.value), f"has {len(node.value)} characters"
            low, high = self._limits.get("minLength"), self._limits.get("maxLength")
        elif isinstance(node.value, int) and not isinstance(node.value, bool):
            measure, what = node.value, f"is {node.value}"
            low, high = self._limits.get("minValue"), self._limits.get("maxValue")
        else:
            return node
        if low is not None and measure < low:
            raise given.error(f"the parameter {self.name} {what}; give it at least {low}.")
        if high is not None and measure > high:
            raise given.error(f"the parameter {self.name} {what}; give it at most {high}.")
        return node

    def _converted(self, given: Node) -> Node:
        value = given.value
        if self.type == "object" and isinstance(value, dict | list):
            return given
        if self.type == "string" and isinstance(value, str):
            return given
        if self.type == "bool":
            if isinstance(value, bool):
                return given
            if isinstance(value, str) and value.lower() in {"true", "false"}:
                return Node(value.lower() == "true", given.place)
        if self.type == "int":
            if isinstance(value, int) and not isinstance(value, bool):
                return given
            if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
                return Node(int(value), given.place)
        wanted = {"int": "a whole number", "string": "a text", "bool": "true or false", "object": "an object or array"}
        raise given.error(f"the parameter {self.name} is {_shown(given)}; give it {wanted[self.type]}.")


def definitions(template: Mapping[str, Node]) -> dict[str, Parameter]:
    """The parameters of a template, by name.

    Raises:
        TemplateError: a definition has a mistake.
    """
    if "parameters" not in template:
        return {}
    return {name: Parameter(name, node) for name, node in template["parameters"].as_object("parameters").items()}


def read_values(file: str) -> dict[str, Node]:
    """The values of a parameters file: `{"x": {"value": 1}}` or `{"x": 1}`, bare or in an Azure deployment's envelope.

    Raises:
        TemplateError: it cannot be read, or is not such a file.
    """
    return values_of(read(file))


def values_of(document: Node) -> dict[str, Node]:
    """The values of a parameters file that was read before."""
    members = document.as_object("a parameters file")
    if "$schema" in members and "parameters" in members:
        members = members["parameters"].as_object("parameters")
    return {name: _unwrapped(node) for name, node in members.items()}


def value_of_text(name: str, text: str, parameter: Parameter | None) -> Node:
    """A value that was typed as `NAME=TEXT`: the text, or, for a parameter that is an object, the JSON in it."""
    file = f"--parameter {name}"
    if parameter is not None and parameter.type == "object":
        return parse(text, file)
    return Node(text, Place(file))


def values_from_python(values: Mapping[str, object]) -> dict[str, Node]:
    """Values that a program gives.

    Raises:
        TemplateError: JSON has no such value.
    """
    return {
        name: value if isinstance(value, Node) else node_of(value, Place("the parameters given", path=name))
        for name, value in values.items()
    }


def check_names(parameters: Mapping[str, Parameter], given: Mapping[str, Node]) -> None:
    """Make sure that every value given is a parameter's, and that every parameter has a value.

    Raises:
        TemplateError: one is too many or too few.
    """
    for name, node in given.items():
        if name not in parameters:
            raise node.error(f"the template has no parameter {name}; {suggestion(name, parameters)}")
    missing = [name for name, parameter in parameters.items() if parameter.default is None and name not in given]
    if missing:
        named = f"parameter {missing[0]} has" if len(missing) == 1 else f"parameters {', '.join(missing)} have"
        raise parameters[missing[0]].place.error(
            f"the {named} neither a value nor a defaultValue; give one by a parameters file or "
            f"--parameter {missing[0]}=VALUE."
        )


def _unwrapped(node: Node) -> Node:
    if isinstance(node.value, dict) and set(node.value) == {"value"}:
        return node.value["value"]
    return node


def _same(one: object, other: object) -> bool:
    """Whether two values are one in JSON, where `true` is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _shown(node: Node) -> str:
    if isinstance(node.value, dict | list) or node.value is None:
        return node.kind
    if isinstance(node.value, str) and carries_secret(node.value):
        return "a text with a secret"
    shown = json.dumps(node.value, ensure_ascii=False)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"
