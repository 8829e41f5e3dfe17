"""The one thread of a process that saves its tracked files, on an event loop and connections of its own.

Task code that computes, blocks or waits busily does not stop it, and it lives on past the end of the main thread until
what is tracked is stored. Nothing here uses an executor: those refuse work once the interpreter has begun to end.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from batch_outputs.location import StoreLocation
from batch_outputs.stores import open_store
from batch_outputs.stores.base import Store
from batch_outputs.termination import termination

logger: logging.Logger = logging.getLogger("batch_outputs.tracking")

TICK = 0.25
"""Seconds between two looks at the lengths of all tracked files."""

TIME_AFTER_SIGTERM = 20.0
"""Seconds in which SIGTERM, where it is left to us, lets what is tracked be saved."""

T = TypeVar("T")


class Tracked(Protocol):
    """What the thread looks after."""

    def is_due(self, now: float) -> bool:
        """Whether a round should begin at this time of the event loop's clock."""

    async def round(self) -> None:
        """Save what is new. Does not raise."""

    async def save_now(self, settle: float = 0.0) -> None:
        """Save all that is there, and what comes until the file has been quiet for `settle` s. Does not raise."""

    async def end(self, settle: float = 0.0) -> None:
        """Save the rest, once the file has been quiet for `settle` seconds, and stop. Does not raise."""

    def is_out_of_time(self) -> bool:
        """Whether the end has taken as long as it may; it is cancelled then."""


@dataclass(slots=True)
class _Entry:
    """One tracked file: the thread that will end it, how long it should be quiet then, and its latest round."""

    owner: threading.Thread
    settle: float
    task: asyncio.Task[None] | None = None

    def is_abandoned(self) -> bool:
        """Whether the block that would end it cannot be left any more."""
        return not self.owner.is_alive() or self.owner.daemon


class LogThread:
    """An event loop in a thread, and the tracked files it looks after; `acquire` gives the process's own."""

    _guard: ClassVar[threading.Lock] = threading.Lock()
    _current: ClassVar[LogThread | None] = None

    def __init__(self) -> None:
        self._process = os.getpid()
        self._users = 0
        self._abandoned = 0
        self._tracked: dict[Tracked, _Entry] = {}
        self._stores: dict[StoreLocation, Store] = {}
        self._loop = asyncio.new_event_loop()
        self._released = asyncio.Event()
        # Not a daemon, even if a daemon makes it: the interpreter waits for it, so that an unfinished log is finished.
        self._thread = threading.Thread(target=self._run, name="batch-outputs-logs", daemon=False)

    @classmethod
    def acquire(cls) -> LogThread:
        """The process's thread, started if need be; `release` it in the end."""
        with cls._guard:
            thread = cls._current = cls._current or cls()
            thread.hold()
            return thread

    def hold(self) -> None:
        """Count one more holder; the first starts the thread."""
        if self._users == 0:
            self._thread.start()
        self._users += 1

    @property
    def is_of_this_process(self) -> bool:
        """False in a forked child, where the tracked saves of the parent are nobody's."""
        return self._process == os.getpid()

    def release(self) -> None:
        """Let go of the thread; it ends when nobody holds it."""
        if not self.is_of_this_process:
            return
        with self._guard:
            self._users -= 1
            if self._users > 0:
                return
            LogThread._current = None
        with contextlib.suppress(RuntimeError):  # it has ended with the interpreter, and closed its loop
            self._loop.call_soon_threadsafe(self._released.set)

    @classmethod
    def forget(cls) -> None:
        """After a fork: the child has the memory of the thread, and not the thread."""
        cls._guard = threading.Lock()
        cls._current = None

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run a coroutine on the thread's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def store(self, location: StoreLocation) -> Store:
        """The thread's own store of a location; closed with the thread. Call it on the thread's loop."""
        if location not in self._stores:
            self._stores[location] = open_store(location, own_thread=True)
        return self._stores[location]

    def add(self, tracked: Tracked, owner: threading.Thread, settle: float = 0.0) -> None:
        """Look after one more, which the thread `owner` will end. Call it from anywhere."""
        self._loop.call_soon_threadsafe(self._tracked.setdefault, tracked, _Entry(owner, settle))

    async def end(self, tracked: Tracked, settle: float = 0.0) -> None:
        """End it and look after it no longer. Run it on the thread's loop."""
        ending = asyncio.create_task(tracked.end(settle))
        try:
            while not (await asyncio.wait([ending], timeout=TICK))[0]:
                if tracked.is_out_of_time():
                    self._stop_round(tracked)  # or it would go on behind the end, without its file
                    ending.cancel()  # a service that takes a request and does not answer is waited for much longer
        finally:
            ending.cancel()
            self._tracked.pop(tracked, None)
        if not ending.cancelled():
            ending.result()

    def _stop_round(self, tracked: Tracked) -> None:
        entry = self._tracked.get(tracked)
        if entry is not None and entry.task is not None:
            entry.task.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with termination.attended():
            try:
                self._loop.run_until_complete(self._look_after())
            finally:
                self._loop.close()

    async def _look_after(self) -> None:
        heeding = asyncio.create_task(self._heed_termination())
        while not self._released.is_set():
            if not threading.main_thread().is_alive() and await self._end_abandoned():
                break
            for tracked, entry in self._tracked.items():
                if (entry.task is None or entry.task.done()) and tracked.is_due(self._loop.time()):
                    entry.task = asyncio.create_task(tracked.round())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._released.wait(), TICK)
        heeding.cancel()
        await _stop_all_other_tasks()  # whatever a caller that was cancelled had asked for
        await asyncio.gather(*(store.aclose() for store in self._stores.values()), return_exceptions=True)
        await asyncio.sleep(0)  # sockets are closed one turn of the loop later

    async def _end_abandoned(self) -> bool:
        """When the main thread has ended: end what it and daemon threads have left; True if nobody else is there."""
        abandoned = [tracked for tracked, entry in self._tracked.items() if entry.is_abandoned()]
        await asyncio.gather(*(self.end(tracked, self._tracked[tracked].settle) for tracked in abandoned))
        self._abandoned += len(abandoned)
        return self._users <= self._abandoned

    async def _heed_termination(self) -> None:
        """When SIGTERM has come and is ours: save everything, then die of it."""
        while True:
            await asyncio.sleep(TICK)
            if not termination.is_asked_for():
                continue
            # Should this loop stand still, in a look-up of a host name for example.
            late = threading.Timer(TIME_AFTER_SIGTERM, termination.die)
            late.daemon = True
            late.start()
            saves = [asyncio.create_task(tracked.save_now(entry.settle)) for tracked, entry in self._tracked.items()]
            if saves:
                await asyncio.wait(saves, timeout=TIME_AFTER_SIGTERM)
            late.cancel()
            termination.die()


async def _stop_all_other_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


if sys.platform != "win32":
    os.register_at_fork(after_in_child=LogThread.forget)
