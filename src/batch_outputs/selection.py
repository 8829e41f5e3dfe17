"""Finding outputs of a job by task, kind and name, as a person at a desk asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from batch_outputs.errors import BlobNotFoundError, ConfigurationError
from batch_outputs.kinds import JobOutputKind, TaskOutputKind
from batch_outputs.names import parse_blob_name
from batch_outputs.outputs import OutputFileReference
from batch_outputs.patterns import Pattern
from batch_outputs.storage import JobOutputStorage
from batch_outputs.transfer import for_each

_TASK_KINDS = ("TaskLog", "TaskOutput", "TaskPreview", "TaskIntermediate")
_JOB_KINDS = ("JobOutput", "JobPreview")


async def select(
    job: JobOutputStorage, *, task: str | None = None, kind: str | None = None, patterns: Sequence[str] = ()
) -> AsyncIterator[OutputFileReference]:
    """The outputs of a job, of all tasks or one, of all kinds or one, whose name matches one of the patterns if given.

    Patterns follow the rules of `patterns`; a plain path means itself, or all that lies below it. A whole blob name
    means that blob.
    """
    parsed = [Pattern.parse(text) for text in patterns]
    references = job.list_all_outputs() if task is None else job.task(task).list_outputs(kind)
    async for reference in references:
        if kind is not None and reference.kind != kind:
            continue
        # A name as a listing shows it means itself, also where it has characters of a pattern.
        literal = reference.name in patterns or reference.blob_name in patterns
        if not parsed or literal or any(_matches(pattern, reference.name) for pattern in parsed):
            yield reference


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
