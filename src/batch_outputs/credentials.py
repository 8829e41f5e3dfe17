"""What a caller may hand over to show who they are, and what each amounts to. No message repeats any of it."""

from __future__ import annotations

import inspect
import ipaddress
import re
from urllib.parse import urlsplit

from batch_outputs.errors import ConfigurationError
from batch_outputs.location import Access, KeyAccess, SasAccess, SasFileAccess, TokenAccess

_KEY = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_SAS = re.compile(r"(?:[!-~]*&)?sig=[!-~]+")  # printable ASCII: more cannot stand in a URL


def access_from_credential(credential: object | None, url: str) -> Access | None:
    """What a caller's `credential` amounts to; None without one.

    A SAS or account key as text, azure-core's `AzureSasCredential` and `AzureNamedKeyCredential`, the storage SDK's
    own key, or a blocking `TokenCredential`. `url` is the account's, from which a bare key learns the account's name.

    Raises:
        ConfigurationError: it is an asynchronous credential, or nothing of these.
    """
    if credential is None or isinstance(credential, SasAccess | SasFileAccess | KeyAccess | TokenAccess):
        return credential
    if isinstance(credential, str):
        if "sig=" in credential:
            return sas_access(credential, "The credential")
        return key_access(account_name_of(url), credential.strip(), "The credential")
    if isinstance(sas := getattr(credential, "signature", None), str):
        return sas_access(sas, "The credential")
    if (named_key := getattr(credential, "named_key", None)) is not None:
        return key_access(named_key.name, named_key.key, "The credential")
    if isinstance(key := getattr(credential, "account_key", None), str):
        name = str(getattr(credential, "account_name", "")) or account_name_of(url)
        return key_access(name, key, "The credential")
    kind = type(credential)
    get_token = getattr(kind, "get_token", None)
    if inspect.iscoroutinefunction(get_token):
        blocking = f"{kind.__module__.replace('.aio', '').split('._', 1)[0]}.{kind.__name__}"
        raise ConfigurationError(
            f"The credential is an asynchronous {kind.__name__}; give the blocking class {blocking} instead "
            "(it is called in a thread of its own)."
        )
    if get_token is None:
        raise ConfigurationError(
            f"A {kind.__name__} is not a credential; give a SAS or key as text, AzureSasCredential, "
            "AzureNamedKeyCredential, or a blocking TokenCredential."
        )
    return TokenAccess(credential)


def key_access(account_name: str, key: str, variable: str) -> KeyAccess:
    """An account's key.

    Raises:
        ConfigurationError: it is not base64 text; `variable` says where it came from.
    """
    if not _KEY.fullmatch(key) or len(key) % 4:
        raise ConfigurationError(
            f"{variable} is not an account key (base64 text); copy it again from the storage account's page.",
            variable=variable,
        )
    return KeyAccess(account_name, key)


def sas_access(text: str, variable: str) -> SasAccess:
    """A SAS, with or without the `?` before it.

    Raises:
        ConfigurationError: it has no signature; `variable` says where it came from.
    """
    sas = text.strip().removeprefix("?")
    if not is_sas(sas):
        raise ConfigurationError(
            f"{variable} is not a SAS (sv=…&sig=…, what stands behind the ? of a URL); check that it was copied whole.",
            variable=variable,
        )
    return SasAccess(sas)


def is_sas(text: str) -> bool:
    """Whether a text has the form of a SAS: a query with a signature."""
    return _SAS.fullmatch(text) is not None


def account_name_of(url: str) -> str:
    """The account's name in its URL: the first label of the host, or the first path segment at an emulator."""
    parts = urlsplit(url)
    if names_account_in_path(parts.hostname or ""):
        return parts.path.strip("/").split("/", 1)[0]
    return (parts.hostname or "").split(".", 1)[0]


def names_account_in_path(host: str) -> bool:
    """Whether this is an emulator, whose URLs begin `http://host:port/account`: an address, or a name without dots."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host
    return True
