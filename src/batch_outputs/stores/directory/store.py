"""The asynchronous face: hands the blocking work to worker threads, or, on a loop of its own, does it inline."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from itertools import islice
from typing import ParamSpec, TypeVar

from anyio import to_thread

from batch_outputs import files
from batch_outputs.location import DirectoryAccount, StoreLocation
from batch_outputs.stop import Stop
from batch_outputs.stores.base import (
    BlobPrefix,
    BlobProperties,
    BlockingCalls,
    ContainerProperties,
    Page,
    Readable,
    Store,
    Written,
)
from batch_outputs.stores.directory.account import (
    container_folder,
    create_container,
    delete_container,
    list_containers,
)
from batch_outputs.stores.directory.container import Container, Writing
from batch_outputs.stores.directory.records import Draft

_T = TypeVar("_T")
_P = ParamSpec("_P")

_PAGE = 256  # entries of a list taken at once
_QUICK = 64 * 1024 * 1024  # bytes; the writing of more is to be broken off when nobody needs it any more
_PIECES = 2  # pieces of a blob read at once: a small one is known to be over without a second look


class DirectoryStore:
    """A container that is a folder; see `batch_outputs.stores.base.Store`.

    With `own_thread` all work is done inline. `case_blind` says whether the disk takes names that differ only in case
    for one, as macOS and Windows mostly do; None finds out.

    Raises:
        InvalidNameError: the container's name cannot be that of a folder.
        TypeError: the location is not one of a folder.
    """

    def __init__(self, location: StoreLocation, *, own_thread: bool = False, case_blind: bool | None = None) -> None:
        if not isinstance(location.account, DirectoryAccount):
            raise TypeError(f"{location.place} is not a folder")
        folder = container_folder(os.path.abspath(location.account.root), location.container)
        self._location = location
        self._container = Container(location, folder, case_blind=case_blind)
        self._own_thread = own_thread

    def __repr__(self) -> str:
        return f"DirectoryStore({self._location.place!r})"

    @property
    def location(self) -> StoreLocation:
        """Where this store is."""
        return self._location

    async def put(
        self,
        name: str,
        content: bytes | Readable,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Written:
        """Store a whole block blob; `content` is read in a worker thread."""
        return await self._finish(self._container.put(name, content, Draft(content_type, metadata or {})))

    def calls_at_hand(self) -> BlockingCalls:
        """As `blocking_calls`: there is nothing to wait for."""
        return DirectoryCalls(self._container)

    @contextmanager
    def blocking_lists(self) -> Iterator[None]:
        """A block in which all work is done inline."""
        before, self._own_thread = self._own_thread, True
        try:
            yield
        finally:
            self._own_thread = before

    def close_calls(self) -> None:
        """There is nothing to close."""

    async def blocking_calls(self) -> BlockingCalls | None:
        """The work itself, without the way to a worker thread and back for each step."""
        return self.calls_at_hand()

    async def create_append(
        self,
        name: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        replaces: str | None = None,
    ) -> Written:
        """Create an empty append blob, only if absent or, with `replaces`, only over the blob of that ETag."""
        draft = Draft(content_type, metadata or {})
        return await self._finish(self._container.create_append(name, draft, replaces=replaces))

    async def append(self, name: str, data: bytes, *, offset: int, etag: str) -> Written:
        """Append `data` if the blob has exactly `offset` bytes and this ETag.

        Raises:
            ValueError: `data` is empty or has more than 4 MiB.
        """
        return await self._run(self._container.append, name, data, offset=offset, etag=etag)

    async def properties(self, name: str) -> BlobProperties:
        """What is known of a blob."""
        return await self._run(self._container.properties, name)

    def read(
        self, name: str, *, offset: int = 0, length: int | None = None, etag: str | None = None
    ) -> AsyncIterator[bytes]:
        """The blob's bytes, in pieces of at most 4 MiB."""
        return self._stream(self._container.read(name, offset=offset, length=length, etag=etag), _PIECES)

    def list(self, prefix: str = "") -> AsyncIterator[BlobProperties]:
        """All blobs whose name begins with `prefix`, by name."""
        return self._stream(self._container.list(prefix), _PAGE)

    def list_level(self, prefix: str = "") -> AsyncIterator[BlobProperties | BlobPrefix]:
        """One level of names."""
        return self._stream(self._container.list_level(prefix), _PAGE)

    async def list_page(
        self, prefix: str = "", *, one_level: bool = False, after: str | None = None, limit: int = 5000
    ) -> Page:
        """Some entries of a listing; `after` is the name of the last one given."""
        items: Generator[BlobProperties | BlobPrefix]
        lister = self._container.list_level if one_level else self._container.list
        items = lister(prefix, after or "")
        entries = await self._run(_take, items, limit + 1)
        items.close()
        more = len(entries) > limit
        return Page(entries[:limit], entries[limit - 1].name if more else None)

    async def set_metadata(self, name: str, metadata: Mapping[str, str], *, etag: str | None = None) -> Written:
        """Replace a blob's metadata."""
        return await self._run(self._container.set_metadata, name, metadata, etag=etag)

    async def copy(self, source: str, target: str, *, etag: str | None = None) -> Written:
        """Copy a blob to a name where nothing is."""
        return await self._finish(self._container.copy(source, target, etag=etag))

    async def delete(self, name: str, *, etag: str | None = None) -> None:
        """Delete a blob, and the folders that become empty by that."""
        await self._run(self._container.delete, name, etag=etag)

    async def aclose(self) -> None:
        """Nothing is held between calls, so there is nothing to give back."""

    async def _run(self, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        if self._own_thread:
            return work(*args, **kwargs)
        return await to_thread.run_sync(partial(work, *args, **kwargs))

    async def _finish(self, steps: Writing) -> Written:
        try:
            while (written := await self._run(next, steps)) is None:
                pass
            return written
        finally:
            steps.close()  # when it was cancelled between two steps, what it has written is removed

    async def _stream(self, items: Generator[_T], at_once: int) -> AsyncIterator[_T]:
        try:
            while True:
                batch = await self._run(_take, items, at_once)
                for item in batch:
                    yield item
                if len(batch) < at_once:
                    return
        finally:
            items.close()


class DirectoryCalls:
    """Calls for worker threads; see `batch_outputs.stores.base.BlockingCalls`."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def put(
        self,
        name: str,
        content: Readable,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        stop: Stop | None = None,
    ) -> Written | None:
        """Store a whole block blob of at most 64 MiB."""
        if content.size > _QUICK:
            return None
        with closing(self._container.put(name, content, Draft(content_type, metadata or {}))) as steps:
            return next((written for written in steps if written is not None), None)

    def begin_put(
        self,
        name: str,
        content: Readable,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        stop: Stop | None = None,
    ) -> Callable[[], Written | None]:
        """All of it in the second step: a disk is not waited for in between."""
        return partial(self.put, name, content, content_type=content_type, metadata=metadata, stop=stop)

    def read(self, name: str, *, offset: int, size: int, etag: str, stop: Stop | None = None) -> Generator[bytes]:
        """The bytes from `offset` to `size`."""
        return self._container.read(name, offset=offset, length=size - offset, etag=etag)

    def begin_read(self, name: str, *, size: int, etag: str, stop: Stop) -> Generator[bytes]:
        """As `read`."""
        return self.read(name, offset=0, size=size, etag=etag, stop=stop)

    def pour(
        self,
        name: str,
        file: int,
        *,
        offset: int,
        size: int,
        etag: str,
        stop: Stop,
        moved: Callable[[int], object],
        whole: Callable[[int], object],
    ) -> None:
        """The bytes from `offset` to `size` into an open file, one behind the other."""
        with closing(self.read(name, offset=offset, size=size, etag=etag, stop=stop)) as pieces:
            for piece in pieces:
                offset += files.write_at(file, piece, offset)
                whole(offset)
                moved(offset)
                if stop.is_set():
                    return

    def begin_pour(self, name: str, *, size: int, etag: str, stop: Stop) -> Callable[[int], bool]:
        """All of it in what is returned."""

        def finish(file: int) -> bool:
            came = 0

            def take(size: int) -> None:
                nonlocal came
                came = size

            self.pour(name, file, offset=0, size=size, etag=etag, stop=stop, moved=take, whole=take)
            return came == size

        return finish


class DirectoryStoreAccount:
    """A folder whose subfolders are containers; see `batch_outputs.stores.base.StoreAccount`."""

    def __init__(self, account: DirectoryAccount) -> None:
        self._account = account
        self._root = os.path.abspath(account.root)

    def __repr__(self) -> str:
        return f"DirectoryStoreAccount({str(self._account.root)!r})"

    @property
    def account(self) -> DirectoryAccount:
        """Where this account is."""
        return self._account

    async def list_containers(self, prefix: str = "") -> AsyncIterator[ContainerProperties]:
        """All containers whose name begins with `prefix`, by name; none if the folder does not exist yet."""
        items = list_containers(self._root, prefix)
        while batch := await to_thread.run_sync(_take, items, _PAGE):
            for item in batch:
                yield item

    async def create_container(self, name: str, *, metadata: Mapping[str, str] | None = None) -> bool:
        """Create a container, and the folder they are all in; False if it was there already.

        Raises:
            InvalidNameError: the name cannot be that of a folder.
            StoreError: a link or a file has that name, or the folder cannot be made.
        """
        return await to_thread.run_sync(create_container, self._root, name, metadata or {})

    async def delete_container(self, name: str) -> bool:
        """Delete a container with all that is in it; False if there was none.

        Raises:
            InvalidNameError: the name cannot be that of a folder.
            StoreError: a link or a file has that name, or the folder cannot be removed.
        """
        return await to_thread.run_sync(delete_container, self._root, name)

    async def signed_url(self, name: str, *, permissions: str, expires: datetime) -> str:
        """A container's folder as a `file:` URL; the system says who may use it.

        Raises:
            InvalidNameError: the name cannot be that of a folder.
        """
        container_folder(self._root, name)
        return self._account.container_url(name)

    def open(self, container: str) -> Store:
        """The store of one container."""
        return DirectoryStore(StoreLocation(self._account, container))

    async def aclose(self) -> None:
        """Nothing is held between calls, so there is nothing to give back."""


def _take(items: Generator[_T], at_once: int) -> tuple[_T, ...]:
    return tuple(islice(items, at_once))
