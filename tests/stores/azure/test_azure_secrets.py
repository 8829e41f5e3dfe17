"""No key, no token and no signature of a SAS shows anywhere, whatever fails."""

from __future__ import annotations

import asyncio
import logging
import socket
import traceback
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qs, quote

import pytest
from aiohttp import web

from batch_outputs.errors import BatchOutputsError, FileChangedError
from batch_outputs.location import Access, AzureAccount, KeyAccess, SasAccess, SasFileAccess, StoreLocation
from batch_outputs.loop_crew import LoopCrew
from batch_outputs.snapshot import FileSnapshot
from batch_outputs.stop import Stop
from batch_outputs.stores.azure import AzureStore, AzureStoreAccount
from batch_outputs.stores.azure.content import InMemory
from stores.azure.answering import answering, hang_up, location, refusal
from support.azurite import ACCOUNT, KEY, Container
from support.crews import in_one
from support.fault_proxy import FaultProxy
from support.faults import answer_before, cut_after, half_answer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("impatient")]

Operation: TypeAlias = Callable[[AzureStore], Awaitable[object]]


async def _read(store: AzureStore) -> None:
    async for _ in store.read("x"):
        pass


async def _list(store: AzureStore) -> None:
    async for _ in store.list():
        pass


OPERATIONS: dict[str, Operation] = {
    "put": lambda store: store.put("x", b"data"),
    "put large": lambda store: store.put("x", bytes(9 << 20)),
    "create": lambda store: store.create_append("x"),
    "append": lambda store: store.append("x", b"x", offset=5, etag='"0x1"'),
    "properties": lambda store: store.properties("x"),
    "read": _read,
    "list": _list,
    "set_metadata": lambda store: store.set_metadata("x", {}, etag='"0x1"'),
    "copy": lambda store: store.copy("x", "y", etag='"0x1"'),
    "delete": lambda store: store.delete("x", etag='"0x1"'),
}


def forms(secret: str) -> set[str]:
    """A secret as it stands, percent-encoded, and encoded twice."""
    once = quote(secret, safe="")
    return {secret, once, quote(once, safe=""), quote(secret), once.lower()}


def everything_told(error: BaseException) -> str:
    """All that an error and what hangs on it can show; what aiohttp raised must not hang on it at all."""
    told = []
    while True:
        assert type(error).__module__.startswith("batch_outputs."), error
        told += [str(error), repr(error), repr(vars(error)), *map(str, error.args)]
        told += traceback.format_exception(error)
        following = error.__cause__ or error.__context__
        if following is None:
            return "\n".join(told)
        error = following


class Secrets:
    """What must not show, and what has been shown."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self.hidden: set[str] = forms(KEY)

    def of(self, sas: str) -> Access:
        self.hidden |= forms(parse_qs(sas)["sig"][0])
        return SasAccess(sas)

    async def check(self, store: AzureStore, *, names: set[str] | None = None) -> None:
        """Run operations that are to fail, and look at all that they tell."""
        for name, operation in OPERATIONS.items():
            if names is not None and name not in names:
                continue
            with pytest.raises(BatchOutputsError) as caught:
                await operation(store)
            self.look(name, everything_told(caught.value) + repr(store) + repr(store.location))

    def look(self, name: str, told: str) -> None:
        told += self._caplog.text + "\n".join(repr(record.__dict__) for record in self._caplog.records)
        self._caplog.clear()
        assert [secret for secret in self.hidden if secret in told] == [], name


@pytest.fixture
def secrets(caplog: pytest.LogCaptureFixture) -> Iterator[Secrets]:
    """The collector, with the root logger wide open."""
    with caplog.at_level(logging.DEBUG):
        yield Secrets(caplog)


async def test_refused(
    open_store: Callable[..., AzureStore], container: Container, by_bulk: bool, secrets: Secrets, tmp_path: Path
) -> None:
    """Expired, powerless, forged, from a file, and made from a key that is not right."""
    expired = container.sas(expires_in=timedelta(hours=-1))
    path = tmp_path / "url"
    path.write_text(f"{container.url}?{expired}")
    endpoint = container.azurite.endpoint
    for access in (
        secrets.of(expired),
        SasFileAccess(path),
        secrets.of(container.sas("l").replace("sp=l", "sp=racwdl")),
        KeyAccess(ACCOUNT, KEY[:-4] + "AA=="),
    ):
        secrets.hidden |= forms(KEY[:-4])
        await secrets.check(open_store(StoreLocation(AzureAccount(endpoint, access), container.name)))


@pytest.mark.parametrize("by_key", [False, True])
async def test_missing(
    open_store: Callable[..., AzureStore], container: Container, by_bulk: bool, secrets: Secrets, by_key: bool
) -> None:
    """A container that is not there, and blobs that are not."""
    missing = container.azurite.container("job-missing")
    access = KeyAccess(ACCOUNT, KEY) if by_key else secrets.of(missing.sas())
    await secrets.check(open_store(StoreLocation(AzureAccount(missing.azurite.endpoint, access), missing.name)))
    access = KeyAccess(ACCOUNT, KEY) if by_key else secrets.of(container.sas())
    store = open_store(StoreLocation(AzureAccount(container.azurite.endpoint, access), container.name))
    await secrets.check(store, names=set(OPERATIONS) - {"put", "put large", "create", "list"})


@pytest.mark.parametrize("by_key", [False, True])
async def test_unanswered(
    open_store: Callable[..., AzureStore], container: Container, by_bulk: bool, secrets: Secrets, by_key: bool
) -> None:
    """Nobody there, no such host, connections that break, TLS where there is none, a page, a busy service."""
    access = KeyAccess(ACCOUNT, KEY) if by_key else secrets.of(container.sas())

    async def busy(request: web.Request) -> web.Response:
        await request.read()
        return refusal(503, "ServerBusy")

    async def page(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text=f"<html>{request.url}</html>", content_type="text/html")

    async def echo(request: web.Request) -> web.Response:
        await request.read()
        return refusal(400, "InvalidQueryParameterValue", x_ms_error=str(request.url))

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        for endpoint in (f"http://127.0.0.1:{unused.getsockname()[1]}/acct", "http://nobody.invalid"):
            await secrets.check(open_store(location(endpoint, access)))
    for handler in (hang_up, busy, page, echo):
        async with answering(handler) as endpoint:
            store = open_store(location(endpoint, access))
            await secrets.check(store)
            if handler is hang_up:
                await secrets.check(open_store(location(endpoint.replace("http:", "https:"), access)))


async def test_broken_midway(
    open_store: Callable[..., AzureStore],
    container: Container,
    fault_proxy: FaultProxy,
    by_bulk: bool,
    secrets: Secrets,
) -> None:
    """Answers that end halfway, and answers lost after the work was done."""
    access = secrets.of(container.sas())
    endpoint = fault_proxy.through(container.azurite.endpoint)
    store = open_store(StoreLocation(AzureAccount(endpoint, access), container.name))
    await store.put("x", bytes(100_000))
    fault_proxy.fault(half_answer, on="read", times=None)
    fault_proxy.fault(half_answer, on="list", times=None)
    await secrets.check(store, names={"read", "list"})
    fault_proxy.clear()
    fault_proxy.fault(cut_after, times=None)
    await secrets.check(store)
    fault_proxy.clear()
    fault_proxy.fault(answer_before(503, html=True), times=None)
    await secrets.check(store)


async def test_all_went_well(
    open_store: Callable[..., AzureStore], container: Container, by_bulk: bool, secrets: Secrets
) -> None:
    """Nothing is logged of what succeeds, either."""
    store = open_store(
        StoreLocation(AzureAccount(container.azurite.endpoint, secrets.of(container.sas())), container.name)
    )
    await store.put("x", bytes(9 << 20))
    await _read(store)
    await store.copy("x", "y")
    await _list(store)
    secrets.look("success", repr(store))


async def test_an_account(container: Container, secrets: Secrets) -> None:
    """Containers cannot be listed with a wrong key or from a host that is not there."""
    wrong = KEY[:-4] + "AA=="
    secrets.hidden |= forms(wrong)
    for account in (
        AzureAccount(container.azurite.endpoint, KeyAccess(ACCOUNT, wrong)),
        AzureAccount("http://nobody.invalid", KeyAccess(ACCOUNT, KEY)),
        AzureAccount(container.azurite.endpoint, secrets.of(container.sas())),
    ):
        opened = AzureStoreAccount(account)
        for operation in (anext(aiter(opened.list_containers())), opened.create_container("job-x")):
            with pytest.raises(BatchOutputsError) as caught:
                await operation
            secrets.look("account", everything_told(caught.value) + repr(opened))
        await opened.aclose()


async def _try_quickly(store: AzureStore) -> None:
    """Have a crew put and read by calls that block, as saving and downloading many files does."""
    calls = await store.blocking_calls()
    if calls is None:
        return

    def put(size: int) -> object:
        return calls.put("x", InMemory(bytes(size)))

    def read(size: int) -> object:
        for stop in (None, Stop()):
            for _ in calls.read("x", offset=0, size=size, etag='"0x1"', stop=stop):
                pass
        return None

    for work in (put, read):
        async with LoopCrew(in_one(work), lambda *_: None) as crew:
            for size in (1, 300_000, 2 << 20, 20 << 20):
                crew.give(size)


async def test_quickly(
    open_store: Callable[..., AzureStore], container: Container, fault_proxy: FaultProxy, secrets: Secrets
) -> None:
    """The calls for worker threads, and the crew that makes them, log and raise nothing of it, whatever answers."""
    access = secrets.of(container.sas())
    endpoint = fault_proxy.through(container.azurite.endpoint)
    await _try_quickly(open_store(StoreLocation(AzureAccount(endpoint, access), container.name)))
    secrets.look("success", "")
    for action in (half_answer, cut_after, answer_before(403), answer_before(503), answer_before(503, html=True)):
        fault_proxy.fault(action, times=None)
        await _try_quickly(open_store(StoreLocation(AzureAccount(endpoint, access), container.name)))
        fault_proxy.clear()
        secrets.look(repr(action), "")

    async def echo(request: web.Request) -> web.Response:
        await request.read()
        return refusal(400, "InvalidQueryParameterValue", x_ms_error=str(request.url))

    async def elsewhere(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=302, headers={"Location": f"http://127.0.0.1:1{request.path_qs}"})

    async def torn(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=206, headers={"Content-Range": str(request.url), "ETag": str(request.url)})

    for handler in (hang_up, echo, elsewhere, torn):
        async with answering(handler) as other:
            await _try_quickly(open_store(location(other, access)))
            await _try_quickly(open_store(location(other.replace("http:", "https:"), access)))
        secrets.look(handler.__name__, "")
    await _try_quickly(open_store(location("http://nobody.invalid", access)))
    secrets.look("no such host", "")


async def test_what_a_source_raises(
    open_store: Callable[..., AzureStore], container: Container, secrets: Secrets, tmp_path: Path
) -> None:
    """An error of the source itself comes out with nothing of a client's hanging on it."""
    store = open_store(
        StoreLocation(AzureAccount(container.azurite.endpoint, secrets.of(container.sas())), container.name)
    )
    calls = await store.blocking_calls()
    assert calls is not None
    path = tmp_path / "file"
    for size, quickly in ((1000, False), (20 << 20, False), (1000, True), (1 << 20, True)):
        path.write_bytes(bytes(size))
        with FileSnapshot(path) as snapshot:
            with path.open("ab") as file:
                file.write(b"more")
            with pytest.raises(FileChangedError) as caught:
                await (asyncio.to_thread(calls.put, "x", snapshot) if quickly else store.put("x", snapshot))
        secrets.look(f"{size} bytes", everything_told(caught.value))
