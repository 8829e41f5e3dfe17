"""Fetching one state of an output into a local file by calls that block, in one thread; what needs more is left."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

from batch_outputs.checksums import Checked, Checksums
from batch_outputs.errors import TargetError
from batch_outputs.folders import Folders, NewFile
from batch_outputs.part_file import PartFile
from batch_outputs.stop import Stop
from batch_outputs.stored import Stored
from batch_outputs.stores import local_file
from batch_outputs.stores.base import BlockingCalls, Store
from batch_outputs.target_guard import refuse_links

Progress: TypeAlias = Callable[[int], object]

QUICK = 8 * 1024 * 1024
"""Bytes of a file that is soon there, and as soon fetched again."""

AT_ONCE = 1024 * 1024
"""Bytes that are written at once; more where the store gives more."""

_WORTH_RESUMING = 1024 * 1024
"""Bytes; less than this is as soon fetched again, whatever happened."""

_SECOND = 10**9
_TICK = 100
"""Nanoseconds; the finest time that every disk which knows parts of a second can keep."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch has done.

    `size` is the file's length in bytes. `unchanged`: the file was there already, and was left alone. `resumed_at` is
    how many bytes an earlier fetch had left, 0 where it began at the beginning. `checked` is what the content was held
    against: `sha256` (all parts of a finished log), `md5` (a file that was stored with one), or `length` alone,
    as always without `check`.
    """

    size: int
    unchanged: bool
    resumed_at: int
    checked: Checked


def fetch_quickly(
    calls: BlockingCalls, store: Store, stored: Stored, path: str, folders: Folders, stop: Stop, *, check: bool
) -> Generator[int, None, Fetched | None]:
    """Make a file in one of the folders what is stored, as `fetch_blob`, by calls that block; None if it was not done.

    This is work for a crew. Only of files, and only of such as are soon there.

    Raises:
        TargetError: there is a link on the way to `path`.
    """
    if stored.is_log or stored.size > QUICK:
        return None
    fetch = Fetch(store, stored, path, nobody, check=check, lasting=True)
    with folders.new_file(path) as file:
        if file is not None:
            return (yield from fetch.carry_out_in(file, calls, stop))
    refuse_links(folders.root, path)
    return fetch.carry_out_at_once(calls, stop)


def fetch_large(
    calls: BlockingCalls,
    store: Store,
    stored: Stored,
    path: str,
    folder: str,
    stop: Stop,
    on_bytes: Progress,
    *,
    check: bool,
) -> Fetched | None:
    """The same of a file of any size, all of it in this thread; what `on_bytes` is told comes to 0 in the end.

    Raises:
        TargetError: there is a link on the way to `path`.
    """
    refuse_links(folder, path)
    return Fetch(store, stored, path, on_bytes, check=check, lasting=True).carry_out_at_once(calls, stop)


def nobody(_size: int) -> None:
    """Nobody wants to know."""


class Fetch:
    """One attempt at one state of a blob."""

    def __init__(
        self, store: Store, stored: Stored, path: str, on_bytes: Progress, *, check: bool, lasting: bool
    ) -> None:
        self._store = store
        self._stored = stored
        self._path = path
        self._on_bytes = on_bytes
        self._check = check
        self._lasting = lasting
        self._told = 0

    def carry_out_in(self, file: NewFile, calls: BlockingCalls, stop: Stop) -> Generator[int, None, Fetched | None]:
        """All in this thread, into a new file; None where that did not work."""
        checksums = Checksums(self._stored, wanted=self._check)
        blob = self._stored.first
        if checksums.needs_content:
            with closing(calls.begin_read(blob.name, size=blob.size, etag=blob.etag, stop=stop)) as pieces:
                yield blob.size
                came = 0
                for piece in pieces:
                    came += file.write(piece)
                    checksums.take(piece)
            if came != blob.size:
                return None
        elif blob.size:
            finish = calls.begin_pour(blob.name, size=blob.size, etag=blob.etag, stop=stop)
            yield blob.size
            if not finish(file.descriptor):
                return None
        checked = checksums.finish()
        file.put_in_place(self._mtime())
        return Fetched(blob.size, unchanged=False, resumed_at=0, checked=checked)

    def carry_out_at_once(self, calls: BlockingCalls, stop: Stop) -> Fetched | None:
        """All in this thread; None where that did not work."""
        part = self._begin()
        if part is None:
            return Fetched(self._stored.size, unchanged=True, resumed_at=0, checked="length")
        try:
            resumed_at = part.size
            checksums = Checksums(self._stored, wanted=self._check)
            self._recall(part, checksums)
            self._pour(part, checksums, calls, stop, self._tell)
            if part.size != self._stored.size:
                return None
            checked = checksums.finish()
            part.put_in_place(self._mtime())
            return Fetched(self._stored.size, unchanged=False, resumed_at=resumed_at, checked=checked)
        finally:
            part.close(keep=True)
            self._tell(0)

    def _recall(self, part: PartFile, checksums: Checksums) -> None:
        """Take what an earlier fetch had into the checksums."""
        if checksums.needs_content:
            for offset in range(0, part.size, AT_ONCE):
                checksums.take(part.read(offset, min(AT_ONCE, part.size - offset)))

    def _pour(
        self,
        part: PartFile,
        checksums: Checksums,
        calls: BlockingCalls,
        stop: Stop,
        moved: Callable[[int], object],
    ) -> None:
        """Write what calls that block give of the file, from what is there on; perhaps not all of it."""
        before = -1
        while before < part.size < self._stored.size and not stop.is_set():  # as long as it gets on
            before = part.size
            if checksums.needs_content:
                self._write_pieces(part, checksums, calls, stop, moved)
            else:
                blob = self._stored.first
                calls.pour(
                    blob.name,
                    part.descriptor,
                    offset=part.size,
                    size=blob.size,
                    etag=blob.etag,
                    stop=stop,
                    moved=moved,
                    whole=part.reached,
                )

    def _write_pieces(
        self,
        part: PartFile,
        checksums: Checksums,
        calls: BlockingCalls,
        stop: Stop,
        moved: Callable[[int], object],
    ) -> None:
        blob = self._stored.first
        told = part.size
        part.seek_end()
        with closing(calls.read(blob.name, offset=part.size, size=blob.size, etag=blob.etag, stop=stop)) as pieces:
            for piece in pieces:
                size = part.write(piece)
                checksums.take(piece)
                part.reached(part.size + size)
                if part.size - told >= AT_ONCE or part.size == blob.size:
                    told = part.size
                    moved(told)
                if stop.is_set():
                    return

    def _tell(self, size: int) -> None:
        if size != self._told:
            self._on_bytes(size - self._told)
        self._told = size

    def _begin(self) -> PartFile | None:
        """The file to write to; None if there is nothing to do."""
        folder, name = os.path.split(self._path)
        if not name:
            raise TargetError(f"{self._path} is a folder; name the file to write in it.", path=self._path)
        there = _status(self._path)
        if there is not None:
            self._check_may_be_replaced(there)
            if self._lasting and self._is_unchanged(there):
                return None
        if folder:
            _make_folder(folder, self._path)
        resumable = self._lasting and self._stored.size >= _WORTH_RESUMING
        source = f"{self._store.location.blob_url(self._stored.first.name)}\n{self._version()}\n"
        part = PartFile(self._path, source if resumable else None, alone=not self._lasting, length=self._stored.size)
        if part.size > self._stored.size:
            part.start_over()
        return part

    def _check_may_be_replaced(self, there: os.stat_result) -> None:
        if stat.S_ISDIR(there.st_mode) or (not stat.S_ISREG(there.st_mode) and os.path.isdir(self._path)):
            raise TargetError(
                f"{self._path} cannot be written: there is a folder of that name; move it away.", path=self._path
            )
        # The file of a folder's own blob would lose what it is known by, such as its metadata.
        for part in self._stored.parts:
            own = local_file(self._store.location, part.name)
            with contextlib.suppress(OSError):
                if own is not None and os.path.samestat(os.lstat(own), there):
                    raise TargetError(
                        f"{self._path} is the file in which {part.name} is stored; write to another one.",
                        path=self._path,
                    )

    def _is_unchanged(self, there: os.stat_result) -> bool:
        return stat.S_ISREG(there.st_mode) and (there.st_size, there.st_mtime_ns) == (self._stored.size, self._mtime())

    def _mtime(self) -> int:
        """The time of modification that the local file gets, and is known by: in seconds the blob's.

        Times of blobs are whole seconds, and one that is replaced within the second in which it was fetched would keep
        its time. So the parts of a second are made from what tells the one from the other.
        """
        digest = hashlib.sha256(self._version().encode()).digest()
        part_of_second = 1 + int.from_bytes(digest[:8]) % (_SECOND // _TICK - 1)
        return int(self._stored.last_modified.timestamp()) * _SECOND + part_of_second * _TICK

    def _version(self) -> str:
        """What differs for two contents neither of which is the beginning of the other."""
        # A log's ETag changes with each append; who writes it does not.
        if self._stored.is_log and self._stored.writer is not None:
            return f"log {self._stored.writer}"
        return f"ETag {self._stored.first.etag}"


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _make_folder(folder: str, path: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise TargetError(
            f"{path} cannot be written: there is a file where its folder should be, or one above; move it away.",
            path=path,
        ) from error
