"""Putting a verified copy of a file into a store: one moment of it, or nothing."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from batch_outputs.errors import FileChangedError
from batch_outputs.snapshot import FileSnapshot
from batch_outputs.stop import Stop
from batch_outputs.stores.base import BlobProperties, BlockingCalls, Store, Written


async def put_file(
    store: Store, blob_name: str, path: str, *, content_type: str, metadata: Mapping[str, str] | None
) -> BlobProperties:
    """Store a verified copy of one moment of a file.

    Raises:
        SourceError: it cannot be read; `FileChangedError` when it changed during each of several readings.
    """
    from anyio import to_thread  # a command that saves quickly needs no event loop

    from batch_outputs.transfer import while_it_changes

    async def attempt() -> BlobProperties:
        snapshot = await to_thread.run_sync(FileSnapshot, path)
        try:
            written = await store.put(blob_name, snapshot, content_type=content_type, metadata=metadata)
        finally:
            snapshot.close()
        return _stored(blob_name, snapshot, written, content_type, metadata)

    return await while_it_changes(attempt, FileChangedError)


def put_quickly(
    calls: BlockingCalls,
    blob_name: str,
    path: str,
    *,
    content_type: str,
    metadata: Mapping[str, str] | None,
    stop: Stop | None = None,
) -> Generator[int, None, BlobProperties | None]:
    """As `put_file`, by calls that block, for a crew; None if it was not done."""
    with FileSnapshot(path) as snapshot:
        finish = calls.begin_put(blob_name, snapshot, content_type=content_type, metadata=metadata, stop=stop)
        yield snapshot.size
        written = finish()
        return None if written is None else _stored(blob_name, snapshot, written, content_type, metadata)


def _stored(
    blob_name: str, snapshot: FileSnapshot, written: Written, content_type: str, metadata: Mapping[str, str] | None
) -> BlobProperties:
    return BlobProperties(
        blob_name, snapshot.size, written.etag, written.last_modified, content_type, dict(metadata or {})
    )
