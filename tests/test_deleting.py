"""Deleting an output: a file alone, a log with all its parts, in an order that leaves no lie behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from batch_outputs import JobOutputStorage, OutputFileReference
from batch_outputs.clearing import Cleared, Clearing
from batch_outputs.errors import AccessDeniedError, BlobNotFoundError, StoreError
from batch_outputs.failures import MOST_FAILURES
from batch_outputs.log_parts import first_of
from batch_outputs.selection import Wanted
from batch_outputs.settings import container_target
from batch_outputs.stores import open_store
from batch_outputs.stores.base import BlobProperties, Store
from batch_outputs.transfer import for_each
from support import faults
from support.azurite import Container
from support.fault_proxy import FaultProxy
from support.faults import Exchange
from support.log_writer import LOG, LogWriter

pytestmark = pytest.mark.anyio

PARTS = [LOG, "t1/$TaskLog/log.part-2.txt", "t1/$TaskLog/log.part-3.txt"]
USERS = "t1/$TaskLog/log.part-4.txt"


async def names(store: Store) -> list[str]:
    return sorted([blob.name async for blob in store.list()])


async def write_log(store: Store, path: Path, *, parts: int = 3, blob: str = LOG, finish: bool = True) -> None:
    """A log in several parts, each but the first shorter than the one before."""
    writer = LogWriter(store, path, blob=blob)
    await writer.write(b"x" * 10 * parts)
    for number in range(1, parts):
        await writer.turn_page(b"y" * 10 * (parts - number))
    if finish:
        await writer.finish()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = open_store(container_target(url).location(None))
    yield store
    await store.aclose()


@pytest.fixture
async def job(url: str) -> AsyncIterator[JobOutputStorage]:
    async with JobOutputStorage.from_container_url(url) as storage:
        yield storage


def the_log(job: JobOutputStorage) -> OutputFileReference:
    return job.task("t1").get_output("TaskLog", "log.txt")


async def test_a_log_goes_with_its_parts(job: JobOutputStorage, store: Store, tmp_path: Path) -> None:
    """All parts of a log go with it, and a file that is only called like one stays."""
    await write_log(store, tmp_path / "log.txt")
    await store.put(USERS, b"a file")
    assert await names(store) == sorted([*PARTS, USERS])
    await the_log(job).delete()
    assert await names(store) == [USERS]
    with pytest.raises(BlobNotFoundError):
        await the_log(job).delete()


async def test_what_a_broken_delete_left_goes_by_the_next(job: JobOutputStorage, store: Store, tmp_path: Path) -> None:
    """Deleting a log whose first part is gone removes the parts that were left, and only those of one log."""
    await write_log(store, tmp_path / "log.txt")
    await write_log(store, tmp_path / "other.txt", parts=3, blob="t1/$TaskLog/other.txt")
    await store.delete(PARTS[0])
    await store.delete(PARTS[2])
    others = [name for name in await names(store) if "other" in name]
    await the_log(job).delete()
    assert await names(store) == others


@pytest.mark.parametrize("fails", [1, 2])
async def test_a_broken_delete(container: Container, fault_proxy: FaultProxy, tmp_path: Path, fails: int) -> None:
    """Broken off anywhere, a delete leaves nothing that claims to be a whole log, and can be done again."""
    url = fault_proxy.through(container.sas_url())
    store = open_store(container_target(url).location(None))
    await write_log(store, tmp_path / "log.txt")
    async with JobOutputStorage.from_container_url(url) as job:
        refused = fault_proxy.fault(faults.answer_before(409), on="delete", after=fails)
        with pytest.raises(StoreError):
            await the_log(job).delete()
        assert refused.fired
        assert await names(store) == sorted(PARTS[1 : 4 - fails])
        with pytest.raises(BlobNotFoundError):
            await the_log(job).refresh()
        await the_log(job).delete()
        assert await names(store) == []
    await store.aclose()


async def test_a_listed_file_needs_no_look(container: Container) -> None:
    """The right to delete is enough for a file that a listing gave."""
    container.client.upload_blob("t1/$TaskOutput/a", b"x")
    async with JobOutputStorage.from_container_url(container.sas_url("dl")) as job:
        (output,) = [output async for output in job.list_all_outputs()]
        await output.delete()
    assert not list(container.client.list_blobs())


@pytest.mark.parametrize(
    ("name", "part", "first"),
    [
        ("t1/$TaskLog/a.part-2.txt", 2, "t1/$TaskLog/a.txt"),
        ("t1/$TaskLog/a.part-12.txt", 12, "t1/$TaskLog/a.txt"),
        ("t1/$TaskLog/a.part-2", 2, "t1/$TaskLog/a"),
        ("t1/$TaskLog/.profile.part-2", 2, "t1/$TaskLog/.profile"),
        ("t1/$TaskLog/a.b/c.part-2", 2, "t1/$TaskLog/a.b/c"),
        ("t1/$TaskLog/a.part-2.part-3.txt", 3, "t1/$TaskLog/a.part-2.txt"),
        ("t1/$TaskLog/a.part-2.txt", 3, None),
        ("t1/$TaskLog/a.txt", 2, None),
        ("t1/$TaskLog/a.txt", 1, None),
    ],
)
def test_the_first_part_of_a_part(name: str, part: int, first: str | None) -> None:
    """The name of a log follows from that of its parts, if their number says the same, and never for a file."""
    blob = BlobProperties(
        name, 1, "etag", datetime.now(UTC), metadata={"log": "id", "part": str(part)}, blob_type="append"
    )
    assert first_of(blob) == first
    assert first_of(replace(blob, blob_type="block")) is None
    assert first_of(replace(blob, metadata={"part": str(part)})) is None


class TestMany:
    """`Clearing`, which deletes all that is asked for."""

    async def test_a_log_is_as_new_as_its_last_part(self, job: JobOutputStorage, store: Store, tmp_path: Path) -> None:
        """A log that was begun long ago and still grows in a later part is young, and is not deleted for its age."""
        await write_log(store, tmp_path / "log.txt", parts=1, finish=False)
        await anyio.sleep(1.1)  # the service tells whole seconds
        between = datetime.now(UTC).replace(microsecond=0)
        writer = LogWriter(store, tmp_path / "log.txt")
        await writer.open()
        await writer.turn_page(b"yy")
        before = await names(store)
        assert before == PARTS[1::-1]

        old = await clear(job, Wanted(older_than=between), growing=True)
        assert (old.files, await names(store)) == (0, before)
        young = await clear(job, Wanted(newer_than=between), growing=True)
        assert (young.files, young.size, await names(store)) == (1, 12, [])

    async def test_growing_logs_are_left(self, job: JobOutputStorage, store: Store, tmp_path: Path) -> None:
        """A log without its end that changed just now stays whole, and is counted and named, unless it is asked for."""
        await write_log(store, tmp_path / "log.txt", finish=False)
        await write_log(store, tmp_path / "done.txt", blob="t1/$TaskLog/done.txt")
        cleared = await clear(job, Wanted())
        assert (cleared.files, cleared.growing, cleared.growing_names) == (1, 1, [LOG])
        assert await names(store) == sorted(PARTS)
        assert (await clear(job, Wanted(), growing=True)).files == 1
        assert await names(store) == []

    async def test_a_part_goes_with_its_log_only(self, job: JobOutputStorage, store: Store, tmp_path: Path) -> None:
        """A later part that is named alone stays and is said; one whose log is gone is an output like any other."""
        await write_log(store, tmp_path / "log.txt")
        cleared = await clear(job, Wanted(patterns=("*.part-2.txt",)))
        assert (cleared.files, cleared.parts) == (0, 1)
        assert await names(store) == sorted(PARTS)
        await store.delete(LOG)
        cleared = await clear(job, Wanted(patterns=("*.part-2.txt",)))
        assert (cleared.files, cleared.parts) == (1, 0)
        assert await names(store) == PARTS[2:]

    async def test_many(self, job: JobOutputStorage, store: Store, tmp_path: Path) -> None:
        """Several batches go in one call, each log counted once, whatever else stands beside."""
        await write_log(store, tmp_path / "log.txt")
        await for_each(range(600), lambda number: store.put(f"t{number % 7}/$TaskOutput/{number}", b"xx"))
        await store.put("somebody's", b"")
        looked = Cleared()
        seen = [output async for output in Clearing(job, Wanted()).look(looked)]
        cleared = await clear(job, Wanted())
        assert (looked.failures_to_tell, cleared.failures_to_tell) == ([], [])
        assert (looked.files, looked.size) == (cleared.files, cleared.size) == (601, 1260)
        assert sum(output.size or 0 for output in seen) == 1260
        assert await names(store) == ["somebody's"]

    @pytest.mark.parametrize(("age", "left"), [(True, ["t1/$TaskOutput/a"]), (False, [])])
    async def test_what_is_replaced_meanwhile_is_judged_again(
        self, container: Container, fault_proxy: FaultProxy, age: bool, left: list[str]
    ) -> None:
        """An output that is replaced before its delete arrives goes only if it is still what was asked for."""
        container.client.upload_blob("t1/$TaskOutput/a", b"old")
        if age:
            await anyio.sleep(1.1)  # the service tells whole seconds
        between = datetime.now(UTC).replace(microsecond=0)

        async def replace_it(exchange: Exchange) -> None:
            await anyio.to_thread.run_sync(
                lambda: container.client.upload_blob("t1/$TaskOutput/a", b"new", overwrite=True)
            )
            await faults.pass_on(exchange)

        fault = fault_proxy.fault(replace_it, on="delete")
        async with JobOutputStorage.from_container_url(fault_proxy.through(container.sas_url())) as job:
            cleared = await clear(job, Wanted(older_than=between if age else None))
        assert fault.fired
        assert cleared.files == 1 - len(left)
        assert [blob.name for blob in container.client.list_blobs()] == left

    async def test_what_goes_meanwhile_is_no_failure(self, container: Container, fault_proxy: FaultProxy) -> None:
        """An output that somebody else deletes first is not counted, and nothing is said of it."""
        for name in ("a", "b"):
            container.client.upload_blob(f"t1/$TaskOutput/{name}", b"old")

        async def delete_it(exchange: Exchange) -> None:
            await exchange.forward()
            await faults.pass_on(exchange)

        fault = fault_proxy.fault(delete_it, on="delete")
        async with JobOutputStorage.from_container_url(fault_proxy.through(container.sas_url())) as job:
            cleared = await clear(job, Wanted())
        assert fault.fired
        assert (cleared.files, cleared.failures) == (1, [])
        assert not list(container.client.list_blobs())

    async def test_a_right_that_is_missing(self, container: Container) -> None:
        """Without the right to delete, nothing goes, the work ends with the first batch, and it is one error."""
        await put_many(container, 300)
        async with JobOutputStorage.from_container_url(container.sas_url("rl")) as job:
            cleared = await clear(job, Wanted())
        assert cleared.files == 0
        assert [type(failure) for failure in cleared.failures_to_tell] == [AccessDeniedError]
        assert len(cleared.failures) < 300

    async def test_too_much_fails(self, container: Container, fault_proxy: FaultProxy) -> None:
        """After a hundred failures the rest is left."""
        await put_many(container, 300)
        fault = fault_proxy.fault(faults.answer_before(409), on="delete", times=None)
        async with JobOutputStorage.from_container_url(fault_proxy.through(container.sas_url())) as job:
            cleared = await clear(job, Wanted())
        assert fault.fired
        assert MOST_FAILURES <= len(cleared.failures) < 300
        assert len(cleared.failures_to_tell) == MOST_FAILURES


async def put_many(container: Container, number: int) -> None:
    """Store so many empty files."""
    store = open_store(container.location())
    await for_each(range(number), lambda n: store.put(f"t1/$TaskOutput/{n}", b""))
    await store.aclose()


async def clear(job: JobOutputStorage, wanted: Wanted, *, growing: bool = False) -> Cleared:
    cleared = Cleared()
    await Clearing(job, wanted, growing=growing).delete(cleared)
    return cleared
