"""Expressions of templates, `[parameters('x')]`, `[variables('x')]` and `[concat(…)]`, in texts or as whole values.

A text that consists of one expression becomes that expression's value and keeps its type; elsewhere the value is
written into the text. `[[` is a bracket. What an expression gives may be gone into: `parameters('x').size`,
`variables('x')[0]`. Within an expression texts stand in single quotes, and `''` in them is a quote.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from batch_outputs.client.templates.document import Node, Place

Lookup: TypeAlias = Callable[[str, str, Place], Node]
"""Gives what `parameters` or `variables` (the first argument) have under a name, for somebody at a place."""

FUNCTIONS = ("concat", "parameters", "variables")
_DEEPEST = 50
_LONGEST = 1_000_000
"""Characters of a joined text: variables that double one another would else fill the memory."""
_TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_]\w*)|'(?P<text>(?:[^']|'')*)'|(?P<number>-?\d{1,18})|(?P<mark>[()\[\],.]))"
)


@dataclass(frozen=True, slots=True)
class Constant:
    """A text or number that stands in an expression."""

    value: str | int


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments, and the steps into its result: names of members and numbers of items."""

    function: str
    arguments: tuple[Expression, ...]
    steps: tuple[Expression, ...] = ()


Expression: TypeAlias = Constant | Call


class WrongExpressionError(Exception):
    """A text has a mistake in an expression; says what."""


def parse_text(text: str) -> list[str | Expression]:
    """The parts of a text: literal ones, and expressions.

    Raises:
        WrongExpressionError: a bracket begins something that is no expression.
    """
    parts: list[str | Expression] = []
    literal: list[str] = []
    at = 0
    while (start := text.find("[", at)) >= 0:
        literal.append(text[at:start])
        if text.startswith("[[", start):
            literal.append("[")
            at = start + 2
            continue
        parser = _Parser(text, start + 1)
        expression = parser.expression()
        at = parser.end()
        if any(literal):
            parts.append("".join(literal))
        literal = []
        parts.append(expression)
    literal.append(text[at:])
    if any(literal):
        parts.append("".join(literal))
    return parts


def resolve(node: Node, lookup: Lookup) -> Node:
    """The value with every expression in it replaced; what an expression gives is not looked at again.

    Raises:
        TemplateError: an expression has a mistake; its place is that of the text.
    """
    if isinstance(node.value, dict):
        return Node({key: resolve(item, lookup) for key, item in node.value.items()}, node.place)
    if isinstance(node.value, list):
        return Node([resolve(item, lookup) for item in node.value], node.place)
    if not isinstance(node.value, str) or "[" not in node.value:
        return node
    try:
        parts = parse_text(node.value)
    except WrongExpressionError as error:
        raise node.error(str(error)) from None
    if len(parts) == 1 and not isinstance(parts[0], str):
        found = _evaluate(parts[0], node.place, lookup)
        # Objects keep the place that they were written at, where their mistakes have to be mended.
        return found if isinstance(found.value, dict | list) else found.at(node.place)
    texts = (
        part if isinstance(part, str) else _text(_evaluate(part, node.place, lookup), node.place) for part in parts
    )
    return Node(_joined(texts, node.place), node.place)


def suggestion(name: str, known: Iterable[str]) -> str:
    """What to do about a name that is not known: the nearest one, or those there are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"there {'is' if len(names) == 1 else 'are'} {', '.join(names)}." if names else "there are none."


def _evaluate(expression: Expression, place: Place, lookup: Lookup) -> Node:
    if isinstance(expression, Constant):
        return Node(expression.value, place)
    arguments = [_evaluate(argument, place, lookup) for argument in expression.arguments]
    if expression.function == "concat":
        value = _concat(arguments, place)
    else:
        if len(arguments) != 1 or not isinstance(arguments[0].value, str):
            raise place.error(f"{expression.function} takes one name; write [{expression.function}('NAME')].")
        value = lookup(expression.function, arguments[0].value, place)
    for step in expression.steps:
        value = _step(value, _evaluate(step, place, lookup).value, place)
    return value


def _concat(arguments: Sequence[Node], place: Place) -> Node:
    if arguments and all(isinstance(argument.value, list) for argument in arguments):
        return Node([item for argument in arguments for item in argument.as_list("It")], place)
    return Node(_joined((_text(argument, place) for argument in arguments), place), place)


def _joined(texts: Iterable[str], place: Place) -> str:
    joined = "".join(texts)
    if len(joined) > _LONGEST:
        raise place.error(f"the text becomes longer than {_LONGEST:,} characters; check what is joined.")
    return joined


def _text(node: Node, place: Place) -> str:
    if isinstance(node.value, str):
        return node.value
    if isinstance(node.value, dict | list) or node.value is None:
        raise place.error(
            f"{node.kind} cannot become part of a text; let the expression be the whole value, or name a member of it."
        )
    return json.dumps(node.value)


def _step(node: Node, step: object, place: Place) -> Node:
    if isinstance(node.value, dict) and isinstance(step, str):
        if step not in node.value:
            raise place.error(f"the object has no member {step}; {suggestion(step, node.value)}")
        return node.value[step]
    if isinstance(node.value, list) and isinstance(step, int):
        if not 0 <= step < len(node.value):
            raise place.error(f"the array has no item {step}; its {len(node.value)} items are numbered from 0.")
        return node.value[step]
    raise place.error(
        f"{node.kind} has nothing under {json.dumps(step, ensure_ascii=False)}; check what it is part of."
    )


class _Parser:
    """Reads one expression out of a text."""

    def __init__(self, text: str, at: int) -> None:
        self._text = text
        self._start = at - 1
        self._at = at

    def expression(self, depth: int = 0) -> Expression:
        if depth > _DEEPEST:
            raise WrongExpressionError(f"the expression is nested more than {_DEEPEST} levels deep; use variables.")
        found = self._next()
        if found["text"] is not None:
            return Constant(found["text"].replace("''", "'"))
        if found["number"] is not None:
            return Constant(int(found["number"]))
        if found["name"] is None or not self._takes("("):
            raise self._wrong()
        name = found["name"]
        if name not in FUNCTIONS:
            raise WrongExpressionError(
                f"the function {name} is not known; {suggestion(name, FUNCTIONS)} For a bracket write [[."
            )
        arguments = []
        if not self._takes(")"):
            arguments.append(self.expression(depth + 1))
            while self._takes(","):
                arguments.append(self.expression(depth + 1))
            if not self._takes(")"):
                raise self._wrong()
        return Call(name, tuple(arguments), tuple(self._steps(depth)))

    def end(self) -> int:
        """Step over the closing bracket; where the text goes on."""
        if not self._takes("]"):
            raise self._wrong()
        return self._at

    def _steps(self, depth: int) -> Iterable[Expression]:
        while True:
            if self._takes("."):
                found = self._next()
                if found["name"] is None:
                    raise self._wrong()
                yield Constant(found["name"])
            elif self._takes("["):
                yield self.expression(depth + 1)
                if not self._takes("]"):
                    raise self._wrong()
            else:
                return

    def _next(self) -> re.Match[str]:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            raise self._wrong()
        self._at = found.end()
        return found

    def _takes(self, mark: str) -> bool:
        found = _TOKEN.match(self._text, self._at)
        if found is None or found["mark"] != mark:
            return False
        self._at = found.end()
        return True

    def _wrong(self) -> WrongExpressionError:
        shown = self._text[self._start : self._start + 40]
        dots = "…" if len(self._text) > self._start + 40 else ""
        return WrongExpressionError(
            f"{shown}{dots} is no expression such as [parameters('x')], at its character {self._at - self._start + 1}; "
            "mend it, or write [[ for a bracket."
        )
