"""Conditional requests and requests for a part (RFC 9110, sections 13 and 14): one range, as players ask for."""

from __future__ import annotations

import hashlib
import re

_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", re.IGNORECASE)


class UnsatisfiableError(Exception):
    """What is asked for begins behind the end."""


def entity_tag(etag: str) -> str:
    """The `ETag` of an answer, from the opaque one of an output."""
    return f'"{hashlib.sha256(etag.encode()).hexdigest()[:32]}"'


def is_unchanged(if_none_match: str | None, tag: str) -> bool:
    """Whether the client has this state already."""
    if if_none_match is None:
        return False
    given = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return tag in given or "*" in given


def wanted_range(given: str | None, if_range: str | None, tag: str, size: int) -> tuple[int, int] | None:
    """The offset and length that are asked for; None: all of it.

    What cannot be read, and several ranges at once, mean all of it, as does a part of another state (`if_range`).

    Raises:
        UnsatisfiableError: nothing is there.
    """
    found = _RANGE.fullmatch(given or "")
    if found is None or (if_range is not None and if_range.strip() != tag):
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        offset, end = max(0, size - int(last)), size
    else:
        offset, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < offset:
            return None
    if offset >= size:
        raise UnsatisfiableError
    return offset, end - offset
