"""What each refusal and each silence of the service becomes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import aiohttp
import pytest
from aiohttp import web

from batch_outputs.errors import (
    AccessDeniedError,
    BlobChangedError,
    BlobExistsError,
    BlobNotFoundError,
    ContainerNotFoundError,
    StoreBusyError,
    StoreError,
    StoreUnavailableError,
    WrongBlobTypeError,
)
from batch_outputs.location import AzureAccount, KeyAccess, SasAccess, StoreLocation, TokenAccess
from batch_outputs.stores.azure import AzureStore
from batch_outputs.stores.azure.calls import Call
from batch_outputs.stores.azure.denials import explain
from batch_outputs.stores.azure.failures import unanswered
from stores.azure.answering import DATE, answering, hang_up, location, refusal
from support.azurite import Container

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("impatient")]

OpenStore: TypeAlias = Callable[..., AzureStore]
NOW = datetime(2026, 11, 22, 13, 49, tzinfo=UTC)
PLACE = "acct.blob.core.windows.net/job-x"


@pytest.mark.parametrize(
    ("status", "code", "kind", "text"),
    [
        (404, "ContainerNotFound", ContainerNotFoundError, "does not exist"),
        (404, "BlobNotFound", BlobNotFoundError, "no t1/x in"),
        (409, "InvalidBlobType", WrongBlobTypeError, "tracked log"),
        (409, "BlobAlreadyExists", BlobExistsError, "already"),
        (412, "ConditionNotMet", BlobChangedError, "changed by someone else"),
        (403, "AuthenticationFailed", AccessDeniedError, "not accepted"),
        (409, "PublicAccessNotPermitted", AccessDeniedError, "not accepted"),
        (409, "ContainerBeingDeleted", StoreError, "being deleted"),
        (400, "InvalidUri", StoreError, "cannot hold the name 't1/x'"),
        (412, "LeaseIdMissing", StoreError, "refused to save t1/x in .*: LeaseIdMissing"),
        (503, "ServerBusy", StoreBusyError, "has too much to do .503 ServerBusy."),
        (429, "ServerBusy", StoreBusyError, "has too much to do .429 ServerBusy."),
        (503, "OutOfOrder", StoreUnavailableError, "answered 503 .OutOfOrder."),
        (500, "InternalError", StoreUnavailableError, "answered 500"),
        (500, "OperationTimedOut", StoreUnavailableError, "answered 500"),
    ],
)
async def test_a_refused_put(
    open_store: OpenStore, by_bulk: bool, status: int, code: str, kind: type[StoreError], text: str
) -> None:
    """With the bulk client and without it, a refused put is an error of one class, with the service's code."""

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return refusal(status, code)

    async with answering(handler) as endpoint:
        store = open_store(location(endpoint))
        with pytest.raises(kind, match=text) as caught:
            await store.put("t1/x", b"data")
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.blob) == (code, "t1/x")
    assert caught.value.place == store.location.place


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AppendPositionConditionNotMet", BlobChangedError),
        ("ConditionNotMet", BlobChangedError),
        ("InvalidBlobType", WrongBlobTypeError),
        ("BlockCountExceedsLimit", StoreError),
    ],
)
async def test_a_refused_append(open_store: OpenStore, code: str, kind: type[StoreError]) -> None:
    """An append that is refused says why, exactly, and is not sent again."""
    requests = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        await request.read()
        return refusal(409 if kind is not BlobChangedError else 412, code)

    async with answering(handler) as endpoint:
        with pytest.raises(kind) as caught:
            await open_store(location(endpoint)).append("log", b"x", offset=0, etag='"0x1"')
    assert type(caught.value) is kind
    assert (caught.value.code, requests) == (code, 1)


async def test_a_head_has_no_body(open_store: OpenStore) -> None:
    """Without a body and without a code, 404 still is a missing blob, and 403 a denial."""
    status = 404

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status)

    async with answering(handler) as endpoint:
        store = open_store(location(endpoint))
        with pytest.raises(BlobNotFoundError):
            await store.properties("x")
        status = 403
        with pytest.raises(AccessDeniedError):
            await store.properties("x")


HTML = "<!DOCTYPE html><html><body>Please sign in</body></html>"


@pytest.mark.parametrize("status", [200, 201, 302, 403, 404])
async def test_a_page_where_an_answer_should_be(open_store: OpenStore, by_bulk: bool, status: int) -> None:
    """A page of a proxy or a hotel is never taken for an answer of the service, whatever its status."""

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=status, text=HTML, content_type="text/html", headers={"Location": "/login"})

    async with answering(handler) as endpoint:
        store = open_store(location(endpoint))
        operations = (
            store.put("x", b"data"),
            store.create_append("x"),
            store.append("x", b"data", offset=0, etag='"0x1"'),
            anext(aiter(store.read("x"))),
            anext(aiter(store.list())),
            store.set_metadata("x", {}),
            store.copy("x", "y"),
        )
        for operation in operations:
            with pytest.raises(StoreUnavailableError, match="not Blob Storage"):
                await operation


async def test_a_proxy_that_asks_for_a_login(open_store: OpenStore) -> None:
    """407 names the proxy, not the storage account."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=407)

    async with answering(handler) as endpoint:
        with pytest.raises(StoreUnavailableError, match=r"proxy .* asks for a login"):
            await open_store(location(endpoint)).properties("x")


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("Sun, 22 Nov 2026 13:49:13 GMT", 10.0), ("soon", None), ("-1", None)]
)
async def test_retry_after(open_store: OpenStore, header: str, seconds: float | None) -> None:
    """What the service asks to wait is told in seconds, by its own clock."""

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return refusal(503, "ServerBusy", Retry_After=header, Date=DATE)

    async with answering(handler) as endpoint:
        with pytest.raises(StoreUnavailableError) as caught:
            await open_store(location(endpoint)).append("x", b"x", offset=0, etag='"0x1"')
    assert caught.value.retry_after == seconds


async def test_a_broken_connection(open_store: OpenStore, by_bulk: bool) -> None:
    """A connection that breaks before the answer says so, with the host."""
    async with answering(hang_up) as endpoint:
        with pytest.raises(StoreUnavailableError, match=r"connection to 127\.0\.0\.1:\d+ broke"):
            await open_store(location(endpoint)).put("x", b"data")


async def test_nobody_listens(open_store: OpenStore, by_bulk: bool) -> None:
    """A refused connection is named, with host and port."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(StoreUnavailableError, match=rf"127\.0\.0\.1:{port} refused the connection"):
            await open_store(location(f"http://127.0.0.1:{port}/acct")).put("x", b"data")


@pytest.mark.parametrize("own_thread", [False, True])
async def test_no_such_host(open_store: OpenStore, own_thread: bool) -> None:
    """A host that cannot be looked up is named."""
    store = open_store(location("http://nobody.invalid"), own_thread=own_thread)
    with pytest.raises(StoreUnavailableError, match=r"no host nobody\.invalid"):
        await store.put("x", b"data")


async def test_no_tls(open_store: OpenStore, by_bulk: bool) -> None:
    """Where https is asked of a server that has none, TLS is named."""
    async with answering(hang_up) as endpoint:
        with pytest.raises(StoreUnavailableError, match="No TLS connection to 127"):
            await open_store(location(endpoint.replace("http:", "https:"))).put("x", b"data")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (aiohttp.ConnectionTimeoutError("Connection timeout to host http://h/?sig=secret"), "did not answer in time"),
        (aiohttp.ServerTimeoutError("http://h/?sig=secret"), "did not answer in time"),
        (aiohttp.ClientOSError("Can not write request body for http://h/?sig=secret"), "broke"),
    ],
)
def test_silence_is_told_without_the_url(error: Exception, text: str) -> None:
    """Texts of aiohttp, some of which hold the URL, are not passed on."""
    told = unanswered(error, Call("GET", "/job-x/x", "read", "r"), place=PLACE, proxy=None)
    assert text in str(told)
    assert "acct.blob.core.windows.net" in str(told)
    assert "secret" not in repr(told)


def sas(**fields: str) -> str:
    """The query string of a SAS."""
    return "&".join(f"{key}={value}" for key, value in {"sv": "2022-11-02", "sig": "x", **fields}.items())


@pytest.mark.parametrize(
    ("query", "code", "needs", "text"),
    [
        (sas(se="2026-11-22T13:00:00Z", sp="rw"), "AuthenticationFailed", "r", "expired at 2026-11-22 13:00 UTC; get"),
        (sas(se="2026-11-22", sp="rw"), "AuthenticationFailed", "r", "expired at 2026-11-22 00:00 UTC"),
        (sas(st="2026-11-22T14:00:00Z", sp="rw"), "AuthenticationFailed", "r", "only from 2026-11-22 14:00 UTC"),
        (sas(sp="rl"), "AuthorizationPermissionMismatch", "wc", "does not allow to write \\(w\\), it allows 'rl'"),
        (sas(sp="rl"), "AuthorizationPermissionMismatch", "d", "does not allow to delete \\(d\\)"),
        (sas(sp="rw"), "AuthorizationPermissionMismatch", "l", "get one with 'l'"),
        (sas(sp="rw"), "AuthenticationFailed", "l", "AuthenticationFailed.* cut short"),
        (sas(sp="c"), "UnauthorizedBlobOverwrite", "wc", "create but not to replace"),
        (sas(spr="https", sp="rw"), "AuthorizationProtocolMismatch", "r", "https only"),
        (sas(ss="q", sp="rw"), "AuthorizationServiceMismatch", "r", "another part of the account"),
        (sas(sip="1.2.3.4", sp="rw"), "AuthorizationSourceIPMismatch", "r", "other addresses"),
        (sas(si="policy"), "AuthorizationFailure", "r", "network rules"),
        (sas(sp="rw"), "KeyBasedAuthenticationNotPermitted", "r", "takes no keys"),
    ],
)
def test_why_a_sas_is_refused(query: str, code: str, needs: str, text: str) -> None:
    """A refused SAS is explained from its own fields, by the service's clock."""
    told = explain(SasAccess(query), query, code=code, needs=needs, place=PLACE, now=NOW)
    with pytest.raises(ValueError, match=text):
        raise ValueError(told)
    assert PLACE in told


def test_why_an_identity_or_a_key_is_refused() -> None:
    """An identity is told the role it lacks, and a key where it is found."""
    identity = explain(TokenAccess(), "", code="AuthorizationPermissionMismatch", needs="w", place=PLACE, now=NOW)
    assert "Storage Blob Data Contributor" in identity
    tenant = explain(TokenAccess(), "", code="InvalidAuthenticationInfo", needs="w", place=PLACE, now=NOW)
    assert "tenant" in tenant
    key = explain(KeyAccess("acct", "a2V5"), "sig=x", code="AuthenticationFailed", needs="w", place=PLACE, now=NOW)
    assert "key of the account acct is not accepted" in key


def location_of(container: Container, sas: str) -> StoreLocation:
    """A container with a SAS of a test's own."""
    return StoreLocation(AzureAccount(container.azurite.endpoint, SasAccess(sas)), container.name)


async def test_a_sas_that_does_not_allow_it(open_store: OpenStore, container: Container, by_bulk: bool) -> None:
    """Against the emulator: each right that lacks is named."""
    store = open_store(location_of(container, container.sas("l")))
    for operation, right in [
        (store.put("x", b"data"), "write"),
        (store.create_append("x"), "create"),
        (store.append("x", b"x", offset=0, etag='"0x1"'), "append"),
        (store.properties("x"), "read"),
        (store.delete("x"), "delete"),
        (store.set_metadata("x", {}), "write"),
    ]:
        with pytest.raises(AccessDeniedError, match=f"does not allow to {right}"):
            await operation


async def test_a_sas_out_of_its_time(open_store: OpenStore, container: Container, by_bulk: bool) -> None:
    """Against the emulator: when a SAS expired, or from when on it is valid, is said."""
    expired = open_store(location_of(container, container.sas(expires_in=timedelta(hours=-1))))
    with pytest.raises(AccessDeniedError, match=r"expired at \d{4}-\d\d-\d\d \d\d:\d\d UTC"):
        await expired.put("x", b"data")
    early = container.sas(expires_in=timedelta(hours=2), starts_in=timedelta(hours=1))
    with pytest.raises(AccessDeniedError, match="valid only from"):
        await open_store(location_of(container, early)).put("x", b"data")


async def test_a_wrong_key(open_store: OpenStore, container: Container, by_bulk: bool) -> None:
    """Against the emulator: a wrong account key is named as such."""
    account = AzureAccount(container.azurite.endpoint, KeyAccess("devstoreaccount1", "d3Jvbmc="))
    with pytest.raises(AccessDeniedError, match="key of the account devstoreaccount1 is not accepted"):
        await open_store(StoreLocation(account, container.name)).put("x", b"data")
