"""Moments as text that others have written."""

from __future__ import annotations

from datetime import datetime


def moment_of(text: str) -> datetime | None:
    """The moment that a text names, date, time and zone, as ISO 8601 has them; None if it names none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
