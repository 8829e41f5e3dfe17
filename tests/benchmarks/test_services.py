"""The benchmarks' services tell a wrong byte, and count what they get."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.storage.blob import BlobBlock, BlobClient
from benchmarks.data import Data, made
from benchmarks.services import Service, ServiceName, services

from support.azurite import Container
from support.peers import needs

pytestmark = needs("nginx")

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Service]]:
    """Both services, each started once."""
    folder = tmp_path_factory.mktemp("services")
    with services(folder, quick=True) as found:
        yield {"sink": found.sink, "Azurite": found.azurite}


@pytest.fixture(params=["sink", "Azurite"])
def service(request: pytest.FixtureRequest, running: dict[ServiceName, Service]) -> Service:
    """One of them."""
    found: Service = running[request.param]
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Three files that a client may send in one piece or in several."""
    return made(tmp_path_factory.mktemp("data"), 3, 9 * MIB + 1)


def upload(container: Container, data: Data, prefix: str, instead: dict[int, bytes] | None = None) -> None:
    """Store all files, the second in blocks, or other bytes `instead` of a file's by its number."""
    for number, (name, path) in enumerate(data.files.items()):
        content = (instead or {}).get(number, path.read_bytes())
        blob: BlobClient = container.client.get_blob_client(prefix + name)
        if number == 1:
            blocks = {f"{at:08}": content[at : at + 4 * MIB] for at in range(0, len(content), 4 * MIB)}
            # The last is sent first: the list of blocks says what comes where.
            for block in reversed(blocks):
                blob.stage_block(block, blocks[block])
            blob.commit_block_list([BlobBlock(block) for block in blocks])
        else:
            blob.upload_blob(content, overwrite=True)


def test_what_is_right_is_found_right_and_counted(service: Service, data: Data) -> None:
    """The same bytes in one piece and in blocks, in whatever order they came."""
    container = service.fresh(check=True)
    upload(container, data, "t1/$TaskOutput/")
    traffic = service.traffic()
    assert service.wrong(container, data, "t1/$TaskOutput/", check=True) == []
    assert traffic.requests == 6
    assert traffic.sent is None or data.size < traffic.sent < data.size + 10_000


@pytest.mark.parametrize("number", [0, 1])
def test_one_wrong_byte_is_found(service: Service, data: Data, number: int) -> None:
    """A single byte that differs in the middle is told by its name, whether it came in one piece or in a block."""
    name, path = list(data.files.items())[number]
    content = bytearray(path.read_bytes())
    content[5 * MIB] ^= 1
    container = service.fresh(check=True)
    upload(container, data, "", {number: bytes(content)})
    assert service.wrong(container, data, "", check=True) == [name]


def test_what_is_missing_or_short_is_found_in_every_round(service: Service, data: Data) -> None:
    """Without reading all bytes, too."""
    path = next(iter(data.files.values()))
    container = service.fresh(check=False)
    assert service.wrong(container, data, "", check=False)
    upload(container, data, "", {0: path.read_bytes()[:-1]})
    assert service.wrong(container, data, "", check=False)


def test_by_https(tmp_path: Path) -> None:
    """By https contenders reach the same container, if they trust the certificate, and not otherwise."""
    with services(tmp_path, quick=True, https=True) as running:
        for service in (running.sink, running.azurite):
            container = service.fresh(check=False)
            url = service.facing(container).sas_url()
            assert url.startswith("https://127.0.0.1:")
            trusting = ssl.create_default_context(cafile=service.trust["SSL_CERT_FILE"])
            put = urllib.request.Request(  # noqa: S310 - it is our own
                url.replace("?", "/x?"),
                b"abc",
                {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2022-11-02"},
                method="PUT",
            )
            with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
                urllib.request.urlopen(put)  # noqa: S310
            with urllib.request.urlopen(put, context=trusting) as answer:  # noqa: S310
                assert answer.status == 201
            assert service.traffic().requests == 1
            assert service is running.sink or container.content("x") == b"abc"
