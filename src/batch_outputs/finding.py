"""The one output of a job that a name means, as a person at a desk types it."""

from __future__ import annotations

from dataclasses import dataclass, field

from batch_outputs.errors import AccessDeniedError, BlobNotFoundError, ConfigurationError, InvalidNameError
from batch_outputs.names import parse_blob_name
from batch_outputs.output_storage import OutputStorage
from batch_outputs.outputs import OutputFileReference
from batch_outputs.storage import JobOutputStorage
from batch_outputs.transfer import for_each

_TASK_KINDS = ("TaskLog", "TaskOutput", "TaskPreview", "TaskIntermediate")
_JOB_KINDS = ("JobOutput", "JobPreview")


async def find(job: JobOutputStorage, task: str | None, name: str) -> OutputFileReference:
    """The one output that `name` means: a path, a kind and a path with `/` between, or a whole blob name.

    A path alone is looked for among the task's logs, outputs and other kinds, and among the job's own outputs.

    Raises:
        BlobNotFoundError: there is none.
        InvalidNameError: no output can be called so.
        ConfigurationError: there are several; the message lists them.
        AccessDeniedError: it is not there under a usual kind, and whether there are others may not be listed.
    """
    candidates = await _candidates(job, task, name)
    looked_at = await for_each(candidates.outputs, OutputFileReference.refresh)
    found: list[OutputFileReference] = []
    for result in looked_at:
        if isinstance(result, OutputFileReference):
            found.append(result)
        elif not isinstance(result, BlobNotFoundError):
            raise result
    if len(found) > 1:
        names = " and ".join(reference.blob_name for reference in found)
        raise ConfigurationError(f"{name} could be {names}; write the kind before it, as {found[0].kind}/{name}.")
    if found:
        return found[0]
    if (refused := candidates.refused) is not None:
        sentence = f"{str(refused).rstrip('.')}, or write the kind before the name, as TaskLog/{name}."
        raise AccessDeniedError(sentence, place=job.place, code=refused.code)
    owner = f"task {task}" if task is not None else "the job"
    if task is None and not says_whose(name):
        what_to_do = "no task is named, so add --task ID, or see what there is with batch-outputs list"
    else:
        what_to_do = "batch-outputs list shows what there is"
    raise BlobNotFoundError(f"There is no output {name} of {owner} in {job.place}; {what_to_do}.", place=job.place)


def says_whose(name: str) -> bool:
    """Whether a name says by itself whose output it is: a whole blob name, or one with a kind of the job before it."""
    return parse_blob_name(name) is not None or name.partition("/")[0] in _JOB_KINDS


@dataclass(slots=True)
class _Candidates:
    """What a name could mean; `refused` is the answer where other kinds of the task may not be listed."""

    outputs: list[OutputFileReference] = field(default_factory=list)
    refused: AccessDeniedError | None = None


async def _candidates(job: JobOutputStorage, task: str | None, name: str) -> _Candidates:
    if parse_blob_name(name) is not None:
        return _Candidates([job.output_at(name)])
    kind, slash, path = name.partition("/")
    if path and task is not None and kind in _TASK_KINDS:
        return _Candidates([job.task(task).get_output(kind, path)])
    candidates = _Candidates()
    asked: list[tuple[OutputStorage, str, str]] = [(job, kind, name) for kind in _JOB_KINDS]
    if slash and path:
        asked.append((job, kind, path))
    if task is not None:
        outputs = job.task(task)
        kinds = dict.fromkeys(_TASK_KINDS)
        try:
            kinds |= dict.fromkeys([kind async for kind in outputs.list_kinds()])
        except AccessDeniedError as error:
            candidates.refused = error
        asked += [(outputs, kind, name) for kind in kinds]
        if slash and path:
            asked.append((outputs, kind, path))
    invalid: InvalidNameError | None = None
    for owner, kind, path in asked:
        try:
            candidates.outputs.append(owner.get_output(kind, path))
        except InvalidNameError as error:  # `a//b` is a name, and has no kind `a` before it
            invalid = invalid or error
    if invalid is not None and not candidates.outputs:
        raise invalid
    return candidates
