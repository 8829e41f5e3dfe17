"""The tests' own parts do what the tests rely on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerClient

from support.azurite import Azurite, Container
from support.in_time import in_time
from support.peers import azcopy, needs, rclone

TESTS = Path(__file__).parent
DATA = bytes(range(256)) * 100


@needs("rclone")
def test_rclone_reads_and_writes_the_same_blobs(container: Container, tmp_path: Path) -> None:
    """rclone finds what azure-storage-blob wrote, and the other way round."""
    container.client.upload_blob("t1/$TaskOutput/a b#.bin", DATA)
    rclone(container.azurite, "copy", f"peer:{container.name}", str(tmp_path / "down"))
    assert (tmp_path / "down" / "t1" / "$TaskOutput" / "a b#.bin").read_bytes() == DATA
    rclone(container.azurite, "copy", str(tmp_path / "down"), f"peer:{container.name}/again")
    assert container.content("again/t1/$TaskOutput/a b#.bin") == DATA


@needs("azcopy")
def test_azcopy_reads_and_writes_the_same_blobs(container: Container, tmp_path: Path) -> None:
    """AzCopy finds what azure-storage-blob wrote, and the other way round."""
    container.client.upload_blob("t1/$TaskOutput/a b.bin", DATA)
    azcopy(tmp_path, "copy", container.sas_url(), str(tmp_path / "down"), "--recursive", "--from-to", "BlobLocal")
    found = tmp_path / "down" / container.name / "t1" / "$TaskOutput" / "a b.bin"
    assert found.read_bytes() == DATA
    target = container.sas_url().replace("?", "/again.bin?", 1)
    azcopy(tmp_path, "copy", str(found), target, "--from-to", "LocalBlob")
    assert container.content("again.bin") == DATA


def test_a_sas_grants_what_was_asked_for(container: Container) -> None:
    """A SAS for reading does not write, and an expired one does nothing."""
    container.client.upload_blob("x", DATA)
    with ContainerClient.from_container_url(container.sas_url("r")) as reader:
        assert reader.download_blob("x").readall() == DATA
        with pytest.raises(HttpResponseError) as caught:
            reader.upload_blob("y", DATA)
    assert caught.value.status_code == 403
    with (
        ContainerClient.from_container_url(container.sas_url(expires_in=timedelta(minutes=-1))) as late,
        pytest.raises(HttpResponseError) as caught,
    ):
        late.get_blob_client("x").get_blob_properties()
    assert caught.value.status_code == 403


def test_an_empty_blob_is_read_without_an_error_on_the_way(container: Container) -> None:
    """The content of an empty blob is read as any other, of no blob there is none, and no answer is left unread."""
    container.client.upload_blob("empty", b"")
    container.client.upload_blob("x", DATA)
    assert (container.content("empty"), container.content("x")) == (b"", DATA)
    with pytest.raises(ResourceNotFoundError):
        container.content("y")
    asked = [line for line in container.azurite.recent_log(1000).splitlines() if container.name in line]
    assert not [line for line in asked if '" 416 ' in line]


def test_the_server_answers_by_name_too(azurite: Azurite, container: Container) -> None:
    """The same account is reached through `localhost`, so that look-ups of host names are part of tests."""
    by_name = azurite.connection_string.replace(azurite.endpoint, azurite.named_endpoint)
    with BlobServiceClient.from_connection_string(by_name) as service:
        assert service.get_container_client(container.name).exists()


OUTLIVED = """
import sys
from pathlib import Path
from support.azurite import running_azurite
with running_azurite(Path(sys.argv[1])) as server:
    print(server.port, flush=True)
    sys.stdin.read()
"""


def test_the_server_does_not_outlive_a_killed_session(tmp_path: Path) -> None:
    """When the process that started the server is killed, the server goes too."""
    with subprocess.Popen(
        [sys.executable, "-c", OUTLIVED, str(tmp_path / "log")],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as session:
        assert session.stdout
        port = int(session.stdout.readline())
        session.kill()
    wait_until_refused(port)


def wait_until_refused(port: int) -> None:
    """Return when nobody listens on the port any more, or fail after a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return
        time.sleep(0.02)  # a server that is no child of ours gives no other sign of its end
    pytest.fail(f"something still listens on port {port}")


def test_late_now_and_then_is_in_time() -> None:
    """What is late now and then is in time, after as few tries as it takes; what is late each time is not."""

    def go_through(*takes: float) -> list[float]:
        gone = []
        for seconds, watch in zip(takes, in_time(1.0, tries=3), strict=False):
            watch.seconds = seconds
            gone.append(seconds)
        return gone

    assert go_through(2.0, 0.5, 3.0) == [2.0, 0.5]
    with pytest.raises(AssertionError, match=r"less than 1\.0 s, and took 2\.00, 2\.00, 2\.00 s"):
        go_through(2.0, 2.0, 2.0, 2.0)


@pytest.mark.parametrize("must_run", [True, False])
def test_a_skip_fails_where_everything_must_run(tmp_path: Path, must_run: bool) -> None:
    """With BATCH_OUTPUTS_TESTS_MUST_RUN=1 skipped tests and modules fail and are named with their reason."""
    shutil.copy(TESTS / "conftest.py", tmp_path)
    tmp_path.joinpath("test_one.py").write_text(
        "import pytest\n@pytest.mark.skip(reason='no ffmpeg')\ndef test(): pass\n"
        "@pytest.mark.xfail\ndef test_expected(): assert False\n"
    )
    tmp_path.joinpath("test_all.py").write_text("import pytest\npytest.skip('no nginx', allow_module_level=True)\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--continue-on-collection-errors", "-ra"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TESTS), "BATCH_OUTPUTS_TESTS_MUST_RUN": "1" if must_run else "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    closing = done.stdout.splitlines()[-1]
    assert ("1 xfailed, 2 errors" if must_run else "2 skipped, 1 xfailed") in closing
    assert done.stdout.count("allows none") >= (2 if must_run else 0)
    assert "no ffmpeg" in done.stdout
    assert "no nginx" in done.stdout
