"""Fetching an output into a local file: whole or not at all, checked, going on where an earlier fetch was cut short."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from batch_outputs.checksums import Checked, Checksums, DamagedError
from batch_outputs.errors import BlobChangedError, BlobNotFoundError, StoreError, StoreUnavailableError, TargetError
from batch_outputs.folders import Folders, NewFile
from batch_outputs.part_file import PartFile, discard_part
from batch_outputs.stop import Stop
from batch_outputs.stored import Stored, check_is_still, look_up, read, with_parts
from batch_outputs.stores import local_file
from batch_outputs.stores.base import BlockingCalls, Store
from batch_outputs.threads import finished
from batch_outputs.transfer import refuse_links, while_it_changes

if TYPE_CHECKING:
    from aiofiles.threadpool.binary import AsyncBufferedIOBase

Progress = Callable[[int], object]

_WORTH_RESUMING = 1024 * 1024
"""Bytes; less than this is as soon fetched again."""

_QUICK = 8 * 1024 * 1024
"""Bytes; more than this is fetched in a way that tells how far it is."""

_AT_ONCE = 1024 * 1024
"""Bytes that are written at once; more where the store gives more."""

_AT_LEAST_EVERY = 0.5
"""Seconds; over a slow link less is written at once, so that a kill loses little."""

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


async def fetch_blob(
    store: Store,
    blob_name: str,
    path: str,
    *,
    known: Stored | None = None,
    check: bool = True,
    on_bytes: Progress | None = None,
) -> tuple[Stored, Fetched]:
    """Make a local file what is stored; see `OutputFileReference.fetch`.

    What is `known` of the blob is taken to be so until the service says otherwise.
    """
    return await _fetch(store, blob_name, path, known=known, check=check, on_bytes=on_bytes, lasting=True)


async def download_blob(store: Store, blob_name: str, path: str) -> Stored:
    """Write a blob to a local file, whether it is there or not, and leave nothing beside it if that fails.

    Raises:
        BlobNotFoundError, TargetError, StoreError: as `fetch_blob`.
    """
    stored, _ = await _fetch(store, blob_name, path, known=None, check=True, on_bytes=None, lasting=False)
    return stored


def fetch_quickly(
    calls: BlockingCalls, store: Store, stored: Stored, path: str, folders: Folders, stop: Stop, *, check: bool
) -> Generator[None, None, Fetched | None]:
    """Make a file in one of the folders what is stored, as `fetch_blob`, by calls that block; None if it was not done.

    This is work for a crew. Only of files, and only of such as are soon there.

    Raises:
        TargetError: there is a link on the way to `path`.
    """
    if stored.is_log or stored.size > _QUICK:
        return None
    fetch = _Fetch(store, stored, path, _nobody, check=check, lasting=True)
    with folders.new_file(path) as file:
        if file is not None:
            return (yield from fetch.carry_out_in(file, calls, stop))
    refuse_links(folders.root, path)
    return fetch.carry_out_at_once(calls, stop)


async def _fetch(
    store: Store,
    blob_name: str,
    path: str,
    *,
    known: Stored | None,
    check: bool,
    on_bytes: Progress | None,
    lasting: bool,
) -> tuple[Stored, Fetched]:
    latest = known

    async def attempt() -> tuple[Stored, Fetched]:
        nonlocal latest
        if latest is None or not latest.complete:
            stored = await look_up(store, blob_name)
        else:
            stored = await with_parts(store, latest.first)
        latest = None  # the next attempt looks again
        fetch = _Fetch(store, stored, path, on_bytes or _nobody, check=check, lasting=lasting)
        return stored, await fetch.carry_out()

    try:
        return await while_it_changes(attempt, BlobChangedError)
    except BlobNotFoundError:
        if lasting:
            await to_thread.run_sync(discard_part, path)
        raise
    except OSError as error:
        raise TargetError(f"{path} cannot be written: {error.strerror or error}.", path=path) from error


def _nobody(_size: int) -> None:
    """Nobody wants to know."""


class _DamagedTwiceError(StoreError):
    """The content was wrong, and wrong again when all of it was fetched anew."""


class _Fetch:
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

    async def carry_out(self) -> Fetched:
        part = await to_thread.run_sync(self._begin)
        if part is None:
            self._tell(self._stored.size)
            return Fetched(self._stored.size, unchanged=True, resumed_at=0, checked="length")
        worthless = False
        try:
            resumed_at, checked = await self._fill_well(part)
            await to_thread.run_sync(part.put_in_place, self._mtime() if self._lasting else None)
        except BaseException as error:
            worthless = isinstance(error, _DamagedTwiceError)
            self._tell(0)
            raise
        finally:
            if not part.is_closed:
                with anyio.CancelScope(shield=True):
                    await to_thread.run_sync(partial(part.close, keep=not worthless))
        return Fetched(self._stored.size, unchanged=False, resumed_at=resumed_at, checked=checked)

    def carry_out_in(self, file: NewFile, calls: BlockingCalls, stop: Stop) -> Generator[None, None, Fetched | None]:
        """All in this thread, into a new file; None where that did not work."""
        checksums = Checksums(self._stored, wanted=self._check)
        blob = self._stored.first
        if checksums.needs_content:
            with closing(calls.begin_read(blob.name, size=blob.size, etag=blob.etag, stop=stop)) as pieces:
                yield
                came = 0
                for piece in pieces:
                    came += file.write(piece)
                    checksums.take(piece)
            if came != blob.size:
                return None
        elif blob.size:
            finish = calls.begin_pour(blob.name, size=blob.size, etag=blob.etag, stop=stop)
            yield
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
            self._pour(part, checksums, calls, stop)
            if part.size != self._stored.size:
                return None
            checked = checksums.finish()
            part.put_in_place(self._mtime())
            return Fetched(self._stored.size, unchanged=False, resumed_at=resumed_at, checked=checked)
        finally:
            part.close(keep=True)

    async def _fill_well(self, part: PartFile) -> tuple[int, Checked]:
        """Where the file was begun and what it was held against; a damaged one is fetched once more, from the first."""
        try:
            return part.size, await self._fill(part)
        except DamagedError:
            await to_thread.run_sync(part.start_over)
        try:
            return 0, await self._fill(part)
        except DamagedError as error:
            raise _DamagedTwiceError(
                f"{error.blob} came with another {error.algorithm} than it was stored with, twice; if the checksum "
                "itself is wrong, batch-outputs cat shows the content as it is.",
                place=self._store.location.place,
                blob=error.blob,
            ) from None

    async def _fill(self, part: PartFile) -> Checked:
        """Fetch what is missing.

        Raises:
            DamagedError: the content is not what was stored.
            BlobChangedError: it is no longer what it was.
        """
        checksums = Checksums(self._stored, wanted=self._check)
        await to_thread.run_sync(self._recall, part, checksums)
        if not self._stored.is_log:
            before = -1
            while before < part.size < self._stored.size:  # as long as it gets on
                before = part.size
                await self._write_quickly(part, checksums)
        await self._write(part, checksums)
        checked = checksums.finish()
        name = self._stored.first.name
        if part.size != self._stored.size:
            raise StoreUnavailableError(
                f"{name} gave {part.size:,} of its {self._stored.size:,} bytes; try again.",
                place=self._store.location.place,
                blob=name,
            )
        if self._stored.is_log and checked == "length":
            await check_is_still(self._store, self._stored)
        return checked

    def _recall(self, part: PartFile, checksums: Checksums) -> None:
        """Take what an earlier fetch had into the checksums."""
        if checksums.needs_content:
            for offset in range(0, part.size, _AT_ONCE):
                checksums.take(part.read(offset, min(_AT_ONCE, part.size - offset)))

    async def _write_quickly(self, part: PartFile, checksums: Checksums) -> None:
        """Write what can be had by calls that block."""
        calls = await self._store.blocking_calls()
        if calls is None:
            return
        stop = Stop()
        loop = asyncio.get_running_loop()
        failures: list[Exception] = []

        def tell(size: int) -> None:
            try:
                self._tell(size)
            except Exception as error:
                failures.append(error)
                stop.set()

        def written(size: int) -> None:
            loop.call_soon_threadsafe(tell, size)

        await finished(partial(self._pour, part, checksums, calls, stop, written), stop)
        if failures:
            raise failures[0]

    def _pour(
        self,
        part: PartFile,
        checksums: Checksums,
        calls: BlockingCalls,
        stop: Stop,
        moved: Callable[[int], object] = _nobody,
    ) -> None:
        """Write what calls that block give of the file, from what is there on; perhaps not all of it."""
        blob = self._stored.first
        if not checksums.needs_content:
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
            return
        part.seek_end()
        told = part.size
        with closing(calls.read(blob.name, offset=part.size, size=blob.size, etag=blob.etag, stop=stop)) as pieces:
            for piece in pieces:
                size = part.write(piece)
                checksums.take(piece)
                part.reached(part.size + size)
                if part.size - told >= _AT_ONCE or part.size == blob.size:
                    told = part.size
                    moved(told)
                if stop.is_set():
                    return

    async def _write(self, part: PartFile, checksums: Checksums) -> None:
        self._tell(part.size)
        if part.size == self._stored.size:
            return
        import aiofiles  # rarely needed, and not light

        part.seek_end()
        file = await aiofiles.open(part.descriptor, "wb", closefd=False)
        held: list[bytes] = []
        size, since = 0, time.monotonic()
        try:
            async for piece in read(self._store, self._stored, part.size, exactly=True):
                held.append(piece)
                size += len(piece)
                if size >= _AT_ONCE or time.monotonic() - since >= _AT_LEAST_EVERY:
                    await self._put(held, file, part, checksums)
                    size, since = 0, time.monotonic()
            await self._put(held, file, part, checksums)
        finally:
            with anyio.CancelScope(shield=True):
                try:
                    if held:  # it was cut short
                        part.wrote(await file.write(b"".join(held)))
                finally:
                    await file.close()

    async def _put(self, held: list[bytes], file: AsyncBufferedIOBase, part: PartFile, checksums: Checksums) -> None:
        """Write what is held: pieces as they come would not be worth a hop to another thread each."""
        data = b"".join(held)
        held.clear()
        await file.write(data)
        sync_now = part.wrote(len(data))
        await checksums.update(data)
        if sync_now:
            await file.flush()
            await to_thread.run_sync(part.sync)
        self._tell(part.size)

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
