"""The wrapped program: started, signalled, waited for."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from batch_outputs.errors import BatchOutputsError
from batch_outputs.runner import process

NOT_FOUND = 127
NOT_EXECUTABLE = 126

GRACE = 10.0
"""Seconds between asking the program to end and killing it."""


class CannotStartError(BatchOutputsError):
    """The program was not found (`exit_code` 127) or cannot be executed (126)."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Program:
    """A program to which our signals are passed on.

    Asked to end once, by SIGTERM or SIGINT, it is asked, and killed `grace` seconds later if it is still there; asked
    again, it is killed at once.
    """

    def __init__(self, *, grace: float = GRACE) -> None:
        self.times_asked_to_end = 0
        self.asked_by: int | None = None
        """The first signal that asked for it."""
        self.was_killed = False
        """Whether it had to be killed, as it did not end when it was asked to."""
        self.on_asked_to_end: Callable[[], object] | None = None
        """Called after each time, on the main thread, as a signal handler: do little there."""
        self._grace = grace
        self._child: process.Child | None = None
        self._ended = False
        self._early: list[int] = []
        self._had: dict[signal.Signals, Any] = {}
        self._killing: threading.Timer | None = None

    def heed_signals(self) -> None:
        """From now on, on the main thread, signals are for the program, those that come before its start too.

        What is ignored stays ignored, for the program too: that is what nohup is for.
        """
        for signum in (*process.FORWARDED, *process.RESUMING):
            if signal.getsignal(signum) is not signal.SIG_IGN:
                self._had[signum] = signal.signal(signum, self._on_signal)
        if sys.platform != "win32" and signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            self._had[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # or its exit code is lost

    def give_signals_back(self) -> None:
        """Signals do again what they did before `heed_signals`."""
        while self._had:
            signal.signal(*self._had.popitem())

    def start(self, command: Sequence[str], stdout: int | None, stderr: int | None) -> None:
        """Start the program, writing to these descriptors, or to our own for None. Call it once.

        Raises:
            CannotStartError: there is no such program, or it is not executable.
        """
        try:
            self._child = process.Child(command, stdout, stderr)
        except FileNotFoundError as error:
            raise CannotStartError(
                f"{command[0]} was not found; check the name, the PATH, and a script's first line.",
                exit_code=NOT_FOUND,
            ) from error
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise CannotStartError(
                f"{command[0]} cannot be run: {reason}; is it a program, or a script with a #! line, and executable?",
                exit_code=NOT_EXECUTABLE,
            ) from error
        if sys.platform != "win32" and self._had:
            # The terminal is lent to the program, in whose name we write, and Ctrl-Z is for it.
            self._had[signal.SIGTTOU] = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
                self._had[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._on_stop)
        while self._early:
            self._pass_on(self._early.pop(0))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._started.pid

    def send(self, signum: int) -> None:
        """Send a signal to the program's group."""
        self._started.send(signum)

    def ask_to_end(self) -> None:
        """Do as if we had been sent a SIGTERM."""
        self._on_signal(signal.SIGTERM, None)

    def wait(self) -> int:
        """Wait for the end and return the exit code; 128 + n after death by signal n."""
        code = self._started.wait()
        self._ended = True
        if self._killing is not None:
            self._killing.cancel()
        return code

    @property
    def _started(self) -> process.Child:
        if self._child is None:
            raise RuntimeError("the program has not been started")
        return self._child

    def _on_signal(self, signum: int, _: FrameType | None) -> None:
        if signum in process.RESUMING:
            if self._child is not None:
                self._child.resume()
            return
        if signum in process.ENDING:
            self.times_asked_to_end += 1
            self.asked_by = self.asked_by or signum
            if self.on_asked_to_end is not None:
                self.on_asked_to_end()
        if self._child is None:
            self._early.append(signum)
        else:
            self._pass_on(signum)

    def _on_stop(self, signum: int, _: FrameType | None) -> None:
        """Stop the program, whose wait then stops us; once it has ended, stop as we would without it."""
        if self._ended:
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)
        else:
            self._started.send(signum)

    def _pass_on(self, signum: int) -> None:
        if signum not in process.ENDING:
            self._started.send(signum)
        elif self.times_asked_to_end > 1:
            self._kill()
        else:
            self._started.send(signum)
            self._killing = threading.Timer(self._grace, self._kill)
            self._killing.daemon = True
            self._killing.start()

    def _kill(self) -> None:
        self.was_killed = True
        self._started.kill()
