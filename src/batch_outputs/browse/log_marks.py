"""What logs say of themselves, and by that and their names of each other: parts, and attempts at the same one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from batch_outputs.marks import LogMarks
from batch_outputs.names import beside
from batch_outputs.outputs import OutputFileReference

_MARK = re.compile(r"\.(attempt-(?P<attempt>[0-9A-Za-z_-]+)|part-[0-9]+)(?=\.|$)")


def marks_of(output: OutputFileReference) -> LogMarks:
    """The marks of an output that has been looked at; none of them on what is no log."""
    return LogMarks.from_metadata(output.metadata or {}) if output.is_log else LogMarks()


def log_id(output: OutputFileReference) -> str:
    """What tells a log that has been looked at from another of its name; nothing where it has no such mark."""
    marks = marks_of(output)
    name = marks.log or marks.attempt
    return "" if name is None else hashlib.sha256(name.encode()).hexdigest()[:16]


def attempts_among(logs: Mapping[str, LogMarks]) -> dict[str, tuple[str, str]]:
    """Of logs of one kind, those of other attempts: the name of the log that each belongs to, and which attempt it was.

    They are known by what they and that log say of themselves, never by their names alone.
    """
    found: dict[str, tuple[str, str]] = {}
    for name, marks in logs.items():
        if marks.attempt is None:
            continue
        for mark in _MARK.finditer(name, name.rfind("/") + 1):
            plain = without_mark(name, mark[1]) if mark["attempt"] else None
            if plain is not None and plain in logs and logs[plain].log != marks.log:
                found[name] = plain, mark["attempt"]
    return {name: (plain, which) for name, (plain, which) in found.items() if plain not in found}


def without_mark(name: str, mark: str) -> str | None:
    """The name that has this one beside it; None if there can be none."""
    folder, slash, last = name.rpartition("/")
    before, dot, after = last.rpartition(f".{mark}")
    plain = f"{folder}{slash}{before}{after}"
    return plain if dot and before and beside(plain, mark) == name else None


def plain_name(name: str) -> str:
    """A name without the last thing in it that looks like the mark of an attempt or a part."""
    for mark in reversed(list(_MARK.finditer(name, name.rfind("/") + 1))):
        if (plain := without_mark(name, mark[1])) is not None:
            return plain
    return name
