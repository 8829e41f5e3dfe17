"""Fetching outputs into local files: no more than needed, checked, and going on where it was cut short."""

# ruff: noqa: ASYNC240 - the tests' own files are small, and nothing else waits for the event loop

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from azure.storage.blob import BlobBlock, BlobType, ContentSettings

from batch_outputs import Fetched, OutputFileReference, TaskOutputStorage
from batch_outputs.errors import BlobChangedError, BlobNotFoundError, StoreError, StoreUnavailableError, TargetError
from batch_outputs.files import reserve, write_at
from batch_outputs.local_names import local_path
from batch_outputs.marks import LogMarks
from batch_outputs.names import beside
from batch_outputs.part_file import PartFile
from support import faults
from support.azurite import Container
from support.command import wait_until
from support.fault_proxy import FaultProxy
from support.faults import Exchange
from support.http1 import Request

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
BLOB = "t1/$TaskOutput/a.bin"
LOG = "t1/$TaskLog/log.txt"

BROKEN = (StoreUnavailableError, BlobChangedError)


@pytest.fixture
async def either(url: str) -> AsyncIterator[TaskOutputStorage]:
    """The outputs of a task, in a folder and on a blob service."""
    async with TaskOutputStorage.from_container_url(url, "t1") as storage:
        yield storage


@pytest.fixture
async def task(
    container: Container, fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[TaskOutputStorage]:
    """The outputs of a task behind the fault proxy; a request that fails is not repeated, nor done in another way."""
    monkeypatch.setenv("BATCH_OUTPUTS_RETRY_SECONDS", "0")
    monkeypatch.setenv("BATCH_OUTPUTS_BULK", "0")
    async with TaskOutputStorage.from_container_url(fault_proxy.through(container.sas_url()), "t1") as storage:
        yield storage


@pytest.fixture
async def quick(
    container: Container, fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[TaskOutputStorage]:
    """The same, with the quick way, that of several ranges at a time, before the ordinary one."""
    monkeypatch.setenv("BATCH_OUTPUTS_RETRY_SECONDS", "0")
    async with TaskOutputStorage.from_container_url(fault_proxy.through(container.sas_url()), "t1") as storage:
        yield storage


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the file is to be, in a folder of its own."""
    return tmp_path / "target" / "a.bin"


def put_file(container: Container, content: bytes, *, md5: bytes | None = None, blob: str = BLOB) -> None:
    """Store a file in blocks, for which the service makes no checksum; with `md5` this one is kept."""
    client = container.client.get_blob_client(blob)
    client.stage_block("0", content)
    client.commit_block_list(
        [BlobBlock("0")], content_settings=ContentSettings(content_md5=bytearray(md5) if md5 else None)
    )


def put_log(container: Container, *parts: bytes, complete: bool, log: str = "x" * 32, sha256: str = "") -> None:
    """Store a log in these parts; with `sha256` its marks lie."""
    for number, content in enumerate(parts, 1):
        last = number == len(parts)
        finished = complete or not last
        marks = LogMarks(
            attempt=log,
            log=log,
            part=number,
            complete=complete or 1 < number < len(parts),
            length=len(content) if finished else None,
            sha256=(sha256 or hashlib.sha256(content).hexdigest()) if finished else None,
            parts=len(parts) if complete and number == 1 else 1,
        )
        name = LOG if number == 1 else beside(LOG, f"part-{number}")
        container.client.upload_blob(name, content, BlobType.APPENDBLOB, metadata=marks.metadata(), overwrite=True)


def asked(proxy: FaultProxy) -> list[tuple[str, str]]:
    """The ranges that were read since this was last asked, each with the end of the blob's name."""
    ranges = [
        (request.blob.rpartition("/")[2], request.header("x-ms-range") or "")
        for request in proxy.requests
        if request.operation == "read"
    ]
    proxy.requests.clear()
    return ranges


def left(target: Path) -> list[str]:
    """What there is in the target's folder."""
    return sorted(path.name for path in target.parent.iterdir())


def part_of(target: Path) -> Path:
    """The one hidden file with the beginning of the target."""
    [part] = target.parent.glob(".*.part")
    return part


def noted(target: Path) -> int:
    """Up to where the beginning of the target is said to have no gaps; 0 where there is none yet."""
    for note in target.parent.glob(".*.from"):
        with suppress(FileNotFoundError):
            return next((int(line) for line in note.read_text().splitlines() if line.strip().isdigit()), 0)
    return 0


def length_of_part(target: Path) -> int:
    """How long the hidden file with the beginning of the target is, gaps counted in."""
    return max((part.stat().st_size for part in target.parent.glob(".*.part")), default=0)


def room_of(path: Path) -> int:
    """Bytes of the disk that a file has; 0 where the system does not tell."""
    return 512 * getattr(path.stat(), "st_blocks", 0)


async def cut_short(output: OutputFileReference, target: Path, proxy: FaultProxy) -> int:
    """Have a fetch end in the middle of an answer; how much of it there is."""
    broken = proxy.fault(faults.half_answer, on="read")
    with pytest.raises(BROKEN):
        await output.fetch(target)
    assert broken.fired
    asked(proxy)
    return part_of(target).stat().st_size


class TestUnchanged:
    async def test_only_what_is_needed(self, either: TaskOutputStorage, target: Path) -> None:
        """A first fetch writes the file with the output's time; later ones leave it alone, unless it was changed."""
        saved = await either.save_bytes("TaskOutput", b"12345", "a.bin")
        output = await either.get_output("TaskOutput", "a.bin").refresh()
        assert output.last_modified is not None
        seen: list[int] = []
        first = await saved.fetch(target, on_bytes=seen.append)
        assert (first.size, first.unchanged, first.resumed_at) == (5, False, 0)
        assert sum(seen) == 5
        assert target.read_bytes() == b"12345"
        assert int(target.stat().st_mtime) == int(output.last_modified.timestamp())
        before = target.stat()
        again = await output.fetch(str(target), on_bytes=seen.append)
        assert again == Fetched(5, unchanged=True, resumed_at=0, checked="length")
        assert sum(seen) == 10
        assert (target.stat().st_ino, target.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        spoilt: list[Callable[[], object]] = [
            lambda: target.write_bytes(b"12"),
            lambda: target.write_bytes(b"54321"),
            target.unlink,
            lambda: os.utime(target, (0, 0)),
        ]
        for spoil in spoilt:
            spoil()
            assert not (await output.fetch(target)).unchanged
            assert target.read_bytes() == b"12345"
        assert left(target) == ["a.bin"]

    async def test_replaced_within_the_second(self, either: TaskOutputStorage, target: Path) -> None:
        """Content of the same length that came within the same second is noticed all the same."""
        for number in range(12):
            content = b"%04d" % number
            output = await either.save_bytes("TaskOutput", content, "a.bin")
            assert not (await output.fetch(target)).unchanged
            assert target.read_bytes() == content

    async def test_nothing_is_read(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """An unchanged file is told by one look, and by none where a listing has just looked."""
        put_file(container, b"x" * 1000)
        [listed] = [output async for output in task.list_outputs()]
        await listed.fetch(target, refresh=False)
        assert [request.operation for request in fault_proxy.requests] == ["list", "read"]
        fault_proxy.requests.clear()
        assert (await listed.fetch(target, refresh=False)).unchanged
        assert fault_proxy.requests == []
        assert (await listed.fetch(target)).unchanged
        assert [request.operation for request in fault_proxy.requests] == ["properties"]

    async def test_a_listing_that_is_out_of_date(
        self, container: Container, task: TaskOutputStorage, target: Path
    ) -> None:
        """What changed since it was listed comes as it is now."""
        put_file(container, b"old")
        [listed] = [output async for output in task.list_outputs()]
        put_file(container, b"newer")
        assert (await listed.fetch(target, refresh=False)).size == 5
        assert target.read_bytes() == b"newer"
        assert listed.size == 5

    async def test_a_log_that_grows(self, container: Container, task: TaskOutputStorage, target: Path) -> None:
        """A log is left alone as long as nothing is appended, and comes anew when something is."""
        put_log(container, b"one\n", complete=False)
        log = task.get_output("TaskLog", "log.txt")
        assert (await log.fetch(target)).checked == "length"
        assert (await log.fetch(target)).unchanged
        container.client.get_blob_client(LOG).append_block(b"two\n")
        assert not (await log.fetch(target)).unchanged
        assert target.read_bytes() == b"one\ntwo\n"


class TestResuming:
    @pytest.mark.parametrize("checksum", [True, False])
    async def test_a_file(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path, checksum: bool
    ) -> None:
        """After a broken connection only the rest is asked for, and nothing stays behind in the end."""
        content = os.urandom(3 * MIB)
        put_file(container, content, md5=hashlib.md5(content, usedforsecurity=False).digest() if checksum else None)
        output = task.get_output("TaskOutput", "a.bin")
        there = await cut_short(output, target, fault_proxy)
        assert not target.exists()
        assert 0 < there < len(content)
        assert part_of(target).read_bytes() == content[:there]
        seen: list[int] = []
        fetched = await output.fetch(target, on_bytes=seen.append)
        assert fetched == Fetched(len(content), False, there, "md5" if checksum else "length")
        assert asked(fault_proxy) == [("a.bin", f"bytes={there}-{len(content) - 1}")]
        assert sum(seen) == len(content)
        assert target.read_bytes() == content
        assert left(target) == ["a.bin"]

    async def test_several_times(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """Each fetch goes on where the one before it ended, until all is there; until then the file is as it was."""
        content = os.urandom(6 * MIB)
        put_file(container, content)
        target.parent.mkdir()
        target.write_bytes(b"before")
        output = task.get_output("TaskOutput", "a.bin")
        sizes = [await cut_short(output, target, fault_proxy) for _ in range(3)]
        assert 0 < sizes[0] < sizes[1] < sizes[2]
        assert target.read_bytes() == b"before"
        assert (await output.fetch(target)).resumed_at == sizes[2]
        assert target.read_bytes() == content

    async def test_a_log_that_grew_meanwhile(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """A log whose ETag changed by an append is gone on with; one of another attempt is begun anew."""
        content = os.urandom(3 * MIB)
        put_log(container, content, complete=False)
        log = task.get_output("TaskLog", "log.txt")
        there = await cut_short(log, target, fault_proxy)
        container.client.get_blob_client(LOG).append_block(b"the end\n")
        assert (await log.fetch(target)).resumed_at == there
        assert target.read_bytes() == content + b"the end\n"
        await cut_short(log, target.with_name("b"), fault_proxy)
        put_log(container, content[::-1], complete=False, log="y" * 32)
        assert (await log.fetch(target.with_name("b"))).resumed_at == 0
        assert target.with_name("b").read_bytes() == content[::-1]
        assert left(target) == ["a.bin", "b"]

    async def test_another_version(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """What is left of an earlier version is never gone on with, and goes away, also where the new one is small."""
        put_file(container, b"a" * 3 * MIB)
        output = task.get_output("TaskOutput", "a.bin")
        for content in (b"b" * 3 * MIB, b"c"):
            await cut_short(output, target, fault_proxy)
            put_file(container, content)
            assert (await output.fetch(target)).resumed_at == 0
            assert target.read_bytes() == content
            assert left(target) == ["a.bin"]
            target.unlink()

    async def test_across_parts(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """A log in parts is joined and held against the checksums of all, also when it is gone on with midway."""
        parts = [os.urandom(2 * MIB), os.urandom(3 * MIB), b"end"]
        put_log(container, *parts, complete=True)
        log = task.get_output("TaskLog", "log.txt")
        broken = fault_proxy.fault(faults.half_answer, on="read", after=1)
        with pytest.raises(StoreUnavailableError):
            await log.fetch(target)
        assert broken.fired
        asked(fault_proxy)
        there = part_of(target).stat().st_size
        assert there > 2 * MIB
        assert await log.fetch(target) == Fetched(5 * MIB + 3, False, there, "sha256")
        assert asked(fault_proxy) == [
            ("log.part-2.txt", f"bytes={there - 2 * MIB}-{3 * MIB - 1}"),
            ("log.part-3.txt", "bytes=0-2"),
        ]
        assert target.read_bytes() == b"".join(parts)

    async def test_a_cancelled_fetch(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """What had come when a fetch was cancelled is gone on with."""
        content = os.urandom(9 * MIB)
        put_file(container, content)
        output = task.get_output("TaskOutput", "a.bin")
        fault_proxy.fault(faults.hang, on="read", after=1)
        fetching = asyncio.ensure_future(output.fetch(target))
        await asyncio.to_thread(fault_proxy.wait_fired)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
        assert left(target) == sorted([part_of(target).name, part_of(target).with_suffix(".from").name])
        assert (await output.fetch(target)).resumed_at == 8 * MIB
        assert target.read_bytes() == content

    async def test_one_that_is_gone(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """A blob that is deleted before a fetch is over leaves nothing."""
        put_file(container, b"x" * 9 * MIB)
        output = task.get_output("TaskOutput", "a.bin")

        async def delete_first(exchange: Exchange) -> None:
            await asyncio.to_thread(container.client.delete_blob, BLOB)
            await faults.pass_on(exchange)

        fault_proxy.fault(delete_first, on="read", after=1)
        with pytest.raises(BlobNotFoundError):
            await output.fetch(target)
        assert left(target) == []

    async def test_a_download_keeps_nothing(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """`download` writes anew and leaves nothing beside, and does not touch what a fetch has left."""
        put_file(container, b"x" * 3 * MIB)
        output = task.get_output("TaskOutput", "a.bin")
        fault_proxy.fault(faults.half_answer, on="read")
        with pytest.raises(StoreUnavailableError):
            await output.download(target)
        assert left(target) == []
        there = await cut_short(output, target, fault_proxy)
        assert await output.download(target) == 3 * MIB
        assert part_of(target).stat().st_size == there


class TestWhatIsHeldAgainst:
    async def test_a_byte_changed_once(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """A checksum that does not fit has all fetched once more, and the right content comes."""
        content = os.urandom(9 * MIB)
        container.client.upload_blob(BLOB, content)
        properties = container.client.get_blob_client(BLOB).get_blob_properties()
        assert properties.content_settings.content_md5 is not None
        flipped = fault_proxy.fault(faults.flip_answer, on="read")
        seen: list[int] = []
        fetched = await task.get_output("TaskOutput", "a.bin").fetch(target, on_bytes=seen.append)
        assert flipped.fired == 1
        assert (fetched.checked, sum(seen)) == ("md5", len(content))
        assert target.read_bytes() == content

    @pytest.mark.parametrize("what", ["file", "log"])
    async def test_a_wrong_checksum(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path, what: str
    ) -> None:
        """Content that is never what its checksum says does not appear, and the error names which."""
        if what == "file":
            put_file(container, b"x" * 2 * MIB, md5=b"0" * 16)
            output, name = task.get_output("TaskOutput", "a.bin"), "MD5"
        else:
            put_log(container, b"x" * 2 * MIB, b"y", complete=True, sha256="0" * 64)
            output, name = task.get_output("TaskLog", "log.txt"), "SHA-256"
        target.parent.mkdir()
        target.write_bytes(b"before")
        for get in (output.fetch, output.download):
            with pytest.raises(StoreError, match=rf"came with another {name} .*, twice"):
                await get(target)
            assert [blob for blob, _ in asked(fault_proxy)].count(output.name) == 2
            assert left(target) == ["a.bin"]
            assert target.read_bytes() == b"before"

    @pytest.mark.parametrize("size", [1000, 2 * MIB, 9 * MIB])
    async def test_no_checksum_is_asked_for(
        self, container: Container, task: TaskOutputStorage, target: Path, size: int
    ) -> None:
        """Without a check content is taken that is not what its checksum says, of a file and of a log in parts."""
        content = os.urandom(size)
        put_file(container, content, md5=b"0" * 16)
        put_log(container, content[:-9], content[-9:], complete=True, sha256="0" * 64)
        for output in (task.get_output("TaskOutput", "a.bin"), task.get_output("TaskLog", "log.txt")):
            with pytest.raises(StoreError, match="came with another"):
                await output.fetch(target)
            assert await output.fetch(target, check=False) == Fetched(size, False, 0, "length")
            assert target.read_bytes() == content
            assert (await output.fetch(target)).unchanged

    async def test_resumed_without_a_checksum(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """Without a check a fetch still fails where its answer is too short, and the next one reads the rest only."""
        content = os.urandom(3 * MIB)
        put_file(container, content, md5=b"0" * 16)
        output = task.get_output("TaskOutput", "a.bin")
        fault_proxy.fault(faults.half_answer, on="read")
        with pytest.raises(BROKEN):
            await output.fetch(target, check=False)
        assert not target.exists()
        there = part_of(target).stat().st_size
        asked(fault_proxy)
        assert await output.fetch(target, check=False) == Fetched(len(content), False, there, "length")
        assert asked(fault_proxy) == [("a.bin", f"bytes={there}-{len(content) - 1}")]
        assert target.read_bytes() == content

    async def test_a_log_begun_anew_without_a_checksum(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """Without a check a finished log that is begun anew midway is found out, and the new one comes."""
        put_log(container, b"a" * 2 * MIB, complete=True)

        async def replace_after(exchange: Exchange) -> None:
            await faults.pass_on(exchange)
            await asyncio.to_thread(partial(put_log, container, b"b" * 2 * MIB, complete=True, log="z" * 32))

        replaced = fault_proxy.fault(replace_after, on="read")
        fetched = await task.get_output("TaskLog", "log.txt").fetch(target, check=False)
        assert replaced.fired
        assert fetched.checked == "length"
        assert target.read_bytes() == b"b" * 2 * MIB

    async def test_a_part_that_was_spoilt(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """A beginning that has changed on the disk is found out by the checksum, and all is fetched anew."""
        content = os.urandom(3 * MIB)
        put_file(container, content, md5=hashlib.md5(content, usedforsecurity=False).digest())
        output = task.get_output("TaskOutput", "a.bin")
        await cut_short(output, target, fault_proxy)
        with part_of(target).open("r+b") as file:
            file.write(bytes(8))
        assert await output.fetch(target) == Fetched(len(content), False, 0, "md5")
        assert target.read_bytes() == content

    async def test_a_part_that_is_too_long(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """Of a beginning counts what was noted as whole, also if it is longer than that, or than all of the content."""
        content = os.urandom(3 * MIB)
        put_file(container, content)
        output = task.get_output("TaskOutput", "a.bin")
        await cut_short(output, target, fault_proxy)
        size = part_of(target).stat().st_size
        with part_of(target).open("ab") as file:
            file.write(bytes(len(content)))
        assert (await output.fetch(target)).resumed_at == size
        assert target.read_bytes() == content

    async def test_half_a_checksum(self, container: Container, task: TaskOutputStorage, target: Path) -> None:
        """Of a log that still grows only the length is vouched for, and yet each finished part has to fit."""
        put_log(container, b"one", b"two", complete=False)
        log = task.get_output("TaskLog", "log.txt")
        assert (await log.fetch(target)).checked == "length"
        assert target.read_bytes() == b"onetwo"
        put_log(container, b"one", b"two", complete=False, log="z" * 32, sha256="0" * 64)
        with pytest.raises(StoreError, match="SHA-256"):
            await log.fetch(target)

    async def test_saved_by_this_library(self, either: TaskOutputStorage, tmp_path: Path, target: Path) -> None:
        """A log that this library has finished is held against its SHA-256, wherever it is stored."""
        path = tmp_path / "log.txt"
        async with either.save_tracked("TaskLog", path, "log.txt") as tracked:
            path.write_bytes(b"x" * 100_000)
            await tracked.flush()
            assert (await tracked.output.fetch(target)).checked == "length"
        target.unlink()
        assert (await tracked.output.fetch(target)).checked == "sha256"
        assert target.read_bytes() == path.read_bytes()

    async def test_empty(self, either: TaskOutputStorage, target: Path) -> None:
        """An empty output is an empty file."""
        output = await either.save_bytes("TaskOutput", b"", "a.bin")
        assert (await output.fetch(target)).size == 0
        assert target.read_bytes() == b""
        assert (await output.fetch(target)).unchanged


class TestChangesMeanwhile:
    async def test_replaced_midway(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """A blob that is replaced between two reads comes as it is now, with nothing of what it was."""
        put_file(container, b"a" * 9 * MIB)

        async def replace_first(exchange: Exchange) -> None:
            await asyncio.to_thread(put_file, container, b"b" * 9 * MIB)
            await faults.pass_on(exchange)

        replaced = fault_proxy.fault(replace_first, on="read", after=1)
        seen: list[int] = []
        fetched = await task.get_output("TaskOutput", "a.bin").fetch(target, on_bytes=seen.append)
        assert replaced.fired
        assert (fetched.resumed_at, sum(seen)) == (0, 9 * MIB)
        assert target.read_bytes() == b"b" * 9 * MIB

    async def test_a_log_begun_anew_midway(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """A log that another attempt begins anew between two reads comes as the new one, with nothing of the former."""
        put_log(container, b"a" * 4 * MIB, complete=False)
        container.client.get_blob_client(LOG).append_block(b"a" * 4 * MIB)
        container.client.get_blob_client(LOG).append_block(b"a")

        async def begin_anew(exchange: Exchange) -> None:
            await asyncio.to_thread(put_log, container, b"b" * 4 * MIB, complete=False, log="y" * 32)
            for data in (b"b" * 4 * MIB, b"b"):
                await asyncio.to_thread(container.client.get_blob_client(LOG).append_block, data)
            await faults.pass_on(exchange)

        replaced = fault_proxy.fault(begin_anew, on="read", after=1)
        await task.get_output("TaskLog", "log.txt").fetch(target)
        assert replaced.fired
        assert target.read_bytes() == b"b" * (8 * MIB + 1)

    async def test_a_log_that_goes_on_in_a_part_while_it_is_looked_at(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """A first part that grew, ended and was followed between two looks comes with all that it had at its end."""
        put_log(container, b"one ", complete=False)

        async def go_on(exchange: Exchange) -> None:
            await asyncio.to_thread(put_log, container, b"one two ", b"three", complete=False)
            await faults.pass_on(exchange)

        fault_proxy.fault(go_on, on="properties", after=1)
        await task.get_output("TaskLog", "log.txt").fetch(target)
        assert target.read_bytes() == b"one two three"

    async def test_two_at_once(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """Two fetches into one file do not mix: the file is one of both, whole, and nothing is left beside it."""
        for letter in (b"a", b"b"):
            put_file(container, letter * 9 * MIB, blob=f"t1/$TaskOutput/{letter.decode()}")
        fault_proxy.fault(faults.delay(0.1), on="read", times=None)
        outputs = [task.get_output("TaskOutput", letter) for letter in "abab"]
        await asyncio.gather(*(output.fetch(target) for output in outputs))
        assert target.read_bytes() in (b"a" * 9 * MIB, b"b" * 9 * MIB)
        assert left(target) == ["a.bin"]


FETCHING = """
import asyncio, sys
from batch_outputs import TaskOutputStorage

async def main():
    async with TaskOutputStorage.from_container_url(sys.argv[1], "t1") as task:
        await task.get_output("TaskOutput", "a.bin").fetch(sys.argv[2])

asyncio.run(main())
"""


@contextmanager
def fetching_child(url: str, target: Path) -> Iterator[None]:
    """A process that fetches; killed without notice when the block is left."""
    child = subprocess.Popen([sys.executable, "-c", FETCHING, url, str(target)])
    try:
        yield
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


class TestByRanges:
    SECOND = f"bytes={8 * MIB}-{16 * MIB - 1}"

    def is_second(self, request: Request) -> bool:
        """Whether it asks for the second range."""
        return request.operation == "read" and request.header("x-ms-range") == self.SECOND

    async def test_over_broken_connections(
        self, container: Container, quick: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """A large file comes by ranges in one go, as long as it gets on, however many connections break off."""
        content = os.urandom(82 * MIB + 5)
        put_file(container, content)
        begun: set[int] = set()

        def is_first_of_its_kind(request: Request) -> bool:
            """Whether every other range is asked for the first time."""
            if request.operation != "read":
                return False
            number = int((request.header("x-ms-range") or "").removeprefix("bytes=").partition("-")[0]) // (8 * MIB)
            if number % 2 == 0 or number in begun:
                return False
            begun.add(number)
            return True

        broken = fault_proxy.fault(faults.half_answer, on=is_first_of_its_kind, times=None)
        seen: list[int] = []
        fetched = await quick.get_output("TaskOutput", "a.bin").fetch(target, on_bytes=seen.append)
        assert broken.fired == 5
        # The ordinary way, which asks for one range behind the other, says what it accepts.
        assert not any(request.header("Accept") for request in fault_proxy.requests if request.operation == "read")
        assert fetched == Fetched(len(content), False, 0, "length")
        assert sum(seen) == len(content)
        assert target.read_bytes() == content
        assert left(target) == ["a.bin"]

    async def test_killed_with_a_gap(
        self, container: Container, quick: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """Of a fetch that is killed while a range is awaited, what came behind that range is not gone on with."""
        content = os.urandom(48 * MIB)
        put_file(container, content)
        gate = fault_proxy.gate()
        fault_proxy.fault(gate.held, on=self.is_second)
        with fetching_child(fault_proxy.through(container.sas_url()), target):
            await asyncio.to_thread(wait_until, lambda: length_of_part(target) > 16 * MIB and noted(target) == 8 * MIB)
        gate.release()
        assert part_of(target).read_bytes()[8 * MIB : 9 * MIB] == bytes(MIB)
        assert (await quick.get_output("TaskOutput", "a.bin").fetch(target)).resumed_at == 8 * MIB
        assert target.read_bytes() == content
        assert left(target) == ["a.bin"]

    async def test_killed_while_a_gap_is_filled(
        self, container: Container, quick: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """A fetch that goes on slowly where a range has failed, and is killed, leaves nothing as whole that is not."""
        content = os.urandom(48 * MIB)
        put_file(container, content)

        async def refuse_late(exchange: Exchange) -> None:
            await asyncio.to_thread(wait_until, lambda: length_of_part(target) > 16 * MIB)
            await faults.answer_before(500)(exchange)

        fault_proxy.fault(refuse_late, on=self.is_second, times=2)
        fault_proxy.fault(faults.trickle(8 * MIB // 1000, 0.55), on=self.is_second)
        with fetching_child(fault_proxy.through(container.sas_url()), target):
            await asyncio.to_thread(wait_until, lambda: noted(target) > 8 * MIB)
        fault_proxy.clear()
        fetched = await quick.get_output("TaskOutput", "a.bin").fetch(target)
        assert 8 * MIB <= fetched.resumed_at < 16 * MIB
        assert target.read_bytes() == content

    async def test_cut_at_random(
        self, container: Container, quick: TaskOutputStorage, fault_proxy: FaultProxy, target: Path, seed: int
    ) -> None:
        """Wherever connections break off, what is kept is the content's beginning, and in the end all of it comes."""
        chance = random.Random(seed)  # noqa: S311 - not a secret
        content = chance.randbytes(chance.randint(17 * MIB, 50 * MIB))
        put_file(container, content)
        actions = [faults.half_answer, faults.cut_before, faults.cut_after, faults.answer_before(500)]
        for _ in range(chance.randint(6, 16)):
            fault_proxy.fault(chance.choice(actions), on="read", after=chance.randint(0, 2))
        output = quick.get_output("TaskOutput", "a.bin")
        resumed_at, fetched = 0, None
        while fetched is None:
            try:
                fetched = await output.fetch(target)
            except BROKEN:
                there = noted(target)
                assert there >= resumed_at
                if there:
                    assert part_of(target).read_bytes()[:there] == content[:there]
                resumed_at = there
        assert (fetched.size, fetched.resumed_at) == (len(content), resumed_at)
        assert target.read_bytes() == content
        assert left(target) == ["a.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there, and FIFOs are not")
class TestWhatSomebodyHasPlanted:
    @pytest.mark.parametrize("plant", ["link", "dangling link", "hard link", "fifo", "folder", "file of another user"])
    async def test_in_the_place_of_the_part(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path, plant: str
    ) -> None:
        """What stands in the place of the hidden file is neither written to nor gone on with; the file comes whole."""
        content = os.urandom(2 * MIB)
        put_file(container, content)
        output = task.get_output("TaskOutput", "a.bin")
        await cut_short(output, target, fault_proxy)
        part, note = part_of(target), part_of(target).with_suffix(".from").read_bytes()
        part.unlink()
        outside = target.parent.parent / "outside"
        plant_it(plant, part, outside)
        assert part.with_suffix(".from").read_bytes() == note
        before = part.lstat()
        assert (await output.fetch(target)).resumed_at == 0
        assert target.read_bytes() == content
        assert part.lstat() == before
        assert outside.exists() == (plant in {"link", "hard link"})
        if outside.exists():
            assert outside.read_bytes() == b"untouched"

    @pytest.mark.parametrize("plant", ["link to a file", "link to a twin", "link to nothing"])
    async def test_in_the_place_of_the_file(self, either: TaskOutputStorage, target: Path, plant: str) -> None:
        """A link in the file's place is replaced, and never followed, also where it leads to what is wanted."""
        output = await either.save_bytes("TaskOutput", b"12345", "a.bin")
        outside = target.parent.parent / "outside"
        if plant == "link to a file":
            outside.write_bytes(b"untouched")
        elif plant == "link to a twin":
            await output.fetch(outside)
        target.parent.mkdir()
        target.symlink_to(outside)
        assert not (await output.fetch(target)).unchanged
        assert not target.is_symlink()
        assert target.read_bytes() == b"12345"
        if plant == "link to a file":
            assert outside.read_bytes() == b"untouched"
        assert outside.exists() == (plant != "link to nothing")

    async def test_a_note_that_leads_elsewhere(
        self, container: Container, task: TaskOutputStorage, fault_proxy: FaultProxy, target: Path
    ) -> None:
        """A link in the place of the note is replaced, and what it leads to stays as it is."""
        put_file(container, b"x" * 2 * MIB)
        output = task.get_output("TaskOutput", "a.bin")
        await cut_short(output, target, fault_proxy)
        outside = target.parent.parent / "outside"
        outside.write_bytes(b"untouched")
        note = part_of(target).with_suffix(".from")
        note.unlink()
        note.symlink_to(outside)
        await output.fetch(target)
        assert outside.read_bytes() == b"untouched"
        assert left(target) == ["a.bin"]


def plant_it(plant: str, place: Path, outside: Path) -> None:
    """Put something there that a download should leave alone."""
    if plant in {"link", "hard link"}:
        outside.write_bytes(b"untouched")
    if plant in {"link", "dangling link"}:
        place.symlink_to(outside)
    elif plant == "hard link":
        place.hardlink_to(outside)
    elif plant == "fifo":
        os.mkfifo(place)
    elif plant == "folder":
        place.mkdir()
    else:
        place.write_bytes(b"untouched")
        give_away(place)


def give_away(path: Path) -> None:
    """Make it another user's, as far as this user may; else make it look to him like one that cannot be opened."""
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
    else:
        path.chmod(0)


HOSTILE = [
    "../../../climbed.txt",
    "/etc/absolute",
    "a//b",
    "a/./b",
    "back\\..\\..\\slash",
    "line\nend\x7f",
    "C:/drive",
    "~/home",
    "Case",
    "case",
    "-rf",
    "%41 #?+",
    "CON",
    "nul.txt",
    "trailing. ",
    "\u202egnp.exe",
    "ü" * 400 + ".png",
    "f" * 300,
    ".0123456789abcdef.part",
    ".0123456789ABCDEF.from",
]


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_name(url: str, tmp_path: Path, name: str) -> None:
    """Whatever an output is called, its path is below the target, and there it comes with its own content."""
    before = {path for path in tmp_path.rglob("*") if "store" not in path.parts}
    async with TaskOutputStorage.from_container_url(url, "t1") as task:
        await task._container.store.put(f"t1/$TaskOutput/{name}", name.encode())
        outputs = [output async for output in task.list_outputs()]
        assert len(outputs) == 1
        path = tmp_path / "target" / local_path(outputs[0].blob_name)
        await outputs[0].fetch(path)
    files = {path for path in tmp_path.rglob("*") if "store" not in path.parts and path.is_file()} - before
    assert files == {path}
    assert path.resolve().is_relative_to((tmp_path / "target").resolve())
    assert path.read_bytes() == name.encode()
    assert not re.match(r"\.[0-9a-fA-F]{16}\.", path.name)


class TestPartFile:
    def test_after_a_start_of_the_machine(self, tmp_path: Path) -> None:
        """What was written before the machine started is believed as far as the disk was waited for, and no further."""
        whole = 1024 * MIB
        part = PartFile(str(tmp_path / "a"), "source")
        assert not part.wrote(whole - 1)
        assert part.wrote(101)
        os.ftruncate(part.descriptor, part.size)
        part.sync()
        path = Path(part.path)
        part.close(keep=True)
        again = PartFile(str(tmp_path / "a"), "source")
        assert again.size == whole + 100
        again.close(keep=True)
        os.utime(path, (0, 0))
        late = PartFile(str(tmp_path / "a"), "source")
        assert late.size == path.stat().st_size == whole
        late.close(keep=False)
        assert list(tmp_path.iterdir()) == []

    def test_what_lies_behind_a_gap(self, tmp_path: Path) -> None:
        """What was written behind a gap is cut away: when it is gone on with, and when writing goes on from the gap."""
        part = PartFile(str(tmp_path / "a"), "source", length=100)
        write_at(part.descriptor, b"12345", 0)
        part.reached(5)
        write_at(part.descriptor, b"xyz", 20)
        assert part.size == 5
        part.close(keep=True)
        again = PartFile(str(tmp_path / "a"), "source", length=100)
        assert (again.size, os.fstat(again.descriptor).st_size) == (5, 5)
        write_at(again.descriptor, b"xyz", 20)
        again.seek_end()
        again.write(b"67")
        assert again.read(0, 100) == b"1234567"
        again.close(keep=False)
        assert list(tmp_path.iterdir()) == []

    def test_the_end(self, tmp_path: Path) -> None:
        """For the last bytes nobody waits for the disk, and so they are not noted where others would have to be."""
        whole = 1024 * MIB
        part = PartFile(str(tmp_path / "a"), "source", length=whole + 4)
        os.ftruncate(part.descriptor, whole + 4)
        assert not part.wrote(whole - 8)
        assert not part.wrote(12)
        assert part.size == whole + 4
        path = Path(part.path)
        part.close(keep=True)
        again = PartFile(str(tmp_path / "a"), "source", length=whole + 4)
        assert again.size == whole - 8
        again.close(keep=True)
        os.utime(path, (0, 0))
        late = PartFile(str(tmp_path / "a"), "source", length=whole + 4)
        assert late.size == 0
        late.close(keep=False)

    def test_room_kept(self, tmp_path: Path) -> None:
        """Where a disk can, it keeps room for a large file from the beginning, and gets back what was not used."""
        path, length = tmp_path / "probe", 100 * MIB
        path.touch()
        descriptor = os.open(path, os.O_RDWR)
        reserve(descriptor, length)
        os.close(descriptor)
        assert path.stat().st_size == 0
        kept = room_of(path)

        part = PartFile(str(tmp_path / "a"), "source", length=length)
        assert room_of(Path(part.path)) >= kept
        assert os.stat(part.path).st_size == 0
        part.reached(part.write(b"x" * 1000))
        part.close(keep=True)
        assert room_of(Path(part.path)) < MIB

        again = PartFile(str(tmp_path / "a"), "source", length=length)
        assert again.size == 1000
        assert room_of(Path(again.path)) >= kept
        again.put_in_place(None)
        assert (tmp_path / "a").stat().st_size == 1000

    def test_room_while_it_is_written(self, tmp_path: Path) -> None:
        """Room is kept until the end, also where what comes is written behind what is there."""
        part = PartFile(str(tmp_path / "a"), "source", length=100 * MIB)
        kept = room_of(Path(part.path))
        part.seek_end()
        part.reached(part.write(b"x" * 1000))
        assert room_of(Path(part.path)) >= kept
        part.close(keep=False)

    def test_room_kept_by_one_that_was_killed(self, tmp_path: Path) -> None:
        """Whoever takes up the file of one that was killed gives back the room that was kept for it."""
        path = str(tmp_path / "a")
        begun = f"from batch_outputs.part_file import PartFile; PartFile({path!r}, 'x', length={100 * MIB})"
        subprocess.run([sys.executable, "-c", f"import os; {begun}; os._exit(0)"], check=True)
        part = PartFile(path, "another", length=1000)
        part.reached(part.write(b"x" * 1000))
        part.put_in_place(None)
        assert room_of(tmp_path / "a") < MIB

    @pytest.mark.parametrize("length", [2000, 100 * MIB])
    def test_what_the_disk_did_not_take(self, tmp_path: Path, length: int) -> None:
        """What was counted as written while it was in a buffer, and never got to the disk, is not gone on from."""
        part = PartFile(str(tmp_path / "a"), "source", length=length)
        part.write(b"x" * 500)
        part.wrote(1000)
        part.close(keep=True)
        assert os.stat(part.path).st_size == 500
        again = PartFile(str(tmp_path / "a"), "source", length=length)
        assert again.size == 500
        again.close(keep=False)

    def test_more_room_than_there_is(self, tmp_path: Path) -> None:
        """For more than the disk has free no room is kept, and what fits is written as ever."""
        part = PartFile(str(tmp_path / "a"), "source", length=1 << 60)
        assert room_of(Path(part.path)) == 0
        part.reached(part.write(b"abc"))
        part.put_in_place(None)
        assert (tmp_path / "a").read_bytes() == b"abc"

    def test_a_note_that_is_not_ours_to_write(self, tmp_path: Path) -> None:
        """Where the note was made a link, what it leads to stays as it is, and what is forgotten is so for good."""
        part = PartFile(str(tmp_path / "a"), "source", length=100)
        write_at(part.descriptor, b"x" * 50, 0)
        part.reached(50)
        part.close(keep=True)
        note, elsewhere = Path(part.path).with_suffix(".from"), tmp_path / "elsewhere"
        note.rename(elsewhere)
        before = elsewhere.read_bytes()
        note.symlink_to(elsewhere)
        again = PartFile(str(tmp_path / "a"), "source", length=100)
        assert again.size == 50
        again.start_over()
        write_at(again.descriptor, b"y", 60)  # behind a gap
        os.close(again.descriptor)  # as if it were killed
        late = PartFile(str(tmp_path / "a"), "source", length=100)
        assert late.size == 0
        late.close(keep=False)
        assert elsewhere.read_bytes() == before

    def test_without_a_note(self, tmp_path: Path) -> None:
        """Where no note can be made, nothing is kept that nobody could go on with."""
        part = PartFile(str(tmp_path / "a"), "source")
        note = Path(part.path).with_suffix(".from")
        part.close(keep=False)
        note.mkdir()
        part = PartFile(str(tmp_path / "a"), "source")
        part.wrote(part.write(b"x" * 10))
        part.close(keep=True)
        assert list(tmp_path.iterdir()) == [note]

    def test_one_that_was_taken_away(self, tmp_path: Path) -> None:
        """What somebody has put in the place of the hidden file does not become the file."""
        part = PartFile(str(tmp_path / "a"), "source")
        Path(part.path).unlink()
        Path(part.path).write_bytes(b"not ours")
        with pytest.raises(FileNotFoundError, match="taken away"):
            part.put_in_place(None)
        assert not (tmp_path / "a").exists()
        part.close(keep=False)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
    def test_a_fork_while_one_is_made(self, tmp_path: Path) -> None:
        """A child that is forked while another thread makes a file in a folder can make files there itself."""
        done = subprocess.run([sys.executable, "-c", FORKING, str(tmp_path)], check=False)
        assert done.returncode == 0


FORKING = """
import os, signal, sys, threading
from batch_outputs.part_file import PartFile

opening, go_on = threading.Event(), threading.Event()

def hold(event, arguments):
    if event == "open" and threading.current_thread() is maker:
        opening.set()
        go_on.wait()

maker = threading.Thread(target=lambda: PartFile(os.path.join(sys.argv[1], "a"), None).close(keep=False))
sys.addaudithook(hold)
maker.start()
opening.wait()
child = os.fork()
if child == 0:
    signal.alarm(10)  # seconds
    PartFile(os.path.join(sys.argv[1], "b"), None).close(keep=False)
    os._exit(0)
ended = os.waitpid(child, 0)[1]
go_on.set()
maker.join()
sys.exit(os.waitstatus_to_exitcode(ended))
"""


async def test_a_full_disk_is_said(either: TaskOutputStorage, tmp_path: Path) -> None:
    """A target that cannot be written is named."""
    output = await either.save_bytes("TaskOutput", b"x", "a.bin")
    (tmp_path / "file").touch()
    with pytest.raises(TargetError, match=r"file/a cannot be written|file\\a cannot be written"):
        await output.fetch(tmp_path / "file" / "a")
    with pytest.raises(TargetError, match="there is a folder of that name"):
        await output.fetch(tmp_path)
    with pytest.raises(TargetError, match="name the file to write in it"):
        await output.fetch(os.path.join(tmp_path, ""))


async def test_over_the_stored_file_itself(tmp_path: Path) -> None:
    """Where outputs are files in a folder, an output is not written over itself, by whatever way it is named."""
    folder = tmp_path / "store" / "job-x"
    async with TaskOutputStorage.from_container_url(folder.as_uri(), "t1") as task:
        await task._container.create()
        output = await task.save_bytes("TaskOutput", b"x", "Con.%", metadata={"kept": "yes"})
        [own] = (folder / "t1" / "$TaskOutput").iterdir()
        for path in (own, folder / "t1" / ".." / "t1" / "$TaskOutput" / own.name):
            for get in (output.fetch, output.download):
                with pytest.raises(TargetError, match="is the file in which t1/"):
                    await get(path)
        assert (await output.refresh()).metadata == {"kept": "yes"}
        assert (await output.fetch(own.with_name("another"))).size == 1
