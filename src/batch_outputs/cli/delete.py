"""`delete`: outputs of a job, or its whole container."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from batch_outputs.cli.codes import FAILURE
from batch_outputs.cli.filters import Filters, choosing_option, filter_options, patterns_argument
from batch_outputs.cli.help_page import command, options_under
from batch_outputs.cli.options import Where, run_async, where_options
from batch_outputs.cli.output_table import OutputTable
from batch_outputs.cli.talk import say, somebody_to_ask
from batch_outputs.errors import ConfigurationError
from batch_outputs.location import AzureAccount, SasAccess
from batch_outputs.wording import counted, printable, size_text

if TYPE_CHECKING:
    from batch_outputs.clearing import Cleared
    from batch_outputs.selection import Wanted

_COUNTED = 10_000
"""Outputs that are counted before a whole container goes."""


_asking_option = options_under("Before anything is deleted")


@command("delete")
@patterns_argument
@filter_options
@choosing_option("--all", "everything", is_flag=True, help="All outputs of the job.")
@choosing_option(
    "--container", "container", is_flag=True, help="The container of the job that --job names, and all in it."
)
@choosing_option("--growing", is_flag=True, help="Logs that may still grow, too.")
@_asking_option("-n", "--dry-run", is_flag=True, help="Only show what would be deleted.")
@_asking_option("-y", "--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
@where_options(task_option=choosing_option)
def delete_command(
    patterns: tuple[str, ...],
    filters: Filters,
    everything: bool,
    container: bool,
    growing: bool,
    dry_run: bool,
    yes: bool,
    where: Where,
) -> int:
    """Delete outputs of a job, or its whole container.

    \b
    batch-outputs delete --job render-2026 --older-than 30d --dry-run
    batch-outputs delete --job render-2026 --task t1 --kind TaskIntermediate --yes
    batch-outputs delete --job render-2026 --yes '**/*.tmp'
    batch-outputs delete --job render-2026 --container --yes

    Something has to say what is meant: a pattern, --task, --kind, an age, --all or --container. At a terminal you are
    asked first, with names, count and bytes. A log goes with all its parts, and its age is that of the last one. A log
    that has no end mark and changed within the last 10 minutes is left, and the exit code is 125 then: if it is written
    still, its writer would go on under another name. Where nothing matches, that is said, and the exit code is 0.
    """
    if container:
        if patterns or filters or where.task is not None or everything or growing:
            raise click.UsageError("--container deletes all there is, whatever it is; name only the job with it.")
        if where.job is None:
            raise click.UsageError("Name the job whose container is to be deleted, with --job.")
    elif everything and (patterns or filters or where.task is not None):
        raise click.UsageError("--all is all of the job; leave it out, or the patterns and filters.")
    elif not (everything or patterns or filters or where.task is not None):
        raise click.UsageError(
            "Nothing says what is to be deleted; give a pattern, --task, --kind, --older-than, --newer-than, or --all."
        )
    if not (yes or dry_run or somebody_to_ask()):
        raise click.UsageError(
            "There is no terminal to ask at; add --yes to delete, or --dry-run to see what would be."
        )
    if container:
        return _delete_container(where, dry_run=dry_run, yes=yes)
    return _delete_outputs(where, filters.wanted(where.task, patterns), growing=growing, dry_run=dry_run, yes=yes)


def _delete_outputs(where: Where, wanted: Wanted, *, growing: bool, dry_run: bool, yes: bool) -> int:
    until = None
    if dry_run or not yes:
        # What is asked is asked outside of any event loop, so that Ctrl-C ends it at once.
        seen = run_async(_look(where, wanted, growing=growing, showing=dry_run))
        cleared = seen.cleared
        if dry_run:
            say(f"{_amount(cleared)} would be deleted from {seen.place}{_of_them_without_end(cleared)}.")
        if dry_run or not cleared.files:
            return _say_what_is_left(cleared, seen.place)
        for name in cleared.names:
            say(f"  {name}")
        if cleared.files > len(cleared.names):
            say(f"  and {counted(cleared.files - len(cleared.names), 'more output')}")
        what = f"Delete {_amount(cleared)} from {seen.place}{_of_them_without_end(cleared)}?"
        if not _is_agreed_to(what):
            say("nothing was deleted.")
            return FAILURE
        until = cleared.newest
    return run_async(_delete(where, wanted, growing=growing, until=until))


def _is_agreed_to(question: str) -> bool:
    """Ask; Ctrl-D is no yes. Ctrl-C goes on its way."""
    try:
        return click.confirm(printable(question), err=True)
    except click.Abort as error:
        if isinstance(error.__context__, EOFError):
            click.echo(err=True)
            return False
        raise


@dataclass(frozen=True, slots=True)
class _Seen:
    place: str
    cleared: Cleared


async def _look(where: Where, wanted: Wanted, *, growing: bool, showing: bool) -> _Seen:
    from batch_outputs.clearing import Cleared, Clearing
    from batch_outputs.output_state import state_of

    cleared, table = Cleared(), OutputTable()
    async with where.job_to_read() as job:
        async for output in Clearing(job, wanted, growing=growing).look(cleared):
            if showing:
                now = datetime.now(UTC)
                table.row(output, state_of(output, now), now)
        return _Seen(job.place, cleared)


async def _delete(where: Where, wanted: Wanted, *, growing: bool, until: datetime | None) -> int:
    from batch_outputs.clearing import Cleared, Clearing

    cleared = Cleared()
    async with where.job_to_read() as job:
        try:
            await Clearing(job, wanted, growing=growing, until=until).delete(cleared)
        finally:  # also when it is broken off
            if cleared.files:
                say(f"{_amount(cleared)} deleted from {job.place}.")
        return _say_what_is_left(cleared, job.place)


def _say_what_is_left(cleared: Cleared, place: str) -> int:
    """Say what was asked for and stays, or that nothing was found; the exit code."""
    if cleared.changed:
        what = counted(cleared.changed, "output")
        say(f"{what} left that {'was' if cleared.changed == 1 else 'were'} stored or changed after the question.")
    if cleared.parts:
        say(f"{counted(cleared.parts, 'later part')} of logs left: a part goes with its log only.")
    if cleared.growing:
        names = ", ".join(cleared.growing_names)
        more = " and others" if cleared.growing > len(cleared.growing_names) else ""
        say(
            f"{counted(cleared.growing, 'log')} left that may still grow: {names}{more}; "
            "wait for the end of the task, or add --growing."
        )
    if cleared.failures.are_hopeless and len(cleared.failures_to_tell) > 1:
        say("what else was asked for was not tried, as too much has failed.")
    if cleared.failures:
        raise ExceptionGroup("some could not be deleted", cleared.failures_to_tell)
    if not (cleared.files or cleared.growing or cleared.parts or cleared.changed):
        say(f"nothing in {place} is what was asked for, so nothing was deleted.")
    return FAILURE if cleared.growing or cleared.parts else 0


def _amount(cleared: Cleared) -> str:
    return f"{counted(cleared.files, 'output')}, {size_text(cleared.size)},"


def _of_them_without_end(cleared: Cleared) -> str:
    return f" ({counted(cleared.without_end, 'log')} of them without an end mark)" if cleared.without_end else ""


def _delete_container(where: Where, *, dry_run: bool, yes: bool) -> int:
    name = _container_of(where)
    if dry_run or not yes:
        what = run_async(_what_is_in_it(where))
        if dry_run:
            say(f"{what} would be deleted.")
            return 0
        say(f"{what} is to be deleted, and cannot be brought back.")
        answer = _typed("To go on, type the job's id")
        if answer != where.job:
            say("that is not its id, so nothing was deleted.")
            return FAILURE
    run_async(_do_delete_container(where, name))
    return 0


def _typed(question: str) -> str:
    """What is answered; nothing at Ctrl-D."""
    try:
        return str(click.prompt(question, default="", show_default=False, err=True))
    except click.Abort as error:
        if isinstance(error.__context__, EOFError):
            click.echo(err=True)
            return ""
        raise


def _container_of(where: Where) -> str:
    """The container of the job that is named.

    Raises:
        ConfigurationError: a container is configured, and is no job's or another's, or access is to it alone.
    """
    from batch_outputs.names import job_container_name

    target = where.target_to_read()
    name = job_container_name(where.job or "")
    if target.container not in (None, name):
        raise ConfigurationError(
            f"The job {where.job} has the container {name}, but {target.place} is configured, and stays; "
            "configure the account instead of a container."
        )
    access = target.account.access if isinstance(target.account, AzureAccount) else None
    if isinstance(access, SasAccess) and access.is_for_one_container:
        raise ConfigurationError(
            f"Access to {target.account.place(name)} is by a SAS of this container, which cannot delete the container "
            "itself; use an account SAS, the account's key, or an identity."
        )
    return name


async def _what_is_in_it(where: Where) -> str:
    files = size = 0
    async with where.job_to_read() as job:
        async for output in job.list_all_outputs():
            files += 1
            size += output.size or 0
            if files == _COUNTED:
                return f"{job.place} with {files:,} outputs or more"
        return f"{job.place} with {counted(files, 'output')}, {size_text(size)}, and whatever else is in it,"


async def _do_delete_container(where: Where, name: str) -> None:
    from batch_outputs.account import OutputAccount

    async with OutputAccount.at(where.target()) as account:
        await account.delete_container(name)
    say(f"the container {where.target().account.place(name)} was deleted with all that was in it.")
