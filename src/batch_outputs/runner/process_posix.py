"""A program as a child process on Linux: its group, the signals passed on to it, its exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

if sys.platform != "win32":
    FORWARDED: tuple[signal.Signals, ...] = (
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
    )

    def spawn(command: Sequence[str], stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        """Start a program in a process group of its own, so that a signal reaches all of it.

        At a terminal it stays in ours: only the foreground group may read from a terminal, and Ctrl-C reaches it there.
        """
        return subprocess.Popen(  # noqa: S603 - running what the user names is the point
            command, stdout=stdout, stderr=stderr, process_group=None if os.isatty(0) else 0
        )

    def forward(process: subprocess.Popen[bytes], signum: int) -> None:
        """Pass a signal on to the program's group, unless the terminal has done so already."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) != os.getpgrp():
                os.killpg(process.pid, signum)
            elif signum not in {signal.SIGINT, signal.SIGQUIT}:
                process.send_signal(signum)

    def exit_code(returncode: int) -> int:
        """The code a shell would report: 128 + n after death by signal n."""
        return 128 - returncode if returncode < 0 else returncode

    ENDING: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT)
    """What a process is asked to end by."""

    class OtherProcess:
        """A process that is not our child.

        Where the system tells when a process was started, as Linux does, a later one of the same number is not taken
        for it.
        """

        def __init__(self, pid: int) -> None:
            self._pid = pid
            self._told = _told_of(pid)

        def has_ended(self) -> bool:
            """Whether it has ended, or never was; one that nobody has waited for yet has ended too."""
            try:
                os.kill(self._pid, 0)
            except (ProcessLookupError, OverflowError):
                return True
            except PermissionError:
                pass  # it is there, and another user's
            now = _told_of(self._pid)
            if now is None:
                return False
            state, started = now
            return state in {b"Z", b"X"} or (self._told is not None and started != self._told[1])

    def _told_of(pid: int) -> tuple[bytes, bytes] | None:
        """A process's state and the time of its start as Linux tells them; None elsewhere, and if there is none."""
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()  # the name in parentheses may hold anything
        except OSError:
            return None
        return fields[0], fields[19]
