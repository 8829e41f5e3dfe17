"""The fault proxy does what each fault says: fault tests are worth as much as this."""

from __future__ import annotations

import hashlib
import http.client
import socket
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import quote, urlsplit

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, LinearRetry

from support import faults
from support.azurite import Azurite, Container
from support.fault_proxy import FaultProxy

VERSION = {"x-ms-version": "2023-11-03"}
BLOCK = {"x-ms-blob-type": "BlockBlob", **VERSION}
APPEND = {"x-ms-blob-type": "AppendBlob", **VERSION}


class Client:
    """One connection through the proxy to a container, with nothing that would try again."""

    def __init__(self, proxy: FaultProxy, container: Container) -> None:
        self.url = urlsplit(proxy.through(container.sas_url()))
        self.connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)

    def ask(
        self, method: str, blob: str, body: bytes = b"", *, comp: str = "", headers: dict[str, str] = VERSION
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Status, body and headers of the answer."""
        query = self.url.query + (f"&comp={comp}" if comp else "")
        self.connection.request(method, f"{self.url.path}/{quote(blob)}?{query}", body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read(), answer.headers

    def put(self, blob: str, body: bytes) -> int:
        """The status of a Put Blob."""
        return self.ask("PUT", blob, body, headers=BLOCK)[0]

    def get(self, blob: str) -> bytes:
        """The body of a Get Blob."""
        return self.ask("GET", blob)[1]


@pytest.fixture
def open_client(fault_proxy: FaultProxy, container: Container, request: pytest.FixtureRequest) -> Callable[[], Client]:
    """Opens connections that are closed after the test."""

    def opened() -> Client:
        client = Client(fault_proxy, container)
        request.addfinalizer(client.connection.close)
        return client

    return opened


@pytest.fixture
def client(open_client: Callable[[], Client]) -> Client:
    """A connection."""
    return open_client()


def stored(container: Container, blob: str) -> bytes | None:
    """What the service has under a name, seen past the proxy."""
    try:
        content: bytes = container.content(blob)
    except ResourceNotFoundError:
        return None
    return content


BROKEN = (http.client.RemoteDisconnected, ConnectionError)


def test_passes_everything_unchanged(client: Client, container: Container, fault_proxy: FaultProxy) -> None:
    """Without a fault, requests and answers pass whole, on one connection, and are recorded in order."""
    data = bytes(range(256)) * 8192
    assert client.put("a/ü", data) == 201
    assert client.get("a/ü") == data
    status, body, headers = client.ask("HEAD", "a/ü")
    assert (status, body, headers["Content-Length"]) == (200, b"", str(len(data)))
    assert client.ask("GET", "missing")[0] == 404
    assert client.ask("DELETE", "a/ü")[0] == 202
    assert [request.operation for request in fault_proxy.requests] == ["put", "read", "properties", "read", "delete"]
    assert [request.blob for request in fault_proxy.requests][:1] == ["a/ü"]
    assert {request.container for request in fault_proxy.requests} == {container.name}
    assert fault_proxy.fired == []


def test_names_every_operation(azurite: Azurite, container: Container, fault_proxy: FaultProxy) -> None:
    """The requests of a real client, signed with the account's key, pass and are named for what they do."""
    through = azurite.connection_string.replace(azurite.endpoint, fault_proxy.through(azurite.endpoint))
    with BlobServiceClient.from_connection_string(through, max_single_put_size=4, max_block_size=4) as service:
        peer = service.get_container_client(container.name)
        peer.upload_blob("staged", b"12345678")
        peer.get_blob_client("log").create_append_blob()
        peer.get_blob_client("log").append_block(b"line")
        peer.get_blob_client("log").set_blob_metadata({"k": "v"})
        peer.get_blob_client("copy").start_copy_from_url(peer.get_blob_client("staged").url)
        assert [blob.name for blob in peer.list_blobs()] == ["copy", "log", "staged"]
        peer.get_container_properties()
    assert [request.operation for request in fault_proxy.requests] == [
        *("stage", "stage", "commit"),
        *("create", "append", "set_metadata", "copy", "list", "container"),
    ]


def test_cut_before(client: Client, container: Container, fault_proxy: FaultProxy) -> None:
    """A request that is cut before leaves no trace in the service, and the next one passes."""
    cut = fault_proxy.fault(faults.cut_before, on="put")
    with pytest.raises(BROKEN):
        client.put("x", b"data")
    assert stored(container, "x") is None
    assert cut.fired == 1
    assert client.put("x", b"data") == 201


def test_cut_after(client: Client, container: Container, fault_proxy: FaultProxy) -> None:
    """A request that is cut after was carried out, and nobody was told."""
    cut = fault_proxy.fault(faults.cut_after, on="put")
    with pytest.raises(BROKEN):
        client.put("x", b"data")
    assert stored(container, "x") == b"data"
    assert cut.fired == 1


def test_answer_before(client: Client, container: Container, fault_proxy: FaultProxy) -> None:
    """An error in the service's place carries its code and Retry-After, and nothing was carried out."""
    fault_proxy.fault(faults.answer_before(503, retry_after=7))
    status, body, headers = client.ask("PUT", "x", b"data", headers=BLOCK)
    assert (status, headers["Retry-After"], headers["x-ms-error-code"]) == (503, "7", "ServerBusy")
    assert b"<Code>ServerBusy</Code>" in body
    assert stored(container, "x") is None


def test_answer_after(client: Client, container: Container, fault_proxy: FaultProxy) -> None:
    """An error may be told of a request that was carried out."""
    fault_proxy.fault(faults.answer_after(500))
    assert client.put("x", b"data") == 500
    assert stored(container, "x") == b"data"


def test_html_page(client: Client, fault_proxy: FaultProxy) -> None:
    """A page of some network on the way comes with status 200 and HTML."""
    fault_proxy.fault(faults.answer_before(200, html=True))
    status, body, headers = client.ask("GET", "x")
    assert (status, headers["Content-Type"]) == (200, "text/html")
    assert body.startswith(b"<!DOCTYPE html>")


def test_errors_in_place_of_head(client: Client, fault_proxy: FaultProxy) -> None:
    """An error made up for a HEAD has no body, so that the connection stays in step."""
    fault_proxy.fault(faults.answer_before(500))
    assert client.ask("HEAD", "x")[0] == 500
    assert client.ask("HEAD", "x")[0] == 404


def test_half_request(client: Client, container: Container, fault_proxy: FaultProxy) -> None:
    """Of a body that breaks off half-way the service stores nothing."""
    fault_proxy.fault(faults.half_request)
    with pytest.raises(BROKEN):
        client.put("x", b"0123456789" * 1000)
    fault_proxy.wait_idle()
    assert stored(container, "x") is None


def test_half_answer(client: Client, fault_proxy: FaultProxy) -> None:
    """Of an answer that breaks off half-way the client has been promised more than it gets."""
    client.put("x", b"0123456789")
    fault_proxy.fault(faults.half_answer, on="read")
    with pytest.raises(http.client.IncompleteRead) as caught:
        client.get("x")
    assert caught.value.partial == b"01234"


def test_flip_request(client: Client, container: Container, fault_proxy: FaultProxy) -> None:
    """A flipped byte on the way in is stored as it comes, unless the request has a checksum of its body."""
    fault_proxy.fault(faults.flip_request, on="put", times=2)
    assert client.put("x", b"aaaa") == 201
    assert stored(container, "x") == b"aa`a"
    checked = BLOCK | {"Content-MD5": b64encode(hashlib.md5(b"aaaa", usedforsecurity=False).digest()).decode()}
    assert client.ask("PUT", "y", b"aaaa", headers=checked)[0] == 400


def test_flip_answer(client: Client, fault_proxy: FaultProxy) -> None:
    """A flipped byte on the way out reaches the client with the right length."""
    client.put("x", b"aaaa")
    fault_proxy.fault(faults.flip_answer, on="read")
    assert client.get("x") == b"aa`a"


def test_delay_and_trickle(client: Client, fault_proxy: FaultProxy) -> None:
    """A delayed and a trickled answer take their time and are whole."""
    client.put("x", b"0123456789")
    fault_proxy.fault(faults.delay(0.1), on="read")
    fault_proxy.fault(faults.trickle(pieces=10, pause=0.01), on="read")
    began = time.monotonic()
    assert client.get("x") == b"0123456789"
    assert time.monotonic() - began > 0.09
    assert client.get("x") == b"0123456789"
    assert time.monotonic() - began > 0.18


def test_slow_link(client: Client, fault_proxy: FaultProxy) -> None:
    """A slow link holds back bodies in both directions."""
    fault_proxy.bytes_per_second = 1_000_000
    began = time.monotonic()
    client.put("x", bytes(100_000))
    assert time.monotonic() - began > 0.09
    assert client.get("x") == bytes(100_000)
    assert time.monotonic() - began > 0.15


def test_hang(client: Client, container: Container, fault_proxy: FaultProxy) -> None:
    """A request that hangs is neither answered nor carried out; the client's patience ends it."""
    fault_proxy.fault(faults.hang)
    client.connection.timeout = 0.1
    with pytest.raises(TimeoutError):
        client.put("x", b"data")
    client.connection.close()
    fault_proxy.wait_idle()
    assert stored(container, "x") is None


def test_late(open_client: Callable[[], Client], container: Container, fault_proxy: FaultProxy) -> None:
    """A late request reaches the service when the test says so, behind others that were sent after it."""
    gate = fault_proxy.gate()
    fault_proxy.fault(gate.late, on="put")
    with pytest.raises(BROKEN):
        open_client().put("x", b"sent first")
    assert open_client().put("x", b"sent second") == 201
    assert stored(container, "x") == b"sent second"
    gate.release()
    fault_proxy.wait_idle()
    assert stored(container, "x") == b"sent first"


def test_held(client: Client, container: Container, fault_proxy: FaultProxy) -> None:
    """A held request waits at the gate with its client, and is answered after the release."""
    gate = fault_proxy.gate()
    fault_proxy.fault(gate.held)
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(client.put, "x", b"data")
        fault_proxy.wait_fired()
        assert stored(container, "x") is None
        gate.release()
        assert put.result() == 201
    assert stored(container, "x") == b"data"


def test_down(client: Client, fault_proxy: FaultProxy) -> None:
    """In an outage open connections break and new ones are refused; afterwards all is as before on the same port."""
    assert client.put("x", b"data") == 201
    with fault_proxy.down():
        with pytest.raises(BROKEN):
            client.put("x", b"more")
        client.connection.close()
        with pytest.raises(ConnectionRefusedError):
            client.put("x", b"more")
    client.connection.close()
    assert client.get("x") == b"data"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sockets of Linux")
def test_the_port_is_kept(fault_proxy: FaultProxy) -> None:
    """In an outage, too, nobody else can take the proxy's port."""
    with fault_proxy.down(), closing(socket.socket()) as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", fault_proxy.port))


def test_which_requests(client: Client, fault_proxy: FaultProxy) -> None:
    """A fault takes only requests of its operation and blob, behind those to pass first, and only so many times."""
    fault = fault_proxy.fault(faults.answer_before(500), on="put", blob="x", after=1, times=2)
    statuses = [client.put(blob, b"") for blob in ("y", "x", "x", "y", "x", "x")]
    assert statuses == [201, 201, 500, 201, 500, 201]
    assert client.ask("HEAD", "x")[0] == 200
    assert fault.fired == len(fault_proxy.fired) == 2
    assert {fired.request.blob for fired in fault_proxy.fired} == {"x"}


def test_clear_and_always(client: Client, fault_proxy: FaultProxy) -> None:
    """A fault without a number of times lasts until the faults are cleared, and may be picked by any callable."""
    fault_proxy.fault(faults.answer_before(500), on=lambda request: len(request.body) > 2, times=None)
    assert [client.put("x", body) for body in (b"12", b"123", b"123")] == [201, 500, 500]
    fault_proxy.clear()
    assert client.put("x", b"123") == 201


def test_decide(client: Client, fault_proxy: FaultProxy) -> None:
    """A plain callable may decide instead; a fault that takes the request goes before it."""
    fault_proxy.decide = lambda request: faults.answer_before(500) if request.operation == "put" else None
    fault_proxy.fault(faults.answer_before(503), on="put")
    assert [client.put("x", b"1"), client.put("x", b"1")] == [503, 500]
    assert client.ask("GET", "x")[0] == 404


def test_azure_rules(client: Client, container: Container, fault_proxy: FaultProxy) -> None:
    """Azurite lets a block blob replace an append blob; with the rules of Azure it is refused, and the reverse too."""
    client.ask("PUT", "log", headers=APPEND)
    assert client.put("log", b"") == 201
    client.ask("PUT", "log", headers=APPEND)
    fault_proxy.azure_rules(container.azurite.reading_sas)
    status, body, _ = client.ask("PUT", "log", b"", headers=BLOCK)
    assert status == 409
    assert b"<Code>InvalidBlobType</Code>" in body
    assert client.ask("PUT", "log", headers=APPEND)[0] == 201
    assert [client.put("file", b"1"), client.put("file", b"2")] == [201, 201]
    assert client.ask("PUT", "file", headers=APPEND)[0] == 409
    assert fault_proxy.fired == []


def test_azure_rules_hold_under_faults(client: Client, container: Container, fault_proxy: FaultProxy) -> None:
    """What Azure would refuse is not carried out behind a lost answer either."""
    client.ask("PUT", "log", headers=APPEND)
    fault_proxy.azure_rules(container.azurite.reading_sas)
    fault_proxy.fault(faults.cut_after, on="put")
    with pytest.raises(BROKEN):
        client.put("log", b"data")
    assert container.client.get_blob_client("log").get_blob_properties().blob_type == "AppendBlob"


def test_shows_why_blind_retries_are_wrong(container: Container, fault_proxy: FaultProxy) -> None:
    """azure-storage-blob repeats an append whose answer was lost, stores it twice and reports success."""
    azurite = container.azurite
    through = azurite.connection_string.replace(azurite.endpoint, fault_proxy.through(azurite.endpoint))
    at_once = LinearRetry(backoff=0, random_jitter_range=0, retry_total=1)
    with BlobServiceClient.from_connection_string(through, retry_policy=at_once) as service:
        log = service.get_blob_client(container.name, "log")
        log.create_append_blob()
        lost = fault_proxy.fault(faults.answer_after(503), on="append")
        log.append_block(b"line\n")
    assert stored(container, "log") == b"line\nline\n"
    assert lost.fired == 1


def test_failing_action_is_not_lost(azurite: Azurite, container: Container) -> None:
    """An action that raises is reported when the proxy closes, so that no test can pass over it."""

    def flip_nothing() -> None:
        with FaultProxy(azurite.port) as proxy:
            client = Client(proxy, container)
            proxy.fault(faults.flip_request)
            with closing(client.connection), pytest.raises(BROKEN):
                client.get("x")

    with pytest.raises(ExceptionGroup, match="the fault proxy failed"):
        flip_nothing()
