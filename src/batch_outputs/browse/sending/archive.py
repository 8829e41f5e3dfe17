"""Any number of outputs as one ZIP file, made while it is sent: neither the file nor an output is held anywhere.

Everything is deflated, text to make it small and all else without trying, which costs next to nothing: unlike what is
stored as it is, it can be unpacked while it comes, although its checksum stands behind it.
"""

from __future__ import annotations

import asyncio
import struct
import zipfile
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeAlias

from anyio import to_thread

from batch_outputs.browse.iterating import begun, closing
from batch_outputs.browse.sending.archive_names import ArchiveNames
from batch_outputs.browse.sending.streaming import verified
from batch_outputs.browse.served_types import TEXT, served_type
from batch_outputs.errors import BlobChangedError, BlobNotFoundError
from batch_outputs.outputs import OutputFileReference, goes_on_with_log

_FASTEST, _NOT_AT_ALL = 1, 0
"""How hard to try to make something smaller."""
_UNIX = 3
_MODE = 0o100644
_FIRST, _LAST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)
"""What a ZIP file can say of a time."""
_TIME = "<HHBi"
"""The extra field with a time in UTC: its mark, its length, which times follow, and that of the last change."""

_AT_ONCE = 256 * 1024
"""Bytes that are sent together, where files are small."""
_SMALL = 1024 * 1024
_AHEAD = 8
"""So many small files are read before it is their turn, as each takes a request or two."""

_Pieces: TypeAlias = AsyncGenerator[bytes, None]


async def archive(outputs: AsyncIterator[OutputFileReference], names: ArchiveNames) -> AsyncGenerator[bytes, None]:
    """The bytes of the archive. An output that is gone when it is its turn is left out.

    Raises:
        StoreError: an output could not be read to its end; what came before is no whole archive.
    """
    sink = _Sink()
    file = zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED)
    try:
        async with closing(_prepared(outputs)) as prepared:
            async for output, task in prepared:
                if (pieces := await task) is None:
                    continue
                async with closing(_write(file, _info(output, names.name(output)), pieces)) as writing:
                    async for _ in writing:
                        if sink.size >= _AT_ONCE:
                            yield sink.take()
        file.close()
        yield sink.take()
    finally:
        file.fp = None  # whatever has become of it, nothing is written to it any more


class _Sink:
    """What the archive is written to, to be taken from there."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        return data


async def _write(file: zipfile.ZipFile, info: zipfile.ZipInfo, pieces: _Pieces) -> AsyncIterator[None]:
    """Write one file to the archive, with a pause after each piece."""
    entry = file.open(info, "w")
    try:
        async with closing(pieces):
            async for piece in pieces:
                for begin in range(0, len(piece), _AT_ONCE):
                    # Deflating takes longer than anybody else should wait.
                    await to_thread.run_sync(entry.write, piece[begin : begin + _AT_ONCE])
                    yield
    except BaseException:
        with suppress(Exception):  # it is broken anyway
            entry.close()
        raise
    entry.close()
    yield


def _info(output: OutputFileReference, name: str) -> zipfile.ZipInfo:
    changed = min(max(output.last_modified or _FIRST, _FIRST), _LAST).astimezone(UTC)
    info = zipfile.ZipInfo(name, changed.timetuple()[:6])
    info.compress_type = zipfile.ZIP_DEFLATED
    is_text = served_type(output.content_type, output.name) == TEXT
    info._compresslevel = _FASTEST if is_text else _NOT_AT_ALL  # type: ignore[attr-defined]  # noqa: SLF001 - no other way
    info.create_system = _UNIX
    info.external_attr = _MODE << 16
    info.file_size = output.size or 0  # by which it is seen whether lengths need more room
    seconds = int(changed.timestamp())
    if seconds < 2**31:
        info.extra = struct.pack(_TIME, 0x5455, 5, 1, seconds)
    return info


async def _prepared(
    outputs: AsyncIterator[OutputFileReference],
) -> AsyncIterator[tuple[OutputFileReference, asyncio.Task[_Pieces | None]]]:
    """Each output with the task that begins to read it; of small ones, some are begun before it is their turn."""
    ahead: deque[tuple[OutputFileReference, asyncio.Task[_Pieces | None]]] = deque()
    try:
        async with closing(outputs):
            async for output in outputs:
                is_small = output.size is not None and output.size <= _SMALL
                while ahead and not is_small:
                    yield ahead[0]
                    ahead.popleft()
                ahead.append((output, asyncio.create_task(_content(output))))
                if len(ahead) == _AHEAD or not is_small:
                    yield ahead[0]
                    ahead.popleft()
        while ahead:
            yield ahead[0]
            ahead.popleft()
    finally:
        for _, task in ahead:
            task.cancel()
        for result in await asyncio.gather(*(task for _, task in ahead), return_exceptions=True):
            if isinstance(result, AsyncGenerator):
                await result.aclose()


async def _content(output: OutputFileReference) -> _Pieces | None:
    """The output as it is now; None if it is gone, or goes on with a log that is there."""
    try:
        if output.is_log is not False:
            await output.refresh()  # a listing does not know of a log's parts
        if output.is_log and await goes_on_with_log(output):
            return None
        try:
            return await _begun(output)
        except BlobChangedError:  # since it was listed
            await output.refresh()
            return await _begun(output)
    except BlobNotFoundError:
        return None


async def _begun(output: OutputFileReference) -> _Pieces:
    return await begun(verified(output.chunks(exactly=True), output.size or 0))
