"""Files as they are: truncated, replaced, missing, odd. What is stored is always what the file was, in order."""


# ruff: noqa: ASYNC240 - the tests' own files are small, and nothing else waits for the event loop

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from batch_outputs import TaskOutputStorage
from batch_outputs.errors import LogNotSavedError, SourceError
from batch_outputs.tracking import TrackingError
from support.azurite import Container
from support.growing import lines, until
from support.kill_child import Order, Tracker
from support.watched_log import WatchedLog

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_secret_shows", "no_thread_is_left")]

MIB = 1024 * 1024
PATIENCE = 60.0
posix = pytest.mark.skipif(sys.platform == "win32", reason="files of POSIX")


def reasons(log: WatchedLog) -> list[str | None]:
    """Why each part was begun."""
    return [part.marks.reason for part in log.parts()]


class TestTruncated:
    async def test_to_nothing_and_grown_again(self, faulty: TaskOutputStorage, log: WatchedLog) -> None:
        """What was stored stays, and what is written from the beginning goes on in a second part."""
        log.path.write_bytes(lines(100))
        errors: list[TrackingError] = []
        async with log.follow(faulty, on_error=errors.append) as tracked:
            await tracked.flush()
            log.turn_page()
            os.truncate(log.path, 0)
            await tracked.flush()
            log.append(lines(30, "anew"))
            await tracked.flush()
        log.check()
        assert log.stored() == lines(100) + lines(30, "anew")
        assert reasons(log) == [None, "truncated"]
        assert [(type(error.cause), error.attempts) for error in errors] == [(SourceError, 0)]

    async def test_grown_beyond_its_old_length_between_two_looks(
        self, faulty: TaskOutputStorage, log: WatchedLog
    ) -> None:
        """A file that is longer than before at the next look, and another one, is not taken for one that grew."""
        log.path.write_bytes(lines(100))
        errors: list[TrackingError] = []
        async with log.follow(faulty, on_error=errors.append) as tracked:
            await tracked.flush()
            log.turn_page()
            log.path.write_bytes(lines(300, "anew"))
            await tracked.flush()
            assert tracked.bytes_saved == len(lines(100) + lines(300, "anew"))
        log.check()
        assert log.stored() == lines(100) + lines(300, "anew")
        assert reasons(log) == [None, "rewritten"]
        assert len(errors) == 1

    async def test_again_and_again(self, faulty: TaskOutputStorage, log: WatchedLog) -> None:
        """Each time makes one part more, and they read as one."""
        async with log.follow(faulty) as tracked:
            for n in range(5):
                log.path.write_bytes(lines(10 + n, f"page {n}"))
                await tracked.flush()
                log.turn_page()
        expected = b"".join(lines(10 + n, f"page {n}") for n in range(5))
        assert log.stored() == expected
        assert await faulty.get_output("TaskLog", log.name).read_bytes() == expected
        assert len(log.parts()) == 5
        log.check()

    async def test_copytruncate(self, faulty: TaskOutputStorage, log: WatchedLog) -> None:
        """A rotation that copies the file and truncates it loses what was not read before, and mixes nothing."""
        log.path.write_bytes(lines(50))
        with log.path.open("ab", buffering=0) as writer:
            async with log.follow(faulty) as tracked:
                await tracked.flush()
                writer.write(lines(50, "read in time"))
                await tracked.flush()
                log.turn_page()
                shutil.copy(log.path, f"{log.path}.1")
                os.truncate(log.path, 0)
                writer.write(lines(50, "after"))
                await tracked.flush()
        log.check()
        assert log.stored() == lines(50) + lines(50, "read in time") + lines(50, "after")


class TestReplaced:
    @posix
    async def test_renamed_and_made_anew(self, faulty: TaskOutputStorage, log: WatchedLog) -> None:
        """A rotation by renaming: the old file is saved to its end, then the new one follows."""
        log.path.write_bytes(lines(50))
        errors: list[TrackingError] = []
        async with log.follow(faulty, on_error=errors.append) as tracked:
            with log.path.open("ab", buffering=0) as old:
                await tracked.flush()
                log.turn_page(lines(50) + lines(50, "written to the old one"))
                os.rename(log.path, f"{log.path}.1")
                log.path.write_bytes(b"")
                old.write(lines(50, "written to the old one"))
                await tracked.flush()
            log.path.write_bytes(lines(50, "new"))
            await tracked.flush()
            await tracked.flush()
        expected = lines(50) + lines(50, "written to the old one") + lines(50, "new")
        assert log.stored() == expected
        assert reasons(log) == [None, "replaced"]
        assert len(errors) == 1
        assert await faulty.get_output("TaskLog", log.name).read_bytes() == expected

    @posix
    async def test_replaced_at_once(self, faulty: TaskOutputStorage, log: WatchedLog) -> None:
        """A file that another is renamed over is saved to its end, also when the block is left right then."""
        log.path.write_bytes(lines(50))
        other = log.path.with_name("other")
        other.write_bytes(lines(80, "other"))
        async with log.follow(faulty) as tracked:
            await tracked.flush()
            log.append(lines(5, "last"))
            log.turn_page()
            os.replace(other, log.path)
        log.check()
        assert log.stored() == lines(50) + lines(5, "last") + lines(80, "other")

    @posix
    async def test_a_link_and_where_it_leads(self, faulty: TaskOutputStorage, log: WatchedLog, tmp_path: Path) -> None:
        """A symbolic link is followed, and when it leads elsewhere, so does the log."""
        one, two = tmp_path / "one", tmp_path / "two"
        one.write_bytes(lines(20, "one"))
        two.write_bytes(lines(20, "two"))
        log.path.symlink_to(one)
        async with log.follow(faulty) as tracked:
            await tracked.flush()
            log.append(lines(5, "more"))
            log.turn_page()
            log.path.unlink()
            log.path.symlink_to(two)
            await tracked.flush()
            await tracked.flush()
            log.append(lines(5, "more of two"))
        log.check()
        assert log.stored() == lines(20, "one") + lines(5, "more") + lines(20, "two") + lines(5, "more of two")
        assert reasons(log) == [None, "replaced"]


class TestRewritten:
    async def test_in_the_middle(self, faulty: TaskOutputStorage, log: WatchedLog) -> None:
        """Bytes that change after they were saved are noticed at the end: the file follows, whole, as a part."""
        log.path.write_bytes(lines(2000))
        errors: list[TrackingError] = []
        async with log.follow(faulty, on_error=errors.append) as tracked:
            await tracked.flush()
            log.turn_page()
            with log.path.open("r+b") as file:
                file.seek(100)
                file.write(b"REWRITTEN")
        log.check()
        assert reasons(log) == [None, "rewritten"]
        assert [type(error.cause) for error in errors] == [SourceError]
        first, second = log.parts()
        assert (first.content, second.content) == (lines(2000), log.path.read_bytes())

    async def test_by_a_process_that_never_stops(
        self, faulty: TaskOutputStorage, log: WatchedLog, tmp_path: Path
    ) -> None:
        """A file that is rewritten all the time is no reason never to come to an end."""
        log.path.write_bytes(lines(2000))
        with log.asleep(), anyio.fail_after(PATIENCE), hammered(log.path, b"REWRITTEN", at=100):
            async with log.follow(faulty) as tracked:
                await tracked.flush()
        assert log.parts()[0].content.startswith(lines(2000)[:100])


class TestNotThereOrNotReadable:
    @posix
    @pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
    async def test_no_regular_file(self, faulty: TaskOutputStorage, log: WatchedLog, kind: str) -> None:
        """A pipe, a folder or a device is refused in a sentence, before any work is done, and without hanging."""
        make_odd(log.path, kind)
        with anyio.fail_after(PATIENCE), pytest.raises(SourceError, match="only a regular file can be tracked") as odd:
            async with log.follow(faulty):
                pytest.fail("this cannot be tracked")
        assert odd.value.path == str(log.path)
        assert log.parts() == []

    @posix
    @pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
    async def test_no_regular_file_later(self, faulty: TaskOutputStorage, log: WatchedLog, kind: str) -> None:
        """What comes to be later and is none is reported; what comes in its place is saved."""
        errors: list[TrackingError] = []
        async with log.follow(faulty, flush_interval=0.1, on_error=errors.append) as tracked:
            make_odd(log.path, kind)
            await until(lambda: bool(errors))
            log.path.rmdir() if kind == "folder" else log.path.unlink()
            log.path.write_bytes(lines(10))
            await until(lambda: tracked.bytes_saved == len(lines(10)))
        assert {type(error.cause) for error in errors} == {SourceError}
        log.check()

    @posix
    async def test_no_regular_file_at_the_end(self, faulty: TaskOutputStorage, log: WatchedLog) -> None:
        """One that stays is one error in the end, and soon."""
        with anyio.fail_after(PATIENCE), pytest.raises(LogNotSavedError, match="a pipe or device"):
            async with log.follow(faulty):
                make_odd(log.path, "fifo")

    async def test_missing_at_first(self, faulty: TaskOutputStorage, log: WatchedLog) -> None:
        """A file that does not exist yet is an empty log, and is saved once it is there."""
        async with log.follow(faulty, flush_interval=0.1) as tracked:
            await tracked.flush()
            assert log.stored() == b""
            log.path.write_bytes(lines(10))
            await until(lambda: tracked.bytes_saved == len(lines(10)))
        log.check()

    @posix
    async def test_no_permission_at_first(self, container: Container) -> None:
        """A file that may not be read yet is saved when it may. (In a process without root's powers.)"""
        folder = Path(tempfile.mkdtemp())  # below pytest's own folder nobody else may go
        try:
            folder.chmod(0o755)
            log = WatchedLog(container, folder / "log.txt")
            order = Order(container.sas_url(), str(log.path), log.name, user=65534 if os.getuid() == 0 else None)
            tracker = Tracker(order)
            tracker.wait_begun()
            log.path.touch(0o000)
            log.append(lines(10))
            await anyio.sleep(0.3)
            assert (tracker.saved, log.stored()) == (0, b"")
            log.path.chmod(0o644)
            await until(lambda: tracker.saved == len(lines(10)))
            await anyio.to_thread.run_sync(tracker.finish)
            log.check()
        finally:
            shutil.rmtree(folder)

    @posix
    async def test_no_permission(self, container: Container) -> None:
        """A file that is there and may not be read is refused when the block is entered."""
        folder = Path(tempfile.mkdtemp())
        try:
            folder.chmod(0o755)
            path = folder / "log.txt"
            path.touch(0o000)
            order = Order(container.sas_url(), str(path), "log.txt", user=65534 if os.getuid() == 0 else None)
            tracker = Tracker(order)
            tracker.process.join(PATIENCE)
            assert tracker.failure.startswith(f"SourceError: {path} cannot be read: Permission denied")
        finally:
            shutil.rmtree(folder)


class TestOddContent:
    @pytest.mark.parametrize(
        "content",
        [b"", b"\0", bytes(100_000), b"\xff\xfe\x80 not UTF-8 \xc3\n" * 100, b"\r\n\r\r\n" * 100, b"no end of line"],
        ids=["nothing", "one NUL", "only NUL", "not UTF-8", "line ends", "no line end"],
    )
    async def test_bytes_are_bytes(self, faulty: TaskOutputStorage, log: WatchedLog, content: bytes) -> None:
        """Whatever a file holds is stored as it is."""
        log.path.write_bytes(content)
        async with log.follow(faulty) as tracked:
            await tracked.flush()
            log.append(content)
        log.check()
        assert log.stored() == content * 2

    async def test_a_line_of_64_mib(self, faulty: TaskOutputStorage, container: Container, log: WatchedLog) -> None:
        """A line has no greatest length."""
        with log.asleep():
            line = os.urandom(MIB) * 64
            log.path.write_bytes(line)
            async with log.follow(faulty):
                pass
        log.check()

    async def test_written_during_the_read(self, faulty: TaskOutputStorage, log: WatchedLog) -> None:
        """A writer that never pauses: at every moment the beginning of the file, in the end what it was then."""
        log.path.write_bytes(b"")
        with hammered(log.path, lines(200, "hammer")):
            async with log.follow(faulty, flush_interval=0.1) as tracked:
                await until(lambda: tracked.bytes_saved > 2 * MIB and log.looks > 5)
        log.look()
        assert log.violations == []
        assert log.parts()[0].marks.complete
        assert log.path.read_bytes().startswith(log.stored())


def make_odd(path: Path, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(os.devnull)


@contextmanager
def hammered(path: Path, data: bytes, *, at: int | None = None) -> Iterator[None]:
    """Within the block a thread writes without a pause: to the file's end, or again and again `at` an offset."""
    stop = threading.Event()

    def write() -> None:
        with path.open("ab" if at is None else "r+b", buffering=0) as file:
            n = 0
            while not stop.wait(0.0005):
                if at is not None:
                    file.seek(at)
                file.write(b"%d %s" % (n, data))
                n += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()
