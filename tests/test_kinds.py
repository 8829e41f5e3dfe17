"""Kinds are text: the conventions' own, and any other that can be a folder's name."""

from __future__ import annotations

import copy
import pickle

import pytest

from batch_outputs import JobOutputKind, TaskOutputKind
from batch_outputs.errors import BatchOutputsError, InvalidNameError
from batch_outputs.kinds import OutputKind


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (TaskOutputKind.TASK_OUTPUT, "TaskOutput"),
        (TaskOutputKind.TASK_PREVIEW, "TaskPreview"),
        (TaskOutputKind.TASK_LOG, "TaskLog"),
        (TaskOutputKind.TASK_INTERMEDIATE, "TaskIntermediate"),
        (JobOutputKind.JOB_OUTPUT, "JobOutput"),
        (JobOutputKind.JOB_PREVIEW, "JobPreview"),
        (TaskOutputKind("Thumbnails"), "Thumbnails"),
    ],
)
def test_is_its_text(kind: OutputKind, text: str) -> None:
    """A kind equals, hashes and formats as its text; its repr says which sort of kind it is."""
    assert kind == text
    found: dict[str, int] = {kind: 1}
    assert found[text] == 1
    assert f"{kind}" == str(kind) == text
    assert repr(kind) == f"{type(kind).__name__}({text!r})"


def test_case_matters() -> None:
    """Kinds are case-sensitive, as blob names are."""
    assert TaskOutputKind("tasklog") != TaskOutputKind.TASK_LOG


@pytest.mark.parametrize("kind", [TaskOutputKind.TASK_LOG, JobOutputKind("Custom")])
def test_survives_copying(kind: OutputKind) -> None:
    """A kind can be sent to another process and stays of its sort."""
    for again in (copy.deepcopy(kind), pickle.loads(pickle.dumps(kind))):  # noqa: S301 - our own bytes
        assert again == kind
        assert type(again) is type(kind)


@pytest.mark.parametrize("text", ["$x", " ", "ü", "a b", ".", "..", "a:b"])
def test_any_other_text_is_a_custom_kind(text: str) -> None:
    """Behind the `$` nearly everything can stand."""
    for kind in (TaskOutputKind(text), JobOutputKind(text)):
        assert kind == text


@pytest.mark.parametrize("text", ["", "a/b", "a\\b", "a\0", "a\n", "\x1b[1m", "\x7f", "\x85", "a\udcff"])
@pytest.mark.parametrize("sort", [TaskOutputKind, JobOutputKind])
def test_refuses_what_is_no_folder(sort: type[OutputKind], text: str) -> None:
    """Nothing, a slash, a control character or what is not Unicode is refused, and named."""
    with pytest.raises(InvalidNameError) as refused:
        sort(text)
    assert refused.value.name == text
    assert isinstance(refused.value, BatchOutputsError | ValueError)
    str(refused.value).encode()
