"""One page of a listing, from its XML.

Blobs in plain XML are read without a parser. Of anything else the tree is built by the parser's own C code, several
times as quick as calls of ours for each element. Document types are declined, and with them entities, so that a hostile
answer cannot grow without bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote

from batch_outputs.stores.azure.answers import UnusableAnswerError, blob_type, http_date, md5
from batch_outputs.stores.azure.plain_xml import NotPlainError, PlainXml
from batch_outputs.stores.base import BlobPrefix, BlobProperties, ContainerProperties

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Entry: TypeAlias = BlobProperties | BlobPrefix | ContainerProperties

PAGE_SIZE = 5000
"""Entries of one page of a listing; the service gives no more."""

_LONGEST = 64 * 1024 * 1024
"""Bytes; far more than 5,000 entries with all their metadata take."""


class Page:
    """Takes the XML in pieces by `feed`, then `close`; after that `entries` and `next_marker` are there."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.next_marker: str = ""
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> None:
        """Take the next bytes.

        Raises:
            UnusableAnswerError: no listing is as long.
        """
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > _LONGEST:
            raise UnusableAnswerError

    def close(self) -> None:
        """Parse all of it.

        Raises:
            UnusableAnswerError: this is not a whole listing.
        """
        text = b"".join(self._pieces)
        self._pieces.clear()
        # Of the encodings that the parser knows, all in which this could look different have zero bytes in it.
        if b"<!DOCTYPE" in text or b"\x00" in text:
            raise UnusableAnswerError
        try:
            try:
                self._read_plain(text)
            except NotPlainError:
                self._parse(text)
        except (SyntaxError, LookupError, ValueError):  # a parse error is a syntax error
            raise UnusableAnswerError from None

    def _read_plain(self, text: bytes) -> None:
        page = PlainXml(text)
        self.entries = [blob for found in page.blobs() if (blob := _blob(*found)) is not None]
        self.next_marker = page.next_marker

    def _parse(self, text: bytes) -> None:
        from xml.etree import ElementTree as ET  # hardly ever needed

        root = ET.fromstring(text)  # noqa: S314 - without document types
        if root.tag != "EnumerationResults":
            raise UnusableAnswerError
        self.entries = [entry for group in root for element in group if (entry := _entry(element)) is not None]
        self.next_marker = root.findtext("NextMarker") or ""


def _entry(element: Element) -> Entry | None:
    """A blob, a prefix or a container; None for what is nothing to show."""
    if element.tag == "Blob":
        return _blob(_name(element), _texts(element, "Properties"), _texts(element, "Metadata"))
    if element.tag == "BlobPrefix":
        return BlobPrefix(_name(element))
    if element.tag == "Container":
        changed = _texts(element, "Properties")["Last-Modified"]
        return ContainerProperties(_name(element), http_date(changed), _texts(element, "Metadata"))
    return None


def _blob(name: str, fields: dict[str, str], metadata: dict[str, str]) -> BlobProperties | None:
    if metadata.get("hdi_isfolder") == "true":  # a folder of an account with a hierarchical namespace
        return None
    # In listings ETags stand without the quotes that they have everywhere else.
    etag = fields["Etag"].strip('"')
    return BlobProperties(
        name=name,
        size=int(fields["Content-Length"]),
        etag=f'"{etag}"',
        last_modified=http_date(fields["Last-Modified"]),
        content_type=fields.get("Content-Type") or None,
        metadata=metadata,
        blob_type=blob_type(fields["BlobType"]),
        md5=md5(fields.get("Content-MD5")),
    )


def _name(element: Element) -> str:
    name = element.find("Name")
    if name is None:
        raise UnusableAnswerError
    # Names with characters that XML cannot hold come percent-encoded, and say so.
    return unquote(name.text or "") if name.get("Encoded") == "true" else name.text or ""


def _texts(element: Element, tag: str) -> dict[str, str]:
    """The texts of a child's children, by their tags."""
    child = element.find(tag)
    return {} if child is None else {one.tag: one.text or "" for one in child}
