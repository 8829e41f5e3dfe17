"""Downloads of blobs with hostile names: below the target or not at all, whole or not at all."""

from __future__ import annotations

import sys
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from support.azurite import Container
from support.command import Desk
from support.fault_proxy import FaultProxy
from support.faults import half_answer

HOSTILE = {
    "t1/$TaskOutput/../../../climbed.txt": "t1/$TaskOutput/%2E%2E/%2E%2E/%2E%2E/climbed.txt",
    "t1/$TaskOutput//etc/absolute": "t1/$TaskOutput/%/etc/absolute",
    "t1/$TaskOutput/a//b": "t1/$TaskOutput/a/%/b",
    "t1/$TaskOutput/a/./b": "t1/$TaskOutput/a/%2E/b",
    "t1/$TaskOutput/back\\..\\slash": "t1/$TaskOutput/back/%2E%2E/slash",  # the service takes \\ for /
    "t1/$TaskOutput/line\nend\x7f": "t1/$TaskOutput/line%0Aend%7F",
    "t1/$TaskOutput/C:/drive": "t1/$TaskOutput/C:/drive",
    "t1/$TaskOutput/~/home": "t1/$TaskOutput/~/home",
    "t1/$TaskOutput/Case": "t1/$TaskOutput/Case",
    "t1/$TaskOutput/case": "t1/$TaskOutput/case",
    "t1/$TaskOutput/-rf": "t1/$TaskOutput/-rf",
    "t1/$TaskOutput/%41 #?+": "t1/$TaskOutput/%41 #?+",
}


def put(container: Container, name: str, content: bytes) -> None:
    """Make a blob of exactly this name; clients of Azure would tidy it."""
    url = f"{container.url}/{quote(name, safe='')}?{container.sas()}"
    headers = {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2021-12-02"}
    with urlopen(Request(url, content, headers, method="PUT")) as answer:  # noqa: S310 - the test's own server
        assert answer.status == 201


@pytest.mark.skipif(sys.platform == "win32", reason="names as POSIX has them")
def test_hostile_names(azure: Desk, container: Container) -> None:
    """Whatever blobs are called, they come down below the target, each with its own content, and nothing elsewhere."""
    for name in HOSTILE:
        put(container, name, name.encode())
    container.client.upload_blob("foreign.txt", b"not of the conventions")
    azure.run("download", "--to", "target")
    assert azure.everything == {f"target/{path}" for path in HOSTILE.values()}
    for name, path in HOSTILE.items():
        assert (azure.folder / "target" / path).read_bytes() == name.encode()
    listed = azure.run("list")
    assert listed.out.count("\n") == len(HOSTILE)


def test_names_that_cannot_be_beside_each_other(azure: Desk, container: Container) -> None:
    """A file and a folder of one name, and two names that become one, are said by name; all else comes down."""
    for name in ("a", "a/b", "x/../y", "x/%2E%2E/y", "good"):
        put(container, f"t1/$TaskOutput/{name}", name.encode())
    done = azure.run("download", "--task", "t1", "--kind", "TaskOutput", "--to", "target", code=125)
    assert len(done.sentences) == 3
    assert "t1/$TaskOutput/a and the folder of others would both be target/a" in done.err
    assert "would both be target/x/%2E%2E/y; fetch one of them with batch-outputs cat." in done.err
    assert (azure.folder / "target/a/b").read_text() == "a/b"
    assert (azure.folder / "target/good").read_text() == "good"


@pytest.mark.skipif(sys.platform == "win32", reason="a link needs a privilege there")
def test_planted_links(desk: Desk) -> None:
    """A link in the target leads no download out of it; one in a file's place is replaced, not followed."""
    desk.write("sub/a.txt", "new")
    desk.write("b.txt", "new")
    desk.run("save", "sub", "b.txt")
    outside = desk.write("outside/b.txt", "untouched")
    target = desk.folder / "target"
    target.mkdir()
    (target / "sub").symlink_to(desk.folder / "outside")
    (target / "b.txt").symlink_to(outside)
    done = desk.run("download", "--task", "task", "--kind", "TaskOutput", "--to", "target", code=125)
    assert done.sentences == [
        "1 file downloaded to target, 3 B.",
        "target/sub is a symbolic link; remove it, or download to another folder.",
    ]
    assert outside.read_text() == "untouched"
    assert not (desk.folder / "outside/a.txt").exists()
    assert not (target / "b.txt").is_symlink()
    assert (target / "b.txt").read_text() == "new"


def test_target_in_the_way(desk: Desk) -> None:
    """A file where a folder is needed, and a folder where a file is to go, are said; nothing is left half."""
    desk.write("a/b", "x")
    desk.write("c", "x")
    desk.run("save", "a", "c")
    desk.write("t/a", "a file")
    desk.write("t/c/d", "in a folder")
    before = desk.everything
    done = desk.run("download", "--task", "task", "--kind", "TaskOutput", "--to", "t", code=125)
    assert "t/a/b cannot be written" in done.err
    assert "t/c is a folder" in done.err
    assert desk.everything == before


def test_broken_download(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """An answer that always breaks off leaves no file, whole or half, and says so."""
    container.client.upload_blob("t1/$TaskOutput/a.bin", b"x" * 100_000)
    url = fault_proxy.through(azure.variables["BATCH_OUTPUTS_CONTAINER_URL"])
    azure.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": url, "BATCH_OUTPUTS_RETRY_SECONDS": "0"}
    fault = fault_proxy.fault(half_answer, on="read", times=None)
    done = azure.run("download", "--to", "target", code=125)
    assert fault.fired
    assert done.sentences[0] == "0 files downloaded to target, 0 B."
    assert azure.everything == set()
    fault_proxy.clear()
    azure.run("download", "--to", "target")
    assert (azure.folder / "target/t1/$TaskOutput/a.bin").stat().st_size == 100_000
