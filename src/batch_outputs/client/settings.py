"""The environment settings that a task needs to save its outputs: where to, and with what access."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from batch_outputs.client.models import check_installed
from batch_outputs.errors import ConfigurationError
from batch_outputs.settings import CONTAINER_URL, container_target
from batch_outputs.shared_access import LIFETIME, PERMISSIONS, SasTerms
from batch_outputs.storage import JobOutputStorage
from batch_outputs.wording import time_text

if TYPE_CHECKING:
    from azure.batch.models import EnvironmentSetting

logger: logging.Logger = logging.getLogger("batch_outputs.client")

CLIENT_ID = "AZURE_CLIENT_ID"
"""The variable that says which of a pool's identities is to be used."""

_CLIENT_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


async def task_environment_settings(
    storage: JobOutputStorage | str,
    *,
    identity_client_id: str | None = None,
    sas: bool | None = None,
    expiry: timedelta | datetime = LIFETIME,
    permissions: str = PERMISSIONS,
    max_wall_clock_time: timedelta | None = None,
    on_warning: Callable[[str], object] | None = None,
) -> list[EnvironmentSetting]:
    """What a task's `environment_settings` have to hold so that it can save, and nothing else.

        task = BatchTaskCreateOptions(
            id="t1",
            command_line="batch-outputs run -- render",
            environment_settings=await task_environment_settings(job),
        )

    They are `BATCH_OUTPUTS_CONTAINER_URL` with a SAS; or, for a pool with a user-assigned identity, without one, and
    `AZURE_CLIENT_ID`. Job and task id the node tells by itself. A setting with a SAS is a secret for everyone who may
    read the task's definition, and azure-batch shows it in the `repr` of its objects: do not log them.

    Args:
        storage: The job's outputs, or the URL of its container. A SAS that the URL brings is passed on as it is.
        identity_client_id: The client id of the pool's identity that may write there. No SAS is made then.
        sas: False for a URL without a SAS, where the pool has one identity that needs no naming. By default a SAS is
            made unless an identity is named.
        expiry: For how long the SAS is good from now, or until when; see `JobOutputStorage.generate_container_url`.
        permissions: What the SAS allows, in the service's letters.
        max_wall_clock_time: That of the task's constraints. If the SAS ends sooner than a task that starts now may,
            that is worth a warning; what a task waits in the queue, and its retries, come on top.
        on_warning: Called with the sentence of a warning; by default it is logged (`batch_outputs.client`).

    Raises:
        ConfigurationError: azure-batch is not installed, identity and SAS are both given, or the SAS cannot be made,
            has expired, or does not allow to write.
        AccessDeniedError: the identity that is to sign may not.
        StoreUnavailableError: the service does not answer.
    """
    check_installed()
    from azure.batch.models import EnvironmentSetting

    _check_client_id(identity_client_id)
    if sas and identity_client_id is not None:
        raise ConfigurationError("A SAS is wanted, and an identity is named too; give one of them.")
    url = await _url(storage, identity_client_id is None if sas is None else sas, expiry, permissions)
    terms = SasTerms.of(url)
    if terms is not None:
        if identity_client_id is not None or sas is False:
            raise ConfigurationError("The container URL brings a SAS, and an identity is to be used; leave out one.")
        terms.check_writes()
        if sentence := _too_short(terms, max_wall_clock_time):
            (on_warning or _log)(sentence)
    settings = [EnvironmentSetting(name=CONTAINER_URL, value=url)]
    if identity_client_id is not None:
        settings.append(EnvironmentSetting(name=CLIENT_ID, value=identity_client_id))
    return settings


async def _url(storage: JobOutputStorage | str, sas: bool, expiry: timedelta | datetime, permissions: str) -> str:
    if isinstance(storage, str):
        container_target(storage)
        if SasTerms.of(storage) is not None:
            return storage.strip()
        async with JobOutputStorage.from_container_url(storage) as opened:
            return await _url(opened, sas, expiry, permissions)
    if not isinstance(storage, JobOutputStorage):
        raise no_outputs(storage)
    return await storage.generate_container_url(expiry, permissions) if sas else storage.container_url


def no_outputs(thing: object) -> ConfigurationError:
    """The error that settings are wanted for something that is not the outputs of a job."""
    return ConfigurationError(
        f"A {type(thing).__name__} of {type(thing).__module__} is not where outputs go; give what job_output_storage "
        "gives (that of batch_outputs.client.sync in code without asyncio), or the URL of the job's container."
    )


def _check_client_id(client_id: str | None) -> None:
    if client_id is not None and not _CLIENT_ID.fullmatch(client_id):
        raise ConfigurationError(
            "The identity of a task is named by its client id, such as 00000000-0000-0000-0000-000000000000 "
            "(not by its resource id); copy it from the identity's page.",
            variable=CLIENT_ID,
        )


def _too_short(terms: SasTerms, max_wall_clock_time: timedelta | None) -> str | None:
    """A sentence if a task that starts now may outlive its SAS."""
    if terms.expires is None or max_wall_clock_time is None:
        return None
    left = terms.expires - datetime.now(UTC)
    if left >= max_wall_clock_time:
        return None
    return (
        f"The SAS for the tasks ends at {time_text(terms.expires)}, before a task that starts now reaches its max wall "
        f"clock time ({max_wall_clock_time}), and what it saves after that is lost; let it expire later, or use an "
        "identity."
    )


def _log(sentence: str) -> None:
    logger.warning("%s", sentence)
