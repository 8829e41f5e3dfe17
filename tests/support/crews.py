"""Works for crews."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from batch_outputs.crew import Work

T = TypeVar("T")
R = TypeVar("R")


def in_one(work: Callable[[T], R | None]) -> Work[T, R]:
    """A work that waits for nothing in between."""

    def steps(item: T) -> Generator[int, None, R | None]:
        yield from ()
        return work(item)

    return steps
