"""Large blobs over connections of the standard library: right or not at all, whatever answers, and soon left."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from aiohttp import ClientSession, web
from anyio import run_process
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from batch_outputs import TaskOutputStorage
from batch_outputs.stop import Stop
from batch_outputs.stores.azure import AzureStore
from batch_outputs.stores.base import BlockingCalls
from batch_outputs.threads import finished
from stores.azure.answering import BLOB
from stores.azure.ranged import WRONG, Ranged, asked, broken_off, calls_to, data, ranged
from support.azurite import ACCOUNT, KEY, Container, running_azurite
from support.certificates import self_signed
from support.fault_proxy import FaultProxy
from support.faults import hang, silent
from support.made_up_identity import IDENTITY

pytestmark = pytest.mark.anyio

OpenStore: TypeAlias = Callable[..., AzureStore]
MIB = 1 << 20
PATIENCE = 30.0
SOON = 10.0
"""Seconds; less than a service that hangs is waited for."""


async def read(calls: BlockingCalls, size: int, *, etag: str = BLOB["ETag"], stop: Stop | None = None) -> bytes:
    """What a quick call gives of the blob x, in a thread."""

    def work() -> bytes:
        return b"".join(bytes(memoryview(p)) for p in calls.read("x", offset=0, size=size, etag=etag, stop=stop))

    return await asyncio.to_thread(work)


@pytest.mark.parametrize("size", [2 * MIB, 20 * MIB])
async def test_names_of_headers(size: int) -> None:
    """The names of headers may be in any case, as proxies and other services write them."""

    def handler(request: web.Request) -> web.Response:
        answer = ranged(request, size)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return web.Response(status=206, body=answer.body, headers=headers)

    async with calls_to(handler) as calls:
        assert await read(calls, size) == data(size)


@pytest.mark.parametrize("size", [2 * MIB, 20 * MIB])
@pytest.mark.parametrize("answer", WRONG.values(), ids=list(WRONG))
async def test_wrong_answers(answer: Ranged, size: int) -> None:
    """Of an answer that is not the range that was asked for, nothing is taken."""

    def handler(request: web.Request) -> web.Response:
        return answer(request, size)

    async with calls_to(handler) as calls:
        assert await read(calls, size) == b""


@pytest.mark.parametrize("size", [2 * MIB, 12 * MIB, 20 * MIB])
@pytest.mark.parametrize("cut", [0, 1000, MIB + 1])
async def test_broken_off(size: int, cut: int) -> None:
    """Of an answer that breaks off midway what came is given, or nothing, and never anything else."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if asked(request)[0] == 0 and size > 8 * MIB:
            return ranged(request, size)
        return await broken_off(request, size, cut)

    async with calls_to(handler) as calls:
        came = await read(calls, size)
        assert len(came) < size
        assert data(size).startswith(came)
        assert len(came) >= (8 * MIB if size > 8 * MIB else 0)


@pytest.mark.parametrize("size", [2 * MIB, 20 * MIB])
async def test_connections_that_were_closed(
    open_store: OpenStore, container: Container, fault_proxy: FaultProxy, size: int
) -> None:
    """A connection is used again, and one that the other side has closed meanwhile costs nothing."""
    store = open_store(container.location(endpoint=fault_proxy.through(container.azurite.endpoint)))
    await store.put("x", data(size))
    blob = await store.properties("x")
    calls = await store.blocking_calls()
    assert calls is not None
    for _ in range(3):
        assert await read(calls, size, etag=blob.etag) == data(size)
        with fault_proxy.down():
            pass
    assert sum(request.operation == "read" for request in fault_proxy.requests) == 3 * -(-size // (8 * MIB))


@pytest.mark.parametrize("size", [2 * MIB, 20 * MIB])
@pytest.mark.parametrize("begins", [False, True])
async def test_stopped(
    open_store: OpenStore, container: Container, fault_proxy: FaultProxy, size: int, begins: bool
) -> None:
    """What waits for a service that does not answer, or goes silent midway, ends at once when it is stopped."""
    store = open_store(container.location(endpoint=fault_proxy.through(container.azurite.endpoint)))
    await store.put("x", data(size))
    blob = await store.properties("x")
    calls = await store.blocking_calls()
    assert calls is not None

    fault_proxy.fault(silent if begins else hang, on="read", times=None)
    stop = Stop()

    def work() -> bytes:
        return b"".join(bytes(memoryview(p)) for p in calls.read("x", offset=0, size=size, etag=blob.etag, stop=stop))

    reading = asyncio.ensure_future(finished(work, stop))
    await asyncio.to_thread(fault_proxy.wait_fired)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(reading, SOON)
    assert stop.is_set()
    fault_proxy.clear()
    # It was no failure of the service's, after which the quick way is left alone for a while.
    assert await read(calls, size, etag=blob.etag, stop=Stop()) == data(size)


async def test_a_fetch_is_cancelled(container: Container, fault_proxy: FaultProxy, tmp_path: Path) -> None:
    """A cancelled fetch from a service that does not answer ends at once, and leaves no file and no connection."""
    sizes = {"little": 1000, "more": 2 * MIB, "much": 20 * MIB}
    async with TaskOutputStorage.from_container_url(fault_proxy.through(container.sas_url()), "t1") as task:
        for name, size in sizes.items():
            await task.save_bytes("TaskOutput", data(size), name)
        fault_proxy.fault(hang, on="read", times=None)
        for count, name in enumerate(sizes, 1):
            output = await task.get_output("TaskOutput", name).refresh()
            fetching = asyncio.ensure_future(output.fetch(tmp_path / "target" / name))
            await asyncio.to_thread(fault_proxy.wait_fired, count)
            fetching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(fetching, SOON)
        assert os.listdir(tmp_path / "target") == []
    await asyncio.to_thread(fault_proxy.wait_left)


async def test_closed_while_it_reads_ahead(
    open_store: OpenStore, container: Container, fault_proxy: FaultProxy
) -> None:
    """A reading ahead whose threads are let go before they have begun ends, instead of waiting for them for ever."""
    store = open_store(container.location(endpoint=fault_proxy.through(container.azurite.endpoint)))
    await store.put("x", data(20 * MIB))
    blob = await store.properties("x")
    calls = await store.blocking_calls()
    assert calls is not None
    gate = fault_proxy.gate()
    held = fault_proxy.fault(gate.held, on="put", times=None)
    puts = [asyncio.ensure_future(store.put(f"y{number}", data(MIB))) for number in range(8)]
    await asyncio.to_thread(fault_proxy.wait_fired, 8)
    came: list[int] = []
    reader = threading.Thread(
        target=lambda: came.append(
            sum(len(memoryview(p)) for p in calls.read("x", offset=0, size=blob.size, etag=blob.etag))
        )
    )
    reader.start()
    await asyncio.sleep(0.1)  # now it most likely waits for its first range, of which nothing tells us
    await store.aclose()
    await asyncio.to_thread(reader.join, SOON)
    is_there = reader.is_alive()
    gate.release()
    await asyncio.gather(*puts, return_exceptions=True)
    assert not is_there
    assert (held.fired, came) == (8, [0])


PROGRAM = (
    IDENTITY
    + """
import asyncio, sys
from batch_outputs.location import AzureAccount, StoreLocation, TokenAccess
from batch_outputs.stores.azure import AzureStore
from batch_outputs.stores.azure.content import InMemory

async def main():
    store = AzureStore(StoreLocation(AzureAccount(sys.argv[1], TokenAccess(Identity())), "job-x"))
    calls = await store.blocking_calls()
    found = {}
    for size in (4, 3 << 20, 20 << 20):
        content = bytes(range(1, 5)) * (size // 4)
        name = f"x{size}"
        written = await asyncio.to_thread(calls.put, name, InMemory(content))
        etag = "x" if written is None else written.etag
        if sys.argv[2] == "trusted" and written is None:
            etag = (await store.put(name, content)).etag
        def read():
            return b"".join(bytes(memoryview(p)) for p in calls.read(name, offset=0, size=size, etag=etag))
        found[size] = [written is not None, await asyncio.to_thread(read) == content]
    await store.aclose()
    print(json.dumps(found))

asyncio.run(main())
"""
)


async def test_over_https_by_an_identity(tmp_path: Path) -> None:
    """With a token and over TLS all is as over plain HTTP; a server whose certificate is not trusted gets nothing."""
    certificate = self_signed(tmp_path, "localhost", authority=False)
    with running_azurite(tmp_path / "azurite.log", certificate=certificate) as azurite:
        endpoint = azurite.named_endpoint.replace("http:", "https:")
        trusting = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(certificate[0])}
        sas = generate_account_sas(
            *(ACCOUNT, KEY, ResourceTypes(container=True), AccountSasPermissions(write=True)),
            datetime.now(UTC) + timedelta(hours=1),
        )
        async with ClientSession() as session:
            context = ssl.create_default_context(cafile=certificate[0])
            made = await session.put(f"{endpoint}/job-x?restype=container&{sas}", ssl=context)
            assert made.status == 201
        command = [sys.executable, "-c", PROGRAM, endpoint]
        trusted, untrusted = await asyncio.gather(
            run_process([*command, "trusted"], env=trusting, check=False),
            run_process([*command, "untrusted"], env={"PATH": trusting["PATH"]}, check=False),
        )
    assert json.loads(trusted.stdout or "{}") == {
        "4": [True, True],
        str(3 * MIB): [True, True],
        str(20 * MIB): [False, True],  # so much is not put in one piece
    }, trusted.stderr.decode()
    assert json.loads(untrusted.stdout or "{}") == {str(size): [False, False] for size in (4, 3 * MIB, 20 * MIB)}, (
        untrusted.stderr.decode()
    )
