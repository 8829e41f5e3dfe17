"""`prepare`, `container` and `url`: a job's container, created, named, or opened for its tasks."""

from __future__ import annotations

from datetime import datetime

import click

from batch_outputs.cli.filters import sas_expiry
from batch_outputs.cli.help_page import Decorator, argument, command, option
from batch_outputs.cli.options import Where, not_empty, run_async, where_options
from batch_outputs.cli.talk import say, show
from batch_outputs.errors import ConfigurationError
from batch_outputs.shared_access import PERMISSIONS, SasTerms, ordered_permissions, permissions_text
from batch_outputs.wording import time_text

_job_argument = argument(
    "job_id", metavar="[JOB]", required=False, callback=not_empty, help="The job's id; or it is said by --job."
)


@command("container")
@argument("job", metavar="JOB", help="The job's id.")
def container_command(job: str) -> None:
    """Print the name of a job's container.

    \b
    batch-outputs container MyTerrificJob

    That prints job-myterrificjob. Nothing is looked up: the name follows from the id.
    """
    from batch_outputs.names import job_container_name

    show(job_container_name(job))


@command("prepare")
@_job_argument
@where_options(task=False)
def prepare_command(job_id: str | None, where: Where) -> None:
    """Create a job's container, so that its tasks can save.

    \b
    batch-outputs prepare render-2026
    batch-outputs prepare --account-url https://acct.blob.core.windows.net render-2026

    Prints the container's name. A container that is there already is left as it is. Needs an account key or an
    identity: a container SAS cannot create its container.
    """
    run_async(_prepare(_with_job(where, job_id)))


async def _prepare(where: Where) -> None:
    async with where.job_storage() as storage:
        created = await storage.create_container()
        say(f"{storage.place} {'was created' if created else 'was there already'}.")
        show(storage.container)


def _permissions(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        return ordered_permissions(value)
    except ConfigurationError as error:
        raise click.BadParameter(str(error)) from None


expiry_option: Decorator = option(
    "--expiry",
    metavar="TIME",
    default="7d",
    show_default=True,
    callback=sas_expiry,
    help="How long a SAS is valid (30m, 12h, 7d, 2w), or until which date or time (UTC).",
)
"""The option that says when a SAS is to expire, as `expiry`."""


@command("url")
@_job_argument
@expiry_option
@option(
    "--permissions",
    metavar="LETTERS",
    default=PERMISSIONS,
    show_default=True,
    callback=_permissions,
    help="What the SAS allows: r read, a add, c create, w write, d delete, l list.",
)
@where_options(task=False)
def url_command(job_id: str | None, expiry: datetime, permissions: str, where: Where) -> None:
    """Print the URL of a job's container with a SAS, for tasks that have no access of their own.

    \b
    batch-outputs url render-2026
    batch-outputs url --expiry 12h --permissions rl render-2026

    The URL is a secret: whoever has it may do what it allows until it expires. Needs an account key, or an identity
    that may sign (then for 7 days at most): a SAS cannot make another. Of a folder the file: URL is printed.
    """
    run_async(_print_url(_with_job(where, job_id), expiry, permissions))


async def _print_url(where: Where, expiry: datetime, permissions: str) -> None:
    async with where.job_storage() as storage:
        url = await storage.generate_container_url(expiry, permissions)
        terms = SasTerms.of(url)
        if terms is None:
            say(f"{storage.place} is a folder: its URL is no secret, and gives no access that is not there already.")
        else:
            allows = permissions_text(terms.permissions or permissions)
            until = time_text(terms.expires)
            say(f"whoever has this URL may {allows} in {storage.place} until {until}; keep it secret.")
        show(url)


def _with_job(where: Where, job_id: str | None) -> Where:
    if job_id is not None and where.job not in {None, job_id}:
        raise click.UsageError(f"Two jobs are named, {job_id} and {where.job}; name one.")
    return where._replace(job=where.job if job_id is None else job_id)
