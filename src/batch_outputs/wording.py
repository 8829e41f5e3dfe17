"""How sizes, times, counts and names are written for people, on a terminal and on a page."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def size_text(size: int | None) -> str:
    """A length in bytes as people read it: `1.2 MB` (decimal units)."""
    if size is None:
        return "?"
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:  # what would be shown as 1000.0 is one of the next
            return f"{value:.1f} {unit}"
    return f"{value / 1000:,.1f} TB"


def counted(number: int, what: str) -> str:
    """`1 file`, `3 files`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@lru_cache(maxsize=4096)
def time_text(moment: datetime | None) -> str:
    """A moment in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if moment else "?"


def age_text(moment: datetime | None, now: datetime) -> str:
    """How long ago something was, in one unit; the date of what is a month ago, or yet to come."""
    if moment is None:
        return "?"
    seconds = (now - moment).total_seconds()
    if not -60 <= seconds < 30 * 86400:  # clocks differ a little
        return moment.astimezone(UTC).strftime("%Y-%m-%d")
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds / length)} {unit} ago"
    return f"{int(seconds)} s ago" if seconds >= 5 else "just now"


def printable(text: str) -> str:
    """Text with what cannot be seen, or would turn around what follows, written as in a program: `\\x1b`, `\\u202e`."""
    return text if is_printable(text) else _UNPRINTABLE.sub(_escaped, text)


def is_printable(text: str) -> bool:
    """Whether a text is shown as it stands."""
    return _UNPRINTABLE.search(text) is None


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
