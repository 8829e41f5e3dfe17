"""How sizes, times, counts and names are written for people."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_outputs.wording import age_text, counted, printable, size_text, time_text

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "?"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (5_368_709_120, "5.4 GB"),
        (10**15, "1,000.0 TB"),
    ],
)
def test_size(size: int | None, text: str) -> None:
    """Sizes are in decimal units with one digit, and never 1000 of one."""
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(seconds=-30), "just now"),
        (timedelta(seconds=4), "just now"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(minutes=59), "59 min ago"),
        (timedelta(hours=23, minutes=59), "23 h ago"),
        (timedelta(days=29), "29 d ago"),
        (timedelta(days=31), "2026-05-01"),
        (timedelta(days=-2), "2026-06-03"),
    ],
)
def test_age(ago: timedelta, text: str) -> None:
    """Ages are in one unit, and dates where they would be long or the moment is yet to come."""
    assert age_text(NOW - ago, NOW) == text


def test_times_and_counts() -> None:
    """Times are in UTC wherever they come from; one of a thing has no plural; what is not known is said so."""
    assert time_text(NOW.astimezone(timezone(timedelta(hours=5)))) == "2026-06-01 12:00:00Z"
    assert (time_text(None), age_text(None, NOW)) == ("?", "?")
    assert (counted(1, "file"), counted(0, "file"), counted(12345, "file")) == ("1 file", "0 files", "12,345 files")


@given(st.text())
def test_printable(text: str) -> None:
    """What is printed has no control characters and none that turn text around; text without any is as it was."""
    shown = printable(text)
    assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in shown)
    assert not any(unicodedata.bidirectional(character) in {"RLO", "LRO", "RLE", "RLI", "PDI"} for character in shown)
    assert printable(shown) == shown
    assert printable("x\u202ey\x1b[0m é漢") == "x\\u202ey\\x1b[0m é漢"
