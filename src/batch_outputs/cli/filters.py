"""The options by which `list`, `download` and `delete` choose among the outputs of a job."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
from click.shell_completion import CompletionItem

from batch_outputs.cli.help_page import Decorator, argument, options_under
from batch_outputs.cli.options import not_empty
from batch_outputs.errors import ConfigurationError
from batch_outputs.kinds import JobOutputKind, TaskOutputKind, kind_named
from batch_outputs.shared_access import expiry_moment

if TYPE_CHECKING:
    from batch_outputs.selection import Wanted

F = TypeVar("F", bound=Callable[..., Any])

choosing_option: Callable[..., Decorator] = options_under("Which outputs")
"""An option that chooses among the outputs of a job."""

_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_KINDS = {
    TaskOutputKind.TASK_OUTPUT: "files of a task",
    TaskOutputKind.TASK_PREVIEW: "previews of a task",
    TaskOutputKind.TASK_LOG: "logs of a task",
    TaskOutputKind.TASK_INTERMEDIATE: "files on the way of a task",
    JobOutputKind.JOB_OUTPUT: "files of the job",
    JobOutputKind.JOB_PREVIEW: "previews of the job",
}


class Filters(NamedTuple):
    """What was given of the options; false where nothing was."""

    kinds: tuple[str, ...] = ()
    newer_than: datetime | None = None
    older_than: datetime | None = None

    def __bool__(self) -> bool:
        return bool(self.kinds or self.newer_than or self.older_than)

    def wanted(self, task: str | None, patterns: tuple[str, ...]) -> Wanted:
        """What is asked for, together with a task and patterns."""
        from batch_outputs.selection import Wanted

        of_job = [kind for kind in self.kinds if isinstance(kind_named(kind), JobOutputKind)]
        if task is not None and of_job:
            raise click.UsageError(f"{of_job[0]} is of the job as a whole; leave out --task, or name a kind of a task.")
        return Wanted(task, frozenset(self.kinds), patterns, self.newer_than, self.older_than)


def moment(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    """The moment that an option means: so long ago (`90s`, `15m`, `2h`, `7d`, `4w`), or an ISO date or time.

    That is in UTC unless it says otherwise.
    """
    if value is None:
        return None
    try:
        if age := _AGE.fullmatch(value.strip()):
            return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: float(age[1])})
        then = datetime.fromisoformat(value.strip())
        return (then if then.tzinfo else then.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise click.BadParameter(f"{value!r} is further away than calendars go.") from None
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither an age such as 90s, 15m, 2h, 7d or 4w nor a date or time such as 2026-05-31 or "
            "2026-05-31T14:00Z."
        ) from None


def sas_expiry(_: click.Context, __: click.Parameter, value: str) -> datetime:
    """The moment at which a SAS is to end: so far from now (`30m`, `12h`, `7d`, `2w`), or an ISO date or time.

    That is in UTC unless it says otherwise.
    """
    try:
        if span := _AGE.fullmatch(value.strip()):
            return expiry_moment(timedelta(**{_UNITS[span[2]]: float(span[1])}))
        then = datetime.fromisoformat(value.strip())
        return expiry_moment(then if then.tzinfo else then.replace(tzinfo=UTC))
    except ConfigurationError as error:
        raise click.BadParameter(str(error)) from None
    except OverflowError:
        raise click.BadParameter(f"{value!r} is further away than calendars go.") from None
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither a time from now such as 30m, 12h, 7d or 2w nor a date or time such as 2026-05-31 or "
            "2026-05-31T14:00Z."
        ) from None


patterns_argument: Decorator = argument(
    "patterns",
    metavar="[PATTERN...]",
    nargs=-1,
    help="Only outputs of these paths below a kind ('**/*.png') or, with a $ in it, whole names ('*/$TaskLog/**').",
)
"""The argument by which outputs are chosen, for all commands that do."""


def kind_option(command: F) -> F:
    """Give a command the option `--kind`, once or several times, as `kinds`."""
    return choosing_option(
        "--kind",
        "kinds",
        multiple=True,
        metavar="KIND",
        callback=_kinds,
        shell_complete=complete_kind,
        show_default="any",
        help="Only outputs of this kind, such as TaskLog, or of one of several.",
    )(command)


def filter_options(command: F) -> Callable[..., Any]:
    """Give a command the options `--kind`, `--newer-than` and `--older-than` as one argument `filters`."""

    @functools.wraps(command)
    def call(*args: Any, **options: Any) -> Any:
        filters = Filters(options.pop("kinds"), options.pop("newer_than"), options.pop("older_than"))
        if filters.newer_than and filters.older_than and filters.newer_than >= filters.older_than:
            raise click.UsageError("Nothing can be newer than --newer-than and older than --older-than; swap them.")
        return command(*args, filters=filters, **options)

    decorators = [
        kind_option,
        choosing_option(
            "--newer-than",
            metavar="AGE|TIME",
            callback=moment,
            show_default="any age",
            help="Only what has changed within this age (90s, 15m, 2h, 7d, 4w), or since this date or time (UTC).",
        ),
        choosing_option(
            "--older-than",
            metavar="AGE|TIME",
            callback=moment,
            show_default="any age",
            help="Only what has not changed since then; an age or a time as above.",
        ),
    ]
    decorated: Callable[..., Any] = call
    for decorator in reversed(decorators):
        decorated = decorator(decorated)
    return decorated


def complete_kind(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The kinds of the conventions that begin so, in capitals or not; custom ones are known to storage only."""
    return [
        CompletionItem(str(kind), help=what)
        for kind, what in _KINDS.items()
        if kind.lower().startswith(incomplete.lower())
    ]


def complete_folder(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell to complete the name of a folder."""
    return [CompletionItem(incomplete, type="dir")]


def _kinds(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    known = {str(kind).lower(): str(kind) for kind in _KINDS}
    for value in values:
        not_empty(context, parameter, value)
        if (meant := known.get(value.lower(), value)) != value:
            raise click.BadParameter(f"{value!r} and {meant} differ in their capitals, which count; write {meant}.")
    return values
