"""Listing over plain connections: light and right, and what goes wrong is asked again in the ordinary way."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
from aiohttp import web

from batch_outputs.errors import AccessDeniedError, ContainerNotFoundError, StoreUnavailableError
from batch_outputs.stores.azure import AzureStore
from stores.azure.answering import BLOB, answering, hang_up, location, refusal
from support.azurite import Container
from support.fault_proxy import FaultProxy
from support.faults import hang

pytestmark = pytest.mark.anyio

OpenStore: TypeAlias = Callable[..., AzureStore]
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
