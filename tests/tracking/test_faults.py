"""A tracked log is exact through every fault of the network, at every step."""

# ruff: noqa: PT012 - leaving the block of a tracked save is what raises, so the block stands in pytest.raises

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import anyio
import pytest

from batch_outputs import TaskOutputStorage
from batch_outputs.errors import LogNotSavedError, StoreError, StoreUnavailableError
from batch_outputs.tracking import TrackingError
from support import faults
from support.azurite import Container
from support.fault_proxy import Fault, FaultProxy
from support.faults import Action, Exchange
from support.growing import lines, until
from support.http1 import Operation, Request
from support.in_time import Stopwatch, in_time
from support.watched_log import WatchedLog, names

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_secret_shows", "no_thread_is_left")]

NewLog: TypeAlias = Callable[..., WatchedLog]

EARLIER = b"an earlier attempt of the task\n" * 20


def hang_for(seconds: float) -> Action:
    """Not a word for a while, then a broken connection; the service sees nothing."""

    async def action(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        exchange.cut()

    return action


ANYWHERE: dict[str, Action] = {
    "cut-before": faults.cut_before,
    "cut-after": faults.cut_after,
    "500-before": faults.answer_before(500),
    "500-after": faults.answer_after(500),
    "503-before": faults.answer_before(503),
    "503-after": faults.answer_after(503),
    "503-retry-after": faults.answer_before(503, retry_after=1),
    "page-before": faults.answer_before(200, html=True),
    "page-after": faults.answer_after(200, html=True),
    "page-502": faults.answer_before(502, html=True),
    "delay": faults.delay(0.3),
    "hang": hang_for(0.3),
    "trickle": faults.trickle(4, 0.05),
}
WITH_A_BODY: dict[str, Action] = {"half-body": faults.half_request, "flipped-byte": faults.flip_request}
"""On the way up, of appends."""
WITH_AN_ANSWER: dict[str, Action] = {"half-answer": faults.half_answer}
"""On the way down, of what is read back to be compared."""


class TestEachModeAtEachStep:
    """Each mode has a log of its own; all are followed at once."""

    @pytest.mark.parametrize("operation", ["create", "append", "properties", "read", "set_metadata", "copy"])
    async def test_in_a_log_that_takes_over(
        self,
        faulty: TaskOutputStorage,
        fault_proxy: FaultProxy,
        container: Container,
        new_log: NewLog,
        operation: Operation,
    ) -> None:
        """Whatever hits a step: the log is a beginning of its file at every moment, and the earlier one is kept."""
        modes = dict(ANYWHERE)
        modes |= WITH_A_BODY if operation == "append" else WITH_AN_ANSWER if operation == "read" else {}
        hits: dict[str, Fault] = {}

        async def run(mode: str, log: WatchedLog) -> None:
            await log.leave_earlier(faulty)
            log.path.write_bytes(lines(50, mode))
            hits[mode] = fault_proxy.fault(modes[mode], on=self._touches(log, operation), times=2)
            # The answer of one append is lost, so that there is something to be read back.
            lost = fault_proxy.fault(faults.cut_after, on="append", blob=log.blob) if operation != "append" else None
            async with log.follow(faulty, flush_interval=0.3):
                for n in range(3):
                    log.append(lines(20, f"{mode} {n}"))
                    await log.save()
            assert lost is None or lost.fired == 1, mode
            log.check()

        logs = {mode: new_log(f"{mode}.txt", earlier=EARLIER) for mode in modes}
        async with anyio.create_task_group() as group:
            for mode, log in logs.items():
                group.start_soon(run, mode, log)
        assert {mode for mode, hit in hits.items() if hit.fired == 0} == set()
        stored = names(container)
        assert {f"{mode}.attempt-1.txt" for mode in modes} <= set(stored)
        assert all(log.looks > 10 for log in logs.values())

    @staticmethod
    def _touches(log: WatchedLog, operation: Operation) -> Callable[[Request], bool]:
        stem = log.blob.removesuffix("txt")
        return lambda request: request.operation == operation and request.blob.startswith(stem)

    @pytest.mark.usefixtures("impatient")
    @pytest.mark.parametrize("operation", ["create", "append", "properties", "read", "set_metadata"])
    async def test_in_a_log_that_goes_on(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, container: Container, new_log: NewLog,
        operation: Operation,
    ) -> None:  # fmt: skip
        """The same where an attempt resumes, and no request is repeated by the store itself: one log is left."""
        modes = dict(ANYWHERE)
        modes |= WITH_A_BODY if operation == "append" else WITH_AN_ANSWER if operation == "read" else {}
        hits: dict[str, Fault] = {}

        async def run(mode: str, log: WatchedLog) -> None:
            log.path.write_bytes(lines(50, mode))
            async with log.follow(faulty):
                pass
            log.acknowledge(log.path.stat().st_size)
            log.append(lines(30, f"{mode} meanwhile"))
            hits[mode] = fault_proxy.fault(modes[mode], on=operation, blob=log.blob, times=2)
            lost = fault_proxy.fault(faults.cut_after, on="append", blob=log.blob) if operation != "append" else None
            async with log.follow(faulty, flush_interval=0.3):
                for n in range(3):
                    log.append(lines(20, f"{mode} {n}"))
                    await log.save()
            assert lost is None or lost.fired == 1, mode
            log.check()

        logs = {mode: new_log(f"{mode}.txt") for mode in modes}
        async with anyio.create_task_group() as group:
            for mode, log in logs.items():
                group.start_soon(run, mode, log)
        assert {mode for mode, hit in hits.items() if hit.fired == 0} == set()
        assert sorted(names(container)) == sorted(f"{mode}.txt" for mode in modes)

    @pytest.mark.long
    @pytest.mark.parametrize("operation", ["create", "append", "properties", "set_metadata"])
    async def test_a_real_silence(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog, operation: Operation
    ) -> None:
        """A service that takes a request and never says a word is given up after a minute; the log comes through."""
        log.path.write_bytes(lines(10))
        silent = fault_proxy.fault(faults.hang, on=operation)
        if operation == "properties":
            fault_proxy.fault(faults.cut_after, on="append")
        async with log.follow(faulty, flush_interval=0.5):
            log.append(lines(10, "more"))
        assert silent.fired == 1
        log.check()


class TestStormsAndOutages:
    async def test_a_storm_of_503(self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog) -> None:
        """A service that is busy for all, and says for how long, is left alone that long; nothing is lost."""
        log.path.write_bytes(lines(10))
        times: list[float] = []

        async def busy(exchange: Exchange) -> None:
            times.append(time.monotonic())
            await faults.answer_before(503, retry_after=1)(exchange)

        errors: list[TrackingError] = []
        async with log.follow(faulty, flush_interval=0.1, on_error=errors.append) as tracked:
            await tracked.flush()
            storm = fault_proxy.fault(busy, times=3)
            log.append(lines(500, "in the storm"))
            await until(lambda: tracked.bytes_saved == log.path.stat().st_size)
        assert storm.fired == 3
        assert all(later - earlier > 0.65 for earlier, later in pairwise(times)), times
        assert all(isinstance(error.cause, StoreUnavailableError) for error in errors)
        log.check()

    @pytest.mark.usefixtures("impatient")
    async def test_a_short_outage(self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog) -> None:
        """An outage in the middle is ridden out; what was written meanwhile comes in one go."""
        log.path.write_bytes(lines(10))
        errors: list[TrackingError] = []
        async with log.follow(faulty, flush_interval=0.1, on_error=errors.append) as tracked:
            await tracked.flush()
            with fault_proxy.down():
                for n in range(100):
                    log.append(lines(50, f"outage {n}"))
                await until(lambda: bool(errors))
            await until(lambda: tracked.bytes_saved == log.path.stat().st_size)
        assert [error.attempts for error in errors] == list(range(1, len(errors) + 1))
        log.check()

    @pytest.mark.long
    async def test_an_outage_of_two_minutes(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog
    ) -> None:
        """Two minutes without a service, while the file grows, cost nothing but time."""
        log.path.write_bytes(lines(10))
        async with log.follow(faulty, flush_interval=1) as tracked:
            await tracked.flush()
            with fault_proxy.down():
                for n in range(240):
                    log.append(lines(50, f"outage {n}"))
                    await anyio.sleep(0.5)
            await tracked.flush()
            assert tracked.bytes_saved == log.path.stat().st_size
        log.check()

    async def test_an_outage_to_the_end(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, new_log: NewLog
    ) -> None:
        """An outage that outlasts the budget ends in one error within it, which says how many bytes are where."""
        for number, watch in enumerate(in_time(2.5)):
            await self.outage_to_the_end(faulty, fault_proxy, new_log(f"{number}.txt"), watch)

    async def outage_to_the_end(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog, watch: Stopwatch
    ) -> None:
        log.path.write_bytes(lines(10))
        with pytest.raises(LogNotSavedError) as left:
            async with log.follow(faulty, flush_interval=0.1) as tracked:
                await tracked.flush()
                tracked.flush_timeout = 1.5
                outage = fault_proxy.down()
                outage.__enter__()
                log.append(lines(10, "too late"))
                watch.start()
        watch.stop()
        outage.__exit__(None, None, None)
        assert (left.value.saved, left.value.pending) == (len(lines(10)), len(lines(10, "too late")))
        assert (left.value.path, left.value.blob) == (str(log.path), log.blob)
        assert f"{left.value.pending:,} bytes of {log.path} could not be saved to {log.blob}" in str(left.value)
        assert isinstance(left.value.__cause__, StoreUnavailableError)
        assert log.stored() == lines(10)
        assert not log.parts()[0].marks.complete
        async with log.follow(faulty):  # it is finished from the file
            pass
        log.check()

    async def test_a_silence_to_the_end(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog
    ) -> None:
        """A service that takes requests and never answers does not hold the end for longer than its budget."""
        log.path.write_bytes(lines(10))
        with pytest.raises(LogNotSavedError) as left:
            async with log.follow(faulty, flush_interval=60) as tracked:
                await tracked.flush()
                tracked.flush_timeout = 1.5
                silence = fault_proxy.fault(faults.hang, on="append", times=None)
                log.append(lines(10, "too late"))
                began = time.monotonic()
        assert time.monotonic() - began < 20
        assert silence.fired >= 1
        assert (left.value.saved, left.value.pending) == (len(lines(10)), len(lines(10, "too late")))
        fault_proxy.clear()
        assert log.stored() == lines(10)


class TestLateRequests:
    """Requests that the client has given up, and that reach the service when it has gone on."""

    async def test_a_late_create(self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog) -> None:
        """A creation that arrives when the log has content wipes nothing."""
        log.path.write_bytes(lines(10))
        gate = fault_proxy.gate()
        late = fault_proxy.fault(gate.late, on="create")
        async with log.follow(faulty) as tracked:
            await log.save()
            assert tracked.bytes_saved == len(lines(10))
            gate.release()
            await anyio.to_thread.run_sync(fault_proxy.wait_idle)
            log.append(lines(10, "more"))
            await tracked.flush()
        assert late.fired == 1
        log.check()

    async def test_a_late_creation_in_an_earlier_logs_place(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, container: Container, new_log: NewLog
    ) -> None:
        """The same of the creation over an earlier attempt's log."""
        log = new_log(earlier=EARLIER)
        await log.leave_earlier(faulty)
        log.path.write_bytes(lines(10))
        gate = fault_proxy.gate()
        late = fault_proxy.fault(gate.late, on=lambda request: request.header("If-Match") is not None
                                 and request.operation == "create")  # fmt: skip
        async with log.follow(faulty) as tracked:
            await log.save()
            gate.release()
            await anyio.to_thread.run_sync(fault_proxy.wait_idle)
            log.append(lines(10, "more"))
            await tracked.flush()
        assert late.fired == 1
        log.check()

    async def test_a_late_append(self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog) -> None:
        """An append that arrives when its bytes have been sent again, and more, is not stored twice."""
        log.path.write_bytes(b"")
        gate = fault_proxy.gate()
        async with log.follow(faulty) as tracked:
            late = fault_proxy.fault(gate.late, on="append")
            for n in range(3):
                log.append(lines(10, str(n)))
                await log.save()
            gate.release()
            await anyio.to_thread.run_sync(fault_proxy.wait_idle)
            log.append(lines(10, "more"))
            await tracked.flush()
        assert late.fired == 1
        log.check()

    async def test_reordered_appends(self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog) -> None:
        """An append that arrives between the look back and the second sending is recognised as our own."""
        log.path.write_bytes(b"")
        first, second = fault_proxy.gate(), fault_proxy.gate()
        async with log.follow(faulty) as tracked:
            late = fault_proxy.fault(first.late, on="append")
            held = fault_proxy.fault(second.held, on="append")
            log.append(lines(10))
            saving = asyncio.create_task(log.save())
            await until(lambda: held.fired == 1)
            first.release()
            await until(lambda: log.stored() == lines(10))
            second.release()
            await saving
            assert tracked.bytes_saved == len(lines(10))
            log.append(lines(10, "more"))
            await tracked.flush()
        assert late.fired == held.fired == 1
        log.check()

    @pytest.mark.parametrize("fresh", [False, True], ids=["the same file", "a fresh file"])
    async def test_an_append_after_the_next_attempt_began(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, container: Container, tmp_path: Path,
        new_log: NewLog, fresh: bool,
    ) -> None:  # fmt: skip
        """What the attempt before has sent last does not come into the next one's log, though its position fits."""
        earlier = WatchedLog(container, tmp_path / "log.txt")
        gate = fault_proxy.gate()
        earlier.path.write_bytes(lines(10))
        with pytest.raises(LogNotSavedError):
            async with earlier.follow(faulty) as tracked:
                await tracked.flush()
                late = fault_proxy.fault(gate.late, on="append", times=None)
                earlier.append(lines(10, "too late"))
                tracked.flush_timeout = 0.0
        fault_proxy.clear()
        log = new_log(earlier=lines(10) if fresh else None)
        if fresh:
            log.path.write_bytes(lines(10, "LINE"))  # as long as what was there before
        async with log.follow(faulty) as tracked:
            if fresh:
                await tracked.flush()
            gate.release()
            await anyio.to_thread.run_sync(fault_proxy.wait_idle)
            log.look()
            log.append(lines(10, "and more"))
            await log.save()
        assert late.fired >= 1
        log.check()


class TestMany:
    @pytest.mark.usefixtures("impatient")
    @pytest.mark.parametrize("run", [1, 2, 3])
    async def test_400_appends_with_20_percent_of_faults(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog, seed: int, run: int
    ) -> None:
        """Through faults of all kinds in a fifth of all requests, 400 appends make a log that is its file."""
        chance = random.Random(seed)  # noqa: S311 - repeatable
        modes = [mode for name, mode in ANYWHERE.items() if name not in {"delay", "hang", "trickle"}]
        modes += [faults.delay(0.01), hang_for(0.02)]
        kinds = [*modes, *WITH_A_BODY.values()]

        def decide(request: Request) -> Action | None:
            if chance.random() >= 0.2:
                return None
            return chance.choice(kinds if request.operation == "append" else modes)

        log.path.write_bytes(b"")
        fault_proxy.decide = decide
        async with log.follow(faulty, flush_interval=0.2) as tracked:
            for n in range(400):
                log.append(b"%d %s\n" % (n, chance.randbytes(chance.randrange(60)).hex().encode()))
                await log.save()
                assert tracked.bytes_saved == log.path.stat().st_size
        appends = [request for request in fault_proxy.requests if request.operation == "append"]
        assert len(appends) >= 400
        assert len(fault_proxy.fired) > 60
        assert log.looks >= len(appends)
        log.check()


async def test_errors_say_what_waits(faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog) -> None:
    """Every failed round gives one record: of this file and blob, with what is stored, what waits, and why."""
    log.path.write_bytes(lines(10))
    errors: list[TrackingError] = []
    async with log.follow(faulty, flush_interval=0.1, on_error=errors.append) as tracked:
        await tracked.flush()
        hit = fault_proxy.fault(faults.answer_before(500), on="append")
        log.append(lines(5, "waiting"))
        await until(lambda: tracked.bytes_saved == log.path.stat().st_size)
    assert hit.fired == 1
    assert [error.attempts for error in errors] == [1]
    for error in errors:
        assert (error.path, error.blob) == (str(log.path), log.blob)
        assert (error.offset, error.pending) == (len(lines(10)), len(lines(5, "waiting")))
        assert isinstance(error.cause, StoreError)
    log.check()
