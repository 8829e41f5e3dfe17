"""What an output is: the kinds of the Batch File Conventions, and custom ones.

A kind is the `$…` folder of a blob name. Kinds are case-sensitive text, so `TaskOutputKind("Thumbnails")` is a custom
kind and `TaskOutputKind.TASK_LOG == "TaskLog"`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import ClassVar, Self

from batch_outputs.errors import InvalidNameError

_NOT_IN_A_FOLDER = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@lru_cache(maxsize=4096)  # a listing has the same few again and again
def can_be_folder(text: str) -> bool:
    """Whether the text can be one folder of a blob name: not empty, with no slash, backslash or control character."""
    return text != "" and _NOT_IN_A_FOLDER.search(text) is None


class OutputKind(str):
    """A kind of output; use `TaskOutputKind` or `JobOutputKind`.

    Raises:
        InvalidNameError: the text is empty or holds `/`, `\\`, a control character or what is not Unicode.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check the text and make it a kind."""
        if not text:
            raise InvalidNameError("An output kind is empty; name one, such as TaskOutput.", name=text)
        if not can_be_folder(text):
            raise InvalidNameError(
                f"The output kind {text!r} holds a slash, a backslash or a control character; leave it out.",
                name=text,
            )
        return super().__new__(cls, text)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class TaskOutputKind(OutputKind):
    """A kind of output that belongs to one task."""

    __slots__ = ()

    TASK_OUTPUT: ClassVar[TaskOutputKind]
    """The files the task was run for; the portal's "Saved output files"."""
    TASK_PREVIEW: ClassVar[TaskOutputKind]
    """Small or early views of the output, such as a low-resolution frame."""
    TASK_LOG: ClassVar[TaskOutputKind]
    """Logs; the portal's "Saved logs"."""
    TASK_INTERMEDIATE: ClassVar[TaskOutputKind]
    """Files that help to understand or restart a task but are not its result."""


TaskOutputKind.TASK_OUTPUT = TaskOutputKind("TaskOutput")
TaskOutputKind.TASK_PREVIEW = TaskOutputKind("TaskPreview")
TaskOutputKind.TASK_LOG = TaskOutputKind("TaskLog")
TaskOutputKind.TASK_INTERMEDIATE = TaskOutputKind("TaskIntermediate")


class JobOutputKind(OutputKind):
    """A kind of output that belongs to the job as a whole."""

    __slots__ = ()

    JOB_OUTPUT: ClassVar[JobOutputKind]
    """The result of the whole job, such as what a merge task made."""
    JOB_PREVIEW: ClassVar[JobOutputKind]
    """A small or early view of the job's result."""


JobOutputKind.JOB_OUTPUT = JobOutputKind("JobOutput")
JobOutputKind.JOB_PREVIEW = JobOutputKind("JobPreview")


def kind_named(text: str) -> OutputKind:
    """The kind that a text alone means: `JobOutput` and `JobPreview` are the job's, any other is a task's.

    Raises:
        InvalidNameError: the text cannot be a kind.
    """
    if text in {JobOutputKind.JOB_OUTPUT, JobOutputKind.JOB_PREVIEW}:
        return JobOutputKind(text)
    return TaskOutputKind(text)
