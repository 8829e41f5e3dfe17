"""Processes on Linux and its kin: started in a group of their own, signalled, waited for, recognised later."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

if sys.platform != "win32":
    from batch_outputs.runner.terminal_posix import Terminal

    FORWARDED: tuple[signal.Signals, ...] = (
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
    )

    RESUMING: tuple[signal.Signals, ...] = (signal.SIGCONT,)
    """What a process that was stopped is told to go on by."""

    ENDING: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT)
    """What a process is asked to end by."""

    def handlers_before_start() -> Mapping[signal.Signals, Any]:
        """Handlers that are needed besides those for what is passed on: with SIGCHLD ignored, exit codes are lost."""
        return {signal.SIGCHLD: signal.SIG_DFL} if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN else {}

    def handlers_after_start(stop: Callable[[int, FrameType | None], object]) -> Mapping[signal.Signals, Any]:
        """Handlers that are needed once the program, which would inherit what is ignored, has started.

        The terminal is lent to the program, in whose name we write, and Ctrl-Z is for it.
        """
        handlers: dict[signal.Signals, Any] = {signal.SIGTTOU: signal.SIG_IGN}
        if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
            handlers[signal.SIGTSTP] = stop
        return handlers

    class Child:
        """A program that was started here, in a process group of its own."""

        def __init__(self, command: Sequence[str], stdout: int | None, stderr: int | None) -> None:
            """Start it, with these descriptors or, for None, our own.

            Raises:
                OSError, ValueError: as `subprocess.Popen`.
            """
            self._terminal = Terminal.of_session()
            lent = self._terminal if self._terminal and self._terminal.program_begins_there else None

            def begin(command: Sequence[str]) -> subprocess.Popen[bytes]:
                return subprocess.Popen(  # noqa: S603 - running what the user names is the point
                    command,
                    stdout=stdout,
                    stderr=stderr,
                    process_group=0,
                    close_fds=False,  # the program has what we were given; our own descriptors are not inherited
                    # Only at a terminal: before its first instruction, the program may read from it and gets Ctrl-C.
                    preexec_fn=lent.take if lent else None,  # noqa: PLW1509
                )

            try:
                self._process = _begun(begin, command)
            except BaseException:
                if lent:
                    lent.take_back()
                raise

        @property
        def pid(self) -> int:
            """Its process id, which is also its group's."""
            return self._process.pid

        @property
        def died_by_signal(self) -> bool:
            """Whether a signal ended it; False as long as it runs."""
            return (self._process.returncode or 0) < 0

        def send(self, signum: int) -> None:
            """Send a signal to all of its group."""
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signum)

        def kill(self) -> None:
            """Kill all of its group."""
            self.send(signal.SIGKILL)

        def resume(self) -> None:
            """Let it go on, as we do after a SIGCONT."""
            if self._terminal and self._process.returncode is None:
                self._terminal.resume(self.pid)
            else:
                self.send(signal.SIGCONT)

        def wait(self) -> int:
            """Wait for its end; its exit code as a shell reports it: 128 + n after death by signal n.

            At a terminal Ctrl-Z stops it and us, so that the shell is there again; `fg` and `bg` go on with both.
            """
            if self._terminal:
                while self._process.returncode is None:
                    _, status = os.waitpid(self.pid, os.WUNTRACED)
                    if os.WIFSTOPPED(status):
                        self._terminal.stop_with(self.pid, os.WSTOPSIG(status))
                    else:
                        self._process.returncode = os.waitstatus_to_exitcode(status)
                self._terminal.take_back(self.pid)
            code = self._process.wait()
            return 128 - code if code < 0 else code

    def _begun(
        begin: Callable[[Sequence[str]], subprocess.Popen[bytes]], command: Sequence[str]
    ) -> subprocess.Popen[bytes]:
        """Begin a program; a script without its #! line is done by sh, as a shell, `env` and `nohup` have it done."""
        try:
            return begin(command)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
        return begin(["/bin/sh", shutil.which(command[0]) or command[0], *command[1:]])

    def start_of(pid: int) -> str | None:
        """A text that tells this process from every other that had or will have its number; None where none is known.

        On Linux the boot and the time of the process's start since then.
        """
        told = _told_of(pid)
        if told is None:
            return None
        with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {told[1].decode()}"
        return told[1].decode()

    class OtherProcess:
        """A process that is not our child; `started` is what `start_of` said of it, by default what it says now.

        Where the system tells when a process was started, as Linux does, a later one of the same number is not taken
        for it.
        """

        def __init__(self, pid: int, started: str | None = None) -> None:
            self._pid = pid
            self._started = started or start_of(pid)

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
            return now[0] in {b"Z", b"X"} or (self._started is not None and start_of(self._pid) != self._started)

    def _told_of(pid: int) -> tuple[bytes, bytes] | None:
        """A process's state and the time of its start as Linux tells them; None elsewhere, and if there is none."""
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()  # the name in parentheses may hold anything
        except OSError:
            return None
        return fields[0], fields[19]

    def somebody_has_open(path: str) -> bool:
        """Whether a process, as far as we may look into it, has this file open; False where that cannot be seen."""
        try:
            wanted = os.stat(path)
            processes = [name for name in os.listdir("/proc") if name.isdigit()]
        except OSError:
            return False
        return any(_has_open(f"/proc/{name}/fd", wanted) for name in processes if int(name) != os.getpid())

    def _has_open(descriptors: str, wanted: os.stat_result) -> bool:
        try:
            names = os.listdir(descriptors)
        except OSError:
            return False  # it has ended, or is another user's
        for name in names:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(f"{descriptors}/{name}"), wanted):
                    return True
        return False
