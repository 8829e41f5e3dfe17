"""A file that is tracked and its log in storage, compared from outside at every step.

The log is read from the service itself, not through the library and not through the fault proxy. What must hold at
every moment: the log, its parts joined, is the beginning of the file; it is never shorter than what was acknowledged;
it says that it is complete only with the right length and checksum; an earlier attempt's log is whole under some name.
"""

from __future__ import annotations

import hashlib
import http.client
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from batch_outputs import TaskOutputStorage, TrackedSave
from batch_outputs.errors import StoreError
from batch_outputs.marks import LogMarks
from batch_outputs.names import beside
from support.azurite import ACCOUNT, Azurite, Container
from support.fault_proxy import FaultProxy
from support.http1 import Request

TRIES = 60
_METADATA = "x-ms-meta-"


@dataclass(frozen=True)
class Seen:
    """A blob at one moment."""

    marks: LogMarks
    content: bytes
    metadata: dict[str, str]


class WatchedLog:
    """The file at `path`, tracked by task `t1` under its own name.

    `earlier` is what an attempt before had stored under that name. A test that truncates or replaces the file calls
    `turn_page` first.
    """

    def __init__(self, container: Container, path: Path, *, earlier: bytes | None = None) -> None:
        self.path = path
        self.name = path.name
        self.blob = blob_name(path.name)
        self.looks = 0
        self.violations: list[str] = []
        self.container = container
        self._earlier = earlier
        self._pages: list[bytes] = []
        self._tracked: TrackedSave | None = None
        self._acknowledged = 0
        self._asleep = False

    async def leave_earlier(self, task: TaskOutputStorage) -> None:
        """Have an attempt before store its log, and make an end of its file."""
        assert self._earlier is not None
        with self.asleep():
            self.path.write_bytes(self._earlier)
            async with task.save_tracked("TaskLog", self.path, self.name):
                pass
            self.path.unlink()

    @contextmanager
    def asleep(self, *, for_good: bool = False) -> Iterator[None]:
        """Nothing is looked at within the block, nor behind it if that is `for_good`.

        A look at what the last request in the block has done may come only then.
        """
        self._asleep = True
        try:
            yield
        finally:
            self._asleep = for_good

    @asynccontextmanager
    async def follow(self, task: TaskOutputStorage, **options: Any) -> AsyncIterator[TrackedSave]:
        """Track the file, and know what is acknowledged."""
        async with task.save_tracked("TaskLog", self.path, self.name, **options) as tracked:
            self._tracked = tracked
            yield tracked

    def append(self, data: bytes) -> None:
        """Write to the end of the file."""
        with self.path.open("ab") as file:
            file.write(data)

    def turn_page(self, content: bytes | None = None) -> None:
        """From here on the file may be truncated, replaced or rewritten; what it holds now (or `content`) is kept."""
        self._pages.append(self.path.read_bytes() if content is None else content)

    def acknowledge(self, size: int) -> None:
        """Take note of what another process has been told to be saved."""
        self._acknowledged = max(self._acknowledged, size)

    async def save(self, *, tries: int = TRIES) -> None:
        """Flush until it succeeds, as a program that does not wait between two tries."""
        assert self._tracked is not None
        for left in reversed(range(tries)):
            try:
                await self._tracked.flush()
            except StoreError:
                if not left:
                    raise
            else:
                return

    def look(self) -> None:
        """Hold what is stored now against the file; what does not hold is kept in `violations`."""
        if self._asleep:
            return
        try:
            self._look()
        except AssertionError as error:
            self.violations.append(str(error))
        self.looks += 1

    def stored(self) -> bytes:
        """The log in storage, its parts joined."""
        return b"".join(part.content for part in self.parts())

    def parts(self) -> list[Seen]:
        """The blobs of the log, none if there is no log."""
        first = fetch(self.container, self.blob)
        if first is None:
            return []
        parts = [first]
        # A part is marked with its length before the next is begun.
        while parts[-1].marks.length is not None and not (first.marks.complete and len(parts) >= first.marks.parts):
            following = fetch(self.container, beside(self.blob, f"part-{len(parts) + 1}"))
            if following is None or following.marks.log != first.marks.log:
                break
            parts.append(following)
        return parts

    def check(self, *, complete: bool = True) -> None:
        """At the end: nothing was ever wrong, and all of the file's last page is stored and marked."""
        self.look()
        assert self.violations == [], self.name
        parts = self.parts()
        assert parts[0].marks.complete == complete, self.name
        content = self.path.read_bytes()
        last = _generations(parts)[-1]
        assert last == content, f"{self.name}: {_difference(last, content)}"

    def _look(self) -> None:
        if self._tracked is not None and self._tracked.output.name == self.name:
            self.acknowledge(self._tracked.bytes_saved)
        acknowledged = self._acknowledged  # before the log is read, and the log before the file: all of them grow
        parts = self.parts()
        if not parts:
            assert acknowledged == 0, f"{acknowledged} bytes had been acknowledged, and there is no log"
            return
        for part in parts:
            _check_marks(part)
        if parts[0].content == self._earlier and acknowledged == 0:
            return
        self._check_earlier()
        size = sum(len(part.content) for part in parts)
        assert size >= acknowledged, f"{acknowledged} bytes had been acknowledged, and {size} are there"
        self._check_pages(_generations(parts))

    def _check_pages(self, generations: list[bytes]) -> None:
        content = self.path.read_bytes() if self.path.is_file() else b""
        pages = iter([*self._pages, content])  # in this order: a page is turned before the file changes
        for generation in generations:
            assert any(page.startswith(generation) for page in pages), (
                f"{len(generation)} bytes ({generation[:40]!r}...) that are not the beginning of the file"
            )

    def _check_earlier(self) -> None:
        if self._earlier is None:
            return
        kept = fetch(self.container, beside(self.blob, "attempt-1"))
        assert kept is not None, "the plain name was taken over before the earlier log was kept"
        assert kept.content == self._earlier, "the earlier attempt's log is not whole"


def watch(proxy: FaultProxy, logs: Iterable[WatchedLog]) -> None:
    """Look at a log whenever a request for one of its blobs has come through the proxy."""
    by_stem = {os.path.splitext(log.blob)[0]: log for log in logs}

    def look(request: Request) -> None:
        for stem, log in by_stem.items():
            if request.blob.startswith(f"{stem}."):
                log.look()

    proxy.after_each = look


def blob_name(name: str) -> str:
    """The blob of the log of this name."""
    return f"t1/$TaskLog/{name}"


def fetch(container: Container, blob: str) -> Seen | None:
    """A blob with its metadata in one piece, or None."""
    azurite: Azurite = container.azurite
    connection = http.client.HTTPConnection("127.0.0.1", azurite.port, timeout=60)
    try:
        target = quote(f"/{ACCOUNT}/{container.name}/{blob}")
        connection.request("GET", f"{target}?{azurite.reading_sas}", headers={"x-ms-version": "2022-11-02"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status == 404:
            return None
        assert answer.status == 200, (answer.status, blob)
        metadata = {
            name.lower().removeprefix(_METADATA): value
            for name, value in answer.getheaders()
            if name.lower().startswith(_METADATA)
        }
        return Seen(LogMarks.from_metadata(metadata), content, metadata)
    finally:
        connection.close()


def names(container: Container) -> list[str]:
    """The names of all logs that are stored, parts and attempts too."""
    prefix = blob_name("")
    return [name.removeprefix(prefix) for name in container.client.list_blob_names(name_starts_with=prefix)]


def _check_marks(part: Seen) -> None:
    if part.marks.length is None:
        assert not part.marks.complete
        return
    assert part.marks.length == len(part.content), (
        f"the mark says {part.marks.length} bytes, and there are {len(part.content)}"
    )
    assert part.marks.sha256 == hashlib.sha256(part.content).hexdigest(), "the mark's checksum is wrong"


def _generations(parts: list[Seen]) -> list[bytes]:
    """What is stored of each page of the file: a part with base 0 begins a new one."""
    generations: list[bytes] = []
    for part in parts:
        if part.marks.base == 0:
            generations.append(b"")
        assert part.marks.base == len(generations[-1]), "a part does not begin where the one before it ends"
        generations[-1] += part.content
    return generations


def _difference(stored: bytes, content: bytes) -> str:
    same = next(
        (at for at, (one, other) in enumerate(zip(stored, content, strict=False)) if one != other),
        min(len(stored), len(content)),
    )
    return f"{len(stored)} bytes are stored, the file has {len(content)}; they differ from byte {same} on"
