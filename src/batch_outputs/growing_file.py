"""A local file that is still being written: how long it is now, and any part of it."""

from __future__ import annotations

import os
import stat

from batch_outputs.errors import SourceError
from batch_outputs.files import open_shared, read_at


class GrowingFile:
    """A file that is followed from its beginning and may not exist yet.

    It is opened once it is there and stays that file, whatever is later done to its name.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)  # the process may change its directory meanwhile
        self._descriptor: int | None = None

    def size(self) -> int:
        """Length in bytes now; 0 as long as the file does not exist.

        Raises:
            SourceError: it cannot be opened, or is not a regular file.
        """
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
            return os.fstat(self._descriptor).st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise SourceError(f"{self.path} cannot be read: {error.strerror}.", path=self.path) from error

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
            raise SourceError(f"{self.path} cannot be read: {error.strerror}.", path=self.path) from error
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
