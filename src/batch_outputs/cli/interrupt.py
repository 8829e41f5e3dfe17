"""Ctrl-C ends a command within seconds, whatever its threads wait for."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from batch_outputs.cli.codes import INTERRUPTED
from batch_outputs.cli.talk import say

T = TypeVar("T")

_TIME_TO_TIDY_UP = 2.0


async def interruptible(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a command's work; on Ctrl-C it is cancelled, and has two seconds to end before the process does.

    A request that is under way in a thread cannot be cancelled, and would hold us until its own time is over.
    """
    _end_in_time()
    return await coroutine


@contextmanager
def ended_in_time() -> Iterator[None]:
    """The same for work that blocks in the main thread, which Ctrl-C breaks off."""
    usual = signal.getsignal(signal.SIGINT)
    _end_in_time()
    try:
        yield
    finally:
        if usual is not None:
            signal.signal(signal.SIGINT, usual)


def _end_in_time() -> None:
    """Have Ctrl-C do what it does, and end the process if that takes too long."""
    cancel = signal.getsignal(signal.SIGINT)

    def interrupted(signum: int, frame: FrameType | None) -> None:
        timer = threading.Timer(_TIME_TO_TIDY_UP, _leave)
        timer.daemon = True
        timer.start()
        if callable(cancel):
            cancel(signum, frame)

    if callable(cancel):  # else Ctrl-C is ignored, as by a shell's background jobs
        signal.signal(signal.SIGINT, interrupted)


def _leave() -> None:
    say("interrupted.")
    os._exit(INTERRUPTED)
