"""The terminal that a wrapped program is run at: lent to its process group, and taken back.

Only the foreground group of a terminal may read from it, and Ctrl-C, Ctrl-\\ and Ctrl-Z reach that group alone. So the
program's group is put there, as a shell would do without us; it has them once, and not a second time through us.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Self

if sys.platform != "win32":

    class Terminal:
        """The terminal on standard input, and whether our job was in its foreground."""

        def __init__(self) -> None:
            self._in_foreground = os.tcgetpgrp(0) == os.getpgrp()

        @classmethod
        def of_stdin(cls) -> Self | None:
            """The terminal on standard input, if that controls our session."""
            try:
                return cls() if os.isatty(0) else None
            except OSError:
                return None  # it is not our session's

        def take(self) -> None:
            """In the new process, before the program begins: put its group into the foreground, if ours was there."""
            if self._in_foreground:
                _put_into_foreground(os.getpid())

        def given_to(self, group: int) -> None:
            """In our own process: the same, should the system be slow with the other."""
            if self._in_foreground:
                _put_into_foreground(group)

        def take_back(self, group: int) -> None:
            """The program has ended or was stopped: if its group had the foreground, ours has it again."""
            with contextlib.suppress(OSError):
                if os.tcgetpgrp(0) == group:
                    _put_into_foreground(os.getpgrp())

        def stop_with(self, group: int) -> None:
            """The program was stopped: stop as well, if there is a shell to notice that, else let it go on."""
            if _has_shell():
                self.take_back(group)
                os.killpg(os.getpgrp(), signal.SIGSTOP)
            else:
                os.killpg(group, signal.SIGCONT)

        def resume(self, group: int) -> None:
            """We were stopped and go on: so does the program, in the foreground if that is where we are."""
            with contextlib.suppress(OSError):
                if os.tcgetpgrp(0) == os.getpgrp():
                    _put_into_foreground(group)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGCONT)

    def _put_into_foreground(group: int) -> None:
        # A process that does this from the background is stopped by SIGTTOU, unless that is blocked.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with contextlib.suppress(OSError):  # the terminal was closed, or the group has ended
                os.tcsetpgrp(0, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _has_shell() -> bool:
        """Whether our parent is of our session and of another group, as a shell that looks after its jobs is."""
        parent = os.getppid()
        try:
            return os.getsid(parent) == os.getsid(0) and os.getpgid(parent) != os.getpgrp()
        except OSError:
            return False
