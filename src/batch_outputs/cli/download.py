"""`download`: many outputs into a local folder."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from batch_outputs.cli.filters import Filters, choosing_option, complete_folder, filter_options, patterns_argument
from batch_outputs.cli.help_page import command, options_under
from batch_outputs.cli.options import Where, not_empty, run_async, run_blocking, where_options
from batch_outputs.cli.talk import say, talk_to_terminal
from batch_outputs.errors import BlobNotFoundError, StoreUnavailableError
from batch_outputs.marks import LogMarks
from batch_outputs.placing import Placing
from batch_outputs.wording import counted, size_text

if TYPE_CHECKING:
    from batch_outputs.fetching_at_once import Fetched
    from batch_outputs.fetching_many import Placed
    from batch_outputs.outputs import OutputFileReference
    from batch_outputs.selection import Wanted
    from batch_outputs.storage import JobOutputStorage

_LISTED_AHEAD = 10_000
"""How many outputs are known before they are needed, so that the bar soon knows how much there is."""

_CHECKS = {"sha256": "SHA-256", "md5": "MD5", "length": "length only"}


_file_option = options_under("Where files are written")
_check_option = options_under("How they are checked")


@command("download")
@patterns_argument
@filter_options
@_file_option(
    "--to",
    "folder",
    default=".",
    show_default=True,
    metavar="DIR",
    callback=not_empty,
    shell_complete=complete_folder,
    help="The folder to write to; it is made if it is missing.",
)
@_check_option(
    "--no-checksum", "check", flag_value=False, default=True, help="Do not hold content against checksums; saves CPU."
)
@where_options(task_option=choosing_option)
def download_command(patterns: tuple[str, ...], filters: Filters, folder: str, where: Where, *, check: bool) -> None:
    """Download outputs of a job, or of one task.

    \b
    batch-outputs download --job render-2026 --to results
    batch-outputs download --job render-2026 --task t1 --kind TaskOutput --to frames '**/*.png'

    Below DIR the blob names are mirrored (t1/$TaskOutput/frames/1.png), or just the names (frames/1.png) when one task
    and one kind are asked for. Each file appears whole or not at all, and never outside DIR.

    Run it again to go on where it was cut off: what is there unchanged (same length and time) is left alone, and of a
    large file only the rest is read. Content is held against the checksum that was stored with it, if there is one.
    Where nothing matches, the exit code is 125.
    """
    from batch_outputs.target_guard import refuse_store

    target = where.target_to_read()
    refuse_store(folder, target.folder(target.container or ""))
    job = where.job_storage()
    downloads = _Downloads(job, filters.wanted(where.task, patterns), folder, check=check)
    try:
        with downloads.silence.watched(), downloads.bar or nullcontext():
            if not run_blocking(downloads.at_once):
                run_async(downloads.rest())
    except KeyboardInterrupt:
        say(f"{downloads.summary} Run the same command again to go on from here.")
        raise
    downloads.tell()


class _Downloads:
    """What of a job is to be fetched, and what has been found, fetched and counted so far."""

    def __init__(self, job: JobOutputStorage, wanted: Wanted, folder: str, *, check: bool) -> None:
        from batch_outputs.failures import Failures
        from batch_outputs.selection import select_as_read
        from batch_outputs.silence import Silence

        self.silence = Silence(self._say_silence)
        self.bar = click.progressbar(length=0, label="downloading", file=sys.stderr) if talk_to_terminal() else None
        if self.bar is not None:
            self.bar.length = None  # it is known when all is listed
        self._job = job
        self._wanted = wanted
        self._folder = folder
        self._check = check
        self._placing: Placing[OutputFileReference] = Placing(folder)
        self._failures = Failures()
        self._items = self._placed(select_as_read(job, wanted))
        self._left: Sequence[Placed] = ()
        self._found = False
        self._outage_is_said = False
        self._listed = 0
        self._all_are_listed = False
        self._tried = 0
        self._failed = 0
        self._size_listed = 0
        self._size = 0
        self._unchanged = 0
        self._resumed = 0
        self._checked: Counter[str] = Counter()

    # It needs no event loop, whose import takes as long as all the rest, unless something is in the way.

    def at_once(self) -> bool:
        """Fetch what can be fetched so; whether that is all."""
        from batch_outputs.fetching_many import fetch_at_once
        from batch_outputs.output_storage import blocking_lists, close_at_once
        from batch_outputs.stepping import without_loop

        if self._wanted.newer_than is not None or self._wanted.older_than is not None:
            return False  # then logs are looked at one by one
        with blocking_lists(self._job) as calls:
            if calls is None:
                return False
            self._left = fetch_at_once(
                without_loop(self._items),
                calls,
                folder=self._folder,
                told=self._fetched,
                on_bytes=self._on_bytes,
                ahead=_LISTED_AHEAD,
                failures=self._failures,
                check=self._check,
            )
        if self._left or self._failures or not self._found or not self._all_are_listed:
            return False
        close_at_once(self._job)
        return True

    async def rest(self) -> None:
        """Fetch what is left, and find out why there is nothing."""
        from batch_outputs.fetching_many import fetch_all
        from batch_outputs.selection import check_task_has_outputs

        async with self._job:
            await fetch_all(
                self._items,
                self._fetch,
                folder=self._folder,
                told=self._fetched,
                ahead=_LISTED_AHEAD,
                failures=self._failures,
                check=self._check,
                left=self._left,
            )
            if not self._found and not self._failures and self._wanted.task is not None:
                await check_task_has_outputs(self._job, self._wanted.task)

    def tell(self) -> None:
        """Say what was done.

        Raises:
            BatchOutputsError: nothing could be listed, or is there.
            ExceptionGroup: some could not be downloaded; one error for each.
        """
        failures = [*self._placing.problems, *self._failures.to_tell]
        if not self._found:
            if failures:
                raise failures[0]  # nothing could be listed
            raise BlobNotFoundError(
                f"Nothing in {self._job.place} is what was asked for; batch-outputs list shows what there is.",
                place=self._job.place,
            )
        say(self.summary)
        if self._failures.are_hopeless:
            say(self._what_was_not_tried)
        if failures:
            raise ExceptionGroup("some could not be downloaded", failures)

    async def _placed(self, outputs: AsyncIterator[OutputFileReference]) -> AsyncIterator[Placed]:
        """The outputs with the paths that they are to have, as they are listed."""
        names_only = self._wanted.task is not None and len(self._wanted.kinds) == 1
        async for output in _without_joined_parts(outputs):
            self.silence.sign()
            self._found = True
            self._listed += 1
            self._size_listed += output.size or 0
            for item in self._placing.add(output.name if names_only else output.blob_name, output.blob_name, output):
                yield item
        for item in self._placing.rest():
            yield item
        self._all_are_listed = True
        if self.bar is not None:
            self.bar.length = max(1, self._size_listed)
            self.bar.update(0)

    async def _fetch(self, item: Placed) -> None:
        """Fetch one, and count it."""
        from batch_outputs.failures import named
        from batch_outputs.target_guard import refuse_links

        path, output = item
        self._tried += 1
        try:
            refuse_links(self._folder, path)
            fetched = await output.fetch(path, refresh=False, check=self._check, on_bytes=self._on_bytes)
        except Exception as error:
            self._failed += 1
            if isinstance(error, StoreUnavailableError):
                self._say_outage(error)
            raise named(error, output.blob_name) from error.__cause__
        self._count(fetched)

    def _fetched(self, item: Placed, fetched: Fetched) -> None:
        """Count one that was fetched without `_fetch`."""
        self._tried += 1
        self._on_bytes(item[1].size or 0)
        self._count(fetched)

    @property
    def _what_was_not_tried(self) -> str:
        """How much is left after giving up, in a sentence."""
        left = self._listed - self._tried - len(self._placing.problems)
        if self._all_are_listed and not left:
            return "run the same command again to go on from here."
        number = counted(left, "output") if self._all_are_listed else f"{counted(left, 'output')} or more"
        return (
            f"{number} {'was' if left == 1 and self._all_are_listed else 'were'} not tried, as too much has failed; "
            "run the same command again to go on from here."
        )

    @property
    def summary(self) -> str:
        """What was done, in a sentence."""
        files = sum(self._checked.values())
        failed = self._failed + len(self._placing.problems)
        if self._unchanged and not files and not failed:
            verb = "is" if self._unchanged == 1 else "are"
            return f"Nothing new for {self._folder}: {counted(self._unchanged, 'file')} {verb} there unchanged."
        details = []
        if self._unchanged:
            details.append(f"{self._unchanged:,} more {'was' if self._unchanged == 1 else 'were'} there unchanged")
        if self._resumed:
            details.append(f"{self._resumed:,} {'was' if self._resumed == 1 else 'were'} resumed")
        checks = {name: self._checked[kind] for kind, name in _CHECKS.items() if self._checked[kind]}
        if len(checks) == 1:
            details.append(f"checked by {next(iter(checks))}")
        elif checks:
            details.append(f"checked by {', '.join(f'{name}: {number:,}' for name, number in checks.items())}")
        if failed:
            details.append(f"{failed:,} failed")
        behind = f" ({'; '.join(details)})" if details else ""
        return f"{counted(files, 'file')} downloaded to {self._folder}, {size_text(self._size)}{behind}."

    def _on_bytes(self, more: int) -> None:
        self.silence.sign()
        if self.bar is not None:
            self.bar.update(more)

    def _say_silence(self) -> None:
        if not self._outage_is_said:
            self._outage_is_said = True
            say(f"nothing has come from {self._job.place} for 10 seconds; this goes on as soon as something does.")

    def _say_outage(self, error: StoreUnavailableError) -> None:
        if not self._outage_is_said:
            self._outage_is_said = True
            say(f"{error} This goes on with the other outputs.")

    def _count(self, fetched: Fetched) -> None:
        self.silence.sign()
        if fetched.unchanged:
            self._unchanged += 1
            return
        self._size += fetched.size
        self._resumed += fetched.resumed_at > 0
        self._checked[fetched.checked] += 1


async def _without_joined_parts(outputs: AsyncIterator[OutputFileReference]) -> AsyncIterator[OutputFileReference]:
    """Leave out the parts of logs that come with their first ones; those whose first is not among them come last."""
    parts: list[tuple[LogMarks, OutputFileReference]] = []
    firsts: dict[str, int | None] = {}
    async for output in outputs:
        if not output.is_log:
            yield output
            continue
        marks = LogMarks.from_metadata(output.metadata or {})
        if marks.log is None:
            yield output
        elif marks.part > 1:
            parts.append((marks, output))
        else:
            if marks.parts > 1 or not marks.complete:
                firsts[marks.log] = marks.parts if marks.complete else None
            yield output
    for marks, output in parts:
        joined = firsts.get(marks.log or "", 1)
        if joined is not None and marks.part > joined:
            yield output
