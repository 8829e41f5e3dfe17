"""What a shared access signature (SAS) allows and until when: checked before it is made, and read from one there is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

from batch_outputs.errors import ConfigurationError
from batch_outputs.wording import time_text

LIFETIME = timedelta(days=7)
"""How long a SAS is good unless told otherwise."""

PERMISSIONS = "racwl"
"""What the SAS of a container allows unless told otherwise: read, add, create, write, list, as in the .NET library."""

LONGEST = timedelta(days=366)
"""Beyond this an expiry is taken for a mistake: a task runs for 180 days at most."""

_NAMES = {
    "r": "read",
    "a": "add",
    "c": "create",
    "w": "write",
    "d": "delete",
    "x": "delete versions",
    "y": "delete permanently",
    "l": "list",
    "t": "tag",
    "f": "find by tags",
    "m": "move",
    "e": "execute",
    "i": "set immutability policies",
}
"""The permissions of a container's SAS, in the order in which the service wants their letters."""


def ordered_permissions(letters: str) -> str:
    """The letters as the service takes them: each once, in its order.

    Raises:
        ConfigurationError: there is none, or one that stands for nothing.
    """
    if unknown := sorted(set(letters) - set(_NAMES)):
        raise ConfigurationError(
            f"{unknown[0]!r} is not a permission of a SAS; the letters are {''.join(_NAMES)}, such as {PERMISSIONS}."
        )
    if not letters:
        raise ConfigurationError(f"A SAS without permissions allows nothing; name some, such as {PERMISSIONS}.")
    return "".join(letter for letter in _NAMES if letter in letters)


def permissions_text(letters: str) -> str:
    """What the letters allow, in words: `read, write and list`."""
    words = [_NAMES.get(letter, letter) for letter in letters]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def expiry_moment(expiry: timedelta | datetime, *, now: datetime | None = None) -> datetime:
    """When a SAS is to end, in UTC, to the second: a moment, or a time from now.

    Raises:
        ConfigurationError: that is not in the future, more than a year ahead, or a moment without a time zone.
    """
    now = now or datetime.now(UTC)
    if isinstance(expiry, datetime) and expiry.tzinfo is None:
        raise ConfigurationError(f"The expiry {expiry} does not say its time zone; give it one, such as UTC.")
    try:
        moment = expiry.astimezone(UTC) if isinstance(expiry, datetime) else now + expiry
    except OverflowError:
        moment = datetime.max.replace(tzinfo=UTC) if _is_ahead(expiry) else datetime.min.replace(tzinfo=UTC)
    moment = moment.replace(microsecond=0)
    if moment <= now:
        raise ConfigurationError("The expiry of the SAS is not in the future; give a time from now, such as 7 days.")
    if moment - now > LONGEST:
        raise ConfigurationError(
            f"The expiry of the SAS is more than a year ahead ({time_text(moment)}); give a time that its job needs."
        )
    return moment


def _is_ahead(expiry: timedelta | datetime) -> bool:
    return expiry.year > 1 if isinstance(expiry, datetime) else expiry > timedelta(0)


class SasTerms(NamedTuple):
    """What a SAS says of itself; None where it says nothing, as a stored access policy says it instead."""

    expires: datetime | None
    permissions: str | None

    @classmethod
    def of(cls, url: str) -> Self | None:
        """The terms of the SAS that a URL brings; None if it brings none."""
        fields = dict(parse_qsl(urlsplit(url).query))
        if "sig" not in fields:
            return None
        return cls(sas_moment(fields.get("se")), fields.get("sp"))

    def check_writes(self) -> None:
        """Make sure that it is good now, and for writing.

        Raises:
            ConfigurationError: it has expired, or does not allow to write.
        """
        if self.expires is not None and self.expires <= datetime.now(UTC):
            raise ConfigurationError(
                f"The SAS of the container URL expired at {time_text(self.expires)}; get a new one."
            )
        if self.permissions is not None and "w" not in self.permissions:
            raise ConfigurationError(
                f"The SAS of the container URL allows {self.permissions!r}, and a task that saves has to write; "
                "get one with 'w'."
            )


def sas_moment(text: str | None) -> datetime | None:
    """A time as it stands in a SAS, in UTC unless it says otherwise; None where there is none."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
