"""What a tracked log's blob says of itself in its metadata: whose it is, and whether it is finished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class LogMarks:
    """The marks on a tracked log; None where one is missing.

    `attempt` is a random id of the writer, by which a later writer is told from an earlier one. `started` is the UTC
    time of its creation (ISO 8601). `part` counts from 1. `length` and `sha256` (hex) speak of the whole content and
    stand only on a finished log, `exit_code` only where a program's end finished it.
    """

    attempt: str | None = None
    node: str | None = None
    part: int = 1
    started: str | None = None
    complete: bool = False
    length: int | None = None
    sha256: str | None = None
    exit_code: int | None = None

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """Read the marks; anything unreadable counts as missing."""
        fields = {name.lower(): value for name, value in metadata.items()}

        def number(name: str) -> int | None:
            text = fields.get(name, "")
            return int(text) if text.isascii() and text.isdigit() else None

        return cls(
            attempt=fields.get("attempt"),
            node=fields.get("node"),
            part=number("part") or 1,
            started=fields.get("started"),
            complete=fields.get("complete") == "true",
            length=number("length"),
            sha256=fields.get("sha256"),
            exit_code=number("exit_code"),
        )

    def metadata(self) -> dict[str, str]:
        """The marks as metadata."""
        marks = {
            "attempt": self.attempt,
            "node": self.node,
            "part": str(self.part),
            "started": self.started,
            "complete": "true" if self.complete else None,
            "length": None if self.length is None else str(self.length),
            "sha256": self.sha256,
            "exit_code": None if self.exit_code is None else str(self.exit_code),
        }
        return {name: value for name, value in marks.items() if value is not None}

    def finished(self, length: int, sha256: str, exit_code: int | None = None) -> Self:
        """The same marks on a finished log."""
        return replace(self, complete=True, length=length, sha256=sha256, exit_code=exit_code)

    def vouch_for(self, size: int) -> bool:
        """Whether a log of this size is finished and whole."""
        return self.complete and self.length == size
