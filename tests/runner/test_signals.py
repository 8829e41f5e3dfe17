"""Signals to us are the program's, and how it ended is what we end with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.command import BATCH_OUTPUTS, TIMEOUT, Desk, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

PYTHON = sys.executable
FORWARDED = ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2")
NOT_DEADLY = ("CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "WINCH")
AT_ONCE = 8

CATCHES = """
import os, signal, sys
for name in sys.argv[1:]:
    number = signal.Signals[f"SIG{name}"]
    signal.signal(number, lambda *_, name=name: os.write(1, f"caught {name}\\n".encode()))
print("pid", os.getpid(), flush=True)
sys.exit(int(sys.stdin.readline()))
"""
"""Tells of the signals that it is to catch, and ends with the code that it reads."""

STUBBORN = "trap '' TERM; sleep 300 & echo $!; while :; do sleep 0.05; done"
"""Ignores SIGTERM, as does its child, whose process id it says."""


def line_of(child: subprocess.Popen[bytes]) -> str:
    """The next line that a command writes."""
    assert child.stdout is not None
    return child.stdout.readline().decode()


def gone(pid: int) -> bool:
    """Whether a process has ended, also if nobody has waited for it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def is_complete(desk: Desk) -> bool:
    return all(record["complete"] for record in desk.outputs().values())


def all_end_with(desk: Desk, wanted: Iterable[tuple[str, int]]) -> None:
    """Each line, run by a shell under `run`, ends with its code; several run at once."""

    def run(number: int, line: str, code: int) -> None:
        done = desk.run("run", "--task", f"t{number}", "--", "sh", "-c", line, code=code)
        assert done.summary.endswith(f"the program ended with {code}.")

    with ThreadPoolExecutor(AT_ONCE) as threads:
        runs = [threads.submit(run, number, *each) for number, each in enumerate(wanted)]
    for each in runs:
        each.result()


def test_exit_codes(desk: Desk, long_form: bool) -> None:
    """Every exit code from 0 to 255 comes back; the short form takes those near the edges, and each ninth."""
    edges = {*range(4), 63, 64, 65, *range(124, 132), 137, 143, 191, 192, *range(252, 256)}
    all_end_with(desk, [(f"exit {code}", code) for code in range(256) if long_form or code in edges or code % 9 == 0])


def test_death_by_every_signal(desk: Desk) -> None:
    """Whichever signal from 1 to 31 ends the program, the code is 128 and its number."""
    not_deadly = {signal.Signals[f"SIG{name}"] for name in NOT_DEADLY}
    deadly = [number for number in range(1, 32) if number not in not_deadly]
    all_end_with(desk, [(f"ulimit -c 0; kill -{number} $$", 128 + number) for number in deadly])
    assert is_complete(desk)


def test_signals_that_end_nothing(desk: Desk) -> None:
    """A signal that a program is not ended by does not end it here either."""
    names = [name for name in NOT_DEADLY if name not in {"STOP", "TSTP", "TTIN", "TTOU"}]
    all_end_with(desk, [(f"kill -{name} $$; exit 3", 3) for name in names])


@pytest.mark.parametrize("name", FORWARDED)
def test_forwarded(desk: Desk, name: str) -> None:
    """A signal to us reaches the program, once; if it catches it, it goes on, and ends with its own code."""
    desk.write("catches.py", CATCHES)
    with desk.started("run", "--", PYTHON, "catches.py", *FORWARDED) as child:
        first = line_of(child)
        child.send_signal(signal.Signals[f"SIG{name}"])
        assert line_of(child) == f"caught {name}\n"
        assert child.stdin is not None
        child.stdin.write(b"7\n")
        assert desk.ended(child, code=7).out == ""
    assert desk.run("cat", "TaskLog/stdout.txt").out == f"{first}caught {name}\n"
    assert is_complete(desk)


@pytest.mark.parametrize("name", FORWARDED)
def test_death_by_a_forwarded_signal(desk: Desk, name: str) -> None:
    """A program that does nothing about a signal to us dies of it, and we end with 128 + n when all is saved."""
    with desk.started("run", "--", "sh", "-c", "ulimit -c 0; echo ready; exec sleep 300") as child:
        assert line_of(child) == "ready\n"
        number = signal.Signals[f"SIG{name}"]
        child.send_signal(number)
        desk.ended(child, code=128 + number)
    assert is_complete(desk)


def test_many_signals(desk: Desk) -> None:
    """Signals that ask nobody to end may come as often as they like."""
    desk.write("catches.py", CATCHES)
    with desk.started("run", "--grace", "0", "--", PYTHON, "catches.py", *FORWARDED) as child:
        line_of(child)
        for name in ("HUP", "QUIT", "USR1", "USR2") * 5:
            child.send_signal(signal.Signals[f"SIG{name}"])
            assert line_of(child) == f"caught {name}\n"
        assert child.stdin is not None
        child.stdin.write(b"0\n")
        desk.ended(child)


def test_killed_after_its_time(desk: Desk) -> None:
    """A program that is asked to end and does not is killed when its time is over, with its children, and saved."""
    with desk.started("run", "--grace", "0.5", "--", "sh", "-c", STUBBORN) as child:
        grandchild = int(line_of(child))
        asked = time.monotonic()
        child.send_signal(signal.SIGTERM)
        desk.ended(child, code=128 + signal.SIGKILL)
        assert time.monotonic() - asked >= 0.5
    wait_until(lambda: gone(grandchild))
    assert desk.run("cat", "TaskLog/stdout.txt").out == f"{grandchild}\n"
    assert is_complete(desk)


def test_not_killed_unless_asked(desk: Desk) -> None:
    """Without being asked to end a program has all the time there is, whatever its grace."""
    with desk.started("run", "--grace", "0", "--", "sh", "-c", "trap '' TERM USR1; echo ready; read code") as child:
        line_of(child)
        child.send_signal(signal.SIGUSR1)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1)
        desk.ended(child, code=1)


def test_ends_within_its_time(desk: Desk) -> None:
    """A program that ends when it is asked to has its own code, and nothing waits for the rest of its time."""
    line = "trap 'echo tidying; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    with desk.started("run", "--grace", "600", "--", "sh", "-c", line) as child:
        line_of(child)
        child.send_signal(signal.SIGTERM)
        assert desk.ended(child, code=3).out == "tidying\n"


@pytest.mark.parametrize("names", [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")])
def test_asked_twice(desk: Desk, names: tuple[str, str]) -> None:
    """Asked a second time, a program that has time left is killed at once, with its children."""
    desk.write("catches.py", CATCHES)
    line = f"trap '' TERM INT; sleep 300 & echo $!; exec {PYTHON} catches.py TERM INT"
    with desk.started("run", "--grace", "600", "--", "sh", "-c", line) as child:
        grandchild = int(line_of(child))
        line_of(child)
        for name, answer in zip(names, (f"caught {names[0]}\n", ""), strict=True):
            child.send_signal(signal.Signals[f"SIG{name}"])
            assert line_of(child) == answer
        desk.ended(child, code=128 + signal.SIGKILL)
    wait_until(lambda: gone(grandchild))
    assert is_complete(desk)


def test_stopped_and_continued_from_outside(desk: Desk) -> None:
    """A program that somebody stops and lets go on is waited for all the while."""
    desk.write("catches.py", CATCHES)
    with desk.started("run", "--", PYTHON, "catches.py", "CONT") as child:
        pid = int(line_of(child).split()[1])
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        os.kill(pid, signal.SIGCONT)
        assert line_of(child) == "caught CONT\n"
        assert child.stdin is not None
        child.stdin.write(b"4\n")
        desk.ended(child, code=4)


def test_where_ended_children_are_not_to_be_waited_for(desk: Desk) -> None:
    """The code is the program's too where we were started with SIGCHLD ignored."""
    done = subprocess.run(
        [*BATCH_OUTPUTS, "run", "--", "sh", "-c", "exit 3"],
        cwd=desk.folder,
        env=desk.environment(),
        capture_output=True,
        timeout=TIMEOUT,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
        check=False,
    )
    assert done.returncode == 3, done.stderr
