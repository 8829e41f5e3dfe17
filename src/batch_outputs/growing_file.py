"""A local file that is still being written: how long it is now, and any part of it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from batch_outputs.errors import SourceError
from batch_outputs.files import identity, open_shared, read_at


@dataclass(frozen=True, slots=True)
class Look:
    """A file at one moment: its length in bytes, and whether its name leads to another file by now."""

    size: int
    replaced: bool = False


class GrowingFile:
    """A file that is followed from its beginning and may not exist yet.

    It is opened once it is there and stays that file, whatever is done to its name, until `switch`. While it is open
    its file number is not given to another, so that a replacement always shows.
    """

    def __init__(self, path: str, opened: int | None = None) -> None:
        """`opened`: a descriptor of the file that somebody else holds, if it is open already."""
        self.path: str = os.path.abspath(path)  # the process may change its directory meanwhile
        self._descriptor = None if opened is None else os.dup(opened)

    def look(self) -> Look:
        """The file now; of length 0 as long as it does not exist.

        Raises:
            SourceError: it cannot be opened, or is not a regular file.
        """
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
                return Look(os.fstat(self._descriptor).st_size)
        except FileNotFoundError:
            return Look(0)
        except OSError as error:
            raise self._unreadable(error) from error
        now = os.fstat(self._descriptor)
        return Look(now.st_size, self._leads_elsewhere(now))

    def switch(self) -> None:
        """Let go of the file; the next look opens what the name leads to then."""
        self.close()

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer where the file ends.

        Raises:
            SourceError: it cannot be read.
        """
        pieces = []
        try:
            while length > 0 and self._descriptor is not None:
                piece = read_at(self._descriptor, length, offset)
                if not piece:
                    break
                pieces.append(piece)
                offset += len(piece)
                length -= len(piece)
        except OSError as error:
            raise self._unreadable(error) from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def _open(self) -> int:
        mode = os.stat(self.path).st_mode  # before opening: only a look at a device or pipe is free of consequences
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
            raise SourceError(f"{self.path} is {what}; only a regular file can be tracked.", path=self.path)
        return open_shared(self.path)

    def _leads_elsewhere(self, mine: os.stat_result) -> bool:
        try:
            named = os.stat(self.path)
        except OSError:
            return False  # renamed or deleted, and nothing in its place yet
        return stat.S_ISREG(named.st_mode) and identity(named) != identity(mine)

    def _unreadable(self, error: OSError) -> SourceError:
        return SourceError(f"{self.path} cannot be read: {error.strerror}.", path=self.path)
