"""A program as a child process on Windows: its group, the signals passed on to it, its exit code."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

from batch_outputs.errors import ConfigurationError

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

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

    ENDING: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT, signal.SIGBREAK)
    """What a process is asked to end by."""

    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel32.OpenProcess.restype = wintypes.HANDLE
    _kernel32.OpenProcess.argtypes = [wintypes.DWORD, wintypes.BOOL, wintypes.DWORD]
    _kernel32.WaitForSingleObject.restype = wintypes.DWORD
    _kernel32.WaitForSingleObject.argtypes = [wintypes.HANDLE, wintypes.DWORD]
    _SYNCHRONIZE = 0x00100000
    _WAIT_OBJECT_0 = 0
    _ERROR_INVALID_PARAMETER = 87

    class OtherProcess:
        """A process that is not our child. It is held by a handle, so that no later one can take its number."""

        def __init__(self, pid: int) -> None:
            # Not os.kill(pid, 0), which on Windows ends the process.
            self._handle = _kernel32.OpenProcess(_SYNCHRONIZE, False, pid)
            if not self._handle and ctypes.get_last_error() != _ERROR_INVALID_PARAMETER:
                raise ConfigurationError(
                    f"Process {pid} cannot be watched: {ctypes.WinError(ctypes.get_last_error()).strerror}; "
                    "start this as the user that it runs as."
                )

        def has_ended(self) -> bool:
            """Whether it has ended, or never was."""
            return not self._handle or _kernel32.WaitForSingleObject(self._handle, 0) == _WAIT_OBJECT_0
