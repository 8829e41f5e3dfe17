"""Where a stored output goes below a local folder: always inside it, whatever the blob is called."""

from __future__ import annotations

import hashlib
import os
import re

_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\.|$)")
_CONTROL = r"\x00-\x1f\x7f-\x9f"
_UNSAFE = re.compile(rf"[{_CONTROL}/]")
_UNSAFE_ON_WINDOWS = re.compile(rf'[{_CONTROL}/<>:"|?*\\]|~(?=[0-9])')  # LONG~1 is the short name of another file
# What a download hides beside a file that it writes; nothing that is stored may pass for it.
_PART_FILE = re.compile(r"(?i)\.[0-9a-f]{16}\.(part|from)")

# What most are: no segment of it is empty, begins with a dot or is too long.
_ORDINARY = re.compile(r"(?:[ -\-0-~][ -.0-~]{0,254}/)*[ -\-0-~][ -.0-~]{0,254}")

_LONGEST = 255
"""What file systems hold of a name: bytes, on Windows UTF-16 units."""

_LONGEST_EXTENSION = 16


def local_path(name: str, *, windows: bool = os.name == "nt") -> str:
    """A relative path for a stored name, with the system's separator.

    Segments stay as they are where they can. An empty one, `.`, `..`, and what the system cannot hold or would take
    for a drive, a device, a separator or a download that is under way, are written with `%XX`. Of one that is too long
    the beginning, a hash of all of it, and the extension are left: `aaa…%~0123456789abcdef.png`.

    Where the path has no `%`, it is the name.
    """
    if not windows and _ORDINARY.fullmatch(name):
        return name
    separator = "\\" if windows else "/"
    return separator.join(_safe(segment, windows=windows) for segment in name.split("/"))


def _safe(segment: str, *, windows: bool) -> str:
    if not segment:
        return "%"
    if segment.strip(".") == "" and len(segment) <= 2:
        return segment.replace(".", "%2E")
    text = (_UNSAFE_ON_WINDOWS if windows else _UNSAFE).sub(lambda match: f"%{ord(match.group()):02X}", segment)
    if windows:
        if text[-1] in ". ":
            text = f"{text[:-1]}%{ord(text[-1]):02X}"
        if _DEVICE.match(text):
            text = f"%{ord(text[0]):02X}{text[1:]}"
    if _PART_FILE.match(text):
        text = f"%2E{text[1:]}"
    return text if _length(text, windows=windows) <= _LONGEST else _shortened(text, segment, windows=windows)


def _shortened(text: str, segment: str, *, windows: bool) -> str:
    stem, dot, extension = text.rpartition(".")
    if not stem or len(extension) > _LONGEST_EXTENSION or not extension.isascii():
        stem, dot, extension = text, "", ""
    end = f"%~{hashlib.sha256(_encoded(segment)).hexdigest()[:16]}{dot}{extension}"
    room = _LONGEST - len(end)
    stem = stem[:room]
    while _length(stem, windows=windows) > room:
        stem = stem[:-1]
    return stem + end


def _length(text: str, *, windows: bool) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2 if windows else len(_encoded(text))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
