"""Saving and downloading very many files: each exactly, whatever comes in between, and soon given up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from support.azurite import Container
from support.command import Desk, signature, wait_until
from support.fault_proxy import FaultProxy
from support.faults import Exchange, delay, half_answer, hang, made_up, small_pages
from support.http1 import Request
from support.in_time import in_time
from support.memory import COMMAND_THAT_TELLS, MIB, most_told, needs_proc

TIMEOUT = 120.0
PREFIX = "t1/$TaskOutput/"
DOWNLOAD = ("download", "--task", "t1", "--kind", "TaskOutput", "--to", "target")


@pytest.fixture
def proxied(azure: Desk, fault_proxy: FaultProxy) -> Desk:
    """The desk whose requests come through the proxy."""
    azure.variables["BATCH_OUTPUTS_CONTAINER_URL"] = fault_proxy.through(azure.variables["BATCH_OUTPUTS_CONTAINER_URL"])
    return azure


def many(desk: Desk, count: int, size: int = 0) -> dict[str, bytes]:
    """So many files in the folder f of the desk, each with its own content, by name."""
    contents = {f"f/{number:04}": f"{number} ".encode() * 3 + bytes(size) for number in range(count)}
    for name, content in contents.items():
        os.utime(desk.write(name, content), (1, 1))
    return contents


def stored(container: Container) -> dict[str, bytes]:
    """What is stored of the task, by name."""
    names = container.client.list_blob_names()
    return {name.removeprefix(PREFIX): container.content(name) for name in names}


def store(container: Container, contents: dict[str, bytes]) -> None:
    """Have these outputs stored."""
    for name, content in contents.items():
        container.client.upload_blob(f"{PREFIX}{name}", content)


def there(folder: Path) -> dict[str, bytes]:
    """All files in a folder, hidden ones too, with their content."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if not path.is_dir()}


def paths(contents: dict[str, bytes]) -> set[str]:
    """What is said of files that were saved."""
    return {f"{PREFIX}{name}" for name in contents}


def test_nothing_to_save(desk: Desk) -> None:
    """Where there is nothing to save nothing is made, not even the folder that outputs would go to."""
    assert "*.png" in desk.run("save", "*.png", code=125).err
    assert os.listdir(desk.folder) == []


LOADED = """
import sys
from batch_outputs.cli import main
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["f"], ["f/0000"], ["--as", "x.txt", "f/0000"]])
def test_saving_needs_no_event_loop(azure: Desk, container: Container, arguments: list[str]) -> None:
    """Where nothing is in the way, saving imports neither asyncio nor what stands on it, nor TLS without https."""
    many(azure, 5)
    command = [sys.executable, "-c", LOADED, "save", *arguments]
    done = subprocess.run(
        command, capture_output=True, cwd=azure.folder, env=azure.environment(), timeout=TIMEOUT, check=True
    )
    loaded = set(done.stderr.decode().splitlines()[-1].split())
    assert "batch_outputs" in loaded
    assert not loaded & {"asyncio", "anyio", "aiohttp", "aiofiles", "azure", "ssl", "http", "xml"}
    assert len(stored(container)) == (5 if arguments == ["f"] else 1)


@pytest.mark.parametrize("arguments", [[], ["--no-checksum"], ["--task", "t1", "--kind", "TaskOutput", "f/*"]])
def test_downloading_needs_no_event_loop(azure: Desk, container: Container, arguments: list[str]) -> None:
    """Where nothing is in the way, downloading imports neither asyncio nor what stands on it, whatever the sizes."""
    contents = {f"f/{size}": os.urandom(size) for size in (0, 5, 2 * MIB, 20 * MIB)}
    store(container, contents)
    command = [sys.executable, "-c", LOADED, "download", "--to", "target", *arguments]
    done = subprocess.run(
        command, capture_output=True, cwd=azure.folder, env=azure.environment(), timeout=TIMEOUT, check=True
    )
    loaded = set(done.stderr.decode().splitlines()[-1].split())
    assert "batch_outputs" in loaded
    assert not loaded & {"asyncio", "anyio", "aiohttp", "aiofiles", "azure", "ssl", "http", "xml", "email"}
    assert there(azure.folder / "target" / ("" if "f/*" in arguments else PREFIX)) == contents


@pytest.mark.parametrize("arguments", [["list"], ["list", "--summary"], ["list", "--task", "t1"], ["tasks", "--long"]])
def test_listing_needs_no_event_loop(azure: Desk, container: Container, arguments: list[str]) -> None:
    """Where nothing is in the way, neither does listing."""
    store(container, {"f/0": b"x", "f/1": b"y"})
    command = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(
        command, capture_output=True, cwd=azure.folder, env=azure.environment(), timeout=TIMEOUT, check=True
    )
    loaded = set(done.stderr.decode().splitlines()[-1].split())
    assert "batch_outputs" in loaded
    assert not loaded & {"asyncio", "anyio", "aiohttp", "aiofiles", "azure", "ssl", "http", "xml", "email"}
    assert done.stdout


def test_more_is_left_than_is_kept_in_mind(proxied: Desk, fault_proxy: FaultProxy) -> None:
    """Where the quick way leaves very many, the ordinary one takes over, and each comes once."""
    contents = many(proxied, 1200)
    proxied.run("save", "f")
    fault_proxy.requests.clear()
    fault_proxy.fault(half_answer, on="read", times=3)  # after which the quick way is left alone for a while
    done = proxied.run(*DOWNLOAD)
    assert done.summary.startswith("1,200 files downloaded to target, ")
    assert there(proxied.folder / "target") == contents
    assert 1200 <= sum(request.operation == "read" for request in fault_proxy.requests) <= 1203


def test_pages_that_break_off(proxied: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """Where the quick way breaks off within a listing, it goes on all the same, and nothing is fetched twice."""
    contents = {f"f/{number}": b"x" for number in range(6)}
    store(container, contents)
    fault_proxy.fault(half_answer, on="list", times=1, after=1)
    fault_proxy.fault(small_pages(2), on="list", times=None)
    done = proxied.run(*DOWNLOAD)
    assert done.sentences == ["6 files downloaded to target, 6 B (checked by MD5)."]
    assert there(proxied.folder / "target") == contents
    assert sum(request.operation == "read" for request in fault_proxy.requests) == 6


@pytest.mark.skipif(sys.platform == "win32", reason="a process of ours cannot be interrupted alone")
@pytest.mark.parametrize("command", [["list"], ["tasks"], DOWNLOAD])
def test_interrupted_while_it_lists(proxied: Desk, fault_proxy: FaultProxy, command: Sequence[str]) -> None:
    """Ctrl-C ends a command that waits for a listing which does not come, soon and without a word too many."""
    fault_proxy.fault(hang, on="list", times=None)
    for watch in in_time(5.0, tries=3):
        fault_proxy.fired.clear()
        with proxied.started(*command) as child:
            fault_proxy.wait_fired()
            with watch:
                child.send_signal(signal.SIGINT)
                done = proxied.ended(child, code=130)
        assert done.sentences[-1] == "interrupted."


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes of this kind")
def test_files_that_are_gone(proxied: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """Of files that vanish, or become something else, while others are saved each is said; all others are saved."""
    contents = many(proxied, 60)
    gate = fault_proxy.gate()
    fault_proxy.fault(gate.held, on="put", times=None)
    with proxied.started("save", "f") as child:
        fault_proxy.wait_fired()
        for name in ("f/0050", "f/0051", "f/0052"):
            (proxied.folder / name).unlink()
            del contents[name]
        (proxied.folder / "f/0051").mkdir()
        os.mkfifo(proxied.folder / "f/0052")
        gate.release()
        done = proxied.ended(child, code=125)
    assert stored(container) == contents
    assert set(done.out.split()) == paths(contents)
    assert sorted(done.sentences[-3:]) == [
        "There is no file f/0050; check the path.",
        "f/0051 is a folder; name a file in it, or save what is in it by a pattern.",
        "f/0052 is a pipe or device, not a file; read it and save what it gives.",
    ]


def test_a_file_that_changes(proxied: Desk, container: Container) -> None:
    """A file that is written to while many are saved is saved as it was at one moment, once that has ended."""
    contents = many(proxied, 40)
    path = proxied.folder / "f/0000"
    is_over = threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            while not is_over.wait(0.002):
                file.write(b"more")

    writing = threading.Thread(target=write)
    writing.start()
    try:
        with proxied.started("save", "f") as child:
            wait_until(lambda: len([*container.client.list_blob_names()]) >= len(contents) - 1)
            is_over.set()
            done = proxied.ended(child)
    finally:
        is_over.set()
        writing.join()
    found = stored(container)
    # Should the writer have been held up for a while, there was a moment in the middle.
    assert path.read_bytes().startswith(found["f/0000"])
    assert len(path.read_bytes()) > 10
    assert found == {**contents, "f/0000": found["f/0000"]}
    assert set(done.out.split()) == paths(contents)


def test_a_log_in_the_way(proxied: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """Of many files the one whose name a tracked log has is refused, in words; all others are saved."""
    contents = many(proxied, 30)
    fault_proxy.azure_rules(container.azurite.reading_sas)
    log = container.client.get_blob_client(f"{PREFIX}f/0007")
    log.create_append_blob()
    log.append_block(b"the log")
    done = proxied.run("save", "f", code=125)
    assert f"{PREFIX}f/0007 in " in done.sentences[-1]
    assert "is a tracked log, which a save does not replace" in done.sentences[-1]
    assert stored(container) == {**contents, "f/0007": b"the log"}


@contextmanager
def outage_midway(proxy: FaultProxy) -> Iterator[None]:
    """In the middle of what the block does, the service is out of reach for a second."""

    def fail() -> None:
        wait_until(lambda: len(proxy.requests) > 300)
        with proxy.down():
            threading.Event().wait(1.0)

    failing = threading.Thread(target=fail)
    failing.start()
    try:
        yield
    finally:
        failing.join()
    assert len(proxy.requests) > 1000


def test_an_outage_midway(proxied: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """An outage of a second in the middle of saving a thousand files, and of downloading them, costs nothing else."""
    contents = many(proxied, 1000)
    with outage_midway(fault_proxy):
        saved = proxied.run("save", "f")
    assert set(saved.out.split()) == paths(contents)
    assert {blob.name: blob.size for blob in container.client.list_blobs()} == {
        f"{PREFIX}{name}": len(content) for name, content in contents.items()
    }
    fault_proxy.requests.clear()
    with outage_midway(fault_proxy):
        done = proxied.run(*DOWNLOAD)
    assert there(proxied.folder / "target") == contents
    assert "1,000 files downloaded to target" in done.summary


def test_a_sas_that_ends_midway(proxied: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """When a SAS from a file ends in the middle, the file's new one is used, and nothing is lost."""
    contents = many(proxied, 200)
    url = proxied.variables.pop("BATCH_OUTPUTS_CONTAINER_URL").partition("?")[0]
    path = proxied.folder.parent / "url"
    proxied.variables["BATCH_OUTPUTS_CONTAINER_URL_FILE"] = str(path)
    sas = [f"{url}?{container.sas(permissions)}" for permissions in ("rwl", "rwlc", "rwlcd")]
    proxied.secrets += map(signature, sas)

    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(made_up(403, code="AuthenticationFailed"))

    for command, old, new in ((("save", "f"), sas[0], sas[1]), (DOWNLOAD, sas[1], sas[2])):
        path.write_text(old)
        fault_proxy.clear()
        fault_proxy.requests.clear()

        def has_ended(request: Request, old: str = old, new: str = new) -> bool:
            if len(fault_proxy.requests) == 100:
                path.write_text(new)
            return len(fault_proxy.requests) >= 100 and request.query["sig"] == signature(old)

        refused = fault_proxy.fault(refuse, on=has_ended, times=None)
        proxied.run(*command)
        assert 0 < refused.fired < 60
    assert stored(container) == contents
    assert there(proxied.folder / "target") == contents


def test_killed_midway(proxied: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """However often a download of many is killed, what is there is whole, and the next one completes it exactly."""
    contents = many(proxied, 200, 5000)
    contents |= {f"large/{number}": os.urandom(2 * MIB) for number in range(3)}
    store(container, contents)
    fault_proxy.fault(delay(0.02), on="read", times=None)
    target = proxied.folder / "target"

    def have_come() -> int:
        return len([*target.glob("*/[!.]*")])

    for kill in (20, 90):
        with proxied.started(*DOWNLOAD) as child:
            wait_until(partial(lambda enough: have_come() >= enough, kill))
            child.kill()
            child.wait()
        for name, content in there(target).items():
            if "/." not in name:
                assert content == contents[name]
    proxied.run(*DOWNLOAD)
    assert there(target) == contents


@pytest.mark.parametrize("command", [("save", "f"), DOWNLOAD], ids=["save", "download"])
@pytest.mark.parametrize("hangs", [False, True])
def test_interrupted(
    proxied: Desk, container: Container, fault_proxy: FaultProxy, command: tuple[str, ...], hangs: bool
) -> None:
    """Ctrl-C in the middle ends it within seconds, also when the service has stopped answering; then it goes on."""
    contents = many(proxied, 60)
    if command == DOWNLOAD:
        store(container, contents)
    for watch in in_time(5.0, tries=3):
        fault_proxy.clear()
        fault_proxy.fired.clear()
        fault_proxy.fault(hang if hangs else delay(0.2), on=lambda request: request.blob != "", times=None, after=10)
        with proxied.started(*command) as child:
            fault_proxy.wait_fired(2)
            with watch:
                child.send_signal(signal.SIGINT)
                done = proxied.ended(child, code=130)
        assert done.sentences[-1] == "interrupted."
        fault_proxy.wait_left()
    fault_proxy.clear()
    proxied.run(*command)
    assert stored(container) == contents
    if command == DOWNLOAD:
        assert there(proxied.folder / "target") == contents


@needs_proc
def test_memory(azure: Desk, container: Container) -> None:
    """Neither saving nor downloading many files of 8 MiB takes more than some of them at a time."""
    for number in range(40):
        path = azure.write(f"f/{number}")
        os.truncate(path, 8 * MIB)
        os.utime(path, (1, 1))
    for command in (("save", "f"), DOWNLOAD):
        done = subprocess.run(
            [*COMMAND_THAT_TELLS, *command],
            capture_output=True,
            cwd=azure.folder,
            env=azure.environment(),
            timeout=TIMEOUT,
            check=True,
        )
        assert most_told(done.stderr.decode()) < 150 * MIB
    assert sum(blob.size for blob in container.client.list_blobs()) == 320 * MIB
    assert sum(path.stat().st_size for path in (azure.folder / "target/f").iterdir()) == 320 * MIB
