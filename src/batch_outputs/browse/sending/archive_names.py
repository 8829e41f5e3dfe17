"""Names in an archive: safe on every system, and never two that one system takes for the same."""

from __future__ import annotations

import unicodedata

from batch_outputs.browse.sending.file_names import safe_path
from batch_outputs.outputs import OutputFileReference


class ArchiveNames:
    """Gives each output of one archive its name: task, kind and name as folders, the task only if they are of several.

    Where two names are equal but for capitals or the way accents are written, or one is a file and the other a folder,
    the later one gets a number.
    """

    def __init__(self, *, with_tasks: bool) -> None:
        self._with_tasks = with_tasks
        self._files: set[str] = set()
        self._folders: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}

    def name(self, output: OutputFileReference) -> str:
        """A relative path with `/`; the next one for each output, so it is to be asked once."""
        owner = f"{output.task_id}/" if self._with_tasks and output.task_id is not None else ""
        *folders, last = safe_path(f"{owner}{output.kind}/{output.name}").split("/")
        parent = ""
        for folder in folders:
            parent = self._folder(parent, folder)
        path = self._free(parent, last, self._taken)
        self._files.add(_folded(path))
        self._taken.add(_folded(path))
        return path

    def _folder(self, parent: str, folder: str) -> str:
        """Folders that are equal but for capitals are one."""
        key = (parent, _folded(folder))
        if key not in self._folders:
            path = self._free(parent, folder, self._files)
            self._folders[key] = f"{path}/"
            self._taken.add(_folded(path))
        return self._folders[key]

    def _free(self, parent: str, name: str, taken: set[str]) -> str:
        path = parent + name
        folded = _folded(path)
        if folded not in taken:
            return path
        stem, dot, extension = name.rpartition(".")
        if not stem:
            stem, dot, extension = name, "", ""
        number = self._numbers.get(folded, 1)
        while _folded(path) in taken:
            number += 1
            path = parent + safe_path(f"{stem} ({number}){dot}{extension}")  # it may have become too long
        self._numbers[folded] = number
        return path


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
