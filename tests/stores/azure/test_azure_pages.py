"""Listing over plain connections: light and right, and what goes wrong is asked again in the ordinary way."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from aiohttp import web
from anyio import run_process

from batch_outputs.errors import AccessDeniedError, ContainerNotFoundError, StoreUnavailableError
from batch_outputs.stop import Stop
from batch_outputs.stores.azure import AzureStore
from batch_outputs.stores.azure.access import Ticket
from batch_outputs.stores.azure.network import KEEP_ALIVE
from batch_outputs.stores.azure.plain_http import PlainHttp
from batch_outputs.stores.azure.pressure import Pressure
from stores.azure.answering import BLOB, SAS, answering, hang_up, location, refusal
from support.azurite import Container
from support.fault_proxy import FaultProxy
from support.faults import hang
from support.growing import until

pytestmark = pytest.mark.anyio

OpenStore: TypeAlias = Callable[..., AzureStore]
SOON = 3.0
"""Seconds; less than is waited for a connection."""
LISTING = f"""<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs><Blob><Name>x</Name><Properties>
<Last-Modified>{BLOB["Last-Modified"]}</Last-Modified><Etag>0x1</Etag><Content-Length>3</Content-Length>
<BlobType>BlockBlob</BlobType></Properties></Blob></Blobs><NextMarker /></EnumerationResults>"""


async def names(store: AzureStore) -> list[str]:
    return [blob.name async for blob in store.list()]


def test_it_is_light(container: Container) -> None:
    """A program that lists imports no other HTTP client: that would take longer than the listing."""
    container.client.upload_blob("t1/$TaskOutput/x", b"x")
    program = (
        "import sys\n"
        "from batch_outputs.sync import JobOutputStorage\n"
        "with JobOutputStorage.from_container_url(sys.argv[1]) as job:\n"
        "    print(*job.list_tasks(), 'aiohttp' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, container.sas_url()], capture_output=True, text=True, check=True
    )
    assert done.stdout == "t1 False\n"


@pytest.mark.parametrize(
    "first",
    [
        lambda request: refusal(503, "ServerBusy"),
        lambda request: refusal(500, "InternalError"),
        lambda request: web.Response(text="<html>Please sign in</html>", content_type="text/html"),
        lambda request: web.Response(text=LISTING[:-9], content_type="application/xml"),
        hang_up,
    ],
    ids=["busy", "error", "page", "cut off", "hung up"],
)
async def test_what_goes_wrong_is_asked_again(
    open_store: OpenStore, first: Callable[[web.Request], web.Response | Awaitable[web.Response]]
) -> None:
    """After any answer that is no listing, the same page is asked for in the ordinary way, which repeats it."""
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.query_string)
        if len(asked) > 1:
            return web.Response(text=LISTING, content_type="application/xml")
        answer = first(request)
        return answer if isinstance(answer, web.Response) else await answer

    async with answering(handler) as endpoint:
        assert await names(open_store(location(endpoint))) == ["x"]
    assert len(asked) == 2
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(403, "AuthorizationFailure", AccessDeniedError), (404, "ContainerNotFound", ContainerNotFoundError)],
)
async def test_refusals(open_store: OpenStore, status: int, code: str, error: type[Exception]) -> None:
    """What the service refuses is said as ever, however often, and is no reason to leave the plain way."""
    asked = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return refusal(status, code)

    async with answering(handler) as endpoint:
        store = open_store(location(endpoint))
        for _ in range(5):
            with pytest.raises(error):
                await names(store)
    assert asked == 5 * 2


async def test_a_service_that_hangs_up_is_not_tried_twice_for_ever(open_store: OpenStore, impatient: None) -> None:
    """Where plain connections break again and again, they are left alone for a while."""
    asked = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return await hang_up(request)

    async with answering(handler) as endpoint:
        store = open_store(location(endpoint))
        needed = []
        for _ in range(4):
            before = asked
            with pytest.raises(StoreUnavailableError):
                await names(store)
            needed.append(asked - before)
    assert needed[-1] < needed[0]


async def test_connections_are_used_again(open_store: OpenStore, container: Container, fault_proxy: FaultProxy) -> None:
    """A connection that the other side has closed meanwhile costs nothing, not even a second request."""
    container.client.upload_blob("x", b"x")
    store = open_store(container.location(endpoint=fault_proxy.through(container.azurite.endpoint)))
    for _ in range(3):
        assert await names(store) == ["x"]
        with fault_proxy.down():
            pass
    assert len(fault_proxy.requests) == 3


async def test_cancelled(open_store: OpenStore, container: Container, fault_proxy: FaultProxy) -> None:
    """A listing of a service that does not answer ends at once when nobody wants it any more."""
    store = open_store(container.location(endpoint=fault_proxy.through(container.azurite.endpoint)))
    fault_proxy.fault(hang, on="list", times=None)
    listing = asyncio.create_task(names(store))
    await asyncio.to_thread(fault_proxy.wait_fired)
    listing.cancel()
    done, _ = await asyncio.wait([listing], timeout=30)  # seconds; half of what an answer is waited for
    assert done
    assert listing.cancelled()


async def test_cancelled_before_there_is_a_connection(open_store: OpenStore) -> None:
    """One that still waits for the other side to speak TLS ends at once, too."""
    came = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        came.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        listing = asyncio.create_task(names(open_store(location(f"https://127.0.0.1:{port}"))))
        await came.wait()
        listing.cancel()
        done, _ = await asyncio.wait([listing], timeout=SOON)
        assert done
        assert listing.cancelled()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a connection that is being made cannot be broken off")
async def test_cancelled_before_anybody_has_answered(open_store: OpenStore) -> None:
    """One whose packets are lost on their way ends at once, too."""
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # there is room for one to wait, and whoever comes next gets no answer
        port = full.getsockname()[1]
        first.connect(full.getsockname())
        listing = asyncio.create_task(names(open_store(location(f"http://127.0.0.1:{port}"))))
        await until(lambda: is_asked_for(port))
        listing.cancel()
        done, _ = await asyncio.wait([listing], timeout=SOON)
        assert done
        assert listing.cancelled()


def is_asked_for(port: int) -> bool:
    """Whether somebody has asked for a connection to a port of this machine, and waits for an answer."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()]
    return any((row[2].endswith(f":{port:04X}"), row[3]) == (True, "02") for row in rows[1:])  # SYN_SENT


async def test_a_failure_now_and_then(open_store: OpenStore) -> None:
    """Only failures in a row are a reason to leave the plain way; one that works in between is a new beginning."""
    plainly: list[bool] = []

    async def handler(request: web.Request) -> web.Response:
        is_plain = request.headers.get("Accept-Encoding") == "identity"
        plainly.append(is_plain)
        if is_plain and fails:
            return await hang_up(request)
        return web.Response(text=LISTING, content_type="application/xml")

    async with answering(handler) as endpoint:
        store = open_store(location(endpoint))
        for fails in [True, False] * 4:  # noqa: B007 - for the handler
            plainly.clear()
            assert await names(store) == ["x"]
            assert plainly[0]


async def test_how_long_the_service_asks_us_to_wait(open_store: OpenStore) -> None:
    """The ordinary way waits as long as the answer on the plain one has said."""
    asked: list[float] = []

    async def handler(_request: web.Request) -> web.Response:
        asked.append(time.monotonic())
        if len(asked) == 1:
            return refusal(503, "ServerBusy", Retry_After="1")
        return web.Response(text=LISTING, content_type="application/xml")

    async with answering(handler) as endpoint:
        assert await names(open_store(location(endpoint))) == ["x"]
    assert asked[1] - asked[0] >= 1


async def test_a_connection_that_was_idle_for_long_is_not_used() -> None:
    """What lies between may have forgotten it without a word, and then no answer would ever come."""
    connections: set[object] = set()
    now = 0.0

    async def handler(request: web.Request) -> web.Response:
        connections.add(request.transport)
        return web.Response(text="x")

    def ask(http: PlainHttp) -> bytes:
        with http.answer("/x", "", Ticket(), Stop()) as response:
            return response.read(100)

    async with answering(handler) as endpoint:
        http = PlainHttp(endpoint, Pressure(), clock=lambda: now)
        for now, count in ((0.0, 1), (KEEP_ALIVE - 1, 1), (3 * KEEP_ALIVE, 2), (3 * KEEP_ALIVE + 1, 2)):  # noqa: B007 - for the clock
            assert await asyncio.to_thread(ask, http) == b"x"
            assert len(connections) == count
        http.close()


def test_an_address_without_a_port() -> None:
    """The colons of an IPv6 address are none before a port: the usual one of the scheme is asked."""
    failure: Exception | None = None
    try:
        with PlainHttp("http://[::1]/acct", Pressure()).answer("/x", "", Ticket(), Stop()) as response:
            response.read(100)
    except OSError as error:
        failure = error
    assert not isinstance(failure, socket.gaierror)


async def test_an_ipv6_address() -> None:
    """The name of the host is sent as URLs have it, in brackets, and the account's path comes first."""
    asked: list[tuple[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append((request.headers["Host"], request.raw_path))
        return web.Response(text="x")

    def ask(endpoint: str) -> bytes:
        http = PlainHttp(endpoint, Pressure())
        with http.answer("/x", "a=b", Ticket("sig=c"), Stop()) as response:
            text = response.read(100)
        http.close()
        return text

    async with answering(handler) as endpoint:
        # An IPv6 address that needs no network of IPv6.
        assert await asyncio.to_thread(ask, endpoint.replace("127.0.0.1", "[::ffff:127.0.0.1]")) == b"x"
        host = endpoint.removeprefix("http://").removesuffix("/acct").replace("127.0.0.1", "[::ffff:127.0.0.1]")
    assert asked == [(host, "/acct/x?a=b&sig=c")]


FORKING = """
import os, sys
from batch_outputs.sync import JobOutputStorage
with JobOutputStorage.from_container_url(sys.argv[1]) as job:
    list(job.list_tasks())
    child = os.fork()
    if child == 0:
        list(job.list_tasks())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    list(job.list_tasks())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
async def test_a_forked_child_has_connections_of_its_own() -> None:
    """Over its parent's, of which it has a copy, each would read the answers to the other's requests."""
    connections: list[object] = []

    async def handler(request: web.Request) -> web.Response:
        connections.append(request.transport)
        return web.Response(text=LISTING, content_type="application/xml")

    async with answering(handler) as endpoint:
        await run_process([sys.executable, "-c", FORKING, f"{endpoint}/job-x?{SAS}"])
    parent, child, again = connections
    assert parent is again
    assert parent is not child
