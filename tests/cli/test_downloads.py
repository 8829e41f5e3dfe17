"""Downloads: below the target or not at all, whole or not at all, and no more than needed."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from azure.storage.blob import BlobBlock, ContentSettings

from batch_outputs.failures import ALIKE_IN_A_ROW
from batch_outputs.marks import LogMarks
from batch_outputs.transfer import AT_ONCE
from support.azurite import Container
from support.command import Desk, wait_until
from support.fault_proxy import FaultProxy
from support.faults import answer_before, delay, half_answer, small_pages

MIB = 1024 * 1024

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
    assert "t1/$TaskOutput/a is a file and also the folder of others, and target/a cannot be both; fetch" in done.err
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
        "1 file downloaded to target, 3 B (checked by length only; 1 failed).",
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
    assert "t/a/b cannot be written: there is a file where its folder should be" in done.err
    assert "t/c cannot be written: there is a folder of that name; move it away." in done.err
    assert desk.everything == before


def test_broken_download(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """An answer that always breaks off leaves no file, whole or half; that is said at once, and of which output."""
    container.client.upload_blob("t1/$TaskOutput/a.bin", b"x" * 100_000)
    url = fault_proxy.through(azure.variables["BATCH_OUTPUTS_CONTAINER_URL"])
    azure.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": url, "BATCH_OUTPUTS_RETRY_SECONDS": "0"}
    fault = fault_proxy.fault(half_answer, on="read", times=None)
    done = azure.run("download", "--to", "target", code=125)
    assert fault.fired
    at_once, summary, failed = done.sentences
    assert at_once.endswith(" This goes on with the other outputs.")
    assert summary == "0 files downloaded to target, 0 B (1 failed)."
    assert failed.startswith("t1/$TaskOutput/a.bin: The connection to ")
    assert azure.everything == set()
    fault_proxy.clear()
    azure.run("download", "--to", "target")
    assert (azure.folder / "target/t1/$TaskOutput/a.bin").stat().st_size == 100_000


def test_a_service_that_goes_away(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """An outage ends a download after a while, with how much was not tried, and the same command goes on from there."""
    for number in range(200):
        container.client.upload_blob(f"t1/$TaskOutput/{number:03}", b"x")
    azure.variables["BATCH_OUTPUTS_RETRY_SECONDS"] = "0"
    with through(fault_proxy, azure):
        fault_proxy.fault(answer_before(503), on="read", times=None, after=20)
        done = azure.run("download", "--to", "t", code=125)
        at_once, summary, untried, *failures = done.sentences
        assert at_once.startswith(f"127.0.0.1:{fault_proxy.port}/")
        assert at_once.endswith(
            "has too much to do (503 ServerBusy); try again later. This goes on with the other outputs."
        )
        assert ALIKE_IN_A_ROW <= len(failures) < 100
        assert summary == f"20 files downloaded to t, 20 B (checked by MD5; {len(failures)} failed)."
        left = re.fullmatch(
            r"(\d+) outputs (or more )?were not tried, as too much has failed; run .* again .*", untried
        )
        assert left is not None
        assert left[2] or int(left[1]) == 180 - len(failures)
        assert len(set(failures)) == len(failures)
        assert all(failure.startswith("t1/$TaskOutput/") for failure in failures)
        fault_proxy.clear()
        assert (
            "180 files downloaded to t, 180 B (20 more were there unchanged;" in azure.run("download", "--to", "t").err
        )


def test_a_right_that_is_missing(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """A SAS that does not allow to read is said once, and hardly anything is asked for after the first refusal."""
    for number in range(60):
        container.client.upload_blob(f"t1/$TaskOutput/{number}", b"x")
    azure.variables["BATCH_OUTPUTS_CONTAINER_URL"] = container.sas_url("l")
    with through(fault_proxy, azure):
        done = azure.run("download", "--to", "t", code=125)
    summary, untried, refused = done.sentences
    assert re.fullmatch(r"0 files downloaded to t, 0 B \(\d+ failed\)\.", summary)
    assert "were not tried, as too much has failed" in untried
    assert "does not allow to read" in refused
    assert sum(request.operation == "read" for request in fault_proxy.requests) <= 2 * AT_ONCE


@pytest.mark.skipif(sys.platform == "win32", reason="a link needs a privilege there")
@pytest.mark.parametrize("to", ["batch-outputs", "batch-outputs/job-local", "batch-outputs/job-local/t1/x", "link/sub"])
def test_into_the_store_itself(desk: Desk, to: str) -> None:
    """A download into the folder that outputs are stored in is refused before anything is written."""
    desk.write("a.txt", "x")
    desk.run("save", "a.txt")
    (desk.folder / "link").symlink_to(desk.folder / "batch-outputs")
    before = desk.everything
    done = desk.run("download", "--to", to, code=125)
    assert done.sentences == [
        f"{to} is in {desk.folder / 'batch-outputs'}, where the outputs are stored; download to a folder elsewhere."
    ]
    assert desk.everything == before


def test_beside_the_container_that_is_read(desk: Desk) -> None:
    """With one container named, only that is what is read: its neighbours, and the folder above, may be written to."""
    desk.write("store/job-x/t1/$TaskOutput/a", "x")
    desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = (desk.folder / "store" / "job-x").as_uri()
    desk.run("download", "--to", "store/results")
    assert (desk.folder / "store/results/t1/$TaskOutput/a").read_text() == "x"
    assert "is in" in desk.run("download", "--to", "store/job-x/results", code=125).err


@contextmanager
def through(fault_proxy: FaultProxy, desk: Desk) -> Iterator[None]:
    """The desk's commands go through the proxy."""
    direct = desk.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = fault_proxy.through(direct)
    yield
    desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = direct


def part_size(target: Path) -> int:
    """How much of a file there is beside its place."""
    return sum(part.stat().st_size for part in target.parent.glob(".*.part"))


def has_come(target: Path, size: int) -> bool:
    """Whether there is so much of a file."""
    return part_size(target) >= size


def test_once_more(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """A second download reads nothing of what is there unchanged, and only what has changed since."""
    for name in ("a", "b", "c"):
        container.client.upload_blob(f"t1/$TaskOutput/{name}", b"old")
    with through(fault_proxy, azure):
        first = azure.run("download", "--to", "t")
        assert first.sentences == ["3 files downloaded to t, 9 B (checked by MD5)."]
        fault_proxy.requests.clear()
        again = azure.run("download", "--to", "t")
        assert again.sentences == ["Nothing new for t: 3 files are there unchanged."]
        assert {request.operation for request in fault_proxy.requests} == {"list"}
        container.client.upload_blob("t1/$TaskOutput/b", b"new", overwrite=True)
        third = azure.run("download", "--to", "t")
        assert third.sentences == ["1 file downloaded to t, 3 B (2 more were there unchanged; checked by MD5)."]
    assert (azure.folder / "t/t1/$TaskOutput/b").read_text() == "new"


def test_without_checksums(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """What is not what its checksum says is refused unless none is asked for; what comes too short is read again."""
    contents = {"small": os.urandom(3000), "medium": os.urandom(2 * MIB), "large": os.urandom(9 * MIB)}
    for name, content in contents.items():
        client = container.client.get_blob_client(f"t1/$TaskOutput/{name}")
        client.stage_block("0", content)
        client.commit_block_list([BlobBlock("0")], content_settings=ContentSettings(content_md5=bytearray(16)))
    with through(fault_proxy, azure):
        refused = azure.run("download", "--task", "t1", "--kind", "TaskOutput", "--to", "t", code=125)
        assert refused.err.count("came with another MD5 than it was stored with, twice") == 3
        assert azure.everything == set()
        torn = [fault_proxy.fault(half_answer, on="read", blob=f"t1/$TaskOutput/{name}", times=1) for name in contents]
        command = ("download", "--task", "t1", "--kind", "TaskOutput", "--to", "t")
        done = azure.run(*command, "--no-checksum")
        assert all(one.fired for one in torn)
        assert "3 files downloaded to t, 11.5 MB" in done.err
        assert "checked by length only" in done.err
        again = azure.run(*command)
        assert again.sentences == ["Nothing new for t: 3 files are there unchanged."]
    for name, content in contents.items():
        assert (azure.folder / "t" / name).read_bytes() == content


def test_killed_at_any_moment(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """However often a download is killed, the next one goes on at the last byte, and in the end the file is whole."""
    content = os.urandom(24 * MIB)
    container.client.upload_blob("t1/$TaskOutput/big.bin", content)
    target = azure.folder / "t/big.bin"
    command = ("download", "--task", "t1", "--kind", "TaskOutput", "--to", "t")
    fault_proxy.bytes_per_second = 4 * MIB
    with through(fault_proxy, azure):
        for kill in range(1, 5):
            enough = part_size(target) + 2 * MIB
            with azure.started(*command) as child:
                wait_until(partial(has_come, target, enough))
                child.send_signal(signal.SIGKILL)
                child.wait()
            assert not target.exists()
            [part] = target.parent.glob(".*.part")
            assert part.read_bytes() == content[: part.stat().st_size], f"after kill {kill}"
        there = part_size(target)
        fault_proxy.bytes_per_second = None
        fault_proxy.requests.clear()
        done = azure.run(*command)
    assert done.sentences == ["1 file downloaded to t, 25.2 MB (1 was resumed; checked by MD5)."]
    reads = [request.header("x-ms-range") or "" for request in fault_proxy.requests if request.operation == "read"]
    assert reads[0].startswith(f"bytes={there}-")
    assert target.read_bytes() == content
    assert os.listdir(target.parent) == ["big.bin"]


def test_interrupted(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """Ctrl-C says what is done and how to go on, and what has come is used then."""
    content = os.urandom(9 * MIB)
    container.client.upload_blob("t1/$TaskOutput/big.bin", content)
    container.client.upload_blob("t1/$TaskOutput/small.bin", b"small")
    gate = fault_proxy.gate()
    fault_proxy.fault(gate.held, on="read", blob="t1/$TaskOutput/big.bin", times=None, after=1)
    with through(fault_proxy, azure):
        with azure.started("download", "--to", "t") as child:
            fault_proxy.wait_fired()
            wait_until((azure.folder / "t/t1/$TaskOutput/small.bin").exists)
            child.send_signal(signal.SIGINT)
            done = azure.ended(child, code=130)
        assert [line for line in done.sentences if line] == [
            "1 file downloaded to t, 5 B (checked by MD5). Run the same command again to go on from here.",
            "interrupted.",
        ]
        gate.release()
        again = azure.run("download", "--to", "t")
    assert "(1 more was there unchanged; 1 was resumed; checked by MD5)" in again.err
    assert (azure.folder / "t/t1/$TaskOutput/big.bin").read_bytes() == content
    assert {path for path in azure.everything if "/." in path} == set()


def test_two_at_once(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """Two downloads to one folder at once both end well, and leave the files and nothing else."""
    contents = {f"{number}.bin": os.urandom(2 * MIB) for number in range(4)}
    for name, content in contents.items():
        container.client.upload_blob(f"t1/$TaskOutput/{name}", content)
    fault_proxy.fault(delay(0.3), on="read", times=None)
    command = ("download", "--task", "t1", "--kind", "TaskOutput", "--to", "t")
    with through(fault_proxy, azure), azure.started(*command) as one, azure.started(*command) as other:
        azure.ended(one)
        azure.ended(other)
    assert {path.name: path.read_bytes() for path in (azure.folder / "t").iterdir()} == contents


def test_parts_of_logs(azure: Desk, container: Container) -> None:
    """The parts of a log come as one file; a part alone, and what only looks like one, come as they are."""
    for log, name, part, content in (
        ("l", "log.txt", 1, b"one "),
        ("l", "log.part-2.txt", 2, b"two "),
        ("l", "log.part-3.txt", 3, b"three"),
        ("m", "other.part-2.txt", 2, b"alone"),
    ):
        marks = LogMarks(attempt=log, log=log, part=part, length=len(content))
        blob = container.client.get_blob_client(f"t1/$TaskLog/{name}")
        blob.create_append_blob(metadata=marks.metadata())
        blob.append_block(content)
    container.client.upload_blob("t1/$TaskLog/log.part-9.txt", b"a file")
    command = ("download", "--task", "t1", "--kind", "TaskLog", "--to")
    azure.run(*command, "t")
    assert {path.name: path.read_text() for path in (azure.folder / "t").iterdir()} == {
        "log.txt": "one two three",
        "log.part-9.txt": "a file",
        "other.part-2.txt": "alone",
    }
    azure.run(*command, "u", "log.part-2.txt")
    assert (azure.folder / "u/log.part-2.txt").read_text() == "two "


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of POSIX")
def test_disk_that_fills_up(azure: Desk, container: Container) -> None:
    """A file that finds no room is said, the others come, and once there is room it is gone on with."""
    container.client.upload_blob("t1/$TaskOutput/big.bin", b"x" * 5 * MIB)
    container.client.upload_blob("t1/$TaskOutput/small.bin", b"x")
    line = "batch-outputs download --to t"
    done = azure.shell(f"ulimit -f {3 * MIB // 512}; {line}", code=125)
    assert done.sentences == [
        "1 file downloaded to t, 1 B (checked by MD5; 1 failed).",
        "t/t1/$TaskOutput/big.bin cannot be written: File too large.",
    ]
    assert re.fullmatch(
        r"1 file downloaded to t, 5\.2 MB \(1 more was there unchanged; 1 was resumed; checked by .*\)\.",
        azure.shell(line).summary,
    )
    assert (azure.folder / "t/t1/$TaskOutput/big.bin").read_bytes() == b"x" * 5 * MIB


def test_begins_while_it_lists(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """Files come while the listing goes on; should it fail, what was listed is kept, and the failure is said."""
    for number in range(6):
        container.client.upload_blob(f"t1/$TaskOutput/{number}", b"x")
    fault_proxy.fault(answer_before(403), on="list", times=None, after=2)
    fault_proxy.fault(small_pages(2), on="list", times=2)
    azure.variables["BATCH_OUTPUTS_RETRY_SECONDS"] = "0"
    with through(fault_proxy, azure):
        done = azure.run("download", "--to", "t", code=125)
    assert done.sentences[0] == "3 files downloaded to t, 3 B (checked by MD5)."
    assert len(done.sentences) == 2


def test_ages_of_logs_in_parts(desk: Desk) -> None:
    """A log is as new as its last part, and comes whole or not at all; a part whose log is gone has its own age."""
    folder = desk.folder / "batch-outputs/job-local/t1/$TaskLog"
    growing = desk.write("a.log", "first\n" * 3)
    with desk.started("track", "--task", "t1", "--flush-interval", "0.1", "a.log") as child:
        wait_until(lambda: (folder / "a.log").exists() and (folder / "a.log").stat().st_size == 18)
        growing.write_text("new\n")
        wait_until((folder / "a.part-2.log").exists)
        child.terminate()
        desk.ended(child)
    then = time.time() - 86400
    os.utime(folder / "a.log", times=(then, then))
    command = ("download", "--task", "t1", "--kind", "TaskLog", "--to")
    assert "Nothing in" in desk.run(*command, "t", "--older-than", "1h", code=125).err
    desk.run(*command, "t", "--newer-than", "1h")
    assert {path.name: path.read_text() for path in (desk.folder / "t").iterdir()} == {"a.log": "first\n" * 3 + "new\n"}
    os.utime(folder / "a.part-2.log", times=(then - 1, then - 1))
    assert "Nothing in" in desk.run(*command, "u", "--newer-than", "1h", code=125).err
    desk.run(*command, "u", "--older-than", "1h")
    assert [path.name for path in (desk.folder / "u").iterdir()] == ["a.log"]
    (folder / "a.log").unlink()
    desk.run(*command, "v", "--older-than", "1h")
    assert [path.name for path in (desk.folder / "v").iterdir()] == ["a.part-2.log"]
