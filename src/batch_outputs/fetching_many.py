"""Fetching many outputs of one job: the small ones quickly, in threads, all others one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import TypeAlias

from batch_outputs.failures import Failures
from batch_outputs.fetching import Fetched, fetch_quickly
from batch_outputs.folders import Folders
from batch_outputs.outputs import OutputFileReference, inside
from batch_outputs.stop import Stop
from batch_outputs.stores.base import BlockingCalls
from batch_outputs.transfer import Quickly, for_each_listed

Placed: TypeAlias = tuple[str, OutputFileReference]
"""A local path, and the listed output that is to be there."""


async def fetch_all(
    items: AsyncIterator[Placed],
    fetch: Callable[[Placed], Awaitable[object]],
    *,
    folder: str,
    told: Callable[[Placed, Fetched], object],
    ahead: float,
    failures: Failures,
    check: bool = True,
) -> None:
    """Fetch outputs into a folder while they are listed; `told` hears of those that `fetch` was not needed for.

    Paths and bounds are as those of `for_each_listed`, `check` as that of `OutputFileReference.fetch`.
    """
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

    def work(item: Placed) -> Generator[None, None, Fetched | None]:
        path, output = item
        if calls is None:
            return None
        return (yield from fetch_quickly(calls, *inside(output), path, folders, stop, check=check))

    with folders:
        await for_each_listed(listed(), fetch, ahead=ahead, failures=failures, quickly=Quickly(work, told, stop))
