"""A blob into a file by ranges, several at a time: every byte once, no gap taken for whole, no waiting in vain."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from batch_outputs.pool import Pool
from batch_outputs.stop import Stop
from batch_outputs.stores.azure import AzureStore
from batch_outputs.stores.azure.content import BLOCK, InMemory
from batch_outputs.stores.azure.moving import NotWrittenError
from batch_outputs.stores.azure.pour import MoveRange, Pour
from batch_outputs.stores.base import BlockingCalls
from batch_outputs.threads import finished
from stores.azure.answering import BLOB
from stores.azure.ranged import WRONG, Ranged, asked, broken_off, calls_to, data, ranged
from support.azurite import Container
from support.fault_proxy import FaultProxy
from support.faults import Exchange, hang, silent

MIB = 1 << 20
LARGEST = 8
"""Blocks in the largest range."""

FARTHEST_AHEAD = (2 * 8 + 1) * LARGEST * BLOCK
"""Bytes behind a gap: two ranges for each at a time, of which there may be eight on a busy machine, and one begun."""

PATIENCE = 30.0
SOON = 10.0
"""Seconds; less than a service that hangs is waited for."""


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Threads to pour with."""
    with Pool(8, "pouring") as pool:
        yield pool


@dataclass
class Poured:
    """What is told of a pouring, and which ranges were moved; no byte goes anywhere."""

    offset: int
    size: int
    moved: list[int] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    ranges: list[tuple[int, int]] = field(default_factory=list)
    stop: Stop = field(default_factory=Stop)

    def take(self, start: int, behind: int, moved: Callable[[int], object]) -> None:
        """Have moved one range."""
        half = (behind - start) // 2
        moved(half)
        moved(behind - start - half)
        self.ranges.append((start, behind))

    def run(self, pool: Pool | None, move: MoveRange | None = None) -> None:
        """Pour."""
        pour = Pour(
            move or self.take, self.offset, self.size, self.stop, moved=self.moved.append, whole=self.whole.append
        )
        pour.carry_out(pool)

    def run_aside(self, pool: Pool | None, move: MoveRange) -> Callable[[], None]:
        """The same in another thread; what is returned waits for its end, and raises what it has raised."""
        errors: list[BaseException] = []

        def run() -> None:
            try:
                self.run(pool, move)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()

        def ended() -> None:
            thread.join(PATIENCE)
            assert not thread.is_alive()
            if errors:
                raise errors[0]

        return ended


class OddError(BaseException):
    """None of those that one thinks of."""


class TestAlone:
    @pytest.mark.parametrize("offset", [0, 5, BLOCK])
    @pytest.mark.parametrize("size", [BLOCK, BLOCK + 1, 3 * BLOCK - 1, 40 * BLOCK + 7])
    @pytest.mark.parametrize("threads", [0, 1, 8])
    def test_every_byte_once(self, offset: int, size: int, threads: int) -> None:
        """Each byte behind the offset is moved once, and what is told of rises to all of it, with and without help."""
        sizes = {number * BLOCK for number in range(1, LARGEST + 1)}
        poured = Poured(offset, size)
        with Pool(max(1, threads)) as pool:
            poured.run(pool if threads else None)
        poured.ranges.sort()
        starts, ends = [start for start, _ in poured.ranges], [behind for _, behind in poured.ranges]
        missing = [] if offset == size else [offset, size]
        assert starts + ends[-1:] == missing[:1] + ends
        assert ends[-1:] == missing[1:]
        assert all(behind - start in sizes for (start, behind) in poured.ranges[:-1])
        assert poured.whole == sorted(set(poured.whole))
        assert poured.whole[-1:] == missing[1:]
        assert poured.moved == sorted(poured.moved)
        assert all(offset < moved <= size for moved in poured.moved)

    def test_behind_a_gap(self, pool: Pool) -> None:
        """While a range is awaited others come, and are not told of as whole; nor do they run ahead without end."""
        poured = Poured(0, 1000 * BLOCK)
        goes_on, is_far = threading.Event(), threading.Event()
        begun: list[int] = []

        def move(start: int, behind: int, moved: Callable[[int], object]) -> None:
            begun.append(start)
            if len(begun) == 4:
                is_far.set()
            if start == BLOCK:
                assert goes_on.wait(PATIENCE)
            poured.take(start, behind, moved)

        ended = poured.run_aside(pool, move)
        assert is_far.wait(PATIENCE)
        assert set(poured.whole) <= {BLOCK}
        goes_on.set()
        ended()
        assert poured.whole[-1] == poured.size
        # Those that came before the gap was closed.
        [gap] = (number for number, (start, _) in enumerate(poured.ranges) if start == BLOCK)
        assert max(behind for _, behind in poured.ranges[: gap + 1]) <= BLOCK + FARTHEST_AHEAD

    def test_fast_ranges(self) -> None:
        """Where ranges come fast they become larger, and towards the end smaller again."""
        poured = Poured(0, 100 * BLOCK)
        pour = Pour(poured.take, 0, poured.size, Stop(), moved=lambda _: None, whole=lambda _: None, clock=lambda: 0.0)
        pour.carry_out(None)
        blocks = [(behind - start) // BLOCK for start, behind in poured.ranges]
        largest = blocks.index(LARGEST)
        assert blocks[:largest] == sorted(blocks[:largest])
        assert sorted(blocks[largest:], reverse=True) == blocks[largest:]
        assert (blocks[0], blocks[-1]) == (1, 1)

    def test_a_disk_that_is_waited_for(self, pool: Pool) -> None:
        """While who is told how far it is whole is at it, all others go on; in the end it has been told all."""
        poured = Poured(0, 30 * BLOCK)
        all_moved = threading.Event()

        def move(start: int, behind: int, moved: Callable[[int], object]) -> None:
            poured.take(start, behind, moved)
            if sum(behind - start for start, behind in poured.ranges) == poured.size:
                all_moved.set()

        def whole(size: int) -> None:
            assert all_moved.wait(PATIENCE)
            poured.whole.append(size)

        pour = Pour(move, 0, poured.size, Stop(), moved=poured.moved.append, whole=whole)
        pour.carry_out(pool)
        assert poured.whole == sorted(set(poured.whole))
        assert poured.whole[-1] == poured.size

    def test_slow_ranges(self, pool: Pool) -> None:
        """Where each range takes a while, more come at a time, and never more than eight."""
        poured = Poured(0, 24 * BLOCK)
        lock = threading.Lock()
        at_once, most = 0, 0

        def move(start: int, behind: int, moved: Callable[[int], object]) -> None:
            nonlocal at_once, most
            with lock:
                at_once += 1
                most = max(most, at_once)
            threading.Event().wait(0.06)  # it is about how long it takes
            with lock:
                at_once -= 1
            poured.take(start, behind, moved)

        poured.run(pool, move)
        assert 2 < most <= 8
        assert poured.whole[-1] == poured.size

    @pytest.mark.parametrize("bad", [0, 1, 5])
    @pytest.mark.parametrize("error", [TimeoutError(), ValueError("x"), OddError()], ids=repr)
    def test_one_that_fails(self, pool: Pool, bad: int, error: BaseException) -> None:
        """The error of a range comes out, of whatever class, when nobody moves anything any more; no gap is whole."""
        poured = Poured(0, 20 * BLOCK)
        under_way: set[int] = set()
        broken: list[int] = []

        def move(start: int, behind: int, moved: Callable[[int], object]) -> None:
            under_way.add(start)
            try:
                if start <= bad * BLOCK < behind:
                    broken.append(start)
                    raise error
                poured.take(start, behind, moved)
            finally:
                under_way.discard(start)

        with pytest.raises(type(error)):
            poured.run_aside(pool, move)()
        assert under_way == set()
        [gap] = broken
        assert poured.whole[-1:] == ([gap] if gap else [])
        before = sorted((start, behind) for start, behind in poured.ranges if start < gap)
        assert sum(behind - start for start, behind in before) == gap
        assert gap not in {start for start, _ in poured.ranges}

    def test_whose_fault_it_is(self, pool: Pool) -> None:
        """Where a range breaks off and the file cannot be written, the file's error comes out, whichever was first."""
        poured = Poured(0, 4 * BLOCK)
        both_there = threading.Barrier(2)

        def move(start: int, behind: int, moved: Callable[[int], object]) -> None:
            both_there.wait(PATIENCE)
            raise NotWrittenError(OSError(28, "full")) if start else TimeoutError

        for _ in range(5):
            with pytest.raises(NotWrittenError):
                poured.run(pool, move)

    def test_a_note_that_cannot_be_taken(self, pool: Pool) -> None:
        """An error of who is told how far the file is whole is one of the file."""

        def whole(_size: int) -> None:
            raise OSError(5, "broken disk")

        pour = Pour(lambda *_: None, 0, 4 * BLOCK, Stop(), moved=lambda _: None, whole=whole)
        with pytest.raises(NotWrittenError, match="broken disk"):
            pour.carry_out(pool)

    def test_stopped(self, pool: Pool) -> None:
        """When it is stopped no range is begun any more, and it ends with those that are broken off."""
        poured = Poured(0, 100 * BLOCK)

        def move(start: int, behind: int, moved: Callable[[int], object]) -> None:
            if start >= 3 * BLOCK:
                poured.stop.set()
            if poured.stop.is_set():
                raise ConnectionError
            poured.take(start, behind, moved)

        with pytest.raises(ConnectionError):
            poured.run(pool, move)
        assert len(poured.ranges) < 10
        again = Poured(0, 100 * BLOCK, stop=poured.stop)
        again.run(pool)
        assert again.ranges == []

    def test_stopped_while_one_is_awaited(self, pool: Pool) -> None:
        """Who waits for a gap to be closed goes on when the range that is to close it is broken off."""
        poured = Poured(0, 100 * BLOCK)
        is_ahead = threading.Event()

        def move(start: int, behind: int, moved: Callable[[int], object]) -> None:
            if start == 0:
                assert poured.stop.wait(PATIENCE)
                raise ConnectionError
            poured.take(start, behind, moved)
            if len(poured.ranges) >= 3:
                is_ahead.set()

        ended = poured.run_aside(pool, move)
        assert is_ahead.wait(PATIENCE)
        poured.stop.set()
        with pytest.raises(ConnectionError):
            ended()
        assert poured.whole == []
        assert max(behind for _, behind in poured.ranges) <= FARTHEST_AHEAD

    @pytest.mark.parametrize("when", ["before", "meanwhile"])
    def test_a_pool_that_is_shut_down(self, when: str) -> None:
        """Threads that are let go, before it begins or before they have begun, are not waited for; all is moved."""
        pool = Pool(1)
        goes_on = threading.Event()
        busy = pool.submit(goes_on.wait, PATIENCE)
        if when == "before":
            pool.shutdown(wait=False, cancel_futures=True)
        poured = Poured(0, 10 * BLOCK)

        def move(start: int, behind: int, moved: Callable[[int], object]) -> None:
            if start == 0:
                pool.shutdown(wait=False, cancel_futures=True)
            poured.take(start, behind, moved)

        poured.run_aside(pool, move)()
        assert poured.whole[-1] == poured.size
        goes_on.set()
        assert busy.result(PATIENCE)

    def test_a_pool_that_is_busy(self) -> None:
        """Threads that have other things to do are not waited for."""
        goes_on = threading.Event()
        with Pool(1) as pool:
            pool.submit(goes_on.wait, PATIENCE)
            poured = Poured(3, 10 * BLOCK)
            poured.run_aside(pool, poured.take)()
            assert poured.whole[-1] == poured.size
            goes_on.set()


class Target:
    """A file that is poured into, and what is told of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0))
        self.whole = 0
        self.moved = 0

    def pour(self, calls: BlockingCalls, size: int, *, etag: str = BLOB["ETag"], stop: Stop | None = None) -> None:
        """Pour what is missing of the blob x into it."""

        def reached(size: int) -> None:
            assert size > self.whole
            self.whole = size

        def moved(size: int) -> None:
            self.moved = size

        calls.pour(
            "x",
            self.descriptor,
            offset=self.whole,
            size=size,
            etag=etag,
            stop=stop or Stop(),
            moved=moved,
            whole=reached,
        )

    def finish(self, calls: BlockingCalls, size: int, *, etag: str = BLOB["ETag"], stop: Stop | None = None) -> bool:
        """Pour all of a small blob into it."""
        return calls.begin_pour("x", size=size, etag=etag, stop=stop or Stop())(self.descriptor)

    def content(self) -> bytes:
        """What is there as far as it is whole."""
        return self.path.read_bytes()[: self.whole]


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    """An empty file."""
    target = Target(tmp_path / "target")
    yield target
    os.close(target.descriptor)


@pytest.mark.anyio
class TestOverAService:
    @pytest.mark.parametrize("answer", WRONG.values(), ids=list(WRONG))
    @pytest.mark.parametrize("size", [2 * MIB, 20 * MIB])
    async def test_wrong_answers(self, target: Target, answer: Ranged, size: int) -> None:
        """Of an answer that is not the range that was asked for, nothing is taken."""
        async with calls_to(lambda request: answer(request, size)) as calls:
            if size > BLOCK:
                await asyncio.to_thread(target.pour, calls, size)
            else:
                assert not await asyncio.to_thread(target.finish, calls, size)
        assert (target.whole, target.moved, target.path.read_bytes()) == (0, 0, b"")

    @pytest.mark.parametrize("cut", [0, 1000, MIB + 1, 3 * MIB])
    @pytest.mark.parametrize("bad", [0, 1, 2])
    async def test_broken_off(self, target: Target, bad: int, cut: int) -> None:
        """Where one of the ranges breaks off, what lies before it is whole; a second pouring brings the rest."""
        size = 36 * MIB + 1
        left = [1]

        async def handler(request: web.Request) -> web.StreamResponse:
            if asked(request)[0] == bad * BLOCK and left:
                left.pop()
                return await broken_off(request, size, cut)
            return ranged(request, size)

        async with calls_to(handler) as calls:
            await asyncio.to_thread(target.pour, calls, size)
            assert target.whole == bad * BLOCK
            assert target.content() == data(size)[: target.whole]
            await asyncio.to_thread(target.pour, calls, size)
        assert target.content() == data(size)

    @pytest.mark.parametrize("cut", [0, 1000, MIB + 1])
    async def test_a_small_one_broken_off(self, target: Target, cut: int) -> None:
        """A small blob that breaks off is not there, and the next try brings it."""
        left = [1]

        async def handler(request: web.Request) -> web.StreamResponse:
            return await broken_off(request, 2 * MIB, cut) if left and left.pop() else ranged(request, 2 * MIB)

        async with calls_to(handler) as calls:
            assert not await asyncio.to_thread(target.finish, calls, 2 * MIB)
            assert await asyncio.to_thread(target.finish, calls, 2 * MIB)
        assert target.path.read_bytes() == data(2 * MIB)

    async def test_stopped_before_it_begins(self, target: Target) -> None:
        """What is stopped before it begins brings nothing, and raises nothing that would look like the disk's."""
        async with calls_to(lambda request: ranged(request, 1000)) as calls:
            assert await asyncio.to_thread(target.finish, calls, 1000)  # so there is a connection to be used again
            stop = Stop()
            stop.set()
            assert not await asyncio.to_thread(lambda: target.finish(calls, 1000, stop=stop))
            await asyncio.to_thread(lambda: target.pour(calls, 1000, stop=stop))
            assert target.whole == 0
            assert await asyncio.to_thread(target.finish, calls, 1000)

    @pytest.mark.parametrize("size", [2 * MIB, 20 * MIB])
    @pytest.mark.parametrize("begins", [False, True])
    async def test_stopped(
        self,
        open_store: Callable[..., AzureStore],
        container: Container,
        fault_proxy: FaultProxy,
        target: Target,
        size: int,
        begins: bool,
    ) -> None:
        """What waits for a service that does not answer, or goes silent midway, ends at once when it is stopped."""
        store = open_store(container.location(endpoint=fault_proxy.through(container.azurite.endpoint)))
        await store.put("x", data(size))
        blob = await store.properties("x")
        calls = await store.blocking_calls()
        assert calls is not None

        fault_proxy.fault(silent if begins else hang, on="read", times=None)
        stop = Stop()
        pour = target.pour if size > BLOCK else target.finish
        pouring = asyncio.ensure_future(finished(lambda: pour(calls, size, etag=blob.etag, stop=stop), stop))
        await asyncio.to_thread(fault_proxy.wait_fired, 2 if size > BLOCK else 1)
        pouring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(pouring, SOON)
        assert target.whole == 0
        fault_proxy.clear()
        # It was no failure of the service's, after which the quick way is left alone for a while.
        await asyncio.to_thread(target.pour, calls, size, etag=blob.etag)
        assert target.content() == data(size)

    async def test_closed_meanwhile(
        self, open_store: Callable[..., AzureStore], container: Container, fault_proxy: FaultProxy, target: Target
    ) -> None:
        """A pouring whose threads are busy, and are let go before they have begun, goes on alone to its end."""
        store = open_store(container.location(endpoint=fault_proxy.through(container.azurite.endpoint)))
        await store.put("x", data(20 * MIB))
        blob = await store.properties("x")
        calls = await store.blocking_calls()
        assert calls is not None
        gate, first = fault_proxy.gate(), fault_proxy.gate()
        fault_proxy.fault(gate.held, on="put", times=None)
        fault_proxy.fault(first.held, on="read")
        puts = [threading.Thread(target=calls.put, args=(f"y{number}", InMemory(data(MIB)))) for number in range(8)]
        for put in puts:
            put.start()
        await asyncio.to_thread(fault_proxy.wait_fired, 8)
        pouring = threading.Thread(target=lambda: target.pour(calls, blob.size, etag=blob.etag))
        pouring.start()
        await asyncio.to_thread(fault_proxy.wait_fired, 9)
        await store.aclose()
        first.release()
        await asyncio.to_thread(pouring.join, SOON)
        is_there = pouring.is_alive()
        gate.release()
        for put in puts:
            await asyncio.to_thread(put.join)
        assert not is_there
        assert target.content() == data(20 * MIB)

    async def test_several_at_once(
        self, open_store: Callable[..., AzureStore], container: Container, tmp_path: Path
    ) -> None:
        """Pourings in several threads, of which one has several connections, do not get into each other's way."""
        store = open_store(container.location())
        await store.put("x", data(36 * MIB))
        blob = await store.properties("x")
        calls = await store.blocking_calls()
        assert calls is not None
        targets = [Target(tmp_path / str(number)) for number in range(4)]
        pourings = (asyncio.to_thread(target.pour, calls, blob.size, etag=blob.etag) for target in targets)
        await asyncio.gather(*pourings)
        for target in targets:
            assert target.content() == data(36 * MIB)
            os.close(target.descriptor)

    async def test_ranges_cut_at_random(
        self,
        open_store: Callable[..., AzureStore],
        container: Container,
        fault_proxy: FaultProxy,
        target: Target,
        seed: int,
        long_form: bool,
    ) -> None:
        """Wherever answers break off, what is told to be whole is right each time, and all of it in the end."""
        chance = random.Random(seed)  # noqa: S311 - not a secret
        size = chance.randint(4 * BLOCK, 7 * BLOCK)
        location = container.location(endpoint=fault_proxy.through(container.azurite.endpoint))
        direct = open_store(container.location())
        await direct.put("x", content := chance.randbytes(size))
        etag = (await direct.properties("x")).etag

        async def cut(exchange: Exchange) -> None:
            answer = await exchange.forward()
            if chance.random() < 0.3:
                exchange.cut()
            elif chance.random() < 0.4:
                await exchange.answer_half(answer)
            else:
                await exchange.answer(answer)

        fault_proxy.fault(cut, on="read", times=None)
        for _ in range(40 if long_form else 8):
            store = open_store(location)  # whose quick way has not been given up for a while
            calls = await store.blocking_calls()
            assert calls is not None
            await asyncio.to_thread(target.pour, calls, size, etag=etag)
            assert target.content() == content[: target.whole]
        fault_proxy.clear()
        calls = await open_store(location).blocking_calls()
        assert calls is not None
        await asyncio.to_thread(target.pour, calls, size, etag=etag)
        assert target.content() == content
