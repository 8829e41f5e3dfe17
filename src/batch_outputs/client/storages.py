"""The outputs of jobs and tasks that azure-batch's objects stand for."""

from __future__ import annotations

from batch_outputs.client.models import id_of
from batch_outputs.errors import ConfigurationError
from batch_outputs.settings import (
    Target,
    account_target,
    connection_string_target,
    container_target,
    find_target,
)
from batch_outputs.storage import JobOutputStorage, TaskOutputStorage


def job_output_storage(
    job: object,
    *,
    account_url: str | None = None,
    container_url: str | None = None,
    connection_string: str | None = None,
    credential: object | None = None,
) -> JobOutputStorage:
    """The outputs of a job.

    Args:
        job: An object of azure-batch with an `id`, such as `BatchJob` or `BatchJobCreateOptions`, REST JSON, or the id.
        account_url: The storage account, `https://…[?SAS]` or `file:///…`. Without this and the next two the
            environment says where outputs are, as for `JobOutputStorage.from_env`.
        container_url: The job's container.
        connection_string: A connection string of the storage account.
        credential: As for `JobOutputStorage.from_env`.

    Raises:
        ConfigurationError: the job has no id, it is said twice where outputs are, or wrongly, or the container is
            another job's.
        InvalidNameError: the id cannot be used.
    """
    job_id = id_of(job, "job")
    target = _target(job_id, account_url, container_url, connection_string, credential)
    return JobOutputStorage.at(target, job_id=job_id)


def task_output_storage(
    job: object,
    task: object,
    *,
    account_url: str | None = None,
    container_url: str | None = None,
    connection_string: str | None = None,
    credential: object | None = None,
) -> TaskOutputStorage:
    """The outputs of a task of a job; see `job_output_storage`.

    Args:
        job: As there.
        task: An object of azure-batch with an `id`, such as `BatchTask` or `BatchTaskCreateOptions`, REST JSON, or the
            id.
        account_url: As there.
        container_url: As there.
        connection_string: As there.
        credential: As there.

    Raises:
        ConfigurationError: as there; or the task has no id.
        InvalidNameError: an id cannot be used.
    """
    job_id, task_id = id_of(job, "job"), id_of(task, "task")
    target = _target(job_id, account_url, container_url, connection_string, credential)
    return TaskOutputStorage.at(target, job_id=job_id, task_id=task_id)


def _target(
    job_id: str,
    account_url: str | None,
    container_url: str | None,
    connection_string: str | None,
    credential: object | None,
) -> Target:
    if sum(given is not None for given in (account_url, container_url, connection_string)) > 1:
        raise ConfigurationError(
            "It is said more than once where outputs are; give one of account_url, container_url, connection_string."
        )
    if connection_string is not None:
        if credential is not None:
            raise ConfigurationError(
                "The connection string brings its access, and a credential is given too; keep one."
            )
        return connection_string_target(connection_string)
    if account_url is not None:
        return account_target(account_url, credential=credential)
    if container_url is not None:
        target = container_target(container_url, credential=credential)
    else:
        target = find_target(credential=credential)
    target.check_job(job_id)
    return target
