"""Processes of tasks: started without a shell and without our terminal, and ended with all that they have started.

On Linux a task is a session of its own: programs that it starts may form groups in it, as those that
`batch-outputs run` wraps do, and are found all the same. Those that have left it, as daemons do, are known by the
variables they were started with, the task's directory among them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO


def start(
    command: str | Sequence[str], folder: str, environ: Mapping[str, str], stdout: BinaryIO, stderr: BinaryIO
) -> subprocess.Popen[bytes]:
    """Start a task's process.

    Raises:
        OSError, ValueError: as `subprocess.Popen`.
    """
    return subprocess.Popen(  # noqa: S603 - running what the job names is the point
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        cwd=folder,
        env=dict(environ),
        creationflags=_NEW_GROUP,
        start_new_session=sys.platform != "win32",
    )


if sys.platform == "win32":
    _NEW_GROUP = subprocess.CREATE_NEW_PROCESS_GROUP

    def ask_to_end(process: subprocess.Popen[bytes]) -> None:
        """Ask its group to end, by Ctrl-Break."""
        if process.poll() is None:
            with contextlib.suppress(OSError):
                process.send_signal(signal.CTRL_BREAK_EVENT)

    def kill(process: subprocess.Popen[bytes], directory: str) -> None:  # noqa: ARG001 - needed elsewhere
        """Kill it and all that it has started; what is left once it has ended by itself cannot be found any more."""
        if process.poll() is None:
            with contextlib.suppress(OSError):
                subprocess.run(  # noqa: S603 - Windows keeps no groups that could be killed by themselves
                    ["taskkill", "/F", "/T", "/PID", str(process.pid)],  # noqa: S607 - it is of the system
                    capture_output=True,
                    check=False,
                )
                process.kill()

    @contextlib.contextmanager
    def none_outlives_us(folder: str) -> Iterator[None]:  # noqa: ARG001 - needed elsewhere
        """Nothing is done for it here: tasks go on when this process is killed."""
        yield

else:
    _NEW_GROUP = 0  # a session of its own is made instead
    _LEFT_MOST = 5
    """How often we look again for what was started while we looked."""

    def ask_to_end(process: subprocess.Popen[bytes]) -> None:
        """Ask its group to end, by SIGTERM."""
        _send(process.pid, signal.SIGTERM)

    def kill(process: subprocess.Popen[bytes], directory: str) -> None:
        """Kill it and all that it has started, also what is left of it after its own end; `directory` is the task's."""
        _send(process.pid, signal.SIGKILL)
        _kill_all(f"AZ_BATCH_TASK_DIR={directory}\0", session=process.pid)

    @contextlib.contextmanager
    def none_outlives_us(folder: str) -> Iterator[None]:
        """Have tasks of nodes below a folder killed even if this process is, by another that waits for its end."""
        keeper = None
        with contextlib.suppress(OSError):
            keeper = subprocess.Popen(  # noqa: S603 - it is this very module
                [sys.executable, "-m", __name__, folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        try:
            yield
        finally:
            if keeper is not None and keeper.stdin is not None:
                keeper.stdin.close()
                keeper.wait()

    def _keep(folder: str) -> None:
        sys.stdin.buffer.read()  # until the only one that could write to it has ended
        _kill_all(f"AZ_BATCH_NODE_ROOT_DIR={folder}/node-")

    def _send(group: int, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signum)

    def _kill_all(mark: str, session: int | None = None) -> None:
        for _ in range(_LEFT_MOST):
            found = list(_find(os.fsencode(mark), session))
            for pid in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if not found:
                break

    def _find(mark: bytes, session: int | None) -> Iterator[int]:
        """The processes of a session, and those with a mark in the environment they were started with."""
        with contextlib.suppress(OSError):  # where there is no /proc, the group is what we know
            for pid in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as stat:
                    fields = stat.read().rpartition(b")")[2].split()  # the name in parentheses may hold anything
                    if fields[0] not in {b"Z", b"X"} and (int(fields[3]) == session or _has_mark(pid, mark)):
                        yield int(pid)

    def _has_mark(pid: str, mark: bytes) -> bool:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return b"\0" + mark in b"\0" + file.read()

    if __name__ == "__main__":
        _keep(sys.argv[1])
