"""A small world for tracked saves: files that change, writers that follow them, storage that is looked at.

The time is simulated, the files are real. Whatever is done, `check` reads storage and compares it with all that the
files held at any moment since the last check: what has come into a log must be what a file held there.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from batch_outputs.errors import BatchOutputsError
from batch_outputs.files import read_at
from batch_outputs.followed_log import FollowedLog, TrackingError
from batch_outputs.location import StoreLocation
from batch_outputs.log_part import LogPart
from batch_outputs.marks import LogMarks
from batch_outputs.stored import look_up
from batch_outputs.stores import open_store
from batch_outputs.stores.base import BlobProperties, Store
from support.faulty_store import FaultyStore, KilledError, Plan
from support.memory_store import MemoryAccount
from support.simulated_clock import SimulatedClock, run_now

T = TypeVar("T")
Key: TypeAlias = tuple[str | None, int]
"""A part, wherever it has been copied to: the id of its log and its number."""

NAME = "t1/$TaskLog/log.txt"
FOREIGN = b"<foreign>"
ROUNDS_TO_SETTLE = 6
TAIL = 4096
"""Rewriting is noticed at once among as many bytes before the confirmed offset, and at the end before these."""


class Ground(Protocol):
    """Where a world's blobs are, and how coroutines run there."""

    nests: bool
    """Whether one may run while another is run."""

    def open(self) -> Store:
        """A store of the world's container."""

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to the end."""

    def close(self) -> None:
        """Give back what is held."""


class MemoryGround:
    """Blobs in memory, and no event loop."""

    nests = True

    def __init__(self, *, block_limit: int = 50_000) -> None:
        self._account = MemoryAccount("job-x", block_limit=block_limit)

    def open(self) -> Store:
        """See `Ground.open`."""
        return self._account.open("job-x")

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """See `Ground.run`."""
        return run_now(coroutine)

    def close(self) -> None:
        """See `Ground.close`."""


class ServiceGround:
    """Blobs in a container of a blob service."""

    nests = False

    def __init__(self, location: StoreLocation) -> None:
        self._location = location
        self._runner = asyncio.Runner()
        self._stores: list[Store] = []

    def open(self) -> Store:
        """See `Ground.open`."""
        store = self._runner.run(self._open())
        self._stores.append(store)
        return store

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """See `Ground.run`."""
        return self._runner.run(coroutine)

    def close(self) -> None:
        """See `Ground.close`."""
        for store in self._stores:
            self._runner.run(store.aclose())
        self._runner.close()

    async def _open(self) -> Store:
        return open_store(self._location)


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A blob with its content."""

    properties: BlobProperties
    content: bytes

    @property
    def name(self) -> str:
        """Its name."""
        return self.properties.name

    @property
    def marks(self) -> LogMarks:
        """What it says of itself."""
        return LogMarks.from_metadata(self.properties.metadata)

    @property
    def key(self) -> Key:
        """Which part of which log it is."""
        return self.marks.log, self.marks.part


class Writer:
    """One attempt of a task that follows a file, as `track_file` would."""

    def __init__(self, store: Store, path: Path, clock: SimulatedClock, flush_interval: float) -> None:
        self.path = path
        self.store = FaultyStore(store)
        self.errors: list[TrackingError] = []
        self.is_busy = False
        """Whether it is in the middle of something, and something else happens between two of its requests."""
        self.attempt = secrets.token_hex(8)
        self.log = FollowedLog(
            self.store,
            str(path),
            NAME,
            LogMarks(attempt=self.attempt, node="n1", started="2026-01-01T00:00:00+00:00"),
            content_type="text/plain",
            flush_interval=flush_interval,
            on_error=self.errors.append,
            clock=clock,
        )

    @property
    def part(self) -> LogPart | None:
        """The part that is written to."""
        return self.log.chain._part

    @property
    def sent(self) -> int:
        """Up to which offset bytes of the file are stored, or may turn out to be."""
        return self.part.end + max(map(len, self.part._in_flight), default=0) if self.part else 0

    @property
    def descriptor(self) -> int | None:
        """The file that it has open."""
        return self.log.chain.file._descriptor


class World:
    """Files, writers and storage; `check` after each thing that is done."""

    def __init__(self, folder: Path, ground: Ground) -> None:
        self.path = folder / "log.txt"
        self.clock = SimulatedClock()
        self.writers: list[Writer] = []
        self.undisturbed = True
        """Whether nothing has happened but growth, faults, kills, and restarts with the same file."""
        self.disturbances = 0
        self.nests = ground.nests
        """Whether something may happen in storage between two requests of a writer."""
        self._folder = folder
        self._ground = ground
        self._store = ground.open()
        self._made = 0
        self._with_late: list[FaultyStore] = []
        self._watched: dict[Writer, int] = {}
        self._shadows: set[bytes] = set()  # what the file held before it was rewritten where nobody looks
        self._rewritten = False
        self._seen: set[bytes] = {b""}
        self._seen_late: set[bytes] = set()
        self._left: set[bytes] = {b""}
        # What a file that lost its name may read as, when it had been rewritten far behind.
        self._texts: dict[Key, bytes] = {}
        self._acknowledged: dict[Key, bytes] = {}
        self._spoilt: set[Key] = set()
        self._excused: list[LogPart] = []

    # Files

    def write(self, length: int = 40) -> None:
        """Add new lines, of which no two are alike, to the file."""
        data = self._new_lines(length)
        with self.path.open("ab") as file:
            file.write(data)
        self._shadows = {shadow + data for shadow in self._shadows}
        self._see()

    def truncate(self, size: int) -> None:
        """Make the file shorter."""
        if self.path.exists() and size < self.path.stat().st_size:
            os.truncate(self.path, size)
            self._disturbed()

    def rotate(self, *, create: bool = True) -> None:
        """Give the file another name, and make a new one."""
        if self.path.exists():
            self.path.rename(self._folder / f"log.{self._next()}")
        if create:
            self.path.touch()
        self._leave_behind()
        self._disturbed()

    def replace(self, length: int = 40) -> None:
        """Put another file in the file's place; the old one has no name any more."""
        other = self._folder / "other"
        other.write_bytes(self._new_lines(length))
        other.replace(self.path)
        self._leave_behind()
        self._disturbed()

    def rewrite(self, offset: int, length: int = 8) -> None:
        """Change bytes in the middle."""
        text = self.text
        offset = min(offset, len(text))
        end = min(len(text), offset + length)
        sent = max((writer.sent for writer in self.writers), default=0)
        with self.path.open("r+b") as file:
            file.seek(offset)
            file.write(bytes(byte ^ 0x80 for byte in text[offset:end]))
        shadows = {text, *self._shadows}
        self._disturbed()
        if end <= sent - TAIL:
            self._shadows = shadows
        self._rewritten = True
        self._see()

    @property
    def text(self) -> bytes:
        """What the file holds now."""
        return self.path.read_bytes() if self.path.exists() else b""

    # Writers

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something to its end."""
        return self._ground.run(coroutine)

    def start(self, *plans: Plan, flush_interval: float = 15) -> Writer:
        """Begin an attempt, with plans for its first requests; others may be at work."""
        writer = Writer(self._ground.open(), self.path, self.clock, flush_interval)
        writer.store.plans.extend(plans)
        self.writers.append(writer)
        self._do(writer, writer.log.begin())
        return writer

    def start_second(self, *plans: Plan) -> Writer:
        """Begin an attempt while another is alive."""
        self.undisturbed = False
        return self.start(*plans)

    def round(self, writer: Writer) -> None:
        """What the log thread does: a round if it is due."""
        if writer.log.is_due(self.clock.now()):
            self._do(writer, writer.log.round())

    def flush(self, writer: Writer) -> BatchOutputsError | None:
        """Flush, and return what it raised."""
        try:
            self._do(writer, writer.log.flush())
        except BatchOutputsError as error:
            return error
        return None

    def settle(self, writer: Writer) -> None:
        """With faults out of the way some rounds make the log what the file is."""
        writer.store.plans.clear()
        writer.store.down = False
        self.clock.advance(120)
        for _ in range(ROUNDS_TO_SETTLE):
            self.flush(writer)
            self.check()
        error = self.flush(writer)
        assert error is None, f"after {ROUNDS_TO_SETTLE} rounds without a fault: {error}"
        if not self._was_touched(writer):
            self._assert_whole(writer)

    def finish(self, writer: Writer) -> None:
        """End well: all is stored and marked, or what is missing is said."""
        is_down, text = writer.store.down, self.text
        requests = sum(writer.store.requests.values())
        if not self._do(writer, writer.log.end()):
            return
        unsaved = writer.log.unsaved()
        assert is_down or unsaved is None, f"{unsaved}"
        # What comes while it ends need not be waited for; nor can a stranger's deed be seen while the store is down.
        if unsaved is None and self.text == text and not (is_down and self._was_touched(writer)):
            self._assert_whole(writer)
            stored = self._ground.run(look_up(self._store, writer.log.chain.blob_name))
            assert is_down or stored.complete, "the end was well, and the log shows as incomplete"
        assert sum(writer.store.requests.values()) - requests < 1000, "the end asked without end"
        self._let_go(writer)

    def kill(self, writer: Writer) -> None:
        """End it without notice."""
        self._let_go(writer)

    def kill_after(self, writer: Writer) -> None:
        """Let it flush, look at what it did, and end it without notice."""
        self.flush(writer)
        self.check()
        self.kill(writer)

    def fault(self, writer: Writer, plan: Plan) -> None:
        """Plan what happens to one of its next requests."""
        writer.store.plans.append(plan)

    def deliver_late(self) -> None:
        """Let the oldest request that is on its way arrive."""
        for store in self._with_late:
            if store.late:
                self._seen |= self._seen_late
                self._ground.run(store.deliver())
                return

    # Strangers

    def blobs(self) -> list[StoredPart]:
        """All that is stored."""

        async def collect() -> list[StoredPart]:
            found = [blob async for blob in self._store.list()]
            return [
                StoredPart(blob, b"".join([piece async for piece in self._store.read(blob.name)])) for blob in found
            ]

        return self._ground.run(collect())

    def names(self) -> list[str]:
        """The names of all blobs, without their folder."""
        return [blob.name.rpartition("/")[2] for blob in self.blobs()]

    def read(self, name: str = NAME) -> bytes:
        """A log as any reader has it: its parts as one."""
        stored = self._ground.run(look_up(self._store, name))
        contents = {blob.name: blob.content for blob in self.blobs()}
        return b"".join(contents[part.name] for part in stored.parts)

    def save_file(self, name: str, content: bytes) -> None:
        """Somebody saves a file of this name."""
        self._ground.run(self._store.put(name, content))
        self.undisturbed = False

    def append_foreign(self, name: str = NAME) -> None:
        """Somebody else appends to a blob, once."""
        found = self._find(name)
        if found is None or found.key in self._spoilt:
            return
        size, etag = found.properties.size, found.properties.etag
        self._ground.run(self._store.append(name, FOREIGN, offset=size, etag=etag))
        self.undisturbed = False
        self._spoilt.add(found.key)

    def edit_metadata(self, name: str = NAME) -> None:
        """Somebody else adds something to a blob's metadata."""
        found = self._find(name)
        if found is not None:
            metadata = {**found.properties.metadata, "reviewed": "yes"}
            self._ground.run(self._store.set_metadata(name, metadata))

    def delete(self, name: str = NAME) -> None:
        """Somebody else deletes a blob."""
        found = self._find(name)
        if found is None:
            return
        self._ground.run(self._store.delete(name))
        self.undisturbed = False
        if all(blob.key != found.key for blob in self.blobs()):
            self._texts.pop(found.key, None)
            self._acknowledged.pop(found.key, None)
        chains = [writer.log.chain for writer in self.writers]
        self._excused += [part for chain in chains for part in (chain._first, chain._part) if part]

    # Looking

    def check(self) -> None:
        """Compare storage with all that may be there, and fail where it differs."""
        self._see()
        if any(store.late for store in self._with_late):
            self._seen_late |= self._seen
        blobs = [blob for blob in self.blobs() if blob.properties.blob_type == "append"]
        groups = self._check_growth(blobs)
        self._check_acknowledged(blobs)
        self._check_complete(blobs)
        self._check_left_files(groups)
        if self.undisturbed:
            strange = [blob.name for blob in blobs if blob.name != NAME and blob.marks.reason != "limit"]
            assert not strange, f"nothing but faults happened, and there are {strange}"
        self._seen = set(self._left)
        self._see()

    def _check_growth(self, blobs: list[StoredPart]) -> dict[Key, bytes]:
        """Each part only grows, by what the file held there; returns what each reads as, with what it goes on from."""
        texts = {}
        for key in {blob.key for blob in blobs}:
            copies = [blob.content for blob in blobs if blob.key == key]
            longest = max(copies, key=len)
            if key in self._spoilt:
                for content in copies:
                    _, foreign, after = content.partition(FOREIGN)
                    assert not foreign or not after.replace(FOREIGN, b""), f"{key}: we wrote behind a stranger"
            else:
                assert FOREIGN not in longest, f"{key} has a stranger's bytes"
                assert all(longest.startswith(content) for content in copies), f"{key} differs from its copy"
                before = self._texts.get(key, b"")
                assert longest.startswith(before), f"{key} was {len(before)} bytes and has lost some"
            texts[key] = longest
        marks = {blob.key: blob.marks for blob in blobs}
        groups = {key: self._group(key, texts, marks) for key in texts}
        for key, text in texts.items():
            # An empty part says nothing yet: what it goes on from was looked at when that was stored.
            if key in self._spoilt or self._texts.get(key, b"") == text:
                continue
            assert self._was_held(groups[key]), f"{key} has grown to {len(text)} bytes that no file began with"
        for log in {log for log, _ in texts}:
            begun = sum(marks[key].base == 0 for key in texts if key[0] == log)
            assert begun <= 1 + self.disturbances, f"{log} begins {begun} times"
        self._texts |= texts
        return groups

    def _group(self, key: Key, texts: dict[Key, bytes], marks: dict[Key, LogMarks]) -> bytes:
        """A part behind those that it goes on from: what the file began with."""
        log, number = key
        text = texts[key]
        while marks[log, number].base > 0 and (log, number - 1) in texts:
            number -= 1
            text = texts[log, number] + text
        return text

    def _was_held(self, text: bytes) -> bool:
        return any(seen.startswith(text) for seen in self._seen)

    def _check_acknowledged(self, blobs: list[StoredPart]) -> None:
        for writer in self.writers:
            part = writer.part
            if part is None or any(part is excused for excused in self._excused):
                continue
            whole = [
                blob
                for blob in blobs
                if blob.marks.part == part.marks.part
                and (blob.marks.attempt == writer.attempt or blob.marks.log == part.marks.log)
                and len(blob.content) >= part.size
            ]
            assert whole, f"{part.blob_name} has no {part.size} bytes, which were acknowledged"
            for blob in whole:
                known = self._acknowledged.get(blob.key, b"")
                if part.size > len(known) and blob.content.startswith(known):
                    self._acknowledged[blob.key] = blob.content[: part.size]
        for key, text in self._acknowledged.items():
            assert any(blob.key == key and blob.content.startswith(text) for blob in blobs), f"{key} is gone"

    def _check_complete(self, blobs: list[StoredPart]) -> None:
        for blob in blobs:
            marks = blob.marks
            if marks.length is not None and marks.length == len(blob.content):
                assert marks.sha256 == hashlib.sha256(blob.content).hexdigest(), f"{blob.name}: wrong checksum"
            if marks.complete:
                assert blob.key in self._spoilt or marks.length == len(blob.content), f"{blob.name}: wrong length"

    def _check_left_files(self, groups: dict[Key, bytes]) -> None:
        """A file that was left for another is whole in storage."""
        for writer in self.writers:
            if writer.descriptor is None:
                continue
            watched = self._watched.get(writer)
            if watched is not None and os.path.samestat(os.fstat(watched), os.fstat(writer.descriptor)):
                continue
            if watched is not None:
                left = _read_all(watched)
                os.close(watched)
                if not self._rewritten and not self._spoilt and not self._excused:
                    assert not left or left in groups.values(), f"a file was left with {len(left)} bytes, not all saved"
            self._watched[writer] = os.dup(writer.descriptor)

    def _was_touched(self, writer: Writer) -> bool:
        """Whether a stranger or another attempt did something that the writer need not have seen before the end."""
        chain = writer.log.chain
        parts = [part for part in (chain._first, chain._part) if part]
        spoilt = any((part.marks.log, part.marks.part) in self._spoilt for part in parts)
        present = {blob.name: blob.marks.attempt for blob in self.blobs()}
        if any(present.get(part.blob_name) != writer.attempt for part in parts):
            return True
        return spoilt or any(part is excused for part in parts for excused in self._excused)

    def _assert_whole(self, writer: Writer) -> None:
        """The log, read as any reader does, ends with all that the file holds."""
        chain = writer.log.chain
        stored = self._ground.run(look_up(self._store, chain.blob_name))
        contents = {blob.name: blob.content for blob in self.blobs()}
        joined = b"".join(contents[part.name] for part in stored.parts)
        assert len(joined) == chain.bytes_saved, "what is read as one is not what was acknowledged"
        start = max(i for i, part in enumerate(stored.parts) if not LogMarks.from_metadata(part.metadata).base)
        latest = b"".join(contents[part.name] for part in stored.parts[start:])
        held = {self.text, *self._shadows}
        if not self.path.exists() and writer in self._watched:
            held.add(_read_all(self._watched[writer]))  # a file without a name is followed all the same
        assert latest in held, f"the log has {len(latest)} bytes, the file {len(self.text)}"

    # Inside

    def _do(self, writer: Writer, coroutine: Coroutine[Any, Any, object]) -> bool:
        """Run what a writer does; False if it was killed."""
        if writer.store not in self._with_late:
            self._with_late.append(writer.store)
        writer.is_busy = True
        try:
            self._ground.run(coroutine)
        except KilledError:
            self._let_go(writer)
            return False
        finally:
            writer.is_busy = False
        return True

    def _let_go(self, writer: Writer) -> None:
        writer.log.chain.file.close()
        if (watched := self._watched.pop(writer, None)) is not None:
            os.close(watched)
        if writer in self.writers:
            self.writers.remove(writer)

    def close(self) -> None:
        """Close all files, and the ground."""
        for writer in list(self.writers):
            self._let_go(writer)
        self._ground.close()

    def _disturbed(self) -> None:
        self.undisturbed = False
        self.disturbances += 1
        self._shadows = set()
        self._see()

    def _leave_behind(self) -> None:
        self._left |= self._shadows
        self._seen |= self._shadows

    def _see(self) -> None:
        self._seen.add(self.text)
        self._seen |= self._shadows
        for writer in self.writers:
            if writer.descriptor is not None:
                self._seen.add(_read_all(writer.descriptor))

    def _find(self, name: str) -> StoredPart | None:
        return next((blob for blob in self.blobs() if blob.name == name), None)

    def _next(self) -> int:
        self._made += 1
        return self._made

    def _new_lines(self, length: int) -> bytes:
        line = f"line {self._next()} ".encode()
        return (line * (length // len(line) + 1))[: max(length, len(line)) - 1] + b"\n"


def _read_all(descriptor: int) -> bytes:
    return read_at(descriptor, os.fstat(descriptor).st_size, 0)
