"""How a blob's name becomes file names, and back; the same on every system, so that a folder can be carried around.

A name is cut at `/`, and each segment becomes one component of a path, mostly itself. Different are:

====================================================  ====================================================
`%`, control characters, `< > : " | ? * \\`            `%XX` (hex digits of the byte)
`~` before a digit (a short name such as `LONG~1`)    `%7E`
a `.` or a space at the end of a segment              `%2E`, `%20`; so `.` is `%2E` and `..` is `.%2E`
a device of Windows (`con`, `NUL.txt`, `com1`, ...)   its first character as `%XX`: `%63on`
`.batch-outputs` as the first segment, in any case    `%2Ebatch-outputs`: that folder is the store's own
an empty segment (`a//b`, `/a`, `a/`)                 `%`
a segment of more than 200 bytes when escaped         a folder in a folder: all pieces but the last end with `%+`
a blob whose name is also a folder's (`a` by `a/b`)   a `%` behind: `a%`
a segment that a disk blind to case mixes up          every letter as `%XX`: `%52%65%61%64%6D%65`
====================================================  ====================================================

A `%` is never left as it is, so these marks cannot be mistaken, and a path says its name without looking anything up.
A path that these rules would not make has no name: such a file is no blob and shows in no list.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

Components: TypeAlias = tuple[str, ...]
"""The components of a path that make up one segment of a name: one, or several for a long segment."""

PRIVATE: Final = ".batch-outputs"
"""The folder in each container that is the store's own."""

MARK: Final = "%"
"""Stands behind the file name of a blob that has the name of a folder, and alone for an empty segment."""

CONTINUED: Final = "%+"
"""Stands at the end of a folder whose name is only the beginning of a segment."""

_LONGEST = 200  # bytes; file systems hold 255, and a piece may gain an escape and a mark
_UNSAFE = re.compile(r'[%\x00-\x1f\x7f<>:"|?*\\]|~(?=[0-9])')
_LETTER_OR_UNSAFE = re.compile(_UNSAFE.pattern + r"|[^ -@\[-`{-~]")  # all but the printable ASCII without letters
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\.|$)", re.IGNORECASE)
_CHARACTER = re.compile(r"%[C-F][0-9A-F](?:%[89AB][0-9A-F])+|%[0-9A-F]{2}|.", re.DOTALL)


@lru_cache(maxsize=4096)
def escape(segment: str, *, first: bool = False) -> Components:
    """The path components of a segment; `first` if it is the first of its name."""
    escaped = _UNSAFE.sub(_escape_match, segment)
    if first and segment.lower() == PRIVATE:
        escaped = _percent(escaped[0]) + escaped[1:]
    return _pieces(escaped)


@lru_cache(maxsize=4096)
def escape_letters(segment: str) -> Components:
    """The same with every letter escaped: no two segments differ only in case then, or in how an accent is written."""
    return _pieces(_LETTER_OR_UNSAFE.sub(_escape_match, segment))


def forms(segment: str, *, first: bool = False) -> tuple[Components, ...]:
    """All components under which a segment may stand, the usual ones first."""
    usual, letters = escape(segment, first=first), escape_letters(segment)
    return (usual,) if usual == letters else (usual, letters)


def unescape(components: Components, *, first: bool = False) -> str | None:
    """The segment that stands under these components (without a `MARK`), or None if none does."""
    *pieces, last = components
    escaped = "".join(piece.removesuffix(CONTINUED) for piece in pieces) + (last if last != MARK else "")
    try:
        segment = unquote_to_bytes(escaped).decode()
    except UnicodeError:
        return None  # not UTF-8: no name of a blob
    # Decoding is lenient; that the way back leads to the same place makes it exact.
    return segment if components in forms(segment, first=first) else None


def _pieces(escaped: str) -> Components:
    if not escaped:
        return (MARK,)
    if escaped[-1] in ". ":
        escaped = escaped[:-1] + _percent(escaped[-1])
    if len(escaped.encode()) <= _LONGEST:
        return (_no_device(escaped),)
    *pieces, last = map(_no_device, _cut(escaped))
    return (*(piece + CONTINUED for piece in pieces), last)


def _cut(escaped: str) -> list[str]:
    """Pieces of at most 200 bytes, each of whole characters and whole escapes."""
    pieces, room = [""], _LONGEST
    for character in _CHARACTER.findall(escaped):
        size = len(character.encode())
        if size > room:
            pieces.append("")
            room = _LONGEST
        pieces[-1] += character
        room -= size
    return pieces


def _no_device(piece: str) -> str:
    return _percent(piece[0]) + piece[1:] if _DEVICE.match(piece) else piece


def _escape_match(match: re.Match[str]) -> str:
    return _percent(match[0])


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())
