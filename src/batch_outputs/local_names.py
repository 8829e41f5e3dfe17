"""Where a stored output goes below a local folder: always inside it, whatever the blob is called."""

from __future__ import annotations

import os
import re

_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\.|$)")
_CONTROL = r"\x00-\x1f\x7f-\x9f"
_UNSAFE = re.compile(rf"[{_CONTROL}/]")
_UNSAFE_ON_WINDOWS = re.compile(rf'[{_CONTROL}/<>:"|?*\\]')


def local_path(name: str, *, windows: bool = os.name == "nt") -> str:
    """A relative path for a stored name, with the system's separator.

    Segments stay as they are where they can. An empty one, `.`, `..`, and what the system cannot hold or would take
    for a drive, a device or a separator, are written with `%XX`.
    """
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
    return text
