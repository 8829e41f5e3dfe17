"""Pages of a list: which there are before and behind, though a store only says where the next one begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_REMEMBERED = 10_000
"""Beginnings of pages that were shown."""


@dataclass(frozen=True, slots=True)
class Pager:
    """The addresses of other pages of a list (None: there is none), and what is on this one."""

    first: str | None
    previous: str | None
    following: str | None
    text: str


class Trail:
    """Remembers the way that led to a page, so that there is one back.

    It is only a convenience: what is forgotten (a new server, a page of long ago) leaves the way to the first page.
    """

    def __init__(self) -> None:
        self._steps: dict[tuple[str, str], tuple[str | None, int]] = {}

    def pager(
        self, listing: str, here: str | None, following: str | None, shown: int, address: Callable[[str | None], str]
    ) -> Pager:
        """The ways from the page that begins behind `here` (None: the first) and has `shown` items.

        `listing` tells this list from others; `address` makes the address of a page from where it begins.
        """
        previous, before = (None, 0) if here is None else self._steps.get((listing, here), (None, -1))
        if following is not None and before >= 0:
            self._steps.pop((listing, following), None)
            self._steps[listing, following] = (here, before + shown)
            if len(self._steps) > _REMEMBERED:
                del self._steps[next(iter(self._steps))]
        text = f"{before + 1:,} to {before + shown:,}" if before >= 0 and shown else ""
        return Pager(
            None if here is None else address(None),
            None if here is None or before < 0 else address(previous),
            None if following is None else address(following),
            text,
        )


def numbered(page: int, size: int, total: int, address: Callable[[int | None], str]) -> Pager:
    """The ways from page `page` (from 1) of a list that is known as a whole."""
    last = max(1, -(-total // size))
    begin = (page - 1) * size
    end = min(begin + size, total)
    return Pager(
        None if page == 1 else address(None),
        None if page == 1 else address(page - 1 if page > 2 else None),
        None if page >= last else address(page + 1),
        f"{begin + 1:,} to {end:,} of {total:,}" if begin < end else "",
    )


def page_number(text: str | None, size: int, total: int) -> int:
    """The page that an address asks for, or the nearest that there is."""
    last = max(1, -(-total // size))
    number = int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 1
    return min(max(number, 1), last)
