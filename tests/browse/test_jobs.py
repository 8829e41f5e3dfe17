"""The jobs of the page: open as long as somebody uses them, and not many more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batch_outputs import JobOutputStorage
from batch_outputs.account import OutputAccount
from batch_outputs.browse.jobs import Jobs

NAMES = ["job-a", "job-b", "job-c"]

pytestmark = pytest.mark.anyio


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Jobs]:
    """Three jobs, of which one is kept open that nobody uses."""
    for name in NAMES:
        async with JobOutputStorage.from_container_url((tmp_path / name).as_uri()) as job:
            await job.create_container()
    jobs = Jobs(OutputAccount.from_account_url(tmp_path.as_uri()), most_open=1)
    yield jobs
    await jobs.aclose()


async def test_what_is_used_stays_open(jobs: Jobs) -> None:
    """However many others are opened, a job stays open until the last who uses it has given it back."""
    first = jobs.borrow("job-a")
    assert jobs.borrow("job-a") is first
    for name in ("job-b", "job-c"):
        jobs.borrow(name)
        await jobs.give_back(name)
    await jobs.give_back("job-a")
    assert jobs.borrow("job-a") is first
    await jobs.give_back("job-a")
    await jobs.give_back("job-a")
    last = jobs.borrow("job-a")
    assert last is first, "it is the one that was used last"
    other = jobs.borrow("job-b")
    await jobs.give_back("job-a")
    await jobs.give_back("job-b")
    assert jobs.borrow("job-b") is other
    assert jobs.borrow("job-a") is not first
