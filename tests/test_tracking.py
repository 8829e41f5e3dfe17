"""A tracked save keeps a growing file stored: exactly, while it grows, whatever the task's own code does."""

# ruff: noqa: PT012 - leaving the block of a tracked save is what raises, so the block stands in pytest.raises
# ruff: noqa: ASYNC240 - the tests' own files are small, and nothing else waits for the event loop

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO

import anyio
import pytest

from batch_outputs import TaskOutputStorage, TrackedSave
from batch_outputs.errors import (
    AccessDeniedError,
    BlobNotFoundError,
    ContainerNotFoundError,
    LogLostError,
    LogNotSavedError,
    SourceError,
    StoreError,
    StoreUnavailableError,
)
from batch_outputs.log_thread import LogThread
from batch_outputs.marks import LogMarks
from batch_outputs.stores import open_store
from batch_outputs.stores.base import Store
from batch_outputs.tracking import TrackingError
from support import faults
from support.azurite import Azurite, Container
from support.fault_proxy import FaultProxy
from support.growing import lines
from support.http1 import Operation
from support.in_time import in_time

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
PATIENCE = 60.0


@pytest.fixture
async def task(url: str) -> AsyncIterator[TaskOutputStorage]:
    """The outputs of a task."""
    async with TaskOutputStorage.from_container_url(url, "t1") as storage:
        yield storage


@pytest.fixture
async def faulty(container: Container, fault_proxy: FaultProxy) -> AsyncIterator[TaskOutputStorage]:
    """The outputs of a task, on a blob service behind the fault proxy that keeps Azure's rules."""
    fault_proxy.azure_rules(container.azurite.reading_sas)
    async with TaskOutputStorage.from_container_url(fault_proxy.through(container.sas_url()), "t1") as storage:
        yield storage


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A file to follow, not there yet."""
    return tmp_path / "wd-log.txt"


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Nothing outlives the block: the log thread ends with the last tracked save."""
    yield
    deadline = time.monotonic() + PATIENCE
    while names := [thread.name for thread in threading.enumerate() if thread.name == "batch-outputs-logs"]:
        assert time.monotonic() < deadline, names
        time.sleep(0.01)
    assert LogThread._current is None


async def until(condition: Callable[[], Awaitable[bool]] | Callable[[], bool]) -> None:
    """Return once the condition holds."""
    with anyio.fail_after(PATIENCE):
        while True:
            found = condition()
            if await found if not isinstance(found, bool) else found:
                return
            await anyio.sleep(0.02)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


async def stored(task: TaskOutputStorage, name: str = "log.txt") -> bytes:
    return await task.get_output("TaskLog", name).read_bytes()


async def names(task: TaskOutputStorage) -> list[str]:
    return [output.name async for output in task.list_outputs("TaskLog")]


async def marks(task: TaskOutputStorage, name: str = "log.txt") -> LogMarks:
    """What the log's metadata says."""
    store: Store = open_store(task._container.location)
    try:
        return LogMarks.from_metadata((await store.properties(f"t1/$TaskLog/{name}")).metadata)
    finally:
        await store.aclose()


class TestWhileItGrows:
    async def test_flush(self, task: TaskOutputStorage, log: Path) -> None:
        """After `flush` all that was written before is stored; before it nothing need be."""
        log.write_bytes(b"one\n")
        async with task.save_tracked("TaskLog", log, "log.txt") as tracked:
            await tracked.flush()
            assert await stored(task) == b"one\n"
            assert tracked.bytes_saved == 4
            append(log, b"two\n")
            await tracked.flush()
            assert await stored(task) == b"one\ntwo\n"
            await tracked.flush()  # nothing new
            assert tracked.bytes_saved == 8
            assert tracked.output.size == 8
            assert tracked.output.complete is False
            assert tracked.output.blob_name == "t1/$TaskLog/log.txt"
            append(log, b"three\n")
        assert await stored(task) == log.read_bytes()
        assert tracked.bytes_saved == 14

    async def test_while_the_event_loop_is_blocked(self, task: TaskOutputStorage, log: Path, url: str) -> None:
        """Task code that sleeps in its event loop for seconds does not stop the log from growing in storage."""
        sizes: list[int] = []

        async def watch() -> None:
            async with TaskOutputStorage.from_container_url(url, "t1") as other:
                while len(sizes) < 3:
                    size = len(await stored(other))
                    if size > (sizes[-1] if sizes else 0):
                        sizes.append(size)
                    await anyio.sleep(0.05)

        log.write_bytes(b"")
        async with task.save_tracked("TaskLog", log, "log.txt", flush_interval=0.3):
            watcher = threading.Thread(target=lambda: asyncio.run(asyncio.wait_for(watch(), PATIENCE)))
            watcher.start()
            deadline = time.monotonic() + PATIENCE
            while watcher.is_alive() and time.monotonic() < deadline:
                append(log, b"working\n")
                time.sleep(0.1)  # noqa: ASYNC251 - to block the event loop is what this is about
            watcher.join()
        assert len(sizes) == 3
        assert await stored(task) == log.read_bytes()

    async def test_while_the_task_computes(self, task: TaskOutputStorage, log: Path) -> None:
        """Code that never lets go by itself does not stop it either."""
        log.write_bytes(b"before\n")
        async with task.save_tracked("TaskLog", log, "log.txt", flush_interval=0.2) as tracked:
            append(log, b"computing\n")
            deadline = time.monotonic() + PATIENCE
            while tracked.bytes_saved < 17:
                sum(n * n for n in range(10_000))
                assert time.monotonic() < deadline

    async def test_much_at_once_does_not_wait_for_the_interval(self, task: TaskOutputStorage, log: Path) -> None:
        """A MiB that waits is saved at once, whatever the interval, in appends of at most 4 MiB."""
        log.write_bytes(b"")
        async with task.save_tracked("TaskLog", log, "log.txt", flush_interval=3600) as tracked:
            append(log, b"x" * (MIB - 1))
            await anyio.sleep(0.6)
            assert tracked.bytes_saved == 0
            append(log, b"y")
            await until(lambda: tracked.bytes_saved == MIB)
            append(log, os.urandom(9 * MIB))
            await until(lambda: tracked.bytes_saved == 10 * MIB)
            assert await stored(task) == log.read_bytes()

    async def test_a_file_that_appears_later(self, task: TaskOutputStorage, log: Path, tmp_path: Path) -> None:
        """A file that does not exist yet, nor its folder, is waited for."""
        later = tmp_path / "later" / "log.txt"
        async with task.save_tracked("TaskLog", later, "log.txt", flush_interval=0.1) as tracked:
            await tracked.flush()
            assert tracked.bytes_saved == 0
            later.parent.mkdir()
            later.write_bytes(b"here I am\n")
            await until(lambda: tracked.bytes_saved == 10)
        assert await stored(task) == b"here I am\n"

    async def test_a_file_that_never_comes(self, task: TaskOutputStorage, log: Path) -> None:
        """No file is an empty log, complete."""
        async with task.save_tracked("TaskLog", log, "log.txt"):
            pass
        assert await stored(task) == b""
        assert (await marks(task)).vouch_for(0)

    async def test_the_path_is_that_of_the_beginning(
        self, task: TaskOutputStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A relative path keeps its meaning when the process changes its folder."""
        (tmp_path / "log.txt").write_bytes(b"right")
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "log.txt").write_bytes(b"wrong")
        monkeypatch.chdir(tmp_path)
        async with task.save_tracked("TaskLog", "log.txt"):
            monkeypatch.chdir("sub")
        assert await stored(task) == b"right"

    async def test_interval(self, task: TaskOutputStorage, log: Path) -> None:
        """The interval is what was asked for, as long as the log is young."""
        async with task.save_tracked("TaskLog", log, "log.txt", flush_interval=7.5) as tracked:
            assert tracked.interval == 7.5
        async with task.save_tracked("TaskLog", log, "log.txt") as tracked:
            assert tracked.interval == 60.0

    async def test_many_files_share_one_thread(self, task: TaskOutputStorage, tmp_path: Path) -> None:
        """Fifty files are followed at once, by one thread."""
        paths = [tmp_path / f"log{n}.txt" for n in range(50)]
        async with AsyncExitStack() as stack:
            for path in paths:
                await stack.enter_async_context(task.save_tracked("TaskLog", path, path.name, flush_interval=0.2))
            for path in paths:
                path.write_bytes(lines(100, path.name))
            assert [thread.name for thread in threading.enumerate()].count("batch-outputs-logs") == 1
        for path in paths:
            assert await stored(task, path.name) == path.read_bytes()


class TestTheEnd:
    async def test_marks_it_complete(self, task: TaskOutputStorage, log: Path) -> None:
        """A finished log says so, with its length and checksum; one that goes on does not."""
        log.write_bytes(lines(1000))
        async with task.save_tracked("TaskLog", log, "log.txt") as tracked:
            await tracked.flush()
            early = await marks(task)
            assert (early.complete, early.length, early.sha256) == (False, None, None)
            assert (await task.get_output("TaskLog", "log.txt").refresh()).complete is False
            append(log, b"the end\n")
        late = await marks(task)
        content = log.read_bytes()
        assert late.vouch_for(len(content))
        assert late.sha256 == hashlib.sha256(content).hexdigest()
        assert (late.attempt, late.started, late.part) == (early.attempt, early.started, 1)
        assert late.exit_code is None
        assert tracked.output.complete is True
        assert (await task.get_output("TaskLog", "log.txt").refresh()).complete is True
        (listed,) = [output async for output in task.list_outputs()]
        assert (listed.complete, listed.size, listed.content_type) == (True, len(content), "text/plain")

    async def test_says_which_node_and_exit_code(self, url: str, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a node the log says which; an exit code is kept with it."""
        monkeypatch.setenv("AZ_BATCH_NODE_ID", "node-7")
        async with TaskOutputStorage.from_container_url(url, "t1") as task:
            async with task.save_tracked("TaskLog", log, "log.txt") as tracked:
                tracked.exit_code = 3
            found = await marks(task)
        assert (found.node, found.exit_code, found.complete) == ("node-7", 3, True)

    async def test_is_reached_when_the_block_fails(self, task: TaskOutputStorage, log: Path) -> None:
        """An error in the block saves the rest and goes on as it was."""
        log.write_bytes(b"")
        error = RuntimeError("the task failed")
        with pytest.raises(RuntimeError) as raised:
            async with task.save_tracked("TaskLog", log, "log.txt"):
                append(log, b"last words\n")
                raise error
        assert raised.value is error
        assert not hasattr(error, "__notes__")
        assert await stored(task) == b"last words\n"
        assert (await marks(task)).complete

    @pytest.mark.parametrize("how", ["scope", "task"])
    async def test_is_reached_when_cancelled(self, task: TaskOutputStorage, log: Path, how: str) -> None:
        """Cancelling the block saves the rest first, and then it is cancelled."""
        log.write_bytes(b"")
        entered = asyncio.Event()

        async def work() -> None:
            async with task.save_tracked("TaskLog", log, "log.txt"):
                append(log, b"last words\n")
                entered.set()
                scope.deadline = anyio.current_time()
                await asyncio.sleep(3600)

        scope = anyio.CancelScope()
        if how == "scope":
            with scope:
                await work()
            assert scope.cancelled_caught
        else:
            running = asyncio.create_task(work())
            await entered.wait()
            running.cancel()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert await stored(task) == b"last words\n"
        assert (await marks(task)).complete

    async def test_does_not_wait_for_a_writer_that_goes_on(self, task: TaskOutputStorage, log: Path) -> None:
        """Leaving saves what the file holds then, and not what somebody else goes on to write."""
        log.write_bytes(b"")
        stop = threading.Event()

        def write() -> None:
            with log.open("ab", buffering=0) as file:
                n = 0
                while not stop.wait(0.001):
                    file.write(b"line %d\n" % n)
                    n += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            with anyio.fail_after(PATIENCE):
                async with task.save_tracked("TaskLog", log, "log.txt", flush_interval=30):
                    await until(lambda: log.stat().st_size > 100)
                    before = log.stat().st_size
        finally:
            stop.set()
            writer.join()
        content = await stored(task)
        assert len(content) >= before
        assert log.read_bytes().startswith(content)
        assert (await marks(task)).vouch_for(len(content))

    async def test_settles_for_the_tasks_own_streams(
        self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the node agent writes up to 3 s late into the task's stdout.txt is waited for; other files are not."""
        monkeypatch.setenv("AZ_BATCH_TASK_DIR", str(tmp_path))
        monkeypatch.setenv("AZ_BATCH_NODE_ID", "n1")
        (tmp_path / "wd").mkdir()
        monkeypatch.chdir(tmp_path / "wd")
        log = tmp_path / "stdout.txt"
        log.write_bytes(b"early\n")
        late = threading.Timer(1.0, append, (log, b"late\n"))
        async with TaskOutputStorage.from_container_url(url, "t1") as task:
            for watch in in_time(2.5):
                with watch:
                    async with task.save_tracked("TaskLog", log, "other.txt", settle=0):
                        pass
                    async with task.save_tracked("TaskLog", log.rename(tmp_path / "x.txt"), "x.txt"):
                        pass
                (tmp_path / "x.txt").rename(log)
            async with task.save_tracked("TaskLog", "../stdout.txt"):
                began = time.monotonic()
                late.start()
            took = time.monotonic() - began
            assert await stored(task, "stdout.txt") == b"early\nlate\n"
        late.join()
        assert 3.5 < took < 30

    async def test_flushes_our_own_stdout(self, url: str, tmp_path: Path) -> None:
        """What this process has printed and not flushed is in the log when the block of its own stdout.txt is left."""
        program = f"""
            import asyncio, sys
            from batch_outputs import TaskOutputStorage

            async def main():
                async with TaskOutputStorage.from_container_url({url!r}, "t1") as task:
                    async with task.save_tracked("TaskLog", "../stdout.txt", settle=0.1):
                        sys.stdout.write("not flushed")

            asyncio.run(main())
            """
        (tmp_path / "task" / "wd").mkdir(parents=True)
        with (tmp_path / "task" / "stdout.txt").open("wb") as stdout:
            run_program(program, {"AZ_BATCH_TASK_DIR": str(tmp_path / "task")}, tmp_path / "task" / "wd", stdout=stdout)
        async with TaskOutputStorage.from_container_url(url, "t1") as task:
            assert await stored(task, "stdout.txt") == b"not flushed"


class TestAttempts:
    async def test_the_same_file_goes_on(self, task: TaskOutputStorage, log: Path) -> None:
        """A task that is run again and finds its file goes on behind what is stored; nothing is stored twice."""
        log.write_bytes(lines(100))
        async with task.save_tracked("TaskLog", log, "log.txt"):
            pass
        first = await marks(task)
        append(log, lines(100, "again"))
        async with task.save_tracked("TaskLog", log, "log.txt") as tracked:
            assert tracked.bytes_saved == len(lines(100))
            second = await marks(task)
            assert not second.complete
            assert second.attempt != first.attempt
            assert second.started == first.started
        assert await stored(task) == log.read_bytes()
        assert await names(task) == ["log.txt"]
        assert (await marks(task)).vouch_for(log.stat().st_size)

    async def test_another_file_sets_the_earlier_log_aside(self, task: TaskOutputStorage, log: Path) -> None:
        """A task that is run again from the start keeps the log of each earlier attempt, under a name of its own."""
        contents = [lines(50, f"attempt {n}") for n in range(3)]
        for content in contents:
            log.write_bytes(content)
            async with task.save_tracked("TaskLog", log, "log.txt"):
                pass
        assert await names(task) == ["log.attempt-1.txt", "log.attempt-2.txt", "log.txt"]
        for name, content in zip(await names(task), contents, strict=True):
            assert await stored(task, name) == content
            assert (await marks(task, name)).vouch_for(len(content))
        assert len({(await marks(task, name)).attempt for name in await names(task)}) == 3

    async def test_a_shorter_file_is_another(self, task: TaskOutputStorage, log: Path) -> None:
        """A file that has only the beginning of what is stored did not make it: the longer log is kept."""
        log.write_bytes(lines(50))
        async with task.save_tracked("TaskLog", log, "log.txt"):
            pass
        log.write_bytes(lines(20))
        async with task.save_tracked("TaskLog", log, "log.txt"):
            append(log, b"other\n")
        assert await stored(task, "log.attempt-1.txt") == lines(50)
        assert await stored(task) == lines(20) + b"other\n"

    async def test_two_writers(self, task: TaskOutputStorage, log: Path, tmp_path: Path) -> None:
        """Two attempts that live at once are never mixed: the earlier is fenced, and goes on under its own name."""
        other = tmp_path / "other.txt"
        log.write_bytes(lines(10, "earlier"))
        other.write_bytes(lines(10, "later"))
        errors: list[TrackingError] = []
        async with task.save_tracked("TaskLog", log, "log.txt", on_error=errors.append) as earlier:
            await earlier.flush()
            async with task.save_tracked("TaskLog", other, "log.txt") as later:
                append(log, lines(10, "still earlier"))
                with pytest.raises(LogLostError, match="goes on as"):
                    await earlier.flush()
                await earlier.flush()
                append(other, lines(10, "still later"))
                await later.flush()
                assert await stored(task) == other.read_bytes()
                assert earlier.output.name != "log.txt"
                assert await earlier.output.read_bytes() == log.read_bytes()
            append(log, b"the end\n")
        assert await stored(task) == other.read_bytes()
        assert await stored(task, "log.attempt-1.txt") == lines(10, "earlier")
        assert await stored(task, earlier.output.name) == log.read_bytes()
        assert re.fullmatch(r"log\.attempt-[0-9a-f]{16}\.txt", earlier.output.name)
        assert earlier.output.complete
        assert errors == []  # told by the flush that was refused
        assert len(await names(task)) == 3

    async def test_two_writers_of_one_file(self, task: TaskOutputStorage, log: Path) -> None:
        """The same file followed twice under one name is stored once under it, and whole under both names."""
        log.write_bytes(lines(10))
        errors: list[TrackingError] = []
        async with task.save_tracked("TaskLog", log, "log.txt", flush_interval=0.1, on_error=errors.append) as first:
            await first.flush()
            async with task.save_tracked("TaskLog", log, "log.txt", flush_interval=0.1) as second:
                append(log, lines(10, "more"))
                await until(lambda: first.output.name != "log.txt")
                await until(lambda: first.bytes_saved == second.bytes_saved == log.stat().st_size)
        assert await stored(task) == await stored(task, first.output.name) == log.read_bytes()
        assert len(await names(task)) == 2
        assert [type(error.cause) for error in errors] == [LogLostError]

    async def test_per_node(self, url: str, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where one task id runs on several nodes, each has a folder; subtasks have it by themselves."""
        monkeypatch.setenv("AZ_BATCH_NODE_ID", "tvm-1")
        log.write_bytes(b"x")
        ways: list[tuple[str | None, bool | None, str]] = [
            (None, None, "log.txt"),
            ("true", None, "log.txt"),
            ("false", None, "tvm-1/log.txt"),
            (None, True, "tvm-1/log.txt"),
            ("false", False, "log.txt"),
        ]
        for master, per_node, name in ways:
            if master is None:
                monkeypatch.delenv("AZ_BATCH_IS_CURRENT_NODE_MASTER", raising=False)
            else:
                monkeypatch.setenv("AZ_BATCH_IS_CURRENT_NODE_MASTER", master)
            async with (
                TaskOutputStorage.from_container_url(url, "t1") as task,
                task.save_tracked("TaskLog", log, "log.txt", per_node=per_node) as tracked,
            ):
                assert tracked.output.name == name

    async def test_a_log_that_is_deleted_comes_back(self, task: TaskOutputStorage, log: Path) -> None:
        """A blob that somebody deletes under a tracked save is made anew, whole."""
        log.write_bytes(lines(10))
        async with task.save_tracked("TaskLog", log, "log.txt", flush_interval=0.1) as tracked:
            await tracked.flush()
            await task.get_output("TaskLog", "log.txt").delete()
            append(log, lines(10, "more"))
            await until(lambda: tracked.bytes_saved == log.stat().st_size)
            assert await stored(task) == log.read_bytes()


class TestFaults:
    @pytest.mark.parametrize(
        "fault", [faults.cut_after, faults.answer_after(500), faults.answer_after(503, code="Unavailable")]
    )
    async def test_lost_answers_of_appends(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: Path, fault: faults.Action
    ) -> None:
        """An append that was carried out and whose answer was lost is found by reading back, and not repeated."""
        log.write_bytes(b"")
        lost = fault_proxy.fault(fault, on="append", times=3)
        async with faulty.save_tracked("TaskLog", log, "log.txt") as tracked:
            for n in range(5):
                append(log, lines(20, f"round {n}"))
                await tracked.flush()
                assert await stored(faulty) == log.read_bytes()
        assert lost.fired == 3
        assert await stored(faulty) == log.read_bytes()
        assert (await marks(faulty)).sha256 == hashlib.sha256(log.read_bytes()).hexdigest()

    @pytest.mark.parametrize("operation", ["create", "append", "set_metadata"])
    @pytest.mark.parametrize("fault", [faults.cut_before, faults.cut_after, faults.answer_before(500)])
    async def test_a_fault_at_each_step(
        self,
        faulty: TaskOutputStorage,
        fault_proxy: FaultProxy,
        log: Path,
        operation: Operation,
        fault: faults.Action,
    ) -> None:
        """Whatever step an error hits, before or after it was carried out: in the end the log is the file, complete."""
        log.write_bytes(lines(100))
        hit = fault_proxy.fault(fault, on=operation, times=1)
        errors: list[TrackingError] = []
        async with faulty.save_tracked("TaskLog", log, "log.txt", flush_interval=0.2, on_error=errors.append):
            append(log, lines(100, "more"))
        assert hit.fired == 1
        assert await stored(faulty) == log.read_bytes()
        assert (await marks(faulty)).vouch_for(log.stat().st_size)
        assert await names(faulty) == ["log.txt"]
        assert all(isinstance(error.cause, StoreError) for error in errors)

    async def test_a_storm(self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: Path) -> None:
        """As long as the service is busy nothing is lost; each failed round is reported with what waits."""
        log.write_bytes(lines(10))
        errors: list[TrackingError] = []
        async with faulty.save_tracked(
            "TaskLog", log, "log.txt", flush_interval=0.1, on_error=errors.append
        ) as tracked:
            await tracked.flush()
            storm = fault_proxy.fault(faults.answer_before(503), on="append", times=None)
            append(log, lines(10, "in the storm"))
            await until(lambda: len(errors) >= 2)
            assert tracked.bytes_saved == len(lines(10))
            fault_proxy.clear()
            await until(lambda: tracked.bytes_saved == log.stat().st_size)
        assert storm.fired >= 2
        assert [error.attempts for error in errors] == list(range(1, len(errors) + 1))
        for error in errors:
            assert (error.path, error.blob) == (str(log), "t1/$TaskLog/log.txt")
            assert (error.offset, error.pending) == (len(lines(10)), len(lines(10, "in the storm")))
            assert isinstance(error.cause, StoreUnavailableError)
        assert await stored(faulty) == log.read_bytes()

    async def test_an_outage_at_the_beginning(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: Path
    ) -> None:
        """A store that does not answer at first does not keep the task from its work; the log comes later."""
        log.write_bytes(lines(10))
        errors: list[TrackingError] = []
        with fault_proxy.down():
            manager = faulty.save_tracked("TaskLog", log, "log.txt", flush_interval=0.1, on_error=errors.append)
            tracked = await manager.__aenter__()
            assert tracked.bytes_saved == 0
            assert tracked.output.size is None
            assert len(errors) >= 1
        await until(lambda: tracked.bytes_saved == log.stat().st_size)
        await manager.__aexit__(None, None, None)
        assert await stored(faulty) == log.read_bytes()

    async def test_what_is_left_unsaved_is_said(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: Path
    ) -> None:
        """A store that refuses to the end gives an error that says how many bytes are only on this disk."""
        log.write_bytes(b"stored\n")
        with pytest.raises(LogNotSavedError, match="7 bytes") as left:
            async with faulty.save_tracked("TaskLog", log, "log.txt") as tracked:
                await tracked.flush()
                fault_proxy.fault(faults.answer_before(403), on="append", times=None)
                append(log, b"not me\n")
        assert (left.value.saved, left.value.pending) == (7, 7)
        assert (left.value.path, left.value.blob) == (str(log), "t1/$TaskLog/log.txt")
        assert isinstance(left.value.__cause__, StoreError)
        assert "sig=" not in f"{left.value!r}{vars(left.value)}{left.value.__cause__!r}{vars(left.value.__cause__)}"
        fault_proxy.clear()
        assert await stored(faulty) == b"stored\n"
        assert not (await marks(faulty)).complete

    async def test_gives_up_when_nothing_moves(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: Path
    ) -> None:
        """After the budget without progress the end gives up; an error of the block has that as a note."""
        log.write_bytes(b"x")
        with pytest.raises(RuntimeError) as raised:
            async with faulty.save_tracked("TaskLog", log, "log.txt") as tracked:
                fault_proxy.fault(faults.answer_before(503), on="append", times=None)
                tracked.flush_timeout = 0.5
                assert tracked.flush_timeout == 0.5
                raise RuntimeError("the task failed")
        (note,) = raised.value.__notes__
        assert "1 bytes" in note
        assert str(log) in note

    async def test_on_error_that_raises(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A callback that fails is logged and stops nothing."""

        def fail(error: TrackingError) -> None:
            raise ZeroDivisionError

        log.write_bytes(b"x")
        with caplog.at_level(logging.DEBUG):
            async with faulty.save_tracked("TaskLog", log, "log.txt", flush_interval=0.1, on_error=fail) as tracked:
                hit = fault_proxy.fault(faults.answer_before(503), on="append", times=1)
                await until(lambda: tracked.bytes_saved == 1)
        assert hit.fired == 1
        assert "on_error" in caplog.text
        assert "sig=" not in caplog.text

    async def test_cancelled_while_it_begins(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: Path
    ) -> None:
        """Who gives up waiting for a store that hangs leaves nothing behind, and can try again."""
        hanging = fault_proxy.fault(faults.hang, on="create", times=None)

        async def give_up() -> None:
            await until(lambda: hanging.fired > 0)
            await anyio.sleep(0.1)
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(give_up)
            async with faulty.save_tracked("TaskLog", log, "log.txt"):
                pytest.fail("the store hangs")
        assert group.cancel_scope.cancelled_caught
        fault_proxy.clear()
        log.write_bytes(b"second try")
        async with faulty.save_tracked("TaskLog", log, "log.txt"):
            pass
        assert await stored(faulty) == b"second try"

    async def test_a_container_that_does_not_exist(self, azurite: Azurite, log: Path) -> None:
        """What the store refuses is raised when the block is entered, before any work is done."""
        async with TaskOutputStorage.from_connection_string(azurite.connection_string, "never-made", "t1") as task:
            with pytest.raises(ContainerNotFoundError):
                async with task.save_tracked("TaskLog", log, "log.txt"):
                    pytest.fail("there is no container")

    async def test_a_sas_without_the_right(self, container: Container, log: Path) -> None:
        """So is a SAS that may not write."""
        async with TaskOutputStorage.from_container_url(container.sas_url("r"), "t1") as task:
            with pytest.raises(AccessDeniedError):
                async with task.save_tracked("TaskLog", log, "log.txt"):
                    pytest.fail("this may not write")


class TestOddFiles:
    async def test_truncated(self, task: TaskOutputStorage, log: Path) -> None:
        """A file that gets shorter keeps what was stored of it, is reported once, and goes on in a second part."""
        log.write_bytes(lines(20))
        errors: list[TrackingError] = []
        async with task.save_tracked("TaskLog", log, "log.txt", on_error=errors.append) as tracked:
            await tracked.flush()
            os.truncate(log, 5)
            await tracked.flush()
        assert await stored(task) == lines(20) + lines(20)[:5]
        assert await stored(task, "log.part-2.txt") == lines(20)[:5]
        assert [(type(error.cause), error.attempts) for error in errors] == [(SourceError, 0)]
        assert (await marks(task)).complete

    async def test_a_folder_in_its_place(self, task: TaskOutputStorage, log: Path) -> None:
        """What turns out to be no file is an error in the end, not an empty log."""
        with pytest.raises(LogNotSavedError, match="is a folder"):
            async with task.save_tracked("TaskLog", log, "log.txt"):
                log.mkdir()

    async def test_deleted_after_it_was_opened(self, task: TaskOutputStorage, log: Path) -> None:
        """A file that loses its name is saved to its end all the same."""
        log.write_bytes(b"begin")
        async with task.save_tracked("TaskLog", log, "log.txt") as tracked:
            await tracked.flush()
            with log.open("ab") as file:
                log.unlink()
                file.write(b" and end")
        assert await stored(task) == b"begin and end"


PROGRAM = """
    import asyncio, os, pathlib, sys, threading, time
    from batch_outputs import TaskOutputStorage, sync

    log = pathlib.Path("log.txt")
    url = os.environ["URL"]
    entered = threading.Event()

    def append(text):
        with log.open("a") as file:
            file.write(text)
"""


def run_program(
    program: str, environ: dict[str, str], folder: Path, *, stdout: int | IO[bytes] = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """Run a Python program; it has to end well and say nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        cwd=folder,
        env={**os.environ, **environ, "PYTHONUNBUFFERED": ""},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done


class TestInterpreterExit:
    @pytest.fixture(params=["folder", "azure"])
    def url(self, request: pytest.FixtureRequest, tmp_path: Path) -> str:
        """As elsewhere, the blob service by a host name that has to be looked up."""
        if request.param == "folder":
            (tmp_path / "store" / "job-x").mkdir(parents=True)
            return (tmp_path / "store" / "job-x").as_uri()
        container: Container = request.getfixturevalue("container")
        return container.sas_url().replace("127.0.0.1", "localhost", 1)

    @pytest.mark.parametrize(
        "ending",
        [
            # Never left: the manager is held until the interpreter ends.
            """
            outputs = sync.TaskOutputStorage.from_container_url(url, "t1")
            tracked = outputs.save_tracked("TaskLog", log, "log.txt")
            tracked.__enter__()
            append("never left\\n")
            """,
            # The connection that served the beginning is idle and may be gone.
            """
            outputs = sync.TaskOutputStorage.from_container_url(url, "t1")
            tracked = outputs.save_tracked("TaskLog", log, "log.txt", flush_interval=0.1)
            tracked.__enter__()
            append("a while ago\\n")
            time.sleep(1)
            append("never left\\n")
            """,
            # A thread goes on when the main thread has ended: its block is its own to leave.
            """
            def work():
                async def main():
                    async with TaskOutputStorage.from_container_url(url, "t1") as outputs:
                        async with outputs.save_tracked("TaskLog", log, "log.txt"):
                            entered.set()
                            while threading.main_thread().is_alive():
                                await asyncio.sleep(0.01)
                            await asyncio.sleep(0.7)
                            append("after the main thread\\n")
                asyncio.run(main())

            threading.Thread(target=work).start()
            entered.wait()
            """,
            # The same, blocking.
            """
            def work():
                with sync.TaskOutputStorage.from_container_url(url, "t1") as outputs:
                    with outputs.save_tracked("TaskLog", log, "log.txt"):
                        entered.set()
                        while threading.main_thread().is_alive():
                            time.sleep(0.01)
                        time.sleep(0.7)
                        append("after the main thread\\n")

            threading.Thread(target=work).start()
            entered.wait()
            """,
        ],
        ids=["never left", "never left, idle", "in a thread", "in a thread, blocking"],
    )
    async def test_saves_the_rest(self, url: str, tmp_path: Path, ending: str) -> None:
        """When the interpreter ends, what is still tracked is saved and marked complete."""
        run_program(PROGRAM.replace("\n    ", "\n") + textwrap.dedent(ending), {"URL": url}, tmp_path)
        async with TaskOutputStorage.from_container_url(url, "t1") as task:
            assert await stored(task) == (tmp_path / "log.txt").read_bytes()
            assert (await marks(task)).complete

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
    async def test_a_forked_child_has_a_thread_of_its_own(self, url: str, tmp_path: Path) -> None:
        """A process that was forked inside a tracked block can track files itself, and leaves the parent's alone."""
        program = """
            def follow(name):
                with sync.TaskOutputStorage.from_container_url(url, "t1") as outputs:
                    with outputs.save_tracked("TaskLog", name, name):
                        pathlib.Path(name).write_text(name)
                        if name == "parent.txt":
                            child = os.fork()
                            if child == 0:
                                follow("child.txt")
                                os._exit(0)
                            assert os.waitpid(child, 0)[1] == 0

            follow("parent.txt")
            """
        run_program(PROGRAM.replace("\n    ", "\n") + textwrap.dedent(program), {"URL": url}, tmp_path)
        async with TaskOutputStorage.from_container_url(url, "t1") as task:
            for name in ("parent.txt", "child.txt"):
                assert await stored(task, name) == name.encode()


async def test_tracked_saves_of_several_event_loops(url: str, tmp_path: Path) -> None:
    """Event loops in several threads share the log thread without knowing of each other."""

    async def follow(name: str) -> None:
        async with (
            TaskOutputStorage.from_container_url(url, "t1") as task,
            task.save_tracked("TaskLog", tmp_path / name, name) as tracked,
        ):
            for n in range(5):
                append(tmp_path / name, f"{name} {n}\n".encode())
                await tracked.flush()

    threads = [threading.Thread(target=asyncio.run, args=(follow(f"{n}.txt"),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await anyio.to_thread.run_sync(thread.join)
    async with TaskOutputStorage.from_container_url(url, "t1") as task:
        for n in range(4):
            assert await stored(task, f"{n}.txt") == (tmp_path / f"{n}.txt").read_bytes()


async def test_a_reference_to_a_tracked_log_follows_it(task: TaskOutputStorage, log: Path) -> None:
    """`output` can be read, downloaded and refreshed while the log grows."""
    log.write_bytes(lines(10))
    async with task.save_tracked("TaskLog", log, "log.txt") as tracked:
        assert isinstance(tracked, TrackedSave)
        await tracked.flush()
        output = tracked.output
        append(log, lines(10, "more"))
        await tracked.flush()
        assert output.size == len(lines(10))
        assert (await output.refresh()).size == log.stat().st_size
        assert await output.download(log.with_name("copy.txt")) == log.stat().st_size
        assert log.with_name("copy.txt").read_bytes() == log.read_bytes()
        await output.delete()
        with pytest.raises(BlobNotFoundError):
            await output.refresh()
