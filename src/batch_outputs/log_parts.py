"""The later parts of logs: by which names and marks they are known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from batch_outputs.errors import BlobNotFoundError
from batch_outputs.marks import LogMarks
from batch_outputs.names import beside
from batch_outputs.stores.base import BlobProperties


def part_name(first: str, number: int) -> str:
    """The name of a later part of the log whose first part has this name."""
    return beside(first, f"part-{number}")


async def find_part(
    look: Callable[[str], Awaitable[BlobProperties]], first: str, number: int, log: str | None = None
) -> BlobProperties | None:
    """A later part of a log, by its name and its own word, as `look` finds it; None if there is none.

    Without `log`, the id that all parts share, it may be of any.
    """
    try:
        found = await look(part_name(first, number))
    except BlobNotFoundError:
        return None
    marks = LogMarks.from_metadata(found.metadata)
    is_one = found.blob_type == "append" and marks.log is not None and marks.part == number
    return found if is_one and log in (None, marks.log) else None


def first_of(part: BlobProperties) -> str | None:
    """The name of the log that a blob is a later part of, by its own word and its name; None if it is none."""
    marks = LogMarks.from_metadata(part.metadata)
    if part.blob_type != "append" or marks.log is None or marks.part == 1:
        return None
    mark = f".part-{marks.part}"
    stem, _, extension = part.name.rpartition(".")
    for first in (f"{stem.removesuffix(mark)}.{extension}", part.name.removesuffix(mark)):
        if part_name(first, marks.part) == part.name:
            return first
    return None
