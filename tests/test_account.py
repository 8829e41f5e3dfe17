"""Which jobs there are: all of an account, or the one of a container."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from batch_outputs import JobOutputStorage, OutputAccount
from batch_outputs.errors import AccessDeniedError, ConfigurationError, ContainerNotFoundError
from support.azurite import Azurite

pytestmark = pytest.mark.anyio


async def test_jobs_of_an_account(azurite: Azurite) -> None:
    """Each job's container is listed with the id that was kept with it, and those of others without one."""
    run = uuid.uuid4().hex[:8]
    async with OutputAccount.from_connection_string(azurite.connection_string) as account:
        for job_id in (f"{run}_A", f"{run}-b"):
            async with JobOutputStorage.from_connection_string(azurite.connection_string, job_id) as job:
                await job.create_container()
        azurite.service.create_container(f"job-{run}-net")
        azurite.service.create_container(f"other-{run}")
        found = {job.container: job async for job in account.list_jobs(run)}
        assert {job.job_id for job in found.values()} == {f"{run}_A", f"{run}-b", None}
        assert found[f"job-{run}-net"].name == f"{run}-net"
        assert all(job.last_modified for job in found.values())
        assert "http" not in account.place


async def test_the_way_to_outputs(tmp_path: Path) -> None:
    """A job is opened by its id or by its container, and a container is gone once it was deleted."""
    async with OutputAccount.from_account_url(tmp_path.as_uri()) as account:
        async with account.job("Render") as job:
            with pytest.raises(ContainerNotFoundError):
                await job.page_of_tasks()
        async with JobOutputStorage.from_account_url(tmp_path.as_uri(), "Render") as job:
            await job.create_container()
            await job.task("t1").save_text("TaskOutput", "x", "a")
        for opened in (account.job("Render"), account.container("job-render")):
            async with opened:
                assert [task async for task in opened.list_tasks()] == ["t1"]
        await account.delete_container("job-render")
        assert [job async for job in account.list_jobs()] == []
        with pytest.raises(ContainerNotFoundError, match="gone already"):
            await account.delete_container("job-render")


async def test_one_container(azurite: Azurite, url: str) -> None:
    """With access to one container its job is the only one, and others are refused before any request."""
    async with OutputAccount.from_env({"BATCH_OUTPUTS_CONTAINER_URL": url}) as account:
        name = account.only_container
        assert name is not None
        assert [(job.container, job.job_id, job.last_modified) async for job in account.list_jobs()] == [
            (name, None, None)
        ]
        async with account.container(name) as job:
            await job.task("t1").save_text("TaskOutput", "x", "a")
            assert (await job.page_of_tasks()).tasks == ("t1",)
        with pytest.raises(ConfigurationError, match="job-other"):
            account.container("job-other")


async def test_a_sas_of_one_container_deletes_none(azurite: Azurite) -> None:
    """Whoever may do everything inside a container cannot delete it, and is told so."""
    container = azurite.new_container()
    async with OutputAccount.from_env({"BATCH_OUTPUTS_CONTAINER_URL": f"{container.url}?{container.sas()}"}) as account:
        with pytest.raises(AccessDeniedError, match="account"):
            await account.delete_container(container.name)
        async with account.container(container.name) as job:
            assert (await job.page_of_tasks()).tasks == ()


async def test_a_job_of_another_container_is_refused(tmp_path: Path) -> None:
    """With access to one job, another is refused before any request."""
    url = f"{tmp_path.as_uri()}/job-mine"
    async with OutputAccount.from_env({"BATCH_OUTPUTS_CONTAINER_URL": url}) as account:
        with pytest.raises(ConfigurationError, match="job-other"):
            account.job("other")


async def test_pages_pass_over_what_is_no_output(tmp_path: Path) -> None:
    """Pages of tasks and outputs hold these only, whatever else lies in the container."""
    container = tmp_path / "job-x"
    for path in ("t1/$TaskOutput/a/b", "t1/$TaskOutput/c", "t1/$TaskLog/l", "t1/notes", "t2/x", "$JobOutput/j", "file"):
        (container / path).parent.mkdir(parents=True, exist_ok=True)
        (container / path).write_text("x")
    async with OutputAccount.from_account_url(tmp_path.as_uri()) as account, account.container("job-x") as job:
        assert (await job.page_of_tasks()).tasks == ("t1", "t2")
        assert (await job.page_of_tasks("t2")).tasks == ("t2",)
        assert (await job.page_of_tasks("t1/")).tasks == ()
        assert (await job.page_of_tasks("/x")).tasks == ()
        pages, after = [], None
        while True:
            page = await job.task("t1").page_of_outputs(after=after, limit=1)
            pages.append([output.name for output in page.outputs])
            after = page.after
            if after is None:
                break
        assert [name for names in pages for name in names] == ["l", "a/b", "c"]
        only = await job.task("t1").page_of_outputs("TaskOutput")
        assert [(output.name, output.part, output.is_log) for output in only.outputs] == [
            ("a/b", 1, False),
            ("c", 1, False),
        ]
        assert [output.name for output in (await job.page_of_outputs()).outputs] == ["j"]


async def test_a_range_of_an_output(tmp_path: Path) -> None:
    """Any range is read, and what lies past the end is nothing."""
    async with JobOutputStorage.from_account_url(tmp_path.as_uri(), "x") as job:
        await job.create_container()
        output = await job.save_text("JobOutput", "0123456789", "digits")
        for offset, length, expected in [(0, 3, b"012"), (4, 2, b"45"), (8, 9, b"89"), (10, 1, b""), (3, 0, b"")]:
            assert b"".join([chunk async for chunk in output.chunks(offset, length)]) == expected
        with pytest.raises(ValueError, match="negative"):
            _ = [chunk async for chunk in output.chunks(0, -1)]
