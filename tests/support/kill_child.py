"""A process that tracks a file until it is killed, for tests that kill it.

Processes are forked from a server that has the library loaded, where the system can, so that one lives within
milliseconds and a second has room for several lives.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import sys
import threading
from collections.abc import Mapping
from ctypes import c_longlong
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from typing import TYPE_CHECKING, Any

from batch_outputs import TaskOutputStorage, TrackedSave
from batch_outputs.errors import BatchOutputsError

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

PRELOADED = [
    "batch_outputs.log_thread",
    "batch_outputs.storage",
    "batch_outputs.stores.azure",
    "batch_outputs.tracking",
    "support.kill_child",
]


def _context() -> ForkServerContext | SpawnContext:
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


CONTEXT = _context()


@dataclass
class Order:
    """What to track, and how. `user` is the numeric user to do it as; `environment` is added to the process's own."""

    url: str
    path: str
    name: str
    flush_interval: float = 0.05
    per_node: bool | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    flush_timeout: float = 60.0
    user: int | None = None


class Tracker:
    """A child process that tracks a file; `saved` is what it was told to be stored, and outlives it."""

    def __init__(self, order: Order) -> None:
        self._saved: Any = CONTEXT.RawValue(c_longlong, 0)
        self._memory: Any = CONTEXT.RawValue(c_longlong, 0)
        self._failure: Any = CONTEXT.RawArray("c", 1000)
        self._begun: Event = CONTEXT.Event()
        self._finish: Event = CONTEXT.Event()
        arguments = (order, self._saved, self._memory, self._failure, self._begun, self._finish)
        self.process: BaseProcess = CONTEXT.Process(target=_run, args=arguments)
        self.process.start()

    @property
    def saved(self) -> int:
        """Bytes that were acknowledged; what it was a moment ago at most."""
        return int(self._saved.value)

    @property
    def memory(self) -> int:
        """At the end: the most memory the process had, in bytes."""
        return int(self._memory.value)

    @property
    def failure(self) -> str:
        """The error that the process ended with, if it did."""
        return bytes(self._failure.value).decode()

    def wait_begun(self, timeout: float = 60.0) -> None:
        """Return when the file is tracked."""
        assert self._begun.wait(timeout)

    def kill(self) -> None:
        """Kill -9, and see it gone."""
        self.process.kill()
        self.process.join()

    def ask_to_finish(self) -> None:
        """Have it leave its block as soon as it gets there."""
        self._finish.set()

    def finish(self, timeout: float = 120.0) -> None:
        """Have it leave its block, and wait for a good end."""
        self._finish.set()
        self.process.join(timeout)
        assert self.process.exitcode == 0


def _run(order: Order, saved: Any, memory: Any, failure: Any, begun: Event, finish: Event) -> None:
    os.environ.update(order.environment)
    os.environ["BATCH_OUTPUTS_RETRY_SECONDS"] = "0"
    if order.user is not None and sys.platform != "win32":
        asyncio.run(_once(order.url))  # what it imports, the other user may not be allowed to read
        os.setuid(order.user)
    try:
        asyncio.run(_track(order, saved, begun, finish))
    except BatchOutputsError as error:
        failure.value = f"{type(error).__name__}: {error}".encode()[:999]
        sys.exit(1)
    memory.value = most_memory()


async def _once(url: str) -> None:
    storage = TaskOutputStorage.from_container_url(url, "t1")
    async with storage as task, task.save_tracked("TaskLog", "/no/such/file", "warm-up.txt"):
        pass


def most_memory() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


async def _track(order: Order, saved: Any, begun: Event, finish: Event) -> None:
    async with TaskOutputStorage.from_container_url(order.url, "t1") as task:
        manager = task.save_tracked(
            "TaskLog", order.path, order.name, flush_interval=order.flush_interval, per_node=order.per_node
        )
        async with manager as tracked:
            tracked.flush_timeout = order.flush_timeout
            threading.Thread(target=_tell, args=(tracked, saved), daemon=True).start()
            begun.set()
            while not finish.is_set():  # noqa: ASYNC110 - another process sets it
                await asyncio.sleep(0.005)
        saved.value = tracked.bytes_saved


def _tell(tracked: TrackedSave, saved: Any) -> None:
    while True:
        saved.value = tracked.bytes_saved
        threading.Event().wait(0.001)
