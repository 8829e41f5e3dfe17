"""Outputs chosen by task, kind and name, as a person asks for them."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from batch_outputs import JobOutputStorage
from batch_outputs.account import OutputAccount
from batch_outputs.errors import BlobNotFoundError, ContainerNotFoundError, InvalidNameError
from batch_outputs.selection import check_task_has_outputs, find_jobs, select
from support.azurite import Container
from support.fault_proxy import FaultProxy
from support.faults import Exchange, pass_on
from support.small_job import small_job

pytestmark = pytest.mark.anyio


@pytest.fixture
async def job(tmp_path: Path) -> AsyncIterator[JobOutputStorage]:
    async with small_job(tmp_path) as storage:
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
        (None, None, ["t1/$TaskOutput"], 2),
        (None, None, ["t1/$TaskOutput/"], 2),
        (None, None, ["t1/$TaskOut"], 0),
        (None, None, ["t1/$TaskOutput/frames/*.png", "$JobOutput/*.json"], 2),
        (None, None, ["*/$TaskOutput/frames/1.png"], 2),
        (None, None, ["$JobOutput"], 2),
        (None, None, ["*/$TaskO*/**"], 4),
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
    ("task", "kinds", "expected"),
    [
        (None, ["TaskLog", "JobOutput"], 3),
        ("t1", ["TaskOutput", "TaskLog"], 3),
        ("t1", ["JobOutput"], 0),
        ("t1", [], 4),
    ],
)
async def test_several_kinds(job: JobOutputStorage, task: str | None, kinds: list[str], expected: int) -> None:
    """Of several kinds those outputs are given that are of any of them, in the order of their names."""
    found = [output.blob_name async for output in select(job, task=task, kind=kinds)]
    assert len(found) == expected
    assert found == sorted(found)


@pytest.mark.parametrize("task", [None, "t1"])
async def test_a_kind_that_cannot_be_one(job: JobOutputStorage, task: str | None) -> None:
    """A kind that nothing can have is refused, and not silently found nowhere."""
    with pytest.raises(InvalidNameError, match="a/b"):
        await anext(select(job, task=task, kind="a/b"))


async def test_ages(job: JobOutputStorage, tmp_path: Path) -> None:
    """`newer_than` is from that moment on and `older_than` before it, so that every output is one or the other."""
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    files = sorted(path for path in (tmp_path / "job-x").rglob("*") if "$" in str(path) and path.is_file())
    for hours, path in enumerate(files):
        os.utime(path, times=((noon + timedelta(hours=hours)).timestamp(),) * 2)
    third = noon + timedelta(hours=2)
    newer = [output.blob_name async for output in select(job, newer_than=third)]
    older = [output.blob_name async for output in select(job, older_than=third)]
    assert (len(newer), len(older)) == (5, 2)
    assert sorted(newer + older) == [output.blob_name async for output in select(job)]
    between = select(job, newer_than=third, older_than=third + timedelta(seconds=1), patterns=["**"])
    assert len([output async for output in between]) == 1


async def test_only_what_is_asked_for_is_listed(container: Container, fault_proxy: FaultProxy) -> None:
    """With a task and a kind only their folder is listed, however many others there are."""
    for name in ("t1/$TaskLog/a", "t1/$TaskOutput/a", "t2/$TaskLog/a"):
        container.client.upload_blob(name, b"x")
    asked: list[str] = []

    async def note(exchange: Exchange) -> None:
        asked.append(parse_qs(urlsplit(exchange.request.target).query).get("prefix", [""])[0])
        await pass_on(exchange)

    fault_proxy.fault(note, on="list", times=None)
    async with JobOutputStorage.from_container_url(fault_proxy.through(container.sas_url())) as job:
        (found,) = [output async for output in select(job, task="t1", kind="TaskLog")]
    assert found.blob_name == "t1/$TaskLog/a"
    assert asked == ["t1/$TaskLog/"]


@pytest.mark.parametrize("kind", [None, "TaskOutput"])
async def test_it_comes_as_it_is_asked_for(tmp_path: Path, kind: str | None) -> None:
    """What comes first is given before the rest is looked at, also where all tasks are asked for one kind."""
    folders = [tmp_path / "job-x" / task / "$TaskOutput" for task in ("t1", "t2", "t3")]
    for folder in folders:
        folder.mkdir(parents=True)
        for number in range(200):
            (folder / f"{number}").touch()
    async with JobOutputStorage.from_container_url((tmp_path / "job-x").as_uri()) as job:
        found = select(job, kind=kind)
        assert (await anext(found)).task_id == "t1"
        shutil.rmtree(folders[2])
        assert len([output async for output in found]) == 399


JOBS = ["Render_2026", "render-2026", "render-a-job-with-a-long-id_x", "other", "_odd"]


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("", sorted(JOBS)),
        ("render", ["Render_2026", "render-2026", "render-a-job-with-a-long-id_x"]),
        ("RENDER_", ["Render_2026"]),
        ("render-", ["Render_2026", "render-2026", "render-a-job-with-a-long-id_x"]),
        ("render-a-job-with-a-long-id", ["render-a-job-with-a-long-id_x"]),
        ("_", ["_odd"]),
        ("nobody", []),
    ],
)
async def test_find_jobs(tmp_path: Path, prefix: str, found: list[str]) -> None:
    """A prefix is that of an id in capitals or not, or of a container's name, also where that is shortened."""
    account = tmp_path.as_uri()
    for job_id in JOBS:
        async with JobOutputStorage.from_account_url(account, job_id) as job:
            await job.create_container()
    async with OutputAccount.from_account_url(account) as jobs:
        assert sorted([job.name async for job in find_jobs(jobs, prefix)]) == found


async def test_missing_container(tmp_path: Path) -> None:
    """A container that does not exist is told from one in which there is nothing."""
    async with JobOutputStorage.from_container_url((tmp_path / "job-none").as_uri()) as job:
        with pytest.raises(ContainerNotFoundError):
            await anext(select(job))


async def test_unknown_task(job: JobOutputStorage) -> None:
    """A task of which nothing is stored is an error, one of which something is stored is not."""
    await check_task_has_outputs(job, "t1")
    with pytest.raises(BlobNotFoundError, match="Nothing is stored of task T1 in"):
        await check_task_has_outputs(job, "T1")
