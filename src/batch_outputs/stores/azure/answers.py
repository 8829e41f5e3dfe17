"""What the headers of an answer say about a blob."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from batch_outputs.stores.base import BlobProperties, BlobType, Written

_METADATA = "x-ms-meta-"


class Headers(Protocol):
    """The headers of an answer as every client has them, whatever the case of their names."""

    def get(self, name: str, default: str, /) -> str:
        """The text of one, or `default`."""


class UnusableAnswerError(Exception):
    """An answer that Blob Storage would not give: somebody else has answered."""


def written(headers: Mapping[str, str]) -> Written:
    """What a write left behind.

    Raises:
        UnusableAnswerError: the headers are not those of a write.
    """
    try:
        return Written(headers["ETag"], http_date(headers["Last-Modified"]))
    except (KeyError, ValueError):
        raise UnusableAnswerError from None


def properties(name: str, headers: Mapping[str, str]) -> BlobProperties:
    """What is known of a blob, from the answer to a HEAD.

    Raises:
        UnusableAnswerError: the headers are not those of a blob.
    """
    try:
        return BlobProperties(
            name=name,
            size=int(headers["Content-Length"]),
            etag=headers["ETag"],
            last_modified=http_date(headers["Last-Modified"]),
            content_type=headers.get("Content-Type"),
            metadata={
                key[len(_METADATA) :]: value for key, value in headers.items() if key.lower().startswith(_METADATA)
            },
            blob_type=blob_type(headers["x-ms-blob-type"]),
            blocks=int(headers["x-ms-blob-committed-block-count"])
            if "x-ms-blob-committed-block-count" in headers
            else None,
            md5=md5(headers.get("Content-MD5")),
        )
    except (KeyError, ValueError):
        raise UnusableAnswerError from None


def md5(text: str | None) -> bytes | None:
    """The digest that a blob was stored with, if it is one."""
    try:
        digest = base64.b64decode(text or "", validate=True)
    except ValueError:
        return None
    return digest if len(digest) == 16 else None


def blob_type(text: str) -> BlobType:
    """The service's name for a blob's type in ours."""
    return "append" if text == "AppendBlob" else "block"


_DATE = re.compile(r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([1-9][0-9]{3}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


@lru_cache(maxsize=4096)
def http_date(text: str) -> datetime:
    """A date as HTTP writes it.

    Raises:
        ValueError: it is not one.
    """
    found = _DATE.fullmatch(text)
    if found is not None and found[2] in _MONTHS:  # as everybody writes it
        day, year, hour, minute, second = map(int, found.group(1, 3, 4, 5, 6))
        return datetime(year, _MONTHS.index(found[2]) + 1, day, hour, minute, second, tzinfo=UTC)
    from email.utils import parsedate_to_datetime  # not light, and hardly ever needed

    return parsedate_to_datetime(text).astimezone(UTC)


def retry_after(headers: Headers) -> float | None:
    """Seconds to wait, where the answer says so."""
    text = headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (http_date(text) - service_time(headers)).total_seconds())
    except ValueError:
        return None


def service_time(headers: Headers) -> datetime:
    """The service's time, else ours."""
    try:
        return http_date(headers.get("Date", ""))
    except ValueError:
        return datetime.now(UTC)


def blob_range(status: int, headers: Headers) -> tuple[int, int, int]:
    """Which bytes of a blob an answer holds: the first, the one behind the last, and the blob's size.

    Raises:
        UnusableAnswerError: the headers are not those of a blob.
    """
    if not headers.get("ETag", "") or not headers.get("x-ms-blob-type", ""):
        raise UnusableAnswerError
    try:
        if status == 200:
            size = int(headers.get("Content-Length", ""))
            return 0, size, size
        part, _, total = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        first, _, last = part.partition("-")
        return int(first), int(last) + 1, int(total)
    except ValueError:
        raise UnusableAnswerError from None
