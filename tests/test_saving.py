"""A save meets a log of its name: the log stays as it is, or goes with all its parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch_outputs import JobOutputStorage
from batch_outputs.errors import WrongBlobTypeError
from batch_outputs.settings import container_target
from batch_outputs.stores import open_store
from batch_outputs.stores.base import Store
from support.log_writer import LOG, LogWriter

pytestmark = pytest.mark.anyio

SECOND = "t1/$TaskLog/log.part-2.txt"
USERS = "t1/$TaskLog/log.part-3.txt"


async def names(store: Store) -> list[str]:
    return sorted([blob.name async for blob in store.list()])


async def test_a_save_replaces_a_log_with_all_its_parts(tmp_path: Path) -> None:
    """Nothing of a log that was replaced claims to go on with it; a file that is only called like a part stays."""
    tmp_path.joinpath("job-x").mkdir()
    url = tmp_path.joinpath("job-x").as_uri()
    store = open_store(container_target(url).location(None))
    writer = LogWriter(store, tmp_path / "log.txt", blob=LOG)
    await writer.write(b"the first part\n")
    await writer.turn_page(b"the second\n")
    await writer.finish()
    await store.put(USERS, b"a user's own")
    assert await names(store) == sorted([LOG, SECOND, USERS])
    async with JobOutputStorage.from_container_url(url) as job:
        task = job.task("t1")
        with pytest.raises(WrongBlobTypeError, match="replace_log=True"):
            await task.save_text("TaskLog", "anew", "log.txt")
        assert await names(store) == sorted([LOG, SECOND, USERS])
        await task.save_text("TaskLog", "anew", "log.txt", replace_log=True)
        assert await task.get_output("TaskLog", "log.txt").read_bytes() == b"anew"
    assert await names(store) == sorted([LOG, USERS])
