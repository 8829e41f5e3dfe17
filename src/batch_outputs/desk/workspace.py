"""Folders on this machine: a task's directory, and the one that a whole try is kept in."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass

from batch_outputs.errors import TargetError
from batch_outputs.files import try_lock

_MARK = ".batch-try"
_LINE = 500
"""Characters of a line that are shown of it."""
_NODE = re.compile(r"node-\d+")


@dataclass(frozen=True, slots=True)
class Workspace:
    """The directory of a task."""

    directory: str

    @property
    def working(self) -> str:
        """The working directory."""
        return os.path.join(self.directory, "wd")

    @property
    def stdout(self) -> str:
        """The file that the task's standard output goes to."""
        return os.path.join(self.directory, "stdout.txt")

    @property
    def stderr(self) -> str:
        """The file that the task's standard error goes to."""
        return os.path.join(self.directory, "stderr.txt")

    def make(self) -> None:
        """Make it."""
        os.makedirs(self.working, exist_ok=True)

    def last_lines(self, number: int) -> list[str]:
        """The last lines of the task's standard error or, if that is empty, of its standard output."""
        for path in (self.stderr, self.stdout):
            try:
                with open(path, "rb") as file:
                    file.seek(max(0, file.seek(0, os.SEEK_END) - 64 * 1024))
                    lines = file.read().decode(errors="replace").splitlines()
            except OSError:
                continue
            if lines:
                return [line if len(line) <= _LINE else f"{line[:_LINE]}…" for line in lines[-number:]]
        return []


class TryFolder:
    """The folder of a try, ours alone while it is open. It is marked, so that nobody's own files are taken for ours."""

    def __init__(self, path: str) -> None:
        """Check that it may be used; nothing is made yet.

        Raises:
            TargetError: it is somebody's folder, or no folder.
        """
        self.path: str = os.path.abspath(path)
        self._lock: int | None = None
        try:
            entries = os.listdir(self.path)
        except FileNotFoundError:
            entries = []
        except OSError as error:
            raise TargetError(f"{path} cannot be used: {error.strerror}; name another (--dir).", path=path) from error
        if entries and _MARK not in entries:
            raise TargetError(
                f"The folder {path} holds files that no earlier try has left; name an empty one (--dir).", path=path
            )

    def open(self, tasks: Iterable[str] | None) -> None:
        """Make it, without what an earlier try has left: of these tasks, or all for None.

        Raises:
            TargetError: it cannot be written, or another try uses it.
        """
        try:
            os.makedirs(self.path, exist_ok=True)
            self._lock = try_lock(os.path.join(self.path, _MARK))
            if self._lock is not None:
                self._clear(tasks)
        except OSError as error:
            path = error.filename or self.path
            raise TargetError(
                f"{path} cannot be written: {error.strerror}; name another (--dir).", path=path
            ) from error
        if self._lock is None:
            raise TargetError(
                f"Another try uses the folder {self.path}; wait for it, or name another (--dir).", path=self.path
            )

    def close(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _clear(self, tasks: Iterable[str] | None) -> None:
        nodes = [entry.path for entry in os.scandir(self.path) if _NODE.fullmatch(entry.name)]
        left = nodes if tasks is None else [os.path.join(node, "tasks", task) for node in nodes for task in tasks]
        for folder in left:
            if os.path.isdir(folder):
                shutil.rmtree(folder)
