"""Which local file each of many outputs becomes, decided while they are listed; no two of them the same one."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from batch_outputs.errors import TargetError
from batch_outputs.local_names import local_path

T = TypeVar("T")

_FOLDER = "the folder of others"

CASE_BLIND = sys.platform in {"win32", "darwin"}
"""Whether disks mostly take names for one that differ in case only, or in how an accent is written."""


class Placing(Generic[T]):
    """Takes outputs as `add(name, blob name, output)`, by name; gives each with its path, or an error in `problems`.

    A file and a folder cannot have one name: then the file has to stay away. With names in order, those that begin like
    a name and a `/` come soon behind it or not at all, so that hardly any output is held back. Where a path is another
    than the name, or the disk takes other names for it, nothing is known before all are listed: those come in `rest`.
    """

    def __init__(
        self,
        folder: str,
        *,
        case_blind: bool = CASE_BLIND,
        way_out: str = "fetch one of them with batch-outputs cat",
    ) -> None:
        self.problems: list[TargetError] = []
        self._folder = folder
        self._case_blind = case_blind
        self._way_out = way_out
        self._waiting: list[tuple[str, str, T]] = []
        # Each of these names is the beginning of the next.
        self._unsure: list[tuple[str, str, T]] = []

    def add(self, name: str, blob_name: str, item: T) -> Iterator[tuple[str, T]]:
        """One more output; those whose path has become certain by it."""
        while self._unsure:
            earlier, other, waiting = self._unsure[-1]
            behind = name.removeprefix(earlier)[:1] if name.startswith(earlier) else None
            if behind == "":
                return  # the same once more
            if behind is not None and behind < "/":
                break  # names that begin like the earlier one and a "/" may yet come
            self._unsure.pop()
            if behind == "/":
                self._refuse(other, _FOLDER, self._path(earlier))
            else:
                yield self._path(earlier), waiting
        if self._case_blind or "%" in local_path(name):
            self._waiting.append((name, blob_name, item))
        else:
            self._unsure.append((name, blob_name, item))

    def rest(self) -> Iterator[tuple[str, T]]:
        """When all are listed: what is left."""
        while self._unsure:
            name, _, item = self._unsure.pop()
            yield self._path(name), item
        wanted = [(self._path(name), blob_name, item) for name, blob_name, item in self._waiting]
        self._waiting.clear()
        folders = {self._key(parent) for path, _, _ in wanted for parent in _parents(path)}
        taken: dict[str, str] = {}
        for path, blob_name, item in wanted:
            key = self._key(path)
            other = _FOLDER if key in folders else taken.setdefault(key, blob_name)
            if other == blob_name:
                yield path, item
            else:
                self._refuse(blob_name, other, path)

    def _refuse(self, blob_name: str, other: str, path: str) -> None:
        if other == _FOLDER:
            why = f"{blob_name} is a file and also {other}, and {path} cannot be both"
        else:
            why = f"{blob_name} and {other} would both be {path}"
        self.problems.append(TargetError(f"{why}; {self._way_out}.", path=path))

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, local_path(name))

    def _key(self, path: str) -> str:
        """A text that is the same for paths which lead to one file."""
        if self._case_blind:
            return unicodedata.normalize("NFC", os.path.normcase(path)).casefold()
        return path


def _parents(path: str) -> Iterable[str]:
    while (parent := os.path.dirname(path)) not in {path, ""}:
        yield parent
        path = parent
