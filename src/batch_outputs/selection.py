"""Finding outputs of a job by task, kind, age and name, and jobs by name, as a person at a desk asks for them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from batch_outputs.account import JOB_PREFIX, OutputAccount, StoredJob
from batch_outputs.errors import BlobNotFoundError, ConfigurationError
from batch_outputs.kinds import JobOutputKind, TaskOutputKind, kind_named
from batch_outputs.names import parse_blob_name
from batch_outputs.outputs import OutputFileReference
from batch_outputs.patterns import Pattern
from batch_outputs.storage import JobOutputStorage
from batch_outputs.transfer import for_each

_TASK_KINDS = ("TaskLog", "TaskOutput", "TaskPreview", "TaskIntermediate")
_JOB_KINDS = ("JobOutput", "JobPreview")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for of a job; an output has to meet all of it.

    `task`: of this task; None: of all tasks and of the job itself. `kinds`: of one of these; none: of any kind.
    `patterns`: its name matches one, by the rules of `patterns`; a plain path means itself, or all that lies below it,
    and a whole blob name means that blob; none: any name. `newer_than`: changed then or later, `older_than`: before.

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
            or any(_matches(pattern, name) for pattern in self._parsed)
        )


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
    for outputs in _listings(job, wanted):
        async for output in outputs:
            if wanted.includes(output):
                yield output


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


async def find(job: JobOutputStorage, task: str | None, name: str) -> OutputFileReference:
    """The one output that `name` means: a path, a kind and a path with `/` between, or a whole blob name.

    A path alone is looked for among the task's logs, outputs and other kinds, and among the job's own outputs.

    Raises:
        BlobNotFoundError: there is none.
        ConfigurationError: there are several; the message lists them.
    """
    looked_at = await for_each(await _candidates(job, task, name), OutputFileReference.refresh)
    found: list[OutputFileReference] = []
    for result in looked_at:
        if isinstance(result, OutputFileReference):
            found.append(result)
        elif not isinstance(result, BlobNotFoundError):
            raise result
    if not found:
        owner = f"task {task}" if task is not None else "the job"
        raise BlobNotFoundError(
            f"There is no output {name} of {owner} in {job.place}; batch-outputs list shows what there is.",
            place=job.place,
        )
    if len(found) > 1:
        names = " and ".join(reference.blob_name for reference in found)
        raise ConfigurationError(f"{name} could be {names}; write the kind before it, as {found[0].kind}/{name}.")
    return found[0]


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


async def _candidates(job: JobOutputStorage, task: str | None, name: str) -> list[OutputFileReference]:
    """What the name could mean."""
    if (whole := parse_blob_name(name)) is not None:
        owner = job if whole.task_id is None else job.task(whole.task_id)
        return [owner.get_output(whole.kind, whole.name)]
    kind, slash, path = name.partition("/")
    if path and task is not None and kind in _TASK_KINDS:
        return [job.task(task).get_output(kind, path)]
    candidates = [job.get_output(kind, name) for kind in _JOB_KINDS]
    if slash and path:
        candidates.append(job.get_output(JobOutputKind(kind), path))
    if task is not None:
        outputs = job.task(task)
        kinds = dict.fromkeys([*_TASK_KINDS, *[kind async for kind in outputs.list_kinds()]])
        candidates += [outputs.get_output(kind, name) for kind in kinds]
        if slash and path:
            candidates.append(outputs.get_output(TaskOutputKind(kind), path))
    return candidates


def _matches(pattern: Pattern, name: str) -> bool:
    if pattern.is_literal:
        base = pattern.base.rstrip("/")
        return name == base or name.startswith(f"{base}/")
    return pattern.matches_name(name)
