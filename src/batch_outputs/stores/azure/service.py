"""What only azure-storage-blob does for us: making a SAS, from an account's key or an identity's.

The import takes almost half a second of CPU, so it waits until a key is really used. A start time is left out, because
a service whose clock is behind ours would refuse the SAS for a while.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from batch_outputs.errors import ConfigurationError
from batch_outputs.location import KeyAccess

if TYPE_CHECKING:
    from azure.storage.blob import UserDelegationKey

LIFETIME = timedelta(days=7)


def container_sas(
    access: KeyAccess,
    container: str,
    *,
    permissions: str = "racwdl",
    expires: datetime | None = None,
    https_only: bool = False,
) -> str:
    """A SAS of one container, by default one that allows all that a store does, valid for `LIFETIME` from now.

    Raises:
        ConfigurationError: the key is not one.
    """
    from azure.storage.blob import generate_container_sas

    _check(access)
    return generate_container_sas(
        access.account_name,
        container,
        access.key,
        permission=permissions,
        expiry=expires or datetime.now(UTC) + LIFETIME,
        protocol="https" if https_only else None,
    )


def delegated_sas(
    key: UserDelegationKey, account_name: str, container: str, *, permissions: str, expires: datetime
) -> str:
    """A SAS of one container that an identity's key signs; for https only, as tokens are."""
    from azure.storage.blob import generate_container_sas

    return generate_container_sas(
        account_name,
        container,
        user_delegation_key=key,
        permission=permissions,
        expiry=expires,
        protocol="https",
    )


def account_sas(access: KeyAccess) -> str:
    """A SAS that lists, creates and deletes containers of the account, valid for `LIFETIME` from now.

    Raises:
        ConfigurationError: the key is not one.
    """
    from azure.storage.blob import AccountSasPermissions, ResourceTypes, Services, generate_account_sas

    _check(access)
    return generate_account_sas(
        access.account_name,
        access.key,
        resource_types=ResourceTypes(service=True, container=True),
        permission=AccountSasPermissions(read=True, write=True, create=True, delete=True, list=True),
        expiry=datetime.now(UTC) + LIFETIME,
        services=Services(blob=True),
    )


def _check(access: KeyAccess) -> None:
    # The SDK would take any text, sign with what is left of it, and the service would refuse the result.
    try:
        base64.b64decode(access.key, validate=True)
    except ValueError:
        raise ConfigurationError(
            f"The key of the account {access.account_name} is not one (base64 text); "
            "copy it again from the storage account's page."
        ) from None
