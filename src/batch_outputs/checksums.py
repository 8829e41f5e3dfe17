"""Holding what was read of an output against the checksums that its blobs were stored with."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from batch_outputs.marks import LogMarks
from batch_outputs.stored import Stored
from batch_outputs.stores.base import BlobProperties

if TYPE_CHECKING:
    from typing_extensions import Buffer

Checked: TypeAlias = Literal["sha256", "md5", "length"]
"""What content was held against: a checksum of all of it, or its length alone where none is there or wanted."""

_QUICK = 64 * 1024


class DamagedError(Exception):
    """The content of `blob` is not what `algorithm` says that it was."""

    def __init__(self, blob: str, algorithm: str) -> None:
        super().__init__(f"{blob} has another {algorithm}")
        self.blob = blob
        self.algorithm = algorithm


class _Span(NamedTuple):
    """A blob's share of the content, and its checksum where it has one."""

    blob: str
    size: int
    kind: Checked
    digest: bytes = b""


class Checksums:
    """Takes the content from front to back by `update`, then says by `finish` what it was held against.

    Where checksums are not `wanted`, that is the length alone.
    """

    def __init__(self, stored: Stored, *, wanted: bool = True) -> None:
        self._spans = [_span(part) if wanted else _Span(part.name, part.size, "length") for part in stored.parts]
        self._current = 0
        self._left = self._spans[0].size
        self._hash = _hash(self._spans[0].kind)

    @property
    def kind(self) -> Checked:
        """What all of the content is held against."""
        kinds = {span.kind for span in self._spans}
        return kinds.pop() if len(kinds) == 1 else "length"

    @property
    def needs_content(self) -> bool:
        """Whether there is any checksum."""
        return any(span.kind != "length" for span in self._spans)

    async def update(self, data: bytes) -> None:
        """Take the next bytes; long ones are hashed in a worker thread.

        Raises:
            DamagedError: a blob has ended, and is not what was stored.
        """
        if len(data) <= _QUICK or not self.needs_content:
            self.take(data)
        else:
            from anyio import to_thread  # a command that fetches quickly needs no event loop

            await to_thread.run_sync(self.take, data)

    def finish(self) -> Checked:
        """Say what all of it was held against.

        Raises:
            DamagedError: as `update`.
        """
        self.take(b"")
        return self.kind

    def take(self, data: Buffer) -> None:
        """As `update`, in this thread."""
        rest = memoryview(data)
        while True:
            here = rest[: self._left]
            if self._hash is not None:
                self._hash.update(here)
            self._left -= len(here)
            rest = rest[len(here) :]
            if self._left or self._current == len(self._spans):
                return
            self._end_span()

    def _end_span(self) -> None:
        span = self._spans[self._current]
        if self._hash is not None and self._hash.digest() != span.digest:
            raise DamagedError(span.blob, "SHA-256" if span.kind == "sha256" else "MD5")
        self._current += 1
        following = self._spans[self._current] if self._current < len(self._spans) else None
        self._left = 0 if following is None else following.size
        self._hash = None if following is None else _hash(following.kind)


def _span(part: BlobProperties) -> _Span:
    if part.blob_type == "append":
        # An MD5 that somebody gave it at its creation says nothing of what was appended.
        marks = LogMarks.from_metadata(part.metadata)
        if marks.length == part.size and marks.sha256 is not None:
            try:
                digest = bytes.fromhex(marks.sha256)
            except ValueError:
                digest = b""
            if len(digest) == hashlib.sha256().digest_size:
                return _Span(part.name, part.size, "sha256", digest)
    elif part.md5 is not None:
        return _Span(part.name, part.size, "md5", part.md5)
    return _Span(part.name, part.size, "length")


def _hash(kind: Checked) -> hashlib._Hash | None:
    if kind == "sha256":
        return hashlib.sha256()
    # Against damage on the way, not against somebody who means it; nothing else is stored with a file.
    return hashlib.md5(usedforsecurity=False) if kind == "md5" else None
