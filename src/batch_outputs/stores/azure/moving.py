"""Moving an answer's body into a file; on Linux without a way through this program's memory, where it can be."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from batch_outputs import files
from batch_outputs.stores.azure.answers import UnusableAnswerError
from batch_outputs.stores.azure.http1 import Answer

PIECE = 256 * 1024
"""Bytes moved at once: few enough for the processor's cache, and large writes cost the system many times as much."""

_PIPE = 1024 * 1024
"""Bytes in a pipe, the most that the system gives."""

_NOT_HERE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
"""What a disk says that takes nothing from pipes, and a system that lets nobody ask for it."""


class NotWrittenError(Exception):
    """The file could not be written, as `error` says; the service is not to blame."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def move_body(answer: Answer, length: int, file: int, offset: int, moved: Callable[[int], object]) -> None:
    """Write an answer's body of this length into an open file from `offset` on, and tell of the bytes as they come.

    Raises:
        NotWrittenError: it cannot be written.
        OSError, BrokenAnswerError, UnusableAnswerError: it does not come.
    """
    behind = offset + length
    if sys.platform == "linux" and length > PIECE and answer.leads_to_pipes:
        offset = _move_by_pipe(answer, file, offset, behind, moved)
    memory = memoryview(bytearray(min(PIECE, behind - offset)))
    while offset < behind:
        size = answer.readinto(memory[: behind - offset])
        _check_came(size)
        _write(file, memory[:size], offset)
        offset += size
        moved(size)


if sys.platform == "linux":
    import fcntl

    def _move_by_pipe(answer: Answer, file: int, offset: int, behind: int, moved: Callable[[int], object]) -> int:
        """Move what can be moved so; up to where that is."""
        try:
            end, pipe = os.pipe()
        except OSError:
            return offset  # too many files are open, but those that are will do
        try:
            with suppress(OSError):  # the user has many; smaller ones do, too
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
            while offset < behind:
                try:
                    size = answer.read_into_pipe(pipe, min(_PIPE, behind - offset))
                except OSError as error:
                    if error.errno in _NOT_HERE:
                        return offset
                    raise
                _check_came(size)
                goes_on = _empty_pipe(end, size, file, offset)
                offset += size
                moved(size)
                if not goes_on:
                    return offset
            return offset
        finally:
            os.close(end)
            os.close(pipe)

    def _empty_pipe(end: int, size: int, file: int, offset: int) -> bool:
        """Write what is in a pipe; False if the disk does not take it in this way."""
        while size:
            try:
                written = os.splice(end, file, size, offset_dst=offset)
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise NotWrittenError(error) from error
                while size:
                    piece = os.read(end, size)
                    _write(file, piece, offset)
                    offset, size = offset + len(piece), size - len(piece)
                return False
            offset, size = offset + written, size - written
        return True


def _check_came(size: int) -> None:
    if not size:
        raise UnusableAnswerError


def _write(file: int, data: bytes | memoryview, offset: int) -> None:
    try:
        files.write_at(file, data, offset)
    except OSError as error:
        raise NotWrittenError(error) from error
