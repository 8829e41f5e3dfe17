"""Options that several subcommands share, and what they amount to."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote

import click

from batch_outputs.cli.help_page import Decorator, options_under
from batch_outputs.errors import ConfigurationError
from batch_outputs.kinds import OutputKind, TaskOutputKind
from batch_outputs.location import DirectoryAccount
from batch_outputs.settings import ACCOUNT_URL, CONTAINER_URL, WHAT_TO_SET, Target, carries_secret, find_target

if TYPE_CHECKING:
    from batch_outputs.storage import JobOutputStorage, TaskOutputStorage

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

stored_option: Callable[..., Decorator] = options_under("Where outputs are stored")
"""An option that says whose outputs are meant, or where they are."""
saving_option: Callable[..., Decorator] = options_under("When it is saved")
"""An option of those that save what grows."""


class Where(NamedTuple):
    """The options that say where outputs are; None: the environment says."""

    job: str | None
    task: str | None
    container_url: str | None
    account_url: str | None

    def target(self) -> Target:
        """The account or container meant."""
        target = find_target(container_url=self.container_url, account_url=self.account_url)
        if self.job is not None:
            target.check_job(self.job)
        return target

    def storage_for(self, kind: OutputKind) -> TaskOutputStorage | JobOutputStorage:
        """The storage that outputs of a kind belong to: the job's for the job's kinds, else the task's."""
        from batch_outputs.storage import TaskOutputStorage

        if isinstance(kind, TaskOutputKind):
            return TaskOutputStorage.at(self.target(), job_id=self.job, task_id=self.task)
        if self.task is not None:
            raise click.UsageError(f"{kind} is of the job as a whole; leave out --task, or name a kind of a task.")
        return self.job_storage()

    def target_to_read(self) -> Target:
        """The account or container meant, if there can be anything in it."""
        target = self.target()
        if target.embedded and isinstance(target.account, DirectoryAccount) and not target.account.root.is_dir():
            raise ConfigurationError(
                f"Nothing has been saved here yet: there is no folder {target.account.root}. "
                f"If outputs are elsewhere, {WHAT_TO_SET}."
            )
        return target

    def job_to_read(self) -> JobOutputStorage:
        """The storage of the job meant, if there can be anything in it."""
        self.target_to_read()
        return self.job_storage()

    def job_storage(self) -> JobOutputStorage:
        """The storage of the job meant."""
        from batch_outputs.storage import JobOutputStorage

        return JobOutputStorage.at(self.target(), job_id=self.job)


def where_options(
    *,
    job: bool = True,
    task: bool = True,
    container: bool = True,
    job_default: str = "from AZ_BATCH_JOB_ID",
    place_default: str = "from the environment",
    task_option: Callable[..., Decorator] | None = None,
) -> Callable[[F], Callable[..., Any]]:
    """Give a command the options `--job`, `--task`, `--container-url`, `--account-url` as one argument `where`.

    `job_default` says which job is meant without `--job`, and `place_default` where outputs are without a URL.
    `task_option` is given for commands to which `--task` is one of the options that choose among the outputs of a job;
    it stands with those.
    """

    def decorate(command: F) -> Callable[..., Any]:
        @functools.wraps(command)
        def call(*args: Any, **options: Any) -> Any:
            where = Where(
                options.pop("job", None),
                options.pop("task", None),
                options.pop("container_url", None),
                options.pop("account_url"),
            )
            return command(*args, where=where, **options)

        of_job = stored_option(
            "--job", metavar="ID", callback=not_empty, show_default=job_default, help="The job that is meant."
        )
        if task_option is None:
            of_task = stored_option(
                "--task",
                metavar="ID",
                callback=not_empty,
                show_default="from AZ_BATCH_TASK_ID",
                help="The task that is meant.",
            )
        else:
            of_task = task_option(
                "--task",
                metavar="ID",
                callback=not_empty,
                show_default="all of the job",
                help="Only outputs of this task.",
            )
        of_container = stored_option(
            "--container-url",
            metavar="URL",
            callback=_refuse_secret,
            show_default=place_default,
            help="The URL of the job's container, without a SAS; or file:///folder.",
        )
        decorators = [
            *([of_job] if job else []),
            *([of_task] if task else []),
            *([of_container] if container else []),
            stored_option(
                "--account-url",
                metavar="URL",
                callback=_refuse_secret,
                show_default=place_default,
                help="The URL of the storage account, without a SAS; or file:///folder.",
            ),
        ]
        decorated: Callable[..., Any] = call
        for decorator in reversed(decorators):
            decorated = decorator(decorated)
        return decorated

    return decorate


class Seconds(click.FloatRange):
    """A time that can be waited for: neither nan nor inf, which are numbers to Python, nor many thousand years."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; see `click.ParamType`."""
        seconds = super().convert(value, param, ctx)
        if not seconds <= threading.TIMEOUT_MAX:  # nan is neither less nor more than anything
            self.fail(f"{value} is no number of seconds that can be waited for.", param, ctx)
        return seconds


def flush_interval_option(what: str, default: float) -> Decorator:
    """Give a command the option `--flush-interval`, for the `what` that it saves as they grow."""
    return saving_option(
        "--flush-interval",
        type=Seconds(min=0, min_open=True),
        default=default,
        show_default=True,
        metavar="SECONDS",
        help=f"Time between two savings of the {what}; it grows as they age.",
    )


def flush_timeout_option(command: F) -> F:
    """Give a command the option `--flush-timeout`, for those that go on saving when it is time to end."""
    return saving_option(
        "--flush-timeout",
        type=Seconds(min=0),
        metavar="SECONDS",
        show_default="as long as bytes move, 20 after a signal",
        help="Time that saving may take in the end.",
    )(command)


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous part, with the library's warnings as sentences of ours; Ctrl-C ends it in time."""
    import asyncio  # not for --help

    from batch_outputs.cli.interrupt import interruptible
    from batch_outputs.cli.warnings import show_warnings

    show_warnings()
    usual = signal.getsignal(signal.SIGINT)
    try:
        return asyncio.run(interruptible(coroutine))
    finally:
        if usual is not None:
            signal.signal(signal.SIGINT, usual)  # for what comes behind it, such as a question


def run_blocking(work: Callable[[], T]) -> T:
    """Run a part of a command that needs no event loop, as `run_async` runs the others."""
    from batch_outputs.cli.interrupt import ended_in_time
    from batch_outputs.cli.warnings import show_warnings

    show_warnings()
    with ended_in_time():
        return work()


def run_listing(job: JobOutputStorage, work: Coroutine[Any, Any, T]) -> T:
    """Run a part of a command that waits for nothing but listings of `job`; without an event loop, if that can be."""
    from batch_outputs.output_storage import blocking_lists
    from batch_outputs.stepping import awaited

    try:
        with blocking_lists(job) as calls:
            if calls is not None:
                return run_blocking(lambda: awaited(work))
        return run_async(work)
    finally:
        work.close()  # it has not begun if nothing can be asked of the store


def not_empty(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Refuse an option that is given as an empty text, most likely by a variable of a script that is not set."""
    if value == "":
        raise click.BadParameter("it is empty; give it a value, or leave the option out.")
    return value


def _refuse_secret(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and carries_secret(unquote(unquote(value))):
        variable = CONTAINER_URL if parameter.name == "container_url" else ACCOUNT_URL
        raise click.BadParameter(
            "a secret on a command line shows in process lists and in the portal; "
            f"set {variable} (or {variable}_FILE) instead."
        )
    return not_empty(context, parameter, value)
