"""From a location's `Access` to what one request shows at the door: a SAS or a bearer token.

Tickets are made when first asked for, kept as long as they are good, and made again when one is refused and there may
be a better one: a SAS that someone has renewed in its file, a token that was withdrawn.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from batch_outputs.environment import on_node
from batch_outputs.errors import AccessDeniedError, BatchOutputsError, ConfigurationError
from batch_outputs.location import AzureAccount, KeyAccess, SasAccess, SasFileAccess, TokenAccess
from batch_outputs.stores.azure import service
from batch_outputs.stores.azure.urls import clean_sas

if TYPE_CHECKING:  # a command that saves quickly needs no event loop
    import asyncio

SCOPE = "https://storage.azure.com/.default"

_EARLY = 300.0
"""Seconds before its end at which a token is no longer used."""


@dataclass(frozen=True, slots=True)  # no tuple, whose parts anything would show
class Ticket:
    """A SAS for the query of a URL, or a bearer token for a header."""

    sas: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    def headers(self) -> dict[str, str]:
        """What goes into the headers of a request; a SAS goes into its URL."""
        if not self.token:
            return {}
        from email.utils import formatdate

        return {"Authorization": f"Bearer {self.token}", "x-ms-date": formatdate(usegmt=True)}


class Tickets(Protocol):
    """Where the tickets of a store come from."""

    async def ticket(self) -> Ticket:
        """A ticket that should be good now."""

    def at_hand(self) -> Ticket | None:
        """The same, where nothing has to be waited for.

        Raises:
            ConfigurationError: as `ticket`.
        """

    async def renewed(self, refused: Ticket) -> Ticket | None:
        """Another ticket than the one refused, if there is one."""


class AccessToken(Protocol):
    """A token as azure-core has it."""

    @property
    def token(self) -> str:
        """The text."""

    @property
    def expires_on(self) -> int:
        """Its end, in seconds of the epoch."""


class TokenCredential(Protocol):
    """A blocking credential as azure-identity has them."""

    def get_token(self, *scopes: str) -> AccessToken:
        """A token for the scopes."""


def tickets_for(account: AzureAccount, container: str | None) -> Tickets:
    """Where tickets for a container come from, or, without one, for the account itself.

    Raises:
        ConfigurationError: an identity is to be used over plain HTTP.
    """
    access = account.access
    if isinstance(access, SasAccess):
        return GivenSas(access)
    if isinstance(access, SasFileAccess):
        return SasFromFile(access)
    if isinstance(access, KeyAccess):
        return SasFromKey(access, container)
    if not account.endpoint.startswith("https://"):
        raise ConfigurationError(
            f"An identity's token may not be sent to {account.endpoint}, which is not https; "
            "use the https URL, or give a SAS or key."
        )
    return TokenOfIdentity(access, account.endpoint.partition("://")[2])


class GivenSas:
    """The one SAS that was given."""

    def __init__(self, access: SasAccess) -> None:
        self._ticket = Ticket(sas=clean_sas(access.sas))

    def at_hand(self) -> Ticket:
        """The ticket."""
        return self._ticket

    async def ticket(self) -> Ticket:
        """The same."""
        return self._ticket

    async def renewed(self, refused: Ticket) -> Ticket | None:
        """There is no other."""
        del refused
        return None


class SasFromFile:
    """A SAS from a file, which is read once, and again whenever what it held is refused."""

    def __init__(self, access: SasFileAccess) -> None:
        self._path = access.path
        self._ticket: Ticket | None = None

    def at_hand(self) -> Ticket:
        """The SAS last read.

        Raises:
            ConfigurationError: the file cannot be read or holds no SAS.
        """
        if self._ticket is None:
            self._ticket = _read_sas(self._path)
        return self._ticket

    async def ticket(self) -> Ticket:
        """The same."""
        return self.at_hand()

    async def renewed(self, refused: Ticket) -> Ticket | None:
        """What the file holds now, if it is something else; an unreadable file is the same as an unchanged one."""
        try:
            current = _read_sas(self._path)
        except ConfigurationError:
            return None
        self._ticket = current
        return None if current == refused else current


def _read_sas(path: Path) -> Ticket:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(f"The file {path}, which should hold a SAS, cannot be read: {reason}.") from None
    first = text.splitlines()[0] if text else ""
    sas = clean_sas(first.partition("?")[2] if "://" in first else first)
    if "sig=" not in sas:
        raise ConfigurationError(
            f"The file {path} holds no SAS; write the container's URL with its SAS into it, on one line."
        )
    return Ticket(sas=sas)


class SasFromKey:
    """A SAS made from an account's key, and made anew when half of its time is over."""

    def __init__(self, access: KeyAccess, container: str | None) -> None:
        self._access = access
        self._container = container
        self._ticket: Ticket | None = None
        self._good_until = 0.0
        self._making: asyncio.Lock | None = None

    def at_hand(self) -> Ticket | None:
        """The SAS last made, with at least half of its time left; the first one takes too long."""
        return self._ticket if time.time() < self._good_until else None

    async def ticket(self) -> Ticket:
        """A SAS with at least half of its time left.

        Raises:
            ConfigurationError: the key is not one.
        """
        import asyncio

        from batch_outputs.stores.azure.blocking import in_plain_thread

        self._making = self._making or asyncio.Lock()
        async with self._making:
            ticket = self.at_hand()
            if ticket is None:
                ticket = self._ticket = Ticket(sas=await in_plain_thread(self._make))
                self._good_until = time.time() + service.LIFETIME.total_seconds() / 2
            return ticket

    async def renewed(self, refused: Ticket) -> Ticket | None:
        """Another one from the same key would be refused too."""
        del refused
        return None

    def _make(self) -> str:
        if self._container is None:
            return service.account_sas(self._access)
        return service.container_sas(self._access, self._container)


class TokenOfIdentity:
    """Bearer tokens of an identity, each used until shortly before its end."""

    def __init__(self, access: TokenAccess, host: str) -> None:
        self._credential = cast("TokenCredential | None", access.credential)
        self._host = host
        self._token: AccessToken | None = None
        self._asking: asyncio.Lock | None = None

    def at_hand(self) -> Ticket | None:
        """The token last got, if it is good for minutes yet."""
        if self._token is None or time.time() >= self._token.expires_on - _EARLY:
            return None
        return Ticket(token=self._token.token)

    async def ticket(self) -> Ticket:
        """A token that is good for minutes yet.

        Raises:
            ConfigurationError: azure-identity is not installed.
            AccessDeniedError: the identity gives no token.
        """
        import asyncio

        from batch_outputs.stores.azure.blocking import in_plain_thread

        self._asking = self._asking or asyncio.Lock()
        async with self._asking:
            ticket = self.at_hand()
            if ticket is None:
                self._token = await in_plain_thread(self._fetch)
                ticket = Ticket(token=self._token.token)
            return ticket

    async def renewed(self, refused: Ticket) -> Ticket | None:
        """A new token, unless the identity gives the same one again."""
        if self._token is not None and self._token.token == refused.token:
            self._token = None
        ticket = await self.ticket()
        return None if ticket == refused else ticket

    def _fetch(self) -> AccessToken:
        failure: BatchOutputsError
        try:
            if self._credential is None:
                self._credential = _identity_of_environment()
            return self._credential.get_token(SCOPE)
        except ConfigurationError:
            raise
        except Exception as error:  # a credential may raise anything, with anything in its text
            failure = self._no_token(type(error))
        raise failure

    def _no_token(self, cause: type[Exception]) -> AccessDeniedError:
        return AccessDeniedError(
            f"The identity gave no token for {self._host} ({cause.__name__}); on a node, give the pool a managed "
            "identity and name it in AZURE_CLIENT_ID; elsewhere, sign in (az login). Or give a SAS.",
            place=self._host,
        )


def _identity_of_environment() -> TokenCredential:
    try:
        from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
    except ImportError:
        raise ConfigurationError(
            "A URL without a SAS or key needs azure-identity; install it with pip install 'batch-outputs[identity]', "
            "or give a SAS."
        ) from None
    if not on_node(os.environ):
        return DefaultAzureCredential()
    # Pools often have several identities, and asking for none in particular is an error then.
    return ManagedIdentityCredential(client_id=os.environ.get("AZURE_CLIENT_ID") or None)
