"""Months and outages on a simulated clock: how often is asked, how much is stored, when it is given up."""

from __future__ import annotations

import math
import os
import random
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import pytest

from batch_outputs import followed_log, log_chain
from batch_outputs.log_thread import TICK
from batch_outputs.marks import LogMarks
from support.faulty_store import Fault, Plan
from support.log_world import MemoryGround, StoredPart, World, Writer

MIB = 1024 * 1024
DAY = 86_400.0
BLOCKS_OF_A_BLOB = 50_000


@pytest.fixture
def world(tmp_path: Path, seed: int) -> World:
    """An empty world; its jitter is that of the seed."""
    random.seed(seed)
    return World(tmp_path, MemoryGround())


class GrowingLog:
    """A file that gets `rate` bytes a second, and the tracked save that follows it as the log thread would."""

    def __init__(self, world: World, writer: Writer, file: BinaryIO, rate: float) -> None:
        self.world = world
        self.log = writer.log
        self.rounds: list[float] = []
        self._file = file
        self._rate = rate
        self._began = world.clock.now()

    def grow(self) -> None:
        """Write what has come until now."""
        missing = max(0, int((self.world.clock.now() - self._began) * self._rate) - self._file.tell())
        self._file.write(random.randbytes(missing))  # noqa: S311 - content, not a secret

    def follow(self, seconds: float) -> None:
        """Let this time pass, with a round whenever one is due at a tick; ticks without one are passed over."""
        clock = self.world.clock
        end = clock.now() + seconds
        while clock.now() < end:
            wait = self.log._next_round - clock.now()
            if not self.log._failures:
                wait = min(wait, (self.log.threshold - self.log.chain.waiting) / self._rate)
            clock.advance(max(1, math.ceil(wait / TICK)) * TICK)
            self.grow()
            if self.log.is_due(clock.now()):
                self.rounds.append(clock.now())
                self.world.run(self.log.round())


def assert_parts_join(world: World, parts: list[StoredPart]) -> None:
    """Each part takes no more blocks than it may, and together they are the file."""
    parts.sort(key=lambda part: part.marks.part)
    assert all((part.properties.blocks or 0) <= BLOCKS_OF_A_BLOB for part in parts)
    assert world.read() == world.text
    assert {part.marks.reason for part in parts[1:]} <= {"limit"}


@pytest.mark.parametrize("asked", [1.0, 15.0])
def test_months_of_a_log_that_grows_slowly(world: World, asked: float) -> None:
    """One blob takes every round of 180 days; the interval is what was asked for, or a 4000th of the age."""
    with world.path.open("wb", buffering=0) as file:
        writer = world.start(flush_interval=asked)
        slow = GrowingLog(world, writer, file, rate=0.5)
        for days in (60, 180):
            slow.follow(days * DAY - world.clock.now())
            assert writer.log.interval == max(asked, world.clock.now() / 4000)
            assert world.flush(writer) is None
            (blob,) = world.blobs()
            assert blob.content == world.text
            assert 15_000 < (blob.properties.blocks or 0) <= BLOCKS_OF_A_BLOB
        world.finish(writer)
    for earlier, later in pairwise(slow.rounds):
        assert 0.9 * asked - TICK <= later - earlier <= max(asked, later / 4000) + TICK
    assert world.names() == ["log.txt"]


@pytest.mark.parametrize("asked", [1.0, 15.0])
def test_months_of_a_log_that_grows_fast(world: World, asked: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 GB in 180 days, all sizes made smaller by 16,384: the log goes on in parts, which join to the file."""
    monkeypatch.setattr(followed_log, "_MIB", MIB // 16_384)
    monkeypatch.setattr(log_chain, "MAX_APPEND", 4 * MIB // 16_384)
    with world.path.open("wb", buffering=0) as file:
        writer = world.start(flush_interval=asked)
        fast = GrowingLog(world, writer, file, rate=400e9 / 16_384 / (180 * DAY))
        for days in (60, 180):
            fast.follow(days * DAY - world.clock.now())
            assert world.flush(writer) is None
            assert_parts_join(world, world.blobs())
        world.finish(writer)
    parts = world.blobs()
    assert len(parts) >= 2
    assert all(LogMarks.from_metadata(part.properties.metadata).complete for part in parts)


class TestOutages:
    def test_two_hours(self, world: World) -> None:
        """It is asked for less and less often, at least every minute, and afterwards all is there."""
        with world.path.open("wb", buffering=0) as file:
            writer = world.start()
            log = GrowingLog(world, writer, file, rate=100)
            log.follow(60)
            writer.store.down = True
            before, log.rounds = writer.store.requests.total(), []
            log.follow(7200)
            pauses = [later - earlier for earlier, later in pairwise(log.rounds)]
            assert writer.store.requests.total() - before <= 400
            assert all(pause <= 60 + TICK for pause in pauses)
            assert all(pause >= 0.7 * 60 for pause in pauses[10:])
            assert len({round(pause) for pause in pauses[10:]}) > 5, "tasks that lost one service come back in step"
            assert [error.attempts for error in writer.errors] == list(range(1, len(log.rounds) + 1))
            writer.store.down = False
            log.follow(75)
            assert world.flush(writer) is None
            assert world.read() == world.text
            assert writer.errors[-1].attempts == len(log.rounds) - 1 or writer.log._failures == 0
            world.check()

    def test_in_fixed_memory(self, world: World) -> None:
        """What waits stays in the file: 1 GiB takes no more memory than a few appends."""
        world.path.touch()
        writer = world.start()
        writer.store.down = True
        os.truncate(world.path, 1024 * MIB)
        tracemalloc.start()
        for _ in range(120):
            world.clock.advance(60)
            world.round(writer)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(writer.errors) > 100
        assert peak < 32 * MIB

    @pytest.mark.parametrize("ending", [False, True])
    def test_retry_after(self, world: World, ending: bool) -> None:
        """No request comes earlier than the service has asked for."""
        world.write()
        writer = world.start()
        writer.store.down, writer.store.retry_after = True, 90.0
        asked_at: list[float] = []
        writer.store.on_request = lambda: asked_at.append(world.clock.now())
        if ending:
            world.run(writer.log.end())
        else:
            with world.path.open("ab", buffering=0) as file:
                GrowingLog(world, writer, file, rate=1).follow(1000)
        rounds = sorted(set(asked_at))
        assert len(rounds) >= 5
        assert all(later - earlier >= 90 for earlier, later in pairwise(rounds))


class TestABusyService:
    """How a service that has too much to do stretches the interval of a log."""

    @pytest.fixture
    def writer(self, world: World) -> Writer:
        """It has saved once, at 15 s."""
        world.write()
        writer = world.start()
        assert world.flush(writer) is None
        return writer

    def save(self, world: World, writer: Writer, *faults: Fault) -> None:
        """Save new lines, with so many tries that fail at first."""
        for fault in faults:
            world.fault(writer, Plan("append", fault))
        world.write()
        for n in range(len(faults) + 1):
            world.clock.advance(600)
            world.round(writer)
            assert writer.log._failures == (n + 1 if n < len(faults) else 0)

    def test_it_doubles_and_comes_back(self, world: World, writer: Writer) -> None:
        """Once for all refusals in a row it doubles; a good round takes a tenth off, down to what was asked for."""
        world.write()
        for _ in range(3):
            world.fault(writer, Plan("append", Fault.BUSY))
            world.clock.advance(120)
            world.round(writer)
            assert writer.log.interval == 30
        self.save(world, writer)
        assert writer.log.interval == pytest.approx(27)
        self.save(world, writer)
        assert writer.log.interval == pytest.approx(24.3)
        for _ in range(10):
            self.save(world, writer)
        assert writer.log.interval == 15

    def test_it_is_the_time_between_rounds(self, world: World, writer: Writer) -> None:
        """The round after the first good one comes when the stretched interval is over."""
        self.save(world, writer, Fault.BUSY)
        began = world.clock.now()
        while not writer.log.is_due(world.clock.now()):
            world.clock.advance(TICK)
        assert 0.9 * 27 - TICK <= world.clock.now() - began <= 27

    def test_a_minute_is_the_most(self, world: World, writer: Writer) -> None:
        """However often the service is too busy, it comes to a minute."""
        for _ in range(20):
            self.save(world, writer, Fault.BUSY)
        assert writer.log.interval == pytest.approx(0.9 * 60)

    def test_pauses_are_of_any_length(self, world: World, writer: Writer) -> None:
        """Those whom it has refused at one moment do not come back at one moment, and none later than in a minute."""
        world.write()
        pauses = []
        for _ in range(70):
            world.fault(writer, Plan("append", Fault.BUSY))
            world.clock.advance(120)
            world.round(writer)
            pauses.append(writer.log._next_round - world.clock.now())
        assert max(pauses) <= 60
        assert min(pauses[10:]) < 20
        assert max(pauses[10:]) > 40

    def test_more_than_a_minute_stays(self, world: World) -> None:
        """An interval that is longer anyway is what was asked for."""
        writer = world.start(flush_interval=300)
        self.save(world, writer, Fault.BUSY)
        self.save(world, writer, Fault.BUSY)
        assert writer.log.interval == 300

    def test_nothing_else_stretches_it(self, world: World, writer: Writer) -> None:
        """Lost answers and outages do not, and who is in a hurry is not held up."""
        self.save(world, writer, Fault.NOT_SENT, Fault.NOT_SENT)
        assert writer.log.interval == 15
        self.save(world, writer, Fault.BUSY)
        assert writer.log.interval > 15
        writer.log.hurry()
        assert writer.log.interval == 1


class TestTheBudgetOfTheEnd:
    @pytest.fixture
    def writer(self, world: World) -> Writer:
        """It has 6 MiB to save, and a store that has gone."""
        world.path.touch()
        writer = world.start()
        os.truncate(world.path, 6 * MIB)
        writer.store.down = True
        return writer

    def ending(self, world: World, writer: Writer) -> float:
        """End it, and return how long that took."""
        began = world.clock.now()
        world.run(writer.log.end())
        return world.clock.now() - began

    def test_ten_minutes(self, world: World, writer: Writer) -> None:
        """Without progress it is given up after 600 s, with a bounded number of requests, and said."""
        before = writer.store.requests.total()
        assert 600 <= self.ending(world, writer) < 601
        assert writer.store.requests.total() - before < 300
        unsaved = writer.log.unsaved()
        assert unsaved is not None
        assert (unsaved.saved, unsaved.pending) == (0, 6 * MIB)

    def test_lowered_meanwhile(self, world: World, writer: Writer) -> None:
        """Who lowers it during the end is heard at once."""
        world.clock.plan(100, lambda: setattr(writer.log, "flush_timeout", 20.0))
        assert 100 <= self.ending(world, writer) <= 106

    def test_progress(self, world: World, writer: Writer) -> None:
        """Each byte that is saved begins it anew."""
        store = writer.store

        def let_one_append_pass() -> None:
            store.down = False
            store.plans += [Plan("append"), Plan("append", before=lambda: setattr(store, "down", True))]

        world.clock.plan(500, let_one_append_pass)
        assert 1100 <= self.ending(world, writer) < 1107
        unsaved = writer.log.unsaved()
        assert unsaved is not None
        assert (unsaved.saved, unsaved.pending) == (4 * MIB, 2 * MIB)

    def test_an_outage_that_ends_in_time(self, world: World, writer: Writer) -> None:
        """All is saved, and marked."""
        world.clock.plan(590, lambda: setattr(writer.store, "down", False))
        assert self.ending(world, writer) < 600
        assert writer.log.unsaved() is None
        assert world.read() == world.text
        (blob,) = world.blobs()
        assert blob.marks.vouch_for(6 * MIB)
