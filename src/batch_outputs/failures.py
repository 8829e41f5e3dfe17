"""What fails of a work on many outputs, and when it is of no use to go on."""

from __future__ import annotations

import errno

from batch_outputs.errors import AccessDeniedError, StoreError, StoreUnavailableError, TargetError

MOST_FAILURES = 100
"""After so many the rest is left, and no more of them are said."""
ALIKE_IN_A_ROW = 17
"""After so many that were all refused, or all without an answer, the rest is left: one more than go at once, so that
those begun after the first failures have met the same."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def named(error: Exception, blob_name: str) -> Exception:
    """The error, whose text names the output from now on, unless it does or is one for all."""
    names = (blob_name, repr(blob_name)[1:-1])
    if isinstance(error, StoreError) and not _is_of_all(error) and not any(name in str(error) for name in names):
        error.args = (f"{blob_name}: {error}", *error.args[1:])
    return error


class Failures(list[Exception]):
    """The failures so far, in their order; successes are to be told, too.

    A service that refuses our credential once will do so again. In a folder it is of one file that access is refused,
    and a service that is out of reach may come back: there, several in a row are waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self._in_a_row = 0
        self._is_hopeless = False

    def add(self, error: Exception) -> None:
        """Note a failure."""
        self.append(error)
        self._in_a_row = self._in_a_row + 1 if isinstance(error, (AccessDeniedError, StoreUnavailableError)) else 0
        if len(self) >= MOST_FAILURES or self._in_a_row >= ALIKE_IN_A_ROW or _is_of_all(error) or _is_full(error):
            self._is_hopeless = True

    def succeeded(self) -> None:
        """Note that something went well."""
        self._in_a_row = 0

    @property
    def are_hopeless(self) -> bool:
        """Whether it is of no use to go on: all that is left would fail alike, or too much has failed."""
        return self._is_hopeless

    @property
    def to_tell(self) -> list[Exception]:
        """The failures that are worth a sentence each: a refused credential once, and not too many."""
        of_all = [failure for failure in self if _is_of_all(failure)]
        others = [failure for failure in self if not _is_of_all(failure)]
        return of_all[:1] + others[:MOST_FAILURES]


def _is_of_all(error: Exception) -> bool:
    """Whether a service has refused our credential; a folder gives no code."""
    return isinstance(error, AccessDeniedError) and error.code is not None


def _is_full(error: Exception) -> bool:
    cause = error.__cause__
    return isinstance(error, TargetError) and isinstance(cause, OSError) and cause.errno in _FULL
