"""One container, blocking: what a `Store` does, on the files of a folder.

Every change, and the checks it depends on, happens under the container's lock; reading takes no lock. Content is
written beside, in the container's private folder, and appears by one rename, so a blob is whole or absent whatever
process dies when. (Against a loss of power only the file system's own care helps: nothing is forced to the disk.)

Long work comes as a generator, so that its caller can run it piece by piece in a worker thread and stop in between.

Paths of more than 259 characters need long paths to be enabled on Windows; elsewhere the limit is mostly 4,095 bytes.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeAlias

from batch_outputs.errors import (
    BlobChangedError,
    BlobExistsError,
    BlobNotFoundError,
    ContainerNotFoundError,
    InvalidNameError,
    StoreError,
    WrongBlobTypeError,
)
from batch_outputs.files import read_at, write_all
from batch_outputs.location import StoreLocation
from batch_outputs.stores.base import BlobPrefix, BlobProperties, Readable, Written
from batch_outputs.stores.directory.escaping import PRIVATE
from batch_outputs.stores.directory.failures import store_error
from batch_outputs.stores.directory.records import Draft, Record, Records
from batch_outputs.stores.directory.system import Kind, kind_at, kind_of, locked, lstat, move, open_plain
from batch_outputs.stores.directory.tree import InTheWayError, Tree

PIECE = 4 * 1024 * 1024
"""Bytes read or written at a time, and the most that one append takes."""

Writing: TypeAlias = Generator[Written | None]
"""Work in steps: None as long as there is more to do, then what was written."""

_STEP = 16 * PIECE  # bytes written between two chances to stop
_LEFT_OVER = 24 * 3600  # seconds after which a draft that nobody writes to is taken for that of a dead process
_TRIES = 5  # looks at a blob that is replaced between finding it and reading it


@dataclass(frozen=True, slots=True)
class _Blob:
    """A blob as it was found: its file, and its record if there is one that fits."""

    name: str
    path: str
    status: os.stat_result
    record: Record | None

    @property
    def size(self) -> int:
        return self.status.st_size

    @property
    def is_log(self) -> bool:
        return self.draft.blob_type == "append"

    @property
    def draft(self) -> Draft:
        """What is known beyond the data; of a file that was dropped here by hand, nothing."""
        return self.record or Draft()

    @property
    def etag(self) -> str:
        if self.record is not None:
            return self.record.etag(self.status)
        return f"{self.status.st_ino:x}-{self.status.st_size:x}-{self.status.st_mtime_ns:x}"

    @property
    def last_modified(self) -> datetime:
        return datetime.fromtimestamp(self.status.st_mtime, UTC)

    def properties(self) -> BlobProperties:
        draft = self.draft
        return BlobProperties(
            self.name, self.size, self.etag, self.last_modified, draft.content_type, draft.metadata, draft.blob_type
        )

    def written(self) -> Written:
        return Written(self.etag, self.last_modified)


class Container:
    """The blobs of one folder, and the folder's private one.

    Every method that takes a name raises `InvalidNameError` for one that is empty or is no Unicode text, and
    `ContainerNotFoundError` when the folder is missing.
    """

    def __init__(self, location: StoreLocation, folder: str, *, case_blind: bool | None = None) -> None:
        self._place = location.place
        self._container = location.container
        self._folder = folder
        self._private = os.path.join(folder, PRIVATE)
        self._drafts = os.path.join(self._private, "drafts")
        self._tree = Tree(folder, case_blind=case_blind)
        self._records = Records(os.path.join(self._private, "records"))
        self._is_swept = False

    # Writing

    def put(self, name: str, content: bytes | Readable, draft: Draft) -> Writing:
        """See `Store.put`."""

        def check(old: _Blob | None) -> None:
            if old is not None and old.is_log:
                raise WrongBlobTypeError(
                    f"{name!r} in {self._place} is a growing log, which a file cannot replace; delete it first, or "
                    "choose another name.",
                    place=self._place,
                    blob=name,
                )

        return self._write(name, _pieces(content, name, self._place), draft, check)

    def create_append(self, name: str, draft: Draft, *, replaces: str | None) -> Writing:
        """See `Store.create_append`."""

        def check(old: _Blob | None) -> None:
            if replaces is None:
                self._check_absent(name, old)
            elif old is None:
                raise self._changed(name)
            else:
                self._check_etag(old, replaces)

        return self._write(name, iter(()), replace(draft, blob_type="append"), check)

    def copy(self, source: str, target: str, *, etag: str | None) -> Writing:
        """See `Store.copy`. Of a log that grows meanwhile, the beginning that it had is copied."""
        with self._telling("copied", source):
            self._prepare()
            descriptor, blob = self._open(source)

        def check(old: _Blob | None) -> None:
            self._check_absent(target, old)
            if etag is not None:
                self._check_still(source, etag)

        try:
            self._check_etag(blob, etag)
            yield from self._write(target, self._read_range(descriptor, blob, 0, blob.size), blob.draft, check)
        finally:
            os.close(descriptor)

    def append(self, name: str, data: bytes, *, offset: int, etag: str) -> Written:
        """See `Store.append`."""
        if not 1 <= len(data) <= PIECE:
            raise ValueError(f"an append takes 1 byte to 4 MiB, not {len(data)} bytes")
        with self._telling("appended to", name), self._locked():
            descriptor, blob = self._open(name, writing=True)
            try:
                if blob.record is None or not blob.is_log:
                    raise WrongBlobTypeError(
                        f"{name!r} in {self._place} is a file and no growing log, so nothing can be appended; delete "
                        "it first, or choose another name.",
                        place=self._place,
                        blob=name,
                    )
                if blob.size != offset:
                    raise self._changed(name)
                self._check_etag(blob, etag)
                if not blob.record.fits(blob.status):  # the folder is a copy: from now on the log grows here
                    self._records.save(name, replace(blob.record, inode=blob.status.st_ino))
                _append(descriptor, data, offset)
                return replace(blob, status=os.fstat(descriptor)).written()
            finally:
                os.close(descriptor)

    def set_metadata(self, name: str, metadata: Mapping[str, str], *, etag: str | None) -> Written:
        """See `Store.set_metadata`."""
        with self._telling("changed", name), self._locked():
            blob = self._find(name)
            self._check_etag(blob, etag)
            draft = blob.draft
            record = Draft(draft.content_type, metadata, draft.blob_type).of(blob.status)
            self._records.save(name, record)
            return replace(blob, record=record).written()

    def delete(self, name: str, *, etag: str | None) -> None:
        """See `Store.delete`. Folders that become empty go with the blob."""
        with self._telling("deleted", name), self._locked():
            blob = self._find(name)
            self._check_etag(blob, etag)
            os.unlink(blob.path)
            self._records.remove(name)
            self._tree.prune(blob.path)

    # Reading

    def properties(self, name: str) -> BlobProperties:
        """See `Store.properties`."""
        with self._telling("read", name):
            return self._find(name).properties()

    def read(self, name: str, *, offset: int, length: int | None, etag: str | None) -> Generator[bytes]:
        """See `Store.read`."""
        with self._telling("read", name):
            descriptor, blob = self._open(name)
            try:
                self._check_etag(blob, etag)
                end = blob.size if length is None else min(blob.size, offset + length)
                for piece in self._read_range(descriptor, blob, offset, end):
                    if etag is not None:
                        self._check_still(name, etag)
                    yield piece
            finally:
                os.close(descriptor)

    def list(self, prefix: str, after: str = "") -> Generator[BlobProperties]:
        """See `Store.list`; what comes behind a name."""
        _check_text(prefix)
        with self._telling("listed"):
            self._check_container()
            for node in self._tree.walk(prefix, after=after):
                blob = self._listed(node.text, node.path)
                if blob is not None:
                    yield blob.properties()

    def list_level(self, prefix: str, after: str = "") -> Generator[BlobProperties | BlobPrefix]:
        """See `Store.list_level`; what comes behind a name."""
        _check_text(prefix)
        with self._telling("listed"):
            self._check_container()
            for node in self._tree.walk(prefix, one_level=True, after=after):
                if node.is_folder:
                    if not self._tree.is_empty(node):
                        yield BlobPrefix(node.text)
                elif (blob := self._listed(node.text, node.path)) is not None:
                    yield blob.properties()

    # Finding

    def _find(self, name: str) -> _Blob:
        _check_name(name)
        for _ in range(_TRIES):
            path = self._tree.find(name)
            if path is None:
                break
            blob = self._recognise(name, path, lstat(path))
            if blob is not None:
                return blob
        raise self._missing(name)

    def _find_any(self, name: str) -> _Blob | None:
        try:
            return self._find(name)
        except BlobNotFoundError:
            return None

    def _open(self, name: str, *, writing: bool = False) -> tuple[int, _Blob]:
        """The blob and a descriptor of its data; the caller closes it."""
        _check_name(name)
        for _ in range(_TRIES):
            path = self._tree.find(name)
            if path is None:
                break
            try:
                descriptor = open_plain(path, writing=writing)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ELOOP):
                    continue  # replaced by nothing or by a link since it was found
                raise
            blob = self._recognise(name, path, os.fstat(descriptor))
            if blob is not None:
                return descriptor, blob
            os.close(descriptor)
        raise self._missing(name)

    def _recognise(self, name: str, path: str, status: os.stat_result | None) -> _Blob | None:
        """The blob whose data this is; None if it is not, or no longer, what stands under the path."""
        if status is None or kind_of(status) is not Kind.FILE:
            return None
        record = self._records.fitting(name, status)
        # Replaced since `status` was taken? Then the record is that of the new data already, and may seem to fit where
        # the file number of the old data is used again.
        now = lstat(path)
        if now is None or now.st_ino != status.st_ino or now.st_size < status.st_size:
            return None
        return _Blob(name, path, status, record)

    def _listed(self, name: str, path: str) -> _Blob | None:
        blob = self._recognise(name, path, lstat(path))
        return blob or self._find_any(name)  # it may have been given its mark since its folder was read

    def _read_range(self, descriptor: int, blob: _Blob, offset: int, end: int) -> Iterator[bytes]:
        while offset < end:
            with self._telling("read", blob.name):
                piece = read_at(descriptor, min(PIECE, end - offset), offset)
            if not piece:
                raise StoreError(
                    f"{blob.name!r} in {self._place} became shorter while it was read: it ended at byte {offset} "
                    f"instead of {blob.size}. Something writes to the folder by itself; read it again.",
                    place=self._place,
                    blob=blob.name,
                )
            yield piece
            offset += len(piece)

    # Changing

    def _write(
        self, name: str, pieces: Iterator[bytes], draft: Draft, check: Callable[[_Blob | None], None]
    ) -> Writing:
        """Write data beside and put it in its place; `check` gets what is there now and raises if that must stay."""
        with self._telling("stored", name):
            _check_name(name)
            self._prepare()
            self._sweep()
            check(self._find_any(name))  # before everything is written in vain; what counts is the check below
            data = _DraftFile(self._drafts)
        try:
            unsaid = 0
            for piece in pieces:  # errors of the source come through as they are
                with self._telling("stored", name):
                    data.write(piece)
                unsaid += len(piece)
                if unsaid >= _STEP:
                    unsaid = 0
                    yield None
            with self._telling("stored", name):
                data.close()
                with self._locked():
                    old = self._find_any(name)
                    check(old)
                    written = self._put_in_place(name, data.path, draft, old)
        finally:
            data.discard()
        yield written

    def _put_in_place(self, name: str, source: str, draft: Draft, old: _Blob | None) -> Written:
        path = self._tree.make(name)
        status = os.lstat(source)
        record = draft.of(status)
        previous = [old.record] if old is not None and old.record is not None else []
        self._records.save(name, record, *previous)
        move(source, path)  # from here on the blob is the new one: its file number chooses the record
        return _Blob(name, path, status, record).written()

    def _sweep(self) -> None:
        """Remove, once, what processes left behind that were killed in the middle of writing."""
        if self._is_swept:
            return
        self._is_swept = True
        oldest = time.time() - _LEFT_OVER
        with os.scandir(self._drafts) as entries:
            for entry in entries:
                with suppress(OSError):  # it need not succeed, and another process may be at it too
                    if entry.stat(follow_symlinks=False).st_mtime < oldest:
                        os.unlink(entry.path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._prepare()
        with locked(os.path.join(self._private, "lock")):
            yield

    def _prepare(self) -> None:
        """Make the private folder of a container that was made by hand."""
        self._check_container()
        for folder in (self._private, self._drafts, os.path.join(self._private, "records")):
            with suppress(FileExistsError):
                os.mkdir(folder)
            if kind_at(folder) is not Kind.FOLDER:
                raise InTheWayError(folder)

    # Refusing

    @contextmanager
    def _telling(self, what: str, name: str | None = None) -> Iterator[None]:
        """Turn what the system says into sentences; `what` is what could not be done."""
        try:
            yield
        except (OSError, InTheWayError) as error:
            if isinstance(error, FileNotFoundError):
                self._check_container()
            raise store_error(error, what, place=self._place, blob=name) from error

    def _check_container(self) -> None:
        if kind_at(self._folder) is not Kind.FOLDER:
            raise ContainerNotFoundError(
                f"The container {self._container} does not exist: there is no folder {self._place}. "
                "`batch-outputs prepare JOB` creates the container of a job.",
                place=self._place,
            )

    def _check_absent(self, name: str, old: _Blob | None) -> None:
        if old is not None:
            raise BlobExistsError(
                f"{name!r} exists in {self._place} already and is not replaced; delete it first, or choose another "
                "name.",
                place=self._place,
                blob=name,
            )

    def _check_etag(self, blob: _Blob, etag: str | None) -> None:
        if etag is not None and blob.etag != etag:
            raise self._changed(blob.name)

    def _check_still(self, name: str, etag: str) -> None:
        blob = self._find_any(name)
        if blob is None:
            raise self._changed(name)
        self._check_etag(blob, etag)

    def _changed(self, name: str) -> BlobChangedError:
        return BlobChangedError(
            f"{name!r} in {self._place} has been changed since it was looked at; look again.",
            place=self._place,
            blob=name,
        )

    def _missing(self, name: str) -> BlobNotFoundError:
        self._check_container()
        return BlobNotFoundError(
            f"There is no {name!r} in {self._place}; check the name.", place=self._place, blob=name
        )


class _DraftFile:
    """A file that is written beside, under a name of its own."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, secrets.token_hex(8))
        self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115  # closed by `close` or `discard`

    def write(self, data: bytes) -> None:
        write_all(self._file.fileno(), data)

    def close(self) -> None:
        self._file.close()

    def discard(self) -> None:
        """Close it, and remove it unless it has been put in its place."""
        self._file.close()
        with suppress(OSError):  # else the sweep finds it
            os.unlink(self.path)


def _check_name(name: str) -> None:
    if not name:
        raise InvalidNameError("The name of a blob is empty; give it one.", name=name)
    _check_text(name)


def _check_text(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidNameError(
            f"The name {name!r} is not Unicode text (half of a surrogate pair, perhaps from a file name in another "
            "encoding); choose another name.",
            name=name,
        ) from error


def _pieces(content: bytes | Readable, name: str, place: str) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    content.rewind()
    size = 0
    # To the very end, `b""`: only then has the content said that it is one moment of its source.
    while piece := content.read(PIECE):
        size += len(piece)
        yield piece
    if size != content.size:
        raise StoreError(
            f"{name!r} was not stored in {place}: its content has {size} bytes and not the {content.size} announced. "
            "Save it again.",
            place=place,
            blob=name,
        )


def _append(descriptor: int, data: bytes, offset: int) -> None:
    os.lseek(descriptor, offset, os.SEEK_SET)
    try:
        write_all(descriptor, data)
    except BaseException:
        os.ftruncate(descriptor, offset)  # a disk may fill up in the middle: nothing is appended, then
        raise
