"""The one output that a name means, as a person types it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batch_outputs import JobOutputStorage
from batch_outputs.errors import (
    AccessDeniedError,
    BlobNotFoundError,
    ConfigurationError,
    ContainerNotFoundError,
    InvalidNameError,
)
from batch_outputs.finding import find
from support.azurite import Container
from support.small_job import small_job

pytestmark = pytest.mark.anyio


@pytest.fixture
async def job(tmp_path: Path) -> AsyncIterator[JobOutputStorage]:
    async with small_job(tmp_path) as storage:
        yield storage


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
    with pytest.raises(
        BlobNotFoundError, match=r"no output missing\.txt of the job in .*no task is named, so add --task"
    ):
        await find(job, None, "missing.txt")
    for name in ("JobOutput/missing.txt", "t1/$TaskLog/missing.txt"):
        with pytest.raises(BlobNotFoundError, match=r"in .*job-x; batch-outputs list shows what there is\."):
            await find(job, None, name)


async def test_names_that_no_kind_stands_before(container: Container) -> None:
    """A path with an empty folder in it is one all the same; and a whole name is taken as it stands."""
    names = ["t1/$TaskOutput/a//b", "t1/$TaskOutput/c/", "t1/$TaskOutput/d/./e"]
    async with JobOutputStorage.from_container_url(container.sas_url()) as job:
        for name in names:
            await job._container.store.put(name, name.encode())
        assert (await find(job, "t1", "a//b")).blob_name == names[0]
        for name in names:
            assert await (await find(job, None, name)).read_bytes() == name.encode()
        with pytest.raises(InvalidNameError, match="begins with a slash"):
            await find(job, "t1", "/a")


async def test_kinds_that_may_not_be_listed(container: Container) -> None:
    """With the right to read alone, what is of a usual kind is found by its path; of another, the way to it is said."""
    for name in ("t1/$TaskLog/log.txt", "t1/$Own/x"):
        container.client.upload_blob(name, b"x")
    async with JobOutputStorage.from_container_url(container.sas_url("r")) as job:
        assert (await find(job, "t1", "log.txt")).blob_name == "t1/$TaskLog/log.txt"
        assert (await find(job, "t1", "Own/x")).blob_name == "t1/$Own/x"
        with pytest.raises(
            AccessDeniedError, match=r"get one with 'l', or write the kind before the name, as TaskLog/x\."
        ):
            await find(job, "t1", "x")


async def test_missing_container(tmp_path: Path) -> None:
    """A container that does not exist is told from an output that does not."""
    async with JobOutputStorage.from_container_url((tmp_path / "job-none").as_uri()) as job:
        with pytest.raises(ContainerNotFoundError):
            await find(job, "t1", "a.txt")
