"""Reading the properties of a JSON object, each problem noted with its place instead of ending the reading."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from batch_outputs.errors import ConfigurationError

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_ENDLESS = 1000 * 86400.0
"""Seconds; more than any task runs. Services write "no limit" as a duration of 29,000 years."""


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object at a place, such as `job.json: tasks[3].constraints`; what is wrong with it goes to `problems`.

    A property that is null counts as left out.
    """

    data: Mapping[str, Any]
    place: str
    problems: list[Exception]

    def refuse(self, name: str, what: str) -> None:
        """Note a problem of a property, or of the whole object where `name` is empty."""
        self.problems.append(ConfigurationError(f"{self.at(name)}: {what}"))

    def at(self, name: str) -> str:
        """The place of a property, or of the object where `name` is empty."""
        if not name:
            return self.place.removesuffix(": ")
        return f"{self.place}{'' if self.place.endswith(': ') else '.'}{name}"

    def has(self, name: str) -> bool:
        """Whether it is there, and not null."""
        return self.data.get(name) is not None

    def check_names(self, known: Collection[str]) -> list[str]:
        """Refuse names that are known ones misspelt; the others that are not known are returned."""
        others = []
        for name in self.data:
            if name in known:
                continue
            alike = difflib.get_close_matches(name, known, n=1, cutoff=0.8) or [
                one for one in known if one.lower() == name.lower()
            ]
            if alike:
                self.refuse(name, f"there is no such property; {alike[0]} is meant, it seems.")
            else:
                others.append(name)
        return others

    def text(self, name: str, *, required: bool = False) -> str | None:
        """A text that is not empty."""
        value = self.data.get(name)
        if value is None:
            if required:
                self.refuse("", f"{name} is missing; add it.")
            return None
        if not isinstance(value, str):
            self.refuse(name, f"it should be a text and is {_kind_of(value)}.")
            return None
        if not value.strip():
            self.refuse(name, "it is empty; give it a value, or leave it out.")
            return None
        return value

    def number(self, name: str, default: int, *, least: int, most: int = 2**31 - 1) -> int:
        """A whole number."""
        value = self.data.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(name, f"it should be a whole number and is {_kind_of(value)}.")
        elif not least <= value <= most:
            self.refuse(name, f"it is {value:,} and should be from {least:,} to {most:,}.")
        else:
            return value
        return default

    def truth(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.data.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(name, f"it should be true or false and is {_kind_of(value)}.")
            return default
        return value

    def duration(self, name: str) -> float | None:
        """Seconds, from an ISO 8601 duration such as `PT1H30M`; None where there is no limit."""
        text = self.text(name)
        if text is None:
            return None
        found = _DURATION.fullmatch(text)
        if found is None or not any(found.groups()):
            self.refuse(name, f"{text!r} is no duration; write it as PT30S, PT10M, PT1H30M or P1D.")
            return None
        days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
        total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        if total <= 0:
            self.refuse(name, f"{text!r} is no time at all; give it more, or leave it out.")
            return None
        return None if total >= _ENDLESS else total

    def choice(self, name: str, choices: Collection[str]) -> str | None:
        """One of these texts, in any case, as the service takes them."""
        text = self.text(name)
        if text is None:
            return None
        for one in choices:
            if text.lower() == one.lower():
                return one
        self.refuse(name, f"it is {text!r} and should be one of {', '.join(choices)}.")
        return None

    def part(self, name: str) -> Fields | None:
        """A property that is an object."""
        value = self.data.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.refuse(name, f"it should be an object and is {_kind_of(value)}.")
            return None
        return Fields(value, self.at(name), self.problems)

    def section(self, name: str) -> Fields:
        """A property that is an object; one without properties where it is left out."""
        return self.part(name) or Fields({}, self.at(name), self.problems)

    def parts(self, name: str) -> list[Fields]:
        """A property that is a list of objects."""
        found = []
        for index, value in enumerate(self._list(name)):
            if isinstance(value, dict):
                found.append(Fields(value, f"{self.at(name)}[{index}]", self.problems))
            else:
                self.refuse(f"{name}[{index}]", f"it should be an object and is {_kind_of(value)}.")
        return found

    def objects(self, name: str) -> list[Fields]:
        """What of a property is an object, itself or as an item of a list; nothing is refused."""
        value = self.data.get(name)
        if isinstance(value, list):
            every = enumerate(value)
            return [Fields(one, f"{self.at(name)}[{at}]", self.problems) for at, one in every if isinstance(one, dict)]
        return [Fields(value, self.at(name), self.problems)] if isinstance(value, dict) else []

    def texts(self, name: str) -> list[tuple[str, str]]:
        """A property that is a list of texts, each with its own name, `name[0]` and so on."""
        found = []
        for index, value in enumerate(self._list(name)):
            if isinstance(value, str):
                found.append((f"{name}[{index}]", value))
            else:
                self.refuse(f"{name}[{index}]", f"it should be a text and is {_kind_of(value)}.")
        return found

    def _list(self, name: str) -> list[Any]:
        value = self.data.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.refuse(name, f"it should be a list and is {_kind_of(value)}.")
            return []
        return value


def _kind_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"
