"""A log that grows as server-sent events, which a browser asks for again by itself where they have broken off.

text        {"text": …, "offset": …, "log": …}: what came, how far that goes in bytes, and which log it is of
complete    {"exit_code": …}: the log has ended; null where no program's end has ended it
begun-anew  another attempt has begun the log anew; what follows is of that, from its beginning
outage      {"sentence": …}: the storage does not answer; it goes on as soon as it does, with or without text
recovery    the storage answers again
gone        the log was deleted
refused     {"sentence": …}: the storage refuses to show more of it
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

import anyio

from batch_outputs.browse.iterating import closing
from batch_outputs.browse.log_marks import log_id, marks_of
from batch_outputs.errors import (
    BlobChangedError,
    BlobNotFoundError,
    ContainerNotFoundError,
    StoreError,
    StoreUnavailableError,
)
from batch_outputs.outputs import OutputFileReference
from batch_outputs.terminal_text import TerminalFilter

BEGINNING = "retry: 2000\n\n"
"""Milliseconds until a browser asks again."""

_MOST_AT_ONCE = 64 * 1024
"""Bytes of the log."""
_SILENCE = 15.0
"""Seconds after which a word shows that the connection is still there."""
_PAUSE = 2.0
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Point:
    """Where to go on: a byte offset, and in which log, as far as that is known."""

    offset: int = 0
    log: str = ""

    def __str__(self) -> str:
        """As an event's id."""
        return f"{self.offset}.{self.log}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read an event's id; None if it is none."""
        found = re.fullmatch(r"([0-9]{1,18})(?:\.([0-9a-f]{0,16}))?", text, re.ASCII)
        return None if found is None else cls(int(found[1]), found[2] or "")


class LogEvents:
    """The events of one log, from a point on."""

    def __init__(self, output: OutputFileReference, begin: Point, send: Callable[[str], Awaitable[None]]) -> None:
        self._output = output
        self._point = begin
        self._send = send
        self._sending = anyio.Lock()
        self._news: list[str] = []
        self._woken = anyio.Event()

    async def tell(self) -> None:
        """Send events until the log is complete, gone, or not to be read any more."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._tell_news)
            while not await self._follow():
                self._point = Point()
                await self._tell("begun-anew", {}, self._point)
            group.cancel_scope.cancel()

    async def _follow(self) -> bool:
        """Whether it was followed to its end, and not begun anew."""
        try:
            if self._point.offset and not await self._is_same():
                return False
            text = _Text(self._point.offset)
            pieces = self._output.follow(
                self._point.offset, on_outage=self._outage, on_recovery=lambda: self._soon("recovery", {})
            )
            async with closing(pieces):
                async for piece in pieces:
                    for begin in range(0, len(piece), _MOST_AT_ONCE):
                        await self._tell_text(text.feed(piece[begin : begin + _MOST_AT_ONCE]), text.offset)
            await self._tell_text(text.feed(b"", last=True), text.offset)
            await self._tell("complete", {"exit_code": marks_of(self._output).exit_code})
        except BlobChangedError:
            return False
        except (BlobNotFoundError, ContainerNotFoundError):
            await self._tell("gone", {})
        except StoreUnavailableError as error:
            await self._tell("outage", {"sentence": str(error)})
        except StoreError as error:
            await self._tell("refused", {"sentence": str(error)})
        return True

    async def _is_same(self) -> bool:
        """Whether the log is still the one that the point is in; also, the reference knows which one that is."""
        is_out = False
        while True:
            try:
                with anyio.fail_after(_PATIENCE):
                    await self._output.refresh()
                break
            except (StoreUnavailableError, TimeoutError) as error:
                if not is_out:
                    await self._tell("outage", {"sentence": str(error) or "The storage does not answer."})
                is_out = True
            await anyio.sleep(_PAUSE)
        if is_out:
            await self._tell("recovery", {})
        return self._point.log in {"", log_id(self._output)} and self._point.offset <= (self._output.size or 0)

    async def _tell_text(self, text: str, offset: int) -> None:
        if offset != self._point.offset:
            self._point = Point(offset, log_id(self._output))
            await self._tell("text", {"text": text, "offset": offset, "log": self._point.log}, self._point)

    async def _tell(self, name: str, data: dict[str, object], point: Point | None = None) -> None:
        await self._write(_event(name, data, point))

    async def _write(self, text: str) -> None:
        async with self._sending:
            await self._send(text)

    def _outage(self, error: StoreUnavailableError) -> None:
        self._soon("outage", {"sentence": str(error)})

    def _soon(self, name: str, data: dict[str, object]) -> None:
        self._news.append(_event(name, data))
        self._woken.set()

    async def _tell_news(self) -> None:
        while True:
            with anyio.move_on_after(_SILENCE):
                await self._woken.wait()
            self._woken = anyio.Event()
            news = "".join(self._news) or ": still here\n\n"
            self._news.clear()
            await self._write(news)


class _Text:
    """Bytes made text for a page; `offset` is how far that goes, at the beginning of a character."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self._is_inside = offset > 0
        self._at = offset
        self._clean = TerminalFilter(colours=False)
        self._held = ""

    def feed(self, data: bytes, *, last: bool = False) -> str:
        """The text up to `offset`: all that came, unless it ends within a character or a control code."""
        if self._is_inside and data:
            self._is_inside = False
            while data and data[0] & 0xC0 == 0x80:  # the rest of a character that somebody has cut
                data = data[1:]
                self._at += 1
        text = self._held
        ready = 0
        line_end = data.rfind(b"\n") + 1  # whatever was begun ends there at the latest
        for part in (data[:line_end], data[line_end:]):
            text += self._clean.feed(part)
            self._at += len(part)
            if self._clean.is_at_rest:
                self.offset, ready = self._at, len(text)
        if last:
            text += self._clean.feed(b"", last=True)
            self.offset, ready = self._at, len(text)
        self._held = text[ready:]
        return text[:ready]


def _event(name: str, data: dict[str, object], point: Point | None = None) -> str:
    id_ = "" if point is None else f"id: {point}\n"
    return f"event: {name}\n{id_}data: {json.dumps(data, ensure_ascii=False)}\n\n"
