"""From an answer, or from none, to the error that says so.

Nothing of a request's URL is ever put into a text, and none of these errors has a cause: aiohttp's own hold the URL,
and the URL holds the SAS.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import aiohttp

from batch_outputs.errors import (
    AccessDeniedError,
    BlobChangedError,
    BlobExistsError,
    BlobNotFoundError,
    ContainerNotFoundError,
    StoreBusyError,
    StoreError,
    StoreUnavailableError,
    WrongBlobTypeError,
)
from batch_outputs.location import Access
from batch_outputs.stores.azure import denials
from batch_outputs.stores.azure.access import Ticket
from batch_outputs.stores.azure.answers import retry_after, service_time
from batch_outputs.stores.azure.calls import Call
from batch_outputs.stores.azure.pressure import BUSY

_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,80})</Code>")
_PASSING = {408, 429}
_CHANGED = {
    "AppendPositionConditionNotMet",
    "ConditionNotMet",
    "SourceConditionNotMet",
    "TargetConditionNotMet",
}
_EXISTS = {"BlobAlreadyExists", "ContainerAlreadyExists"}
_BAD_NAMES = {"InvalidUri", "InvalidResourceName", "OutOfRangeInput"}
_DENIED = {"PublicAccessNotPermitted", "KeyBasedAuthenticationNotPermitted"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with a status that was not hoped for, and the beginning of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str | None:
        """The service's own error code; None where somebody else has answered, or a HEAD."""
        if code := self.headers.get("x-ms-error-code"):
            return code
        found = _CODE.search(self.body)
        return found[1].decode() if found else None

    @property
    def is_foreign(self) -> bool:
        """Whether a proxy or portal, not the service, seems to have answered."""
        return self.code is None and (self.status < 400 or self.status == 407 or bool(self.body))

    @property
    def is_overload(self) -> bool:
        """Whether the service itself has refused, for its load and before it did anything; `OperationTimedOut` is not
        that, nor what somebody in between answers.
        """
        return self.status in BUSY and self.code == "ServerBusy"

    @property
    def leaves_unsure(self) -> bool:
        """Whether the request may have been carried out all the same."""
        return self.status >= 500 and not self.is_overload

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait, where the answer says so."""
        return retry_after(self.headers)

    @property
    def now(self) -> datetime:
        """The service's time, else ours."""
        return service_time(self.headers)


def refused(refusal: Refusal, call: Call, ticket: Ticket, *, place: str, access: Access) -> StoreError:
    """The error for an answer that is not the one hoped for."""
    code, status = refusal.code, refusal.status
    if refusal.is_overload and not call.unsure:
        text = f"{place} has too much to do ({status} {code}); try again later."
        return StoreBusyError(text, place=place, blob=call.blob, code=code, retry_after=refusal.retry_after)
    if status >= 500 or status in _PASSING:
        text = f"{place} answered {status}{_because(code)}; it is busy or out of order: try again later."
        return StoreUnavailableError(text, place=place, blob=call.blob, code=code, retry_after=refusal.retry_after)
    if refusal.is_foreign:
        return foreign(call, place=place, status=status)
    if status in {401, 403} or code in _DENIED:
        needs = "r" if code == "CannotVerifyCopySource" else call.needs
        text = denials.explain(access, ticket.sas, code=code, needs=needs, place=place, now=refusal.now)
        return AccessDeniedError(text, place=place, blob=call.blob, code=code)
    kind, text = _kind_and_text(status, code, call, place)
    return kind(text, place=place, blob=call.blob, code=code)


def _kind_and_text(status: int, code: str | None, call: Call, place: str) -> tuple[type[StoreError], str]:
    blob = f"{call.blob} in {place}"
    if status == 404 and (code == "ContainerNotFound" or call.blob is None):
        return ContainerNotFoundError, (
            f"The container {place} does not exist; check the name, or create it (batch-outputs prepare JOB)."
        )
    if status == 404:
        return BlobNotFoundError, f"There is no {blob}."
    if code in _EXISTS:
        return BlobExistsError, f"There is a {blob} already, and nothing may be replaced."
    if code in _CHANGED:
        return BlobChangedError, f"{blob} was changed by someone else meanwhile, so it was left as it is."
    if code == "InvalidBlobType" and call.deed == "append to":
        return WrongBlobTypeError, f"{blob} is a saved file and cannot be appended to; delete it, or take another name."
    if code == "InvalidBlobType":
        return WrongBlobTypeError, (
            f"{blob} is of another type (a tracked log, perhaps) and cannot be replaced; "
            "delete it, or take another name."
        )
    if code in _BAD_NAMES:
        return StoreError, f"The service cannot hold the name {call.blob!r} ({code}); take another."
    if code == "ContainerBeingDeleted":
        return StoreError, f"The container {place} is being deleted; create it again in a minute."
    what = place if call.blob is None else blob
    return StoreError, f"The service refused to {call.deed} {what}: {code or f'status {status}'}."


def foreign(call: Call, *, place: str, status: int) -> StoreUnavailableError:
    """The error for an answer that Blob Storage would not give."""
    if status == 407:
        text = f"A proxy on the way to {place} asks for a login; put it into HTTPS_PROXY, or {place} into NO_PROXY."
    else:
        text = (
            f"What answered for {place} (status {status}) is not Blob Storage; check the URL, "
            "and for a proxy or a sign-in page on the way."
        )
    return StoreUnavailableError(text, place=place, blob=call.blob)


def unanswered(error: Exception, call: Call, *, place: str, proxy: str | None) -> StoreUnavailableError:
    """The error for a request that got no answer; `proxy` is the one it went through, without its login."""
    host = place.partition("/")[0]
    return StoreUnavailableError(_no_answer_text(error, host, proxy), place=place, blob=call.blob)


def _no_answer_text(error: Exception, host: str, proxy: str | None) -> str:
    through = f" through the proxy {proxy}" if proxy else ""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return (
            f"The certificate of {host}{through} is not trusted; give Python the certificate authority (SSL_CERT_FILE)."
        )
    if isinstance(error, aiohttp.ClientSSLError) or isinstance(cause, ssl.SSLError):
        return f"No TLS connection to {host}{through} can be made; is https right there, and is nothing in between?"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"The proxy {proxy} refused to connect to {host} (status {error.status})."
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"The proxy {proxy}, on the way to {host}, cannot be reached; check HTTPS_PROXY and HTTP_PROXY."
    if isinstance(cause, socket.gaierror) or isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"There is no host {host}, or its name cannot be looked up; check the account's name and the network."
    if isinstance(cause, ConnectionRefusedError):
        return f"{host} refused the connection; check host and port, and whether it is running."
    if isinstance(error, TimeoutError):
        return f"{host}{through} did not answer in time; check the network, or try again later."
    return f"The connection to {host}{through} broke before an answer came ({type(error).__name__})."


def _because(code: str | None) -> str:
    return f" ({code})" if code else ""
