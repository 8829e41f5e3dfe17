"""The key by which an identity signs a SAS: asked from the service, good for seven days at most."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import aiohttp

from batch_outputs.errors import AccessDeniedError, ConfigurationError
from batch_outputs.stores.azure.answers import UnusableAnswerError
from batch_outputs.stores.azure.calls import Call
from batch_outputs.stores.azure.line import Line

if TYPE_CHECKING:
    from azure.storage.blob import UserDelegationKey

LONGEST = timedelta(days=7)
"""From start to end; a limit of the service."""

HEAD_START = timedelta(minutes=5)
"""How long before now the key begins, since the service's clock may be behind ours."""

_FIELD = re.compile(r"<(Signed\w+|Value)>([^<>&]+)</\1>")
_FIELDS = ("SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService", "SignedVersion", "Value")
_TOKEN_REFUSED = {"InvalidAuthenticationInfo", "NoAuthenticationInformation", "AuthenticationFailed"}


def delegation_period(expires: datetime, *, now: datetime) -> tuple[datetime, datetime]:
    """From when to when a key is to be good for a SAS that ends at `expires`.

    What is asked for seven days ends five minutes sooner, as the key begins before now.

    Raises:
        ConfigurationError: it would be good for longer than the service allows.
    """
    if expires - now > LONGEST:
        raise ConfigurationError(
            "A SAS of an identity (user delegation) ends after 7 days at most; ask for less, use an account key, "
            "or let tasks use an identity themselves."
        )
    start = now - HEAD_START
    return start, min(expires, start + LONGEST)


async def delegation_key(line: Line, start: datetime, expires: datetime) -> UserDelegationKey:
    """The key of the identity that `line` shows.

    Raises:
        AccessDeniedError: the identity may not sign.
        StoreUnavailableError: no usable answer came.
    """
    body = (
        '<?xml version="1.0" encoding="utf-8"?>'
        f"<KeyInfo><Start>{_time(start)}</Start><Expiry>{_time(expires)}</Expiry></KeyInfo>"
    )
    query = "restype=service&comp=userdelegationkey"
    headers = {"Content-Type": "application/xml"}
    failure: AccessDeniedError
    try:
        return await line.ask(Call("POST", "/", "sign for", "", query, headers, body.encode()), _read)
    except AccessDeniedError as error:
        if error.code is None or error.code in _TOKEN_REFUSED:
            raise  # the identity is not known there, or gives no token
        failure = AccessDeniedError(
            f"The identity may not sign a SAS for {line.place} ({error.code}); give it the role Storage Blob Delegator "
            "or Storage Blob Data Contributor on the account, use an account key, or let tasks use an identity "
            "themselves.",
            place=line.place,
            code=error.code,
        )
    raise failure


async def _read(response: aiohttp.ClientResponse) -> UserDelegationKey:
    from azure.storage.blob import UserDelegationKey

    found = dict(_FIELD.findall((await response.read()).decode(errors="replace")))
    if not found.keys() >= set(_FIELDS):
        raise UnusableAnswerError
    key = UserDelegationKey()  # type: ignore[no-untyped-call]  # it has no annotations
    key.signed_oid, key.signed_tid = found["SignedOid"], found["SignedTid"]
    key.signed_start, key.signed_expiry = found["SignedStart"], found["SignedExpiry"]
    key.signed_service, key.signed_version = found["SignedService"], found["SignedVersion"]
    key.value = found["Value"]
    return key


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
