"""Connections: proxies, encodings, names on the wire, checksums, and the end of the interpreter."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import unquote

import pytest
from aiohttp import web
from azure.storage.blob import ContentSettings

from batch_outputs.errors import ConfigurationError, InvalidNameError, StoreUnavailableError
from batch_outputs.stores.azure import AzureStore
from batch_outputs.stores.azure.network import proxy_for, shown_proxy
from batch_outputs.stores.azure.transport import InlineResolver
from stores.azure.answering import SAS, answering, location, stored
from support.azurite import ACCOUNT, KEY, Container

pytestmark = pytest.mark.anyio

OpenStore: TypeAlias = Callable[..., AzureStore]


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test say which proxies there are."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def test_a_proxy_is_honoured(open_store: OpenStore, by_bulk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go to the proxy of the environment, with the whole URL and the login that stands in its own."""
    seen: list[tuple[str, str | None]] = []

    async def proxy(request: web.Request) -> web.Response:
        await request.read()
        seen.append((request.raw_path, request.headers.get("Proxy-Authorization")))
        return stored()

    async with answering(proxy) as endpoint:
        monkeypatch.setenv("HTTP_PROXY", endpoint.replace("http://", "http://user:word@").removesuffix("/acct"))
        await open_store(location("http://acct.blob.example")).put("t1/$x/a b", b"data")
    login = "Basic " + base64.b64encode(b"user:word").decode()
    assert seen == [(f"http://acct.blob.example/job-x/t1/$x/a%20b?{SAS}", login)]


async def test_no_proxy_is_honoured(open_store: OpenStore, by_bulk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is excepted is reached directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return stored()

    async with answering(handler) as endpoint:
        assert (await open_store(location(endpoint)).put("x", b"data")).etag == '"0x1"'


async def test_a_proxy_that_cannot_be_reached(
    open_store: OpenStore, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy is named, and its login is not shown."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:word@127.0.0.1:1")
    store = open_store(location("https://acct.blob.example"))
    with pytest.raises(StoreUnavailableError, match=r"proxy http://127\.0\.0\.1:1, on the way to acct") as caught:
        await store.properties("x")
    assert "word" not in str(caught.value)


def test_which_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheme's own comes before the one for all; without a scheme it is taken for http; others are refused."""
    assert proxy_for("https://acct.blob.example") is None
    monkeypatch.setenv("ALL_PROXY", "http://all:1")
    monkeypatch.setenv("HTTPS_PROXY", "one:8080")
    assert proxy_for("https://acct.blob.example") == "http://one:8080"
    assert proxy_for("http://acct.blob.example") == "http://all:1"
    monkeypatch.setenv("NO_PROXY", ".blob.example,other")
    assert proxy_for("https://acct.blob.example") is None
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:word@one:8080")
    with pytest.raises(ConfigurationError, match=r"socks5://one:8080 is not an HTTP proxy") as caught:
        proxy_for("https://acct.example")
    assert caught.value.variable == "HTTPS_PROXY"
    assert shown_proxy("http://u:p@host:1/") == "http://host:1"


NAMES = [
    ".",
    "..",
    "../../x",
    "a/./b/../c",
    "a//b",
    "/a",
    "a/",
    "a\\b",
    "%41",
    "%2e%2e/x",
    "a+b c#d?e&f=g",
    "[x]*{y}|^`~!",
    "ü😀",
    "x" * 1024,
    "t1/$TaskLog/stdout.txt",
]


@pytest.mark.parametrize("name", NAMES, ids=[name[:20] for name in NAMES])
async def test_a_name_reaches_the_service_untouched(open_store: OpenStore, by_bulk: bool, name: str) -> None:
    """What stands in the request line, decoded once, is the name; nothing is tidied on the way."""
    paths: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        paths.append(request.raw_path.partition("?")[0])
        return stored()

    async with answering(handler) as endpoint:
        await open_store(location(endpoint)).put(name, b"data")
    assert [unquote(path) for path in paths] == [f"/acct/job-x/{name}"]


async def test_bytes_come_back_as_stored(open_store: OpenStore, container: Container) -> None:
    """A blob that somebody stored compressed is not decompressed on the way."""
    data = b"\x1f\x8b not really compressed"
    settings = ContentSettings(content_type="text/plain", content_encoding="gzip")
    container.client.upload_blob("x.gz", data, content_settings=settings)
    store = open_store(container.location())
    assert b"".join([piece async for piece in store.read("x.gz")]) == data
    assert (await store.properties("x.gz")).size == len(data)


async def test_checksums_over_plain_http(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no TLS guards the bytes, puts, blocks and appends bring their MD5."""
    monkeypatch.setenv("BATCH_OUTPUTS_BULK", "0")
    checked: list[bool] = []

    async def handler(request: web.Request) -> web.Response:
        digest = hashlib.md5(await request.read(), usedforsecurity=False).digest()
        checked.append(request.headers["Content-MD5"] == base64.b64encode(digest).decode())
        return stored()

    async with answering(handler) as endpoint:
        store = open_store(location(endpoint))
        await store.put("x", b"data")
        await store.append("log", b"line\n", offset=0, etag='"0x1"')
        await store.put("large", bytes(9 << 20))
    assert checked == [True] * 5


@pytest.mark.parametrize(
    ("key", "value"),
    [("a-b", "v"), ("1a", "v"), ("", "v"), ("ä", "v"), ("k", "ü"), ("k", "a\r\nx: y"), ("k", " v"), ("k", "v ")],
)
async def test_metadata_that_cannot_be_stored(open_store: OpenStore, by_bulk: bool, key: str, value: str) -> None:
    """What Azure would refuse or change is refused before any request."""
    store = open_store(location("http://127.0.0.1:1"))
    for operation in (
        store.put("x", b"", metadata={key: value}),
        store.create_append("x", metadata={key: value}),
        store.set_metadata("x", {key: value}),
    ):
        with pytest.raises(InvalidNameError, match="metadata key"):
            await operation


@pytest.mark.parametrize("name", ["", "a\udcff"])
async def test_names_that_cannot_be(open_store: OpenStore, by_bulk: bool, name: str) -> None:
    """An empty name and one that is not Unicode are refused before any request."""
    store = open_store(location("http://127.0.0.1:1"))
    for operation in (store.put(name, b""), store.properties(name), store.delete(name), store.copy(name, "x")):
        with pytest.raises(InvalidNameError):
            await operation


async def test_a_content_type_that_is_none(open_store: OpenStore, by_bulk: bool) -> None:
    """A line break cannot smuggle a header in."""
    with pytest.raises(InvalidNameError, match="not a content type"):
        await open_store(location("http://127.0.0.1:1")).put("x", b"", content_type="text/plain\r\nx-ms-meta-a: b")


async def test_names_are_looked_up_inline() -> None:
    """The resolver knows hosts, and fails as a look-up does."""
    found = await InlineResolver().resolve("localhost", 80)
    assert {entry["host"] for entry in found} & {"127.0.0.1", "::1"}
    with pytest.raises(socket.gaierror):
        await InlineResolver().resolve("nobody.invalid", 80)


def test_a_store_outlives_the_main_thread(container: Container) -> None:
    """A thread with a loop of its own still creates, appends and reads after the main thread has ended."""
    program = """
import asyncio, os, threading
from batch_outputs.location import AzureAccount, KeyAccess, StoreLocation
from batch_outputs.stores.azure import AzureStore

async def work():
    threading.main_thread().join()
    account = AzureAccount(os.environ["ENDPOINT"], KeyAccess(os.environ["ACCOUNT"], os.environ["KEY"]))
    store = AzureStore(StoreLocation(account, os.environ["CONTAINER"]), own_thread=True)
    written = await store.create_append("log")
    await store.append("log", b"last words" * 100_000, offset=0, etag=written.etag)
    await store.put("file", bytes(9 << 20))
    await store.aclose()

threading.Thread(target=lambda: asyncio.run(work())).start()
"""
    environment = {
        **os.environ,
        "ENDPOINT": container.azurite.named_endpoint,
        "CONTAINER": container.name,
        "ACCOUNT": ACCOUNT,
        "KEY": KEY,
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert container.content("log") == b"last words" * 100_000
    assert container.content("file") == bytes(9 << 20)
