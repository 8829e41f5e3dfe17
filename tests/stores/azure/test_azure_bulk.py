"""Puts, small and large, with the bulk client and without it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from aiohttp import web

from batch_outputs.errors import FileChangedError, StoreError, WrongBlobTypeError
from batch_outputs.snapshot import FileSnapshot
from batch_outputs.stores.azure import AzureStore, bulk
from batch_outputs.stores.azure.content import BLOCK, InMemory, Source
from stores.azure.answering import answering, location, refusal, stored
from support.azurite import Container
from support.fault_proxy import FaultProxy
from support.faults import answer_before, cut_after, half_request
from support.http1 import Operation

pytestmark = pytest.mark.anyio

OpenStore: TypeAlias = Callable[..., AzureStore]
MIB = 1 << 20

BY_WIRE = "*/*"
"""What the wire says that it accepts, and the bulk client does not say."""


def pattern(size: int) -> bytes:
    """Bytes in which a lost or repeated piece shows."""
    return b"".join(number.to_bytes(8, "big") for number in range(size // 8 + 1))[:size]


def test_the_switch() -> None:
    """`BATCH_OUTPUTS_BULK=0` switches it off."""
    assert bulk.is_wanted({})
    assert bulk.is_wanted({"BATCH_OUTPUTS_BULK": "1"})
    assert not bulk.is_wanted({"BATCH_OUTPUTS_BULK": "0"})


async def test_who_carries_a_put(
    open_store: OpenStore, container: Container, fault_proxy: FaultProxy, by_bulk: bool
) -> None:
    """A put is one request, without a look before or after, by the client that is switched on, whatever the name."""
    store = open_store(container.location(endpoint=fault_proxy.through(container.azurite.endpoint)))
    names = ["x", "a//b", "..", "/a", "a/", "a/./b/..", "a\\b", "%41", "a#b?c", "ü😀", "x" * 1024]
    for name in names:
        await store.put(name, b"data", metadata={"Key": "v"})
    assert {request.operation for request in fault_proxy.requests} == {"put"}
    assert {request.header("Accept") for request in fault_proxy.requests} == {None if by_bulk else BY_WIRE}
    assert [request.blob for request in fault_proxy.requests] == names


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 40 * MIB, 40 * MIB + 1])
async def test_sizes(open_store: OpenStore, container: Container, tmp_path: Path, by_bulk: bool, size: int) -> None:
    """Around the size of a block, and for many blocks, files and bytes are stored as they are, over what was there."""
    data = pattern(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    store = open_store(container.location())
    with FileSnapshot(path) as snapshot:
        written = await store.put("x", snapshot, content_type="image/png", metadata={"key": "value"})
        assert (await store.put("x", snapshot)).etag != written.etag
        written = await store.put("x", snapshot, content_type="image/png", metadata={"key": "value"})
    found = await store.properties("x")
    assert (found.size, found.etag) == (size, written.etag)
    assert (found.content_type, dict(found.metadata)) == ("image/png", {"key": "value"})
    assert b"".join([piece async for piece in store.read("x")]) == data
    await store.put("x", data)
    assert b"".join([piece async for piece in store.read("x")]) == data


class Growing:
    """A file that is written to while it is read."""

    def __init__(self, snapshot: FileSnapshot, path: Path) -> None:
        self.snapshot = snapshot
        self.path = path
        self.size = snapshot.size
        self.beginnings = 0

    def read(self, length: int, /) -> bytes:
        data = self.snapshot.read(length - 1)
        with self.path.open("ab") as file:
            file.write(b"more")
        return data + self.snapshot.read(1)

    def rewind(self) -> None:
        self.beginnings += 1
        self.snapshot.rewind()


@pytest.mark.parametrize("size", [1000, 2 * MIB, 20 * MIB])
async def test_a_file_that_changes_meanwhile(
    open_store: OpenStore, container: Container, tmp_path: Path, by_bulk: bool, size: int
) -> None:
    """The file's own error comes out, without another try, and what was stored before stays."""
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    store = open_store(container.location())
    before = await store.put("x", b"before")
    with FileSnapshot(path) as snapshot:
        growing = Growing(snapshot, path)
        with pytest.raises(FileChangedError) as caught:
            await store.put("x", growing)
    assert (caught.value.path, growing.beginnings) == (str(path), 1)
    assert (await store.properties("x")).etag == before.etag
    assert b"".join([piece async for piece in store.read("x")]) == b"before"


class Short(InMemory):
    """Content that has less than it promises."""

    @property
    def size(self) -> int:
        return super().size + 1


@pytest.mark.parametrize("size", [1000, 2 * MIB, 20 * MIB])
async def test_content_that_ends_early(open_store: OpenStore, container: Container, by_bulk: bool, size: int) -> None:
    """Fewer bytes than promised are never stored."""
    store = open_store(container.location())
    with pytest.raises(StoreError, match="ended before its"):
        await store.put("x", Short(bytes(size)))
    assert [blob.name async for blob in store.list()] == []


class Meddling(FileSnapshot):
    """A file that is written to when so many bytes of it have been read."""

    def __init__(self, path: Path, after: int) -> None:
        super().__init__(path)
        self._after = after

    def read(self, length: int, /) -> bytes:
        self._after -= length
        if self._after <= 0:
            with Path(self.path).open("r+b") as file:
                file.write(b"new")
        return super().read(length)


@pytest.mark.parametrize("size", [MIB, BLOCK])
@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
async def test_changed_while_it_is_sent(
    open_store: OpenStore, container: Container, tmp_path: Path, by_bulk: bool, size: int, part: float
) -> None:
    """What is written to while some of it is on its way is not stored, and connections are as good as before."""
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    store = open_store(container.location())
    before = await store.put("x", b"before")
    for _ in range(3):
        with Meddling(path, int(part * size)) as snapshot, pytest.raises(FileChangedError):
            await store.put("x", snapshot)
        assert (await store.properties("x")).etag == before.etag
    with FileSnapshot(path) as snapshot:
        await store.put("x", snapshot)
    assert container.content("x") == path.read_bytes()


@pytest.mark.parametrize("operation", ["closed", "reset"])
async def test_sent_again_from_the_first_byte(
    open_store: OpenStore, container: Container, fault_proxy: FaultProxy, tmp_path: Path, by_bulk: bool, operation: str
) -> None:
    """A file whose sending breaks off, or that goes over a connection closed meanwhile, is sent anew, all of it."""
    path = tmp_path / "file"
    store = open_store(container.location(endpoint=fault_proxy.through(container.azurite.endpoint)))
    for size in (MIB, BLOCK, 3 * MIB + 1):
        path.write_bytes(pattern(size))
        if operation == "reset":
            fault_proxy.fault(half_request, on="put", times=1)
        with FileSnapshot(path) as snapshot:
            await store.put("x", snapshot)
        assert container.content("x") == pattern(size)
        with fault_proxy.down():
            pass


def test_blocks_are_few_enough() -> None:
    """Content of any length fits into the 50,000 blocks that the service allows."""

    class Huge(InMemory):
        size = 190 * (1 << 40)

    source = Source(Huge(b""), blob="x", place="y")
    assert source.size / source.block_size <= 50_000
    assert Source(b"x" * 100, blob="x", place="y").block_size == BLOCK


@pytest.mark.parametrize("size", [4, 2 * MIB, 20 * MIB])
async def test_a_fault_in_one_block(
    open_store: OpenStore, container: Container, fault_proxy: FaultProxy, by_bulk: bool, size: int
) -> None:
    """Faults of the service and of the connection midway leave a whole blob in the end."""
    store = open_store(container.location(endpoint=fault_proxy.through(container.azurite.endpoint)))
    operation: Operation = "stage" if size > BLOCK else "put"
    faults = [fault_proxy.fault(action, on=operation) for action in (answer_before(503), half_request, cut_after)]
    if size > BLOCK:
        faults.append(fault_proxy.fault(cut_after, on="commit"))
    data = pattern(size)
    await store.put("x", data)
    assert [fault.fired for fault in faults] == [1] * len(faults)
    assert container.content("x") == data


@pytest.mark.parametrize("size", [4, 2 * MIB, 20 * MIB])
async def test_a_log_in_the_way(open_store: OpenStore, by_bulk: bool, size: int) -> None:
    """As on Azure: neither a small nor a large put replaces an append blob."""

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return refusal(409, "InvalidBlobType")

    async with answering(handler) as endpoint:
        with pytest.raises(WrongBlobTypeError, match="log"):
            await open_store(location(endpoint)).put("log", bytes(size))


async def test_bulk_is_left_alone_when_it_keeps_failing(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only the bulk client fails, puts succeed all the same, and soon without trying it."""
    monkeypatch.setenv("BATCH_OUTPUTS_RETRY_SECONDS", "0")
    by_wire: list[bool] = []

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        by_wire.append(request.headers.get("Accept") == BY_WIRE)
        return stored() if by_wire[-1] else refusal(503, "ServerBusy")

    async with answering(handler) as endpoint:
        store = open_store(location(endpoint))
        for _ in range(5):
            assert (await store.put("x", b"data")).etag == '"0x1"'
    assert by_wire == [False, True] * 3 + [True] * 2


async def test_many_at_once(open_store: OpenStore, container: Container, by_bulk: bool) -> None:
    """Small and large puts at once, more than there are threads and slots, all arrive."""
    store = open_store(container.location())
    sizes = [3 + number for number in range(40)] + [BLOCK + number for number in range(3)]
    await asyncio.gather(*(store.put(f"x{size}", pattern(size)) for size in sizes))
    assert {blob.name: blob.size async for blob in store.list()} == {f"x{size}": size for size in sizes}


class Endless:
    """Content that tells when it is read first, and goes on as long as it is read."""

    size = 1 << 40

    def __init__(self) -> None:
        self.reads = 0
        self.closed = False
        self.read_after_close = False
        self.began = threading.Event()

    def read(self, length: int, /) -> bytes:
        self.read_after_close |= self.closed
        self.began.set()
        self.reads += 1
        return bytes(length)

    def rewind(self) -> None:
        pass


async def test_a_put_that_is_cancelled(open_store: OpenStore, container: Container, by_bulk: bool) -> None:
    """A cancelled put ends soon, reads nothing more from its source, and stores nothing."""
    store = open_store(container.location())
    content = Endless()
    task = asyncio.create_task(store.put("x", content))
    await asyncio.to_thread(content.began.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 30)
    content.closed = True
    reads = content.reads
    await store.put("y", b"data")
    assert (content.reads, content.read_after_close) == (reads, False)
    assert [blob.name async for blob in store.list()] == ["y"]


PROGRAM = """
import asyncio, os
from batch_outputs.location import AzureAccount, SasAccess, StoreLocation
from batch_outputs.stores.azure import AzureStore

async def main():
    account = AzureAccount(os.environ["ENDPOINT"], SasAccess(os.environ["SAS"]))
    store = AzureStore(StoreLocation(account, os.environ["CONTAINER"]))
    await asyncio.gather(*(store.put(f"x{number}", bytes(4096)) for number in range(20)))
    await store.put("large", bytes(9 << 20))
    if os.environ["CLOSE"] == "yes":
        await store.aclose()

asyncio.run(main())
"""


@pytest.mark.parametrize("close", ["yes", "no"])
def test_the_interpreter_ends_well(container: Container, close: str) -> None:
    """After puts in threads a process ends with code 0, each time, whether or not the store was closed."""
    environment = {
        **os.environ,
        "ENDPOINT": container.azurite.endpoint,
        "SAS": container.sas(),
        "CONTAINER": container.name,
        "CLOSE": close,
    }
    codes = {
        subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=False).returncode
        for _ in range(3)
    }
    assert codes == {0}
