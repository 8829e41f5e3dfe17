"""At a terminal a wrapped program is where it would be without the wrapper, and so is the shell behind it."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.command import BATCH_OUTPUTS, TIMEOUT, Desk, wait_until

if sys.platform == "win32":
    pytest.skip("terminals of POSIX", allow_module_level=True)

import fcntl
import termios
import tty

LOGS = "batch-outputs/job-local/task/$TaskLog"
PYTHON = sys.executable
PROMPT = "ready for a command> "
SAID = re.compile(r"pid (\d+) (\d+)\n")
SHELLS = {"bash": ["bash", "--norc", "--noprofile", "--noediting", "-i"], "sh": ["sh", "-i"]}

CTRL = {"INT": "\x03", "QUIT": "\x1c", "TSTP": "\x1a"}

ANSWERS = """
import os, signal, sys

def tell(name):
    signal.signal(name, lambda *_: os.write(1, f"caught {name.name}\\n".encode()))

for name in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCONT):
    tell(name)
print("pid", os.getpid(), os.getppid(), flush=True)
while line := sys.stdin.readline():
    word, _, code = line.strip().partition(" ")
    if word == "exit":
        sys.exit(int(code))
    print("got", word, flush=True)
"""
"""Says who it is, tells of signals, repeats what is typed, and ends with the code of `exit CODE`."""

WAITS = """
import os, pathlib, sys, time
print("pid", os.getpid(), os.getppid(), flush=True)
while not pathlib.Path("go").exists():
    time.sleep(0.02)
if sys.argv[1:] == ["and-reads"]:
    print("got", sys.stdin.readline().strip())
print("went on")
sys.exit(3)
"""
"""Says who it is, and ends with 3 once there is a file `go`, after a line from its input if that is wanted."""


class Screen:
    """The other end of a terminal: it types keys, and sees what is shown. Typed keys are not shown."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._unread = ""

    def type(self, keys: str) -> None:
        """Type keys."""
        os.write(self._master, keys.encode())

    def wait_for(self, text: str) -> str:
        """Wait until this is shown; what was shown before it, since the last time."""
        deadline = time.monotonic() + TIMEOUT
        while text not in self._unread:
            assert self._read(deadline), f"{text!r} is not in what was shown: {self._unread!r}"
        before, _, self._unread = self._unread.partition(text)
        return before

    def command(self, line: str) -> str:
        """Let a shell do a line; what is shown until it is ready for the next."""
        self.type(f"{line}\n")
        return self.wait_for(PROMPT)

    def program(self) -> tuple[int, int]:
        """Wait until the program says who it is: its process id, and that of its wrapper."""
        self.wait_for("pid ")
        pid, wrapper = self.wait_for("\n").split()
        return int(pid), int(wrapper)

    def program_behind(self, line: str) -> tuple[int, int]:
        """Have a shell do a line in the background, and be ready: as `program`, which may speak before the shell."""
        self.type(f"{line} &\n")
        deadline = time.monotonic() + TIMEOUT
        while not ((said := SAID.search(self._unread)) and PROMPT in self._unread):
            assert self._read(deadline), f"not both are in what was shown: {self._unread!r}"
        self._unread = ""
        return int(said[1]), int(said[2])

    def rest(self) -> str:
        """All that is shown until nobody is at the terminal any more."""
        deadline = time.monotonic() + TIMEOUT
        while self._read(deadline):
            pass
        return self._unread

    @property
    def foreground(self) -> int:
        """The process group that may read from the terminal."""
        return os.tcgetpgrp(self._master)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            piece = os.read(self._master, 65536)
        except OSError:
            return False  # nobody has the other end open
        self._unread += piece.decode(errors="replace")
        return bool(piece)


def _plain(slave: int) -> None:
    """Show no typed keys, and all output as it was written, also what was on its way when Ctrl-C is typed."""
    modes = termios.tcgetattr(slave)
    modes[tty.OFLAG] &= ~termios.OPOST
    modes[tty.LFLAG] = modes[tty.LFLAG] & ~termios.ECHO | termios.NOFLSH
    termios.tcsetattr(slave, termios.TCSANOW, modes)


@contextmanager
def at_terminal(desk: Desk, *command: str) -> Iterator[tuple[subprocess.Popen[bytes], Screen]]:
    """A command that leads the session of a terminal of its own; all that is at it ends with the block."""
    master, slave = os.openpty()
    _plain(slave)
    desk.write("answers.py", ANSWERS)
    desk.write("waits.py", WAITS)
    with subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=desk.folder,
        env=desk.environment({"PS1": PROMPT, "ENV": ""}),
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - it only makes one system call
    ) as child:
        os.close(slave)
        try:
            yield child, Screen(master)
        finally:
            _end_session(child.pid)
            os.close(master)


def _end_session(leader: int) -> None:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and session(int(entry.name)) == leader:
            try:
                os.kill(int(entry.name), signal.SIGKILL)
            except ProcessLookupError:
                continue  # it has just ended


@contextmanager
def run_at_terminal(desk: Desk, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Screen]]:
    """`batch-outputs run` that leads the session of a terminal, without a shell."""
    with at_terminal(desk, *BATCH_OUTPUTS, "run", *arguments) as started:
        yield started


@contextmanager
def shell(desk: Desk, name: str) -> Iterator[tuple[int, Screen]]:
    """An interactive shell, which looks after its jobs, ready for a command."""
    with at_terminal(desk, *SHELLS[name]) as (child, screen):
        screen.wait_for(PROMPT)
        yield child.pid, screen


def stat(pid: int) -> list[str]:
    """What /proc says of a process, from its state on; of one that is gone, that it is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["X", "0", "0", "0"]


def session(pid: int) -> int:
    return int(stat(pid)[3])


def stopped(*pids: int) -> bool:
    return all(stat(pid)[0] == "T" for pid in pids)


def log(desk: Desk) -> str:
    return (desk.folder / LOGS / "stdout.txt").read_text()


def answers(screen: Screen, word: str) -> None:
    """Type a line, and see the program answer it."""
    screen.type(f"{word}\n")
    screen.wait_for(f"got {word}\n")


def test_foreground_from_the_first_instruction(desk: Desk) -> None:
    """A program that looks at once finds its own group, of which we are not, in the terminal's foreground."""
    line = "for i in 1 2 3 4 5; do batch-outputs run -- cat /proc/self/stat; done"
    with at_terminal(desk, "sh", "-c", line) as (child, screen):
        shown = screen.rest()
        assert child.wait(TIMEOUT) == 0
    seen = [line.rpartition(")")[2].split() for line in shown.splitlines() if "(cat)" in line]
    assert len(seen) == 5
    for _, _, group, _, _, foreground, *_ in seen:
        assert int(group) == int(foreground) != child.pid


@pytest.mark.parametrize("key", ["INT", "QUIT"])
def test_keys_reach_the_program_once(desk: Desk, key: str) -> None:
    """Ctrl-C and Ctrl-\\ reach the program once; if it catches them, it goes on, and we kill nobody for it."""
    with run_at_terminal(desk, "--grace", "0", "--", PYTHON, "answers.py") as (child, screen):
        pid, _ = screen.program()
        for _ in range(2):
            screen.type(CTRL[key])
            screen.wait_for(f"caught SIG{key}\n")
            answers(screen, "hello")
        screen.type("exit 7\n")
        assert child.wait(TIMEOUT) == 7
    assert log(desk) == f"pid {pid} {child.pid}\n" + f"caught SIG{key}\ngot hello\n" * 2


@pytest.mark.parametrize("name", SHELLS)
def test_beside_others_in_a_pipeline(desk: Desk, name: str) -> None:
    """What stands behind us in a pipeline, such as `less`, reads from the terminal while the program runs."""
    desk.write("pages.sh", "read pid; echo asks >&2; read word </dev/tty; echo got $word; touch go; cat")
    with shell(desk, name) as (_, screen):
        screen.type(f"batch-outputs run -- {PYTHON} waits.py 2>err | sh pages.sh; echo code $?\n")
        screen.wait_for("asks\n")
        screen.type("word\n")
        screen.wait_for("got word\n")
        screen.wait_for("went on\n")
        screen.wait_for("code 0\n")
        screen.wait_for(PROMPT)
        assert "still here" in screen.command("echo still here")


@pytest.mark.parametrize("key", ["INT", "QUIT"])
def test_keys_reach_children_once(desk: Desk, key: str) -> None:
    """The program's children in its group get Ctrl-C and Ctrl-\\ too, each once."""
    child_too = f"exec 3<&0; {PYTHON} answers.py <&3 & {PYTHON} answers.py; wait; exit 4"
    with run_at_terminal(desk, "--", "sh", "-c", f"trap 'echo parent' {key}; {child_too}") as (child, screen):
        for _ in range(2):
            screen.program()
        screen.type(CTRL[key])
        for _ in range(2):
            screen.wait_for(f"caught SIG{key}\n")
        screen.type("exit 0\n" * 2)
        assert child.wait(TIMEOUT) == 4
    assert [log(desk).count(word) for word in ("caught", "parent")] == [2, 1]


@pytest.mark.parametrize("key", ["INT", "QUIT"])
def test_keys_that_are_ignored(desk: Desk, key: str) -> None:
    """A program that ignores Ctrl-C or Ctrl-\\ goes on, and so do we."""
    line = f"trap '' {key}; echo begun; read word; echo got $word; exit 5"
    with run_at_terminal(desk, "--grace", "0", "--", "sh", "-c", line) as (child, screen):
        screen.wait_for("begun\n")
        screen.type(CTRL[key])
        answers(screen, "hello")
        assert child.wait(TIMEOUT) == 5


@pytest.mark.parametrize("key", ["INT", "QUIT"])
def test_keys_that_end_the_program(desk: Desk, key: str) -> None:
    """A program that does nothing about Ctrl-C or Ctrl-\\ ends by it, with 128 + n, and its log is complete."""
    line = "ulimit -c 0; echo begun; exec sleep 300"
    with run_at_terminal(desk, "--", "sh", "-c", line) as (child, screen):
        screen.wait_for("begun\n")
        screen.type(CTRL[key])
        assert child.wait(TIMEOUT) == 128 + signal.Signals[f"SIG{key}"]
    assert desk.outputs()["task/$TaskLog/stdout.txt"]["complete"]


def test_reading_and_modes(desk: Desk) -> None:
    """The program reads from the terminal, as lines and key by key, and sets its modes, without being stopped."""
    line = (
        "read word; echo got $word; stty -icanon min 1; echo keys; head -c 1 | tr a-z A-Z; stty icanon tostop; stty -a"
    )
    with run_at_terminal(desk, "--", "sh", "-c", line) as (child, screen):
        answers(screen, "hello")
        screen.wait_for("keys\n")
        screen.type("k")
        screen.wait_for("K")
        shown = screen.rest()
        assert child.wait(TIMEOUT) == 0
    assert " icanon " in shown
    assert " tostop " in shown


def test_output_is_shown_where_only_the_foreground_may_write(desk: Desk) -> None:
    """With `stty tostop` what the program writes is passed on all the same: we write in its name."""
    with shell(desk, "bash") as (_, screen):
        screen.command("stty tostop")
        screen.type(f"batch-outputs run -- {PYTHON} answers.py\n")
        screen.program()
        answers(screen, "hello")
        screen.type(CTRL["TSTP"])
        screen.wait_for(PROMPT)
        screen.type("fg\n")
        answers(screen, "again")
        screen.type("exit 3\n")
        screen.wait_for(PROMPT)
        assert "code 3\n" in screen.command("echo code $?")


@pytest.mark.parametrize("program", ["true", "sh -c 'kill -9 $$'", "no-such-program", "./waits.py"])
def test_script_goes_on_reading(desk: Desk, program: str) -> None:
    """A script without job control reads from the terminal after us, also if the program was killed or not started."""
    with at_terminal(desk, "sh", "-c", f"batch-outputs run -- {program}; read word; echo got $word") as (child, screen):
        answers(screen, "hello")
        assert child.wait(TIMEOUT) == 0


def test_terminal_is_ours_while_we_save(desk: Desk) -> None:
    """As soon as the program has ended the foreground is our group's again, so that Ctrl-C reaches us."""
    desk.variables["AZ_BATCH_TASK_ID"] = "t1"
    desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = "http://127.0.0.1:1/account/job-x?sv=2025-01-05&sig=x"
    with run_at_terminal(desk, "--", PYTHON, "answers.py") as (child, screen):
        pid, _ = screen.program()
        assert screen.foreground == pid
        screen.type("exit 6\n")
        wait_until(lambda: screen.foreground == child.pid)
        assert child.poll() is None


def test_hang_up(desk: Desk) -> None:
    """When the terminal is closed the program is hung up, and its log has what it wrote about that."""
    line = "trap 'echo hung up; exit 8' HUP; echo begun; while :; do sleep 0.05; done"
    master, slave = os.openpty()
    with desk.started(
        *("run", "--", "sh", "-c", line), stdin=slave, stdout=subprocess.PIPE, stderr=slave, terminal=True
    ) as child:
        os.close(slave)
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        os.close(master)
        assert child.wait(TIMEOUT) == 8
    assert log(desk) == "begun\nhung up\n"


@pytest.mark.parametrize("name", SHELLS)
def test_ctrl_z_and_fg(desk: Desk, name: str) -> None:
    """Ctrl-Z stops program and wrapper and the shell is there; `fg` goes on with both, as often as one likes."""
    with shell(desk, name) as (leader, screen):
        screen.type(f"batch-outputs run -- {PYTHON} answers.py\n")
        pid, wrapper = screen.program()
        for word in ("one", "two"):
            answers(screen, word)
            screen.type(CTRL["TSTP"])
            screen.wait_for(PROMPT)
            wait_until(lambda: stopped(pid, wrapper))
            assert screen.foreground == leader
            assert "here 42\n" in screen.command("echo here $((6 * 7))")
            screen.type("fg\n")
            screen.wait_for("caught SIGCONT\n")
        answers(screen, "three")
        assert screen.foreground == pid
        screen.type("exit 7\n")
        screen.wait_for(PROMPT)
        assert "code 7\n" in screen.command("echo code $?")
    continued = "caught SIGCONT\n"
    assert log(desk) == f"pid {pid} {wrapper}\ngot one\n{continued}got two\n{continued}got three\n"


@pytest.mark.parametrize("name", SHELLS)
def test_ctrl_z_and_bg(desk: Desk, name: str) -> None:
    """After Ctrl-Z `bg` goes on with both in the background, where they do not take the terminal from the shell."""
    with shell(desk, name) as (leader, screen):
        screen.type(f"batch-outputs run -- {PYTHON} waits.py\n")
        pid, wrapper = screen.program()
        screen.type(CTRL["TSTP"])
        screen.wait_for(PROMPT)
        wait_until(lambda: stopped(pid, wrapper))
        screen.command("bg")
        wait_until(lambda: not stopped(pid) and not stopped(wrapper))
        assert screen.foreground == leader
        desk.write("go")
        screen.wait_for("went on\n")
        assert "code 3\n" in screen.command("wait %1; echo code $?")
    assert log(desk) == f"pid {pid} {wrapper}\nwent on\n"


@pytest.mark.parametrize("name", SHELLS)
def test_ended_while_stopped(desk: Desk, name: str) -> None:
    """A signal that comes after Ctrl-Z reaches the program when the shell lets it go on, and the log is complete."""
    with shell(desk, name) as (_, screen):
        screen.type(f"batch-outputs run -- {PYTHON} answers.py\n")
        pid, wrapper = screen.program()
        screen.type(CTRL["TSTP"])
        screen.wait_for(PROMPT)
        wait_until(lambda: stopped(pid, wrapper))
        screen.command("kill %1")
        screen.command("fg")  # which bash has done already
        wait_until(lambda: stat(wrapper)[0] == "X")
        assert stat(pid)[0] == "X"
    assert desk.outputs()["task/$TaskLog/stdout.txt"]["complete"]
    assert log(desk).startswith(f"pid {pid} {wrapper}\n")


@pytest.mark.parametrize("name", SHELLS)
def test_ctrl_z_stops_a_script_that_runs_us(desk: Desk, name: str) -> None:
    """Ctrl-Z stops the script that we are run by as well, and `fg` goes on with all of them."""
    desk.write("script.sh", f"batch-outputs run -- {PYTHON} answers.py\necho script has $?\nexit 9\n")
    with shell(desk, name) as (leader, screen):
        screen.type("sh script.sh\n")
        pid, wrapper = screen.program()
        screen.type(CTRL["TSTP"])
        screen.wait_for(PROMPT)
        wait_until(lambda: stopped(pid, wrapper))
        assert screen.foreground == leader
        screen.type("fg\n")
        answers(screen, "hello")
        screen.type("exit 7\n")
        screen.wait_for("script has 7\n")
        screen.wait_for(PROMPT)
        assert "code 9\n" in screen.command("echo code $?")


def test_ctrl_z_without_a_shell(desk: Desk) -> None:
    """Where no shell could go on with it, Ctrl-Z does not leave the program stopped."""
    with run_at_terminal(desk, "--", PYTHON, "answers.py") as (child, screen):
        screen.program()
        for word in ("one", "two"):
            screen.type(CTRL["TSTP"])
            screen.wait_for("caught SIGCONT\n")
            answers(screen, word)
        screen.type("exit 7\n")
        assert child.wait(TIMEOUT) == 7


def test_ctrl_z_in_a_script_without_a_shell(desk: Desk) -> None:
    """The same in a script that leads the session: nobody could go on with it."""
    with at_terminal(desk, "sh", "-c", f"batch-outputs run -- {PYTHON} answers.py; exit $?") as (child, screen):
        screen.program()
        screen.type(CTRL["TSTP"])
        screen.wait_for("caught SIGCONT\n")
        answers(screen, "hello")
        screen.type("exit 7\n")
        assert child.wait(TIMEOUT) == 7


@pytest.mark.parametrize("name", SHELLS)
def test_ctrl_z_with_input_from_elsewhere(desk: Desk, name: str) -> None:
    """Ctrl-Z and `fg` are for the program too if its input is not the terminal."""
    with shell(desk, name) as (_, screen):
        screen.type(f"batch-outputs run -- {PYTHON} waits.py </dev/null\n")
        pid, wrapper = screen.program()
        screen.type(CTRL["TSTP"])
        screen.wait_for(PROMPT)
        wait_until(lambda: stopped(pid, wrapper))
        screen.type("fg\n")
        wait_until(lambda: not stopped(pid) and not stopped(wrapper))
        desk.write("go")
        screen.wait_for(PROMPT)
        assert "code 3\n" in screen.command("echo code $?")


@pytest.mark.parametrize("name", SHELLS)
def test_in_the_background(desk: Desk, name: str) -> None:
    """With `&` we leave the terminal to the shell; a program that reads is stopped, and we with it, until `fg`."""
    with shell(desk, name) as (leader, screen):
        pid, wrapper = screen.program_behind(f"batch-outputs run -- {PYTHON} answers.py")
        wait_until(lambda: "Stopped" in screen.command("jobs"))
        assert stopped(pid, wrapper)
        assert screen.foreground == leader
        screen.type("fg\n")
        answers(screen, "hello")
        assert screen.foreground == pid
        screen.type("exit 6\n")
        screen.wait_for(PROMPT)
        assert "code 6\n" in screen.command("echo code $?")


@pytest.mark.parametrize("name", SHELLS)
def test_from_the_background_to_the_foreground(desk: Desk, name: str) -> None:
    """Brought to the foreground while it runs, the program is stopped by Ctrl-Z, and may read from the terminal."""
    with shell(desk, name) as (leader, screen):
        pid, wrapper = screen.program_behind(f"batch-outputs run -- {PYTHON} waits.py and-reads")
        screen.type("fg\n")
        wait_until(lambda: screen.foreground != leader)
        screen.type(CTRL["TSTP"])
        screen.wait_for(PROMPT)
        wait_until(lambda: stopped(pid, wrapper))
        screen.command("bg")
        screen.type("fg\n")
        wait_until(lambda: screen.foreground != leader)
        desk.write("go")
        answers(screen, "hello")
        screen.wait_for(PROMPT)
        assert "code 3\n" in screen.command("echo code $?")


def test_reading_in_the_background_without_a_shell(desk: Desk) -> None:
    """In the background, with nobody to bring it to the foreground, a program that reads is hung up."""
    with shell(desk, "bash") as (leader, screen):
        screen.command("(batch-outputs run -- sh -c 'echo begun; read word' <&3 &) 3<&0")
        screen.wait_for(f"the program ended with {128 + signal.SIGHUP}")
        assert screen.foreground == leader
    assert log(desk) == "begun\n"
