"""What Linux and Windows do differently about a store's files: links, opening, replacing, locking."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto

from batch_outputs import files


class Kind(Enum):
    """What is found on the disk. A link is never looked through: it is `OTHER`, as are pipes and devices."""

    FILE = auto()
    FOLDER = auto()
    OTHER = auto()


def lstat(path: str) -> os.stat_result | None:
    """`os.lstat`, or None if nothing is there."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def kind_at(path: str) -> Kind | None:
    """What is there, if anything."""
    status = lstat(path)
    return None if status is None else kind_of(status)


def kind_of(status: os.stat_result) -> Kind:
    """What an `lstat` has found."""
    if files.is_link(status):
        return Kind.OTHER
    if stat.S_ISREG(status.st_mode):
        return Kind.FILE
    return Kind.FOLDER if stat.S_ISDIR(status.st_mode) else Kind.OTHER


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the lock file at `path`, waiting for it: one holder at a time, among processes and among threads.

    Each holder opens the file anew, because a lock belongs to an opening of a file: threads exclude each other too.
    The system gives the lock back when a process dies.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _OPEN, 0o666)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt
    import time

    _OPEN = os.O_BINARY | os.O_NOINHERIT
    _SHARING_VIOLATIONS = (5, 32)  # ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION

    def kind_of_entry(entry: os.DirEntry[str]) -> Kind:
        """What an entry of a folder is."""
        return kind_of(entry.stat(follow_symlinks=False))

    def open_plain(path: str, *, writing: bool = False) -> int:
        """Open a file for reading or, with `writing`, for both.

        The caller has seen that it is no link: Windows cannot be asked to refuse one here.
        """
        return os.open(path, os.O_RDWR | _OPEN) if writing else files.open_shared(path)

    def move(source: str, target: str) -> None:
        """Rename a file over another, trying for a second: virus scanners hold new files for a moment."""
        for _ in range(50):
            try:
                return os.replace(source, target)
            except PermissionError as error:
                if error.winerror not in _SHARING_VIOLATIONS:
                    raise
                time.sleep(0.02)
        return os.replace(source, target)

    def _lock(descriptor: int) -> None:
        # LK_LOCK would look once a second and give up after ten.
        while True:
            try:
                return msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except PermissionError:  # somebody holds it
                time.sleep(0.005)

else:
    import fcntl

    # O_NONBLOCK: a FIFO put there in the meantime would hold us for ever; regular files do not notice it.
    _OPEN = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

    def kind_of_entry(entry: os.DirEntry[str]) -> Kind:
        """What an entry of a folder is."""
        if entry.is_file(follow_symlinks=False):
            return Kind.FILE
        return Kind.FOLDER if entry.is_dir(follow_symlinks=False) else Kind.OTHER

    def open_plain(path: str, *, writing: bool = False) -> int:
        """Open a file for reading or, with `writing`, for both; a link is refused (`ELOOP`)."""
        return os.open(path, (os.O_RDWR if writing else os.O_RDONLY) | _OPEN)

    def move(source: str, target: str) -> None:
        """Rename a file over another."""
        os.replace(source, target)

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
