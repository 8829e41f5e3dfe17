"""A stderr that nobody reads takes nothing but our sentences: program, saving and exit go on as without it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from batch_outputs.cli.voice import MOST_WAITING, Voice
from support.azurite import Container
from support.command import TIMEOUT, Desk, wait_until
from support.fault_proxy import FaultProxy
from support.faults import answer_before, hang
from support.runs import logs, marks

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and programs of POSIX")


@dataclass
class Pipe:
    """A pipe that only the test reads."""

    reader: int
    writer: int

    def fill(self) -> None:
        """Leave no room in it."""
        os.set_blocking(self.writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"\0" * 4096)
        os.set_blocking(self.writer, True)

    def line(self) -> str:
        """The next line."""
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(self.reader, 1)
        return line.decode()

    def rest(self) -> str:
        """All that is in it, and comes until all who write to it have ended, without what filled it."""
        os.close(self.writer)
        self.writer = -1
        with open(self.reader, "rb", closefd=False) as file:
            return file.read().replace(b"\0", b"").decode()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe that is empty."""
    pipe = Pipe(*os.pipe())
    yield pipe
    for descriptor in (pipe.reader, pipe.writer):
        if descriptor != -1:
            os.close(descriptor)


@pytest.fixture
def full(pipe: Pipe) -> Pipe:
    """A pipe that is full."""
    pipe.fill()
    return pipe


@pytest.mark.parametrize("code", [0, 3])
def test_run(desk: Desk, full: Pipe, code: int) -> None:
    """The program runs, its output comes through and is stored with its files, and its code is kept."""
    line = f"echo hello; echo x >a.bin; exit {code}"
    rules = ["--save", "*.bin", "--save", "*.none", "--restore", "*.ckpt"]
    with desk.started("run", *rules, "--", "sh", "-c", line, stderr=full.writer) as child:
        assert desk.ended(child, code).out == "hello\n"
    outputs = {name: record["size"] for name, record in desk.outputs().items()}
    assert outputs == {"task/$TaskLog/stdout.txt": 6, "task/$TaskLog/stderr.txt": 0, "task/$TaskOutput/a.bin": 2}
    assert not (desk.folder / ".batch-outputs").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--", "no-such-program"], 127), (["--task", "a/b", "--", "true"], 125), (["--save", "=", "--", "true"], 125)],
)
def test_run_that_does_not_start(desk: Desk, full: Pipe, arguments: list[str], code: int) -> None:
    """What is refused ends with its code, though nobody reads why."""
    with desk.started("run", *arguments, stderr=full.writer) as child:
        desk.ended(child, code)
    assert desk.everything == set()


@pytest.mark.parametrize(
    "line",
    ["echo x >a.bin", pytest.param("echo x >a.bin; yes | head -c 1000000 | tee /dev/stderr", marks=pytest.mark.long)],
    ids=["silent program", "output that nobody takes for 30 s"],
)
def test_stdout_is_stuck_as_well(desk: Desk, full: Pipe, line: str) -> None:
    """If nobody reads either stream, all is stored all the same, and the code is the program's."""
    with desk.started(
        "run", "--save", "*.bin", "--", "sh", "-c", f"{line}; exit 3", stdout=full.writer, stderr=full.writer
    ) as child:
        desk.ended(child, code=3)
    assert "task/$TaskOutput/a.bin" in desk.outputs()
    assert not (desk.folder / ".batch-outputs").exists()


def test_full_only_later(azure: Desk, container: Container, fault_proxy: FaultProxy, pipe: Pipe) -> None:
    """The library's warnings, said while saving goes on, hold it up as little as what we say ourselves."""
    url = fault_proxy.through(azure.variables["BATCH_OUTPUTS_CONTAINER_URL"])
    azure.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": url, "BATCH_OUTPUTS_RETRY_SECONDS": "0"}
    line = "echo one; read go; echo two; read go"
    with azure.started("run", "--flush-interval", "0.1", "--", "sh", "-c", line, stderr=pipe.writer) as child:
        assert pipe.line().startswith("batch-outputs: saving to ")
        wait_until(lambda: logs(container).get("stdout.txt") == b"one\n")
        pipe.fill()
        fault_proxy.fault(answer_before(503), on="append", times=3)
        assert child.stdin is not None
        os.write(child.stdin.fileno(), b"go\n")
        wait_until(lambda: logs(container)["stdout.txt"] == b"one\ntwo\n")
        child.stdin.close()
        assert "stdout.txt is not saved at present" in pipe.rest()
        assert child.wait(TIMEOUT) == 1
    assert marks(container)["complete"] == "true"


def test_requests_that_hang(azure: Desk, fault_proxy: FaultProxy, full: Pipe) -> None:
    """With a store that does not answer either, the time for saving ends the run."""
    azure.variables["BATCH_OUTPUTS_CONTAINER_URL"] = fault_proxy.through(azure.variables["BATCH_OUTPUTS_CONTAINER_URL"])
    fault_proxy.fault(hang, times=None)
    with azure.started("run", "--flush-timeout", "1", "--", "echo", "hello", stderr=full.writer) as child:
        assert azure.ended(child, code=125).out == "hello\n"


def test_track(azure: Desk, container: Container, full: Pipe) -> None:
    """`track` follows its files and ends as usual."""
    azure.write("log.txt", "one\n")
    arguments = ["--flush-interval", "0.1", "log.txt", "waited-for.txt"]
    with azure.started("track", *arguments, stderr=full.writer) as child:
        wait_until(lambda: logs(container).get("log.txt") == b"one\n")
        child.send_signal(signal.SIGTERM)
        azure.ended(child)
    assert marks(container, "log.txt")["complete"] == "true"


def test_read_again(desk: Desk, full: Pipe) -> None:
    """What waited is said as soon as somebody reads, in order, and nothing is lost."""
    rules = [argument for number in range(1000) for argument in ("--save", f"none-{number}")]
    with desk.started("run", *rules, "--", "sh", "-c", "touch started; read go", stderr=full.writer) as child:
        wait_until((desk.folder / "started").exists)
        assert child.stdin is not None
        child.stdin.close()
        said = full.rest().splitlines()
        assert child.wait(TIMEOUT) == 1
    assert said[0].startswith("batch-outputs: nothing says where outputs go")
    assert said[1:-1] == [f"batch-outputs: There is no file none-{number}; check the path." for number in range(1000)]
    assert "the program ended with 1" in said[-1]


def test_oldest_sentences_go(full: Pipe) -> None:
    """Of very many that nobody reads the newest are kept."""
    last = 2 * MOST_WAITING
    with os.fdopen(os.dup(full.writer), "w") as stream:
        voice = Voice(stream)
        for number in range(last + 1):
            voice.say(f"{number}\n")
        assert not voice.finish()
        said = b""
        while not said.endswith(b"\n%d\n" % last):
            said += os.read(full.reader, 65536).replace(b"\0", b"")
        assert voice.finish()
    # The first may have been under way already.
    assert [int(line) for line in said.split()][-MOST_WAITING:] == list(range(last + 1 - MOST_WAITING, last + 1))
    assert said.count(b"\n") <= MOST_WAITING + 1
