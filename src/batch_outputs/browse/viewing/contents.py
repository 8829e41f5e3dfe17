"""The content of an output for its page: a beginning to look at, and ranges of the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from batch_outputs.browse.viewing.encodings import Encoding, encoding_of
from batch_outputs.browse.viewing.previews import BEGINNING
from batch_outputs.browse.viewing.windows import WINDOW, Windows
from batch_outputs.outputs import OutputFileReference


@dataclass(frozen=True, slots=True)
class Content:
    """What is in an output that had `size` bytes when it was looked at."""

    output: OutputFileReference
    size: int
    beginning: bytes
    """Its first 64 KiB, or all of it."""

    @classmethod
    async def of(cls, output: OutputFileReference) -> Self:
        """The content of an output that has been looked at.

        Raises:
            StoreError: it cannot be read.
        """
        size = output.size or 0
        return cls(output, size, await _read(output, 0, min(size, BEGINNING)))

    @property
    def encoding(self) -> Encoding:
        """The encoding, if it is a text."""
        return encoding_of(self.beginning)

    @property
    def windows(self) -> Windows:
        """The windows of its text."""
        return Windows(self.read, self.size, self.encoding)

    async def read(self, offset: int, length: int) -> bytes:
        """So many bytes from an offset on."""
        length = max(0, min(length, self.size - offset))
        if offset + length <= len(self.beginning):
            return self.beginning[offset : offset + length]
        return await _read(self.output, offset, length)

    async def text(self) -> tuple[str, bool]:
        """Its first MiB as text with all its control codes, and whether that is all."""
        data = await self.read(0, WINDOW)
        encoding = self.encoding
        return encoding.decode(data[: len(data) - encoding.broken_end(data)], first=True), len(data) == self.size


async def _read(output: OutputFileReference, offset: int, length: int) -> bytes:
    if length == 0:
        return b""
    return b"".join([chunk async for chunk in output.chunks(offset, length, exactly=True)])
