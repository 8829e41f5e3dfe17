"""What tests of growing logs write, and how they wait for what comes of it."""

from __future__ import annotations

from collections.abc import Callable

import anyio

PATIENCE = 60.0


def lines(count: int, text: str = "line") -> bytes:
    """So many numbered lines."""
    return b"".join(f"{text} {n}\n".encode() for n in range(count))


async def until(condition: Callable[[], bool]) -> None:
    """Wait, on the event loop, for something of which nothing tells."""
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await anyio.sleep(0.02)
