"""The beginning of a file that is being fetched: hidden beside it, and kept when the work is cut short."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from batch_outputs import files

if TYPE_CHECKING:
    from typing_extensions import Buffer

_SYNCED = 1024 * 1024 * 1024
"""Bytes between two moments at which the disk is made to hold what was written, for the case that power fails."""

_WORTH_RESERVING = 64 * 1024 * 1024
"""Bytes; with fewer, having room kept for them costs more than it saves."""

_LONGEST_SOURCE = 16 * 1024

_FIGURES = 20
"""Places of a size in a note."""

_folders = [threading.Lock() for _ in range(64)]
"""One for each folder, or for a few. The system lets one thread at a time make or rename a file in a folder, and has
others wait with their processor busy."""

if sys.platform != "win32":

    def _unlock() -> None:
        """After a fork: the threads that had some of them are not there in the child."""
        _folders[:] = [threading.Lock() for _ in _folders]

    os.register_at_fork(after_in_child=_unlock)

_BY_NAME_ONLY = os.name == "nt"  # Windows renames and removes no file that is open, and sets times by name

_CLOSED = -1


class PartFile:
    """What is there of the file that is to be at `path`; all methods block.

    With a `source`, a text that tells one content from any other, it is kept for the next one to go on with, who finds
    in a small file beside it, the note, the source and up to where there are no gaps. Its name follows from the
    target's, so that there is one at most for each target. Whoever finds it in use, or something else in its place,
    takes a name of chance, as does one who is `alone`. `length` is that of all of the file.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: str, source: str | None, *, alone: bool = False, length: int | None = None) -> None:
        folder, name = os.path.split(path)
        stem = os.path.join(folder, hidden_stem(name))
        self.path: str = f"{stem}.part"
        self.size: int = 0
        """How many bytes are there, good to go on from."""
        self._target = path
        self._source = source
        self._length = length
        self._note: str | None = f"{stem}.from"
        self._noted = _CLOSED
        self._folder = _folders[hash(folder) % len(_folders)]
        with self._folder:
            descriptor = None if alone else files.open_alone(self.path)
            if descriptor is None:
                self._source = self._note = None
                self.path = os.path.join(folder, f".{os.urandom(8).hex()}.part")
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        self.descriptor: int = descriptor
        try:
            if self._note is not None:
                self._take_up(self._note)
            if length is not None and length - self.size >= _WORTH_RESERVING:
                files.reserve(descriptor, length)
        except BaseException:
            self.close(keep=True)
            raise

    @property
    def is_closed(self) -> bool:
        """Whether it has been put in its place, or given up."""
        return self.descriptor == _CLOSED

    def start_over(self) -> None:
        """Forget all content."""
        self.size = 0
        if self._source is not None:
            # What comes may have gaps where the note, if it stayed as it is, would say that there are none.
            try:
                files.write_at(self._noted, _in_figures(0), 0)
                os.fsync(self._noted)
            except OSError:
                self._source = None
                self._forget_note()
        os.ftruncate(self.descriptor, 0)

    def read(self, offset: int, length: int) -> bytes:
        """What is there."""
        return files.read_at(self.descriptor, length, offset)

    def seek_end(self) -> None:
        """Have the next write come behind what is there, and forget what lies behind a gap.

        Else, after a kill, what was noted while it was still in a buffer would be taken for written: the file is long
        enough.
        """
        if os.fstat(self.descriptor).st_size > self.size:  # else the room that is kept would be given back
            os.ftruncate(self.descriptor, self.size)
        os.lseek(self.descriptor, self.size, os.SEEK_SET)

    def write(self, piece: Buffer) -> int:
        """Write all of a piece behind what was written before; how many bytes it has."""
        return files.write_all(self.descriptor, piece)

    def wrote(self, size: int) -> bool:
        """Take note that so many more bytes are there, and say whether it is time to `sync`."""
        before = self.size // _SYNCED
        self.size += size
        if self._source is None or self.size // _SYNCED == before:
            self._note_size()
            return False
        # At the end nobody waits for the disk, nor does the note say what it may not hold.
        return self.size != self._length

    def sync(self) -> None:
        """Wait until the disk holds what was written; only then the note may say so."""
        os.fsync(self.descriptor)
        self._note_size()

    def reached(self, size: int) -> None:
        """Take note that there are no gaps up to there."""
        if self.wrote(size - self.size):
            self.sync()

    def put_in_place(self, mtime_ns: int | None) -> None:
        """Make it the target, with this time of modification, replacing a file of that name.

        Raises:
            OSError: it cannot be done.
        """
        if files.identity(os.fstat(self.descriptor)) != files.identity(os.lstat(self.path)):
            raise FileNotFoundError(errno.ENOENT, "somebody has taken away the hidden file beside it")
        if _BY_NAME_ONLY:
            self._release()
        if mtime_ns is not None:
            os.utime(self.path if _BY_NAME_ONLY else self.descriptor, ns=(mtime_ns, mtime_ns))
        self._forget_note()
        with self._folder:
            os.replace(self.path, self._target)
        self._release()

    def close(self, *, keep: bool) -> None:
        """Make an end; with `keep` what is there stays, if there is anything that somebody could go on with."""
        if self.is_closed:
            return
        if not (keep and self.size > 0 and self._source is not None):
            if _BY_NAME_ONLY:
                self._release()
            with contextlib.suppress(OSError):
                os.unlink(self.path)
            self._forget_note()
        else:
            # Nobody has use for what lies behind a gap, nor for the room that was kept. What the disk did not take,
            # though it was counted, must stay missing: the next one finds out by the length.
            with contextlib.suppress(OSError):
                os.ftruncate(self.descriptor, min(self.size, os.fstat(self.descriptor).st_size))
        self._release()

    def _take_up(self, note: str) -> None:
        """Go on with what is there, if it is of our source; else begin."""
        status = os.fstat(self.descriptor)
        found = _read_note(note) if status.st_size and self._source is not None else None
        if found is not None and found[1] == self._source:
            self.size = _good(status, found[0])
        if status.st_size or getattr(status, "st_blocks", 0):  # one that was killed may have had room kept
            os.ftruncate(self.descriptor, self.size)
        if self._source is None:
            self._forget_note()
            self._note = None
            return
        if status.st_size and not self.size:
            os.fsync(self.descriptor)  # before the note: the old content must not come back as of the new source
        try:
            # Always a new one: what stands in its place may be a link, or not to be written to.
            files.write_whole(note, _in_figures(self.size) + self._source.encode())
            self._noted = os.open(note, os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0))
        except OSError:  # then nobody can go on with it, and that is all
            self._source = None
            self._forget_note()

    def _note_size(self) -> None:
        if self._noted != _CLOSED and self._source is not None:
            with contextlib.suppress(OSError):  # then less is gone on with
                files.write_at(self._noted, _in_figures(self.size), 0)

    def _close_note(self) -> None:
        if self._noted != _CLOSED:
            os.close(self._noted)
            self._noted = _CLOSED

    def _forget_note(self) -> None:
        self._close_note()
        if self._note is not None and os.path.lexists(self._note):  # a look needs no lock of the folder
            with contextlib.suppress(OSError):
                os.unlink(self._note)

    def _release(self) -> None:
        self._close_note()
        if not self.is_closed:
            os.close(self.descriptor)
            self.descriptor = _CLOSED


def hidden_stem(name: str) -> str:
    """What the names of the hidden files beside a file of this name begin with, up to their last dot."""
    # Short, so that there is room for it whatever the target's name is.
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


def hidden_stems(names: Iterable[str]) -> frozenset[str]:
    """The stems of the hidden files that are among the names in a folder."""
    return frozenset(name.rpartition(".")[0] for name in names if name.endswith((".part", ".from")))


def discard_part(path: str) -> None:
    """Remove what is left of fetches of the file at `path`, unless one is under way."""
    with contextlib.suppress(OSError):
        PartFile(path, None).close(keep=False)


def _good(status: os.stat_result, noted: int) -> int:
    """How much of a file is as it was written, of what the note says.

    All of it, unless the machine has started since: if power failed, the disk may have its length and not its content.
    """
    started = time.time() - time.monotonic()  # later than in truth, where the machine has slept: then some is lost
    size = min(status.st_size, noted)
    return size if status.st_mtime > started else size - size % _SYNCED


def _in_figures(size: int) -> bytes:
    """A size as the beginning of a note: always as long, so that one can be written over another.

    There it lies in one page, and in one sector of the disk: no kill, and no loss of power, leaves half of each.
    """
    return f"{size:>{_FIGURES}}\n".encode()


def _read_note(path: str) -> tuple[int, str] | None:
    """Size and source of a note; None if that is none."""
    try:
        descriptor = files.open_shared(path)
        try:
            text = os.read(descriptor, _LONGEST_SOURCE).decode()
        finally:
            os.close(descriptor)
        size, _, source = text.partition("\n")
        return max(0, int(size)), source
    except (OSError, ValueError):
        return None
