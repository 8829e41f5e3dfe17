"""The files that a wrapped program writes its output to.

The program gets files, not pipes: a slow network or a slow reader never holds it up, and if we are killed it goes on
and its output is on disk.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from batch_outputs.errors import TargetError
from batch_outputs.sources import OWN_FOLDER

STREAMS = ("stdout.txt", "stderr.txt")

_TRIES = 10


@dataclass(frozen=True, slots=True)
class Spool:
    """A folder of one run, for our eyes only, that holds `stdout.txt` and `stderr.txt`."""

    folder: str

    @classmethod
    def create(cls, working_dir: str) -> Self:
        """A new spool below the task's working directory.

        Raises:
            TargetError: the folder cannot be made.
        """
        run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        folder = os.path.join(os.path.abspath(working_dir), OWN_FOLDER, run_id)
        try:
            _make(folder)
        except OSError as error:
            raise TargetError(
                f"The folder {folder}, for the program's output, cannot be made: {error.strerror}; start it where "
                "files can be written.",
                path=folder,
            ) from error
        return cls(folder)

    def path(self, stream: str) -> str:
        """The file of a stream."""
        return os.path.join(self.folder, stream)

    def open(self, stream: str) -> int:
        """Open a stream's file for the program, so that every write goes to the end."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        return os.open(self.path(stream), flags, 0o600)

    def remove(self) -> None:
        """Delete the spool, and the folder around it if no other run has one."""
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            os.rmdir(os.path.dirname(self.folder))
        except OSError:
            return  # another run's spool is still there


def _make(folder: str) -> None:
    for _ in range(_TRIES):
        os.makedirs(os.path.dirname(folder), mode=0o700, exist_ok=True)
        try:
            return os.mkdir(folder, mode=0o700)
        except FileNotFoundError:
            continue  # another run, at its end, took the outer folder away in between
    return os.mkdir(folder, mode=0o700)
