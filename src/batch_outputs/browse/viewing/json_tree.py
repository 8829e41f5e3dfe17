"""JSON as a tree to be folded and unfolded, as it is written: numbers of any length, keys that stand there twice."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from batch_outputs.browse.viewing.lines import harmless

MOST_NODES = 5000
"""Nodes of a tree that are shown."""
MOST_CHILDREN = 500
"""Nodes below one that are shown."""
MOST_LINES = 1000
"""Values of a text with one on each line that are shown."""
_OPEN_LEVELS = 2
_OPEN_NODES = 50
"""What is unfolded at first: the first levels, where they are not too long."""
_GLIMPSED = 10
_LONGEST_GLIMPSE = 100
DEEPEST = 32
"""Levels that are shown."""
LONGEST_TEXT = 2000
"""Characters of a text that are shown."""


class NotJsonError(ValueError):
    """What is no JSON, or none that can be shown as a tree; the text says why."""


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


class _Object(list[tuple[str, Any]]):
    """The members of an object as they are written."""


class _Lines(list[Any]):
    """The values of a text with one on each line."""


class _Broken(str):
    """A line that is none."""

    __slots__ = ()


_Value: TypeAlias = Any


@dataclass(slots=True)
class Node:
    """A value: `kind` is `object`, `array`, `text`, `number`, `word` or `broken`; `key` is its name in an object.

    `count` is how many nodes are below it, `left_out` how many of them are not in `children`. `text` is the value
    itself where nothing is below it, and `cut` says that there is more of it.
    """

    kind: str
    key: str | None = None
    text: str = ""
    cut: int = 0
    count: int = 0
    left_out: int = 0
    is_open: bool = False
    glimpse: str = ""
    """Some of what is below it, in short, to be seen while it is folded."""
    children: list[Node] = field(default_factory=list)


def parse_json(text: str) -> Node:
    """The tree of a JSON text.

    Raises:
        NotJsonError: it is none, or it is nested too deeply.
    """
    return _tree(_value(text))


def parse_json_lines(text: str, *, is_whole: bool) -> Node:
    """The trees of a text with a value on each line, below one root; a line that is no JSON is one of kind `broken`.

    With `is_whole` False the text ends in the middle, and its last line is left out.
    """
    lines = text.split("\n")
    if not is_whole:
        del lines[-1:]
    root = _Lines()
    for line in lines:
        if line.strip():
            try:
                root.append(_value(line))
            except NotJsonError:
                root.append(_Broken(line))
    return _tree(root)


def _value(text: str) -> _Value:
    try:
        return json.loads(
            text, object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number, parse_constant=_Number
        )
    except json.JSONDecodeError as error:
        raise NotJsonError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise NotJsonError("it is nested too deeply") from error


def _tree(value: _Value) -> Node:
    """Level by level, so that what there is too much of is left out below and not behind."""
    root = _node(None, value)
    waiting = deque([(root, value, 1)])
    nodes = 1
    while waiting:
        node, members, depth = waiting.popleft()
        if not isinstance(members, list):
            continue
        node.count = node.left_out = len(members)
        if depth >= DEEPEST:
            continue
        room = min(MOST_LINES if isinstance(members, _Lines) else MOST_CHILDREN, MOST_NODES - nodes)
        named = members[:room] if isinstance(members, _Object) else [(None, one) for one in members[:room]]
        for key, child in named:
            below = _node(key, child)
            node.children.append(below)
            waiting.append((below, child, depth + 1))
        nodes += len(named)
        node.left_out -= len(named)
        node.glimpse = _glimpse(node)
        node.is_open = depth <= _OPEN_LEVELS and len(named) <= _OPEN_NODES
    root.is_open = True
    return root


def _glimpse(node: Node) -> str:
    """The first values that nothing is below of."""
    said: list[str] = []
    length = 0
    for child in node.children[:_GLIMPSED]:
        if child.kind in {"object", "array"}:
            break
        said.append(f"{child.key}: {child.text[:40]}" if child.key is not None else child.text[:40])
        length += len(said[-1])
        if length > _LONGEST_GLIMPSE:
            break
    return ", ".join(said)[:_LONGEST_GLIMPSE] + (
        "…" if said and (length > _LONGEST_GLIMPSE or len(said) < node.count) else ""
    )


def _node(key: str | None, value: _Value) -> Node:
    name = None if key is None else _shown(key)[0]
    if isinstance(value, _Object):
        return Node("object", name)
    if isinstance(value, list):
        return Node("array", name)
    if isinstance(value, _Number):
        return Node("number", name, *_shown(value))
    if isinstance(value, _Broken):
        return Node("broken", name, *_shown(value))
    if isinstance(value, str):
        return Node("text", name, *_shown(value))
    return Node("word", name, {True: "true", False: "false", None: "null"}[value])


def _shown(text: str) -> tuple[str, int]:
    """A text as it can be shown, and how many characters are left out."""
    return harmless(text[:LONGEST_TEXT]), max(0, len(text) - LONGEST_TEXT)
