"""Pages of blobs in the plain XML that the service writes, read without a parser, which would take twice as long.

Plain are elements without attributes, each with others or a text in it, and texts without entities. Whether a page is
so shows while it is read, as each `<` in it has to belong to an element that is known or holds a text. Anything else
is left to a parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from sys import intern

_BEGIN = re.compile(
    r'\ufeff?<\?xml version="1\.0" encoding="(?i:utf-8)"(?: standalone="yes")?\?>\s*'
    r'<EnumerationResults(?: \w+="[^"<]*")*>(?:<[^<]*</\w+>|<\w+ ?/>)*<Blobs>'
)
_END = re.compile(r"</Blobs>(?:<NextMarker>([^<]*)</NextMarker>|<NextMarker ?/>)</EnumerationResults>\s*")
_BEHIND_PROPERTIES = re.compile(r"(?s:(?:<Metadata>(.*)</Metadata>|<Metadata ?/>)?(?:<OrMetadata ?/>)?</Blob>)")
_TEXT = re.compile(r"<([\w-]+)(?:>([^<]*)</\1>| ?/>)")


class NotPlainError(Exception):
    """The XML has to be read by a parser, which may decline it, too."""


class PlainXml:
    """A page of a listing of blobs.

    Raises:
        NotPlainError: it is anything else, or has more to it.
    """

    def __init__(self, page: bytes) -> None:
        try:
            text = page.decode()
        except UnicodeDecodeError:
            raise NotPlainError from None
        blobs, blob_end, end = text.rpartition("</Blob>")
        begin, *self._blobs = f"{blobs}{blob_end}".split("<Blob>")
        ended = _END.fullmatch(end)
        if "&" in text or "\r" in text or ended is None or not _BEGIN.fullmatch(begin):
            raise NotPlainError
        self.next_marker: str = ended.group(1) or ""

    def blobs(self) -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
        """Name, properties and metadata of each blob.

        Raises:
            NotPlainError: a blob has more to it.
        """
        for blob in self._blobs:
            before, _, behind = blob.partition("</Properties>")
            metadata = _BEHIND_PROPERTIES.fullmatch(behind)
            if metadata is None:
                raise NotPlainError
            properties = _texts(before, others=1)
            name = properties.get("Name")
            if name is None:
                raise NotPlainError
            yield name, properties, _metadata(metadata.group(1))


def _metadata(text: str | None) -> dict[str, str]:
    # The keys are the same for very many blobs.
    return {intern(key): value for key, value in _texts(text, others=0).items()} if text else {}


def _texts(xml: str, *, others: int) -> dict[str, str]:
    """The texts of elements by their tags, where there are but these, and so many `others` that begin around them."""
    found = _TEXT.findall(xml)
    texts = dict(found)
    # Each has a `<` at its beginning, and another at its end or a `/>`.
    if xml.count("<") + xml.count("/>") != 2 * len(found) + others or len(texts) != len(found):
        raise NotPlainError
    return texts
