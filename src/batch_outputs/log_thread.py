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
from typing import Any, ClassVar, Protocol, TypeVar

from batch_outputs.location import StoreLocation
from batch_outputs.stores import open_store
from batch_outputs.stores.base import Store

logger = logging.getLogger("batch_outputs.tracking")

TICK = 0.25
"""Seconds between two looks at the lengths of all tracked files."""

T = TypeVar("T")


class Tracked(Protocol):
    """What the thread looks after."""

    def is_due(self, now: float) -> bool:
        """Whether a round should begin at this time of the event loop's clock."""

    async def round(self) -> None:
        """Save what is new. Does not raise."""

    async def end(self) -> None:
        """Save the rest and stop. Does not raise."""

    def is_abandoned(self) -> bool:
        """Whether nobody is left who could end it."""


class LogThread:
    """An event loop in a thread, and the tracked files it looks after; `acquire` gives the process's own."""

    _guard: ClassVar[threading.Lock] = threading.Lock()
    _current: ClassVar[LogThread | None] = None

    def __init__(self) -> None:
        self._users = 0
        self._abandoned = 0
        self._tracked: dict[Tracked, asyncio.Task[None] | None] = {}
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

    def release(self) -> None:
        """Let go of the thread; it ends when nobody holds it."""
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

    def add(self, tracked: Tracked) -> None:
        """Look after one more. Call it from anywhere."""
        self._loop.call_soon_threadsafe(self._tracked.setdefault, tracked, None)

    def remove(self, tracked: Tracked) -> None:
        """Look after it no longer. Call it on the thread's loop."""
        self._tracked.pop(tracked, None)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._look_after())
        finally:
            self._loop.close()

    async def _look_after(self) -> None:
        while not self._released.is_set():
            if not threading.main_thread().is_alive() and await self._end_abandoned():
                break
            for tracked, task in list(self._tracked.items()):
                if (task is None or task.done()) and tracked.is_due(self._loop.time()):
                    self._tracked[tracked] = asyncio.create_task(tracked.round())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._released.wait(), TICK)
        await _stop_all_other_tasks()  # whatever a caller that was cancelled had asked for
        await asyncio.gather(*(store.aclose() for store in self._stores.values()), return_exceptions=True)
        await asyncio.sleep(0)  # sockets are closed one turn of the loop later

    async def _end_abandoned(self) -> bool:
        """When the main thread has ended: end what it and daemon threads have left; True if nobody else is there."""
        abandoned = [tracked for tracked in self._tracked if tracked.is_abandoned()]
        await asyncio.gather(*(tracked.end() for tracked in abandoned))
        self._abandoned += len(abandoned)
        return self._users <= self._abandoned


async def _stop_all_other_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


if sys.platform != "win32":
    os.register_at_fork(after_in_child=LogThread.forget)
