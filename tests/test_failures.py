"""When a work on many outputs gives up, and what it says then."""

from __future__ import annotations

import errno
import os

import pytest

from batch_outputs.errors import AccessDeniedError, BlobNotFoundError, StoreError, StoreUnavailableError, TargetError
from batch_outputs.failures import ALIKE_IN_A_ROW, MOST_FAILURES, Failures, named

BLOB = "t1/$TaskOutput/a"


def unavailable() -> StoreUnavailableError:
    return StoreUnavailableError("The connection to host broke.", place="host/c")


def refused(code: str | None) -> AccessDeniedError:
    return AccessDeniedError("The SAS does not allow to read.", place="host/c", code=code)


def cannot_write(number: int) -> TargetError:
    error = TargetError("t/a cannot be written.", path="t/a")
    error.__cause__ = OSError(number, os.strerror(number))
    return error


@pytest.mark.parametrize(
    ("error", "enough"),
    [
        (refused("AuthorizationFailure"), 1),
        (cannot_write(errno.ENOSPC), 1),
        (cannot_write(errno.EROFS), 1),
        (unavailable(), ALIKE_IN_A_ROW),
        (refused(None), ALIKE_IN_A_ROW),
        (cannot_write(errno.EFBIG), MOST_FAILURES),
        (BlobNotFoundError("There is no blob.", place="host/c"), MOST_FAILURES),
    ],
)
def test_how_many_are_enough(error: Exception, enough: int) -> None:
    """What all others would meet, too, is enough at once; an outage after a while; anything else after very many."""
    failures = Failures()
    for _ in range(enough - 1):
        failures.add(error)
    assert not failures.are_hopeless
    failures.add(error)
    assert failures.are_hopeless
    failures.succeeded()
    assert failures.are_hopeless


def test_what_goes_well_in_between() -> None:
    """A service that answers now and then is not out of reach."""
    failures = Failures()
    for number in range(MOST_FAILURES - 1):
        if number % (ALIKE_IN_A_ROW - 1) == 0:
            failures.succeeded()
        failures.add(unavailable())
    assert not failures.are_hopeless


def test_what_is_told() -> None:
    """A refused credential is told once, and before all else; of a folder's files each that is refused."""
    failures = Failures()
    for error in (unavailable(), refused("X"), refused(None), refused("X"), refused(None)):
        failures.add(error)
    assert [(type(error), getattr(error, "code", None)) for error in failures.to_tell] == [
        (AccessDeniedError, "X"),
        (StoreUnavailableError, None),
        (AccessDeniedError, None),
        (AccessDeniedError, None),
    ]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (unavailable(), f"{BLOB}: The connection to host broke."),
        (StoreError(f"{BLOB} is damaged.", place="c"), f"{BLOB} is damaged."),
        (refused("X"), "The SAS does not allow to read."),
        (refused(None), f"{BLOB}: The SAS does not allow to read."),
        (cannot_write(errno.EFBIG), "t/a cannot be written."),
    ],
)
def test_names(error: Exception, text: str) -> None:
    """An error of a store names the output, once; one that is of all outputs, or of a file, stays as it is."""
    assert named(error, BLOB) is error
    assert str(error) == text
    assert str(named(error, BLOB)) == text
