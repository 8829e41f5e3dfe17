"""How long, and how often, a request that may be repeated is repeated."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from batch_outputs.errors import ConfigurationError

VARIABLE = "BATCH_OUTPUTS_RETRY_SECONDS"

_FIRST_WAIT = 0.4
_LONGEST_WAIT = 8.0


class RetryPolicy(NamedTuple):
    """For `patience` seconds in total a request that gets no usable answer is sent again; 0 for never."""

    patience: float = 15.0

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> RetryPolicy:
        """The policy that `BATCH_OUTPUTS_RETRY_SECONDS` asks for, or the default.

        Raises:
            ConfigurationError: the variable is not a number of seconds.
        """
        text = (os.environ if environ is None else environ).get(VARIABLE, "").strip()
        if not text:
            return cls()
        try:
            patience = float(text)
        except ValueError:
            patience = -1.0
        if not 0 <= patience < float("inf"):
            raise ConfigurationError(
                f"{VARIABLE} is {text!r}; give a number of seconds, 0 for no repetition.", variable=VARIABLE
            )
        return cls(patience)

    def begin(self) -> Patience:
        """Start the clock for one request."""
        return Patience(self.patience)


class Patience:
    """What is left of a policy's time for one request."""

    def __init__(
        self,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._deadline = clock() + seconds
        self._next = _FIRST_WAIT

    def wait(self, retry_after: float | None = None) -> float | None:
        """Seconds to wait before the next try; None when there is to be none.

        The service's `retry_after` is kept to, or, when it lies beyond the time that is left, there is no further try.
        Otherwise the last try comes when the time is over.
        """
        left = self._deadline - self._clock()
        if left <= 0 or (retry_after or 0.0) > left:
            return None
        # Jitter keeps a thousand tasks that lost one service from coming back to it in step.
        wait = self._next * (0.5 + self._jitter())
        self._next = min(self._next * 2, _LONGEST_WAIT)
        return max(min(wait, left), retry_after or 0.0)
