"""A writer of one log, a step at a time: what a tracked save does, without its thread, its clock and its end."""

from __future__ import annotations

import secrets
from pathlib import Path

from batch_outputs.errors import StoreError
from batch_outputs.growing_file import GrowingFile
from batch_outputs.log_chain import LogChain
from batch_outputs.marks import LogMarks
from batch_outputs.stores.base import Store

LOG = "t1/$TaskLog/log.txt"


class LogWriter:
    """Writes the file at `path` and keeps it stored as `blob`; to make another of the file is another attempt.

    `text` is all that has been saved of the log, its parts joined; it begins with that of the attempt it goes on from.
    """

    def __init__(self, store: Store, path: Path, *, text: bytes = b"", blob: str = LOG) -> None:
        self.text = text
        self._path = path
        marks = LogMarks(attempt=secrets.token_hex(4), started="2026-01-01T00:00:00Z")
        file = GrowingFile(str(path))
        self._chain = LogChain(store, blob, file, marks, content_type="text/plain", noticed=lambda _: None)

    async def write(self, data: bytes) -> None:
        """Add to the file, and save it."""
        with self._path.open("ab") as file:
            file.write(data)
        await self._save(data)

    async def turn_page(self, data: bytes) -> None:
        """Truncate the file and write something shorter, which makes another part, and save it."""
        self._path.write_bytes(data)
        await self._save(data)

    async def open(self) -> None:
        """Find the log, or begin it."""
        await self._chain.open()

    async def finish(self, exit_code: int | None = None) -> None:
        """Mark the log as complete."""
        assert await self._chain.finish(exit_code)

    async def finish_last_part_only(self, *, complete: bool) -> None:
        """Do the first half of an end or, if it is not `complete`, of the beginning of another part."""
        _, part = self._chain._opened()
        await part.finish(complete=complete)

    async def _save(self, data: bytes) -> None:
        try:
            await self._chain.advance()
        except StoreError as error:
            if error.code != "BlockCountExceedsLimit":
                raise
            await self._chain.advance()  # in another part
        assert self._chain.is_caught_up
        self.text += data
