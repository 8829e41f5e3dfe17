"""Standard output for what is stored: byte for byte, or made harmless for a terminal."""

from __future__ import annotations

import contextlib
import select
import sys
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from batch_outputs.cli.talk import ReaderGoneError, check_output, writing_output
from batch_outputs.errors import TargetError
from batch_outputs.terminal_text import TerminalFilter

T = TypeVar("T")

_LOOK = 0.5


class Outlet:
    """Standard output, on which each piece shows at once; a context manager that leaves a terminal without colours.

    Raises:
        TargetError: it is closed.
    """

    def __init__(self) -> None:
        check_output()
        self._clean = TerminalFilter() if sys.stdout.isatty() else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(ReaderGoneError, TargetError) if error else contextlib.nullcontext():
            self.end_text()

    def write(self, data: bytes) -> None:
        """Write bytes of a text."""
        with writing_output():
            if self._clean is None:
                sys.stdout.buffer.write(data)
            else:
                sys.stdout.write(self._clean.feed(data))
            sys.stdout.flush()

    def end_text(self) -> None:
        """What is written next is of another text: no colour and no sequence goes on in it."""
        if self._clean is not None:
            with writing_output():
                sys.stdout.write(self._clean.feed(b"", last=True))
                sys.stdout.flush()
            self._clean = TerminalFilter()


async def while_somebody_reads(work: Coroutine[Any, Any, T]) -> T:
    """Do what may write nothing for hours, unless whoever reads our pipe goes, as `grep -m1` does.

    Raises:
        ReaderGoneError: nobody reads any more.
    """
    import asyncio  # not for --help

    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_reader_has_gone())
    try:
        await asyncio.wait([working, watching], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ReaderGoneError
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _reader_has_gone() -> None:
    """Return once the other end of our pipe is closed; never where a system does not tell."""
    import asyncio

    if sys.platform == "win32":
        await asyncio.Event().wait()
    else:
        ends = select.poll()
        ends.register(sys.stdout.fileno(), 0)  # of errors it tells unasked
        while not any(event & (select.POLLERR | select.POLLHUP) for _, event in ends.poll(0)):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK)
