"""This process's signals while programs run: whatever comes is passed on to all of them."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, Protocol

from batch_outputs.runner import process


class Hearer(Protocol):
    """Somebody whom signals are for."""

    def hear(self, signum: int) -> None:
        """A signal has come, on the main thread, at any moment of it."""

    def relay(self, signum: int) -> None:
        """A signal has come that we were told to ignore; it is for whom it finds."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""


class Signals:
    """One set of handlers for all programs of the process, there as long as one of them is. For the main thread."""

    def __init__(self) -> None:
        self._hearers: list[Hearer] = []
        self._had: dict[signal.Signals, Any] = {}

    def add(self, hearer: Hearer) -> None:
        """From now on signals are for this one, too.

        What is ignored stays ignored, for the program too: that is what nohup is for.
        """
        self._hearers.append(hearer)
        if len(self._hearers) > 1:
            return
        for signum in (*process.FORWARDED, *process.RESUMING):
            if signal.getsignal(signum) is not signal.SIG_IGN:
                self._take(signum, self._heard)
        for signum, handler in process.handlers_before_start().items():
            self._take(signum, handler)

    def started(self) -> None:
        """A program has started, with what it is to ignore: if it listens all the same, it shall hear."""
        for signum in process.FORWARDED:
            if signal.getsignal(signum) is signal.SIG_IGN:
                self._take(signum, self._relayed)
        for signum, handler in process.handlers_after_start(self._stopped).items():
            self._take(signum, handler)

    def remove(self, hearer: Hearer) -> None:
        """This one has ended; with the last of them, signals do again what they did before."""
        if hearer in self._hearers:
            self._hearers.remove(hearer)
            while not self._hearers and self._had:
                signal.signal(*self._had.popitem())

    def _take(self, signum: signal.Signals, handler: Any) -> None:
        had = signal.signal(signum, handler)
        self._had.setdefault(signum, had)

    def _heard(self, signum: int, _: FrameType | None) -> None:
        for hearer in list(self._hearers):
            hearer.hear(signum)

    def _relayed(self, signum: int, _: FrameType | None) -> None:
        for hearer in list(self._hearers):
            hearer.relay(signum)

    def _stopped(self, signum: int, _: FrameType | None) -> None:
        """Stop the programs, whose waits then stop us; once they have ended, stop as we would without them."""
        if all(hearer.is_over for hearer in self._hearers):
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)
        else:
            self._relayed(signum, None)


signals: Signals = Signals()
"""The one of this process."""
