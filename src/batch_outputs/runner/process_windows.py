"""Processes on Windows: started in a group of their own, signalled, waited for, recognised later."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

from batch_outputs.errors import ConfigurationError

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    from batch_outputs.files import create_file

    FORWARDED: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT, signal.SIGBREAK)

    RESUMING: tuple[signal.Signals, ...] = ()
    """What a process that was stopped is told to go on by: Windows stops none."""

    ENDING: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT, signal.SIGBREAK)
    """What a process is asked to end by."""

    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel32.OpenProcess.restype = wintypes.HANDLE
    _kernel32.OpenProcess.argtypes = [wintypes.DWORD, wintypes.BOOL, wintypes.DWORD]
    _kernel32.CloseHandle.argtypes = [wintypes.HANDLE]
    _kernel32.WaitForSingleObject.restype = wintypes.DWORD
    _kernel32.WaitForSingleObject.argtypes = [wintypes.HANDLE, wintypes.DWORD]
    _kernel32.GetProcessTimes.argtypes = [wintypes.HANDLE, *[ctypes.POINTER(wintypes.FILETIME)] * 4]
    _SYNCHRONIZE = 0x00100000
    _PROCESS_QUERY_LIMITED_INFORMATION = 0x1000
    _WAIT_OBJECT_0 = 0
    _ERROR_INVALID_PARAMETER = 87
    _ERROR_SHARING_VIOLATION = 32

    def handlers_before_start() -> Mapping[signal.Signals, Any]:
        """Handlers that are needed besides those for what is passed on: none."""
        return {}

    def handlers_after_start(stop: Callable[[int, FrameType | None], object]) -> Mapping[signal.Signals, Any]:  # noqa: ARG001 - the seam's signature
        """Handlers that are needed once the program has started: none."""
        return {}

    class Child:
        """A program that was started here, in a process group of its own. It is in no job object: it may outlive us."""

        def __init__(self, command: Sequence[str], stdout: int | None, stderr: int | None) -> None:
            """Start it, with these descriptors or, for None, our own.

            Raises:
                OSError, ValueError: as `subprocess.Popen`.
            """
            self._process = subprocess.Popen(  # noqa: S603 - running what the user names is the point
                command, stdout=stdout, stderr=stderr, creationflags=subprocess.CREATE_NEW_PROCESS_GROUP
            )

        @property
        def pid(self) -> int:
            """Its process id."""
            return self._process.pid

        @property
        def died_by_signal(self) -> bool:
            """Never: an end by Ctrl-Break cannot be told from another."""
            return False

        def send(self, signum: int) -> None:
            """Ask the program's group to end: Ctrl-Break is the one signal that reaches a group."""
            if self._process.poll() is None:
                with contextlib.suppress(OSError):
                    self._process.send_signal(signal.CTRL_BREAK_EVENT)

        def kill(self) -> None:
            """Kill it and all that it has started."""
            if self._process.poll() is not None:
                return
            with contextlib.suppress(OSError):
                subprocess.run(  # noqa: S603 - Windows keeps no groups that could be killed by themselves
                    ["taskkill", "/F", "/T", "/PID", str(self._process.pid)],  # noqa: S607 - it is of the system
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    check=False,
                )
            self._process.kill()

        def resume(self) -> None:
            """Nothing: Windows stops no process."""

        def wait(self) -> int:
            """Wait for its end; its exit code as it is."""
            return self._process.wait()

    def start_of(pid: int) -> str | None:
        """A text that tells this process from every other that had or will have its number: the time of its start."""
        handle = _kernel32.OpenProcess(_PROCESS_QUERY_LIMITED_INFORMATION, False, pid)
        if not handle:
            return None
        try:
            times = [wintypes.FILETIME() for _ in range(4)]
            if not _kernel32.GetProcessTimes(handle, *map(ctypes.byref, times)):
                return None
            return f"{times[0].dwHighDateTime:x}{times[0].dwLowDateTime:08x}"
        finally:
            _kernel32.CloseHandle(handle)

    class OtherProcess:
        """A process that is not our child; `started` is what `start_of` said of it, by default what it says now.

        It is held by a handle, so that no later one can take its number.
        """

        def __init__(self, pid: int, started: str | None = None) -> None:
            # Not os.kill(pid, 0), which on Windows ends the process.
            self._handle = _kernel32.OpenProcess(_SYNCHRONIZE, False, pid)
            if not self._handle and ctypes.get_last_error() != _ERROR_INVALID_PARAMETER:
                raise ConfigurationError(
                    f"Process {pid} cannot be watched: {ctypes.WinError(ctypes.get_last_error()).strerror}; "
                    "start this as the user that it runs as."
                )
            if self._handle and started is not None and start_of(pid) != started:
                self._handle = None  # it is another one by now

        def has_ended(self) -> bool:
            """Whether it has ended, or never was."""
            return not self._handle or _kernel32.WaitForSingleObject(self._handle, 0) == _WAIT_OBJECT_0

    def somebody_has_open(path: str) -> bool:
        """Whether a process has this file open: then it cannot be had for us alone."""
        try:
            _kernel32.CloseHandle(create_file(path, share=0))
        except OSError as error:
            return error.winerror == _ERROR_SHARING_VIOLATION
        return False
