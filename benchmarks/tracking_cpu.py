"""The CPU that tracking many growing files costs the process that does it.

    python benchmarks/tracking_cpu.py [--files 500] [--interval 1] [--seconds 30] [--profile]

All files grow by one line between any two rounds. They are saved to a sink: a small server in a process of its own that
reads each request and answers as Blob Storage would, so that only the client counts. The lines are written by a third
process. Shown are CPU seconds of the tracking process while it tracks (not its start), as a share of one core, and how
many appends were made. With `--profile`, the functions of the log thread that take the most time follow.
"""

# ruff: noqa: T201 - it prints what it has measured

from __future__ import annotations

import argparse
import asyncio
import cProfile
import multiprocessing
import os
import pstats
import resource
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol, cast

from batch_outputs import TaskOutputStorage
from batch_outputs.log_thread import LogThread

SAS = "sv=2022-11-02&sp=racwdl&sig=bm90aGluZw%3D%3D"


class _Event(Protocol):
    def wait(self, timeout: float) -> bool: ...


class Sink(asyncio.Protocol):
    """Answers every PUT with 201, or 200 for metadata; counts the appends."""

    appends = 0

    def __init__(self) -> None:
        self._data = bytearray()
        self._transport: asyncio.BaseTransport | None = None
        self._version = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._data[:end]).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._data) < end + 4 + length:
                return
            del self._data[: end + 4 + length]
            self._answer(head.partition(b"\r\n")[0])

    def _answer(self, line: bytes) -> None:
        self._version += 1
        Sink.appends += b"comp=appendblock" in line
        status = b"200 OK" if b"comp=metadata" in line else b"201 Created"
        cast("asyncio.Transport", self._transport).write(
            b'HTTP/1.1 %s\r\nETag: "0x%X"\r\nLast-Modified: Sun, 22 Nov 2026 12:00:00 GMT\r\n'
            b"x-ms-blob-append-offset: 0\r\nContent-Length: 0\r\n\r\n" % (status, self._version)
        )


def serve(told: Connection) -> None:
    """The sink: tells its port, and how many appends it had whenever it is asked."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Sink, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        while True:
            await asyncio.to_thread(told.recv)
            told.send(Sink.appends)

    asyncio.run(main())


def write(folder: str, files: int, pause: float, stop: _Event) -> None:
    """The writer: a line to each file, evenly over the pause, until it is stopped."""
    descriptors = [os.open(_path(folder, n), os.O_WRONLY | os.O_APPEND | os.O_CREAT) for n in range(files)]
    line = b"one more line of a log, as programs write them: 0123456789\n"
    while True:
        began = time.monotonic()
        for n, descriptor in enumerate(descriptors):
            os.write(descriptor, line)
            if n % 20 == 0 and stop.wait(max(0.0, began + pause * n / files - time.monotonic())):
                return


@dataclass(frozen=True)
class Cost:
    """What was measured."""

    cpu: float
    wall: float
    appends: int


async def track(folder: str, port: int, files: int, interval: float, seconds: float, sink: Connection) -> Cost:
    """Follow all files for a while."""
    url = f"http://127.0.0.1:{port}/account/job-x?{SAS}"
    async with AsyncExitStack() as stack:
        task = await stack.enter_async_context(TaskOutputStorage.from_container_url(url, "t1"))
        for n in range(files):
            path = _path(folder, n)
            await stack.enter_async_context(
                task.save_tracked("TaskLog", path, os.path.basename(path), flush_interval=interval)
            )
        await asyncio.sleep(2 * interval)
        before, began, appends = _cpu(), time.monotonic(), _ask(sink)
        await asyncio.sleep(seconds)
        return Cost(_cpu() - before, time.monotonic() - began, _ask(sink) - appends)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _ask(sink: Connection) -> int:
    sink.send(None)
    count: int = sink.recv()
    return count


def _path(folder: str, n: int) -> str:
    return os.path.join(folder, f"log{n}.txt")


def _profile_log_thread() -> cProfile.Profile:
    """Have the log thread run under a profiler."""
    profile = cProfile.Profile()
    run = LogThread._run  # noqa: SLF001 - there is no other way in

    def profiled(thread: LogThread) -> None:
        profile.runcall(run, thread)

    LogThread._run = profiled  # type: ignore[method-assign, assignment]  # noqa: SLF001
    return profile


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    stop = context.Event()
    sink = context.Process(target=serve, args=(theirs,), daemon=True)
    sink.start()
    port = ours.recv()
    profile = _profile_log_thread() if asked.profile else None
    with tempfile.TemporaryDirectory() as folder:
        writer = context.Process(target=write, args=(folder, asked.files, asked.interval / 2, stop), daemon=True)
        writer.start()
        cost = asyncio.run(track(folder, port, asked.files, asked.interval, asked.seconds, ours))
        stop.set()
        writer.join()
    sink.kill()
    share, each = cost.cpu / cost.wall, cost.cpu / max(1, cost.appends) * 1e6
    what = f"{asked.files} files at {asked.interval:g} s"
    print(f"{what}: {share:.2f} of a core, {cost.appends / cost.wall:.0f} appends/s, {each:.0f} us of CPU for each")
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
