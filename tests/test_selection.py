"""Outputs found by task, kind and name, as a person asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batch_outputs import JobOutputStorage
from batch_outputs.errors import BlobNotFoundError, ConfigurationError, ContainerNotFoundError
from batch_outputs.selection import check_task_has_outputs, find, select

pytestmark = pytest.mark.anyio

STORED = {
    ("t1", "TaskLog", "stdout.txt"),
    ("t1", "TaskOutput", "frames/1.png"),
    ("t1", "TaskOutput", "frames/deep/2.png"),
    ("t1", "TaskOutputRaw", "frames/1.png"),
    ("t10", "TaskOutput", "frames/1.png"),
    (None, "JobOutput", "summary.json"),
    (None, "JobOutput", "stdout.txt"),
}


@pytest.fixture
async def job(tmp_path: Path) -> AsyncIterator[JobOutputStorage]:
    async with JobOutputStorage.from_container_url((tmp_path / "job-x").as_uri()) as storage:
        await storage.create_container()
        for task, kind, name in STORED:
            owner = storage if task is None else storage.task(task)
            await owner.save_bytes(kind, b"x", name)
        yield storage


@pytest.mark.parametrize(
    ("task", "kind", "patterns", "expected"),
    [
        (None, None, [], 7),
        ("t1", None, [], 4),
        ("t1", "TaskOutput", [], 2),
        (None, "TaskOutput", [], 3),
        ("t1", "TaskOutput", ["frames"], 2),
        ("t1", "TaskOutput", ["frames/"], 2),
        ("t1", "TaskOutput", ["frames/1.png"], 1),
        ("t1", "TaskOutput", ["fram"], 0),
        ("t1", "TaskOutput", ["frames/*.png"], 1),
        (None, None, ["**/*.png"], 4),
        (None, None, ["*.json", "stdout.txt"], 3),
        (None, None, ["t1/$TaskLog/stdout.txt"], 1),
        (None, None, ["t1"], 0),
        ("nobody", None, [], 0),
    ],
)
async def test_select(
    job: JobOutputStorage, task: str | None, kind: str | None, patterns: list[str], expected: int
) -> None:
    """Task, kind and patterns each narrow the list; a kind or task never brings in one that begins alike."""
    found = [output async for output in select(job, task=task, kind=kind, patterns=patterns)]
    assert len(found) == expected
    assert all(output.size == 1 for output in found)
    assert task is None or {output.task_id for output in found} <= {task}


@pytest.mark.parametrize(
    ("task", "name", "blob"),
    [
        ("t1", "frames/deep/2.png", "t1/$TaskOutput/frames/deep/2.png"),
        ("t1", "TaskOutput/frames/1.png", "t1/$TaskOutput/frames/1.png"),
        ("t1", "TaskOutputRaw/frames/1.png", "t1/$TaskOutputRaw/frames/1.png"),
        ("t1", "TaskLog/stdout.txt", "t1/$TaskLog/stdout.txt"),
        ("t1", "JobOutput/stdout.txt", "$JobOutput/stdout.txt"),
        ("t1", "summary.json", "$JobOutput/summary.json"),
        (None, "summary.json", "$JobOutput/summary.json"),
        (None, "stdout.txt", "$JobOutput/stdout.txt"),
        (None, "t10/$TaskOutput/frames/1.png", "t10/$TaskOutput/frames/1.png"),
        ("t1", "$JobOutput/stdout.txt", "$JobOutput/stdout.txt"),
    ],
)
async def test_find(job: JobOutputStorage, task: str | None, name: str, blob: str) -> None:
    """A path, a kind and a path, or a whole blob name leads to the one output that it can mean."""
    found = await find(job, task, name)
    assert found.blob_name == blob
    assert found.size == 1


async def test_two_hits(job: JobOutputStorage) -> None:
    """A path that is found twice is refused with both, and with a way to name one."""
    with pytest.raises(ConfigurationError, match=r"frames/1\.png could be ") as caught:
        await find(job, "t1", "frames/1.png")
    assert "t1/$TaskOutput/frames/1.png" in str(caught.value)
    assert "t1/$TaskOutputRaw/frames/1.png" in str(caught.value)
    assert "as TaskOutput/frames/1.png." in str(caught.value)


async def test_no_hit(job: JobOutputStorage) -> None:
    """What is not there is named, with whose it would be and where to look."""
    with pytest.raises(BlobNotFoundError, match=r"no output missing.txt of task t1 in .*job-x; batch-outputs list"):
        await find(job, "t1", "missing.txt")
    with pytest.raises(BlobNotFoundError, match=r"no output missing\.txt of the job in"):
        await find(job, None, "missing.txt")


async def test_missing_container(tmp_path: Path) -> None:
    """A container that does not exist is told from an output that does not."""
    async with JobOutputStorage.from_container_url((tmp_path / "job-none").as_uri()) as job:
        with pytest.raises(ContainerNotFoundError):
            await find(job, "t1", "a.txt")
        with pytest.raises(ContainerNotFoundError):
            await anext(select(job))


async def test_unknown_task(job: JobOutputStorage) -> None:
    """A task of which nothing is stored is an error, one of which something is stored is not."""
    await check_task_has_outputs(job, "t1")
    with pytest.raises(BlobNotFoundError, match="Nothing is stored of task T1 in"):
        await check_task_has_outputs(job, "T1")
