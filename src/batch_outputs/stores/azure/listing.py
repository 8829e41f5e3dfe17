"""One page of a listing, read from XML as it arrives.

The parser declines document types and with them entities, so that a hostile answer cannot grow without bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from urllib.parse import unquote
from xml.parsers import expat

import aiohttp

from batch_outputs.stores.azure.answers import UnusableAnswerError, blob_type, http_date, md5
from batch_outputs.stores.base import BlobPrefix, BlobProperties, ContainerProperties

Entry: TypeAlias = BlobProperties | BlobPrefix | ContainerProperties

_ENTRIES = {"Blob", "BlobPrefix", "Container"}


@dataclass(slots=True)
class _Found:
    """An entry while it is read."""

    fields: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    def date(self) -> datetime:
        return http_date(self.fields["Last-Modified"])


class Page:
    """Takes the XML in pieces by `feed`, then `close`; after that `entries` and `next_marker` are there."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.next_marker = ""
        self._path: list[str] = []
        self._found = _Found()
        self._text: list[str] = []
        self._encoded = False
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._decline
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text.append

    def feed(self, piece: bytes) -> None:
        """Parse the next bytes.

        Raises:
            UnusableAnswerError: this is not a listing.
        """
        self._parse(piece, final=False)

    def close(self) -> None:
        """Parse to the end.

        Raises:
            UnusableAnswerError: this is not a whole listing.
        """
        self._parse(b"", final=True)

    def _parse(self, piece: bytes, *, final: bool) -> None:
        try:
            self._parser.Parse(piece, final)
        except (expat.ExpatError, KeyError, ValueError):
            raise UnusableAnswerError from None

    def _decline(self, *_: object) -> None:
        raise UnusableAnswerError

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._path and tag != "EnumerationResults":
            raise UnusableAnswerError
        self._path.append(tag)
        self._text.clear()
        # Names with characters that XML cannot hold come percent-encoded, and say so.
        self._encoded = attributes.get("Encoded") == "true"
        if tag in _ENTRIES and len(self._path) == 3:
            self._found = _Found()

    def _end(self, tag: str) -> None:
        self._path.pop()
        text = "".join(self._text)
        self._text.clear()
        depth = len(self._path)
        if depth == 1 and tag == "NextMarker":
            self.next_marker = text
        elif depth == 2 and tag in _ENTRIES:
            self._add(tag, self._found)
        elif depth == 3 and tag == "Name":
            self._found.fields["Name"] = unquote(text) if self._encoded else text
        elif depth == 4 and self._path[-1] == "Properties":
            self._found.fields[tag] = text
        elif depth == 4 and self._path[-1] == "Metadata":
            self._found.metadata[tag] = text

    def _add(self, tag: str, found: _Found) -> None:
        if tag == "BlobPrefix":
            self.entries.append(BlobPrefix(found.fields["Name"]))
        elif tag == "Container":
            self.entries.append(ContainerProperties(found.fields["Name"], found.date(), found.metadata))
        elif found.metadata.get("hdi_isfolder") != "true":  # a folder of an account with a hierarchical namespace
            self.entries.append(_blob(found))


async def read_page(response: aiohttp.ClientResponse) -> Page:
    """The page that an answer holds.

    Raises:
        UnusableAnswerError: it is not a listing.
    """
    page = Page()
    async for piece in response.content.iter_any():
        page.feed(piece)
    page.close()
    return page


def _blob(found: _Found) -> BlobProperties:
    fields = found.fields
    return BlobProperties(
        name=fields["Name"],
        size=int(fields["Content-Length"]),
        # In listings ETags stand without the quotes that they have everywhere else.
        etag=f'"{fields["Etag"].strip(chr(34))}"',
        last_modified=found.date(),
        content_type=fields.get("Content-Type") or None,
        metadata=found.metadata,
        blob_type=blob_type(fields["BlobType"]),
        md5=md5(fields.get("Content-MD5")),
    )
