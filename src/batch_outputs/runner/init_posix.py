"""Being process 1 of a container: orphans come to it, and it has to wait for each, or they stay as zombies.

So process 1 does nothing else: the run itself is done by a child, which gets the signals that come.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType

if sys.platform != "win32":
    from batch_outputs.runner.process_posix import FORWARDED

    _ALL = -1
    """All processes of the container but process 1."""

    def serve_as_init() -> None:
        """As process 1, fork: this returns in the child only, and process 1 ends when and as the child does."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, nobody would learn how a child ended
        # What comes meanwhile waits, lest it reaches the child while that has not yet its own ways with signals.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        child = os.fork()
        if child == 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            return
        _forward_to(child)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = _reap_until_the_end_of(child)
        if code < 0:
            # The child was killed. The program goes on, and with process 1 the whole container would end.
            _forward_to(_ALL)
            _reap_all()
        os._exit(128 - code if code < 0 else code)

    def _forward_to(pid: int) -> None:
        def forward(signum: int, _: FrameType | None) -> None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, signum)

        for name in FORWARDED:
            signal.signal(name, forward)

    def _reap_until_the_end_of(child: int) -> int:
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == child:
                return os.waitstatus_to_exitcode(status)

    def _reap_all() -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
