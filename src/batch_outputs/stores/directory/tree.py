"""Where a container's blobs are on the disk: finding, making room, walking.

Nothing here looks through a link. Changes (`make`, `prune`) are for holders of the container's lock; the rest needs
none.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from typing import Literal, NamedTuple, TypeAlias

from batch_outputs.stores.directory.escaping import CONTINUED, MARK, PRIVATE, Components, escape, forms, unescape
from batch_outputs.stores.directory.system import Kind, kind_of, kind_of_entry, lstat

_Seen: TypeAlias = Kind | Literal["twin"] | None
"""What stands under a name: a kind, nothing, or something that is spelled differently on a disk blind to case."""


class InTheWayError(Exception):
    """Something that is no blob stands where one should go, or where one of its folders should."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Node(NamedTuple):
    """A blob's file, or a folder of them; `text` is the blob's name, or what names below begin with (ends in `/`)."""

    text: str
    path: str
    is_folder: bool


class Tree:
    """The blobs below one folder.

    `case_blind` says whether the disk takes names that differ only in case for one; None looks.
    """

    def __init__(self, folder: str, *, case_blind: bool | None = None) -> None:
        self._folder = folder
        self._case_blind = case_blind
        self._was_told = case_blind is not None

    def find(self, name: str) -> str | None:
        """The path of a blob's file, or None."""
        *segments, last = name.split("/")
        folder = self._find_folder(segments)
        return None if folder is None else self._find_leaf(folder, last, first=not segments)

    def make(self, name: str) -> str:
        """The path of a blob's file, existing or to be; its folders are made, and a blob in their way gets its mark.

        Raises:
            InTheWayError: a link, or something else that is no blob, stands there.
        """
        folder = self._folder
        *segments, last = name.split("/")
        for number, segment in enumerate(segments):
            folder = self._make_subfolder(folder, segment, first=number == 0)
        first = not segments
        return self._find_leaf(folder, last, first=first) or self._place(folder, last, first=first)

    def prune(self, path: str) -> None:
        """Remove the folders above `path` that have become empty, up to the container."""
        folder = os.path.dirname(path)
        while folder != self._folder:
            try:
                os.rmdir(folder)
            except OSError:
                return  # not empty
            folder = os.path.dirname(folder)

    def walk(self, prefix: str, *, one_level: bool = False, after: str = "") -> Iterator[Node]:
        """The blobs whose names begin with `prefix`, by name; folders are opened as they are reached.

        With `one_level`, folders whose `/` stands behind the prefix are given and not opened. What is given comes
        behind the name `after`.
        """
        known = prefix[: prefix.rfind("/") + 1]
        folder = self._find_folder(known.split("/")[:-1])
        # All names below a node sort at or after its text, so taking the least text each time takes names in order.
        # (Walking folder by folder would not: `a-b` comes before `a/b`, and a cut segment in the midst of others.)
        waiting = [Node(known, folder, is_folder=True)] if folder is not None else []
        while waiting:
            node = heappop(waiting)
            if not node.is_folder or (one_level and len(node.text) > len(prefix)):
                yield node
                continue
            for child in self._children(node):
                is_whole = one_level or not child.is_folder or not after.startswith(child.text)
                if child.text.startswith(prefix) and (not is_whole or child.text > after):
                    heappush(waiting, child)

    def is_empty(self, folder: Node) -> bool:
        """Whether a folder holds no blob at any depth."""
        return next(self.walk(folder.text), None) is None

    def _children(self, node: Node) -> Iterator[Node]:
        for segment, path, is_folder in self._segments(node.path, node.path, (), first=not node.text):
            yield Node(f"{node.text}{segment}/" if is_folder else node.text + segment, path, is_folder)

    def _segments(self, home: str, folder: str, pieces: Components, *, first: bool) -> Iterator[tuple[str, str, bool]]:
        """The segments in the folder `home`: text, path, whether a folder; `folder` is where its `pieces` have led."""
        entries = _entries(folder)
        for entry, kind in entries.items():
            path = os.path.join(folder, entry)
            if kind is Kind.FOLDER and entry.endswith(CONTINUED):
                yield from self._segments(home, path, (*pieces, entry), first=first)
            elif (plain := _without_mark(entry, entries)) is not None:
                components = (*pieces, plain)
                segment = unescape(components, first=first)
                is_folder = kind is Kind.FOLDER
                if segment is not None and (
                    components == escape(segment, first=first)
                    # With its letters escaped it counts only where nothing stands under the usual components.
                    or path == self._find_either(home, segment, first=first, is_folder=is_folder)
                ):
                    yield segment, path, is_folder

    def _find_either(self, folder: str, segment: str, *, first: bool, is_folder: bool) -> str | None:
        find = self._find_subfolder if is_folder else self._find_leaf
        return find(folder, segment, first=first)

    def _find_folder(self, segments: Sequence[str]) -> str | None:
        folder: str | None = self._folder
        for number, segment in enumerate(segments):
            if folder is None:
                return None
            folder = self._find_subfolder(folder, segment, first=number == 0)
        return folder

    def _find_subfolder(self, folder: str, segment: str, *, first: bool) -> str | None:
        found = (self._descend(folder, components) for components in forms(segment, first=first))
        return next(filter(None, found), None)

    def _find_leaf(self, folder: str, segment: str, *, first: bool) -> str | None:
        for *pieces, last in forms(segment, first=first):
            holder = self._descend(folder, pieces)
            if holder is None:
                continue
            # The mark is looked for twice: it may be set between the first look and the second.
            for entry in (last + MARK, last, last + MARK):
                if self._look(holder, entry) is Kind.FILE:
                    return os.path.join(holder, entry)
        return None

    def _descend(self, folder: str, components: Sequence[str]) -> str | None:
        for component in components:
            if self._look(folder, component) is not Kind.FOLDER:
                return None
            folder = os.path.join(folder, component)
        return folder

    def _make_subfolder(self, folder: str, segment: str, *, first: bool) -> str:
        found = self._find_subfolder(folder, segment, first=first)
        if found is not None:
            return found
        for components in forms(segment, first=first):
            *pieces, last = components
            holder = self._make_folders(folder, pieces)
            if holder is None:
                continue
            path = os.path.join(holder, last)
            if self._look(holder, last) is Kind.FILE:
                os.rename(path, self._place(folder, segment, first=first, taken=path))
            if self._make_folders(holder, [last]) is not None:
                return path
        raise InTheWayError(os.path.join(folder, segment))

    def _make_folders(self, folder: str, components: Sequence[str]) -> str | None:
        """Go down, making what is missing; None where a twin stands."""
        for component in components:
            path = os.path.join(folder, component)
            seen = self._look(folder, component)
            if seen == "twin":
                return None
            if seen is None:
                os.mkdir(path)
            elif seen is not Kind.FOLDER:
                raise InTheWayError(path)
            folder = path
        return folder

    def _place(self, folder: str, segment: str, *, first: bool, taken: str | None = None) -> str:
        """Where the file of a blob that is not there yet goes; `taken` is a path that is about to be a folder."""
        for *pieces, last in forms(segment, first=first):
            holder = self._make_folders(folder, pieces)
            if holder is None:
                continue
            path = os.path.join(holder, last)
            seen = Kind.FOLDER if path == taken else self._look(holder, last)
            if seen is Kind.FOLDER:
                path, seen = path + MARK, self._look(holder, last + MARK)
            if seen is None:
                return path
            if seen != "twin":
                raise InTheWayError(path)
        raise InTheWayError(os.path.join(folder, segment))

    def _look(self, folder: str, entry: str) -> _Seen:
        status = lstat(os.path.join(folder, entry))
        if not self._is_case_blind():
            return None if status is None else kind_of(status)
        if status is None and not self._was_told:
            return None  # a disk that is blind to case answers to every spelling
        names = _entries(folder)
        if status is not None:
            return kind_of(status) if entry in names else "twin"
        return "twin" if any(_fold(entry) == _fold(name) for name in names) else None

    def _is_case_blind(self) -> bool:
        """Found out once, by asking for the container's private folder in capitals."""
        if self._case_blind is None:
            private = lstat(os.path.join(self._folder, PRIVATE))
            if private is None:
                return sys.platform in ("win32", "darwin")  # nothing to ask for yet: what is usual there
            capitals = lstat(os.path.join(self._folder, PRIVATE.upper()))
            self._case_blind = capitals is not None and os.path.samestat(private, capitals)
        return self._case_blind


def _entries(folder: str) -> dict[str, Kind]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: kind_of_entry(entry) for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}  # gone since it was seen


def _without_mark(entry: str, entries: dict[str, Kind]) -> str | None:
    """What stands for the segment in an entry's name; None if the entry is nothing that `find` would choose."""
    kind = entries[entry]
    is_marked = entry.endswith(MARK) and entry != MARK
    if kind is Kind.FOLDER:
        return None if is_marked else entry
    if kind is not Kind.FILE:
        return None
    if is_marked:
        return entry.removesuffix(MARK)
    return None if entries.get(entry + MARK) is Kind.FILE else entry


def _fold(name: str) -> str:
    # Disks that ignore case ignore how an accent is written, too.
    return unicodedata.normalize("NFD", name).casefold()
