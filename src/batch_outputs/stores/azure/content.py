"""What a put stores, as one kind of thing, and how it is read without holding up the event loop."""

from __future__ import annotations

from batch_outputs.errors import StoreError
from batch_outputs.stores.base import Readable

BLOCK = 8 * 1024 * 1024
"""Bytes. Content up to this goes in one request; longer content in blocks of this size."""

MOST_BLOCKS = 50_000

_QUICK = 256 * 1024


class InMemory:
    """Bytes as a `Readable`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self._data)

    def read(self, length: int, /) -> bytes:
        """The next bytes; bytes read whole are not copied."""
        piece = self._data[self._position : self._position + length]
        self._position += len(piece)
        return piece

    def rewind(self) -> None:
        """Begin again."""
        self._position = 0


class Source:
    """The content of one put: a `Readable` from its first byte, held to the length it promised."""

    def __init__(self, content: bytes | Readable, *, blob: str, place: str) -> None:
        self.in_memory: bool = isinstance(content, bytes)
        self._content = InMemory(content) if isinstance(content, bytes) else content
        self._blob = blob
        self._place = place
        self.size: int = self._content.size
        self.rewind()

    @property
    def is_large(self) -> bool:
        """Whether it goes in blocks."""
        return self.size > BLOCK

    @property
    def block_size(self) -> int:
        """How large the blocks are, so that there are never too many of them."""
        return max(BLOCK, -(-self.size // MOST_BLOCKS))

    @property
    def has_begun(self) -> bool:
        """Whether any of it was read."""
        return self._left != self.size

    @property
    def is_at_end(self) -> bool:
        """Whether all of it was read."""
        return self._left == 0

    def rewind(self) -> None:
        """Begin again at the first byte."""
        self._content.rewind()
        self._left = self.size

    def read(self, most: int | None = None) -> bytes:
        """The next block, or at most so many bytes.

        Raises:
            StoreError: there are fewer bytes than promised.
        """
        wanted = min(most or self.block_size, self._left)
        # Empty content is read too: its one read says whether it is still empty.
        block = self._content.read(wanted)
        if len(block) != wanted:
            raise StoreError(
                f"The content for {self._blob} ended before its {self.size:,} bytes, so nothing was saved.",
                place=self._place,
                blob=self._blob,
            )
        self._left -= wanted
        return block


async def read_block(source: Source, *, own_thread: bool) -> bytes:
    """The next block; a large one from a file is read in a worker thread, unless the caller has a thread of its own.

    A cancelled caller gets on only when the read is over, so that the file can be closed then.
    """
    if own_thread or source.in_memory or source.size <= _QUICK:
        return source.read()
    from anyio import to_thread  # a command that saves quickly needs no event loop

    return await to_thread.run_sync(source.read)
