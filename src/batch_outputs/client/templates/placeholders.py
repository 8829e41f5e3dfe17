"""What stands in braces in a factory's pattern of a task: `{0}`, `{0:4}` and `{fileName}`; `{{` and `}}` are braces."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from batch_outputs.client.templates.document import Node
from batch_outputs.client.templates.expressions import suggestion

V = TypeVar("V")

Slot: TypeAlias = Callable[[V], str]
Fields: TypeAlias = "Mapping[str, Fields | None]"

FILE_FIELDS = ("url", "filePath", "fileName", "fileNameWithoutExtension")

_REPLACED: Fields = {
    "commandLine": None,
    "displayName": None,
    "resourceFiles": {
        "httpUrl": None,
        "filePath": None,
        "blobPrefix": None,
        "storageContainerUrl": None,
        "autoStorageContainerName": None,
        "source": {"fileGroup": None, "prefix": None, "containerUrl": None, "url": None},
    },
    "environmentSettings": {"name": None, "value": None},
    "outputFiles": {
        "filePattern": None,
        "destination": {
            "container": {"path": None, "containerUrl": None},
            "autoStorage": {"path": None, "fileGroup": None},
        },
    },
}
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NUMBERED = re.compile(r"(\d{1,4})(?::(\d{1,4}))?")
_WIDEST = 9


@dataclass(frozen=True, slots=True)
class File:
    """A file that a task is made for: its URL, and its name in the group or container."""

    url: str = field(repr=False)
    path: str


class TaskPattern(Generic[V]):
    """The pattern of a task, read once; `fill` makes the tasks.

    Raises:
        TemplateError: a brace has no meaning; its place is that of the text.
    """

    def __init__(self, pattern: Node, slot: Callable[[Node, str], Slot[V]]) -> None:
        self.node = pattern
        self._slot = slot
        self._fill = self._prepared(pattern, _REPLACED)

    def fill(self, values: V) -> Node:
        """The task for these values."""
        return self._fill(values) if callable(self._fill) else self._fill

    def _prepared(self, node: Node, fields: Fields | None) -> Node | Callable[[V], Node]:
        """The value itself if nothing in it is replaced, else what makes it."""
        if isinstance(node.value, list):
            items = [self._prepared(item, fields) for item in node.value]
            if not any(map(callable, items)):
                return node
            return lambda values: Node([item(values) if callable(item) else item for item in items], node.place)
        if isinstance(node.value, dict) and fields is not None:
            members = {
                name: self._prepared(item, fields[name]) if name in fields else item
                for name, item in node.value.items()
            }
            if not any(map(callable, members.values())):
                return node
            return lambda values: Node(
                {name: item(values) if callable(item) else item for name, item in members.items()}, node.place
            )
        if isinstance(node.value, str) and fields is None and ("{" in node.value or "}" in node.value):
            parts = self._parts(node, node.value)
            return lambda values: Node(
                "".join(part if isinstance(part, str) else part(values) for part in parts), node.place
            )
        return node

    def _parts(self, node: Node, text: str) -> Sequence[str | Slot[V]]:
        parts: list[str | Slot[V]] = []
        at = 0
        for found in _BRACES.finditer(text):
            parts.append(text[at : found.start()])
            at = found.end()
            if found.group() in {"{{", "}}"}:
                parts.append(found.group()[0])
            elif found[1] is None:
                raise node.error(f"a brace, {found.group()}, stands alone; write {found.group() * 2} for a brace.")
            else:
                parts.append(self._slot(node, found[1]))
        parts.append(text[at:])
        return parts


def numbered_slots(ranges: Sequence[range]) -> Callable[[Node, str], Slot[Sequence[int]]]:
    """The reader of `{0}` and `{0:4}`, for a sweep over these numbers."""

    def slot(node: Node, content: str) -> Slot[Sequence[int]]:
        found = _NUMBERED.fullmatch(content)
        if found is None:
            raise node.error(f"{{{content}}} is no number of a parameter set; write {{{{ and }}}} for braces.")
        number = int(found[1])
        if number >= len(ranges):
            raise node.error(f"{{{content}}} is there no parameter set for; the last one is {{{len(ranges) - 1}}}.")
        if found[2] is None:
            return lambda values: str(values[number])
        width = int(found[2])
        if not 1 <= width <= _WIDEST:
            raise node.error(f"{{{content}}} asks for {width} digits; ask for 1 to {_WIDEST}.")
        if min(ranges[number][0], ranges[number][-1]) < 0:
            raise node.error(
                f"{{{content}}} asks for digits, and its parameter set has negative numbers; use {{{number}}}."
            )
        return lambda values: f"{values[number]:0{width}}"

    return slot


def file_slot(node: Node, content: str) -> Slot[File]:
    """The reader of `{url}`, `{filePath}`, `{fileName}` and `{fileNameWithoutExtension}`."""
    if content not in FILE_FIELDS:
        raise node.error(
            f"{{{content}}} is nothing of a file; {suggestion(content, FILE_FIELDS)} For braces write {{{{ and }}}}."
        )
    if content == "url":
        return lambda file: file.url
    if content == "filePath":
        return lambda file: file.path
    if content == "fileName":
        return _name
    return lambda file: _without_extension(_name(file))


def _name(file: File) -> str:
    return file.path.rpartition("/")[2]


def _without_extension(name: str) -> str:
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem.strip(".") else name  # `.profile` has no extension
