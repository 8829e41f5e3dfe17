"""What a SAS is to allow and until when: put into the service's form, or refused in a sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from batch_outputs.errors import ConfigurationError
from batch_outputs.shared_access import SasTerms, expiry_moment, ordered_permissions, permissions_text

NOW = datetime(2026, 5, 31, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("letters", "ordered"),
    [("racwl", "racwl"), ("lwcar", "racwl"), ("rrl", "rl"), ("ltdr", "rdlt"), ("ieyxm", "xymei")],
)
def test_letters_come_in_the_order_of_the_service(letters: str, ordered: str) -> None:
    """Letters may be given in any order, and more than once."""
    assert ordered_permissions(letters) == ordered


@pytest.mark.parametrize(
    ("letters", "sentence"), [("rz", "'z' is not a permission"), ("R", "'R'"), ("r l", "' '"), ("", "allows nothing")]
)
def test_other_letters_are_refused(letters: str, sentence: str) -> None:
    """A letter that stands for nothing is named."""
    with pytest.raises(ConfigurationError, match=sentence):
        ordered_permissions(letters)


def test_letters_in_words() -> None:
    """What is allowed can be read."""
    assert permissions_text("racwl") == "read, add, create, write and list"
    assert permissions_text("rl") == "read and list"
    assert permissions_text("w") == "write"


@pytest.mark.parametrize(
    ("expiry", "moment"),
    [
        (timedelta(days=7), datetime(2026, 6, 7, 12, tzinfo=UTC)),
        (timedelta(days=366), datetime(2027, 6, 1, 12, tzinfo=UTC)),
        (datetime(2026, 6, 1, 2, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 6, 1, tzinfo=UTC)),
    ],
)
def test_an_expiry(expiry: timedelta | datetime, moment: datetime) -> None:
    """It is a time from now or a moment in any time zone, and comes to the second in UTC, as a SAS has it."""
    assert expiry_moment(expiry, now=NOW) == moment
    assert expiry_moment(expiry, now=NOW).tzinfo is UTC


@pytest.mark.parametrize(
    ("expiry", "sentence"),
    [
        (timedelta(0), "not in the future"),
        (timedelta(seconds=0.5), "not in the future"),
        (timedelta(days=-1), "not in the future"),
        (timedelta.min, "not in the future"),
        (datetime(2020, 1, 1, tzinfo=UTC), "not in the future"),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=5))), "not in the future"),
        (timedelta(days=400), "more than a year ahead"),
        (timedelta.max, "more than a year ahead"),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))), "more than a year ahead"),
        (datetime(2026, 6, 1), "time zone"),
    ],
)
def test_an_expiry_that_is_refused(expiry: timedelta | datetime, sentence: str) -> None:
    """The past, what can only be a slip of units, and a moment that means another one in each time zone."""
    with pytest.raises(ConfigurationError, match=sentence):
        expiry_moment(expiry, now=NOW)


def test_the_terms_of_a_url() -> None:
    """They are read from the URL; a SAS by a stored policy does not say them, and a URL without a SAS has none."""
    url = "https://acct.blob.core.windows.net/job-x"
    assert SasTerms.of(f"{url}?se=2026-06-07T12%3A00%3A00Z&sp=rl&sig=a%3D") == SasTerms(
        datetime(2026, 6, 7, 12, tzinfo=UTC), "rl"
    )
    assert SasTerms.of(f"{url}?se=2026-06-07&sp=rl&sig=a") == SasTerms(datetime(2026, 6, 7, tzinfo=UTC), "rl")
    assert SasTerms.of(f"{url}?si=policy&sig=a") == SasTerms(None, None)
    assert SasTerms.of(url) is None
    assert SasTerms.of("file:///folder/job-x") is None
