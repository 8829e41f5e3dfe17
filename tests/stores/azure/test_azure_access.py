"""Tickets: where they come from, how long they are kept, and when another one is asked for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from batch_outputs.errors import AccessDeniedError, ConfigurationError
from batch_outputs.location import AzureAccount, KeyAccess, SasAccess, SasFileAccess, StoreLocation, TokenAccess
from batch_outputs.stores.azure import AzureStore
from batch_outputs.stores.azure.access import SCOPE, SasFromKey, Ticket, tickets_for
from batch_outputs.stores.azure.bulk import Bulk
from batch_outputs.stores.azure.content import InMemory, Source
from batch_outputs.stores.azure.line import Line
from batch_outputs.stores.azure.plain_http import PlainHttp
from batch_outputs.stores.azure.pressure import Pressure
from batch_outputs.stores.azure.retries import RetryPolicy
from batch_outputs.stores.azure.wire import Wire
from stores.azure.answering import answering, refusal, stored
from support.azurite import ACCOUNT, KEY, Container

pytestmark = pytest.mark.anyio

OpenStore: TypeAlias = Callable[..., AzureStore]
HTTPS = "https://acct.blob.core.windows.net"


def from_file(container: Container, path: Path) -> StoreLocation:
    """A container whose SAS stands in a file."""
    return StoreLocation(AzureAccount(container.azurite.endpoint, SasFileAccess(path)), container.name)


async def test_a_sas_is_renewed_from_its_file(
    open_store: OpenStore, container: Container, tmp_path: Path, by_bulk: bool
) -> None:
    """When access is refused the file is read again, for every kind of request, and the request is made once more."""
    path = tmp_path / "url"
    expired = container.sas_url(expires_in=timedelta(hours=-1))
    path.write_text(expired)
    store = open_store(from_file(container, path))
    with pytest.raises(AccessDeniedError, match=f"write a new one into {path}"):
        await store.put("x", b"data")
    path.write_text(container.sas_url() + "\n")
    written = await store.create_append("log")
    path.write_text(container.sas_url("r"))
    other = open_store(from_file(container, path))
    assert (await other.properties("log")).size == 0
    path.write_text("?" + container.sas())
    await other.append("log", b"line\n", offset=0, etag=written.etag)
    await other.put("x", b"data")
    assert b"".join([piece async for piece in other.read("x")]) == b"data"


async def test_content_is_read_again_for_a_renewed_sas(
    open_store: OpenStore, container: Container, tmp_path: Path, by_bulk: bool
) -> None:
    """Content in blocks, too, is stored whole with the SAS that has come since the store was used last."""
    path = tmp_path / "url"
    path.write_text(container.sas_url("l"))
    store = open_store(from_file(container, path))
    assert [blob.name async for blob in store.list()] == []
    path.write_text(container.sas_url())
    data = bytes(range(256)) * 50_000
    await store.put("x", data)
    assert b"".join([piece async for piece in store.read("x")]) == data


async def test_what_is_at_hand(container: Container, tmp_path: Path) -> None:
    """Without an event loop a SAS that was given can be used at once, and one that has to be made when it is made."""
    endpoint = container.azurite.endpoint
    path = tmp_path / "url"
    path.write_text(container.sas_url())
    for access, is_at_hand in (
        (SasAccess(container.sas()), True),
        (SasFileAccess(path), True),
        (KeyAccess(ACCOUNT, KEY), False),
    ):
        store = AzureStore(StoreLocation(AzureAccount(endpoint, access), container.name))
        calls = store.calls_at_hand()
        assert (calls is not None) == is_at_hand
        assert (await store.blocking_calls()) is not None
        calls = store.calls_at_hand()
        assert calls is not None
        assert calls.put("x", InMemory(b"data")) is not None
        store.close_calls()
    path.write_text("nothing")
    store = AzureStore(from_file(container, path))
    with pytest.raises(ConfigurationError, match="holds no SAS"):
        store.calls_at_hand()


async def first_ticket(path: Path) -> Ticket:
    """The ticket that a file gives."""
    return await tickets_for(AzureAccount(HTTPS, SasFileAccess(path)), "job-x").ticket()


@pytest.mark.parametrize(
    ("text", "sas"),
    [
        ("https://acct.blob.core.windows.net/job-x?sv=1&sig=abc%3D\n", "sv=1&sig=abc%3D"),
        ("https://acct.blob.core.windows.net/?sv=1&sig=abc%3D", "sv=1&sig=abc%3D"),
        ("?sv=1&sig=abc%3D\n\n", "sv=1&sig=abc%3D"),
        ("  sv=1&sig=a+b/c==  ", "sv=1&sig=a%2Bb/c=="),
    ],
)
async def test_what_a_sas_file_may_hold(tmp_path: Path, text: str, sas: str) -> None:
    """A container's or account's URL with a SAS, or a bare SAS, with blanks and line ends around it."""
    path = tmp_path / "url"
    path.write_text(text)
    assert (await first_ticket(path)).sas == sas


async def test_a_sas_file_without_a_sas(tmp_path: Path) -> None:
    """A missing, empty, binary or wrong file is named, and what it holds is not shown."""
    path = tmp_path / "url"
    with pytest.raises(ConfigurationError, match=f"{path}.* cannot be read: No such file"):
        await first_ticket(path)
    for content in (b"", b"https://acct.blob.core.windows.net/job-secret", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=str(path)) as caught:
            await first_ticket(path)
        assert "secret" not in str(caught.value)


async def test_a_file_that_vanished_is_no_renewal(tmp_path: Path) -> None:
    """While the file is being replaced, or when it is gone, the refusal is what is reported."""
    path = tmp_path / "url"
    path.write_text("sv=1&sig=abc")
    tickets = tickets_for(AzureAccount(HTTPS, SasFileAccess(path)), "job-x")
    ticket = await tickets.ticket()
    assert await tickets.renewed(ticket) is None
    path.unlink()
    assert await tickets.renewed(ticket) is None
    path.write_text("sv=1&sig=def")
    assert await tickets.renewed(ticket) == Ticket(sas="sv=1&sig=def")
    assert await tickets.ticket() == Ticket(sas="sv=1&sig=def")


async def test_a_key_becomes_a_sas_once(container: Container) -> None:
    """A key gives a SAS of the container for a week, with the rights of a store, and the same one each time."""
    tickets = SasFromKey(KeyAccess(ACCOUNT, KEY), container.name)
    first, second = await asyncio.gather(tickets.ticket(), tickets.ticket())
    assert first is second
    fields = {key: values[0] for key, values in parse_qs(first.sas).items()}
    assert (fields["sr"], fields["sp"]) == ("c", "racwdl")
    left = datetime.fromisoformat(fields["se"]) - datetime.now(UTC)
    assert timedelta(days=6) < left <= timedelta(days=7)
    assert "st" not in fields


async def test_a_key_works(open_store: OpenStore, container: Container, by_bulk: bool) -> None:
    """Against the emulator: a key opens the container."""
    store = open_store(StoreLocation(container.azurite.account, container.name))
    await store.put("x", b"data")
    assert (await store.properties("x")).size == 4


async def test_a_key_that_is_none() -> None:
    """A text that is not base64 is refused without showing it."""
    tickets = tickets_for(AzureAccount(HTTPS, KeyAccess("acct", "not/a-key!")), "job-x")
    with pytest.raises(ConfigurationError, match="key of the account acct is not one") as caught:
        await tickets.ticket()
    assert "not/a-key!" not in str(caught.value)


@dataclass
class Token:
    """A token as azure-core has it."""

    token: str
    expires_on: int


class Identity:
    """A blocking credential that counts what it is asked for."""

    def __init__(self, lifetime: float = 3600) -> None:
        self.asked = 0
        self.lifetime = lifetime
        self.threads: set[str] = set()
        self.withdrawn = False

    def get_token(self, *scopes: str) -> Token:
        assert scopes == (SCOPE,)
        self.asked += 1
        self.threads.add(threading.current_thread().name)
        if self.withdrawn:
            raise RuntimeError("https://login/?client_secret=hunter2")
        return Token(f"token-{self.asked}", int(time.time() + self.lifetime))


async def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    """One token serves many requests at once; one that ends within five minutes serves none after the first."""
    identity = Identity()
    tickets = tickets_for(AzureAccount(HTTPS, TokenAccess(identity)), "job-x")
    found = await asyncio.gather(*(tickets.ticket() for _ in range(10)))
    assert {ticket.token for ticket in found} == {"token-1"}
    assert threading.current_thread().name not in identity.threads
    short = Identity(lifetime=240)
    tickets = tickets_for(AzureAccount(HTTPS, TokenAccess(short)), "job-x")
    assert [(await tickets.ticket()).token for _ in range(2)] == ["token-1", "token-2"]


async def test_a_refused_token_is_fetched_again() -> None:
    """A token that is refused is asked for once more; the same one again is no renewal."""
    identity = Identity()
    tickets = tickets_for(AzureAccount(HTTPS, TokenAccess(identity)), "job-x")
    first = await tickets.ticket()
    assert await tickets.renewed(first) == Ticket(token="token-2")
    assert await tickets.renewed(first) == Ticket(token="token-2")
    assert identity.asked == 2


async def test_an_identity_that_gives_no_token() -> None:
    """What the credential raises is told by its class alone."""
    identity = Identity()
    identity.withdrawn = True
    tickets = tickets_for(AzureAccount(HTTPS, TokenAccess(identity)), "job-x")
    with pytest.raises(
        AccessDeniedError, match=r"gave no token for acct\.blob\.core\.windows\.net \(RuntimeError"
    ) as caught:
        await tickets.ticket()
    assert caught.value.__context__ is None
    assert "hunter2" not in repr(vars(caught.value))


class Renewing:
    """Tickets whose first is refused."""

    def at_hand(self) -> None:
        return None

    async def ticket(self) -> Ticket:
        return Ticket(token="first")

    async def renewed(self, refused: Ticket) -> Ticket | None:
        assert refused == Ticket(token="first")
        return Ticket(token="second")


async def test_a_token_goes_into_the_header() -> None:
    """By each way a token is the bearer's; refused, the next one is shown, of an append too."""
    shown: list[tuple[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        assert "sig" not in request.query_string
        shown.append((request.path, request.headers["Authorization"]))
        if shown[-1] == ("/acct/job-x/log", "Bearer first"):
            return refusal(401, "InvalidAuthenticationInfo")
        return stored()

    async with answering(handler) as endpoint:
        account = AzureAccount(endpoint, TokenAccess(Identity()))
        place = StoreLocation(account, "job-x")
        line = Line(account, Renewing(), RetryPolicy(), None, place=place.place)
        await Wire(place, line).append("log", b"x", offset=0, etag='"0x1"')
        http = PlainHttp(endpoint, Pressure())
        bulk = Bulk(place, Renewing(), RetryPolicy(), http)
        assert await bulk.put("x", Source(b"data", blob="x", place=place.place), {}) is not None
        bulk.close()
        http.close()
        await line.aclose()
    assert shown == [
        ("/acct/job-x/log", "Bearer first"),
        ("/acct/job-x/log", "Bearer second"),
        ("/acct/job-x/x", "Bearer first"),
    ]


def test_no_token_over_plain_http() -> None:
    """A bearer token is never sent where anybody can read it."""
    with pytest.raises(ConfigurationError, match="not https"):
        AzureStore(StoreLocation(AzureAccount("http://127.0.0.1:1/acct", TokenAccess(Identity())), "job-x"))


def test_without_azure_identity() -> None:
    """A URL without a SAS says what to install, or to give instead."""
    program = f"""
import sys
sys.modules["azure.identity"] = None
import asyncio
from batch_outputs.location import AzureAccount, StoreLocation, TokenAccess
from batch_outputs.stores.azure import AzureStore
async def main():
    await AzureStore(StoreLocation(AzureAccount({HTTPS!r}, TokenAccess()), "job-x")).properties("x")
try:
    asyncio.run(main())
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ConfigurationError A URL without a SAS or key needs azure-identity; install it")
    assert "pip install 'batch-outputs[identity]'" in done.stdout


@pytest.mark.parametrize(("on_node", "kind"), [(True, "ManagedIdentityCredential"), (False, "DefaultAzureCredential")])
def test_the_identity_of_the_environment(monkeypatch: pytest.MonkeyPatch, on_node: bool, kind: str) -> None:
    """On a node it is the pool's managed identity, elsewhere whatever the developer has."""
    from batch_outputs.stores.azure.access import _identity_of_environment

    for name in ("NODE_ID", "POOL_ID", "TASK_DIR", "JOB_ID", "TASK_ID"):
        monkeypatch.delenv(f"AZ_BATCH_{name}", raising=False)
    if on_node:
        monkeypatch.setenv("AZ_BATCH_POOL_ID", "pool")
        monkeypatch.setenv("AZURE_CLIENT_ID", "11111111-2222-3333-4444-555555555555")
    assert type(_identity_of_environment()).__name__ == kind


def test_importing_is_cheap() -> None:
    """The package brings neither aiohttp nor azure; the store brings only aiohttp."""
    program = """
import sys
def loaded():
    return sorted({name.partition(".")[0] for name in sys.modules} & {"aiohttp", "azure"})
import batch_outputs.stores.azure
print(loaded())
from batch_outputs.stores.azure import AzureStore, AzureStoreAccount
print(loaded())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['aiohttp']"]


def test_no_secret_in_a_ticket() -> None:
    """A ticket does not show what it is."""
    assert repr(Ticket(sas="sig=secret", token="secret")) == "Ticket()"
    assert "secret" not in repr(SasAccess("sig=secret"))
