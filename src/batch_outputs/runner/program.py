"""The wrapped program: started, signalled, waited for."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

from batch_outputs.errors import BatchOutputsError
from batch_outputs.runner import process
from batch_outputs.runner.defaults import GRACE
from batch_outputs.runner.signals import signals

NOT_FOUND = 127
NOT_EXECUTABLE = 126


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
        self.times_asked_to_end: int = 0
        self.asked_by: int | None = None
        """The first signal that asked for it."""
        self.was_killed: bool = False
        """Whether it had to be killed, as it did not end when it was asked to."""
        self.on_asked_to_end: Callable[[], object] | None = None
        """Called after each time, on the main thread, as a signal handler: do little there."""
        self._grace = grace
        self._child: process.Child | None = None
        self._ended = False
        self._early: list[int] = []
        self._heeds_signals = False
        self._killer: int | None = None
        # A pipe to the thread that kills. A handler of signals may come while the main thread holds any lock, and must
        # take none: so it starts no thread and sets no event.

    def heed_signals(self) -> None:
        """From now on signals to this process are for the program, those that come before its start too.

        Call it on the main thread. Of several programs at once, all get them.
        """
        signals.add(self)
        self._heeds_signals = True

    def start(self, command: Sequence[str], stdout: int | None, stderr: int | None) -> None:
        """Start the program, writing to these descriptors, or to our own for None. Call it once.

        Raises:
            CannotStartError: there is no such program, or it is not executable.
        """
        reader, self._killer = os.pipe()
        try:
            self._child = self._begun(command, stdout, stderr)
        except BaseException:
            os.close(reader)
            self.close()
            raise
        threading.Thread(target=self._kill_in_time, args=(reader,), name="batch-outputs-grace", daemon=True).start()
        if self._heeds_signals:
            signals.started()
        while self._early:
            self._pass_on(self._early.pop(0))

    @staticmethod
    def _begun(command: Sequence[str], stdout: int | None, stderr: int | None) -> process.Child:
        try:
            return process.Child(command, stdout, stderr)
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

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._started.pid

    @property
    def died_by_signal(self) -> bool:
        """Whether it has ended by a signal, and not by itself."""
        return self._started.died_by_signal

    def send(self, signum: int) -> None:
        """Send a signal to the program's group."""
        self._started.send(signum)

    def ask_to_end(self) -> None:
        """Do as if we had been sent a SIGTERM."""
        self.hear(signal.SIGTERM)

    def wait(self) -> int:
        """Wait for the end and return the exit code; 128 + n after death by signal n."""
        code = self._started.wait()
        self._ended = True
        return code

    def close(self) -> None:
        """Let signals do again what they did before, and let go of the thread that kills. It is over then."""
        signals.remove(self)
        if self._killer is not None:
            killer, self._killer = self._killer, None
            os.close(killer)

    @property
    def _started(self) -> process.Child:
        if self._child is None:
            raise RuntimeError("the program has not been started")
        return self._child

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._ended

    def hear(self, signum: int) -> None:
        """Do what is to be done about a signal to us."""
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

    def relay(self, signum: int) -> None:
        """Pass a signal on that means nothing to us."""
        if self._child is not None and not self._ended:
            self._child.send(signum)

    def _pass_on(self, signum: int) -> None:
        if self._ended:
            return
        if signum not in process.ENDING:
            self._started.send(signum)
        elif self.times_asked_to_end > 1:
            self._kill()
        else:
            self._started.send(signum)
            if self._killer is not None:
                os.write(self._killer, b"!")

    def _kill_in_time(self, asked: int) -> None:
        with os.fdopen(asked, "rb", buffering=0) as pipe:
            if not pipe.read(1):
                return  # it was never asked
        time.sleep(self._grace)
        self._kill()

    def _kill(self) -> None:
        if not self._ended:
            self.was_killed = True
            self._started.kill()
