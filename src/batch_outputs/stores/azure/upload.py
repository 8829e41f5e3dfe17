"""One put by obstore, as a worker thread does it.

No text of obstore's errors is let through: it may hold the URL, and the URL holds the SAS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from batch_outputs.stores.azure.content import Source
from batch_outputs.stores.azure.pressure import BUSY
from batch_outputs.threads import Stop

if TYPE_CHECKING:
    from obstore.store import AzureStore as Client

BLOCKS_AT_ONCE = 4

_STATUS = re.compile(r"status code: (\d{3})\b")


class Upload:
    """A put that may be begun again, and abandoned between two blocks."""

    def __init__(
        self, client: Client, name: str, source: Source, attributes: dict[str, str], abandoned: Stop | None = None
    ) -> None:
        self.abandoned: Stop = abandoned or Stop()
        self.is_refused_as_busy: bool = False
        self._client = client
        self._name = name
        self._source = source
        self._attributes = attributes
        self._source_error: BaseException | None = None

    def run(self) -> str | None:
        """The new ETag; None if obstore failed. Errors of the source are raised as they are."""
        import obstore

        etag: str | None = None
        self.is_refused_as_busy = False
        try:
            done = obstore.put(
                self._client,
                self._name,
                self._blocks() if self._source.is_large else self._read(),
                attributes=self._attributes,
                use_multipart=self._source.is_large,
                chunk_size=self._source.block_size,
                max_concurrency=BLOCKS_AT_ONCE,
            )
        except Exception as error:  # its own classes, ValueError, OSError: the wire will find out what is wrong
            self.is_refused_as_busy = says_busy(error)
        else:
            etag = done["e_tag"]
        if self._source_error is not None:
            raise self._source_error  # behind the handler, so that obstore's error is not its context
        return etag

    def rewind(self) -> None:
        """Begin again at the first byte."""
        self._source.rewind()

    def _blocks(self) -> Iterator[bytes]:
        while not self._source.is_at_end:
            yield self._read()

    def _read(self) -> bytes:
        try:
            self._check_wanted()
            return self._source.read()
        except BaseException as error:
            self._source_error = error
            raise

    def _check_wanted(self) -> None:
        if self.abandoned.is_set():
            raise _AbandonedError


def says_busy(failure: Exception) -> bool:
    """Whether an error of obstore's comes from a service that has too much to do."""
    found = _STATUS.search(str(failure))
    return found is not None and int(found[1]) in BUSY


class _AbandonedError(Exception):
    """Nobody waits for the upload any more."""
