"""How far an output has come, by what a listing tells of it."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch_outputs import JobOutputStorage
from batch_outputs.output_state import GROWS_WITHIN, state_of
from batch_outputs.settings import container_target
from batch_outputs.stores import open_store
from batch_outputs.stores.base import Store
from support.log_writer import LogWriter

pytestmark = pytest.mark.anyio

OLD = GROWS_WITHIN + timedelta(seconds=1)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = open_store(container_target(url).location(None))
    yield store
    await store.aclose()


async def states(url: str, now: datetime) -> dict[str, tuple[str, int | None]]:
    """The state and the part of each output, by its file's name."""
    async with JobOutputStorage.from_container_url(url) as job:
        return {output.name: (state_of(output, now), output.part) async for output in job.list_all_outputs()}


async def test_states(url: str, store: Store, tmp_path: Path) -> None:
    """A log is growing for ten minutes after its last change, then partial, and complete once its end is marked."""
    writer = LogWriter(store, tmp_path / "log.txt")
    await writer.write(b"a log\n")
    await store.put("t1/$TaskOutput/file", b"")
    now = datetime.now(UTC)
    file = {"file": ("complete", 1)}
    assert await states(url, now) == file | {"log.txt": ("growing", 1)}
    assert await states(url, now + OLD) == file | {"log.txt": ("partial", 1)}
    await writer.turn_page(b"new\n")
    assert await states(url, now) == file | {"log.txt": ("growing", 1), "log.part-2.txt": ("growing", 2)}
    assert await states(url, now + OLD) == file | {"log.txt": ("continued", 1), "log.part-2.txt": ("partial", 2)}
    await writer.finish()
    assert await states(url, now + OLD) == file | {"log.txt": ("complete", 1), "log.part-2.txt": ("complete", 2)}


async def test_the_state_of_a_log_as_a_whole(tmp_path: Path) -> None:
    """A log that was looked up with its parts is growing while the last of them is, however old the first."""
    url = (tmp_path / "job-x").as_uri()
    async with JobOutputStorage.from_container_url(url) as job:
        await job.create_container()
        store = open_store(container_target(url).location(None))
        writer = LogWriter(store, tmp_path / "log.txt")
        await writer.write(b"a log\n")
        await writer.turn_page(b"new\n")
        old = time.time() - OLD.total_seconds()
        os.utime(tmp_path / "job-x/t1/$TaskLog/log.txt", times=(old, old))
        log = await job.task("t1").get_output("TaskLog", "log.txt").refresh()
        assert state_of(log, datetime.now(UTC)) == "growing"
        assert state_of(log, datetime.now(UTC) + OLD) == "partial"
