"""The server of the page: where it listens, what it says, how it ends, and that it tells no secret."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import pytest

from batch_outputs import sync
from batch_outputs.browse import addresses
from support.azurite import Container
from support.command import Desk, signature
from support.page import Page, serving
from support.ports import quiet_port

WRONG_USAGE = 2
FAILED = 125
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - tokens and names are what is tried here


@pytest.mark.parametrize("place", ["folder", "container", "account"], indirect=True)
def test_no_secret_is_told(page: Page, job: sync.JobOutputStorage, desk: Desk) -> None:
    """Wherever outputs are, no answer holds the token, a SAS or a key; the printed address lets in, and Ctrl-C ends."""
    task = job.task("t1")
    task.save_text("TaskOutput", "text", "a.txt")
    blob = "t1/$TaskOutput/a.txt"
    container = job.container
    asked = [
        "/",
        "/nothing",
        "/static/style.css",
        addresses.job(container),
        addresses.task(container, "t1"),
        addresses.kind(container, "t1", "TaskOutput"),
        addresses.file(container, blob),
        addresses.file(container, "t1/$TaskOutput/missing"),
        addresses.raw(container, blob),
        addresses.raw(container, "t1/$TaskOutput/missing"),
        addresses.download(container, blob),
        addresses.archive(container, task_id="t1"),
        addresses.search(container, blob, q="text"),
        addresses.follow(container, blob, 0),
        addresses.job("job-of-somebody-else"),
        addresses.raw("job-of-somebody-else", blob),
    ]
    secrets = [page.token, *desk.secrets]
    for address in asked:
        answer = page.get(address)
        assert answer.status < 500, address
        told = str(answer.headers).encode() + answer.body
        for secret in secrets:
            assert secret.encode() not in told, address
        assert b"sig=" not in told
    if "BATCH_OUTPUTS_CONTAINER_URL" in desk.variables:
        assert "only" in page.get("/jobs/job-other").text


def test_a_port_in_use(desk: Desk) -> None:
    """A port that somebody else has, and a host that is none, are errors of one sentence."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        done = desk.run("browse", "--no-open", "--port", port, code=FAILED)
    assert done.out == ""
    (sentence,) = done.sentences
    assert f"127.0.0.1, port {port}" in sentence
    assert "--port" in sentence
    (sentence,) = desk.run("browse", "--no-open", "--host", "nothing.invalid", code=FAILED).sentences
    assert "nothing.invalid" in sentence


def test_a_port_of_ones_own(desk: Desk, start_page: Callable[..., Page]) -> None:
    """A port that was asked for is the one that is served, also right after another run has used it."""
    port = quiet_port()
    for _ in range(2):
        with serving(desk, "--port", str(port)) as page:
            assert page.port == port


def test_the_network_is_let_in_only_when_told_to(desk: Desk) -> None:
    """By default only this machine can ask; with an address of the network it is said what that means."""
    with serving(desk) as page:
        assert page.host == "127.0.0.1"
        assert "the network can ask" not in page.said.read_text()
    with serving(desk, "--host", ANY_ADDRESS, "--host-name", "box.example") as page:
        assert "the network can ask" in page.said.read_text()
        for host in (f"10.1.2.3:{page.port}", f"[fe80::1]:{page.port}", "box.example", "box.example:9999"):
            assert page.get("/static/style.css", host=host).status == 200, host
        assert page.get("/static/style.css", host=f"evil.example:{page.port}").status == 403
        asked = page.get("/", host="box.example", origin="https://box.example", sec_fetch_site=None)
        assert asked.status == 200


def test_the_network_deletes_nothing_without_encryption(desk: Desk) -> None:
    """Deleting is refused together with an address of the network, unless something is named that may encrypt."""
    refused = desk.run("browse", "--no-open", "--host", ANY_ADDRESS, "--allow-delete", code=WRONG_USAGE)
    assert "--allow-delete" in refused.err
    assert "--host-name" in refused.err
    for options in (["--host", "127.0.0.1"], ["--host", ANY_ADDRESS, "--host-name", "box.example"]):
        with serving(desk, "--allow-delete", *options) as page:
            assert page.get("/").status == 200


def test_access_that_the_storage_refuses(desk: Desk, container: Container) -> None:
    """With a SAS that has expired each page says so, as a failure of the storage and not of who asks."""
    url = container.sas_url(expires_in=timedelta(minutes=-5))
    desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = url
    desk.secrets.append(signature(url))
    with serving(desk) as page:
        for address in (addresses.job(container.name), addresses.raw(container.name, "t1/$TaskOutput/a.txt")):
            answer = page.get(address)
            assert answer.status == 502
            assert "x-batch-outputs" not in answer.headers
            assert container.name in answer.text


def test_it_ends_when_terminated(desk: Desk) -> None:
    """SIGTERM ends it, too, without a word."""
    with desk.started("browse", "--no-open") as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith(b"http://127.0.0.1:")
        child.send_signal(signal.SIGTERM)
        done = desk.ended(child, -signal.SIGTERM)
    assert len(done.sentences) <= 1  # it may be too fast for that


def test_a_missing_extra(desk: Desk) -> None:
    """Without the packages of the page it is said how to get them."""
    desk.write("starlette.py", "raise ModuleNotFoundError('no', name='starlette')")
    desk.variables["PYTHONPATH"] = str(desk.folder)
    (sentence,) = desk.run("browse", "--no-open", code=FAILED).sentences
    assert sentence == (
        "The page needs starlette, which is not installed; install it with pip install 'batch-outputs[browse]'."
    )
