"""Where the last lines of an output begin, found by reading it backwards."""

from __future__ import annotations

from batch_outputs.stored import Stored, read
from batch_outputs.stores.base import Store

_FIRST_BLOCK = 64 * 1024
_LARGEST_BLOCK = 4 * 1024 * 1024
"""Bytes that are held at most, however long a line is."""


async def last_lines(store: Store, stored: Stored, lines: int) -> int:
    """The offset at which the last `lines` lines begin; 0 if there are no more than these.

    Bytes behind the last line end are a line, too.
    """
    left = lines
    behind = stored.size
    length = _FIRST_BLOCK
    while left > 0 and behind > 0:
        begin = max(0, behind - length)
        block = b"".join([piece async for piece in read(store, stored, begin, behind - begin)])
        # The line end at the very end begins no other line.
        end = len(block) - (behind == stored.size and block.endswith(b"\n"))
        here = block.count(b"\n", 0, end)
        if here >= left:
            for _ in range(left):
                end = block.rfind(b"\n", 0, end)
            return begin + end + 1
        left -= here
        behind = begin
        length = min(2 * length, _LARGEST_BLOCK)
    return behind
