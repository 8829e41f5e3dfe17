"""What a tracked save costs: requests, bytes on the wire, memory, and the time until a line can be read."""

from __future__ import annotations

import os
import time
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from batch_outputs import TaskOutputStorage, TrackedSave
from support.azurite import Container, running_azurite
from support.fault_proxy import FaultProxy
from support.growing import lines, until
from support.in_time import in_time
from support.kill_child import Order, Tracker
from support.watched_log import WatchedLog, blob_name, fetch

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_secret_shows", "no_thread_is_left")]

MIB = 1024 * 1024


async def test_requests_per_flush(faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog) -> None:
    """Without faults a flush is one request for each started 4 MiB; no byte is sent twice."""
    log.path.write_bytes(b"")
    with log.asleep():
        async with log.follow(faulty, flush_interval=3600) as tracked:
            for length in (1, 100, MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB, 0):
                log.append(os.urandom(length))
                before = len(fault_proxy.requests)
                await tracked.flush()
                asked = fault_proxy.requests[before:]
                assert {request.operation for request in asked} <= {"append"}
                assert len(asked) == -(-length // (4 * MIB)), length
                assert sum(len(request.body) for request in asked) == length
        assert [request.operation for request in fault_proxy.requests].count("append") == 9
        others = [request.operation for request in fault_proxy.requests if request.operation != "append"]
        assert others == ["create", "set_metadata"]
    assert sum(len(request.body) for request in fault_proxy.requests) == log.path.stat().st_size
    log.check()


async def test_rounds_without_anything_new_ask_nothing(
    faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog
) -> None:
    """A file that stands still costs no request, however often it is looked at."""
    log.path.write_bytes(lines(10))
    async with log.follow(faulty, flush_interval=0.1) as tracked:
        await tracked.flush()
        before = len(fault_proxy.requests)
        await anyio.sleep(0.8)
        assert len(fault_proxy.requests) == before


async def test_time_until_it_can_be_read(faulty: TaskOutputStorage, log: WatchedLog) -> None:
    """Under a second from `flush()`, or from a written MiB, to bytes that a reader gets; else within the interval."""
    log.path.write_bytes(b"")
    async with log.follow(faulty, flush_interval=3600) as tracked:
        for n in range(5):
            for watch in in_time(1.0):
                log.append(lines(10, str(n)))
                with watch:
                    await tracked.flush()
                    assert log.stored() == log.path.read_bytes()
        for _ in range(3):
            for watch in in_time(1.0):
                log.append(os.urandom(MIB))
                with watch:
                    await until(lambda: log.stored() == log.path.read_bytes())
    log.check()


async def test_within_the_interval(faulty: TaskOutputStorage, log: WatchedLog) -> None:
    """A few bytes that nobody asks for are there when the interval has passed."""
    log.path.write_bytes(b"")
    async with log.follow(faulty, flush_interval=1.0):
        for n in range(2):
            for watch in in_time(1.0 + 0.25 + 0.5):  # the interval, a tick, and the request with its look
                log.append(lines(10, str(n)))
                with watch:
                    await until(lambda: log.stored() == log.path.read_bytes())
    log.check()


async def test_memory_with_a_backlog(tmp_path: Path, *, long_form: bool) -> None:
    """Whatever has gathered in an outage is sent in fixed memory: at most 150 MiB, all of Python's own included."""
    size = (1024 if long_form else 256) * MIB
    path = tmp_path / "log.txt"
    with running_azurite(tmp_path / "azurite.log") as azurite, FaultProxy(azurite.port) as proxy:
        container = azurite.new_container()
        with proxy.down():
            tracker = Tracker(Order(proxy.through(container.sas_url()), str(path), path.name, flush_interval=0.1))
            await to_thread.run_sync(tracker.wait_begun)
            with path.open("wb") as file:
                for n in range(size // MIB):
                    file.write(b"%15d\n" % n * (MIB // 16))
        await to_thread.run_sync(tracker.finish, 300)
        bodies = [len(request.body) for request in proxy.requests if request.operation == "append"]
        assert sum(bodies) == size
        assert len(bodies) == size // (4 * MIB)
        found = fetch(container, blob_name(path.name))
        assert found is not None
        assert found.marks.vouch_for(size)
        assert found.content == path.read_bytes()
    print(f"a backlog of {size // MIB} MiB took {tracker.memory / MIB:.0f} MiB of memory")
    assert tracker.memory <= 150 * MIB


async def test_many_files(container: Container, tmp_path: Path, *, long_form: bool) -> None:
    """Hundreds of files in one process: each exact at every look, and complete in the end."""
    count, interval, duration = (500, 5.0, 20.0) if long_form else (100, 2.0, 4.0)
    logs = [WatchedLog(container, tmp_path / f"log{n}.txt") for n in range(count)]
    async with AsyncExitStack() as stack:
        task = await stack.enter_async_context(TaskOutputStorage.from_container_url(container.sas_url(), "t1"))
        trackers = []
        for log in logs:
            log.path.write_bytes(b"")
            trackers.append(await stack.enter_async_context(log.follow(task, flush_interval=interval)))
        end = time.monotonic() + duration
        n = 0
        while time.monotonic() < end:
            for log in logs:
                log.append(lines(3, f"{log.name} {n}"))
            n += 1
            await anyio.sleep(interval / 8)
            await to_thread.run_sync(logs[n % count].look)
        # Nearly all are stored within their interval, though nobody asks for it: a tick and the requests come to that.
        for watch in in_time(interval + 0.25 + 0.5):
            for log in logs:
                log.append(lines(3, f"{log.name} at the end"))
            sizes = [log.path.stat().st_size for log in logs]
            with watch:
                await until(lambda sizes=sizes: late(trackers, sizes) <= count // 10)  # type: ignore[misc]
            await until(lambda sizes=sizes: late(trackers, sizes) == 0)  # type: ignore[misc]
    for log in logs:
        log.check()


def late(trackers: list[TrackedSave], sizes: list[int]) -> int:
    """How many files are not stored up to this size."""
    return sum(tracked.bytes_saved < size for tracked, size in zip(trackers, sizes, strict=True))
