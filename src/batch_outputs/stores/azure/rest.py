"""When to leave a quick way alone that fails again and again."""

from __future__ import annotations

import time

from batch_outputs.stores.base import Written

_FAILURES_ALLOWED = 3
_FIRST_REST = 1.0
_LONGEST_REST = 60.0


class Rest:
    """After some failures in a row it is left alone for a while, each time for longer."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._until = 0.0
        self._next = _FIRST_REST

    @property
    def is_needed(self) -> bool:
        """Whether there is no use in trying now."""
        return time.monotonic() < self._until

    def counted(self, written: Written | None) -> Written | None:
        """The same, counted as a success or, if it is None, as a failure."""
        if written is None:
            self.failed()
        else:
            self.succeeded()
        return written

    def succeeded(self) -> None:
        """Note that it works."""
        self._in_a_row, self._next = 0, _FIRST_REST

    def failed(self) -> None:
        """Note that it did not work, for whatever reason."""
        self._in_a_row += 1
        if self._in_a_row >= _FAILURES_ALLOWED:
            self._until = time.monotonic() + self._next
            self._next = min(2 * self._next, _LONGEST_REST)
            self._in_a_row = _FAILURES_ALLOWED - 1  # the next one decides whether it is well again
