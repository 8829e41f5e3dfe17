"""What a tracked log's blob says of itself in its metadata: whose it is, which part, and whether it is finished."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Self, TypeAlias, cast, get_args

Reason: TypeAlias = Literal["truncated", "replaced", "rewritten", "limit"]
"""Why a log goes on in another part.

`truncated`: the file became shorter. `replaced`: its name led to another file. `rewritten`: what had been saved of it
changed. `limit`: the blob had as many blocks as the service allows.
"""
_REASONS = frozenset(get_args(Reason))
_NUMBERS = frozenset({"part", "base", "length", "parts", "exit_code"})


class LogMarks(NamedTuple):
    """The marks on a blob of a tracked log; None where one is missing.

    `attempt` is the random id of the writer, by which a later writer is told from an earlier one; `log` the random id
    that all parts of one log share. `started` is the UTC time of its creation (ISO 8601). `part` counts from 1, `base`
    is the offset in the file at which the part begins, `reason` why it was begun. `length` and `sha256` (hex) speak of
    the blob's whole content and stand only on a finished part; `parts` on a finished log's first says how many there
    are. `exit_code` stands only where a program's end finished the log, `notice` only where the end of the node had
    been announced while it was written (`Preempt`, for example).
    """

    attempt: str | None = None
    log: str | None = None
    node: str | None = None
    part: int = 1
    base: int = 0
    reason: Reason | None = None
    started: str | None = None
    complete: bool = False
    length: int | None = None
    sha256: str | None = None
    parts: int = 1
    exit_code: int | None = None
    notice: str | None = None

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """Read the marks; anything unreadable counts as missing."""
        if not metadata:
            return cls()
        found = {name.lower(): value for name, value in metadata.items()}
        numbers = {
            name: int(text)
            for name in _NUMBERS.intersection(found)
            if (text := found[name]).isascii() and text.isdigit() and len(text) < 20
        }
        reason = found.get("reason")
        return cls(
            attempt=found.get("attempt"),
            log=found.get("log"),
            node=found.get("node"),
            part=numbers.get("part") or 1,
            base=numbers.get("base") or 0,
            reason=cast("Reason", reason) if reason in _REASONS else None,
            started=found.get("started"),
            complete=found.get("complete") == "true",
            length=numbers.get("length"),
            sha256=found.get("sha256"),
            parts=numbers.get("parts") or 1,
            exit_code=numbers.get("exit_code"),
            notice=found.get("notice"),
        )

    def metadata(self) -> dict[str, str]:
        """The marks as metadata."""
        marks = {
            "attempt": self.attempt,
            "log": self.log,
            "node": self.node,
            "part": str(self.part),
            "base": str(self.base) if self.base else None,
            "reason": self.reason,
            "started": self.started,
            "complete": "true" if self.complete else None,
            "length": None if self.length is None else str(self.length),
            "sha256": self.sha256,
            "parts": str(self.parts) if self.parts > 1 else None,
            "exit_code": None if self.exit_code is None else str(self.exit_code),
            "notice": self.notice,
        }
        return {name: value for name, value in marks.items() if value is not None}

    def among(self, metadata: Mapping[str, str]) -> dict[str, str]:
        """The marks in the place of those in `metadata`; what else stands there is somebody's and stays."""
        own = set(self._fields)
        return {name: value for name, value in metadata.items() if name.lower() not in own} | self.metadata()

    def vouch_for(self, size: int) -> bool:
        """Whether a blob of this size is finished and whole."""
        return self.complete and self.length == size
