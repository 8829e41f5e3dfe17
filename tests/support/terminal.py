"""The command at a terminal, with somebody who reads it and answers its question."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from support.command import BATCH_OUTPUTS, TIMEOUT, Desk

CTRL_C = b"\x03"


@dataclass(frozen=True)
class Shown:
    """What a terminal was sent, and the exit code."""

    code: int
    text: str


def at_terminal(
    desk: Desk,
    *arguments: str,
    asked: bytes | None = None,
    answer: bytes | Callable[[], bytes] = b"",
    code: int = 0,
    variables: Mapping[str, str] | None = None,
) -> Shown:
    """Run the command at a terminal; once it has shown `asked`, type the answer, or what a function then gives.

    Ctrl-C is typed until the command has left: one that is just about to wait for input may miss it.
    """
    import pty

    master, slave = pty.openpty()
    child = subprocess.Popen(
        [*BATCH_OUTPUTS, *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=desk.folder,
        env=desk.environment({"TERM": "xterm", **(variables or {})}),
        start_new_session=True,
        preexec_fn=_take_terminal,  # noqa: PLW1509 - it only makes one system call
    )
    os.close(slave)
    shown = b""
    deadline = time.monotonic() + TIMEOUT
    try:
        while piece := os.read(master, 65536):
            shown += piece
            assert time.monotonic() < deadline, shown
            if asked is not None and asked in shown:
                if answer == CTRL_C:
                    time.sleep(0.1)
                else:
                    asked = None
                os.write(master, answer if isinstance(answer, bytes) else answer())
    except OSError:
        pass  # the last one at the terminal has left it
    finally:
        os.close(master)
        ended = child.wait(timeout=TIMEOUT)
    assert ended == code, f"ended with {ended}:\n{shown.decode()}"
    return Shown(ended, shown.decode().replace("\r\n", "\n"))


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
