"""A program as a child process on Windows: its group, the signals passed on to it, its exit code."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

if sys.platform == "win32":
    FORWARDED: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT, signal.SIGBREAK)

    def spawn(command: Sequence[str], stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        """Start a program in a process group of its own, which Ctrl-Break can be sent to."""
        return subprocess.Popen(  # noqa: S603 - running what the user names is the point
            command, stdout=stdout, stderr=stderr, creationflags=subprocess.CREATE_NEW_PROCESS_GROUP
        )

    def forward(process: subprocess.Popen[bytes], signum: int) -> None:  # noqa: ARG001 - the seam's signature
        """Ask the program's group to end: Ctrl-Break is the one signal that reaches a group."""
        process.send_signal(signal.CTRL_BREAK_EVENT)

    def exit_code(returncode: int) -> int:
        """The program's code as it is."""
        return returncode
