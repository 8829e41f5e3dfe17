"""The client side for code without an event loop: what makes requests, or gives outputs, blocking.

The other functions of `batch_outputs.client` make no requests, and are for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from batch_outputs import background, sync
from batch_outputs.client import settings, storages
from batch_outputs.client.sync_groups import FileGroup, list_file_groups
from batch_outputs.shared_access import LIFETIME, PERMISSIONS

if TYPE_CHECKING:
    from azure.batch.models import EnvironmentSetting

    from batch_outputs.client.templates import Expansion, TemplateContainers

__all__ = [
    "FileGroup",
    "job_output_storage",
    "list_file_groups",
    "task_environment_settings",
    "task_output_storage",
    "template_tasks",
]

_TASKS_AT_ONCE = 100


def job_output_storage(
    job: object,
    *,
    account_url: str | None = None,
    container_url: str | None = None,
    connection_string: str | None = None,
    credential: object | None = None,
) -> sync.JobOutputStorage:
    """The outputs of a job; see `batch_outputs.client.job_output_storage`."""
    return sync.JobOutputStorage(
        storages.job_output_storage(
            job,
            account_url=account_url,
            container_url=container_url,
            connection_string=connection_string,
            credential=credential,
        )
    )


def task_output_storage(
    job: object,
    task: object,
    *,
    account_url: str | None = None,
    container_url: str | None = None,
    connection_string: str | None = None,
    credential: object | None = None,
) -> sync.TaskOutputStorage:
    """The outputs of a task of a job; see `batch_outputs.client.task_output_storage`."""
    return sync.TaskOutputStorage(
        storages.task_output_storage(
            job,
            task,
            account_url=account_url,
            container_url=container_url,
            connection_string=connection_string,
            credential=credential,
        )
    )


def task_environment_settings(
    storage: sync.JobOutputStorage | str,
    *,
    identity_client_id: str | None = None,
    sas: bool | None = None,
    expiry: timedelta | datetime = LIFETIME,
    permissions: str = PERMISSIONS,
    max_wall_clock_time: timedelta | None = None,
    on_warning: Callable[[str], object] | None = None,
) -> list[EnvironmentSetting]:
    """What a task needs so that it can save; see `batch_outputs.client.task_environment_settings`."""
    if not isinstance(storage, str | sync.JobOutputStorage):
        raise settings.no_outputs(storage)
    original = storage if isinstance(storage, str) else storage._storage  # noqa: SLF001 - the other face of the same
    return background.run(
        settings.task_environment_settings(
            original,
            identity_client_id=identity_client_id,
            sas=sas,
            expiry=expiry,
            permissions=permissions,
            max_wall_clock_time=max_wall_clock_time,
            on_warning=on_warning,
        )
    )


def template_tasks(expansion: Expansion, containers: TemplateContainers | None = None) -> Iterator[dict[str, Any]]:
    """The tasks of a template that was expanded; see `Expansion.tasks`."""
    return background.iterate(expansion.tasks(containers), _TASKS_AT_ONCE)
