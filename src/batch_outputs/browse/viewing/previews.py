"""Which way to show an output: by its type, its length and its first bytes, never by what it claims alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from batch_outputs.browse.served_types import PDF, PICTURES, PLAYED, SVG, TEXT, known_type, served_type
from batch_outputs.browse.viewing.encodings import UTF_8, encoding_of
from batch_outputs.wording import size_text

BEGINNING = 64 * 1024
"""First bytes that are looked at."""
LARGEST_TREE = 1024 * 1024
"""Bytes of a JSON file that is folded."""
LARGEST_PICTURE = 100 * 1000 * 1000
"""Bytes; a larger picture is not loaded unless asked for."""
_DUMPED = 256


class Viewer(StrEnum):
    """A way to show an output."""

    EMPTY = "empty"
    PICTURE = "picture"
    VIDEO = "video"
    AUDIO = "audio"
    PDF = "pdf"
    TREE = "tree"
    TABLE = "table"
    TEXT = "text"
    BYTES = "bytes"


WORDS: Mapping[Viewer, str] = {
    Viewer.PICTURE: "Picture",
    Viewer.VIDEO: "Video",
    Viewer.AUDIO: "Audio",
    Viewer.PDF: "Document",
    Viewer.TREE: "Tree",
    Viewer.TABLE: "Table",
    Viewer.TEXT: "Text",
    Viewer.BYTES: "Bytes",
}

_MARKS: Mapping[str, tuple[int, bytes]] = {
    "image/png": (0, b"\x89PNG"),
    "image/apng": (0, b"\x89PNG"),
    "image/jpeg": (0, b"\xff\xd8\xff"),
    "image/gif": (0, b"GIF8"),
    "image/bmp": (0, b"BM"),
    "image/x-icon": (0, b"\0\0\1\0"),
    "image/vnd.microsoft.icon": (0, b"\0\0\1\0"),
    "image/webp": (8, b"WEBP"),
    "image/avif": (4, b"ftyp"),
    PDF: (0, b"%PDF-"),
}
"""What a file of each type has at which place."""
_JSON_LINES = {"application/jsonl", "application/x-ndjson", "application/ndjson", "application/json-lines"}
_TABLES = {"text/csv", "text/tab-separated-values", "application/csv"}
_BY_SUFFIX = {
    ".jsonl": "application/jsonl",
    ".ndjson": "application/x-ndjson",
    ".json": "application/json",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
}
"""What a plain text may be as well."""
_STRANGE = ("\ufffd", *(chr(code) for code in range(32) if chr(code) not in "\b\t\n\f\r\x1b"))
"""Characters of which a text has few."""


@dataclass(frozen=True, slots=True)
class Preview:
    """How an output is shown, and how else it can be; `remark` says why it is not shown as its type has it."""

    viewer: Viewer
    others: tuple[Viewer, ...] = ()
    remark: str = ""
    is_lines: bool = False
    """Whether a tree is one value a line."""

    @property
    def choices(self) -> tuple[Viewer, ...]:
        """All ways, the best first."""
        return (self.viewer, *self.others)

    def choose(self, text: str | None) -> Viewer:
        """The way that is asked for, if it is one of them."""
        return next((viewer for viewer in self.choices if viewer == text), self.viewer)


def preview_of(name: str, content_type: str | None, size: int, beginning: bytes, *, is_log: bool = False) -> Preview:
    """How to show an output of this name, type and length that begins with these bytes.

    `beginning` is its first 64 KiB, or all of it.
    """
    type_ = known_type(content_type, name)
    if type_ == "text/plain":
        type_ = _BY_SUFFIX.get(_suffix(name), type_)
    structured = _structured(type_, size)
    if is_log:
        return Preview(Viewer.TEXT, (*structured, Viewer.BYTES), is_lines=type_ in _JSON_LINES)
    if size == 0:
        return Preview(Viewer.EMPTY)
    if type_ in _MARKS and not beginning.startswith(_MARKS[type_][1], _MARKS[type_][0]):
        return _by_bytes(beginning, f"It is called {type_} and is none.")
    if type_ in PICTURES or type_ == SVG:
        other = Viewer.TEXT if type_ == SVG else Viewer.BYTES
        if size > LARGEST_PICTURE:
            return Preview(other, (Viewer.PICTURE,), "The picture is so large that it is loaded on demand only.")
        return Preview(Viewer.PICTURE, (other,))
    if type_ in PLAYED or type_ == PDF:
        viewer = Viewer.PDF if type_ == PDF else Viewer.VIDEO if type_.startswith("video/") else Viewer.AUDIO
        return Preview(viewer, (Viewer.BYTES,))
    if served_type(type_, name) == TEXT:
        if not is_text(beginning):
            return Preview(Viewer.BYTES, (Viewer.TEXT,), f"It is called {type_} and does not begin like a text.")
        choices = (*structured, Viewer.TEXT, Viewer.BYTES)
        remark = f"Folded up to {size_text(LARGEST_TREE)} only." if _is_json(type_) and not structured else ""
        return Preview(choices[0], choices[1:], remark, type_ in _JSON_LINES)
    return _by_bytes(beginning)


def is_text(beginning: bytes) -> bool:
    """Whether bytes look like the beginning of a text that people can read."""
    encoding = encoding_of(beginning)
    if encoding is not UTF_8:
        return True
    text = encoding.decode(beginning[: len(beginning) - encoding.broken_end(beginning)], first=True)
    strange = sum(text.count(character) for character in _STRANGE)
    return strange * 20 <= len(text)


def hex_dump(beginning: bytes) -> list[tuple[str, str, str]]:
    """The first 256 bytes in rows of 16: offset, hexadecimal numbers, and characters."""
    rows = []
    for offset in range(0, min(len(beginning), _DUMPED), 16):
        row = beginning[offset : min(offset + 16, _DUMPED)]
        seen = "".join(chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in row)
        rows.append((f"{offset:04x}", f"{row[:8].hex(' ')}  {row[8:].hex(' ')}".ljust(48), seen))
    return rows


def _by_bytes(beginning: bytes, remark: str = "") -> Preview:
    if is_text(beginning):
        return Preview(Viewer.TEXT, (Viewer.BYTES,), remark)
    return Preview(Viewer.BYTES, (Viewer.TEXT,), remark)


def _structured(type_: str, size: int) -> tuple[Viewer, ...]:
    if type_ in _TABLES:
        return (Viewer.TABLE,)
    if type_ in _JSON_LINES or (_is_json(type_) and size <= LARGEST_TREE):
        return (Viewer.TREE,)
    return ()


def _is_json(type_: str) -> bool:
    return type_ == "application/json" or type_.endswith("+json")


def _suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return f"{dot}{suffix}".lower() if stem and dot else ""
