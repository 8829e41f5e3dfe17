"""Choosing outputs of a job by task, kind, age and name, and jobs by name, as a person at a desk asks for them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, TypeAlias

from batch_outputs.account import JOB_PREFIX, OutputAccount, StoredJob
from batch_outputs.errors import BlobChangedError, BlobNotFoundError
from batch_outputs.kinds import kind_named
from batch_outputs.log_parts import first_of
from batch_outputs.names import parse_blob_name
from batch_outputs.outputs import OutputFileReference, goes_on_with_log, inside, join_parts
from batch_outputs.patterns import Pattern
from batch_outputs.storage import JobOutputStorage

_BATCH = 256


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for of a job; an output has to meet all of it.

    `task`: of this task; None: of all tasks and of the job itself. `kinds`: of one of these; none: of any kind.
    `patterns`: its name matches one, by the rules of `patterns`; a plain path means itself, or all that lies below it;
    one that holds a `$` folder, as whole blob names do, is one of these; none: any name. `newer_than`: changed then or
    later, `older_than`: before.

    Raises:
        InvalidNameError: a kind cannot be one.
    """

    task: str | None = None
    kinds: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()
    newer_than: datetime | None = None
    older_than: datetime | None = None
    _parsed: tuple[Pattern, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for kind in self.kinds:
            kind_named(kind)
        object.__setattr__(self, "_parsed", tuple(Pattern.parse(text) for text in self.patterns))

    @property
    def is_anything(self) -> bool:
        """Whether every output is asked for."""
        return self == _ANYTHING

    def includes(self, output: OutputFileReference) -> bool:
        """Whether an output that has been looked at is asked for."""
        return (
            (self.task is None or output.task_id == self.task)
            and (not self.kinds or output.kind in self.kinds)
            and self.includes_time(output.last_modified)
            and self.includes_name(output.name, output.blob_name)
        )

    def includes_time(self, last_modified: datetime | None) -> bool:
        """Whether what was changed then is asked for; where it is not known, only if any time is."""
        if last_modified is None:
            return self.newer_than is None and self.older_than is None
        return (self.newer_than is None or last_modified >= self.newer_than) and (
            self.older_than is None or last_modified < self.older_than
        )

    def includes_name(self, name: str, blob_name: str) -> bool:
        """Whether an output of this name, and this blob name, is asked for by its name."""
        # A name as a listing shows it means itself, also where it has characters of a pattern.
        return (
            not self.patterns
            or name in self.patterns
            or blob_name in self.patterns
            or any(
                _matches(pattern, blob_name if _is_of_blob_names(text) else name)
                for text, pattern in zip(self.patterns, self._parsed, strict=True)
            )
        )


_ANYTHING = Wanted()


async def select(
    job: JobOutputStorage,
    *,
    task: str | None = None,
    kind: str | Collection[str] | None = None,
    patterns: Sequence[str] = (),
    newer_than: datetime | None = None,
    older_than: datetime | None = None,
) -> AsyncIterator[OutputFileReference]:
    """The outputs of a job that are asked for, by blob name, page by page as they are asked for; see `Wanted`.

    Where a task is named only its outputs are listed, and where kinds are, too, only theirs.

    Raises:
        InvalidNameError: the task or a kind cannot be one.
        ContainerNotFoundError: nothing was ever prepared for this job.
    """
    kinds = frozenset([kind] if isinstance(kind, str) else kind or ())
    async for output in select_wanted(job, Wanted(task, kinds, tuple(patterns), newer_than, older_than)):
        yield output


async def select_wanted(job: JobOutputStorage, wanted: Wanted) -> AsyncIterator[OutputFileReference]:
    """As `select`, what is asked for as one value."""
    all_of_them = wanted.is_anything
    for outputs in _listings(job, wanted):
        async for output in outputs:
            if all_of_them or wanted.includes(output):
                yield output


Verdict: TypeAlias = Literal["wanted", "part", "unwanted"]


async def judge(output: OutputFileReference, wanted: Wanted) -> Verdict:
    """Whether an output that was asked for by its name is so by its age, too: a log is as new as its last part.

    `join_parts` or `refresh` has looked at all of it. `part`: it is a later part of a log that is there, and that was
    not asked for itself; where it was, the part comes with it and is not wanted by itself.
    """
    _, stored = inside(output)
    if not wanted.includes_time(stored.last_modified):
        return "unwanted"
    if not await goes_on_with_log(output):
        return "wanted"
    log = parse_blob_name(first_of(stored.first) or "")
    return "unwanted" if log is not None and wanted.includes_name(log.name, log.blob_name) else "part"


async def select_as_read(job: JobOutputStorage, wanted: Wanted) -> AsyncIterator[OutputFileReference]:
    """As `select_wanted`, but for the ages of logs in parts, see `judge`; these cost a request or two each.

    Raises:
        StoreError: what a log has of parts cannot be seen.
    """
    if wanted.newer_than is None and wanted.older_than is None:
        async for output in select_wanted(job, wanted):
            yield output
        return

    from batch_outputs.transfer import for_each  # a command that lists all needs no event loop

    async def judged(output: OutputFileReference) -> Verdict:
        try:
            await join_parts(output)
            return await judge(output, wanted)
        except (BlobNotFoundError, BlobChangedError):
            # It was deleted or begun anew just now, so it is new; what has become of it is said when it is fetched.
            return "wanted" if wanted.older_than is None else "unwanted"

    async for batch in in_batches(select_wanted(job, replace(wanted, newer_than=None))):
        for output, verdict in zip(batch, await for_each(batch, judged), strict=True):
            if isinstance(verdict, Exception):
                raise verdict
            if verdict != "unwanted":
                yield output


async def in_batches(outputs: AsyncIterator[OutputFileReference]) -> AsyncIterator[list[OutputFileReference]]:
    """Outputs to be looked at several at a time, in bounded memory."""
    batch: list[OutputFileReference] = []
    async for output in outputs:
        batch.append(output)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def find_jobs(account: OutputAccount, prefix: str = "") -> AsyncIterator[StoredJob]:
    """The jobs whose id, or whose container's name behind `job-`, begins with `prefix`, in capitals or not.

    By the name of their containers, page by page as they are asked for.

    Raises:
        AccessDeniedError: the credential may not list containers.
    """
    wanted = prefix.lower()
    # What the container of such a job begins with at least: its name may be shortened, and characters left out.
    known = re.match(r"[a-z0-9]{0,15}", wanted)
    async for job in account.list_jobs(known.group() if known else ""):
        if job.name.lower().startswith(wanted) or job.container.removeprefix(JOB_PREFIX).startswith(wanted):
            yield job


async def check_task_has_outputs(job: JobOutputStorage, task: str) -> None:
    """Tell an unknown task from one of which nothing was asked for that it has.

    Raises:
        BlobNotFoundError: nothing is stored of the task.
    """
    async for _ in job.task(task).list_kinds():
        return
    raise BlobNotFoundError(
        f"Nothing is stored of task {task} in {job.place}; check its id (capitals count), or list without --task.",
        place=job.place,
    )


def _listings(job: JobOutputStorage, wanted: Wanted) -> Iterator[AsyncIterator[OutputFileReference]]:
    """The shortest listings that hold all that is wanted."""
    if wanted.task is None:
        yield job.list_all_outputs()
    elif not wanted.kinds:
        yield job.task(wanted.task).list_outputs()
    else:
        for kind in sorted(wanted.kinds):
            yield job.task(wanted.task).list_outputs(kind)


def _is_of_blob_names(pattern: str) -> bool:
    """Whether a pattern is one of names as listings show them: a `$` folder is in it."""
    return pattern.startswith("$") or "/$" in pattern


def _matches(pattern: Pattern, name: str) -> bool:
    if pattern.is_literal:
        base = pattern.base.rstrip("/")
        return name == base or name.startswith(f"{base}/")
    return pattern.matches_name(name)
