"""What the library writes, other programs find byte for byte, and the other way round.

The peers are azure-storage-blob, rclone and AzCopy, used directly: they know nothing of us, and we nothing of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from batch_outputs import JobOutputKind, JobOutputStorage, TaskOutputKind, TaskOutputStorage, sync
from support.azurite import KEY, Container
from support.command import Desk
from support.peers import azcopy, needs, rclone

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
DATA = bytes(range(256))
LOG = b"step 1\nstep 2\r\n\x00\xff no text\n"
# What shells, URLs and servers like to change; Windows has no files of some of these names.
NAMES = (
    "a b.png",
    "über/ß 漢字.txt",
    "%41.txt",
    "a+b=c&d.txt",
    "a#b.txt",
    "[x] $y.txt",
    "frames/0001.png",
    "empty.bin",
)
NAMES_OF_POSIX = () if sys.platform == "win32" else ("what?.txt", "a*b.txt", "a:b.txt", 'q"q.txt')
LARGE = "large.bin"

Files: TypeAlias = dict[str, bytes]
Peer: TypeAlias = Callable[[Container, Path], None]


def contents() -> Files:
    """What is saved: odd names, nothing, and more than one block or one request holds."""
    files = {name: name.encode() + DATA for name in (*NAMES, *NAMES_OF_POSIX)}
    return {**files, "empty.bin": b"", LARGE: os.urandom(9 * MIB + 1)}


def written(folder: Path, files: Files) -> None:
    """Write files below a folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def read(folder: Path) -> Files:
    """All files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if not path.is_dir()}


def sdk_down(container: Container, folder: Path) -> None:
    """Download a container with azure-storage-blob."""
    names = [blob.name for blob in container.client.list_blobs()]
    written(folder, {name: container.content(name) for name in names})


def sdk_up(container: Container, folder: Path) -> None:
    """Upload a folder with azure-storage-blob."""
    for name, data in read(folder).items():
        container.client.upload_blob(name, data)


def rclone_down(container: Container, folder: Path) -> None:
    """Download a container with rclone."""
    rclone(container.azurite, "copy", f"peer:{container.name}", str(folder))


def rclone_up(container: Container, folder: Path) -> None:
    """Upload a folder with rclone."""
    rclone(container.azurite, "copy", str(folder), f"peer:{container.name}")


def azcopy_down(container: Container, folder: Path) -> None:
    """Download a container with AzCopy."""
    folder.mkdir()
    url = container.sas_url().replace("?", "/*?", 1)
    azcopy(folder.parent / "azcopy", "copy", url, str(folder), "--recursive", "--from-to", "BlobLocal")


def azcopy_up(container: Container, folder: Path) -> None:
    """Upload a folder with AzCopy."""
    azcopy(
        folder.parent / "azcopy", "copy", f"{folder}/*", container.sas_url(), "--recursive", "--from-to", "LocalBlob"
    )


DOWN = [
    pytest.param(sdk_down, id="azure-storage-blob"),
    pytest.param(rclone_down, id="rclone", marks=needs("rclone")),
    pytest.param(azcopy_down, id="azcopy", marks=needs("azcopy")),
]
UP = [
    pytest.param(sdk_up, id="azure-storage-blob"),
    pytest.param(rclone_up, id="rclone", marks=needs("rclone")),
    pytest.param(azcopy_up, id="azcopy", marks=needs("azcopy")),
]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Files in the current folder, and a log; their content by name."""
    folder = tmp_path / "wd"
    files = contents()
    written(folder, files)
    monkeypatch.chdir(folder)
    return files


def expected(files: Files) -> Files:
    """The blobs that the files make, and those that every writer here adds."""
    blobs = {f"t1/$TaskOutput/{name}": data for name, data in files.items()}
    return {**blobs, "t1/$TaskLog/task.log": LOG, "t1/$TaskPreview/notes.txt": b"x\n", "$JobOutput/all.bin": DATA}


@pytest.mark.parametrize("bulk", ["1", "0"])
@pytest.mark.parametrize("down", DOWN)
async def test_peers_find_what_is_saved(
    container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Files, down: Peer, bulk: str
) -> None:
    """Files, bytes and a tracked log are found under the conventions' names, with and without the bulk client."""
    monkeypatch.setenv("BATCH_OUTPUTS_BULK", bulk)
    log = tmp_path / "task.log"
    async with JobOutputStorage.from_container_url(container.sas_url()) as job:
        task = job.task("t1")
        await task.save_all(TaskOutputKind.TASK_OUTPUT, ".")
        await task.save_text(TaskOutputKind.TASK_PREVIEW, "x\n", "notes.txt")
        await job.save_bytes(JobOutputKind.JOB_OUTPUT, DATA, "all.bin")
        async with task.save_tracked(TaskOutputKind.TASK_LOG, log, "task.log") as tracked:
            for line in LOG.splitlines(keepends=True):
                with log.open("ab") as file:
                    file.write(line)
                await tracked.flush()  # each line is an append of its own
    down(container, tmp_path / "down")
    assert read(tmp_path / "down") == expected(files)


def test_peers_find_what_the_blocking_face_saves(container: Container, tmp_path: Path, files: Files) -> None:
    """`batch_outputs.sync` writes the same blobs, here with the account's key."""
    log = tmp_path / "task.log"
    with sync.JobOutputStorage.from_container_url(container.url, credential=KEY) as job:
        task = job.task("t1")
        task.save_all("TaskOutput", ".")
        task.save_text("TaskPreview", "x\n", "notes.txt")
        job.save_bytes("JobOutput", DATA, "all.bin")
        with task.save_tracked("TaskLog", log, "task.log"):
            log.write_bytes(LOG)
    sdk_down(container, tmp_path / "down")
    assert read(tmp_path / "down") == expected(files)


@pytest.mark.parametrize("bulk", ["1", "0"])
@pytest.mark.parametrize("up", UP)
async def test_what_peers_wrote_is_found(
    container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, up: Peer, bulk: str
) -> None:
    """What other programs uploaded is listed, read and downloaded, with and without the bulk client."""
    monkeypatch.setenv("BATCH_OUTPUTS_BULK", bulk)
    files = contents()
    written(tmp_path / "up" / "t1" / "$TaskOutput", files)
    written(tmp_path / "up", {"$JobOutput/all.bin": DATA, "t10/$TaskOutput/a.txt": b"", "t1/no output.txt": b""})
    up(container, tmp_path / "up")
    async with TaskOutputStorage.from_container_url(container.sas_url("rl"), "t1") as task:
        found = {output.name: output async for output in task.list_outputs()}
        assert {name: output.size for name, output in found.items()} == {
            name: len(data) for name, data in files.items()
        }
        assert all(output.complete for output in found.values())
        for name, data in files.items():
            assert await task.get_output("TaskOutput", name).read_bytes() == data
            await found[name].download(tmp_path / "down" / name)
    assert read(tmp_path / "down") == files
    with sync.JobOutputStorage.from_container_url(container.sas_url("rl")) as job:
        assert list(job.list_tasks()) == ["t1", "t10"]
        assert job.get_output("JobOutput", "all.bin").read_bytes() == DATA


async def test_a_log_that_a_peer_began_is_kept(container: Container, tmp_path: Path) -> None:
    """An append blob of azure-storage-blob, as the .NET library leaves it, is read, and kept when a task begins."""
    blob = container.client.get_blob_client("t1/$TaskLog/task.log")
    blob.create_append_blob()
    blob.append_block(b"the earlier attempt\n")
    log = tmp_path / "task.log"
    log.write_bytes(LOG)
    async with TaskOutputStorage.from_container_url(container.sas_url(), "t1") as task:
        assert await task.get_output("TaskLog", "task.log").read_bytes() == b"the earlier attempt\n"
        async with task.save_tracked("TaskLog", log, "task.log"):
            pass
        assert await task.get_output("TaskLog", "task.attempt-1.log").read_bytes() == b"the earlier attempt\n"
    assert blob.download_blob().readall() == LOG


@pytest.mark.parametrize("down", DOWN)
def test_peers_find_what_the_command_saves(container: Container, tmp_path: Path, down: Peer) -> None:
    """`run` and `save` write the same bytes, and `download` and `cat` bring back what a peer put beside them."""
    folder = tmp_path / "desk"
    folder.mkdir()
    desk = Desk(folder, {"BATCH_OUTPUTS_CONTAINER_URL": container.sas_url(), "AZ_BATCH_TASK_ID": "t1"})
    desk.write("a b.bin", DATA)
    desk.run("run", "--save", "*.bin", "--", sys.executable, "-c", "print('out')")
    desk.run("save", "--kind", "JobOutput", "--as", "all.bin", "a b.bin")
    container.client.upload_blob("t1/$TaskPreview/by peer.bin", DATA[::-1])
    down(container, tmp_path / "down")
    assert read(tmp_path / "down") == {
        "t1/$TaskLog/stdout.txt": f"out{os.linesep}".encode(),
        "t1/$TaskLog/stderr.txt": b"",
        "t1/$TaskOutput/a b.bin": DATA,
        "$JobOutput/all.bin": DATA,
        "t1/$TaskPreview/by peer.bin": DATA[::-1],
    }
    desk.run("download", "--to", "back")
    assert read(folder / "back") == read(tmp_path / "down")
    assert desk.run("cat", "by peer.bin").stdout == DATA[::-1]
