"""Opening, reading, writing, locking and recognising local files, alike on Linux and Windows.

What the two systems do differently about open files stands here and nowhere else. Files are opened so that nobody is
kept from writing, renaming or deleting them meanwhile; on Windows that has to be asked for.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from typing_extensions import Buffer

FileIdentity = NewType("FileIdentity", tuple[int, int])
"""Which file it is, whatever it is called: device and file number. Numbers are used again after a deletion."""


def identity(status: os.stat_result) -> FileIdentity:
    """Which file a `stat` was taken of."""
    return FileIdentity((status.st_dev, status.st_ino))


def write_all(descriptor: int, data: Buffer) -> int:
    """Write all of `data` where the descriptor stands; how many bytes that is.

    Raises:
        OSError: as `os.write`; some of the data may have been written.
    """
    rest = memoryview(data).cast("B")
    size = len(rest)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    return size


def write_whole(path: str, content: bytes, *, mode: int = 0o666) -> None:
    """Write a small file whole or not at all, replacing one of that name; `mode` as for `os.open`.

    Raises:
        OSError: it cannot be written, and what was there before is as it was.
    """
    beside = f"{path}.{os.urandom(4).hex()}.part"
    try:
        with open(beside, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
        os.replace(beside, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(beside)


def reserve(descriptor: int, size: int) -> None:
    """Have the disk keep room for the first `size` bytes of a file, in one piece where it can; its length stays.

    So they cost less to write, in whatever order. Only Linux is asked, and a disk that does it at once; nor is it asked
    for more than is free, as it would take all there is before it says no.
    """
    if sys.platform != "linux" or sys.maxsize < 1 << 32:  # where sizes have 32 bits the call is another one
        return
    with contextlib.suppress(OSError, ImportError, AttributeError):  # then it is written as it comes
        disk = os.fstatvfs(descriptor)
        if disk.f_bavail * disk.f_frsize < size:
            return
        # Python has only the call that writes to each block of a disk which cannot do it, as over a network.
        import ctypes

        fallocate = ctypes.CDLL(None).fallocate
        fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
        keep_length = 1
        fallocate(descriptor, keep_length, 0, size)


if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel32.CreateFileW.restype = wintypes.HANDLE
    _kernel32.CreateFileW.argtypes = [
        wintypes.LPCWSTR,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.LPVOID,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.HANDLE,
    ]
    _GENERIC_READ = 0x80000000
    _SHARE_READ_WRITE_DELETE = 0x1 | 0x2 | 0x4
    _OPEN_EXISTING = 3
    _FILE_ATTRIBUTE_NORMAL = 0x80
    _INVALID_HANDLE = wintypes.HANDLE(-1).value

    def create_file(path: str | os.PathLike[str], share: int) -> int:
        """Open an existing file for reading, letting others do with it what `share` says; a handle.

        Raises:
            OSError: as `os.open`.
        """
        handle: int = _kernel32.CreateFileW(
            os.fspath(path), _GENERIC_READ, share, None, _OPEN_EXISTING, _FILE_ATTRIBUTE_NORMAL, None
        )
        if handle == _INVALID_HANDLE:
            raise ctypes.WinError(ctypes.get_last_error())
        return handle

    def open_shared(path: str | os.PathLike[str]) -> int:
        """Open a file for reading and return its descriptor; others may write, rename and delete it meanwhile.

        Raises:
            OSError: as `os.open`.
        """
        return msvcrt.open_osfhandle(create_file(path, _SHARE_READ_WRITE_DELETE), os.O_RDONLY | os.O_BINARY)

    def read_at(descriptor: int, length: int, offset: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer at the end of the file. One reader at a time."""
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, length)

    _writing = threading.Lock()

    def write_at(descriptor: int, data: Buffer, offset: int) -> int:
        """Write all of `data` from `offset` on; how many bytes that is. Where the descriptor stands is lost.

        Raises:
            OSError: as `write_all`.
        """
        with _writing:  # the place to write to is the descriptor's, and so that of all threads
            os.lseek(descriptor, offset, os.SEEK_SET)
            return write_all(descriptor, data)

    def try_lock(path: str) -> int | None:
        """Take the lock file at `path`, made if need be; its descriptor, which holds the lock while it is open.

        None if somebody else holds it. The system gives a lock back when its process dies; children do not inherit it.

        Raises:
            OSError: the file cannot be opened.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_BINARY | os.O_NOINHERIT, 0o600)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            os.close(descriptor)
            return None
        return descriptor

    def open_alone(path: str) -> int | None:
        """Open a plain file of ours for reading and writing, made if need be, and keep others from doing so meanwhile.

        None if that cannot be: somebody has it open in this way, or what is there is no plain file of ours.
        """
        with contextlib.suppress(OSError):
            if is_link(os.lstat(path)):
                return None  # Windows cannot be asked to refuse one while opening
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_BINARY | os.O_NOINHERIT, 0o666)
        except OSError:
            return None
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor

    def is_link(status: os.stat_result) -> bool:
        """Whether an `lstat` has found something that leads elsewhere: a symbolic link, or a junction."""
        return stat.S_ISLNK(status.st_mode) or status.st_reparse_tag == stat.IO_REPARSE_TAG_MOUNT_POINT

else:
    import fcntl

    def open_shared(path: str | os.PathLike[str]) -> int:
        """Open a file for reading and return its descriptor; others may write, rename and delete it meanwhile.

        Raises:
            OSError: as `os.open`.
        """
        # O_NONBLOCK: a FIFO without a writer would hold us here for ever; regular files do not notice it.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)

    def read_at(descriptor: int, length: int, offset: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer at the end of the file."""
        return os.pread(descriptor, length, offset)

    def write_at(descriptor: int, data: Buffer, offset: int) -> int:
        """Write all of `data` from `offset` on; how many bytes that is. Where the descriptor stands is lost.

        Raises:
            OSError: as `write_all`.
        """
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            written = os.pwrite(descriptor, rest, offset)
            rest, offset = rest[written:], offset + written
        return size

    def try_lock(path: str) -> int | None:
        """Take the lock file at `path`, made if need be; its descriptor, which holds the lock while it is open.

        None if somebody else holds it. The system gives a lock back when its process dies; children do not inherit it.

        Raises:
            OSError: the file cannot be opened.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def open_alone(path: str) -> int | None:
        """Open a plain file of ours for reading and writing, made if need be, and keep others from doing so meanwhile.

        None if that cannot be: somebody has it open in this way, or what is there is no plain file of ours. Links are
        not followed, whoever planted them.
        """
        # O_NONBLOCK: a FIFO would hold us here for ever; regular files do not notice it.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(path, flags, 0o666)
        except OSError:
            return None
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            status = os.fstat(descriptor)
            # Who had it before may have moved it away before the lock was ours.
            if _is_ours(status) and identity(status) == identity(os.lstat(path)):
                return descriptor
        os.close(descriptor)
        return None

    def is_link(status: os.stat_result) -> bool:
        """Whether an `lstat` has found something that leads elsewhere: a symbolic link, or a junction of Windows."""
        return stat.S_ISLNK(status.st_mode)

    def _is_ours(status: os.stat_result) -> bool:
        """Whether nobody else can have the file: it has one name, and is the user's own."""
        return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid()
