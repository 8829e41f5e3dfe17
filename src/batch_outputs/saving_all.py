"""Saving many files: quickly where nothing is in the way, and what is left of them in the ordinary way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from batch_outputs.errors import BatchOutputsError
from batch_outputs.names import OutputName
from batch_outputs.outputs import OutputFileReference
from batch_outputs.saving import Saving
from batch_outputs.sources import Source

logger: logging.Logger = logging.getLogger("batch_outputs.storage")


@dataclass(frozen=True, slots=True)
class SaveProgress:
    """One more file of a `save_all` is stored: `output`, the `files`th of `total_files`; `size` is all bytes so far."""

    output: OutputFileReference
    files: int
    total_files: int
    size: int


class SavingAll:
    """Saves `sources`, whose names in storage `named` gives; `refused` is what was asked for besides and led to none.

    `on_progress` is called as each is stored.
    """

    def __init__(
        self,
        saving: Saving,
        sources: Sequence[Source],
        refused: Sequence[BatchOutputsError],
        named: Callable[[Source], OutputName],
        on_progress: Callable[[SaveProgress], object] | None,
    ) -> None:
        self._saving = saving
        self._sources = sources
        self._left = sources
        self._named = named
        self._on_progress = on_progress
        self._failed: list[Exception] = [*refused]
        self._saved: dict[str, OutputFileReference] = {}
        self._size = 0

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return not self._left

    def at_once(self) -> None:
        """Save by calls that block, without an event loop, what can be saved so."""
        self._left = self._saving.at_once(self._left, self._named, self._note)

    async def rest(self) -> None:
        """Save what is left."""
        left = await self._saving.quickly(self._left, self._named, self._note)
        self._left = ()
        if not left:
            return
        from batch_outputs.transfer import for_each

        async def save(source: Source) -> None:
            self._note(source, await self._saving.file(self._named(source), source.path))

        self._failed += [result for result in await for_each(left, save) if result is not None]

    def saved(self) -> list[OutputFileReference]:
        """All that is saved, in the order of the sources.

        Raises:
            ExceptionGroup: some are not; one error for each.
        """
        if self._failed:
            count = len(self._failed)
            total = len(self._saved) + count
            raise ExceptionGroup(f"{count} of {total} could not be saved", self._failed)
        return [self._saved[source.name] for source in self._sources]

    def _note(self, source: Source, reference: OutputFileReference) -> None:
        self._saved[source.name] = reference
        self._size += reference.size or 0
        if self._on_progress is not None:
            progress = SaveProgress(reference, len(self._saved), len(self._sources), self._size)
            try:
                self._on_progress(progress)
            except Exception:
                logger.exception("The on_progress of save_all raised; %s is saved.", reference.blob_name)
