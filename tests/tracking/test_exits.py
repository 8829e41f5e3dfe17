"""However a process ends, what its tracked files hold is stored: by SIGTERM, an error, Ctrl-C, or with the interpreter.

The programs are real processes that reach the blob service by a host name, which has to be looked up to the very end.
Nothing is saved before the end, as the interval is an hour.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.azurite import Container
from support.command import wait_until
from support.fault_proxy import FaultProxy
from support.faults import answer_before

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

LOG = "t1/$TaskLog/log.txt"
PATIENCE = 60.0

PRELUDE = """
import asyncio, hashlib, os, pathlib, signal, subprocess, sys, threading, time
from batch_outputs import TaskOutputStorage, sync

def append(text):
    with open("log.txt", "a") as file:
        file.write(text)

def ready():
    append("written\\n")
    print("ready", flush=True)

def block(outputs):
    return outputs.save_tracked("TaskLog", "log.txt", flush_interval=3600)

url = os.environ["URL"]
"""

BLOCKING = """
with sync.TaskOutputStorage.from_container_url(url, "t1") as outputs:
    with block(outputs) as tracked:
        {body}
    {after}
"""

ASYNC = """
async def main():
    async with TaskOutputStorage.from_container_url(url, "t1") as outputs:
        async with block(outputs) as tracked:
            {body}
        {after}
asyncio.run(main())
"""


def blocking(body: str, after: str = "pass") -> str:
    """A program without an event loop that does this in the block of a tracked save."""
    return BLOCKING.format(body=indented(body, 8), after=after)


def on_a_loop(body: str, after: str = "pass") -> str:
    """The same on an event loop."""
    return ASYNC.format(body=indented(body, 12), after=after)


def indented(body: str, by: int) -> str:
    return textwrap.indent(textwrap.dedent(body).strip(), " " * by).strip()


@dataclass
class Programs:
    """Runs programs in a folder, on a container."""

    folder: Path
    container: Container
    url: str
    running: ExitStack

    def start(self, program: str) -> subprocess.Popen[bytes]:
        """Start a program, and return once it is ready."""
        child = self.running.enter_context(
            subprocess.Popen(
                [sys.executable, "-W", "error", "-c", PRELUDE + program],
                cwd=self.folder,
                env={**os.environ, "URL": self.url, "BATCH_OUTPUTS_RETRY_SECONDS": "0"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        self.running.callback(child.kill)
        assert child.stdout is not None
        if child.stdout.readline() != b"ready\n":
            pytest.fail(child.communicate(timeout=PATIENCE)[1].decode())
        return child

    def ended(self, child: subprocess.Popen[bytes], code: int, stdin: str = "", *, quietly: bool = True) -> str:
        """Wait for the end; the program's stdout."""
        out, err = child.communicate(stdin.encode(), timeout=PATIENCE)
        assert child.returncode == code, err.decode()
        assert not quietly or err == b"", err.decode()
        return out.decode()

    def stored(self, blob: str = LOG) -> bytes:
        """What the log in storage holds."""
        return self.container.content(blob)

    @property
    def is_complete(self) -> bool:
        """Whether the log is marked so."""
        return "complete" in self.container.client.get_blob_client(LOG).get_blob_properties().metadata


@pytest.fixture
def programs(container: Container, tmp_path: Path) -> Iterator[Programs]:
    """Programs with an empty container."""
    with ExitStack() as running:
        yield Programs(tmp_path, container, container.sas_url().replace("127.0.0.1", "localhost", 1), running)


WAITING = {
    "sleeping": "time.sleep(600)",
    "computing in C": "hashlib.pbkdf2_hmac('sha256', b'', b'', 2_000_000_000)",
    "reading": "os.read(os.pipe()[0], 1)",
    "computing": "while True: pass",
}


@pytest.mark.parametrize("waiting", WAITING)
@pytest.mark.parametrize("make", [blocking, on_a_loop])
def test_sigterm(programs: Programs, waiting: str, make: Callable[[str], str]) -> None:
    """SIGTERM saves what was written, whatever the main thread sits in, and ends the process; no end is claimed."""
    # Ready is said by another thread, when the main thread has long been where it stays.
    child = programs.start(make(f"threading.Timer(0.3, ready).start()\n{WAITING[waiting]}"))
    began = time.monotonic()
    child.terminate()
    programs.ended(child, -signal.SIGTERM)
    assert time.monotonic() - began < 20
    assert programs.stored() == b"written\n"
    assert not programs.is_complete


def test_sigterm_while_a_loop_waits(programs: Programs) -> None:
    """The same in an event loop that has nothing to do."""
    child = programs.start(on_a_loop("ready()\nawait asyncio.sleep(600)"))
    child.terminate()
    programs.ended(child, -signal.SIGTERM)
    assert programs.stored() == b"written\n"


@pytest.mark.parametrize("when", ["before", "after"])
def test_sigterm_beside_signals_of_the_loop(programs: Programs, when: str) -> None:
    """An event loop that handles other signals keeps its way of hearing of them, and SIGTERM saves all the same."""
    heard = "asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: print('heard', flush=True))"
    inside = f"""
        {heard if when == "after" else "pass"}
        ready()
        await asyncio.sleep(600)
        """
    program = on_a_loop(inside)
    if when == "before":
        program = program.replace("async def main():\n", f"async def main():\n    {heard}\n")
    child = programs.start(program)
    child.send_signal(signal.SIGUSR1)
    assert child.stdout is not None
    assert child.stdout.readline() == b"heard\n"
    child.terminate()
    programs.ended(child, -signal.SIGTERM)
    assert programs.stored() == b"written\n"


def test_sigterm_twice(programs: Programs) -> None:
    """A second SIGTERM does not cut the first one's saving short."""
    child = programs.start(blocking("ready()\ntime.sleep(600)"))
    child.terminate()
    time.sleep(0.02)
    child.terminate()
    programs.ended(child, -signal.SIGTERM)
    assert programs.stored() == b"written\n"


def test_sigterm_at_the_interpreters_end(programs: Programs) -> None:
    """Where the main thread has ended and another goes on, SIGTERM still ends the process, and at once."""
    program = """
        outputs = sync.TaskOutputStorage.from_container_url(url, "t1")
        tracked = block(outputs)
        tracked.__enter__()
        threading.Thread(target=time.sleep, args=(600,)).start()
        ready()
        """
    child = programs.start(textwrap.dedent(program))
    wait_until(lambda: programs.is_complete)  # what was never left has been ended
    child.terminate()
    programs.ended(child, -signal.SIGTERM)
    assert programs.stored() == b"written\n"


HANDLED = {
    "by a function": "signal.signal(signal.SIGTERM, lambda *_: print('mine', flush=True))",
    "by nobody, as it is ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "by the loop": "asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: print('mine', flush=True))",
}


@pytest.mark.parametrize("how", HANDLED)
@pytest.mark.parametrize("when", ["before", "in"])
def test_sigterm_that_is_handled(programs: Programs, how: str, when: str) -> None:
    """Where the program handles SIGTERM itself, before the block or in it, that stands and nothing else happens."""
    handle = HANDLED[how]
    # Half a second is twice what the log thread needs to notice a signal.
    body = f"{handle if when == 'in' else 'pass'}\nready()\nsys.stdin.readline()\nawait asyncio.sleep(0.5)"
    program = on_a_loop(body)
    if when == "before":
        program = program.replace("async def main():\n", f"async def main():\n    {handle}\n")
    child = programs.start(program)
    child.terminate()
    assert programs.ended(child, 0, "go\n") == ("" if "ignored" in how else "mine\n")
    assert programs.is_complete


def test_sigterm_is_given_back(programs: Programs) -> None:
    """After the last tracked save SIGTERM has its default again, and signals are noted where they were before."""
    program = """
        mine = os.pipe()
        os.set_blocking(mine[1], False)
        for other in (-1, mine[1]):
            signal.set_wakeup_fd(other)
            with sync.TaskOutputStorage.from_container_url(url, "t1") as outputs:
                with outputs.save_tracked("TaskLog", "a.txt"):
                    with outputs.save_tracked("TaskLog", "b.txt"):
                        pass
                    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            assert signal.set_wakeup_fd(-1) == other
        ready()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)
        """
    programs.ended(programs.start(textwrap.dedent(program)), -signal.SIGTERM)


def test_sigterm_during_an_outage(programs: Programs, fault_proxy: FaultProxy) -> None:
    """An outage that passes in time costs nothing."""
    programs.url = fault_proxy.through(programs.url)
    child = programs.start(blocking("ready()\ntime.sleep(600)"))
    outage = fault_proxy.fault(answer_before(503), on="append", times=2)
    child.terminate()
    programs.ended(child, -signal.SIGTERM, quietly=False)
    assert outage.fired == 2
    assert programs.stored() == b"written\n"


@pytest.mark.long
def test_sigterm_during_an_outage_that_lasts(programs: Programs, fault_proxy: FaultProxy) -> None:
    """One that does not is given up after 20 s."""
    programs.url = fault_proxy.through(programs.url)
    child = programs.start(blocking("ready()\ntime.sleep(600)"))
    fault_proxy.fault(answer_before(503), on="append", times=None)
    began = time.monotonic()
    child.terminate()
    programs.ended(child, -signal.SIGTERM, quietly=False)
    assert 15 < time.monotonic() - began < 22
    assert programs.stored() == b""


def test_sigterm_while_the_block_is_left(programs: Programs, fault_proxy: FaultProxy) -> None:
    """SIGTERM during the last flush waits for that; the log has reached its end and says so."""
    programs.url = fault_proxy.through(programs.url)
    outage = fault_proxy.fault(answer_before(503), on="append", times=2)
    child = programs.start(blocking("ready()"))
    fault_proxy.wait_fired()
    child.terminate()
    programs.ended(child, -signal.SIGTERM, quietly=False)
    assert outage.fired == 2
    assert programs.stored() == b"written\n"
    assert programs.is_complete


CHILDREN = {
    "a program": """
        shown = subprocess.run(["sh", "-c", "cat /proc/self/status"], capture_output=True, text=True).stdout
        status = dict(line.split(":\\t", 1) for line in shown.splitlines() if ":\\t" in line)
        for field in ("SigBlk", "SigIgn", "SigCgt"):
            assert not int(status[field], 16) >> 14 & 1, field
        """,
    "a fork": """
        child = os.fork()
        if child == 0:
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(600)
        assert os.waitpid(child, 0)[1] == signal.SIGTERM
        """,
    "forks that are ended as they begin": """
        for _ in range(200):
            child = os.fork()
            if child == 0:
                time.sleep(600)
            os.kill(child, signal.SIGTERM)
            assert os.waitpid(child, 0)[1] == signal.SIGTERM
        time.sleep(0.5)
        """,
    "a fork that leaves the block": """
        child = os.fork()
        if child == 0:
            try:
                tracked.flush()
            except RuntimeError:
                sys.exit(7)
        assert os.waitpid(child, 0)[1] == 7 << 8
        append("and after\\n")
        """,
}


@pytest.mark.parametrize("child", CHILDREN)
def test_children(programs: Programs, child: str) -> None:
    """Children have SIGTERM as it was, and nothing that happens to them is taken for what happens to us."""
    program = programs.start(blocking(f"ready()\n{textwrap.dedent(CHILDREN[child])}", after="append('block is left')"))
    programs.ended(program, 0)
    assert programs.stored() == (programs.folder / "log.txt").read_bytes().removesuffix(b"block is left")
    assert programs.is_complete


@pytest.mark.parametrize("make", [blocking, on_a_loop])
@pytest.mark.parametrize(("how", "code"), [("sys.exit(3)", 3), ("raise SystemExit", 0), ("1 / 0", 1)])
def test_leaving_by_an_error(programs: Programs, make: Callable[[str], str], how: str, code: int) -> None:
    """An exit or an error in the block saves the rest and is what the process ends with."""
    programs.ended(programs.start(make(f"ready()\n{how}")), code, quietly=code != 1)
    assert programs.stored() == b"written\n"
    assert programs.is_complete


@pytest.mark.parametrize(
    "program",
    [blocking("ready()\ntime.sleep(600)"), on_a_loop("ready()\nawait asyncio.sleep(600)")],
    ids=["blocking", "on a loop"],
)
def test_ctrl_c(programs: Programs, program: str) -> None:
    """Ctrl-C in the block saves the rest and ends the process as ever."""
    child = programs.start(program)
    child.send_signal(signal.SIGINT)
    programs.ended(child, -signal.SIGINT, quietly=False)
    assert programs.stored() == b"written\n"
    assert programs.is_complete


def test_a_daemon_thread_that_is_left_behind(programs: Programs) -> None:
    """A block in a daemon thread, which the interpreter does not wait for, is ended with the interpreter."""
    program = f"""
def work():
{textwrap.indent(blocking("entered.set()" + chr(10) + "time.sleep(600)"), "    ")}
entered = threading.Event()
threading.Thread(target=work, daemon=True).start()
entered.wait()
ready()
"""
    programs.ended(programs.start(program), 0)
    assert programs.stored() == b"written\n"
    assert programs.is_complete


def test_a_loop_that_is_cancelled_from_outside(programs: Programs) -> None:
    """When `asyncio.run` ends, tasks that still track are cancelled, and save the rest."""
    program = """
async def track(entered):
    async with TaskOutputStorage.from_container_url(url, "t1") as outputs:
        async with block(outputs):
            entered.set()
            await asyncio.sleep(600)

async def main():
    entered = asyncio.Event()
    task = asyncio.create_task(track(entered))
    await entered.wait()
    ready()

asyncio.run(main())
"""
    programs.ended(programs.start(program), 0)
    assert programs.stored() == b"written\n"
    assert programs.is_complete
