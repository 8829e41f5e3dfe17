"""Names, metadata and signatures as they go into a request, and what cannot go.

Everything is encoded here once; nothing later may decode or tidy it, or `a//b` and `..` would become other names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

from batch_outputs.errors import InvalidNameError
from batch_outputs.location import is_container_name

API_VERSION = "2022-11-02"
"""The version of the service's interface that is spoken."""

_METADATA_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER_TEXT = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
_SAS_CHARACTERS = "%&=/:,;!*'()~$@?"


@lru_cache(maxsize=64)  # it is part of the path of each blob
def container_path(container: str) -> str:
    """A container's path below the account's endpoint."""
    return "/" + quote(container, safe="$")


def blob_path(container: str, name: str) -> str:
    """A blob's path below the account's endpoint.

    Raises:
        InvalidNameError: no blob can have this name.
    """
    if not name:
        raise InvalidNameError("A blob's name is empty; give it one.", name=name)
    try:
        return f"{container_path(container)}/{quote(name, safe='/$')}"
    except UnicodeEncodeError:
        raise InvalidNameError(
            f"The blob name {name!r} is not Unicode text (a file name in another encoding?); give it a name.", name=name
        ) from None


def query(**parameters: str) -> str:
    """Parameters as the query of a URL; empty ones are left out."""
    return "&".join(f"{key}={quote(value, safe='')}" for key, value in parameters.items() if value)


def clean_sas(text: str) -> str:
    """A SAS as it may stand in a URL: no `?` or blanks around it, and a raw `+` (in a signature) encoded."""
    return quote(text.strip().removeprefix("?"), safe=_SAS_CHARACTERS)


def metadata_headers(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Metadata as headers.

    Raises:
        InvalidNameError: a key is not an identifier, or a value is not plain ASCII text; the service could not keep it.
    """
    headers = {}
    for key, value in (metadata or {}).items():
        if not _METADATA_KEY.fullmatch(key):
            raise InvalidNameError(
                f"The metadata key {key!r} cannot be stored on Azure; use letters, digits and _, not a digit first.",
                name=key,
            )
        if not _HEADER_TEXT.fullmatch(value):
            raise InvalidNameError(
                f"The value of the metadata key {key!r} cannot be stored on Azure; use ASCII text on one line "
                "with no blank at either end.",
                name=key,
            )
        headers[f"x-ms-meta-{key}"] = value
    return headers


def content_type_header(content_type: str | None) -> dict[str, str]:
    """A content type as the header under which it is stored with a blob.

    Raises:
        InvalidNameError: it is not plain ASCII text.
    """
    if not content_type:
        return {}
    if not _HEADER_TEXT.fullmatch(content_type):
        raise InvalidNameError(
            f"{content_type!r} is not a content type; give one such as text/plain.", name=content_type
        )
    return {"x-ms-blob-content-type": content_type}


def check_container_name(name: str) -> None:
    """Refuse what no container can be called.

    Raises:
        InvalidNameError: it is not 3 to 63 lower-case letters, digits and single hyphens.
    """
    if not is_container_name(name):
        raise InvalidNameError(
            f"{name!r} is not a container's name; use 3 to 63 lower-case letters, digits and single hyphens.", name=name
        )
