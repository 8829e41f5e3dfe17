"""Reading what is stored: a log while it grows, exactly what was seen, and outputs by their whole names."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from batch_outputs import JobOutputStorage, TaskOutputKind, TaskOutputStorage
from batch_outputs.errors import BlobChangedError, BlobNotFoundError, InvalidNameError
from batch_outputs.marks import LogMarks
from batch_outputs.stored import look_up, read
from batch_outputs.stores.base import BlobProperties, Store, Written
from support import faults
from support.azurite import Azurite, Container
from support.fault_proxy import FaultProxy
from support.memory_store import MemoryAccount, MemoryStore

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
LOG = "t1/$TaskLog/log.txt"


@pytest.fixture
async def job(url: str) -> AsyncIterator[JobOutputStorage]:
    """The outputs of a job."""
    async with JobOutputStorage.from_container_url(url) as storage:
        yield storage


def digest(data: bytes) -> tuple[int, str]:
    """What is compared of long content: of that itself, pytest would look for the difference for hours."""
    return len(data), hashlib.sha256(data).hexdigest()


class GrowingLog:
    """A log that is appended to between the pieces that somebody reads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.text = b""
        self._written: Written | None = None

    async def begin(self, attempt: str = "a1") -> None:
        """Create it, in place of what may be there."""
        marks = LogMarks(attempt=attempt, log=attempt).metadata()
        replaces = None if self._written is None else self._written.etag
        self._written = await self.store.create_append(LOG, metadata=marks, replaces=replaces)
        self.text = b""

    async def append(self, data: bytes) -> None:
        """Add to it."""
        assert self._written is not None
        for begin in range(0, len(data), 4 * MIB):
            piece = data[begin : begin + 4 * MIB]
            self._written = await self.store.append(LOG, piece, offset=len(self.text), etag=self._written.etag)
            self.text += piece


@pytest.fixture
async def log(job: JobOutputStorage) -> GrowingLog:
    """A log of many requests' length, and not a whole number of them."""
    log = GrowingLog(job._container.store)
    await log.begin()
    await log.append(bytes(range(251)) * 40_000)
    return log


async def test_a_log_that_grows_while_it_is_read(job: JobOutputStorage, log: GrowingLog) -> None:
    """However often a log is appended to meanwhile, all that it had at the beginning is read, in order."""
    had = log.text
    data = b""
    async for piece in job.output_at(LOG).chunks():
        data += piece
        await log.append(b"more")
    assert len(data) >= len(had)
    assert digest(data) == digest(log.text[: len(data)])


async def test_a_part_of_a_log_that_grows(job: JobOutputStorage, log: GrowingLog) -> None:
    """A part is read to its length and no further; behind the end there is nothing."""
    data = b""
    async for piece in job.output_at(LOG).chunks(3 * MIB + 1, 5 * MIB):
        data += piece
        await log.append(b"more")
    assert digest(data) == digest(log.text[3 * MIB + 1 : 8 * MIB + 1])
    assert [piece async for piece in job.output_at(LOG).chunks(len(log.text))] == []
    assert [piece async for piece in job.output_at(LOG).chunks(10, 0)] == []


async def test_a_log_that_grows_over_a_connection_that_breaks(
    azurite: Azurite, container: Container, fault_proxy: FaultProxy
) -> None:
    """An answer that breaks before an append is gone on with behind it, and nothing is there twice."""
    async with (
        TaskOutputStorage.from_container_url(container.sas_url(), "t1") as direct,
        TaskOutputStorage.from_container_url(fault_proxy.through(container.sas_url()), "t1") as task,
    ):
        log = GrowingLog(direct._container.store)
        await log.begin()
        await log.append(bytes(range(251)) * 40_000)
        fault_proxy.fault(faults.half_answer, on="read")
        data = b""
        async for piece in task.get_output("TaskLog", "log.txt").chunks():
            data += piece
            await log.append(b"more")
        assert digest(data) == digest(log.text[: len(data)])
        assert len(data) >= 251 * 40_000


class HastyLog(MemoryStore):
    """A store in which a log grows, and goes on in a second part, while it is looked at for the first time."""

    then: Callable[[], Awaitable[object]] | None = None

    async def properties(self, name: str) -> BlobProperties:
        found = await super().properties(name)
        then, self.then = self.then, None
        if then is not None:
            await then()
        return found


@pytest.fixture
async def hasty() -> HastyLog:
    """Such a store, with a log of 3 bytes."""
    store = HastyLog(MemoryAccount("job-x"), "job-x")
    written = await store.create_append(LOG, metadata=LogMarks(attempt="a", log="l").metadata())
    await store.append(LOG, b"one", offset=0, etag=written.etag)
    return store


async def test_a_part_that_ends_while_it_is_looked_at(hasty: HastyLog) -> None:
    """Of a log that goes on in a part meanwhile nothing is left out between the two."""

    async def go_on() -> None:
        found = await hasty.properties(LOG)
        await hasty.append(LOG, b"two", offset=3, etag=found.etag)
        await hasty.set_metadata(LOG, LogMarks(attempt="a", log="l", length=6).metadata())
        name = "t1/$TaskLog/log.part-2.txt"
        written = await hasty.create_append(name, metadata=LogMarks(attempt="a", log="l", part=2).metadata())
        await hasty.append(name, b"three", offset=0, etag=written.etag)

    hasty.then = go_on
    stored = await look_up(hasty, LOG)
    assert stored.size == 11
    assert b"".join([piece async for piece in read(hasty, stored)]) == b"onetwothree"


async def test_a_log_that_is_replaced_while_it_is_looked_at(hasty: HastyLog) -> None:
    """No part of one log is joined to another that has taken its place meanwhile."""
    old = "t1/$TaskLog/log.part-2.txt"
    written = await hasty.create_append(old, metadata=LogMarks(attempt="a", log="l", part=2).metadata())
    await hasty.append(old, b"of the old one", offset=0, etag=written.etag)

    async def replace() -> None:
        found = await hasty.properties(LOG)
        marks = LogMarks(attempt="b", log="m").metadata()
        written = await hasty.create_append(LOG, metadata=marks, replaces=found.etag)
        await hasty.append(LOG, b"new", offset=0, etag=written.etag)

    hasty.then = replace
    stored = await look_up(hasty, LOG)
    assert b"".join([piece async for piece in read(hasty, stored)]) == b"new"


async def test_exactly_what_was_seen_of_a_log(job: JobOutputStorage, log: GrowingLog) -> None:
    """Of a log what was seen, and no more; that it was begun anew is raised at the end at the latest."""
    output = await job.output_at(LOG).refresh()
    had = log.text
    await log.append(b"more")
    assert digest(b"".join([piece async for piece in output.chunks(exactly=True)])) == digest(had)
    await log.begin("a2")
    await log.append(b"x" * len(had))
    with pytest.raises(BlobChangedError):
        [piece async for piece in output.chunks(exactly=True)]


async def test_exactly_what_was_seen_of_a_file(job: JobOutputStorage) -> None:
    """A file that was replaced since it was looked at is not read in its place; the ETag tells the two apart."""
    task = job.task("t1")
    await task.save_bytes(TaskOutputKind.TASK_OUTPUT, b"first", "a")
    output = task.get_output("TaskOutput", "a")
    assert output.etag is None
    assert [piece async for piece in output.chunks(exactly=True)] == [b"first"]
    etag = output.etag
    assert etag
    await output.refresh()
    assert output.etag == etag
    await task.save_bytes(TaskOutputKind.TASK_OUTPUT, b"other", "a")
    with pytest.raises(BlobChangedError):
        [piece async for piece in output.chunks(exactly=True)]
    await output.refresh()
    assert output.etag != etag
    assert [piece async for piece in output.chunks(exactly=True)] == [b"other"]


async def test_an_output_at_its_whole_name(job: JobOutputStorage) -> None:
    """A whole name leads to the blob of exactly that name, also where a name of ours would be read otherwise."""
    store = job._container.store
    await store.put("t1/$TaskOutput/b", b"another")
    for name in ("t1/$TaskOutput/a/../b", "t1/$TaskOutput/./b", "$JobOutput/x"):
        await store.put(name, name.encode())
        output = job.output_at(name)
        assert await output.read_bytes() == name.encode()
        assert output.blob_name == name
    with pytest.raises(BlobNotFoundError):
        await job.output_at("t1/$TaskOutput/c").refresh()
    for name in ("", "t1", "t1/a", "t1/TaskOutput/a", "t1/$TaskOutput/", "$x/y/" + "z" * 1030, "/$TaskOutput/a"):
        with pytest.raises(InvalidNameError):
            job.output_at(name)
