"""Fetching an output into a local file: whole or not at all, checked, going on where an earlier fetch was cut short."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from batch_outputs.checksums import Checked, Checksums, DamagedError
from batch_outputs.errors import BlobChangedError, BlobNotFoundError, StoreError, StoreUnavailableError, TargetError
from batch_outputs.fetching_at_once import AT_ONCE, Fetch, Fetched, Progress, nobody
from batch_outputs.part_file import PartFile, discard_part
from batch_outputs.stop import Stop
from batch_outputs.stored import Stored, check_is_still, look_up, read, with_parts
from batch_outputs.stores.base import Store
from batch_outputs.threads import finished
from batch_outputs.transfer import while_it_changes

if TYPE_CHECKING:
    from aiofiles.threadpool.binary import AsyncBufferedIOBase

_AT_LEAST_EVERY = 0.5
"""Seconds; over a slow link less is written at once, so that a kill loses little."""


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
        fetch = _Fetch(store, stored, path, on_bytes or nobody, check=check, lasting=lasting)
        return stored, await fetch.carry_out()

    try:
        return await while_it_changes(attempt, BlobChangedError)
    except BlobNotFoundError:
        if lasting:
            await to_thread.run_sync(discard_part, path)
        raise
    except OSError as error:
        raise TargetError(f"{path} cannot be written: {error.strerror or error}.", path=path) from error


class _DamagedTwiceError(StoreError):
    """The content was wrong, and wrong again when all of it was fetched anew."""


class _Fetch(Fetch):
    """One attempt, on an event loop: it goes on until all is there, or says why that cannot be."""

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
        if not self._stored.is_log and part.size < self._stored.size:
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
                if size >= AT_ONCE or time.monotonic() - since >= _AT_LEAST_EVERY:
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
