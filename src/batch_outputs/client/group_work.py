"""Many files of a group at once: what was done, what is told on the way, and when it is of no use to go on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from batch_outputs.errors import AccessDeniedError, ContainerNotFoundError

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("batch_outputs.client")


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """One more file of a group is done: `name`, the `files`th of `total_files`.

    `total_files` is None while more are being listed. `unchanged`: it was there already and was left alone. `size` is
    all bytes moved so far.
    """

    name: str
    files: int
    total_files: int | None
    unchanged: bool
    size: int


OnProgress: TypeAlias = Callable[[GroupProgress], object]


@dataclass(frozen=True, slots=True)
class GroupTransfer:
    """What an upload or download has done.

    `moved` are the names of the files uploaded or downloaded, `unchanged` of those that were there already; both in
    order. `size` is the bytes of what was moved.
    """

    moved: tuple[str, ...]
    unchanged: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True)
class GroupDeletion:
    """What a deletion has done: how many files are gone, and their bytes."""

    files: int
    size: int


class Work:
    """Counts what is done, and tells it; collects what failed."""

    def __init__(self, on_progress: OnProgress | None = None, total: int | None = None) -> None:
        self.total = total
        self.size: int = 0
        self._moved: list[str] = []
        self._unchanged: list[str] = []
        self._on_progress = on_progress
        self._hopeless: Exception | None = None

    def guarded(self, action: Callable[[T], Awaitable[None]]) -> Callable[[T], Awaitable[None]]:
        """The action, which is not begun any more once it is certain that all further ones would fail alike."""

        async def guarded(item: T) -> None:
            if self._hopeless is not None:
                return
            try:
                await action(item)
            except (AccessDeniedError, ContainerNotFoundError) as error:
                if self._hopeless is None:
                    self._hopeless = error
                    raise

        return guarded

    def done(self, name: str, size: int, *, unchanged: bool = False) -> None:
        """One more is done."""
        (self._unchanged if unchanged else self._moved).append(name)
        self.size += 0 if unchanged else size
        if self._on_progress is None:
            return
        files = len(self._moved) + len(self._unchanged)
        try:
            self._on_progress(GroupProgress(name, files, self.total, unchanged, self.size))
        except Exception:
            logger.exception("The on_progress raised; %s is done.", name)

    @property
    def files(self) -> int:
        """How many were moved."""
        return len(self._moved)

    @property
    def transfer(self) -> GroupTransfer:
        """What has been done."""
        return GroupTransfer(tuple(sorted(self._moved)), tuple(sorted(self._unchanged)), self.size)
