"""What belongs to an output: the parts of a log, its other attempts, and the outputs that stand beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from batch_outputs.browse.listing.entries import Entry, entries_of
from batch_outputs.browse.log_marks import marks_of, plain_name, without_mark
from batch_outputs.errors import AccessDeniedError, BlobNotFoundError
from batch_outputs.marks import Reason
from batch_outputs.names import beside
from batch_outputs.output_storage import OutputStorage
from batch_outputs.outputs import OutputFileReference
from batch_outputs.transfer import for_each

_LISTED = 500
"""Outputs of the kind that are looked at; where there are more, what belongs to a log is asked for by name."""
_ATTEMPTS_ASKED = 4
_PARTS_ASKED = 8


@dataclass(frozen=True, slots=True)
class Part:
    """A later part of a log: why it was begun, and its length in bytes."""

    number: int
    blob_name: str
    size: int
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Family:
    """What belongs to an output; `own` is itself as a list shows it, None where a list hides it.

    `parts` are the later ones of this log, `first` the log that it is a later part of, `other` the log whose name it
    had before, or would have.
    """

    own: Entry | None = None
    parts: tuple[Part, ...] = ()
    first: Entry | None = None
    other: Entry | None = None
    previous: Entry | None = None
    following: Entry | None = None

    @property
    def attempts(self) -> tuple[Entry, ...]:
        """Other attempts of the task that wrote a log of this name."""
        return self.own.attempts if self.own else ()


async def family_of(storage: OutputStorage, output: OutputFileReference, now: datetime) -> Family:
    """What belongs to an output that has been looked at; nothing where outputs may not be listed.

    Raises:
        StoreError: the store cannot be asked.
    """
    try:
        page = await storage.page_of_outputs(output.kind, limit=_LISTED)
    except AccessDeniedError:
        return Family()
    outputs: Sequence[OutputFileReference] = page.outputs
    is_all = page.after is None
    if not is_all:
        outputs = await _named_alike(storage, output) if output.is_log else ()
    parts = _parts_of(output, outputs)
    entries = await entries_of(storage, output.kind, outputs, now)
    each = [(one, entry) for entry in entries for one in entry.with_attempts]
    index = next((i for i, (one, _) in enumerate(each) if one.name == output.name), None)
    if index is None:
        first = _first_of(output)
        return Family(parts=parts, first=next((one for one, _ in each if one.name == first), None))
    own, plain = each[index]
    return Family(
        own,
        parts,
        other=plain if plain is not own else None,
        previous=each[index - 1][0] if is_all and index > 0 else None,
        following=each[index + 1][0] if is_all and index + 1 < len(each) else None,
    )


async def _named_alike(storage: OutputStorage, output: OutputFileReference) -> list[OutputFileReference]:
    """What may belong to a log by its name, of what there is."""
    plain = plain_name(output.name)
    marks = [f"attempt-{n + 1}" for n in range(_ATTEMPTS_ASKED)] + [f"part-{n + 2}" for n in range(_PARTS_ASKED)]
    names = dict.fromkeys([plain, output.name, *(beside(plain, mark) for mark in marks)])
    asked = [storage.get_output(output.kind, name) for name in names]
    found = []
    for one, result in zip(asked, await for_each(asked, OutputFileReference.refresh), strict=True):
        if isinstance(result, BlobNotFoundError):
            continue
        if isinstance(result, Exception):
            raise result
        found.append(one)
    return found


def _parts_of(output: OutputFileReference, outputs: Sequence[OutputFileReference]) -> tuple[Part, ...]:
    log = marks_of(output).log
    if not output.is_log or log is None or output.part != 1:
        return ()
    found = []
    for one in outputs:
        marks = marks_of(one)
        if one.is_log and marks.log == log and marks.part > 1 and one.name == beside(output.name, f"part-{marks.part}"):
            found.append(Part(marks.part, one.blob_name, one.size or 0, marks.reason))
    return tuple(sorted(found, key=lambda part: part.number))


def _first_of(output: OutputFileReference) -> str | None:
    return None if (output.part or 1) == 1 else without_mark(output.name, f"part-{output.part}")
