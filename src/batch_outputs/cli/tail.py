"""`tail`: the end of an output to standard output, and with `-f` what still comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from batch_outputs.cli.cat import name_argument, task_to_read
from batch_outputs.cli.help_page import command, option
from batch_outputs.cli.options import Seconds, Where, run_async, where_options
from batch_outputs.cli.outlet import Outlet, while_somebody_reads
from batch_outputs.cli.talk import say
from batch_outputs.errors import BlobChangedError, BlobNotFoundError, ContainerNotFoundError, StoreUnavailableError
from batch_outputs.marks import LogMarks

if TYPE_CHECKING:
    from batch_outputs.outputs import OutputFileReference
    from batch_outputs.storage import JobOutputStorage

T = TypeVar("T")

_LEAST_WAIT = 1.0
"""Seconds between two searches for a name that is not there; each takes several requests."""

_INSTEAD = "If it is another's, name that task with --task; batch-outputs list shows what there is."


@dataclass(frozen=True, slots=True)
class Lines:
    """The last `number` lines, or, with `from_start`, all from that line on, the first being 1."""

    number: int
    from_start: bool = False


_ALL = Lines(1, from_start=True)


def _lines(_: click.Context, __: click.Parameter, value: str) -> Lines:
    digits = value.removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise click.BadParameter(f"{value!r} is neither a number of lines nor one with a + before it.")
    return Lines(int(digits), from_start=value != digits)


@command("tail")
@name_argument
@option("-f", "--follow", is_flag=True, help="Go on with what still comes, until the log is complete.")
@option(
    "-n",
    "--lines",
    callback=_lines,
    default="10",
    show_default=True,
    metavar="[+]N",
    help="The last N lines; with +N all from line N on.",
)
@option(
    "--interval",
    type=Seconds(min=0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time after which -f looks for more.",
)
@where_options()
def tail_command(name: str, follow: bool, lines: Lines, interval: float, where: Where) -> None:
    """Write the end of an output, and follow a log.

    \b
    batch-outputs tail --job render-2026 --task t1 stdout.txt
    batch-outputs tail -f --job render-2026 --task t1 stdout.txt
    batch-outputs tail -n +2 --job render-2026 --task t1 TaskOutput/frames/0001.png

    NAME is looked for as by cat, and shown at a terminal as by cat. With -f a log is followed as it grows, across its
    parts and through outages, and from its beginning when another attempt of the task begins it anew; a NAME that is
    not there yet is waited for, if a task is known. It ends with exit code 0 when the log is complete.
    """
    with Outlet() as outlet:
        work = _follow(name, where, outlet, lines, interval) if follow else _tail(name, where, outlet, lines)
        run_async(work)


async def _tail(name: str, where: Where, outlet: Outlet, lines: Lines) -> None:
    from batch_outputs.finding import find

    async with where.job_to_read() as job:
        output = await find(job, task_to_read(where), name)
        async for piece in _from_line(output.chunks(await _offset(output, lines)), lines):
            outlet.write(piece)


async def _follow(name: str, where: Where, outlet: Outlet, lines: Lines, interval: float) -> None:
    async with where.job_storage() as job:  # also of a folder that is not there yet
        follower = _Follower(job, task_to_read(where), name, outlet, interval)
        await while_somebody_reads(follower.follow(lines))


class _Follower:
    """Writes what comes, and says on stderr what else happens."""

    def __init__(self, job: JobOutputStorage, task: str | None, name: str, outlet: Outlet, interval: float) -> None:
        self._job = job
        self._task = task
        self._name = name
        self._outlet = outlet
        self._interval = interval

    async def follow(self, lines: Lines) -> None:
        """All that comes, from these lines on, until a log of the name is complete."""
        output, waited = await self._find()
        if waited and not lines.from_start:
            lines = _ALL  # it began while somebody waited for it
        while not await self._write(output, lines):
            lines = _ALL
            output, _ = await self._find(again=True)
        self._outlet.end_text()
        if output.is_log:
            code = LogMarks.from_metadata(output.metadata or {}).exit_code
            ended = "" if code is None else f"; its program ended with {code}"
            say(f"{output.blob_name} is complete{ended}.")

    async def _write(self, output: OutputFileReference, lines: Lines) -> bool:
        """False if it was begun anew or deleted before it was complete."""
        try:
            offset = await self._ride_out(lambda: _offset(output, lines))
            pieces = output.follow(offset, interval=self._interval, on_outage=_say_outage, on_recovery=_say_recovery)
            async for piece in _from_line(pieces, lines):
                self._outlet.write(piece)
        except BlobChangedError:
            self._outlet.end_text()
            say(f"{output.blob_name} was begun anew, by another attempt perhaps; that is followed from its beginning.")
            return False
        except (BlobNotFoundError, ContainerNotFoundError):
            self._outlet.end_text()
            say(f"{output.blob_name} was deleted; waiting for it to be begun anew.")
            return False
        return True

    async def _find(self, *, again: bool = False) -> tuple[OutputFileReference, bool]:
        """The output, as soon as there is one, and whether it had to be waited for.

        `again`: it has been there, so nobody need be told that it is waited for.
        """
        import anyio

        from batch_outputs.finding import find, says_whose

        def look() -> Awaitable[OutputFileReference]:
            return find(self._job, self._task, self._name)

        waits = False
        while True:
            try:
                # One that does not answer from the first request on has most likely a wrong address.
                output = await (self._ride_out(look) if again or waits else look())
            except (BlobNotFoundError, ContainerNotFoundError):
                if not (again or waits):
                    if self._task is None and not says_whose(self._name):
                        raise  # nobody would ever save it for the job as a whole
                    owner = f" of task {self._task}" if self._task is not None else ""
                    say(f"there is no {self._name}{owner} in {self._job.place} yet; waiting for it. {_INSTEAD}")
                waits = True
            else:
                return output, waits
            await anyio.sleep(max(self._interval, _LEAST_WAIT))

    async def _ride_out(self, request: Callable[[], Awaitable[T]]) -> T:
        """What a request is answered with, however long that takes; an outage is told, and its end."""
        import anyio

        is_out = False
        while True:
            try:
                answer = await request()
            except StoreUnavailableError as error:
                if not is_out:
                    _say_outage(error)
                is_out = True
            else:
                if is_out:
                    _say_recovery()
                return answer
            await anyio.sleep(max(self._interval, _LEAST_WAIT))


async def _offset(output: OutputFileReference, lines: Lines) -> int:
    return 0 if lines.from_start else await output.tail_offset(lines.number)


async def _from_line(pieces: AsyncIterator[bytes], lines: Lines) -> AsyncIterator[bytes]:
    """A text without the lines that come before those wanted from its start."""
    left = lines.number - 1 if lines.from_start else 0
    async for piece in pieces:
        start = 0
        while left > 0 and (end := piece.find(b"\n", start)) >= 0:
            start = end + 1
            left -= 1
        if left <= 0 and start < len(piece):
            yield piece[start:]


def _say_outage(error: StoreUnavailableError) -> None:
    say(f"{error} Following goes on as soon as there is an answer.")


def _say_recovery() -> None:
    say("there is an answer again; following goes on.")
