"""SIGTERM where nobody handles it: what is tracked is saved first, then the process dies of it as it would have anyway.

By itself SIGTERM ends a process on the spot, and what its logs gained since the last round is lost with the node. So it
is taken here while the main thread has a tracked save, if it is left to its default until then, and given back when the
last of them ends.

Python runs a handler on the main thread only, and not before the C code returns that this may sit in. But it notes each
signal at once as a byte in a pipe (`signal.set_wakeup_fd`), and that is where the log thread looks. Where the pipe is
somebody else's, an event loop's with signal handlers for example, the handler on the main thread has to do.

To die of the signal its default has to be set again, which Python's `signal.signal` does on the main thread only; its C
interface has `PyOS_setsig`, which does it on any. The parent process sees a death by SIGTERM, as without us.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

if sys.platform == "win32":

    class Termination:
        """Nothing: nobody can send a process of Windows a SIGTERM."""

        def hold(self) -> None:
            """Nothing."""

        def release(self) -> None:
            """Nothing."""

        def is_asked_for(self) -> bool:
            """Never."""
            return False

        @contextlib.contextmanager
        def attended(self) -> Iterator[None]:
            """Nothing."""
            yield

        def die(self) -> None:
            """Nothing."""

else:
    _get_handler: Callable[[int], int | None] | None = None
    _set_handler: Callable[[int, None], int | None] | None = None
    with contextlib.suppress(ImportError, AttributeError):  # a Python may be built without libffi
        from ctypes import PYFUNCTYPE, c_int, c_void_p, pythonapi

        _get_handler = PYFUNCTYPE(c_void_p, c_int)(("PyOS_getsig", pythonapi))
        _set_handler = PYFUNCTYPE(c_void_p, c_int, c_void_p)(("PyOS_setsig", pythonapi))

    class Termination:
        """This process's SIGTERM. The main thread holds it; the thread that saves asks whether it came."""

        def __init__(self) -> None:
            self._begin()
            self._forking = threading.local()

        def _begin(self) -> None:
            self._holders = 0
            self._attendants = 0
            self._guard = threading.Lock()
            self._came = False
            self._pipe: tuple[int, int] | None = None

        def hold(self) -> None:
            """Take SIGTERM until `release`, if this is the main thread and nobody else handles it."""
            if threading.current_thread() is not threading.main_thread():
                return
            self._holders += 1
            if self._holders == 1 and _is_left_to_its_default():
                self._take()

        def release(self) -> None:
            """Give it back, when all that was held on the main thread is released."""
            if self._holders == 0 or threading.current_thread() is not threading.main_thread():
                return
            self._holders -= 1
            if self._holders == 0:
                self.is_asked_for()
                self._give_back()
                if self._came:
                    self.die()

        def is_asked_for(self) -> bool:
            """Whether SIGTERM has come and is ours to heed."""
            if signal.SIGTERM in self._signals_that_came() and self._is_ours():
                self._came = True
            return self._came

        @contextlib.contextmanager
        def attended(self) -> Iterator[None]:
            """While the block runs, its thread asks now and then; without such a thread the signal acts at once."""
            with self._guard:
                self._attendants += 1
            try:
                yield
            finally:
                with self._guard:
                    self._attendants -= 1
                if not self._attendants and self.is_asked_for():
                    self.die()

        def die(self) -> None:
            """End the process by SIGTERM, on any thread; as process 1 of a container, which that never ends, go on."""
            self._came = False
            if os.getpid() == 1:
                return
            if _set_handler is not None:
                _set_handler(signal.SIGTERM, None)
                os.kill(os.getpid(), signal.SIGTERM)
            os._exit(128 + signal.SIGTERM)

        def before_fork(self) -> None:
            """Keep SIGTERM from a child until it has let go of what is the parent's: it would write to our pipe."""
            self._forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}) if self._is_ours() else None

        def after_fork(self) -> None:
            """Let SIGTERM come again."""
            if self._forking.mask is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, self._forking.mask)

        def after_fork_in_child(self) -> None:
            """Give SIGTERM back: the tracked saves are the parent's."""
            self._give_back()
            for descriptor in self._pipe or ():
                os.close(descriptor)
            self._begin()
            self.after_fork()

        def _take(self) -> None:
            # Kept for good: a late byte should never end up in a descriptor that means something else by then.
            self._pipe = self._pipe or _new_pipe()
            self._signals_that_came()
            self._came = False
            try:
                signal.signal(signal.SIGTERM, self._on_signal)
            except ValueError:
                return  # this is a subinterpreter, which has no signals
            others = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
            if others != -1:
                signal.set_wakeup_fd(others)

        def _give_back(self) -> None:
            if self._is_ours():
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if self._pipe is not None:
                current = signal.set_wakeup_fd(-1)
                if current not in {-1, self._pipe[1]}:
                    signal.set_wakeup_fd(current)

        def _on_signal(self, _: int, __: FrameType | None) -> None:
            # No more than this: the main thread may hold any lock now, and goes on while the log thread saves.
            self._came = True
            if not self._attendants:
                self.die()

        def _is_ours(self) -> bool:
            return signal.getsignal(signal.SIGTERM) == self._on_signal

        def _signals_that_came(self) -> bytes:
            try:
                return os.read(self._pipe[0], 65536) if self._pipe else b""
            except BlockingIOError:
                return b""

    def _is_left_to_its_default() -> bool:
        handled_in_c = _get_handler is not None and _get_handler(signal.SIGTERM)
        return signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and not handled_in_c

    def _new_pipe() -> tuple[int, int]:
        pipe = os.pipe()
        for descriptor in pipe:
            os.set_blocking(descriptor, False)
        return pipe


termination: Termination = Termination()
"""The one of this process."""

if sys.platform != "win32":
    os.register_at_fork(
        before=termination.before_fork,
        after_in_parent=termination.after_fork,
        after_in_child=termination.after_fork_in_child,
    )
