"""Whether a stored output is no output of its own, but goes on with a log that is read as one."""

from __future__ import annotations

from batch_outputs.deleting import first_of
from batch_outputs.errors import BlobNotFoundError
from batch_outputs.marks import LogMarks
from batch_outputs.outputs import OutputFileReference


async def goes_on_with_log(output: OutputFileReference) -> bool:
    """Whether an output that has been looked at is a later part of a log whose first part is there.

    Reading the first part gives this one, too.
    """
    stored = output._stored  # noqa: SLF001 - of the same family
    name = None if stored is None else first_of(stored.first)
    if stored is None or name is None:
        return False
    try:
        first = await output._store.properties(name)  # noqa: SLF001
    except BlobNotFoundError:
        return False
    marks = LogMarks.from_metadata(first.metadata)
    return first.blob_type == "append" and marks.part == 1 and marks.log == stored.writer
