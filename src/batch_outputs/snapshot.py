"""One moment of a file: reading a file so that a change meanwhile is noticed, never stored."""

from __future__ import annotations

import os
import stat
import time
from types import TracebackType
from typing import Self

from batch_outputs.errors import FileChangedError, SourceError, SourceNotFoundError
from batch_outputs.files import open_shared, read_at

_CLOCK_TICK = 0.02
"""Seconds. File systems stamp changes with a clock of up to 10 ms; only an older stamp tells a later change."""

_SETTLE_TRIES = 10


class FileSnapshot:
    """A file's content as it was at one moment, for a store to read; use it in a `with` block.

    The read that reaches the end looks at the file once more. If anything was written since the snapshot began, it
    raises `FileChangedError`, and what was read is worth nothing. Calls block; they belong in a worker thread.

    Raises:
        SourceError: the file is missing, unreadable or not a regular file.
        FileChangedError: it is being written to all the time.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: str = os.fspath(path)
        self._descriptor = _open_regular(self.path)
        try:
            self._began = self._quiet_status()
        except BaseException:
            os.close(self._descriptor)
            raise
        self._position = 0

    @property
    def size(self) -> int:
        """Length in bytes at the moment of the snapshot."""
        return self._began.st_size

    def read(self, length: int, /) -> bytes:
        """The next `length` bytes; fewer only at the end.

        Raises:
            FileChangedError: the file was written to since the snapshot began.
        """
        wanted = min(length, self.size - self._position)
        pieces = []
        while wanted > 0:
            try:
                piece = read_at(self._descriptor, wanted, self._position)
            except OSError as error:
                raise SourceError(f"{self.path} cannot be read: {error.strerror}.", path=self.path) from error
            if not piece:
                raise self._changed()
            pieces.append(piece)
            self._position += len(piece)
            wanted -= len(piece)
        if self._position == self.size and _stamp(os.fstat(self._descriptor)) != _stamp(self._began):
            raise self._changed()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def rewind(self) -> None:
        """Begin again at the first byte."""
        self._position = 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _quiet_status(self) -> os.stat_result:
        """The file's status once its last change is old enough for the next one to show."""
        for _ in range(_SETTLE_TRIES):
            status = os.fstat(self._descriptor)
            if abs(time.time() - status.st_mtime) >= _CLOCK_TICK:
                return status
            time.sleep(_CLOCK_TICK)
        raise self._changed()

    def _changed(self) -> FileChangedError:
        return FileChangedError(
            f"{self.path} was written to while it was read, so no single moment of it could be saved; "
            "save it when it is finished, or follow it with a tracked save.",
            path=self.path,
        )


def check_source(path: str) -> None:
    """Refuse what cannot be saved, before anything is requested.

    Raises:
        SourceError: there is no such file, or it is a folder, a pipe or a device, or may not be read.
    """
    os.close(_open_regular(path))


def _open_regular(path: str) -> int:
    try:
        status = os.stat(path)  # before opening: only a look at a device or pipe is free of consequences
        if stat.S_ISDIR(status.st_mode):
            raise SourceError(f"{path} is a folder; name a file in it, or save what is in it by a pattern.", path=path)
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{path} is a pipe or device, not a file; read it and save what it gives.", path=path)
        return open_shared(path)
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"There is no file {path}; check the path.", path=path) from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.", path=path) from error
    except ValueError as error:
        raise SourceError(f"{path!r} is not the path of a file: {error}.", path=path) from error


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
