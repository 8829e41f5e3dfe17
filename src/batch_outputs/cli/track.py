"""`track`: files that grow, saved until told to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from types import FrameType
from typing import TYPE_CHECKING
from urllib.parse import unquote

import click

from batch_outputs.cli.codes import FAILURE
from batch_outputs.cli.help_page import argument, command, options_under
from batch_outputs.cli.options import (
    Where,
    flush_interval_option,
    flush_timeout_option,
    not_empty,
    saving_option,
    where_options,
)
from batch_outputs.cli.talk import say, say_where, say_without_waiting, sentences
from batch_outputs.environment import TaskEnvironment
from batch_outputs.errors import InvalidNameError
from batch_outputs.growing_file import GrowingFile
from batch_outputs.kinds import kind_named
from batch_outputs.runner.budget import Budget
from batch_outputs.runner.defaults import FLUSH_INTERVAL
from batch_outputs.runner.process import ENDING, OtherProcess
from batch_outputs.settings import carries_secret
from batch_outputs.sources import Folders
from batch_outputs.wording import counted, size_text

if TYPE_CHECKING:
    from batch_outputs.storage import JobOutputStorage, TaskOutputStorage
    from batch_outputs.tracking import TrackedSave

_LOOK = 0.2
"""Seconds between two looks at what may end the tracking."""


_name_option = options_under("What is saved")


@command("track")
@argument("paths", metavar="PATH...", nargs=-1, required=True, help="Files that grow; they need not exist yet.")
@_name_option(
    "--kind",
    default="TaskLog",
    show_default=True,
    metavar="KIND",
    help="TaskLog, or another kind of a task, of the job, or your own.",
)
@_name_option(
    "--as", "name", metavar="NAME", callback=not_empty, show_default="its path", help="The name to save one file under."
)
@_name_option(
    "--per-node",
    is_flag=True,
    show_default="only in subtasks of a multi-instance task",
    help="Save below the node's id, for a task that runs on several nodes.",
)
@saving_option(
    "--until-exit",
    "pid",
    type=click.IntRange(min=1),
    metavar="PID",
    show_default="a signal ends it",
    help="End when the process with this number has ended.",
)
@flush_interval_option("files", FLUSH_INTERVAL)
@flush_timeout_option
@where_options()
def track_command(
    paths: tuple[str, ...],
    pid: int | None,
    kind: str,
    name: str | None,
    per_node: bool,
    flush_interval: float,
    flush_timeout: float | None,
    where: Where,
) -> int:
    """Save files as they grow, until SIGTERM or Ctrl-C, or the end of a process.

    \b
    render & batch-outputs track --until-exit $! render.log
    render & batch-outputs track --until-exit $! --flush-interval 5 --as log.txt out/render.log

    In the end the rest is saved and the logs are marked complete. Killed and started again, it goes on behind what is
    stored. A file that is truncated or replaced goes on in a part of its own.

    The exit code is 0 when all is saved, after a signal too, and 125 otherwise.
    """
    import asyncio  # not for --help

    from batch_outputs.cli.warnings import show_warnings

    say_without_waiting()
    if name is not None and len(paths) > 1:
        raise click.UsageError("--as is for one file.")
    if any(carries_secret(unquote(unquote(text))) for text in (*paths, name or "")):
        raise click.UsageError("A PATH is a file; a URL with a secret has no place on a command line.")
    parsed = kind_named(kind)
    storage = where.storage_for(parsed)
    named = {name: paths[0]} if name is not None else _named(paths)
    waited_for = [path for path in named.values() if not _is_there(path)]
    saves = [
        storage.save_tracked(parsed, path, name, flush_interval=flush_interval, per_node=per_node or None)
        for name, path in named.items()
    ]
    end = _End(pid, flush_timeout)
    say_where(storage.place, embedded=where.target().embedded)
    for path in waited_for:
        say(f"{path} does not exist yet and is waited for.")
    if pid is not None and end.process_has_ended():
        say(f"there is no process {pid}; what is there now is saved.")
    show_warnings()
    return asyncio.run(_track(storage, saves, end))


class _End:
    """What ends the tracking, and how long to try then."""

    def __init__(self, pid: int | None, flush_timeout: float | None) -> None:
        self._process = None if pid is None else OtherProcess(pid)
        self._budget = Budget(flush_timeout)
        self._signals = 0
        for signum in ENDING:
            if signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, self._on_signal)

    def process_has_ended(self) -> bool:
        """Whether the process that was named has ended."""
        return self._process is not None and self._process.has_ended()

    def has_come(self) -> bool:
        """Whether it is time to end."""
        return self._signals > 0 or self.process_has_ended()

    def add(self, tracked: TrackedSave) -> None:
        """One more that is to be ended."""
        self._budget.add(tracked)

    def begin(self) -> None:
        """It has come: from now on the time for saving counts."""
        self._budget.begin()

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        self._signals += 1
        self._budget.asked_to_end(self._signals)


def _named(paths: Sequence[str]) -> dict[str, str]:
    """The files by the names they get."""
    environment = TaskEnvironment.from_environ()
    folders = Folders(None, environment.working_dir, environment.task_dir)
    named: dict[str, str] = {}
    for path in paths:
        name = folders.name(path)
        earlier = named.setdefault(name, path)
        if os.path.abspath(earlier) != os.path.abspath(path):
            raise InvalidNameError(
                f"{earlier} and {path} would both be saved as {name}; track one by a command of its own, with --as.",
                name=name,
            )
    return named


def _is_there(path: str) -> bool:
    """Whether the file exists; refuses what is none, or cannot be read."""
    file = GrowingFile(path)
    try:
        file.look()
    finally:
        file.close()
    return os.path.lexists(path)


async def _track(
    storage: TaskOutputStorage | JobOutputStorage,
    saves: Sequence[AbstractAsyncContextManager[TrackedSave]],
    end: _End,
) -> int:
    import asyncio  # not for --help

    async with storage:
        sizes = [size for size in await asyncio.gather(*(_follow(save, end) for save in saves)) if size is not None]
    say(f"saved {counted(len(sizes), 'log')} ({size_text(sum(sizes))}).")
    return 0 if len(sizes) == len(saves) else FAILURE


async def _follow(save: AbstractAsyncContextManager[TrackedSave], end: _End) -> int | None:
    """Track one file to the end, whatever becomes of the others; how many bytes are stored, None if not all are."""
    import asyncio

    try:
        async with save as tracked:
            end.add(tracked)
            while not end.has_come():  # noqa: ASYNC110 - another process's end raises no event
                await asyncio.sleep(_LOOK)
            end.begin()
    except Exception as error:
        for sentence in sentences(error):
            say(sentence)
        return None
    return tracked.bytes_saved
