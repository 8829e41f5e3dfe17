"""Deleting one output: a file, or a log with all its parts."""

from __future__ import annotations

from contextlib import suppress

from batch_outputs.errors import BlobNotFoundError
from batch_outputs.log_parts import find_part
from batch_outputs.marks import LogMarks
from batch_outputs.stored import Stored, look_up
from batch_outputs.stores.base import BlobProperties, Store


async def delete_output(store: Store, blob_name: str, seen: Stored | None) -> None:
    """Delete what is stored under a name; `seen` is what is known of it, and saves looking where it is a file.

    Raises:
        BlobNotFoundError: nothing is.
    """
    if seen is not None and not seen.is_log:
        await store.delete(blob_name)
        return
    try:
        stored = await look_up(store, blob_name)
    except BlobNotFoundError:
        left = await _parts_left(store, blob_name)
        if not left:
            raise
        await _delete_backwards(store, left)
        return
    await delete_stored(store, stored)


async def delete_stored(store: Store, stored: Stored, *, unchanged: bool = False) -> None:
    """Delete a blob, or all parts of a log; with `unchanged` only if the first is still as it was seen.

    The first part goes first: it carries the mark of the whole, and a log that has lost its end must not claim to be
    complete. The others go from the last backwards, so that what is left when this is broken off begins with the second
    part, where the next try finds it.

    Raises:
        BlobNotFoundError: the first is gone.
        BlobChangedError: it is another by now; nothing was deleted.
    """
    first, *others = stored.parts
    await store.delete(first.name, etag=first.etag if unchanged else None)
    await _delete_backwards(store, others)


async def _parts_left(store: Store, blob_name: str) -> list[BlobProperties]:
    """The later parts of a log whose first part is gone: those of one log, from the second on."""
    left: list[BlobProperties] = []
    log = None
    while (found := await find_part(store.properties, blob_name, len(left) + 2, log)) is not None:
        log = LogMarks.from_metadata(found.metadata).log
        left.append(found)
    return left


async def _delete_backwards(store: Store, parts: list[BlobProperties]) -> None:
    for part in reversed(parts):
        with suppress(BlobNotFoundError):  # somebody else was faster
            await store.delete(part.name)
