"""`prepare` and `container`: a job's container, created or named."""

from __future__ import annotations

from dataclasses import replace

import click

from batch_outputs.cli.options import Where, not_empty, run_async, where_options
from batch_outputs.cli.talk import say, show


@click.command("container")
@click.argument("job")
def container_command(job: str) -> None:
    """Print the name of a job's container.

    \b
    batch-outputs container MyTerrificJob

    That prints job-myterrificjob. Nothing is looked up: the name follows from the id.
    """
    from batch_outputs.names import job_container_name

    show(job_container_name(job))


@click.command("prepare")
@click.argument("job_id", metavar="[JOB]", required=False, callback=not_empty)
@where_options(task=False)
def prepare_command(job_id: str | None, where: Where) -> None:
    """Create a job's container, so that its tasks can save.

    \b
    batch-outputs prepare render-2026
    batch-outputs prepare --account-url https://acct.blob.core.windows.net render-2026

    Prints the container's name. A container that is there already is left as it is. Needs an account key or an
    identity: a container SAS cannot create its container.
    """
    if job_id is not None and where.job not in {None, job_id}:
        raise click.UsageError(f"Two jobs are named, {job_id} and {where.job}; name one.")
    run_async(_prepare(replace(where, job=where.job if job_id is None else job_id)))


async def _prepare(where: Where) -> None:
    async with where.job_storage() as storage:
        created = await storage.create_container()
        say(f"{storage.place} {'was created' if created else 'was there already'}.")
        show(storage.container)
