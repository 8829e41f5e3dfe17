"""Run one command and write down what it cost: `launcher.py REPORT PATIENCE COMMAND...`; kill it after so many seconds.

A process of its own, and a small one, since the most memory that Linux tells of a child includes what its parent had.
Memory is that of the command, or of all its processes together if it starts more: looked at 20 times a second.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time

_LOOK_MS = 50
_KIB = 1024


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            found = [int(text) for text in file.read().split()]
    except OSError:
        return []
    return found + [other for child in found for other in _children(child)]


def _resident(pid: int) -> int:
    """Bytes of a process that are in memory now, 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def main() -> None:
    """Run the command of the command line."""
    report, patience, *command = sys.argv[1:]
    together = 0
    began = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    watched = select.poll()
    watched.register(os.pidfd_open(pid), select.POLLIN)
    while not watched.poll(_LOOK_MS):
        if time.monotonic() > began + float(patience):
            os.kill(pid, signal.SIGKILL)
        if others := _children(pid):
            together = max(together, sum(_resident(one) for one in (pid, *others)))
    wall = time.monotonic() - began
    _, status, used = os.wait4(pid, 0)
    with open(report, "w", encoding="ascii") as file:
        json.dump(
            {
                "code": os.waitstatus_to_exitcode(status),
                "began": began,
                "wall": wall,
                "cpu": used.ru_utime + used.ru_stime,
                "memory": max(together, used.ru_maxrss * _KIB),
            },
            file,
        )


if __name__ == "__main__":
    main()
