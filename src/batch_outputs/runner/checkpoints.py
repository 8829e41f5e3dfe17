"""Files that are saved each time they have changed and settled, while the program runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

import anyio
from anyio import to_thread

from batch_outputs.errors import SourceNotFoundError
from batch_outputs.kinds import OutputKind
from batch_outputs.outputs import OutputFileReference
from batch_outputs.runner.restore import mtime_metadata, mtime_ns
from batch_outputs.runner.result import RunResult
from batch_outputs.runner.rules import CheckpointRule
from batch_outputs.runner.uploads import Uploads
from batch_outputs.sources import OWN_FOLDER, Source, pattern_here

logger: logging.Logger = logging.getLogger("batch_outputs.runner")

SETTLE = 1.0
"""Seconds for which a file must not have changed before it counts as written."""

_LOOK = 5.0
"""Seconds between two looks where nothing tells of a change: not every file system does."""

_LONG_UNREST = 60.0
"""Seconds."""

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


class _Stamp(NamedTuple):
    """What changes when a file is written, or another takes its name."""

    device: int
    number: int
    size: int
    modified: int
    changed: int


@dataclass(slots=True)
class _File:
    """One file that a rule has named."""

    kind: OutputKind
    source: Source
    stamp: _Stamp | None = None
    since: float = 0.0
    """When it was first seen as it is."""
    saved: _Stamp | None = None
    restless_since: float | None = None
    is_told: bool = False
    failures: int = 0
    not_before: float = 0.0

    def look(self, now: float) -> os.stat_result | None:
        """See how it is now; None if it is gone."""
        try:
            status = os.stat(self.source.path)
        except OSError:
            return None
        stamp = _Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if stamp != self.stamp:
            quiet = time.time() - status.st_mtime
            self.since = now - SETTLE if quiet >= SETTLE else now
            self.stamp = stamp
        return status


class Checkpoints:
    """Keeps files stored as they were when they last had settled."""

    def __init__(self, rules: Sequence[CheckpointRule], uploads: Uploads, result: RunResult) -> None:
        self._rules = rules
        self._uploads = uploads
        self._result = result
        self._files: dict[str, _File] = {}
        self._latest: dict[str, OutputFileReference] = {}
        self._wake = asyncio.Event()
        self._watched: frozenset[str] = frozenset()
        self._matched: set[CheckpointRule] = set()

    async def already_stored(self, restored: Sequence[OutputFileReference]) -> None:
        """What was brought back need not be saved again, as long as it is as it was then."""
        outputs = {output.blob_name: output for output in restored}
        await self._find()
        for file in self._files.values():
            output = outputs.get(self._uploads.storage(file.kind).get_output(file.kind, file.source.name).blob_name)
            status = file.look(time.monotonic())
            if output is None or status is None:
                continue
            if (status.st_size, status.st_mtime_ns) == (output.size, mtime_ns(output)):
                file.saved = file.stamp

    def look_now(self) -> None:
        """The end is near: look at once for what has settled, also for what was refused a moment ago."""
        for file in self._files.values():
            file.not_before = 0.0
        self._wake.set()

    async def keep(self, ended: asyncio.Event) -> None:
        """Save what changes until the program has ended."""
        end = asyncio.create_task(ended.wait())
        try:
            while not ended.is_set():
                async with self._watching():
                    await self._keep_while_watching(ended, end)
        finally:
            end.cancel()

    async def finish(self, *, by_itself: bool) -> None:
        """The program has ended: save what has changed since it was saved last, and note what cannot be.

        If it did not end `by_itself` but by a signal, what it may have been writing just then is left out, lest half a
        checkpoint takes the place of a whole one.
        """
        failures: list[Exception] = []
        await self._find(problems=failures)
        changed = [file for file in self._files.values() if self._differs(file)]
        now = time.monotonic()
        for file in changed if not by_itself else ():
            if file.since + SETTLE > now:
                logger.warning(
                    "%s was written just before a signal ended the program and may be half-written, so it is not saved "
                    "as a checkpoint.",
                    file.source.path,
                )
        failures += await self._save([file for file in changed if by_itself or file.since + SETTLE <= now])
        self._result.failures += failures

    async def _keep_while_watching(self, ended: asyncio.Event, end: asyncio.Task[bool]) -> None:
        """Look again and again, until the end or until other folders are to be watched."""
        while not ended.is_set():
            await self._find()
            next_look = await self._save_settled()
            if ended.is_set() or self._folders() != self._watched:
                return
            woken = asyncio.create_task(self._wake.wait())
            await asyncio.wait([woken, end], timeout=next_look, return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
            self._wake.clear()

    async def _find(self, problems: list[Exception] | None = None) -> None:
        """Take note of all files that the rules name."""
        for rule in self._rules:
            try:
                sources, failed = await self._uploads.find(rule.pattern)
            except Exception as error:
                self._complain(rule.pattern, error, problems)
                continue
            if sources:
                self._matched.add(rule)
            for source in sources:
                self._files.setdefault(f"{rule.kind} {source.name}", _File(rule.kind, source))
            for problem in failed:
                if not isinstance(problem, SourceNotFoundError):
                    self._complain(rule.pattern, problem, problems)
                elif problems is not None and rule not in self._matched:  # else there is none yet, or none any more
                    self._result.unmatched.append(problem)

    @staticmethod
    def _complain(pattern: str, error: Exception, problems: list[Exception] | None) -> None:
        if problems is None:
            logger.warning("The checkpoints %s are not all saved at present: %s", pattern, error)
        else:
            problems.append(error)

    def _differs(self, file: _File) -> bool:
        return file.look(time.monotonic()) is not None and file.stamp != file.saved

    async def _save_settled(self) -> float:
        """Save what has changed and settled; in how many seconds to look again."""
        now = time.monotonic()
        next_look = _LOOK
        due = []
        for file in self._files.values():
            if not self._differs(file):
                continue
            ready = max(file.since + SETTLE, file.not_before)
            self._complain_of_unrest(file, now)
            if ready <= now:
                due.append(file)
            else:
                next_look = min(next_look, ready - now)
        for error in await self._save(due):
            logger.warning("A checkpoint is not saved at present: %s", error)
        return next_look

    @staticmethod
    def _complain_of_unrest(file: _File, now: float) -> None:
        """Say, once, that a file has been changing for so long that no checkpoint of it could be saved."""
        if file.since + SETTLE <= now:
            file.restless_since = None
        elif file.restless_since is None:
            file.restless_since = now
        elif now - file.restless_since >= _LONG_UNREST and not file.is_told:
            file.is_told = True
            logger.warning(
                "%s changes all the time, so it is not saved as a checkpoint before it stands still for a second; "
                "write it beside and rename it.",
                file.source.path,
            )

    async def _save(self, files: Sequence[_File]) -> list[Exception]:
        """Save files of several kinds; the errors of those that could not be."""
        failures: list[Exception] = []
        for kind in dict.fromkeys(file.kind for file in files):
            failures += await self._save_of_kind(kind, [file for file in files if file.kind == kind])
        self._result.checkpoints[:] = self._latest.values()
        return failures

    async def _save_of_kind(self, kind: OutputKind, files: Sequence[_File]) -> list[Exception]:
        by_source = {file.source: file for file in files}
        stamps = {file.source: file.stamp for file in files}  # as they were before they are read
        saved: set[Source] = set()

        def done(source: Source, output: OutputFileReference) -> None:
            by_source[source].saved, by_source[source].failures = stamps[source], 0
            self._latest[output.blob_name] = output
            saved.add(source)

        failures = await self._uploads.save(kind, list(by_source), done, metadata=_mtime_of)
        for file in files:
            if file.source not in saved:
                file.failures += 1
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(file.failures - 1, 10))
                file.not_before = time.monotonic() + pause
        return failures

    def _folders(self) -> frozenset[str]:
        """The folders in which changes are to be noticed: those before the wildcards, or what there is of them."""
        folders = set()
        for rule in self._rules:
            pattern = pattern_here(rule.pattern)
            folder = os.path.dirname(pattern.base) if pattern.is_literal else pattern.base
            while folder and not os.path.isdir(folder):
                folder = os.path.dirname(folder)
            folders.add(folder or os.curdir)
        return frozenset(folders)

    @asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        """While the block runs, a change in the folders wakes us. It is a help, and no more: we look anyway."""
        self._watched = await to_thread.run_sync(self._folders)
        stop = anyio.Event()
        watching = asyncio.create_task(self._watch(stop))
        try:
            yield
        finally:
            stop.set()  # a watch that is cancelled instead ends seconds later
            with contextlib.suppress(Exception):
                await watching

    async def _watch(self, stop: anyio.Event) -> None:
        from watchfiles import Change, awatch  # loads much: only where there are checkpoints

        def is_ours(_: Change, path: str) -> bool:
            return OWN_FOLDER not in path.split(os.sep)

        try:
            async for _ in awatch(*self._watched, watch_filter=is_ours, stop_event=stop, debounce=200, step=50):
                self._wake.set()
        except Exception as error:
            logger.debug("Changes are looked for every %d s only: %s", _LOOK, error)


def _mtime_of(source: Source) -> Mapping[str, str]:
    try:
        return mtime_metadata(os.stat(source.path))
    except OSError:
        return {}  # it is gone, as the saving is about to find out
