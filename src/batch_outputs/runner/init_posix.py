"""Being process 1 of a container: orphans come to it, and it has to wait for each, or they stay as zombies.

So process 1 does nothing else: the run itself is done by a child, which gets the signals that come.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

if sys.platform != "win32":
    from batch_outputs.runner.process_posix import FORWARDED

    def serve_as_init() -> None:
        """As process 1, fork: this returns in the child only, and process 1 ends when and as the child does."""
        early: list[int] = []
        child = 0

        def forward(signum: int, _: FrameType | None) -> None:
            if child:
                os.kill(child, signum)
            else:
                early.append(signum)

        before = {name: signal.signal(name, forward) for name in FORWARDED}
        child = os.fork()
        if child == 0:
            for name, handler in before.items():
                signal.signal(name, handler)
            return
        for signum in early:
            os.kill(child, signum)
        os._exit(_reap_until_the_end_of(child))

    def _reap_until_the_end_of(child: int) -> int:
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == child:
                break
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            return code
        # The child was killed. The program goes on, and with process 1 the whole container would end.
        while True:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return 128 - code
