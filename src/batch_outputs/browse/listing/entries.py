"""Outputs as a page shows them: a log with its parts as one, and with its earlier attempts below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from batch_outputs.browse.log_marks import attempts_among, marks_of, without_mark
from batch_outputs.browse.served_types import PICTURES, SVG, known_type
from batch_outputs.errors import BlobNotFoundError, InvalidNameError
from batch_outputs.output_state import OutputState, is_recent, state_of
from batch_outputs.output_storage import OutputStorage
from batch_outputs.outputs import OutputFileReference
from batch_outputs.transfer import for_each

SLOWLY = 30
"""Seconds after which a page looks again on which something may come, but hardly will soon."""
_LARGEST_THUMBNAIL = 25 * 1000 * 1000
"""Bytes; a larger picture is not loaded just to be shown small."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list: plain values, as of the last look.

    `remark` says what the log is to another one. `exit_code` is that of the program whose end finished the log.
    """

    blob_name: str
    name: str
    size: int
    last_modified: datetime | None
    state: OutputState
    is_log: bool
    is_picture: bool
    in_parts: bool = False
    exit_code: int | None = None
    remark: str = ""
    attempts: tuple[Entry, ...] = ()

    @property
    def suffix(self) -> str:
        """What its name ends in, as a sign for what it is."""
        stem, _, suffix = self.name.rpartition("/")[2].rpartition(".")
        return suffix.upper() if stem and suffix.isascii() and suffix.isalnum() and len(suffix) <= 5 else "FILE"

    @property
    def with_attempts(self) -> tuple[Entry, ...]:
        """Itself and its earlier attempts."""
        return (self, *self.attempts)


async def entries_of(
    storage: OutputStorage, kind: str, outputs: Sequence[OutputFileReference], now: datetime
) -> list[Entry]:
    """The lines for outputs of one kind, as a listing gave them.

    Parts and attempts are known by what they say of themselves, never by their names alone. A log that has parts is
    looked up once more, as they may stand on another page.
    """
    here = {output.name: output for output in outputs}
    firsts = await _firsts_of_parts(storage, kind, here)
    in_parts = {first.name for first in firsts.values()} | {
        name for name, output in here.items() if output.part == 1 and _goes_on(output)
    }
    gone = await _joined([here[name] for name in in_parts if name in here])
    shown = [output for name, output in here.items() if name not in firsts and name not in gone]
    below = attempts_among({output.name: marks_of(output) for output in shown if output.is_log})
    attempts: dict[str, list[Entry]] = {}
    for name, (plain, which) in below.items():
        entry = _entry(here[name], now, in_parts=name in in_parts, attempt=which)
        attempts.setdefault(plain, []).append(entry)
    return [
        _entry(output, now, in_parts=output.name in in_parts, attempts=attempts.get(output.name, ()))
        for output in shown
        if output.name not in below
    ]


def sums(entries: Iterable[Entry]) -> tuple[int, int]:
    """How many outputs these are, and their bytes."""
    each = [one for entry in entries for one in entry.with_attempts]
    return len(each), sum(one.size for one in each)


def refresh_after(entries: Iterable[Entry], now: datetime, soon: int) -> int | None:
    """Seconds after which a page with these looks again: `soon`, `SLOWLY` for a log without its end, None for never."""
    shown = list(entries)
    if may_change(shown, now):
        return soon
    return SLOWLY if any(one.state != "complete" for one in shown) else None


def may_change(entries: Iterable[Entry], now: datetime) -> bool:
    """Whether something is likely to come soon: a log grows, or the newest is not old."""
    return any(
        one.state == "growing" or is_recent(one.last_modified, now) for entry in entries for one in entry.with_attempts
    )


async def _firsts_of_parts(
    storage: OutputStorage, kind: str, here: dict[str, OutputFileReference]
) -> dict[str, OutputFileReference]:
    """Of those that are later parts: the log each belongs to."""
    named: dict[str, str] = {}
    for name, output in here.items():
        if output.is_log and (output.part or 1) > 1:
            first = without_mark(name, f"part-{output.part}")
            if first is not None:
                named[name] = first
    elsewhere: dict[str, OutputFileReference] = {}
    for first in {*named.values()} - here.keys():
        with suppress(InvalidNameError):  # somebody else's blob, with a name that we would not give
            elsewhere[first] = storage.get_output(kind, first)
    gone = await _joined(elsewhere.values())
    known = here | {name: output for name, output in elsewhere.items() if name not in gone}
    return {
        name: known[first]
        for name, first in named.items()
        if first in known and known[first].is_log and marks_of(known[first]).log == marks_of(here[name]).log
    }


async def _joined(logs: Iterable[OutputFileReference]) -> set[str]:
    """Look logs up with all their parts; the names of those that are not there."""
    asked = list(logs)
    results = await for_each(asked, OutputFileReference.refresh)
    gone = set()
    for log, result in zip(asked, results, strict=True):
        if isinstance(result, BlobNotFoundError):
            gone.add(log.name)
        elif isinstance(result, Exception):
            raise result
    return gone


def _goes_on(output: OutputFileReference) -> bool:
    """Whether a first part says that it is not the last."""
    marks = marks_of(output)
    return bool(output.is_log) and (marks.parts > 1 if marks.complete else marks.length is not None)


def _entry(
    output: OutputFileReference,
    now: datetime,
    *,
    in_parts: bool,
    attempts: Sequence[Entry] = (),
    attempt: str | None = None,
) -> Entry:
    marks = marks_of(output)
    state = state_of(output, now)
    remark = ""
    if attempt is not None and attempt.isdigit():
        remark = f"earlier attempt {attempt}"
        if state == "growing":
            state = "partial"  # it was kept aside just now, and nobody writes to it
    elif attempt is not None:
        remark = "another attempt at the same time"
    elif marks.part > 1:
        remark = f"part {marks.part} of a log whose beginning is gone"
    return Entry(
        output.blob_name,
        output.name,
        output.size or 0,
        output.last_modified,
        state,
        bool(output.is_log),
        known_type(output.content_type, output.name) in {*PICTURES, SVG} and (output.size or 0) <= _LARGEST_THUMBNAIL,
        in_parts,
        marks.exit_code if output.complete else None,
        remark,
        tuple(sorted(attempts, key=lambda entry: (len(entry.name), entry.name))),
    )
