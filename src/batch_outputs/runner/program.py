"""The wrapped program: started, signalled, waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

from batch_outputs.errors import BatchOutputsError
from batch_outputs.runner.spool import STREAMS, Spool

if sys.platform == "win32":
    from batch_outputs.runner import process_windows as system
else:
    from batch_outputs.runner import process_posix as system

NOT_FOUND = 127
NOT_EXECUTABLE = 126


class CannotStartError(BatchOutputsError):
    """The program was not found (`exit_code` 127) or cannot be executed (126)."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Program:
    """A program that writes to a spool, and to which our signals are passed on."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self.asked_to_end = False
        """Whether a signal to end has come to us and been passed on."""

    def start(self, command: Sequence[str], spool: Spool) -> None:
        """Start the program; from now on signals are for it. Call it once, on the main thread.

        Raises:
            CannotStartError: there is no such program, or it is not executable.
        """
        # Before the program is there, so that no signal falls between; the program itself starts with the defaults.
        # What is ignored stays ignored, for the program too: that is what nohup is for.
        for signum in system.FORWARDED:
            if signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, self._on_signal)
        stdout, stderr = (spool.open(stream) for stream in STREAMS)
        try:
            self._process = system.spawn(command, stdout, stderr)
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
        finally:
            os.close(stdout)
            os.close(stderr)
        for early in self._early:
            system.forward(self._process, early)

    def wait(self) -> int:
        """Wait for the end and return the exit code; 128 + n after death by signal n."""
        if self._process is None:
            raise RuntimeError("the program has not been started")
        return system.exit_code(self._process.wait())

    def _on_signal(self, signum: int, _: FrameType | None) -> None:
        if signum in {signal.SIGTERM, signal.SIGINT}:
            self.asked_to_end = True
        if self._process is None:
            self._early.append(signum)
        elif self._process.returncode is None:
            system.forward(self._process, signum)
