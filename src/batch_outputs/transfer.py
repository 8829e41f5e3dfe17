"""What many at once have in common, saved or fetched."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from batch_outputs.crew import Work
from batch_outputs.failures import Failures
from batch_outputs.loop_crew import LoopCrew
from batch_outputs.stop import Stop

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 16
"""How many files are under way at one time."""

_PAUSES_FOR_CHANGES = (0.1, 0.3, 1.0, 3.0)
"""Seconds to wait before a file or blob that changed under our hands is read again."""


@dataclass(frozen=True, slots=True)
class Quickly(Generic[T, R]):
    """A way that is tried before the ordinary one, for small works: `work` blocks, in threads, and gives a result.

    `told` hears of it on the event loop. None, or an error, means that the ordinary way is to be taken. When `stop` is
    set nobody needs what `work` does any more.
    """

    work: Work[T, R]
    told: Callable[[T, R], object]
    stop: Stop = field(default_factory=Stop)


async def for_each_quickly(items: Sequence[T], quickly: Quickly[T, R]) -> Sequence[T]:
    """Do something with each item; those for which the ordinary way is to be taken."""
    left: list[T] = []
    async with LoopCrew(quickly.work, _telling(quickly.told, left.append), quickly.stop) as crew:
        for item in items:
            crew.give(item)
    return left


async def for_each(
    items: Iterable[T], action: Callable[[T], Awaitable[R]], *, at_once: int = AT_ONCE
) -> list[R | Exception]:
    """Do something with each item, several at a time; the results, or what was raised, in the order of the items."""
    waiting = enumerate(items)
    results: dict[int, R | Exception] = {}

    async def work() -> None:
        for index, item in waiting:
            try:
                results[index] = await action(item)
            except Exception as error:
                results[index] = error  # handed to the caller, who names each

    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(work)
    return [results[index] for index in sorted(results)]


async def for_each_listed(
    items: AsyncIterator[T],
    action: Callable[[T], Awaitable[object]],
    *,
    at_once: int = AT_ONCE,
    ahead: float = math.inf,
    failures: Failures | None = None,
    quickly: Quickly[T, R] | None = None,
    before: Iterable[T] = (),
) -> list[Exception]:
    """Do something with each item, several at a time, beginning while they are still being listed; what was raised.

    At most `ahead` items are listed before they are needed. Should the listing fail, what has been listed is done. With
    `failures` what was raised is added to these, and once they are hopeless nothing more is listed or begun. With
    `quickly`, that way is tried before. The items `before` come first, and it is not tried with these.
    """
    work = _ListedWork(action, failures, before)
    give, take = anyio.create_memory_object_stream[T](ahead if quickly is None else math.inf)
    async with take, anyio.create_task_group() as group:
        if quickly is None:
            group.start_soon(work.list_all, items, give)
        else:
            group.start_soon(work.try_all, items, give, quickly, ahead)
        for _ in range(at_once):
            group.start_soon(work.do_some, take.clone())
    return work.problems


class _ListedWork(Generic[T]):
    """What is done with the items of a listing while they still come."""

    def __init__(
        self, action: Callable[[T], Awaitable[object]], failures: Failures | None, before: Iterable[T]
    ) -> None:
        self.problems: list[Exception] = [] if failures is None else failures
        self._action = action
        self._failures = failures
        self._before = before
        self._listing = anyio.CancelScope()

    async def try_all(
        self, items: AsyncIterator[T], give: MemoryObjectSendStream[T], quickly: Quickly[T, R], ahead: float
    ) -> None:
        """List all, and give on what does not go quickly."""

        def succeeded(item: T, result: R) -> None:
            quickly.told(item, result)
            if self._failures is not None:
                self._failures.succeeded()

        async with give:
            with self._listing:
                await self._give_before(give)
                async with LoopCrew(quickly.work, _telling(succeeded, give.send_nowait), quickly.stop) as crew:
                    try:
                        async for item in items:
                            crew.give(item)
                            waiting = give.statistics().current_buffer_used
                            await crew.has_room(max(0, ahead - waiting))
                    except Exception as error:
                        self.problems.append(error)  # what was listed before is done all the same

    async def list_all(self, items: AsyncIterator[T], give: MemoryObjectSendStream[T]) -> None:
        async with give:
            with self._listing:
                await self._give_before(give)
                try:
                    async for item in items:
                        await give.send(item)
                except Exception as error:
                    self.problems.append(error)  # what was listed before is done all the same

    async def _give_before(self, give: MemoryObjectSendStream[T]) -> None:
        for item in self._before:
            await give.send(item)

    async def do_some(self, waiting: MemoryObjectReceiveStream[T]) -> None:
        async with waiting:
            async for item in waiting:
                if self._failures is not None and self._failures.are_hopeless:
                    return
                try:
                    await self._action(item)
                except Exception as error:
                    self._failed(error)
                else:
                    if self._failures is not None:
                        self._failures.succeeded()

    def _failed(self, error: Exception) -> None:
        # Handed to the caller, who names each.
        if self._failures is None:
            self.problems.append(error)
            return
        self._failures.add(error)
        if self._failures.are_hopeless:
            self._listing.cancel()


def _telling(told: Callable[[T, R], object], left: Callable[[T], object]) -> Callable[[T, R | None], None]:
    """For a crew: results go to `told`, and what is left to the ordinary way to `left`."""

    def tell(item: T, result: R | None) -> None:
        if result is None:
            left(item)
        else:
            told(item, result)

    return tell


async def while_it_changes(attempt: Callable[[], Awaitable[R]], change: type[Exception]) -> R:
    """What an attempt gives; it is repeated some times, after pauses, as long as it raises a `change`."""
    for pause in _PAUSES_FOR_CHANGES:
        try:
            return await attempt()
        except change:
            await anyio.sleep(pause)
    return await attempt()
