"""`download`: many outputs into a local folder."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import click

from batch_outputs.cli.filters import Filters, choosing_option, complete_folder, filter_options, patterns_argument
from batch_outputs.cli.help_page import command, options_under
from batch_outputs.cli.options import Where, not_empty, run_async, where_options
from batch_outputs.cli.talk import say, talk_to_terminal
from batch_outputs.errors import BlobNotFoundError, StoreUnavailableError
from batch_outputs.marks import LogMarks
from batch_outputs.placing import Placing
from batch_outputs.wording import counted, size_text

if TYPE_CHECKING:
    from batch_outputs.fetching import Fetched
    from batch_outputs.outputs import OutputFileReference

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
    run_async(_download(patterns, filters, folder, where, check=check))


async def _download(patterns: tuple[str, ...], filters: Filters, folder: str, where: Where, *, check: bool) -> None:
    import asyncio

    from batch_outputs.fetching_many import fetch_all
    from batch_outputs.selection import check_task_has_outputs, select_as_read
    from batch_outputs.transfer import refuse_store

    target = where.target_to_read()
    refuse_store(folder, target.folder(target.container or ""))
    async with where.job_to_read() as job:
        downloads = _Downloads(folder, job.place, check=check)
        found = select_as_read(job, filters.wanted(where.task, patterns))
        names_only = where.task is not None and filters.kind is not None
        try:
            async with downloads.silence.watched():
                with downloads.bar:
                    items = downloads.placed(found, names_only=names_only)
                    await fetch_all(
                        items,
                        downloads.fetch,
                        folder=folder,
                        told=downloads.fetched,
                        ahead=_LISTED_AHEAD,
                        failures=downloads.failures,
                        check=check,
                    )
        except asyncio.CancelledError:
            say(f"{downloads.summary} Run the same command again to go on from here.")
            raise
        failures = [*downloads.placing.problems, *downloads.failures.to_tell]
        if not downloads.found:
            if failures:
                raise failures[0]  # nothing could be listed
            if where.task is not None:
                await check_task_has_outputs(job, where.task)
            raise BlobNotFoundError(
                f"Nothing in {job.place} is what was asked for; batch-outputs list shows what there is.",
                place=job.place,
            )
        say(downloads.summary)
        if downloads.failures.are_hopeless:
            say(downloads.what_was_not_tried)
        if failures:
            raise ExceptionGroup("some could not be downloaded", failures)


class _Downloads:
    """What has been found, fetched and counted so far."""

    def __init__(self, folder: str, place: str, *, check: bool) -> None:
        from batch_outputs.failures import Failures
        from batch_outputs.silence import Silence

        self.failures = Failures()
        self.silence = Silence(self._say_silence)
        self.placing: Placing[OutputFileReference] = Placing(folder)
        self.found = False
        # Its length is known when all is listed.
        self.bar = click.progressbar(length=0, label="downloading", file=sys.stderr, hidden=not talk_to_terminal())
        self.bar.length = None
        self._folder = folder
        self._place = place
        self._check = check
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

    async def placed(
        self, outputs: AsyncIterator[OutputFileReference], *, names_only: bool
    ) -> AsyncIterator[tuple[str, OutputFileReference]]:
        """The outputs with the paths that they are to have, as they are listed."""
        async for output in _without_joined_parts(outputs):
            self.silence.sign()
            self.found = True
            self._listed += 1
            self._size_listed += output.size or 0
            for item in self.placing.add(output.name if names_only else output.blob_name, output.blob_name, output):
                yield item
        for item in self.placing.rest():
            yield item
        self._all_are_listed = True
        self.bar.length = max(1, self._size_listed)
        self.bar.update(0)

    async def fetch(self, item: tuple[str, OutputFileReference]) -> None:
        """Fetch one, and count it."""
        from batch_outputs.failures import named
        from batch_outputs.transfer import refuse_links

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

    def fetched(self, item: tuple[str, OutputFileReference], fetched: Fetched) -> None:
        """Count one that was fetched without `fetch`."""
        self._tried += 1
        self._on_bytes(item[1].size or 0)
        self._count(fetched)

    @property
    def what_was_not_tried(self) -> str:
        """How much is left after giving up, in a sentence."""
        left = self._listed - self._tried - len(self.placing.problems)
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
        failed = self._failed + len(self.placing.problems)
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
        self.bar.update(more)

    def _say_silence(self) -> None:
        if not self._outage_is_said:
            self._outage_is_said = True
            say(f"nothing has come from {self._place} for 10 seconds; this goes on as soon as something does.")

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
