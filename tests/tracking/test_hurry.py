"""When the end is near: `hurry` saves at once and marks the log, `end_within` ends in time. `attempt` parts runs."""

# ruff: noqa: PT012 - leaving the block of a tracked save is what raises, so the block stands in pytest.raises
# ruff: noqa: SIM117 - the storage and the tracked save in it are two things, each with a line of its own

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from batch_outputs import TaskOutputStorage, sync
from batch_outputs.errors import LogNotSavedError
from batch_outputs.log_part import MAX_APPEND
from support import faults
from support.azurite import Container
from support.command import wait_until
from support.fault_proxy import FaultProxy
from support.faults import Action
from support.growing import lines, until
from support.in_time import Stopwatch, in_time
from support.watched_log import WatchedLog, blob_name, fetch, names

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_secret_shows", "no_thread_is_left")]

AT_ONCE = 1.0
WITHIN_A_SECOND = 1.0 + 0.25 + 0.5
"""A second, a tick, and the request with its look."""
IN_ABOUT_HALF_A_SECOND = 1.5
LONG = 600.0

NewLog: TypeAlias = Callable[..., WatchedLog]


def noticed(log: WatchedLog) -> list[str | None]:
    """What each part of a log says of the node's end."""
    return [part.marks.notice for part in log.parts()]


def marks_written(proxy: FaultProxy, log: WatchedLog) -> int:
    """How often metadata of the log's first blob was set."""
    return sum(request.operation == "set_metadata" and request.blob == log.blob for request in proxy.requests)


class TestHurry:
    async def test_at_once_and_every_second(self, faulty: TaskOutputStorage, new_log: NewLog) -> None:
        """What is there is saved at once although the interval is long, and what comes later within a second."""
        for number, watch in enumerate(in_time(AT_ONCE)):
            await self.at_once_and_every_second(faulty, new_log(f"{number}.txt"), watch)

    async def at_once_and_every_second(self, faulty: TaskOutputStorage, log: WatchedLog, watch: Stopwatch) -> None:
        log.path.write_bytes(lines(10))
        async with log.follow(faulty, flush_interval=LONG) as tracked:
            assert tracked.bytes_saved == 0
            tracked.hurry()
            with watch:
                await until(lambda: log.stored() == log.path.read_bytes())
            for n in range(3):
                for later in in_time(WITHIN_A_SECOND):
                    log.append(lines(5, f"later {n}"))
                    with later:
                        await until(lambda: log.stored() == log.path.read_bytes())
            assert tracked.interval == 1.0
        log.check()
        assert noticed(log) == [None]

    def test_blocking(self, container: Container, tmp_path: Path) -> None:
        """The same in the blocking face."""
        for number, watch in enumerate(in_time(AT_ONCE)):
            self.blocking(WatchedLog(container, tmp_path / f"{number}.txt"), watch)

    def blocking(self, log: WatchedLog, watch: Stopwatch) -> None:
        log.path.write_bytes(lines(10))
        with sync.TaskOutputStorage.from_container_url(log.container.sas_url(), "t1") as task:
            with task.save_tracked("TaskLog", log.path, log.name, flush_interval=LONG) as tracked:
                tracked.hurry("Preempt")
                with watch:
                    wait_until(lambda: log.stored() == log.path.read_bytes() and noticed(log) == ["Preempt"])
                for later in in_time(WITHIN_A_SECOND):
                    log.append(lines(5, "later"))
                    with later:
                        wait_until(lambda: log.stored() == log.path.read_bytes())
        log.check()
        assert noticed(log) == ["Preempt"]

    async def test_a_shorter_interval(self, faulty: TaskOutputStorage, log: WatchedLog) -> None:
        """An interval that is shorter stays."""
        log.path.write_bytes(lines(10))
        async with log.follow(faulty, flush_interval=0.2) as tracked:
            tracked.hurry()
            assert tracked.interval == 0.2

    @pytest.mark.usefixtures("impatient")
    async def test_in_an_outage(self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, new_log: NewLog) -> None:
        """A store that does not answer is asked again every second, not ever more seldom: there is no time for that."""
        for number, watch in enumerate(in_time(4.5)):
            await self.in_an_outage(faulty, fault_proxy, new_log(f"{number}.txt"), watch)

    async def in_an_outage(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog, watch: Stopwatch
    ) -> None:
        log.path.write_bytes(lines(10))
        async with log.follow(faulty, flush_interval=LONG) as tracked:
            outage = fault_proxy.fault(faults.answer_before(503), on="append", times=3)
            tracked.hurry("Preempt")
            with watch:
                await until(lambda: log.stored() == log.path.read_bytes())
            assert outage.fired == 3
        log.check()

    @pytest.mark.usefixtures("impatient")
    async def test_before_the_log_is_begun(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog
    ) -> None:
        """Where the store did not answer when the log was to be begun, it is begun and marked once it does."""
        log.path.write_bytes(lines(10))
        fault_proxy.fault(faults.answer_before(503), on="create", times=2)
        async with log.follow(faulty, flush_interval=LONG) as tracked:
            tracked.hurry("Preempt")
            await until(lambda: noticed(log) == ["Preempt"])
            assert log.stored() == log.path.read_bytes()
        log.check()


FAULTS: dict[str, Action] = {
    "503": faults.answer_before(503),
    "cut-before": faults.cut_before,
    "cut-after": faults.cut_after,
    "503-after": faults.answer_after(503),
}


@pytest.mark.usefixtures("impatient")
class TestNotice:
    async def test_marked_once(self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog) -> None:
        """One request marks the log, whatever is flushed later and however often one is told to hurry."""
        log.path.write_bytes(lines(10))
        async with log.follow(faulty, flush_interval=LONG) as tracked:
            tracked.hurry("Preempt")
            await until(lambda: noticed(log) == ["Preempt"])
            for n in range(3):
                tracked.hurry("Preempt" if n else None)
                log.append(lines(5, f"later {n}"))
                await until(lambda: log.stored() == log.path.read_bytes())
                await tracked.flush()
            assert marks_written(fault_proxy, log) == 1
            assert not log.parts()[0].marks.complete
        log.check()
        assert noticed(log) == ["Preempt"]
        assert marks_written(fault_proxy, log) == 2

    async def test_of_a_log_in_parts(self, faulty: TaskOutputStorage, log: WatchedLog) -> None:
        """The first part, which was finished before, carries it; its length and checksum stay, and the rest goes on."""
        log.path.write_bytes(lines(50))
        async with log.follow(faulty, flush_interval=LONG) as tracked:
            await tracked.flush()
            log.turn_page()
            os.truncate(log.path, 0)
            log.append(lines(20, "anew"))
            await tracked.flush()
            finished = log.parts()[0].marks
            tracked.hurry("Preempt")
            await until(lambda: noticed(log) == ["Preempt", None])
            marks = log.parts()[0].marks
            assert (marks.length, marks.sha256) == (finished.length, finished.sha256) != (None, None)
            log.append(lines(5, "later"))
            await until(lambda: log.stored().endswith(lines(5, "later")))
        log.check()
        assert noticed(log)[0] == "Preempt"
        assert log.parts()[0].marks.length == finished.length

    @pytest.mark.parametrize("parts", [1, 2])
    @pytest.mark.parametrize("fault", FAULTS)
    async def test_when_marking_fails_once(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog, fault: str, parts: int
    ) -> None:
        """A mark whose request or answer is lost is there a little later, no byte waits for it, and then it is left."""
        log.path.write_bytes(lines(50))
        async with log.follow(faulty, flush_interval=LONG) as tracked:
            await tracked.flush()
            if parts == 2:
                log.turn_page()
                os.truncate(log.path, 0)
                await tracked.flush()
            hit = fault_proxy.fault(FAULTS[fault], on="set_metadata", blob=log.blob)
            before = len(fault_proxy.requests)
            log.append(lines(5, "later"))
            tracked.hurry("Preempt")
            await until(lambda: log.stored().endswith(lines(5, "later")))
            await until(lambda: noticed(log)[0] == "Preempt")
            asked = [request.operation for request in fault_proxy.requests[before:]]
            assert asked.index("append") < asked.index("set_metadata")
            await tracked.flush()
            written = marks_written(fault_proxy, log)
            for _ in range(3):
                await tracked.flush()
            assert marks_written(fault_proxy, log) == written
            assert hit.fired == 1
        log.check()
        assert noticed(log)[0] == "Preempt"

    @pytest.mark.parametrize("parts", [1, 2])
    async def test_among_what_others_have_added(
        self, faulty: TaskOutputStorage, container: Container, log: WatchedLog, parts: int
    ) -> None:
        """Metadata that somebody else has added meanwhile stays beside the mark."""
        log.path.write_bytes(lines(50))
        async with log.follow(faulty, flush_interval=LONG) as tracked:
            await tracked.flush()
            if parts == 2:
                log.turn_page()
                os.truncate(log.path, 0)
                await tracked.flush()
            blob = container.client.get_blob_client(log.blob)
            blob.set_blob_metadata({**blob.get_blob_properties().metadata, "reviewed": "yes"})
            tracked.hurry("Preempt")
            await until(lambda: noticed(log)[0] == "Preempt")
        log.check()
        first = log.parts()[0]
        assert (first.metadata["reviewed"], first.marks.notice) == ("yes", "Preempt")

    async def test_an_attempt_that_goes_on(self, faulty: TaskOutputStorage, log: WatchedLog) -> None:
        """An attempt that goes on behind the log keeps what the one before was told."""
        log.path.write_bytes(lines(10))
        async with log.follow(faulty, flush_interval=LONG) as tracked:
            tracked.hurry("Preempt")
            await until(lambda: noticed(log) == ["Preempt"])
        log.append(lines(10, "after"))
        async with log.follow(faulty, flush_interval=LONG) as tracked:
            await tracked.flush()
            assert noticed(log) == ["Preempt"]
            assert not log.parts()[0].marks.complete
        log.check()
        assert noticed(log) == ["Preempt"]

    async def test_after_an_attempt_that_was_cut_off(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog
    ) -> None:
        """So it is when the node went away before the log was finished."""
        log.path.write_bytes(lines(10))
        with pytest.raises(LogNotSavedError):
            async with log.follow(faulty, flush_interval=LONG) as tracked:
                tracked.hurry("Preempt")
                await until(lambda: noticed(log) == ["Preempt"])
                log.append(lines(10, "lost with the node"))
                fault_proxy.fault(faults.hang, on="append", times=None)
                tracked.end_within(0.5)
        fault_proxy.clear()
        async with log.follow(faulty):
            pass
        log.check()
        assert noticed(log) == ["Preempt"]

    async def test_without_the_right_to_mark(
        self, container: Container, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A store that refuses metadata is told of once, and everything is saved all the same."""
        log = WatchedLog(container, tmp_path / "log.txt")
        log.path.write_bytes(lines(10))
        async with TaskOutputStorage.from_container_url(container.sas_url("racl"), "t1") as task:
            async with log.follow(task, flush_interval=LONG) as tracked:
                tracked.hurry("Preempt")
                await until(lambda: "cannot be marked with Preempt" in caplog.text)
                for n in range(2):
                    log.append(lines(5, f"later {n}"))
                    await until(lambda: log.stored() == log.path.read_bytes())
        assert caplog.text.count("cannot be marked with Preempt") == 1
        log.check(complete=False)
        assert noticed(log) == [None]


class TestEndWithin:
    SLOW = 4000.0
    """Bytes a second."""

    async def test_a_slow_link(self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, new_log: NewLog) -> None:
        """The block is left in about the time that is allowed, though bytes move, and says what is not saved."""
        for number, watch in enumerate(in_time(IN_ABOUT_HALF_A_SECOND)):
            await self.slow_link(faulty, fault_proxy, new_log(f"{number}.txt"), watch)

    async def slow_link(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog, watch: Stopwatch
    ) -> None:
        log.path.write_bytes(lines(10))
        with pytest.raises(LogNotSavedError) as left:
            async with log.follow(faulty, flush_interval=LONG) as tracked:
                await tracked.flush()
                log.append(os.urandom(100_000))
                fault_proxy.bytes_per_second = self.SLOW
                tracked.end_within(0.5)
                watch.start()
        watch.stop()
        self.check(log, left.value)
        fault_proxy.bytes_per_second = None
        async with log.follow(faulty):  # it is finished from the file
            pass
        log.check()

    def check(self, log: WatchedLog, error: LogNotSavedError, *, unheard: int = 0) -> None:
        """What is stored is a beginning of the file, and the error says how much that is.

        So many bytes may be `unheard` of: they were stored, and the answer came too late.
        """
        stored, content = log.stored(), log.path.read_bytes()
        assert len(stored) < len(content)
        assert content.startswith(stored)
        assert error.saved in {len(stored), len(stored) - unheard}
        assert error.pending == len(content) - error.saved
        assert not log.parts()[0].marks.complete

    def test_blocking(self, container: Container, fault_proxy: FaultProxy, tmp_path: Path) -> None:
        """The same in the blocking face."""
        for number, watch in enumerate(in_time(IN_ABOUT_HALF_A_SECOND)):
            self.blocking(fault_proxy, WatchedLog(container, tmp_path / f"{number}.txt"), watch)
            fault_proxy.bytes_per_second = None

    def blocking(self, fault_proxy: FaultProxy, log: WatchedLog, watch: Stopwatch) -> None:
        log.path.write_bytes(os.urandom(100_000))
        url = fault_proxy.through(log.container.sas_url())
        with sync.TaskOutputStorage.from_container_url(url, "t1") as task:
            with pytest.raises(LogNotSavedError) as left:
                with task.save_tracked("TaskLog", log.path, log.name, flush_interval=LONG) as tracked:
                    fault_proxy.bytes_per_second = self.SLOW
                    tracked.end_within(0.5)
                    watch.start()
            watch.stop()
        self.check(log, left.value)

    async def test_while_appends_succeed(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, container: Container, tmp_path: Path
    ) -> None:
        """It is left in time in the middle of a round that goes well, and nothing is sent for it from then on."""
        other = WatchedLog(container, tmp_path / "other.txt")  # keeps the log thread alive
        logs = []
        for number, watch in enumerate(in_time(IN_ABOUT_HALF_A_SECOND)):
            logs.append(WatchedLog(container, tmp_path / f"{number}.txt"))
            await self.while_appends_succeed(faulty, fault_proxy, logs[-1], other, watch)
        assert names(container) == [*(log.name for log in logs), "other.txt"]

    async def while_appends_succeed(
        self,
        faulty: TaskOutputStorage,
        fault_proxy: FaultProxy,
        log: WatchedLog,
        other: WatchedLog,
        watch: Stopwatch,
    ) -> None:
        log.path.write_bytes(os.urandom(20_000_000))
        async with other.follow(faulty, flush_interval=LONG) as still_followed:
            with pytest.raises(LogNotSavedError) as left:
                async with log.follow(faulty, flush_interval=LONG) as tracked:
                    fault_proxy.bytes_per_second = 4_000_000
                    tracked.hurry()
                    await until(lambda: tracked.bytes_saved > 0)
                    tracked.end_within(0.5)
                    watch.start()
            watch.stop()
            fault_proxy.bytes_per_second = None
            fault_proxy.wait_idle()
            self.check(log, left.value, unheard=MAX_APPEND)
            asked = len(fault_proxy.requests)
            other.append(lines(1))
            await still_followed.flush()
            assert {request.blob for request in fault_proxy.requests[asked:]} <= {other.blob}

    async def test_the_least_counts(self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, new_log: NewLog) -> None:
        """More time that is allowed later does not lengthen it, and less shortens it, also in the middle of the end."""
        fault_proxy.fault(faults.hang, on="append", times=None)
        for number, watch in enumerate(in_time(IN_ABOUT_HALF_A_SECOND)):
            await self.least_counts(faulty, new_log(f"{number}.txt"), watch)

    async def least_counts(self, faulty: TaskOutputStorage, log: WatchedLog, watch: Stopwatch) -> None:
        log.path.write_bytes(lines(10))
        with pytest.raises(LogNotSavedError):
            async with log.follow(faulty, flush_interval=LONG) as tracked:
                tracked.end_within(0.5)
                tracked.end_within(60)
                watch.start()
        watch.stop()

    async def test_time_enough(self, faulty: TaskOutputStorage, log: WatchedLog) -> None:
        """Where the time is enough, the log is complete."""
        log.path.write_bytes(lines(1000))
        async with log.follow(faulty, flush_interval=LONG) as tracked:
            tracked.end_within(60)
        log.check()


class TestAttempt:
    async def test_its_own(self, faulty: TaskOutputStorage, container: Container, log: WatchedLog) -> None:
        """An attempt goes on behind the log that it has begun itself."""
        log.path.write_bytes(lines(10))
        async with log.follow(faulty, attempt="run1"):
            pass
        log.append(lines(10, "after"))
        async with log.follow(faulty, attempt="run1"):
            pass
        log.check()
        assert names(container) == ["log.txt"]
        assert log.parts()[0].marks.attempt == "run1"

    @pytest.mark.parametrize("earlier", ["run1", None])
    async def test_another(
        self, faulty: TaskOutputStorage, container: Container, tmp_path: Path, earlier: str | None
    ) -> None:
        """A log of another attempt is kept aside, though the file begins with all of it."""
        path = tmp_path / "log.txt"
        path.write_bytes(lines(10))
        async with faulty.save_tracked("TaskLog", path, path.name, attempt=earlier):
            pass
        with path.open("ab") as file:
            file.write(lines(10, "after"))
        async with faulty.save_tracked("TaskLog", path, path.name, attempt="run2"):
            pass
        assert names(container) == ["log.attempt-1.txt", "log.txt"]
        kept, mine = (fetch(container, blob_name(name)) for name in names(container))
        assert kept is not None
        assert mine is not None
        assert (kept.content, mine.content) == (lines(10), path.read_bytes())
        assert mine.marks.attempt == "run2"
        assert mine.marks.complete
        assert kept.marks.complete

    def test_blocking(self, container: Container, tmp_path: Path) -> None:
        """The same in the blocking face."""
        path = tmp_path / "log.txt"
        path.write_bytes(lines(10))
        with sync.TaskOutputStorage.from_container_url(container.sas_url(), "t1") as task:
            for attempt in ("run1", "run1", "run2"):
                with task.save_tracked("TaskLog", path, path.name, attempt=attempt):
                    pass
        assert names(container) == ["log.attempt-1.txt", "log.txt"]
