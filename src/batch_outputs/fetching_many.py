"""Fetching many outputs of one job: what is soon there quickly, in threads, all others one by one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from typing import TypeAlias

from batch_outputs.crew import work_off
from batch_outputs.failures import Failures
from batch_outputs.fetching_at_once import QUICK, Fetched, fetch_large, fetch_quickly
from batch_outputs.folders import Folders
from batch_outputs.outputs import OutputFileReference, inside
from batch_outputs.stop import Stop
from batch_outputs.stores.base import BlockingCalls

Placed: TypeAlias = tuple[str, OutputFileReference]
"""A local path, and the listed output that is to be there."""

_LARGE = 4
"""Large files at a time, so that those which are cut short are few."""

_MOST_LEFT = 1000
"""So many that were left are kept in mind; then the ordinary way takes over."""


def fetch_at_once(
    items: Iterator[Placed],
    calls: BlockingCalls,
    *,
    folder: str,
    told: Callable[[Placed, Fetched], object],
    on_bytes: Callable[[int], object],
    ahead: int,
    failures: Failures,
    check: bool = True,
) -> list[Placed]:
    """Fetch outputs into a folder without an event loop, as far as that goes; those that are left for `fetch_all`.

    That goes on with whatever `items` still have. `told` hears of those that are there, `on_bytes` of bytes of others
    that have come; these are taken back before one is told of.
    """
    with Folders(folder) as folders:
        fetching = _AtOnce(items, calls, folders, told, on_bytes, failures, check=check)
        work_off(fetching.listed(), fetching.work, fetching.take_note, fetching.stop, ahead=ahead, look=fetching.look)
    return fetching.left


class _AtOnce:
    """What a crew does, and what is told of it in the thread that has called for it; see `fetch_at_once`."""

    def __init__(
        self,
        items: Iterator[Placed],
        calls: BlockingCalls,
        folders: Folders,
        told: Callable[[Placed, Fetched], object],
        on_bytes: Callable[[int], object],
        failures: Failures,
        *,
        check: bool,
    ) -> None:
        self.stop: Stop = Stop()
        self.left: list[Placed] = []
        self._items = items
        self._calls = calls
        self._folders = folders
        self._told = told
        self._on_bytes = on_bytes
        self._failures = failures
        self._check = check
        self._came: deque[int] = deque()
        self._large = threading.Semaphore(_LARGE)

    def listed(self) -> Iterator[Placed]:
        """What is to be fetched, as long as few are left."""
        while len(self.left) < _MOST_LEFT:
            try:
                item = next(self._items)
            except StopIteration:
                return
            except Exception as error:
                self._failures.append(error)  # what was listed before is done all the same
                return
            yield item

    def work(self, item: Placed) -> Generator[int, None, Fetched | None]:
        """Fetch one; None if it is left."""
        path, output = item
        store, stored = inside(output)
        if stored.is_log or stored.size <= QUICK:
            return (
                yield from fetch_quickly(self._calls, store, stored, path, self._folders, self.stop, check=self._check)
            )
        if not self._large.acquire(blocking=False):
            return None
        try:
            return fetch_large(
                self._calls, store, stored, path, self._folders.root, self.stop, self._came.append, check=self._check
            )
        finally:
            self._large.release()

    def take_note(self, item: Placed, fetched: Fetched | None) -> None:
        """Take note of what has become of one."""
        if fetched is None:
            self.left.append(item)
        else:
            self._told(item, fetched)
            self._failures.succeeded()

    def look(self) -> None:
        """Tell of the bytes that have come since the last look."""
        size = 0
        while self._came:
            size += self._came.popleft()
        if size:
            self._on_bytes(size)


async def fetch_all(
    items: AsyncIterator[Placed],
    fetch: Callable[[Placed], Awaitable[object]],
    *,
    folder: str,
    told: Callable[[Placed, Fetched], object],
    ahead: float,
    failures: Failures,
    check: bool = True,
    left: Sequence[Placed] = (),
) -> None:
    """Fetch outputs into a folder while they are listed; `told` hears of those that `fetch` was not needed for.

    Paths and bounds are as those of `for_each_listed`, `check` as that of `OutputFileReference.fetch`; `left` are
    fetched by `fetch`, too.
    """
    from batch_outputs.transfer import Quickly, for_each_listed  # `fetch_at_once` needs no event loop

    calls: BlockingCalls | None = None
    stop = Stop()
    folders = Folders(folder)

    async def listed() -> AsyncIterator[Placed]:
        nonlocal calls
        is_first = True
        async for item in items:
            if is_first:
                store, _ = inside(item[1])
                calls = await store.blocking_calls()
                is_first = False
            yield item

    def work(item: Placed) -> Generator[int, None, Fetched | None]:
        path, output = item
        if calls is None:
            return None
        return (yield from fetch_quickly(calls, *inside(output), path, folders, stop, check=check))

    with folders:
        quickly = Quickly(work, told, stop)
        await for_each_listed(listed(), fetch, ahead=ahead, failures=failures, quickly=quickly, before=left)
