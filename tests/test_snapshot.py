"""A snapshot is one moment of a file, or an error: whatever the file's owner does meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from batch_outputs import TaskOutputStorage
from batch_outputs.errors import FileChangedError, SourceError, SourceNotFoundError
from batch_outputs.snapshot import _CLOCK_TICK, FileSnapshot, check_source
from support.in_time import Stopwatch, in_time

BLOCK = 64 * 1024


def quiet(path: Path, content: bytes) -> Path:
    """A file that was written some while ago."""
    path.write_bytes(content)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


def read_all(snapshot: FileSnapshot, length: int = BLOCK) -> bytes:
    return b"".join(iter(lambda: snapshot.read(length), b""))


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_is_the_file(tmp_path: Path, size: int) -> None:
    """A quiet file is read whole, any number of times, and nothing comes after its end."""
    content = os.urandom(size)
    with FileSnapshot(quiet(tmp_path / "a", content)) as snapshot:
        assert snapshot.size == size
        for _ in range(2):
            assert read_all(snapshot) == content
            assert snapshot.read(1) == b""
            snapshot.rewind()
        assert snapshot.read(size + 1) == content


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewrite_in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"y" * 2 * BLOCK)


CHANGES: list[Callable[[Path], object]] = [
    grow,
    rewrite_in_place,
    lambda path: os.truncate(path, BLOCK // 2),
    lambda path: os.truncate(path, 0),
    lambda path: path.write_bytes(b"y" * 2 * BLOCK),
]
NAMES = ["grows", "is rewritten in place", "shrinks", "is emptied", "is written anew"]


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
@pytest.mark.parametrize("read_before", [0, BLOCK])
def test_notices_a_change(tmp_path: Path, change: Callable[[Path], object], read_before: int) -> None:
    """A file that changes before its end was read gives an error in place of its end."""
    path = quiet(tmp_path / "a", b"x" * 2 * BLOCK)
    with FileSnapshot(path) as snapshot:
        snapshot.read(read_before)
        change(path)
        with pytest.raises(FileChangedError, match="written to") as changed:
            read_all(snapshot)
        assert changed.value.path == str(path)


def test_notices_a_change_before_the_second_reading(tmp_path: Path) -> None:
    """What is sent again is looked at again."""
    path = quiet(tmp_path / "a", b"x" * 2 * BLOCK)
    with FileSnapshot(path) as snapshot:
        read_all(snapshot)
        rewrite_in_place(path)
        snapshot.rewind()
        with pytest.raises(FileChangedError):
            read_all(snapshot)


def test_notices_a_change_right_after_another(tmp_path: Path) -> None:
    """A change within the same tick of the file system's clock does not slip through: fresh files are waited for."""
    path = tmp_path / "a"
    for round_ in range(10):
        path.write_bytes(b"%d" % round_ * BLOCK)
        with FileSnapshot(path) as snapshot:
            with path.open("r+b") as file:
                file.write(b"y" * BLOCK)
            with pytest.raises(FileChangedError):
                read_all(snapshot)


@pytest.mark.skipif(os.name == "nt", reason="Windows does not replace an open file")
def test_stays_with_the_file_that_was_opened(tmp_path: Path) -> None:
    """A file that takes over the name does not get mixed in."""
    path = quiet(tmp_path / "a", b"x" * 2 * BLOCK)
    new = quiet(tmp_path / "b", b"y" * 2 * BLOCK)
    with FileSnapshot(path) as snapshot:
        first = snapshot.read(BLOCK)
        new.replace(path)
        # Losing its name changes a file's status, so the snapshot may also refuse; it never goes on in the other file.
        with suppress(FileChangedError):
            assert first + read_all(snapshot) == b"x" * 2 * BLOCK


STEP = 4096


def assert_one_moment(content: bytes) -> None:
    """The content is what a hammered file had at some moment: round n up to a step's end, and round n - 1 behind it."""
    assert len(content) == 4 * BLOCK
    rounds = content[::STEP]
    done = rounds.count(rounds[:1])
    assert rounds == rounds[:1] * done + bytes([(rounds[0] - 1) % 256]) * (len(rounds) - done)
    assert content == b"".join(bytes([n]) * STEP for n in rounds)


HAMMER = """
import itertools, sys
size = int(sys.argv[2])
with open(sys.argv[1], "r+b", buffering=0) as file:
    print("ready", flush=True)
    for n in itertools.cycle(range(256)):
        file.seek(0)
        for start in range(0, size, 4096):
            file.write(bytes([n]) * 4096)
"""


@contextmanager
def hammered_by_a_process(path: Path) -> Iterator[None]:
    """Rewritten in place, in small steps and without a pause, by another process."""
    command = [sys.executable, "-c", HAMMER, str(path), str(4 * BLOCK)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as hammer:
        assert hammer.stdout is not None
        assert hammer.stdout.readline()
        try:
            yield
        finally:
            hammer.kill()


@contextmanager
def hammered_by_a_thread(path: Path) -> Iterator[None]:
    """Rewritten in place with pauses of up to 60 ms, so that some moments are quiet and some are not."""
    stop = threading.Event()

    def hammer() -> None:
        n = 0
        while not stop.is_set():
            n = (n + 1) % 256
            with path.open("r+b", buffering=0) as file:
                for _ in range(0, 4 * BLOCK, 4096):
                    file.write(bytes([n]) * 4096)
            stop.wait(0.02 * (n % 4))

    thread = threading.Thread(target=hammer)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("hammered", [hammered_by_a_process, hammered_by_a_thread])
def test_is_never_torn(tmp_path: Path, hammered: Callable[[Path], AbstractContextManager[None]]) -> None:
    """Each of many snapshots of a file that is rewritten with content of the same size is one moment, or an error."""
    path = tmp_path / "a"
    path.write_bytes(b"\0" * 4 * BLOCK)
    # A writer that never pauses may leave no moment at all; one that does leaves some.
    of_interest = "whole" if hammered is hammered_by_a_thread else "changed"
    seen = {"whole": 0, "changed": 0}
    with hammered(path):
        began = time.monotonic()
        while time.monotonic() < began + (1.5 if seen[of_interest] else 60.0):
            try:
                with FileSnapshot(path) as snapshot:
                    content = read_all(snapshot, 4096)
            except FileChangedError:
                seen["changed"] += 1
                continue
            assert_one_moment(content)
            seen["whole"] += 1
    assert seen[of_interest]


@pytest.mark.anyio
async def test_a_save_of_a_hammered_file_is_never_torn(tmp_path: Path) -> None:
    """What `save` stores of a file that is rewritten all the time is one moment of it; otherwise nothing is stored."""
    path = tmp_path / "a"
    path.write_bytes(b"\0" * 4 * BLOCK)
    (tmp_path / "store").mkdir()
    async with TaskOutputStorage.from_container_url((tmp_path / "store").as_uri(), "t1") as outputs:
        with hammered_by_a_thread(path):
            for n in range(10):
                try:
                    saved = await outputs.save("TaskOutput", path, f"{n}")
                except FileChangedError:
                    continue
                assert_one_moment(await saved.read_bytes())


@pytest.mark.anyio
async def test_a_save_waits_for_a_change_to_end(tmp_path: Path) -> None:
    """A file that is written anew when the save begins is saved once it is finished: not empty, not half."""
    path = quiet(tmp_path / "a", b"old")
    (tmp_path / "store").mkdir()
    async with TaskOutputStorage.from_container_url((tmp_path / "store").as_uri(), "t1") as outputs:
        for watch in in_time(_CLOCK_TICK, tries=20):  # a writer that was held up for longer counts as done
            begun = threading.Event()
            writer = threading.Thread(target=write_slowly, args=(path, begun, watch))
            writer.start()
            begun.wait()
            try:
                saved = await outputs.save("TaskOutput", path, "a")
            finally:
                writer.join()
            assert await saved.read_bytes() == b"new!" * 30 or watch.seconds >= _CLOCK_TICK


def write_slowly(path: Path, begun: threading.Event, longest: Stopwatch) -> None:
    """Write a file anew in small steps, and measure the longest of them."""
    with path.open("wb", buffering=0) as file:
        longest.start()
        begun.set()
        for _ in range(30):
            file.write(b"new!")
            longest.stop()
            longest.start()
            time.sleep(0.01)  # a writer that takes its time is what this is about
    longest.stop()


class TestWhatIsNoFile:
    @pytest.fixture(params=[check_source, FileSnapshot])
    def look(self, request: pytest.FixtureRequest) -> Callable[[str], object]:
        """The two that look at a source."""
        look: Callable[[str], object] = request.param
        return look

    def test_missing(self, look: Callable[[str], object], tmp_path: Path) -> None:
        """A path that leads nowhere, a dangling link too, is named."""
        (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
        for name in ("missing", "dangling", "missing/a"):
            with pytest.raises(SourceNotFoundError, match=f"no file .*{name}") as refused:
                look(str(tmp_path / name))
            assert refused.value.path == str(tmp_path / name)

    def test_folder(self, look: Callable[[str], object], tmp_path: Path) -> None:
        """A folder is refused with what to do instead."""
        with pytest.raises(SourceError, match="by a pattern"):
            look(str(tmp_path))

    def test_below_a_file(self, look: Callable[[str], object], tmp_path: Path) -> None:
        """A file taken for a folder is an error that names the path."""
        (tmp_path / "a").touch()
        with pytest.raises(SourceError, match="a/b"):
            look(str(tmp_path / "a" / "b"))

    def test_no_path(self, look: Callable[[str], object]) -> None:
        """Text that can be no path is refused as such."""
        for text in ("", "a\0b", "x" * 5000):
            with pytest.raises(SourceError):
                look(text)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names on Windows")
    def test_pipes_and_devices(self, look: Callable[[str], object], tmp_path: Path) -> None:
        """A pipe without a writer, or a device without an end, is refused and not waited for."""
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", Path("/dev/zero"), Path(os.devnull)):
            with pytest.raises(SourceError, match="pipe or device"):
                look(str(path))

    @pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this is about permissions of POSIX systems")
    def test_unreadable(self, look: Callable[[str], object], tmp_path: Path) -> None:
        """A file without permission is named with the reason."""
        path = tmp_path / "secret"
        path.write_bytes(b"x")
        path.chmod(0)
        with as_nobody(), pytest.raises(SourceError, match="Permission denied"):
            look(str(path))

    def test_a_link_to_a_file_is_a_file(self, look: Callable[[str], object], tmp_path: Path) -> None:
        """Links are followed."""
        quiet(tmp_path / "a", b"x")
        (tmp_path / "link").symlink_to("a")
        found = look(str(tmp_path / "link"))
        if isinstance(found, FileSnapshot):
            found.close()


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, which may read everything."""
    if sys.platform == "win32" or os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
