"""Why the service refused a credential, as far as it can be known, in a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from batch_outputs.location import Access, KeyAccess, SasFileAccess, TokenAccess
from batch_outputs.shared_access import sas_moment

_RIGHTS = {"r": "read", "a": "append", "c": "create", "w": "write", "d": "delete", "l": "list"}
_BAD_SIGNATURE = "AuthenticationFailed"


def explain(access: Access, sas: str, *, code: str | None, needs: str, place: str, now: datetime) -> str:
    """The sentence for a refused request.

    `needs` holds the letters of a SAS any one of which would do, the usual one first; `now` is the service's time.
    """
    if code == "KeyBasedAuthenticationNotPermitted":
        return f"The account of {place} takes no keys, and no SAS made from one; use an identity."
    if code == "AuthorizationSourceIPMismatch":
        return f"The SAS for {place} holds for other addresses than this machine's; get one for this network."
    if isinstance(access, TokenAccess):
        return _about_identity(code, place)
    if isinstance(access, KeyAccess):
        return _about_key(access, code, place)
    return _about_sas(dict(parse_qsl(sas)), access, code, needs, place, now)


def _about_identity(code: str | None, place: str) -> str:
    if code in {"InvalidAuthenticationInfo", "NoAuthenticationInformation", _BAD_SIGNATURE}:
        return f"{place} does not accept the identity's token ({code}); is it of the account's tenant?"
    return (
        f"The identity may not do this in {place}{_because(code)}; give it the role "
        "Storage Blob Data Contributor there, and check the account's network rules."
    )


def _about_key(access: KeyAccess, code: str | None, place: str) -> str:
    if code in {_BAD_SIGNATURE, "AuthorizationFailure", "InvalidAuthenticationInfo", None}:
        return (
            f"The key of the account {access.account_name} is not accepted by {place}{_because(code)}; "
            "copy it again from the storage account's page, and check the account's network rules."
        )
    return f"The key of the account {access.account_name} may not do this in {place}{_because(code)}."


def _about_sas(
    fields: Mapping[str, str], access: Access, code: str | None, needs: str, place: str, now: datetime
) -> str:
    remedy = f"write a new one into {access.path}" if isinstance(access, SasFileAccess) else "get a new one"
    expires, starts = sas_moment(fields.get("se")), sas_moment(fields.get("st"))
    if expires is not None and expires <= now:
        return f"The SAS for {place} expired at {_shown(expires)}; {remedy}."
    if starts is not None and starts > now:
        return (
            f"The SAS for {place} is valid only from {_shown(starts)}, and it is {_shown(now)} there; "
            "wait, or have it made with an earlier start."
        )
    if fields.get("spr") == "https" and code == "AuthorizationProtocolMismatch":
        return f"The SAS for {place} is for https only; use the https URL."
    allowed = fields.get("sp", "")
    if code != _BAD_SIGNATURE and allowed and not set(needs) & set(allowed):
        right = f"{_RIGHTS[needs[0]]} ({needs[0]})"
        return f"The SAS for {place} does not allow to {right}, it allows {allowed!r}; get one with {needs[0]!r}."
    if code in {"AuthorizationResourceTypeMismatch", "AuthorizationServiceMismatch"}:
        return f"The SAS for {place} was made for another part of the account ({code}); {remedy}, for this container."
    if code == "UnauthorizedBlobOverwrite":
        return f"The SAS for {place} allows to create but not to replace, and the blob exists; get one with 'w'."
    if code in {_BAD_SIGNATURE, None}:
        return (
            f"The SAS for {place} is not accepted{_because(code)}: it is cut short, for another container, "
            f"or its key or policy was withdrawn; {remedy}."
        )
    return f"The SAS for {place} is not accepted ({code}); {remedy}, and check the account's network rules."


def _because(code: str | None) -> str:
    return f" ({code})" if code else ""


def _shown(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
