"""Moving whole files between a disk and a store: one verified copy, and many at once."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

import aiofiles
import aiofiles.os
import anyio
from anyio import to_thread

from batch_outputs.errors import BlobChangedError, FileChangedError, StoreUnavailableError, TargetError
from batch_outputs.snapshot import FileSnapshot
from batch_outputs.stored import Stored, look_up, read
from batch_outputs.stores.base import BlobProperties, Store

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 16
"""How many files are under way at one time."""

_PAUSES_FOR_CHANGES = (0.1, 0.3, 1.0, 3.0)
"""Seconds to wait before a file or blob that changed under our hands is read again."""


async def put_file(
    store: Store, blob_name: str, path: str, *, content_type: str, metadata: Mapping[str, str] | None
) -> BlobProperties:
    """Store a verified copy of one moment of a file.

    Raises:
        SourceError: it cannot be read; `FileChangedError` when it changed during each of several readings.
    """

    async def attempt() -> BlobProperties:
        snapshot = await to_thread.run_sync(FileSnapshot, path)
        try:
            written = await store.put(blob_name, snapshot, content_type=content_type, metadata=metadata)
        finally:
            snapshot.close()
        return BlobProperties(
            blob_name, snapshot.size, written.etag, written.last_modified, content_type, dict(metadata or {})
        )

    return await _while_it_changes(attempt, FileChangedError)


async def download_blob(store: Store, blob_name: str, path: str) -> Stored:
    """Write a blob to a local file, whole or not at all, and return what was written.

    Of a log that still grows, what it had at the beginning is written.

    Raises:
        BlobNotFoundError: there is no such blob.
        TargetError: the file cannot be written.
    """
    folder, name = os.path.split(path)
    if not name or await aiofiles.os.path.isdir(path):
        raise TargetError(f"{path} is a folder; name the file to write in it.", path=path)
    # Beside the target, so that the last step is a rename within one disk; short, so that any name has room for it.
    part = os.path.join(folder, f".{secrets.token_hex(8)}.part")

    async def attempt() -> Stored:
        stored = await look_up(store, blob_name)
        await _write_part(store, stored, part)
        return stored

    try:
        if folder:
            await aiofiles.os.makedirs(folder, exist_ok=True)
        stored = await _while_it_changes(attempt, BlobChangedError)
        await aiofiles.os.replace(part, path)
    except OSError as error:
        raise TargetError(f"{path} cannot be written: {error.strerror or error}.", path=path) from error
    finally:
        with anyio.CancelScope(shield=True):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                await aiofiles.os.remove(part)
    return stored


def refuse_links(folder: str, path: str) -> None:
    """A symbolic link below the folder, whoever put it there, must not lead a download out of it.

    Raises:
        TargetError: there is one on the way to `path`.
    """
    below = os.path.relpath(os.path.dirname(path) or os.curdir, folder or os.curdir)
    place = folder
    for component in below.split(os.sep):
        place = os.path.join(place, component)
        if component != os.curdir and os.path.islink(place):
            raise TargetError(f"{place} is a symbolic link; remove it, or download to another folder.", path=path)


async def for_each(
    items: Iterable[T], action: Callable[[T], Awaitable[R]], *, at_once: int = AT_ONCE
) -> list[R | Exception]:
    """Do something with each item, several at a time; the results, or what was raised, in the order of the items."""
    waiting = enumerate(items)
    results: dict[int, R | Exception] = {}

    async def work() -> None:
        for index, item in waiting:
            try:
                results[index] = await action(item)
            except Exception as error:
                results[index] = error  # handed to the caller, who names each

    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(work)
    return [results[index] for index in sorted(results)]


async def _write_part(store: Store, stored: Stored, part: str) -> None:
    written = 0
    async with aiofiles.open(part, "wb") as file:
        async for chunk in read(store, stored, exactly=True):
            await file.write(chunk)
            written += len(chunk)
    name = stored.first.name
    if written != stored.size:
        raise StoreUnavailableError(
            f"{name} gave {written:,} of its {stored.size:,} bytes; try again.", place=store.location.place, blob=name
        )
    if stored.is_log:
        # Each append to a log changes its ETag and leaves what was there; so its writer's id is compared instead.
        now = await look_up(store, name)
        if now.writer != stored.writer or now.size < stored.size:
            raise BlobChangedError(
                f"{name} was replaced while it was read; try again.", place=store.location.place, blob=name
            )


async def _while_it_changes(attempt: Callable[[], Awaitable[R]], change: type[Exception]) -> R:
    for pause in _PAUSES_FOR_CHANGES:
        try:
            return await attempt()
        except change:
            await anyio.sleep(pause)
    return await attempt()
