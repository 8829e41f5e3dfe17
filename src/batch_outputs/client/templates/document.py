"""JSON in which every value knows its place, so that a mistake in it can be pointed at."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from json.decoder import scanstring  # type: ignore[attr-defined]  # documented nowhere, in json since 2.6
from typing import NoReturn, TypeAlias

from batch_outputs.errors import TemplateError

Scalar: TypeAlias = str | int | float | bool | None
Value: TypeAlias = "dict[str, Node] | list[Node] | Scalar"

_DEEPEST = 100
"""Levels of nesting; a job has about ten, and Python's stack about a thousand."""
_MOST_VALUES = 4_000_000
"""Values in one another: a million tasks have three each. Variables that double one another have far more."""
_LONGEST_NUMBER = 300
_BLANK = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"(-?(?:0|[1-9]\d*))(\.\d+)?([eE][-+]?\d+)?")
_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*")
_WORDS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: a file with line and column (from 1), and the way to it from the document's root."""

    file: str
    line: int | None = None
    column: int | None = None
    path: str = ""

    def __str__(self) -> str:
        position = f"{self.file}:{self.line}:{self.column}" if self.line is not None else self.file
        return f"{position} ({self.path})" if self.path else position

    def error(self, what: str) -> TemplateError:
        """The error that something is wrong here; `what` says it and what to do."""
        return TemplateError(
            f"{self}: {what}", file=self.file, line=self.line, column=self.column, path=self.path or None
        )


@dataclass(frozen=True, slots=True)
class Node:
    """A value of JSON and its place. Items of objects and arrays are nodes, too."""

    value: Value
    place: Place

    def error(self, what: str) -> TemplateError:
        """The error that something is wrong with this value; `what` says it and what to do."""
        return self.place.error(what)

    @property
    def kind(self) -> str:
        """What it is, with its article: `a text`, `an object`."""
        return kind_of(self.value)

    @property
    def plain(self) -> object:
        """The value without places, as `json.loads` gives it."""
        if isinstance(self.value, dict):
            return {key: item.plain for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain for item in self.value]
        return self.value

    def as_object(self, what: str) -> dict[str, Node]:
        """The members of an object; `what` is what the value should be an object for."""
        if isinstance(self.value, dict):
            return self.value
        raise self.error(f"{what} is {self.kind}; make it an object, {{…}}.")

    def as_list(self, what: str) -> list[Node]:
        """The items of an array."""
        if isinstance(self.value, list):
            return self.value
        raise self.error(f"{what} is {self.kind}; make it an array, […].")

    def as_text(self, what: str) -> str:
        """A text that is not empty."""
        if isinstance(self.value, str) and self.value:
            return self.value
        raise self.error(f"{what} is {'empty' if self.value == '' else self.kind}; give it a text.")

    def as_whole_number(self, what: str) -> int:
        """A whole number."""
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return self.value
        raise self.error(f"{what} is {self.kind}; give it a whole number.")

    def at(self, place: Place) -> Node:
        """The same value, said to stand elsewhere."""
        return Node(self.value, place)


def kind_of(value: object) -> str:
    """What a value of JSON is, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a bool"
    for kinds, name in ((str, "a text"), (int, "a whole number"), (float, "a fraction"), (list, "an array")):
        if isinstance(value, kinds):
            return name
    return "an object"


def node_of(value: object, place: Place) -> Node:
    """A value that comes from no file, such as one made in Python, with `place` as the place of all of it.

    Raises:
        TemplateError: JSON has no such value.
    """
    if isinstance(value, Mapping):
        return Node({str(key): node_of(item, member(place, str(key))) for key, item in value.items()}, place)
    if isinstance(value, list | tuple):
        return Node([node_of(item, element(place, number)) for number, item in enumerate(value)], place)
    if value is None or isinstance(value, str | int | float):
        return Node(value, place)
    raise place.error(f"JSON has no values of the class {type(value).__name__}; use a text, number, list or dict.")


def refuse_huge(node: Node) -> None:
    """Make sure that a value that was made from others can be gone through: they may stand in it many times over.

    Raises:
        TemplateError: it would fill the memory, or exhaust the stack.
    """
    level, seen, depth = [node], 1, 0
    while level:
        if depth > _DEEPEST:
            raise node.error(f"the value becomes nested more than {_DEEPEST} levels deep; check what it is made from.")
        level = list(islice((item for each in level for item in _items_of(each)), _MOST_VALUES))
        seen, depth = seen + len(level), depth + 1
        if seen > _MOST_VALUES:
            raise node.error(f"this becomes more than {_MOST_VALUES:,} values; check what it is made from.")


def _items_of(node: Node) -> Iterable[Node]:
    if isinstance(node.value, dict):
        return node.value.values()
    return node.value if isinstance(node.value, list) else ()


def member(place: Place, key: str, line: int | None = None, column: int | None = None) -> Place:
    """The place of an object's member, given the object's."""
    if not _PLAIN_KEY.fullmatch(key):
        path = f"{place.path}[{json.dumps(key, ensure_ascii=False)}]"
    else:
        path = f"{place.path}.{key}" if place.path else key
    return Place(place.file, line, column, path)


def element(place: Place, number: int, line: int | None = None, column: int | None = None) -> Place:
    """The place of an array's item, given the array's."""
    return Place(place.file, line, column, f"{place.path}[{number}]")


def parse(text: str, file: str, *, path: str = "") -> Node:
    """Read JSON; `file` is what errors call it, and `path` where the text itself stands, if in something.

    An object that has a name twice is refused: one of the two would be ignored without a word.

    Raises:
        TemplateError: it is not JSON, or nested absurdly deep.
    """
    return _Reader(text.removeprefix("\ufeff"), file).document(path)


def read(file: str) -> Node:
    """Read a file of JSON.

    Raises:
        TemplateError: it cannot be read, or is not JSON in UTF-8.
    """
    try:
        with open(file, encoding="utf-8") as stream:
            text = stream.read()
    except OSError as error:
        raise TemplateError(
            f"{file} cannot be read: {error.strerror or error}; check the name of the file.", file=file
        ) from error
    except UnicodeDecodeError as error:
        raise TemplateError(f"{file} is not text in UTF-8; store it as such.", file=file) from error
    return parse(text, file)


class _Reader:
    """Reads one text from front to back."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._at = 0
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def document(self, path: str) -> Node:
        self._skip_blanks()
        node = self._value(Place(self._file, path=path), 0)
        if self._at < len(self._text):
            self._fail("there is something behind the end of the document; remove it")
        return node

    def _value(self, place: Place, depth: int) -> Node:
        line, column = self._position(self._at)
        place = Place(place.file, line, column, place.path)
        if depth > _DEEPEST:
            raise place.error(f"the JSON is nested more than {_DEEPEST} levels deep; check its brackets.")
        start = self._text[self._at : self._at + 1]
        value: Value
        if start == "{":
            value = dict(self._members(place, depth))
        elif start == "[":
            value = list(self._items(place, depth))
        elif start == '"':
            value = self._string()
        else:
            value = self._number_or_word()
        self._skip_blanks()
        return Node(value, place)

    def _members(self, place: Place, depth: int) -> Iterator[tuple[str, Node]]:
        seen: set[str] = set()
        while self._goes_on("}", first=not seen):
            line, column = self._position(self._at)
            if self._text[self._at : self._at + 1] != '"':
                self._fail('the name of a member should stand here, in "…"')
            key = self._string()
            if key in seen:
                raise member(place, key, line, column).error("the name stands twice in its object; remove one.")
            seen.add(key)
            self._skip_blanks()
            if not self._takes(":"):
                self._fail(f'behind the name "{key}" a colon should stand')
            yield key, self._value(member(place, key), depth + 1)

    def _items(self, place: Place, depth: int) -> Iterator[Node]:
        number = 0
        while self._goes_on("]", first=number == 0):
            yield self._value(element(place, number), depth + 1)
            number += 1

    def _goes_on(self, closing: str, *, first: bool) -> bool:
        """Step over an opening bracket or a comma to what follows it, or over the closing bracket."""
        if first:
            self._at += 1
            self._skip_blanks()
            return not self._takes(closing)
        if self._takes(closing):
            return False
        if not self._takes(","):
            self._fail(f"a comma or {closing} should stand here")
        if self._text[self._at : self._at + 1] == closing:
            self._fail(f"nothing follows the comma before the {closing}; remove the comma")
        return True

    def _takes(self, char: str) -> bool:
        if self._text[self._at : self._at + 1] != char:
            return False
        self._at += 1
        if char in ",:":
            self._skip_blanks()
        return True

    def _string(self) -> str:
        try:
            value, self._at = scanstring(self._text, self._at + 1, True)
        except json.JSONDecodeError as error:
            self._at = error.pos
            self._fail(f"the text is no JSON ({error.msg.lower().removesuffix(' at')})")
        return str(value)

    def _number_or_word(self) -> Scalar:
        for word, value in _WORDS.items():
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        found = _NUMBER.match(self._text, self._at)
        if found is None:
            self._fail(
                'a value should stand here; texts stand in "…"' if self._at < len(self._text) else "it ends here"
            )
        if found.end() - found.start() > _LONGEST_NUMBER:
            self._fail("the number is absurdly long")
        whole, *rest = found.groups()
        if not any(rest):
            self._at = found.end()
            return int(whole)
        if math.isinf(fraction := float(found.group())):
            self._fail("the number is absurdly large")
        self._at = found.end()
        return fraction

    def _skip_blanks(self) -> None:
        found = _BLANK.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _position(self, at: int) -> tuple[int, int]:
        line = bisect_right(self._line_starts, at)
        return line, at - self._line_starts[line - 1] + 1

    def _fail(self, what: str) -> NoReturn:
        line, column = self._position(min(self._at, len(self._text)))
        raise Place(self._file, line, column).error(f"this is not JSON: {what}.")
