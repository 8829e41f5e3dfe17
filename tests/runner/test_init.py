"""As process 1 of a container `run` does what a container's first process has to, and loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from support.command import BATCH_OUTPUTS, TIMEOUT, Desk, wait_until

PYTHON = sys.executable
UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
LOG = "batch-outputs/job-local/task/$TaskLog/stdout.txt"


@cache
def namespace() -> tuple[str, ...] | None:
    """What makes the process after it process 1 of a namespace of its own; None where that is impossible."""
    for form in (UNSHARE, (*UNSHARE, "--user", "--map-root-user")):
        try:
            if subprocess.run([*form, "true"], capture_output=True, timeout=TIMEOUT, check=False).returncode == 0:
                return form
        except FileNotFoundError:
            return None
    return None


pytestmark = pytest.mark.skipif(namespace() is None, reason="no namespaces of processes here")

DAEMONS = """
import os, sys, time

def others():
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return {pid: state(pid) for pid in pids if pid not in (1, os.getppid(), os.getpid())}

def state(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"

for _ in range(20):
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(0.05)
        os._exit(0)
    os.waitpid(child, 0)
deadline = time.monotonic() + 30
while others() and time.monotonic() < deadline:
    time.sleep(0.01)
print("process 1 is not us:", os.getppid() != 1)
print("left:", *others().values())
"""
"""Starts 20 daemons, waits for the end of all of them, and says which states those have that are still there."""

STEPS = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to end"))
print("before", flush=True)
while not pathlib.Path("go").exists():
    time.sleep(0.02)
for number in range(100_000):
    print("line", number)
print("after")
"""
"""Says so before there is a file `go`, and writes much afterwards."""


@contextmanager
def container(desk: Desk, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`batch-outputs run` as process 1; all in its namespace ends with the block."""
    desk.write("daemons.py", DAEMONS)
    desk.write("steps.py", STEPS)
    form = namespace()
    assert form is not None
    with subprocess.Popen(
        [*form, *BATCH_OUTPUTS, "run", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=desk.folder,
        env=desk.environment(),
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def line_of(child: subprocess.Popen[bytes]) -> str:
    """The next line that the command writes."""
    assert child.stdout is not None
    return child.stdout.readline().decode()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def child_of(pid: int) -> int:
    """The only child of a process."""
    (child,) = children_of(pid)
    return child


def process_1(unshare: subprocess.Popen[bytes]) -> int:
    """The process 1 of the namespace, by the number that it has for us."""
    pid = child_of(unshare.pid)
    assert Path(f"/proc/{pid}/status").read_text().split("NSpid:")[1].split("\n")[0].split()[-1] == "1"
    return pid


def log(desk: Desk) -> str:
    return (desk.folder / LOG).read_text()


def is_complete(desk: Desk) -> bool:
    return bool(desk.outputs()["task/$TaskLog/stdout.txt"]["complete"])


def test_exit_codes(desk: Desk) -> None:
    """The exit code is the program's, or 128 + n after its death by signal n, or 127 if it was not found."""
    wanted = {"sh -c 'exit 0'": 0, "sh -c 'exit 7'": 7, "sh -c 'exit 255'": 255, "no-such-program": 127}
    wanted |= {f"sh -c 'kill -{number} $$'": 128 + number for number in (1, 9, 13, 15)}

    def code_of(number: int, command: str) -> int:
        with container(desk, "--task", f"t{number}", "--", "sh", "-c", f"exec {command}") as child:
            child.communicate(timeout=TIMEOUT)
            return child.returncode

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(code_of, range(len(wanted)), wanted)) == list(wanted.values())


def test_errors_of_our_own(desk: Desk) -> None:
    """Wrong options and programs that are not there are told as ever."""
    for arguments, code, said in (
        (["--grace", "never", "--", "true"], 125, "never"),
        (["--", "no-such-program"], 127, "no-such-program was not found"),
    ):
        with container(desk, *arguments) as child:
            assert said in desk.ended(child, code=code).err


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"])
def test_signals_from_outside(desk: Desk, name: str) -> None:
    """A signal to process 1 reaches the program; its code comes back, and the log is complete."""
    line = f"trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.05; done"
    with container(desk, "--", "sh", "-c", line) as child:
        assert line_of(child) == "ready\n"
        os.kill(process_1(child), signal.Signals[f"SIG{name}"])
        assert desk.ended(child, code=7).out == f"got {name}\n"
    assert log(desk) == f"ready\ngot {name}\n"
    assert is_complete(desk)


def test_asked_to_end(desk: Desk) -> None:
    """Asked to end by SIGTERM to process 1, a program that does not is killed after its time, and its log complete."""
    with container(desk, "--grace", "0.5", "--", "sh", "-c", "trap '' TERM; echo ready; sleep 300") as child:
        assert line_of(child) == "ready\n"
        os.kill(process_1(child), signal.SIGTERM)
        desk.ended(child, code=128 + signal.SIGKILL)
    assert log(desk) == "ready\n"
    assert is_complete(desk)


def test_orphans_are_reaped(desk: Desk) -> None:
    """What daemons leave behind when they end is taken away while the program runs."""
    with container(desk, "--", PYTHON, "daemons.py") as child:
        assert desk.ended(child).out == "process 1 is not us: True\nleft:\n"


@pytest.fixture
def without_wrapper(desk: Desk) -> Iterator[subprocess.Popen[bytes]]:
    """A container whose program goes on without its wrapper, which was killed."""
    with container(desk, "--", PYTHON, "steps.py") as child:
        assert line_of(child) == "before\n"
        first = process_1(child)
        wrapper = child_of(first)
        program = child_of(wrapper)
        os.kill(wrapper, signal.SIGKILL)
        wait_until(lambda: children_of(first) == [program])
        yield child


def test_wrapper_killed(desk: Desk, without_wrapper: subprocess.Popen[bytes]) -> None:
    """The program goes on to its end when its wrapper is killed, and `resume` completes the log to the last byte."""
    desk.write("go")
    assert without_wrapper.wait(TIMEOUT) == 128 + signal.SIGKILL
    wanted = "before\n" + "".join(f"line {number}\n" for number in range(100_000)) + "after\n"
    (spool,) = desk.folder.glob(".batch-outputs/*/stdout.txt")
    assert spool.read_text() == wanted
    desk.run("resume")
    assert log(desk) == wanted
    assert is_complete(desk)
    assert not (desk.folder / ".batch-outputs").exists()


def test_signals_without_wrapper(desk: Desk, without_wrapper: subprocess.Popen[bytes]) -> None:
    """Signals to process 1 reach the program when there is no wrapper any more."""
    os.kill(process_1(without_wrapper), signal.SIGTERM)
    assert without_wrapper.wait(TIMEOUT) == 128 + signal.SIGKILL
    (spool,) = desk.folder.glob(".batch-outputs/*/stderr.txt")
    assert spool.read_text() == "asked to end\n"
