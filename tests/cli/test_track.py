"""`track`: files are saved as they grow, until a signal or the end of a process, and nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from support.azurite import Container
from support.command import Desk, wait_until
from support.fault_proxy import FaultProxy
from support.faults import answer_before

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and programs of POSIX")

NOBODY = str(2**22 + 1)
"""A process id above the highest that Linux gives."""
LOG = "t1/$TaskLog/log.txt"


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def stored(container: Container, blob: str = LOG) -> bytes:
    """What a blob holds; nothing if there is none."""
    if blob not in list(container.client.list_blob_names()):
        return b""
    return container.content(blob)


def has(container: Container, blob: str, content: bytes) -> bool:
    return stored(container, blob) == content


def is_complete(container: Container, blob: str = LOG) -> bool:
    return "complete" in container.client.get_blob_client(blob).get_blob_properties().metadata


def read_until(child: subprocess.Popen[bytes], text: str) -> list[str]:
    """What the command has said, up to the line that holds the text."""
    assert child.stderr is not None
    lines: list[str] = []
    while not lines or text not in lines[-1]:
        lines.append(child.stderr.readline().decode())
        assert lines[-1], lines
    return lines


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_until_a_signal(azure: Desk, container: Container, signum: int) -> None:
    """Files are followed, also those that come later; a signal is the normal end: all saved, complete, 0."""
    log = azure.write("log.txt", "one\n")
    with azure.started("track", "--flush-interval", "0.1", "log.txt", "sub/later.txt") as child:
        said = read_until(child, "is waited for")
        assert said[0].startswith("batch-outputs: saving to 127.0.0.1")
        assert "sub/later.txt does not exist yet" in said[1]
        wait_until(lambda: stored(container) == b"one\n")
        assert not is_complete(container)
        append(log, "two\n")
        azure.write("sub/later.txt", "later\n")
        wait_until(lambda: stored(container) == b"one\ntwo\n")
        append(log, "three\n")
        child.send_signal(signum)
        done = azure.ended(child)
    assert done.sentences == ["saved 2 logs (20 B)."]
    assert stored(container) == log.read_bytes()
    assert stored(container, "t1/$TaskLog/sub/later.txt") == b"later\n"
    assert is_complete(container)


def test_until_a_process_ends(azure: Desk, container: Container) -> None:
    """With --until-exit all that the process wrote is saved, though nobody has waited for it, and marked complete."""
    log = azure.folder / "log.txt"
    writer = subprocess.Popen(["sh", "-c", f"echo one >>{log}; read go; echo two >>{log}"], stdin=subprocess.PIPE)
    with azure.started("track", "--flush-interval", "0.1", "--until-exit", str(writer.pid), "log.txt") as child:
        wait_until(lambda: stored(container) == b"one\n")
        assert writer.stdin is not None
        writer.stdin.close()
        done = azure.ended(child)
    assert done.sentences[-1] == "saved 1 log (8 B)."
    assert stored(container) == b"one\ntwo\n"
    assert is_complete(container)
    assert writer.wait() == 0


@pytest.mark.parametrize("pid", [NOBODY, str(10**30)])
def test_until_a_process_that_is_not_there_ends(azure: Desk, container: Container, pid: str) -> None:
    """A process that has ended before leaves its files to be saved once."""
    azure.write("log.txt", "all of it\n")
    done = azure.run("track", "--until-exit", pid, "log.txt")
    assert done.sentences[1:] == [
        f"there is no process {pid}; what is there now is saved.",
        "saved 1 log (10 B).",
    ]
    assert stored(container) == b"all of it\n"
    assert is_complete(container)


def test_resumes_after_a_kill(azure: Desk, container: Container) -> None:
    """Killed without notice and started again it goes on behind what is stored: no byte twice, no other attempt."""
    log = azure.write("log.txt", "")
    arguments = ["track", "--flush-interval", "0.1", "log.txt"]
    for number in range(3):
        append(log, f"line {number}\n")
        with azure.started(*arguments) as child:
            wait_until(lambda: stored(container) == log.read_bytes())
            child.kill()
            child.wait()
        assert not is_complete(container)
    azure.run(*arguments, "--until-exit", NOBODY)
    assert stored(container) == b"line 0\nline 1\nline 2\n"
    assert list(container.client.list_blob_names()) == [LOG]
    assert is_complete(container)


def test_says_each_change(azure: Desk, container: Container) -> None:
    """A file that is truncated twice is said twice, and goes on in parts that read as one."""
    log = azure.write("log.txt", "first\n")
    with azure.started("track", "--flush-interval", "0.1", "log.txt") as child:
        wait_until(lambda: stored(container) == b"first\n")
        for part in ("t1/$TaskLog/log.part-2.txt", "t1/$TaskLog/log.part-3.txt"):
            log.write_text("new\n")
            read_until(child, "was truncated")
            append(log, "and longer\n")
            wait_until(partial(has, container, part, b"new\nand longer\n"))
        child.terminate()
        azure.ended(child)
    assert azure.run("cat", "log.txt").out == "first\n" + 2 * "new\nand longer\n"


def test_name_kind_and_node(azure: Desk, container: Container) -> None:
    """--as names one file, --kind its kind, the job's too, and --per-node puts it below the node's id."""
    azure.write("log.txt", "x")
    azure.variables["AZ_BATCH_NODE_ID"] = "tvm-1"
    end = ["--until-exit", NOBODY]
    azure.run("track", *end, "--as", "a/b.txt", "log.txt")
    azure.run("track", *end, "--kind", "Progress", "./log.txt")
    azure.run("track", *end, "--per-node", "log.txt")
    azure.run("track", *end, "--kind", "JobOutput", "log.txt")
    assert set(container.client.list_blob_names()) == {
        "t1/$TaskLog/a/b.txt",
        "t1/$Progress/log.txt",
        "t1/$TaskLog/tvm-1/log.txt",
        "$JobOutput/log.txt",
    }


def test_same_file_twice(azure: Desk, container: Container) -> None:
    """A file that is named twice is followed once."""
    azure.write("log.txt", "x")
    assert azure.run("track", "--until-exit", NOBODY, "log.txt", "./log.txt").sentences[-1] == "saved 1 log (1 B)."
    assert list(container.client.list_blob_names()) == [LOG]


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["folder"], 125, ["is a folder", "only a regular file"]),
        (["a.txt", "pipe"], 125, ["is a pipe or device"]),
        (["/dev/null", "--as", "x"], 125, ["is a pipe or device"]),
        (["a.txt", "../a.txt"], 125, ["a.txt and ../a.txt", "both be saved as a.txt", "--as"]),
        (["/elsewhere/a.txt"], 125, ["/elsewhere/a.txt", "under which name"]),
        (["--per-node", "a.txt"], 125, ["AZ_BATCH_NODE_ID"]),
        (["--kind", "a/b", "a.txt"], 125, ["a/b"]),
        (["--as", "x", "a.txt", "b.txt"], 2, ["--as is for one file"]),
        (["--as", "", "a.txt"], 2, ["it is empty"]),
        (["--until-exit", "0", "a.txt"], 2, ["--until-exit"]),
        (["--flush-interval", "0", "a.txt"], 2, ["--flush-interval"]),
        ([], 2, ["PATH"]),
        (["https://acct.blob.core.windows.net/job-x/a.txt?sig=c2VjcmV0"], 2, ["no place on a command line"]),
        (["--container-url", "https://acct.blob.core.windows.net/job-x?sig=c2VjcmV0", "a.txt"], 2, ["_URL"]),
    ],
)
def test_refused_before_anything_starts(desk: Desk, arguments: list[str], code: int, parts: list[str]) -> None:
    """What cannot be followed, or not under that name, is refused with a sentence, and nothing is stored."""
    desk.secrets.append("c2VjcmV0")
    desk.write("a.txt", "x")
    desk.write("folder/b.txt", "x")
    os.mkfifo(desk.folder / "pipe")
    before = desk.everything
    said = desk.run("track", *arguments, code=code).err
    for part in parts:
        assert part in said
    assert desk.everything == before


def test_on_a_node_without_storage(desk: Desk) -> None:
    """On a node nothing is followed until it is said where logs go."""
    desk.variables["AZ_BATCH_NODE_ID"] = "node"
    assert "BATCH_OUTPUTS_CONTAINER_URL" in desk.run("track", "log.txt", code=125).err
    assert desk.everything == set()


def test_one_that_is_refused(azure: Desk, container: Container) -> None:
    """A log that storage refuses is said at once and makes 125 of the end; the others are followed all the same."""
    azure.write("taken.txt", "a file")
    azure.write("log.txt", "followed\n")
    azure.run("save", "--kind", "TaskLog", "taken.txt")
    with azure.started("track", "--flush-interval", "0.1", "taken.txt", "log.txt") as child:
        read_until(child, "taken.txt in ")
        wait_until(lambda: stored(container) == b"followed\n")
        child.terminate()
        done = azure.ended(child, code=125)
    assert done.sentences[-1] == "saved 1 log (9 B)."
    assert stored(container, "t1/$TaskLog/taken.txt") == b"a file"


@pytest.mark.parametrize("options", [["--flush-timeout", "0.5"], []], ids=["budget", "second signal"])
def test_outage_at_the_end(azure: Desk, container: Container, fault_proxy: FaultProxy, options: list[str]) -> None:
    """An outage that lasts is said once and given up after the budget, sooner after a second signal: 125."""
    url = fault_proxy.through(azure.variables["BATCH_OUTPUTS_CONTAINER_URL"])
    azure.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": url, "BATCH_OUTPUTS_RETRY_SECONDS": "0"}
    log = azure.write("log.txt", "stored\n")
    with azure.started("track", "--flush-interval", "0.1", *options, "log.txt") as child:
        wait_until(lambda: stored(container) == b"stored\n")
        fault_proxy.fault(answer_before(503), on="append", times=None)
        append(log, "not stored\n")
        read_until(child, "is not saved at present")
        child.terminate()
        if not options:
            child.send_signal(signal.SIGINT)
            wait_until(lambda: child.poll() is not None, timeout=15)
        done = azure.ended(child, code=125)
    assert done.sentences[-1] == "saved 0 logs (0 B)."
    assert "11 bytes of" in done.sentences[-2]
    assert len(done.sentences) == 2
    assert stored(container) == b"stored\n"
    assert not is_complete(container)
