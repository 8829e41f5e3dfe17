"""The quick calls of a store for worker threads: what they do is right, and what they would do wrong they leave."""

from __future__ import annotations

import asyncio
import ctypes
import gzip
import os
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pytest
from azure.storage.blob import ContentSettings

from batch_outputs.errors import FileChangedError, StoreError, WrongBlobTypeError
from batch_outputs.snapshot import FileSnapshot
from batch_outputs.stop import Stop
from batch_outputs.stores.azure import AzureStore
from batch_outputs.stores.azure.content import InMemory
from batch_outputs.stores.base import BlobProperties, BlockingCalls, Store
from support.azurite import Container
from support.fault_proxy import FaultProxy
from support.stores import AzureBackend, Backend, DirectoryBackend

pytestmark = pytest.mark.anyio

MIB = 1 << 20
BLOCK = 8 * MIB
PATIENCE = 30.0
NAMES = [
    *("a", "a/b.txt", "a b", "%41", "a#b?c", "...", "a/..b/c", "ü😀/$TaskLog", "[*]", "x" * 1024),
    *("a//b", "a/./b", "a/../b", "/a", "a/", "..", "../../up", "C:/x", "a\x7f", "a\nb"),
]


@pytest.fixture(params=["directory", "azure"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Each kind of store that has quick calls."""
    if request.param == "directory":
        return DirectoryBackend(tmp_path / "outputs")
    container: Container = request.getfixturevalue("container")
    proxy: FaultProxy = request.getfixturevalue("fault_proxy")
    return AzureBackend(container, proxy)


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    """The empty container."""
    store = backend.open()
    yield store
    await store.aclose()


@pytest.fixture
async def calls(store: Store) -> BlockingCalls:
    """Its quick calls."""
    calls = await store.blocking_calls()
    assert calls is not None
    return calls


@cache
def pattern(size: int) -> bytes:
    """Bytes in which a lost or repeated piece shows, the same ones each time."""
    return random.Random(size).randbytes(size)  # noqa: S311 - not a secret


async def content(store: Store, name: str) -> bytes:
    """What the store's own way reads."""
    return b"".join([piece async for piece in store.read(name)])


async def read(
    calls: BlockingCalls, blob: BlobProperties, offset: int = 0, *, etag: str | None = None, stop: Stop | None = None
) -> bytes:
    """What a quick call reads, in a thread, put together piece by piece."""

    def work() -> bytes:
        pieces = calls.read(blob.name, offset=offset, size=blob.size, etag=etag or blob.etag, stop=stop)
        return b"".join(bytes(memoryview(piece)) for piece in pieces)

    return await asyncio.to_thread(work)


class TestPut:
    @pytest.mark.parametrize("name", NAMES)
    async def test_names(self, store: Store, calls: BlockingCalls, name: str) -> None:
        """Whatever a blob is called, it is stored under this name or not at all, and nothing under another."""
        try:
            written = await asyncio.to_thread(calls.put, name, InMemory(b"data"))
        except StoreError:
            written = None
        names = [blob.name async for blob in store.list()]
        assert names == ([] if written is None else [name])
        if written is not None:
            assert (await store.properties(name)).etag == written.etag
            assert await content(store, name) == b"data"

    @pytest.mark.parametrize("size", [0, 1, 256 * 1024 + 1, BLOCK, BLOCK + 1])
    async def test_sizes(self, store: Store, calls: BlockingCalls, size: int) -> None:
        """What is stored is exactly the content, type and metadata given, over what was there, or nothing is done."""
        before = await store.put("x", b"before")
        written = await asyncio.to_thread(
            lambda: calls.put(
                "x", InMemory(pattern(size)), content_type="text/plain; charset=utf-8", metadata={"key": "A value"}
            )
        )
        found = await store.properties("x")
        if written is None:
            assert (found.etag, size > BLOCK) == (before.etag, True)
            return
        assert (found.size, found.etag) == (size, written.etag)
        assert (found.content_type, dict(found.metadata)) == ("text/plain; charset=utf-8", {"key": "A value"})
        assert abs((found.last_modified - written.last_modified).total_seconds()) < 5
        assert await content(store, "x") == pattern(size)

    async def test_metadata_as_it_is_written(self, store: Store, calls: BlockingCalls) -> None:
        """Metadata is kept as it is written, or nothing is done."""
        written = await asyncio.to_thread(lambda: calls.put("x", InMemory(b"x"), metadata={"Key": "v"}))
        if written is not None:
            assert dict((await store.properties("x")).metadata) == {"Key": "v"}
        assert [blob.name async for blob in store.list()] == ([] if written is None else ["x"])

    @pytest.mark.parametrize("size", [1000, 2 * MIB])
    async def test_changed_while_it_is_read(
        self, store: Store, calls: BlockingCalls, tmp_path: Path, size: int
    ) -> None:
        """A file that is written to meanwhile raises its own error, and what was stored before stays."""
        before = await store.put("x", b"before")
        path = tmp_path / "file"
        path.write_bytes(bytes(size))
        with FileSnapshot(path) as snapshot, path.open("ab") as file:
            file.write(b"more")
            file.flush()
            with pytest.raises(FileChangedError):
                await asyncio.to_thread(calls.put, "x", snapshot)
        assert (await store.properties("x")).etag == before.etag
        assert [blob.name async for blob in store.list()] == ["x"]

    async def test_a_log_in_the_way(self, store: Store, calls: BlockingCalls) -> None:
        """A log is never replaced."""
        created = await store.create_append("log")
        with suppress(WrongBlobTypeError):
            assert await asyncio.to_thread(calls.put, "log", InMemory(b"x")) is None
        found = await store.properties("log")
        assert (found.etag, found.blob_type) == (created.etag, "append")

    async def test_from_many_threads(self, store: Store, calls: BlockingCalls) -> None:
        """Calls from many threads at once, small and large ones, all store their own content."""
        sizes = [*range(60), *(300_000 + number for number in range(8)), *(3 * MIB + number for number in range(4))]
        threads = [threading.Thread(target=calls.put, args=(f"x{size}", InMemory(pattern(size)))) for size in sizes]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        assert {blob.name: blob.size async for blob in store.list()} == {f"x{size}": size for size in sizes}
        assert await content(store, f"x{sizes[-1]}") == pattern(sizes[-1])


class TestRead:
    @pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, BLOCK, BLOCK + 1, 20 * MIB])
    async def test_sizes(self, store: Store, calls: BlockingCalls, size: int) -> None:
        """From each offset on all bytes come, exactly and in order, and from the end on none."""
        data = pattern(size)
        await store.put("x", data)
        blob = await store.properties("x")
        for offset in {0, size // 2, max(0, size - 1), size}:
            assert await read(calls, blob, offset) == data[offset:], offset
        assert await read(calls, blob, stop=Stop()) == data

    async def test_several_at_once(self, store: Store, calls: BlockingCalls) -> None:
        """Large blobs that are read in several threads, of which one reads ahead, do not get into each other's way."""
        data = pattern(20 * MIB)
        for name in "abc":
            await store.put(name, name.encode() + data)
        blobs = [await store.properties(name) for name in "abc"]
        found = await asyncio.gather(*(read(calls, blob) for blob in blobs))
        assert [content[:1] for content in found] == [b"a", b"b", b"c"]
        assert [content[1:] == data for content in found] == [True] * 3

    @pytest.mark.parametrize("name", NAMES)
    async def test_names(self, store: Store, calls: BlockingCalls, name: str) -> None:
        """Whatever a blob is called, its own bytes come, or none."""
        await store.put(name, b"data")
        for other in ("a", "b", "a/b"):
            if other != name:
                await store.put(f"{other}.other", b"wrong")
        assert await read(calls, await store.properties(name)) in {b"data", b""}

    @pytest.mark.parametrize("size", [10, 2 * MIB, 20 * MIB])
    async def test_another_state(self, store: Store, calls: BlockingCalls, size: int) -> None:
        """Of a blob that is no longer what it was, no byte comes."""
        await store.put("x", bytes(size))
        old = await store.properties("x")
        await store.put("x", b"\1" * size)
        assert await broken(read(calls, old)) == b""

    @pytest.mark.parametrize("size", [12 * MIB, 40 * MIB])
    async def test_another_state_midway(self, store: Store, calls: BlockingCalls, size: int) -> None:
        """Of a blob that is replaced while it is read, what comes is the old one's beginning, and nothing else."""
        data = pattern(size)
        await store.put("x", data)
        old = await store.properties("x")
        has_begun = threading.Event()
        is_replaced = threading.Event()
        taken: list[bytes] = []

        def work() -> None:
            for piece in calls.read("x", offset=0, size=old.size, etag=old.etag):
                taken.append(bytes(memoryview(piece)))
                has_begun.set()
                assert is_replaced.wait(PATIENCE)

        reading = asyncio.ensure_future(asyncio.to_thread(work))
        assert await asyncio.to_thread(has_begun.wait, PATIENCE)
        await store.put("x", b"\1" * size)
        is_replaced.set()
        await asyncio.wait([reading])
        came = b"".join(taken)
        assert 0 < len(came) < size
        assert data.startswith(came)
        assert reading.exception() is None or isinstance(reading.exception(), StoreError)

    async def test_missing(self, store: Store, calls: BlockingCalls) -> None:
        """Of a blob that is gone no byte comes."""
        await store.put("x", bytes(10))
        blob = await store.properties("x")
        await store.delete("x")
        assert await broken(read(calls, blob)) == b""

    async def test_left_early(self, store: Store, calls: BlockingCalls) -> None:
        """A reading that is left early holds up no other: not the one reading ahead, and no connection."""
        data = pattern(20 * MIB)
        await store.put("x", data)
        blob = await store.properties("x")

        def begin() -> None:
            pieces = calls.read("x", offset=0, size=blob.size, etag=blob.etag)
            assert bytes(memoryview(next(pieces))[:8]) == data[:8]
            pieces.close()

        for _ in range(4):
            await asyncio.wait_for(asyncio.to_thread(begin), PATIENCE)
        assert await read(calls, blob) == data


class Poured:
    """A file that is poured into, and what is told of it."""

    def __init__(self, path: Path, before: bytes = b"") -> None:
        self.path = path
        path.write_bytes(before)
        self.whole = len(before)
        self.moved = len(before)

    async def pour(
        self, calls: BlockingCalls, blob: BlobProperties, told: Callable[[], object] = lambda: None
    ) -> StoreError | None:
        """Pour what is missing; the store's error, if there is one. `told` is called whenever more has come."""

        def whole(size: int) -> None:
            assert self.whole < size <= blob.size
            self.whole = size

        def moved(size: int) -> None:
            assert self.moved <= size <= blob.size
            self.moved = size
            told()

        def work() -> None:
            with self._opened() as file:
                calls.pour(
                    blob.name,
                    file,
                    offset=self.whole,
                    size=blob.size,
                    etag=blob.etag,
                    stop=Stop(),
                    moved=moved,
                    whole=whole,
                )

        return await store_error(asyncio.to_thread(work))

    async def pour_at_once(self, calls: BlockingCalls, blob: BlobProperties) -> bool:
        """Pour a small blob; whether all is there."""

        def work() -> None:
            finish = calls.begin_pour(blob.name, size=blob.size, etag=blob.etag, stop=Stop())
            with self._opened() as file:
                outcome.append(finish(file))

        outcome: list[bool] = []
        failure = await store_error(asyncio.to_thread(work))
        return failure is None and outcome[0]

    def content(self) -> bytes:
        """What is there as far as it is whole."""
        return self.path.read_bytes()[: self.whole]

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self.path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            yield descriptor
        finally:
            os.close(descriptor)


class TestPour:
    @pytest.mark.parametrize("size", [0, 1, MIB, BLOCK, BLOCK + 1, 40 * MIB + 3])
    async def test_sizes(self, store: Store, calls: BlockingCalls, tmp_path: Path, size: int) -> None:
        """From each offset on all bytes come to where they belong, and what lies before it is left alone."""
        data = pattern(size)
        await store.put("x", data)
        blob = await store.properties("x")
        for offset in {0, size // 2, max(0, size - 1), size}:
            before = b"\xff" * offset
            poured = Poured(tmp_path / "target", before)
            assert await poured.pour(calls, blob) is None
            assert poured.whole == size
            assert poured.path.read_bytes() == before + data[offset:]

    @pytest.mark.parametrize("size", [1, 300_000, MIB + 1, BLOCK])
    async def test_small_ones(self, store: Store, calls: BlockingCalls, tmp_path: Path, size: int) -> None:
        """A small blob that is asked for at once is there whole."""
        await store.put("x", pattern(size))
        blob = await store.properties("x")
        for _ in range(2):  # over a new connection, and over one that is there
            poured = Poured(tmp_path / "target")
            assert await poured.pour_at_once(calls, blob)
            assert poured.path.read_bytes() == pattern(size)

    @pytest.mark.parametrize("size", [10, 2 * MIB, 20 * MIB])
    async def test_another_state(self, store: Store, calls: BlockingCalls, tmp_path: Path, size: int) -> None:
        """Of a blob that is no longer what it was, or is gone, nothing comes."""
        await store.put("x", bytes(size))
        old = await store.properties("x")
        await store.put("x", b"\1" * size)
        poured = Poured(tmp_path / "target")
        await poured.pour(calls, old)
        if size <= BLOCK:
            assert not await poured.pour_at_once(calls, old)
        await store.delete("x")
        await poured.pour(calls, old)
        assert (poured.whole, poured.path.read_bytes()) == (0, b"")

    async def test_another_state_midway(self, store: Store, calls: BlockingCalls, tmp_path: Path) -> None:
        """Of a blob that is replaced while it is poured, what is told to be whole is the old one's beginning."""
        data = pattern(44 * MIB)
        await store.put("x", data)
        old = await store.properties("x")
        has_begun, is_replaced = threading.Event(), threading.Event()

        def told() -> None:
            has_begun.set()
            assert is_replaced.wait(PATIENCE)

        poured = Poured(tmp_path / "target")
        pouring = asyncio.ensure_future(poured.pour(calls, old, told))
        assert await asyncio.to_thread(has_begun.wait, PATIENCE)
        await store.put("x", b"\1" * old.size)
        is_replaced.set()
        await pouring
        assert 0 < poured.whole < old.size
        assert poured.content() == data[: poured.whole]

    async def test_a_file_that_cannot_be_written(self, store: Store, calls: BlockingCalls, tmp_path: Path) -> None:
        """An error of the file comes out as it is, of many ranges and of one."""
        for size in (1000, 20 * MIB):
            await store.put("x", pattern(size))
            blob = await store.properties("x")

            def work(blob: BlobProperties = blob) -> None:
                reading = os.open(tmp_path / "target", os.O_RDONLY | os.O_CREAT)
                try:
                    if blob.size <= BLOCK:
                        calls.begin_pour("x", size=blob.size, etag=blob.etag, stop=Stop())(reading)
                    else:
                        calls.pour(
                            "x",
                            reading,
                            offset=0,
                            size=blob.size,
                            etag=blob.etag,
                            stop=Stop(),
                            moved=lambda _: None,
                            whole=lambda _: None,
                        )
                finally:
                    os.close(reading)

            with pytest.raises(OSError, match=r"[Bb]ad file descriptor|denied"):
                await asyncio.to_thread(work)


async def test_encoded_content(container: Container) -> None:
    """What is stored compressed, or in another encoding, comes as it is stored."""
    data = gzip.compress(os.urandom(2 * MIB))
    for name, size in (("small", 1000), ("large", len(data))):
        settings = ContentSettings(content_encoding="gzip", content_type="text/plain")
        container.client.upload_blob(name, data[:size], content_settings=settings)
    store = AzureStore(container.location())
    calls = await store.blocking_calls()
    assert calls is not None
    for name in ("small", "large"):
        blob = await store.properties(name)
        assert blob.size > 0
        assert await read(calls, blob) == data[: blob.size]
    await store.aclose()


async def test_the_memory_of_a_piece(container: Container) -> None:
    """A piece is good until the next one is asked for, and what a large blob takes is a few blocks, not all of it."""
    store = AzureStore(container.location())
    data = pattern(48 * MIB)
    await store.put("x", data)
    blob = await store.properties("x")
    calls = await store.blocking_calls()
    assert calls is not None
    at = 0
    used: dict[int, int] = {}
    for piece in calls.read("x", offset=0, size=blob.size, etag=blob.etag):
        view = memoryview(piece)
        assert bytes(view) == data[at : at + len(view)]
        at += len(view)
        address = ctypes.addressof(ctypes.c_char.from_buffer(view))
        used[address] = max(len(view), used.get(address, 0))
    assert at == len(data)
    assert sum(used.values()) <= 4 * BLOCK
    await store.aclose()


async def store_error(work: Awaitable[object]) -> StoreError | None:
    """What a call raises that may as well end early."""
    try:
        await work
    except StoreError as error:
        return error
    return None


async def broken(reading: Awaitable[bytes]) -> bytes:
    """What was read, where the call may as well raise an error of the store."""
    try:
        return await reading
    except StoreError:
        return b""
