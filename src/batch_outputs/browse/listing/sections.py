"""The outputs of a task, or of a job itself, by their kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from batch_outputs.browse.listing.entries import Entry, entries_of, sums
from batch_outputs.output_storage import OutputStorage
from batch_outputs.outputs import OutputFileReference
from batch_outputs.transfer import for_each

SHOWN = 100
"""Outputs of a kind that stand on one page."""
_AT_ONCE = 1000
"""Outputs that are taken in one listing of all kinds; of more, each kind is listed by itself."""
_OPENED = 24
"""Kinds that are shown with what is in them; of more, there are the names."""
_MOST_KINDS = 1000
_TITLES = {
    "TaskOutput": "Saved output files",
    "TaskLog": "Saved logs",
    "TaskPreview": "Previews",
    "TaskIntermediate": "Intermediate files",
    "JobOutput": "Saved output files of the job",
    "JobPreview": "Previews of the job",
}
_ORDER = list(_TITLES)
_GALLERIES = {"TaskPreview", "JobPreview"}


@dataclass(frozen=True, slots=True)
class Section:
    """A kind with the beginning of what is stored of it.

    `files` and `size` are of all that is stored of the kind; None where there is more than was looked at.
    """

    kind: str
    entries: tuple[Entry, ...]
    is_gallery: bool
    files: int | None
    size: int | None

    @property
    def title(self) -> str:
        """The kind in words."""
        return title_of(self.kind)

    @property
    def has_more(self) -> bool:
        """Whether there is more of the kind than `entries`."""
        return self.files is None or self.files > sums(self.entries)[0]


@dataclass(frozen=True, slots=True)
class Sections:
    """All kinds of which something is stored; `others` are those whose contents were not looked at."""

    shown: tuple[Section, ...]
    others: tuple[str, ...] = ()

    @property
    def entries(self) -> list[Entry]:
        """Everything that is shown."""
        return [entry for section in self.shown for entry in section.entries]

    @property
    def files(self) -> int | None:
        """How many outputs there are in all, if that is known."""
        counts = [section.files for section in self.shown]
        return None if self.others or None in counts else sum(count or 0 for count in counts)

    @property
    def size(self) -> int | None:
        """Bytes in all, if that is known."""
        return None if self.files is None else sum(section.size or 0 for section in self.shown)


def title_of(kind: str) -> str:
    """A kind in the words of the portal; a custom one by its name."""
    return _TITLES.get(kind, kind)


def place_of(kind: str) -> tuple[int, str]:
    """A key that puts kinds in order: outputs, logs, previews, intermediate files, then custom ones by name."""
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER)), kind


def is_gallery(kind: str, entries: Sequence[Entry]) -> bool:
    """Whether to show pictures in place of names."""
    return kind in _GALLERIES or (bool(entries) and all(entry.is_picture for entry in entries))


async def sections_of(storage: OutputStorage, now: datetime) -> Sections:
    """What is stored, each kind up to a page of it: in one listing if it is little.

    Raises:
        ContainerNotFoundError: nothing was ever prepared for the job.
    """
    page = await storage.page_of_outputs(limit=_AT_ONCE)
    if page.after is None:
        by_kind = groupby(page.outputs, key=lambda output: str(output.kind))
        found = {kind: list(outputs) for kind, outputs in by_kind}
        whole = [await _section(storage, kind, found[kind], now, is_all=True) for kind in sorted(found, key=place_of)]
        return Sections(tuple(whole))
    kinds: list[str] = []
    async for kind in storage.list_kinds():
        kinds.append(kind)
        if len(kinds) == _MOST_KINDS:
            break
    kinds.sort(key=place_of)

    async def look(kind: str) -> Section:
        some = await storage.page_of_outputs(kind, limit=SHOWN)
        return await _section(storage, kind, list(some.outputs), now, is_all=some.after is None)

    sections = []
    for result in await for_each(kinds[:_OPENED], look):
        if isinstance(result, Exception):
            raise result
        sections.append(result)
    return Sections(tuple(sections), tuple(kinds[_OPENED:]))


async def _section(
    storage: OutputStorage, kind: str, outputs: list[OutputFileReference], now: datetime, *, is_all: bool
) -> Section:
    entries = await entries_of(storage, kind, outputs, now)
    files, size = sums(entries)
    shown = tuple(entries[:SHOWN])
    return Section(kind, shown, is_gallery(kind, shown), files if is_all else None, size if is_all else None)
