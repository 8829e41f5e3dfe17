"""Folders that many small files are written into: each reached once, and never by a link.

A file that is made here has no name until it is whole. So one entry is made in the folder, where else one is made and
renamed, threads hardly wait for each other, and a kill leaves nothing. Only Linux has files without a name, and not on
every disk; where there are none, nothing is made here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from batch_outputs import files
from batch_outputs.part_file import hidden_stem, hidden_stems

if TYPE_CHECKING:
    from typing_extensions import Buffer

if sys.platform == "linux":
    _ARE_THERE = True
    _FOLDER = os.O_RDONLY | os.O_DIRECTORY
    _NO_LINK = os.O_NOFOLLOW
    _WITHOUT_NAME = os.O_WRONLY | os.O_TMPFILE
else:
    _ARE_THERE = False
    _FOLDER = _NO_LINK = _WITHOUT_NAME = 0


class Folders:
    """The folder `root` and those below it, for threads; use it in a `with` block that outlasts all they do."""

    def __init__(self, root: str) -> None:
        self.root: str = root
        self._is_of_use = _ARE_THERE
        self._mode = 0o666 & ~_umask()
        self._idle: deque[_Folder] = deque()  # no more than there were threads at one time

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._idle:
            self._idle.pop().close()

    @contextlib.contextmanager
    def new_file(self, path: str) -> Iterator[NewFile | None]:
        """A file that is to be at `path`, which vanishes if it is not put there; its folder is made if need be.

        None where it has to be made in another way: something of that name is there already, or something is left of
        an earlier fetch of it.

        Raises:
            OSError: it cannot be made here, or there is a link on the way to it.
        """
        place, name = os.path.split(path)
        if not self._is_of_use or not name:
            yield None
            return
        folder = self._reached(place)
        try:
            if folder.holds(name):
                yield None
                return
            with NewFile(folder.descriptor, name, self._mode) as file:
                yield file
        except _NotMadeError:
            self._is_of_use = False
            raise
        finally:
            self._idle.append(folder)

    def _reached(self, place: str) -> _Folder:
        try:
            folder = self._idle.pop()  # most likely it is the one: names come in order
        except IndexError:
            return _Folder(self.root, place)
        if folder.place == place:
            return folder
        folder.close()
        return _Folder(self.root, place)


class _NotMadeError(OSError):
    """The disk does not have files without a name, or gives them none later on."""


class NewFile:
    """A file without a name, in a `with` block; `mode` is what it is made with."""

    def __init__(self, folder: int, name: str, mode: int) -> None:
        self._folder = folder
        self._name = name
        try:
            self.descriptor: int = os.open(os.curdir, _WITHOUT_NAME, mode, dir_fd=folder)
        except OSError as error:
            raise _NotMadeError(*error.args) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self.descriptor)

    def write(self, piece: Buffer) -> int:
        """Write all of a piece behind what was written before; how many bytes it has."""
        return files.write_all(self.descriptor, piece)

    def put_in_place(self, mtime_ns: int) -> None:
        """Give it its name, with this time of modification.

        Raises:
            OSError: it cannot be done; `FileExistsError` where something of that name is there by now.
        """
        os.utime(self.descriptor, ns=(mtime_ns, mtime_ns))
        try:
            os.link(f"/proc/self/fd/{self.descriptor}", self._name, dst_dir_fd=self._folder, follow_symlinks=True)
        except FileExistsError:
            raise
        except OSError as error:
            raise _NotMadeError(*error.args) from error


def _umask() -> int:
    """What new files are not allowed; some older kernels forget it for files without a name."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o077  # where that cannot be known, they are ours alone


class _Folder:
    """An open folder, which stays the one that was reached, also when it is moved, whatever is put in its place."""

    def __init__(self, root: str, place: str) -> None:
        self.place = place
        self.descriptor = _reach(root, place)
        self._left: frozenset[str] | None = None

    def holds(self, name: str) -> bool:
        """Whether there is something of that name, or something is left of an earlier fetch of it."""
        if self._left is None:
            self._left = hidden_stems(os.listdir(self.descriptor))
        if self._left and hidden_stem(name) in self._left:
            return True
        try:
            os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def close(self) -> None:
        os.close(self.descriptor)


def _reach(root: str, place: str) -> int:
    """Open a folder at or below the root, and make it if need be; no link below the root is followed.

    Raises:
        OSError: it cannot be opened or made.
    """
    root = root or os.curdir
    components = os.path.relpath(place or os.curdir, root).split(os.sep)
    if os.pardir in components:
        raise NotADirectoryError(errno.ENOTDIR, "the folder is not below the other one", place)
    os.makedirs(root, exist_ok=True)
    descriptor = os.open(root, _FOLDER)
    for component in components:
        above = descriptor
        try:
            descriptor = _enter(above, component)
        finally:
            os.close(above)
    return descriptor


def _enter(above: int, component: str) -> int:
    try:
        return os.open(component, _FOLDER | _NO_LINK, dir_fd=above)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):  # another thread was quicker
            os.mkdir(component, dir_fd=above)
        return os.open(component, _FOLDER | _NO_LINK, dir_fd=above)
