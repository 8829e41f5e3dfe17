"""The command among other programs: pipes, terminals, closed streams, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from support.command import BATCH_OUTPUTS, TIMEOUT, Desk, wait_until
from support.fault_proxy import FaultProxy
from support.faults import hang

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="streams and signals of POSIX")

COLOURED = b"\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2Jtext \xff\n"


def at_a_terminal(desk: Desk, *arguments: str) -> bytes:
    """What a terminal is sent when the command runs at it."""
    import pty

    master, slave = pty.openpty()
    child = subprocess.Popen(
        [*BATCH_OUTPUTS, *arguments], stdin=slave, stdout=slave, stderr=slave, cwd=desk.folder, env=desk.environment()
    )
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 65536):
            shown += piece
    except OSError:
        pass  # the last one at the terminal has left it
    finally:
        os.close(master)
    assert child.wait(timeout=TIMEOUT) == 0, shown
    return shown.replace(b"\r\n", b"\n")


def test_cat_at_a_terminal(desk: Desk) -> None:
    """A terminal gets text and colours, a pipe gets the bytes."""
    desk.run("save", "--as", "log.txt", "-", stdin=COLOURED)
    assert at_a_terminal(desk, "cat", "log.txt").decode() == "\x1b[31mred\x1b[0m text \ufffd\n\x1b[0m"
    assert desk.run("cat", "log.txt").stdout == COLOURED


def test_progress_at_a_terminal_only(desk: Desk) -> None:
    """Long work shows a bar at a terminal, and nothing of the kind elsewhere."""
    desk.write("a/1", "x")
    desk.write("a/2", "x")
    assert b"100%" in at_a_terminal(desk, "save", "a")
    assert b"100%" in at_a_terminal(desk, "download", "--to", "b")
    assert "%" not in desk.run("save", "a").err
    assert "%" not in desk.run("download", "--to", "b").err


@pytest.mark.parametrize("line", ["batch-outputs cat big", "batch-outputs list", "batch-outputs list --json"])
def test_reader_that_has_seen_enough(desk: Desk, line: str) -> None:
    """`| head -1` ends the command without an error."""
    desk.write("big", b"a line\n" * 500_000)
    for number in range(300):
        desk.write(f"many/{'x' * 200}{number}")
    desk.run("save", "big", "many")
    done = desk.shell(f"{{ {line}; echo $? >code; }} | head -1")
    assert done.out.count("\n") == 1
    assert done.err == ""
    assert (desk.folder / "code").read_text() == "0\n"


def test_closed_and_full_output(desk: Desk) -> None:
    """An output that is closed or full gives a sentence and 125; closed where nothing is to be shown, nothing."""
    desk.write("a.txt", b"x" * 100_000)
    desk.run("save", "a.txt")
    for command in ("cat a.txt", "list", "list --summary", "tasks", "jobs --json"):
        assert desk.shell(f"batch-outputs {command} >&-", code=125).sentences == [
            "Standard output is closed; lead it to a file, a pipe or a terminal."
        ]
    desk.shell("batch-outputs save a.txt >&- 2>&-")
    desk.shell("batch-outputs download --to b <&- >&- 2>&-")
    assert desk.shell("batch-outputs save --as b - <&-", code=125).sentences == [
        "Standard input is closed; lead a file or a pipe to it."
    ]
    if Path("/dev/full").exists():
        for command in ("cat a.txt", "list"):
            full = desk.shell(f"batch-outputs {command} >/dev/full", code=125)
            assert full.sentences == [
                "Standard output cannot be written: No space left on device; check where it leads."
            ]
        desk.shell("batch-outputs download --to c 2>/dev/full")


def test_ctrl_c_while_waiting_for_input(desk: Desk) -> None:
    """Ctrl-C ends a save that waits for its input, at once, with 130 and one line, and nothing is stored."""
    with desk.started("save", "--as", "x", "-") as child:
        wait_until(lambda: list(desk.folder.parent.glob("tmp*")))  # the file that input is gathered in
        child.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=5)
        if child.poll() is None:
            # What comes in the instant before the read begins is seen only behind it: then people press it again.
            child.send_signal(signal.SIGINT)
        assert child.wait(timeout=TIMEOUT) == 130
        assert child.stderr is not None
        assert child.stderr.read() == b"\nbatch-outputs: interrupted.\n"
    assert desk.everything == set()
    assert not list(desk.folder.parent.glob("tmp*"))


@pytest.mark.parametrize("command", [["list"], ["cat", "a.txt"], ["download", "--to", "b"], ["save", "a.txt"]])
def test_ctrl_c_during_a_request(azure: Desk, fault_proxy: FaultProxy, command: list[str]) -> None:
    """Ctrl-C while the store does not answer ends the command with 130, without a traceback."""
    azure.write("a.txt", "x")
    azure.variables["BATCH_OUTPUTS_CONTAINER_URL"] = fault_proxy.through(azure.variables["BATCH_OUTPUTS_CONTAINER_URL"])
    fault_proxy.fault(hang, times=None)
    with azure.started(*command) as child:
        fault_proxy.wait_fired()
        child.send_signal(signal.SIGINT)
        done = azure.ended(child, code=130)
    assert done.sentences[-1] == "interrupted."
    assert not (azure.folder / "b").exists() or not list((azure.folder / "b").iterdir())


def test_locale_that_cannot_show_a_name(desk: Desk) -> None:
    """A name outside the locale's characters is shown escaped instead of failing."""
    desk.write("你.txt", "x")
    desk.run("save", "你.txt")
    done = desk.run("list", variables={"PYTHONIOENCODING": "latin-1"})
    assert "\\u4f60.txt" in done.out
