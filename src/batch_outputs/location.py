"""Where outputs are stored and how access to it is had, as plain values.

These values are what is handed around; clients are opened from them where they are used, because an asynchronous
client belongs to the event loop that it was first used on. No secret shows in a `repr`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import parse_qs, quote

_CONTAINER_NAME = re.compile(r"\$root|\$web|\$logs|[a-z0-9](?:[a-z0-9]|-(?!-)){1,61}[a-z0-9]")


def is_container_name(text: str) -> bool:
    """Whether Azure Blob Storage can have a container of this name."""
    return _CONTAINER_NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)  # no tuple, whose parts anything would show
class SasAccess:
    """A shared access signature: the query string after the `?` of a URL."""

    sas: str = field(repr=False)

    @property
    def is_for_one_container(self) -> bool:
        """Whether it is for one container, or something in it, and not for the account."""
        return "sr" in parse_qs(self.sas)  # it says what one thing it is for; the SAS of an account has none


class SasFileAccess(NamedTuple):
    """A file that holds a URL with a SAS and is read again when access is refused, so that it can be renewed."""

    path: Path


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """An account's name and its key (base64 text)."""

    account_name: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenAccess:
    """An identity: a blocking `TokenCredential`, or, without one, the identity found in the environment."""

    credential: object | None = field(default=None, repr=False)


Access: TypeAlias = SasAccess | SasFileAccess | KeyAccess | TokenAccess


class AzureAccount(NamedTuple):
    """A storage account's blob endpoint, such as `https://acct.blob.core.windows.net` (no `/` at the end)."""

    endpoint: str
    access: Access

    def container_url(self, container: str) -> str:
        """The container's URL, without any SAS."""
        return f"{self.endpoint}/{quote(container)}"

    def place(self, container: str) -> str:
        """The container as people know it: host and container, without scheme or secret."""
        return self.container_url(container).partition("://")[2]


class DirectoryAccount(NamedTuple):
    """A folder whose subfolders are containers."""

    root: Path

    def container_url(self, container: str) -> str:
        """The container's folder as a `file:` URL."""
        return self.root.absolute().joinpath(container).as_uri()

    def place(self, container: str) -> str:
        """The container's folder as it was given."""
        return str(self.root / container)


Account: TypeAlias = AzureAccount | DirectoryAccount


class StoreLocation(NamedTuple):
    """One container and the way to it."""

    account: Account
    container: str

    @property
    def url(self) -> str:
        """The container's URL, without any SAS."""
        return self.account.container_url(self.container)

    @property
    def place(self) -> str:
        """The container as people know it, without any secret."""
        return self.account.place(self.container)

    def blob_url(self, name: str) -> str:
        """A blob's URL, without any SAS."""
        return f"{self.url}/{quote(name, safe='/$')}"
