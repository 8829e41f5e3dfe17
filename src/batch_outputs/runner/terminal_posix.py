"""The terminal that a wrapped program is run at: lent to its process group, and taken back.

Only the foreground group of a terminal may read from it, and Ctrl-C, Ctrl-\\ and Ctrl-Z reach that group alone. So the
program's group is put there, as a shell would do without us; it has them once, and not a second time through us.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Self

if sys.platform != "win32":
    _FOR_THE_TERMINAL = (signal.SIGTTIN, signal.SIGTTOU)
    """What stops a process of the background that reads from the terminal or sets its modes."""

    _FOR_HANDLERS = 1.0
    """Seconds that our handlers of signals have before the program goes on without them."""
    _LOOK = 0.01

    class Terminal:
        """The terminal that controls our session. It is the program's if it is its standard input, or once it asks."""

        def __init__(self) -> None:
            self._is_the_programs = _is_terminal_of_session(0)
            self._in_foreground = _foreground() == os.getpgrp()
            self._has_to_go_on = False
            """Whether the program was stopped, and we with it."""

        @classmethod
        def of_session(cls) -> Self | None:
            """The terminal, if our session has one."""
            return None if _foreground() is None else cls()

        @property
        def program_begins_there(self) -> bool:
            """Whether the program's group is to have the foreground from the first.

            Not beside others of our job, as in `batch-outputs run ... | less`, which need the terminal, too: there the
            program gets it once it asks, and keys reach it through us.
            """
            return self._is_the_programs and self._in_foreground and not _has_companions()

        def take(self) -> None:
            """In the new process, before the program begins: put its group into the foreground."""
            _put_into_foreground(os.getpid())

        def take_back(self, group: int | None = None) -> None:
            """The program has ended or was stopped: if its group had the foreground, ours has it again.

            Without a group, one that took it and never became a program.
            """
            if group is None or _foreground() == group:
                _put_into_foreground(os.getpgrp())

        def stop_with(self, group: int, signum: int) -> None:
            """The program was stopped by this signal: what is needed for it to go on. Returns when it does.

            If it needs the terminal, and that is ours, it gets it. Else we stop as well, if there is a shell to notice
            that, until the shell lets us go on. Else nobody would let the program go on but us, or whoever has stopped
            it from elsewhere, by SIGSTOP.
            """
            from_elsewhere = signum == signal.SIGSTOP and _foreground() != group
            if signum in _FOR_THE_TERMINAL and _foreground() == os.getpgrp():
                self._is_the_programs = True
                _put_into_foreground(group)
                _send(group, signal.SIGCONT)
            elif _has_shell() and not from_elsewhere:
                self.take_back(group)
                self._has_to_go_on = True
                _stop_our_group()
                self._go_on(group)
            elif signum != signal.SIGSTOP:
                if signum in _FOR_THE_TERMINAL:
                    _send(group, signal.SIGHUP)  # it will never be in the foreground, and would only be stopped again
                _send(group, signal.SIGCONT)

        def resume(self, group: int) -> None:
            """We are to go on: so does the program, in the foreground if that is where we are."""
            if self._is_the_programs and _foreground() == os.getpgrp():
                _put_into_foreground(group)
            if self._has_to_go_on:
                self._has_to_go_on = False
                _send(group, signal.SIGCONT)

        def _go_on(self, group: int) -> None:
            """Have `resume` called by the handler of SIGCONT, on the main thread.

            What came while we were stopped, as by `kill %1`, is handled there before, and reaches the program before it
            runs. The signal of the shell may have been taken by another thread, while the main thread sleeps on.
            """
            if main := threading.main_thread().ident:
                signal.pthread_kill(main, signal.SIGCONT)
            deadline = time.monotonic() + _FOR_HANDLERS
            while self._has_to_go_on and time.monotonic() < deadline:
                time.sleep(_LOOK)
            if self._has_to_go_on:
                self.resume(group)  # nobody handles signals, or the main thread has no time for them

    def _is_terminal_of_session(descriptor: int) -> bool:
        try:
            return os.tcgetpgrp(descriptor) == _foreground()
        except OSError:
            return False  # it is no terminal, or another session's

    def _foreground() -> int | None:
        """The group in the foreground of our session's terminal; None without a terminal."""
        try:
            with _terminal() as terminal:
                return os.tcgetpgrp(terminal)
        except OSError:
            return None

    def _put_into_foreground(group: int) -> None:
        # A process that does this from the background is stopped by SIGTTOU, unless that is blocked.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with contextlib.suppress(OSError), _terminal() as terminal:  # it was closed, or the group has ended
                os.tcsetpgrp(terminal, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    @contextlib.contextmanager
    def _terminal() -> Iterator[int]:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NONBLOCK)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _send(group: int, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signum)

    def _has_shell() -> bool:
        """Whether our group was begun by a process of our session, as by a shell that looks after its jobs."""
        group, session, ancestor = os.getpgrp(), os.getsid(0), os.getppid()
        try:
            while ancestor and os.getpgid(ancestor) == group:
                ancestor = _parent_and_group(ancestor)[0]
            return ancestor != 0 and os.getsid(ancestor) == session
        except OSError:
            return False

    def _stop_our_group() -> None:
        """Stop all of our group, and return when we go on.

        A signal to the whole group would stop us a moment after it was sent. One to this thread does so at once.
        """
        for pid in _others_of_our_group():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGSTOP)
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    def _has_companions() -> bool:
        """Whether our group has processes besides us and those that wait for us, as a script does that has begun us."""
        others, ancestor = set(_others_of_our_group()), os.getppid()
        with contextlib.suppress(OSError):
            while ancestor in others:
                others.remove(ancestor)
                ancestor = _parent_and_group(ancestor)[0]
        return bool(others)

    def _others_of_our_group() -> list[int]:
        found = []
        with contextlib.suppress(OSError):
            for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
                with contextlib.suppress(OSError):  # it has just ended
                    if pid != os.getpid() and _parent_and_group(pid)[1] == os.getpgrp():
                        found.append(pid)
        return found

    def _parent_and_group(pid: int) -> tuple[int, int]:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name in parentheses may hold anything
        return int(fields[1]), int(fields[2])
