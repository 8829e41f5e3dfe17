"""The folder of one run: the files that a wrapped program writes its output to, and what is known of the run.

The program gets files, not pipes: a slow network or a slow reader never holds it up, and if we are killed it goes on
and its output is on disk. Whoever looks after a spool holds its lock, which the system gives back when that process
dies.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Self

from batch_outputs.errors import TargetError
from batch_outputs.files import try_lock
from batch_outputs.sources import OWN_FOLDER

RECORD = "run.json"
REPLACED = "replaced"
"""Beside the spools: the folder with files that had to make room for restored ones."""

_LOCK = "lock"
_TRIES = 10
_AGE_OF_RUBBISH = 3600.0
"""Seconds after which a spool without a record is one of a run that never began."""


class Spool:
    """A folder of one run, for our eyes only, that holds `stdout.txt`, `stderr.txt` and `run.json`."""

    def __init__(self, folder: str, lock: int) -> None:
        self.folder = folder
        self._lock: int | None = lock

    @classmethod
    def create(cls, outer: str) -> Self:
        """A new spool in the folder `.batch-outputs` of this one, usually the task's working directory.

        Raises:
            TargetError: the folder cannot be made.
        """
        run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}"
        folder = os.path.join(os.path.abspath(outer), OWN_FOLDER, run_id)
        try:
            _make(folder)
            lock = try_lock(os.path.join(folder, _LOCK))
        except OSError as error:
            raise TargetError(
                f"The folder {folder}, for the program's output, cannot be made: {error.strerror}; start it where "
                "files can be written, or name another place (--spool).",
                path=folder,
            ) from error
        if lock is None:
            raise TargetError(f"The new folder {folder} is held by another process.", path=folder)
        return cls(folder, lock)

    @classmethod
    def take(cls, folder: str) -> Self | None:
        """The spool of a run that nobody looks after any more; None if somebody does, or it is gone."""
        try:
            lock = try_lock(os.path.join(folder, _LOCK))
        except OSError:
            return None
        if lock is None:
            return None
        if not os.path.exists(os.path.join(folder, RECORD)):
            os.close(lock)  # another process was faster, and is done with it
            return None
        return cls(folder, lock)

    def path(self, stream: str) -> str:
        """The file of a stream."""
        return os.path.join(self.folder, stream)

    @property
    def record(self) -> str:
        """The file that says what is known of the run."""
        return os.path.join(self.folder, RECORD)

    def open(self, stream: str) -> int:
        """Open a stream's file for the program, so that every write goes to the end."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        return os.open(self.path(stream), flags, 0o600)

    def release(self) -> None:
        """Leave the spool to whoever comes next."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            os.close(lock)

    def remove(self) -> None:
        """Delete the spool, and the folder around it if no other run has one."""
        with contextlib.suppress(OSError):
            os.unlink(self.record)  # while we hold the lock: then it is nobody's any more
        self.release()
        _remove(self.folder)


def left_behind(outer: str) -> Iterator[str]:
    """The spools in the folder `.batch-outputs` of this one, oldest first: those of runs under way, and of dead ones.

    `outer` may also be the folder `.batch-outputs` or a spool itself. What a run left that never began is removed.
    """
    if os.path.exists(os.path.join(outer, RECORD)):
        yield os.path.abspath(outer)
        return
    around = outer if os.path.basename(os.path.abspath(outer)) == OWN_FOLDER else os.path.join(outer, OWN_FOLDER)
    try:
        names = sorted(os.listdir(around))
    except OSError:
        return
    for name in names:
        folder = os.path.join(os.path.abspath(around), name)
        if os.path.exists(os.path.join(folder, RECORD)):
            yield folder
        elif name != REPLACED and _age_of(folder) > _AGE_OF_RUBBISH:
            _remove(folder)


def _age_of(folder: str) -> float:
    """Seconds since something was done in a folder; 0 for anything else."""
    try:
        return time.time() - os.path.getmtime(folder) if os.path.isdir(folder) else 0.0
    except OSError:
        return 0.0


def _remove(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        os.rmdir(os.path.dirname(folder))
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
