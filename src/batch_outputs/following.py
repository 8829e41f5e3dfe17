"""Following a log that grows: its bytes as they come, across its parts, until its end is marked.

Whatever is given out is of one log. A range is read on condition of the ETag that was seen with the log's marks; where
appends come too fast for that, it is held back until another look has shown that the log is still the same.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from enum import Enum, auto
from typing import TypeVar

import anyio

from batch_outputs.errors import BlobChangedError, BlobNotFoundError, StoreUnavailableError
from batch_outputs.log_parts import find_part, part_name
from batch_outputs.marks import LogMarks
from batch_outputs.stored import Stored
from batch_outputs.stores.base import BlobProperties, Store

logger: logging.Logger = logging.getLogger("batch_outputs.following")

T = TypeVar("T")

_AT_ONCE = 4 * 1024 * 1024
"""Bytes that are held back at most until another look at the log."""
_QUIET_LOOKS = 20
"""After so many looks in vain, the whole log is looked at and not only its last part; its marks may have been lost."""

_PATIENCE = 5.0
_MOST_PATIENCE = 60.0
"""Seconds that a request may take. The store would repeat it for longer than a reader should wait for a word."""
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 15.0


class _Next(Enum):
    """What is to be done when all that was seen has been given out."""

    READ = auto()
    WAIT = auto()
    END = auto()


class Following:
    """One log, followed from `offset` on; `known` is what it must still be, if the offset was found in that.

    `patience` is how many seconds the first request of an outage may take before it is one.
    """

    def __init__(
        self,
        store: Store,
        blob_name: str,
        offset: int,
        *,
        interval: float,
        known: Stored | None = None,
        on_outage: Callable[[StoreUnavailableError], object] | None = None,
        on_recovery: Callable[[], object] | None = None,
        patience: float = _PATIENCE,
    ) -> None:
        self._store = store
        self._name = blob_name
        self._interval = interval
        self._known = known
        self._line = _Line(store, on_outage, on_recovery, patience)
        self._parts: list[BlobProperties] = []
        # As last seen; the one in hand is the last of them.
        self._at = offset
        # In the part in hand. May lie behind its end, where the offset asked for does.
        self._quiet = 0

    @property
    def stored(self) -> Stored | None:
        """What has been seen of the log so far: the parts that have been reached."""
        return Stored(tuple(self._parts)) if self._parts else None

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The bytes as they come, in pieces of at most 4 MiB; see `OutputFileReference.follow`."""
        await self._begin()
        while True:
            async with aclosing(self._unread()) as unread:
                async for piece in unread:
                    yield piece
            match await self._what_next():
                case _Next.END:
                    return
                case _Next.WAIT:
                    await anyio.sleep(self._interval)
                    await self._look()

    async def _begin(self) -> None:
        found = await self._properties(self._name)
        if self._known is not None:
            self._check(self._known.first, found)
        self._parts = [found]

    async def _unread(self) -> AsyncGenerator[bytes]:
        """What was seen of the part in hand and not given out yet."""
        while self._at < (part := self._parts[-1]).size:
            try:
                pieces = self._store.read(part.name, offset=self._at, length=part.size - self._at, etag=part.etag)
                async with aclosing(self._line.pieces(pieces)) as answered:
                    async for piece in answered:
                        self._at += len(piece)
                        yield piece
            except BlobChangedError:
                if not _is_log(part):
                    raise
                if data := await self._read_while_it_changes(part):
                    self._at += len(data)
                    yield data
            except BlobNotFoundError:
                await self._look()  # says what has become of it

    async def _read_while_it_changes(self, part: BlobProperties) -> bytes:
        data = b""
        pieces = self._store.read(part.name, offset=self._at, length=min(part.size - self._at, _AT_ONCE))
        with suppress(BlobChangedError, BlobNotFoundError):
            data = b"".join([piece async for piece in self._line.pieces(pieces)])
        await self._look()
        return data

    async def _what_next(self) -> _Next:
        """With all given out that was seen of the part in hand."""
        part = self._parts[-1]
        marks = LogMarks.from_metadata(part.metadata)
        number = len(self._parts)
        if not self._has_parts or (number == 1 and self._last == 1):
            return _Next.END if Stored((part,)).complete else _Next.WAIT
        last = self._last
        may_be_finished = last is not None or marks.length == part.size
        if not (may_be_finished or self._is_in_other_hands or self._quiet >= _QUIET_LOOKS):
            self._quiet += 1
            return _Next.WAIT
        self._quiet = 0
        if last is None or number < last:
            following = await self._find_part(number + 1)
            if following is not None:
                await self._go_on_with(following)
                return _Next.READ
            await self._look(0)
            if last is not None and self._last == last:
                raise self._missing(part_name(self._name, number + 1))
        last = self._last
        if last is None:
            return _Next.WAIT
        await self._look()  # what came to this part last came before the end was marked
        return _Next.END if last <= number and self._all_is_read else _Next.READ

    async def _go_on_with(self, following: BlobProperties) -> None:
        await self._look()  # what came to this part last came before the next was begun
        if self._all_is_read:
            self._at -= self._parts[-1].size
            self._parts.append(following)

    async def _find_part(self, number: int) -> BlobProperties | None:
        return await find_part(self._properties, self._name, number, self._first_marks.log)

    async def _properties(self, name: str) -> BlobProperties:
        return await self._line.ask(lambda: self._store.properties(name))

    async def _look(self, index: int = -1) -> None:
        """See how a part is now: the one in hand, or another.

        Raises:
            BlobNotFoundError: it was deleted.
            BlobChangedError: it is of another log by now.
        """
        seen = self._parts[index]
        try:
            now = await self._properties(seen.name)
        except BlobNotFoundError as error:
            if seen is not self._parts[0]:
                await self._look(0)  # another attempt may have begun the log anew
            raise self._missing(seen.name) from error
        self._check(seen, now)
        if now.size > seen.size:
            self._quiet = 0
        self._parts[index] = now

    def _check(self, seen: BlobProperties, now: BlobProperties) -> None:
        where = f"{now.name} in {self._store.location.place}"
        if _identity(seen) != _identity(now):
            what = "is another log by now, begun anew" if _is_log(seen) and _is_log(now) else "was replaced"
        elif now.size < seen.size:
            what = "became shorter, so it was begun anew"
        else:
            return
        raise BlobChangedError(
            f"{where} {what} since it was read; read it from the beginning.",
            place=self._store.location.place,
            blob=now.name,
        )

    def _missing(self, name: str) -> BlobNotFoundError:
        place = self._store.location.place
        return BlobNotFoundError(
            f"{name} in {place} is gone: it was deleted before all of the log was read.", place=place, blob=name
        )

    @property
    def _first_marks(self) -> LogMarks:
        return LogMarks.from_metadata(self._parts[0].metadata)

    @property
    def _has_parts(self) -> bool:
        """Whether it is the whole of a log of ours, which may go on in parts."""
        return _is_log(self._parts[0]) and self._first_marks.log is not None and self._first_marks.part == 1

    @property
    def _last(self) -> int | None:
        """How many parts the log has, once its end is marked."""
        return self._first_marks.parts if Stored((self._parts[0],)).complete else None

    @property
    def _is_in_other_hands(self) -> bool:
        """Whether a later attempt has taken the last part from its writer, and perhaps begun another log by now."""
        return LogMarks.from_metadata(self._parts[-1].metadata).attempt != self._first_marks.attempt

    @property
    def _all_is_read(self) -> bool:
        return self._at >= self._parts[-1].size


class _Line:
    """Requests that are made again until they are answered; an outage is told once, and its end."""

    def __init__(
        self,
        store: Store,
        on_outage: Callable[[StoreUnavailableError], object] | None,
        on_recovery: Callable[[], object] | None,
        patience: float,
    ) -> None:
        self._place = store.location.place
        self._on_outage = on_outage or _log_outage
        self._on_recovery = on_recovery
        self._is_out = False
        self._first_patience = self._patience = patience
        self._pause = _FIRST_PAUSE

    async def ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """What a request is answered with, however long that takes."""
        while True:
            try:
                return await self._answer(request())
            except StoreUnavailableError as error:
                await self._ride_out(error)

    async def pieces(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """Pieces until there is an end of them, or an outage; after that the rest is to be asked for anew."""
        try:
            while (piece := await self._answer(anext(pieces, None))) is not None:
                yield piece
        except StoreUnavailableError as error:
            await self._ride_out(error)
        finally:
            if (aclose := getattr(pieces, "aclose", None)) is not None:
                await aclose()

    async def _answer(self, request: Awaitable[T]) -> T:
        try:
            with anyio.fail_after(self._patience):
                answer = await request
        except TimeoutError:
            raise StoreUnavailableError(
                f"{self._place} has given no usable answer for {self._patience:g} s; check the network.",
                place=self._place,
            ) from None
        self._patience, self._pause = self._first_patience, _FIRST_PAUSE
        if self._is_out:
            self._is_out = False
            if self._on_recovery is not None:
                self._on_recovery()
        return answer

    async def _ride_out(self, error: StoreUnavailableError) -> None:
        if not self._is_out:
            self._is_out = True
            self._on_outage(error)
        spread = random.uniform(0.7, 1.0)  # noqa: S311 - spreads load, guards nothing
        await anyio.sleep(max(self._pause * spread, error.retry_after or 0.0))
        # A service that is slow and no more is given the time that it needs, in the end.
        self._patience = min(self._patience * 2, _MOST_PATIENCE)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)


def _log_outage(error: StoreUnavailableError) -> None:
    logger.warning("%s A log that is followed goes on as soon as it can be read.", error)


def _is_log(blob: BlobProperties) -> bool:
    return blob.blob_type == "append"


def _identity(blob: BlobProperties) -> tuple[object, ...]:
    """What tells a blob from another of its name, and stays the same while it grows and is marked."""
    if not _is_log(blob):
        return (blob.etag,)
    marks = LogMarks.from_metadata(blob.metadata)
    return ("log", marks.log or marks.attempt, marks.part)
