"""A log is followed as it grows: all of it, in order, once, until its end, whatever happens meanwhile."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from batch_outputs import OutputFileReference, TaskOutputKind, TaskOutputStorage, sync
from batch_outputs.errors import BlobChangedError, BlobNotFoundError, StoreUnavailableError
from batch_outputs.following import Following
from batch_outputs.location import StoreLocation
from batch_outputs.names import beside
from batch_outputs.stores import open_store
from batch_outputs.stores.base import Store
from support import faults
from support.azurite import Container
from support.fault_proxy import FaultProxy
from support.faulty_store import FaultyStore, Plan
from support.growing import PATIENCE, lines, until
from support.http1 import Operation
from support.log_writer import LOG, LogWriter
from support.memory_store import MemoryAccount, MemoryStore
from support.simulated_clock import run_now

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
OFTEN = 0.01


class Reader:
    """Somebody who follows a log in the background; `data` is what has come."""

    def __init__(self, output: OutputFileReference, offset: int = 0, **options: Any) -> None:
        self.output = output
        self.data = bytearray()
        self.outages: list[StoreUnavailableError] = []
        self.recoveries = 0
        self.ended = False
        self.failure: Exception | None = None
        self._offset = offset
        self._options = options

    async def read(self) -> None:
        """Follow to the end."""
        try:
            with anyio.fail_after(PATIENCE):
                await self._read()
        except (BlobChangedError, BlobNotFoundError) as error:
            self.failure = error
        self.ended = True

    async def _read(self) -> None:
        options = {"interval": OFTEN, **self._options}
        pieces = self.output.follow(self._offset, **options, on_outage=self.outages.append, on_recovery=self._recovered)
        async for piece in pieces:
            assert 0 < len(piece) <= 4 * MIB
            self.data += piece

    async def has(self, text: bytes) -> None:
        """Wait until so much has come, and see that it is this."""
        await until(lambda: len(self.data) >= len(text) or self.ended)
        assert self.data == text

    async def comes_to_an_end(self) -> None:
        """Wait for the end."""
        await until(lambda: self.ended)

    def _recovered(self) -> None:
        self.recoveries += 1


@pytest.fixture
def memory() -> MemoryStore:
    """A store in memory, whose blobs take few blocks."""
    return MemoryAccount("job-x", block_limit=12).open("job-x")


@pytest.fixture
async def task(url: str) -> AsyncIterator[TaskOutputStorage]:
    """The outputs of a task."""
    async with TaskOutputStorage.from_container_url(url, "t1") as storage:
        yield storage


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[StoreLocation], Store]]:
    """Opens stores."""
    async with AsyncExitStack() as stack:

        def open_it(location: StoreLocation) -> Store:
            store = open_store(location)
            stack.push_async_callback(store.aclose)
            return store

        yield open_it


@pytest.fixture
def writer(task: TaskOutputStorage, opened: Callable[[StoreLocation], Store], tmp_path: Path) -> LogWriter:
    """A writer of the task's log."""
    return LogWriter(opened(task._container.location), tmp_path / "log.txt")


@pytest.fixture
def direct(container: Container, opened: Callable[[StoreLocation], Store], tmp_path: Path) -> LogWriter:
    """A writer of a log on a blob service, past the fault proxy."""
    return LogWriter(opened(container.location()), tmp_path / "log.txt")


@pytest.fixture
async def faulty(
    container: Container, fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OutputFileReference]:
    """The log on a blob service behind the fault proxy, of which each request is sent once."""
    monkeypatch.setenv("BATCH_OUTPUTS_RETRY_SECONDS", "0")
    async with TaskOutputStorage.from_container_url(fault_proxy.through(container.sas_url()), "t1") as storage:
        yield log_of(storage)


def log_of(task: TaskOutputStorage) -> OutputFileReference:
    return task.get_output("TaskLog", "log.txt")


def reference(store: Store) -> OutputFileReference:
    return OutputFileReference(store, "t1", TaskOutputKind.TASK_LOG, "log.txt")


async def whole(output: OutputFileReference, offset: int = 0) -> bytes:
    with anyio.fail_after(PATIENCE):
        return b"".join([piece async for piece in output.follow(offset, interval=0)])


class TestToTheEnd:
    async def test_a_tracked_save(self, task: TaskOutputStorage, tmp_path: Path) -> None:
        """What a tracked save stores comes as it is stored, across a truncation, until the log is complete."""
        path = tmp_path / "growing.txt"
        path.write_bytes(b"")
        async with anyio.create_task_group() as group:
            async with task.save_tracked("TaskLog", path, "log.txt") as tracked:
                await tracked.flush()
                reader = Reader(log_of(task))
                group.start_soon(reader.read)
                expected = b""
                for n in range(3):
                    with path.open("ab") as file:
                        file.write(lines(100, f"page {n}"))
                    expected += lines(100, f"page {n}")
                    await tracked.flush()
                    await reader.has(expected)
                path.write_bytes(b"a new page\n")
                await tracked.flush()
                await reader.has(expected + b"a new page\n")
                with path.open("ab") as file:
                    file.write(b"the last line")
                assert not reader.ended
            await reader.comes_to_an_end()
        assert reader.data == expected + b"a new page\nthe last line"
        assert (reader.failure, reader.outages) == (None, [])
        assert reader.output.complete
        assert reader.output.size == len(reader.data)

    @pytest.mark.parametrize("form", range(8))
    async def test_a_writer_between_any_two_requests(
        self, memory: MemoryStore, tmp_path: Path, seed: int, form: int
    ) -> None:
        """Whatever a writer does between which two requests, all bytes have come when the end is seen."""
        chance = random.Random(seed + form)  # noqa: S311 - a repeatable choice
        for history in range(25):
            name = f"t1/$TaskLog/{history}.txt"
            story = Story(memory, tmp_path / f"{history}.txt", name, chance)
            store = FaultyStore(memory)
            store.on_request = story.go_on
            output = OutputFileReference(store, "t1", TaskOutputKind.TASK_LOG, f"{history}.txt")
            assert await whole(output) == story.writer.text, f"history {history}: {story.told}"
            assert output.complete
            assert output.size == len(story.writer.text)

    @pytest.mark.parametrize("does", ["goes on", "ends", "goes on and ends"])
    async def test_a_finished_part_that_is_gone_on_with(self, memory: MemoryStore, tmp_path: Path, does: str) -> None:
        """What a later attempt adds to a log that looked finished, just before its end is looked for, comes too."""
        first = LogWriter(memory, tmp_path / "log.txt")
        await first.write(b"first part\n")
        await first.turn_page(b"second\n")
        await first.finish_last_part_only(complete=True)
        second = LogWriter(memory, tmp_path / "log.txt", text=first.text)
        steps = {
            "goes on": [second.write(b"more\n"), second.turn_page(b"3rd\n")],
            "ends": [second.write(b"more\n"), second.finish()],
            "goes on and ends": [second.open(), second.turn_page(b"3rd\n"), second.finish()],
        }
        # The first part is looked at, the second, the first again, in vain the third; then the first for the end.
        looks = 3 if does == "goes on" else 4
        store = FaultyStore(memory)
        store.plans += [Plan("properties")] * looks + [Plan("properties", before=run_steps(*steps.pop(does)))]
        for others in steps.values():
            for step in others:
                step.close()
        reader = Reader(reference(store))
        async with anyio.create_task_group() as group:
            group.start_soon(reader.read)
            await until(lambda: store.plans == [])
            if does == "goes on":
                await second.finish()
        assert reader.data == second.text
        assert reader.failure is None

    async def test_offsets(self, memory: MemoryStore, tmp_path: Path) -> None:
        """Following begins at any byte, also in a later part; from behind the end nothing comes."""
        writer = LogWriter(memory, tmp_path / "log.txt")
        await writer.write(b"0123456789")
        await writer.turn_page(b"abc")
        await writer.turn_page(b"")
        await writer.turn_page(b"xy")
        await writer.finish()
        for offset in range(18):
            assert await whole(reference(memory), offset) == b"0123456789abcxy"[offset:]
        with pytest.raises(ValueError, match="negative"):
            await whole(reference(memory), -1)

    async def test_an_offset_that_is_still_to_come(self, memory: MemoryStore, tmp_path: Path) -> None:
        """From behind the end of a growing log, what is before the offset is left out when it comes."""
        writer = LogWriter(memory, tmp_path / "log.txt")
        await writer.write(b"0123")
        reader = Reader(reference(memory), 8)
        async with anyio.create_task_group() as group:
            group.start_soon(reader.read)
            await writer.write(b"4567")
            await writer.turn_page(b"8")
            await reader.has(b"8")
            await writer.finish()
        assert reader.data == b"8"

    async def test_a_file(self, task: TaskOutputStorage) -> None:
        """A file that is no log is read to its end."""
        content = bytes(range(256)) * 40_000
        await task.save_bytes("TaskLog", content, "log.txt")
        assert await whole(log_of(task)) == content
        assert await whole(log_of(task), 10_000_000) == content[10_000_000:]

    async def test_one_part_by_its_name(self, memory: MemoryStore, tmp_path: Path) -> None:
        """A later part that is asked for by its own name is followed by itself."""
        writer = LogWriter(memory, tmp_path / "log.txt")
        await writer.write(b"first part")
        await writer.turn_page(b"second")
        await writer.turn_page(b"3rd")
        output = OutputFileReference(memory, "t1", TaskOutputKind.TASK_LOG, "log.part-2.txt")
        assert await whole(output) == b"second"

    async def test_a_log_of_somebody_else(self, task: TaskOutputStorage, writer: LogWriter) -> None:
        """An append blob that knows no marks is followed until the caller stops."""
        store = writer._chain._store
        written = await store.create_append(LOG)
        written = await store.append(LOG, b"one", offset=0, etag=written.etag)
        async with aclosing(log_of(task).follow(interval=OFTEN)) as pieces:  # type: ignore[type-var]
            assert await anext(pieces) == b"one"
            await store.append(LOG, b"two", offset=3, etag=written.etag)
            assert await anext(pieces) == b"two"
            with pytest.raises(TimeoutError), anyio.fail_after(10 * OFTEN):
                await anext(pieces)

    def test_blocking(self, url: str, tmp_path: Path) -> None:
        """The blocking face follows, too, and can stop before the end."""
        path = tmp_path / "growing.txt"
        path.write_bytes(b"line\n")
        with sync.TaskOutputStorage.from_container_url(url, "t1") as task:
            with task.save_tracked("TaskLog", path, "log.txt") as tracked:
                tracked.flush()
                pieces = task.get_output("TaskLog", "log.txt").follow(interval=OFTEN)
                assert next(pieces) == b"line\n"
            assert list(pieces) == []
            output = task.get_output("TaskLog", "log.txt")
            assert next(output.follow(2)) == b"ne\n"
            assert output.tail_offset(0) == 5


class Story:
    """A writer that goes on by a step or two whenever the reader asks for something."""

    def __init__(self, store: Store, path: Path, blob: str, chance: random.Random) -> None:
        self.writer = LogWriter(store, path, blob=blob)
        self.told: list[str] = []
        self._store = store
        self._path = path
        self._blob = blob
        self._chance = chance
        self._left = chance.randrange(1, 15)
        run_now(self.writer.open())

    def go_on(self) -> None:
        """The next steps."""
        for _ in range(self._chance.choice((0, 0, 1, 1, 2, 4))):
            if self._left >= 0:
                run_now(self._step())

    async def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            self.told.append("finish")
            await self.writer.finish()
            return
        what = self._chance.choice(("write", "write", "write", "turn page", "attempt"))
        size = self._path.stat().st_size if self._path.exists() else 0
        if what == "turn page" and size > 1:
            await self.writer.turn_page(b"p" * self._chance.randrange(1, size))
        elif what == "attempt" and size > 0:  # which goes on with the log, as the file is the same
            self.writer = LogWriter(self._store, self._path, text=self.writer.text, blob=self._blob)
            await self.writer.open()
        else:
            what = "write"
            await self.writer.write(self._chance.randbytes(self._chance.randrange(1, 30)))
        self.told.append(what)


class TestWhatItCosts:
    async def test_while_nothing_comes(
        self, faulty: OutputFileReference, fault_proxy: FaultProxy, direct: LogWriter
    ) -> None:
        """A quiet log costs one look at the part that is written to per interval; no byte is read twice."""
        await direct.write(b"0123456789")
        reader = Reader(faulty)
        async with anyio.create_task_group() as group:
            group.start_soon(reader.read)
            for part, blob in enumerate([LOG, beside(LOG, "part-2")]):
                await reader.has(direct.text)
                fault_proxy.requests.clear()
                await until(lambda: len(fault_proxy.requests) >= 50)
                quiet = fault_proxy.requests[:50]
                assert {request.operation for request in quiet} == {"properties"}
                assert sum(request.blob == blob for request in quiet) >= 44
                if part == 0:
                    await direct.turn_page(b"abc")
            fault_proxy.requests.clear()
            await direct.write(b"de")
            await reader.has(direct.text)
            read = [request for request in fault_proxy.requests if request.operation == "read"]
            assert [(request.blob, request.header("x-ms-range")) for request in read] == [
                (beside(LOG, "part-2"), "bytes=3-4")
            ]
            await direct.finish()
        assert reader.data == direct.text

    async def test_a_complete_log(
        self, faulty: OutputFileReference, fault_proxy: FaultProxy, direct: LogWriter
    ) -> None:
        """A log of one blob that is complete costs a look and a reading."""
        await direct.write(b"line\n")
        await direct.finish()
        assert await whole(faulty) == b"line\n"
        assert [request.operation for request in fault_proxy.requests] == ["properties", "read"]


FAULTS = {
    "cut before": faults.cut_before,
    "cut after": faults.cut_after,
    "half an answer": faults.half_answer,
    "busy": faults.answer_before(503),
    "failed": faults.answer_after(500),
    "a sign-in page": faults.answer_before(200, html=True),
}
CUTS = (faults.cut_before, faults.cut_after)


class TestOutages:
    @pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
    async def test_lost_answers(
        self, faulty: OutputFileReference, fault_proxy: FaultProxy, direct: LogWriter, fault: faults.Action
    ) -> None:
        """Requests that fail are made again; each outage is told once, and nothing is missing or there twice."""
        await direct.write(os.urandom(3 * MIB))
        on: tuple[Operation, ...] = ("read",) if fault is faults.half_answer else ("properties", "read")
        asked = [fault_proxy.fault(fault, on=operation, after=1) for operation in on]
        reader = Reader(faulty)
        async with anyio.create_task_group() as group:
            group.start_soon(reader.read)
            await reader.has(direct.text)
            await direct.turn_page(b"another part\n")
            await reader.has(direct.text)
            await direct.write(b"more\n")
            await reader.has(direct.text)
            await direct.finish()
        assert reader.data == direct.text
        assert [one.fired for one in asked] == [1] * len(asked)
        # A connection that breaks before there is any answer is often made anew before anybody hears of it.
        assert (fault not in CUTS) <= len(reader.outages) == reader.recoveries <= len(asked)
        assert all(isinstance(error, StoreUnavailableError) for error in reader.outages)

    async def test_a_service_that_is_away(
        self, faulty: OutputFileReference, fault_proxy: FaultProxy, direct: LogWriter
    ) -> None:
        """While the service is away nothing comes, which is told once; then all that was written meanwhile does."""
        await direct.write(b"before\n")
        reader = Reader(faulty)
        async with anyio.create_task_group() as group:
            group.start_soon(reader.read)
            await reader.has(direct.text)
            with fault_proxy.down():
                await until(lambda: bool(reader.outages))
                await direct.write(b"meanwhile\n")
                await direct.turn_page(b"in another part\n")
                await direct.finish()
                assert reader.data == b"before\n"
        assert reader.data == direct.text
        assert (len(reader.outages), reader.recoveries) == (1, 1)
        assert "sig=" not in str(reader.outages)

    async def test_silence(
        self, container: Container, fault_proxy: FaultProxy, direct: LogWriter, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A connection that is dead without a word is noticed within seconds, and another one is made."""
        await direct.write(b"before\n")
        url = fault_proxy.through(container.sas_url())
        async with TaskOutputStorage.from_container_url(url, "t1") as storage:
            pieces = Following(storage._container.store, LOG, 0, interval=OFTEN, patience=1.0).pieces()
            assert await anext(pieces) == b"before\n"
            silent = fault_proxy.fault(faults.hang)
            await direct.write(b"after\n")
            with caplog.at_level(logging.WARNING), anyio.fail_after(30):  # it would be a minute
                assert await anext(pieces) == b"after\n"
            await direct.finish()
            assert [piece async for piece in pieces] == []
        assert silent.fired == 1
        assert caplog.messages
        assert all("no usable answer for 1 s" in warning for warning in caplog.messages)  # a busy machine adds to them

    async def test_appends_that_come_faster_than_looks(self, memory: MemoryStore, tmp_path: Path) -> None:
        """A log that has always changed between look and reading is read all the same."""
        writer = LogWriter(memory, tmp_path / "log.txt")
        await writer.write(b"0")
        store = FaultyStore(memory)
        for n in range(8):
            steps = run_steps(writer.write(b"%d\n" % n), writer.turn_page(b"p") if n == 5 else None)
            store.plans.append(Plan("read", before=steps))
        store.plans.append(Plan("read", before=run_steps(writer.finish())))
        output = reference(store)
        assert await whole(output) == writer.text
        assert store.plans == []


class TestAnotherLog:
    async def test_begun_anew(self, task: TaskOutputStorage, writer: LogWriter, tmp_path: Path) -> None:
        """Another attempt's log under the name ends the following with an error, and none of its bytes come."""
        await writer.write(b"of the first attempt\n")
        reader = Reader(log_of(task))
        async with anyio.create_task_group() as group:
            group.start_soon(reader.read)
            await reader.has(writer.text)
            path = tmp_path / "second.txt"
            path.write_bytes(lines(100, "of the second attempt"))
            async with task.save_tracked("TaskLog", path, "log.txt"):
                pass
            await reader.comes_to_an_end()
        assert reader.data == writer.text
        assert isinstance(reader.failure, BlobChangedError)
        assert reader.failure.blob == LOG
        assert "another log by now" in str(reader.failure)
        assert await whole(log_of(task)) == path.read_bytes()

    async def test_between_look_and_reading(self, memory: MemoryStore, tmp_path: Path) -> None:
        """A log that takes the place of another just before it is read does not slip in."""
        await LogWriter(memory, tmp_path / "1.txt").write(b"of the first attempt\n")
        second = LogWriter(memory, tmp_path / "2.txt")
        store = FaultyStore(memory)
        store.plans.append(Plan("read", before=run_steps(second.write(b"of the second attempt, which is longer\n"))))
        reader = Reader(reference(store))
        await reader.read()
        assert (bytes(reader.data), type(reader.failure)) == (b"", BlobChangedError)

    async def test_while_a_later_part_is_followed(self, memory: MemoryStore, tmp_path: Path) -> None:
        """The part that was written to stays as it is when the log is begun anew, and yet that is noticed."""
        first = LogWriter(memory, tmp_path / "1.txt")
        await first.write(b"of the first attempt\n")
        await first.turn_page(b"its second part\n")
        store = FaultyStore(memory)
        reader = Reader(reference(store))
        async with anyio.create_task_group() as group:
            group.start_soon(reader.read)
            await reader.has(first.text)
            looks = store.requests["properties"]
            await LogWriter(memory, tmp_path / "2.txt").write(b"of the second attempt\n")
            await reader.comes_to_an_end()
        assert reader.data == first.text
        assert isinstance(reader.failure, BlobChangedError)
        assert store.requests["properties"] - looks <= 5

    async def test_a_part_that_an_earlier_log_has_left(self, memory: MemoryStore, tmp_path: Path) -> None:
        """The later part of an earlier attempt's log is none of this one, though it has the name of its next."""
        first = LogWriter(memory, tmp_path / "1.txt")
        await first.write(b"of the first attempt\n")
        await first.turn_page(b"its second part\n")
        second = LogWriter(memory, tmp_path / "2.txt")
        await second.write(b"of the second attempt\n")
        await second.finish_last_part_only(complete=False)
        store = FaultyStore(memory)
        reader = Reader(reference(store))
        async with anyio.create_task_group() as group:
            group.start_soon(reader.read)
            await until(lambda: store.requests["properties"] >= 10)
            await second.turn_page(b"and its part\n")
            await second.finish()
        assert reader.data == second.text

    async def test_after_its_end_was_looked_for(self, memory: MemoryStore, tmp_path: Path) -> None:
        """An offset is one of the log in which it was found."""
        await LogWriter(memory, tmp_path / "1.txt").write(b"one\ntwo\n")
        output = reference(memory)
        offset = await output.tail_offset(1)
        assert offset == 4
        await LogWriter(memory, tmp_path / "2.txt").write(b"of the second attempt\n")
        with pytest.raises(BlobChangedError):
            await whole(output, offset)

    @pytest.mark.parametrize("part", [LOG, beside(LOG, "part-2")])
    async def test_deleted(self, memory: MemoryStore, tmp_path: Path, part: str) -> None:
        """A log that is deleted meanwhile, or one of its parts, gives an error that names it."""
        writer = LogWriter(memory, tmp_path / "log.txt")
        await writer.write(b"first part\n")
        await writer.turn_page(b"second\n")
        reader = Reader(reference(memory), interval=0.005)
        async with anyio.create_task_group() as group:
            group.start_soon(reader.read)
            await reader.has(writer.text)
            await memory.delete(part)
            await reader.comes_to_an_end()
        assert isinstance(reader.failure, BlobNotFoundError)
        assert reader.failure.blob == part
        assert "was deleted" in str(reader.failure)

    async def test_a_part_that_is_missing(self, memory: MemoryStore, tmp_path: Path) -> None:
        """A complete log without one of its parts is not taken for whole."""
        writer = LogWriter(memory, tmp_path / "log.txt")
        await writer.write(b"first part\n")
        await writer.turn_page(b"second\n")
        await writer.turn_page(b"third\n")
        await writer.finish()
        await memory.delete(beside(LOG, "part-2"))
        reader = Reader(reference(memory))
        await reader.read()
        assert reader.data == b"first part\n"
        assert isinstance(reader.failure, BlobNotFoundError)

    async def test_never_there(self, task: TaskOutputStorage) -> None:
        """What does not exist is not waited for."""
        with pytest.raises(BlobNotFoundError):
            await whole(log_of(task))

    async def test_somebody_elses_that_became_shorter(self, memory: MemoryStore) -> None:
        """An append blob without marks that has become shorter is another one."""
        written = await memory.create_append(LOG)
        await memory.append(LOG, b"0123", offset=0, etag=written.etag)
        reader = Reader(reference(memory))
        async with anyio.create_task_group() as group:
            group.start_soon(reader.read)
            await reader.has(b"0123")
            there = await memory.properties(LOG)
            await memory.create_append(LOG, replaces=there.etag)
            await reader.comes_to_an_end()
        assert isinstance(reader.failure, BlobChangedError)
        assert "shorter" in str(reader.failure)

    async def test_a_file_that_is_replaced(self, memory: MemoryStore) -> None:
        """A file that is replaced before it is read gives an error instead of a mixture."""
        await memory.put(LOG, b"one file")
        store = FaultyStore(memory)
        store.plans.append(Plan("read", before=run_steps(memory.put(LOG, b"another file"))))
        reader = Reader(reference(store))
        await reader.read()
        assert (bytes(reader.data), type(reader.failure)) == (b"", BlobChangedError)


class TestLastLines:
    CONTENTS = (
        b"",
        b"\n",
        b"\n\n\n",
        b"one line\n",
        b"no end of line",
        b"a\nb\nc\n",
        b"a\n\nc",
        lines(40_000),
        b"x" * 200_000 + b"\nend",
        b"a\n" + b"x" * 65_535 + b"\n" + b"y" * 65_535 + b"\n",
    )

    @pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
    async def test_table(self, memory: MemoryStore, tmp_path: Path, content: bytes) -> None:
        """The last lines are those that Python finds, of a file and of a log in parts."""
        await memory.put("t1/$TaskLog/file.txt", content)
        writer = LogWriter(memory, tmp_path / "log.txt")
        cut = 2 * len(content) // 3
        await writer.write(content[:cut])
        if content[cut:]:
            await writer.turn_page(content[cut:])
        for name in ("file.txt", "log.txt"):
            output = OutputFileReference(memory, "t1", TaskOutputKind.TASK_LOG, name)
            for count in (0, 1, 2, 3, 10, 39_999, 50_000):
                expected = b"".join(content.splitlines(keepends=True)[-count:] if count else [])
                assert content[await output.tail_offset(count) :] == expected
            with pytest.raises(ValueError, match="negative"):
                await output.tail_offset(-1)

    async def test_reads_no_more_than_it_needs(
        self, faulty: OutputFileReference, container: Container, fault_proxy: FaultProxy
    ) -> None:
        """The end of a large log is found with a few small ranges; one long line is read in pieces."""
        container.client.upload_blob(LOG, lines(20_000) + b"x" * 9 * MIB + b"\n" + lines(100_000))
        assert await faulty.tail_offset(10) > 9 * MIB
        [request] = (request for request in fault_proxy.requests if request.operation == "read")
        assert asked_for(request.header("x-ms-range")) == 64 * 1024
        fault_proxy.requests.clear()
        await faulty.tail_offset(100_001)
        asked = [asked_for(r.header("x-ms-range")) for r in fault_proxy.requests if r.operation == "read"]
        assert max(asked) == 4 * MIB
        assert len(asked) == 8


def asked_for(header: str | None) -> int:
    """How many bytes a range has."""
    assert header is not None
    first, _, last = header.removeprefix("bytes=").partition("-")
    return int(last) - int(first) + 1


def run_steps(*steps: Coroutine[Any, Any, object] | None) -> Callable[[], None]:
    """What does these steps on a store in memory at once."""

    def run() -> None:
        for step in steps:
            if step is not None:
                run_now(step)

    return run
