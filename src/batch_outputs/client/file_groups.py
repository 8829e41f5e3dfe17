"""File groups: containers of files that tasks read, under the names that Batch's job templates give them."""

from __future__ import annotations

import logging
import os
import posixpath
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from batch_outputs.client.group_uploads import Upload, find_uploads, modified_of
from batch_outputs.client.group_work import (
    GroupDeletion,
    GroupTransfer,
    OnProgress,
    Work,
)
from batch_outputs.errors import BlobNotFoundError, ConfigurationError, ContainerNotFoundError
from batch_outputs.fetching import fetch_blob
from batch_outputs.location import StoreLocation
from batch_outputs.names import GROUP_PREFIX, file_group_container_name
from batch_outputs.patterns import Pattern
from batch_outputs.placing import Placing
from batch_outputs.selection import Wanted
from batch_outputs.settings import ACCOUNT_URL, Target, account_target, connection_string_target, find_target
from batch_outputs.stored import Stored
from batch_outputs.stores import open_account, open_store
from batch_outputs.stores.base import BlobProperties, Store
from batch_outputs.target_guard import refuse_links
from batch_outputs.transfer import for_each, for_each_listed

GROUP_KEY = "batch_outputs_file_group"
"""Metadata of a container that says whose it is: a hashed name cannot be turned back."""

_LISTED_AHEAD = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

logger: logging.Logger = logging.getLogger("batch_outputs.storage")


@dataclass(frozen=True, slots=True)
class GroupFile:
    """A file of a group.

    `name` is relative to the group, with `/`; `size` is in bytes; `last_modified` is when it was stored.
    `source_modified` is when the file that was uploaded was last changed; None where nobody kept that. Times
    are in UTC.
    """

    name: str
    size: int
    last_modified: datetime
    content_type: str | None
    source_modified: datetime | None


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A file group that there is: what to call it, its container, and when that was made or last changed (in UTC)."""

    group: str
    container: str
    last_modified: datetime | None


class FileGroup:
    """The files of one group. Use one of the `from_…` constructors, in an `async with` block.

    A group needs access to a storage account; with that to one container, only the group whose container it is.

    Raises:
        InvalidNameError: the group's name cannot be one; see `file_group_container_name`.
        ConfigurationError: there is access to another container only.
    """

    def __init__(self, target: Target, group: str) -> None:
        self._group = group
        self._container = file_group_container_name(group)
        if target.container not in {None, self.container}:
            raise ConfigurationError(
                f"The file group {group} is in the container {self.container}, but there is access to {target.place} "
                f"only; configure the account instead, as by --account-url or {ACCOUNT_URL}.",
                variable=ACCOUNT_URL,
            )
        self._target = target
        self._location = StoreLocation(target.account, self.container)
        self._open: Store | None = None

    @classmethod
    def at(cls, target: Target, group: str) -> Self:
        """A group in the account of a target that was found before."""
        return cls(target, group)

    @classmethod
    def from_env(
        cls, group: str, environ: Mapping[str, str] | None = None, *, credential: object | None = None
    ) -> Self:
        """A group in the account that the environment names; see `TaskOutputStorage.from_env`.

        Raises:
            ConfigurationError: on a node with nothing configured, or something malformed. Nothing was requested.
        """
        return cls(find_target(environ, credential=credential), group)

    @classmethod
    def from_account_url(cls, url: str, group: str, *, credential: object | None = None) -> Self:
        """A group in the account of this URL (`https://…[?SAS]` or `file:///…`).

        Raises:
            ConfigurationError: the URL is malformed.
        """
        return cls(account_target(url, credential=credential), group)

    @classmethod
    def from_connection_string(cls, conn_str: str, group: str) -> Self:
        """A group in the account of a connection string.

        Raises:
            ConfigurationError: the connection string is malformed.
        """
        return cls(connection_string_target(conn_str), group)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give back connections."""
        if self._open is not None:
            store, self._open = self._open, None
            await store.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.group!r} in {self.place!r})"

    @property
    def group(self) -> str:
        """What the group is called, as it was given."""
        return self._group

    @property
    def container(self) -> str:
        """The name of its container."""
        return self._container

    @property
    def place(self) -> str:
        """Where the group is, for people: host and container, or a folder; never with a secret."""
        return self._location.place

    @property
    def url(self) -> str:
        """The URL of its container, without a SAS."""
        return self._location.url

    async def exists(self) -> bool:
        """Whether the group was ever made. It may be empty."""
        try:
            await self._store.list_page(limit=1)
        except ContainerNotFoundError:
            return False
        return True

    async def create_container(self) -> bool:
        """Make the group's container; False if it was there. `upload` does that by itself.

        Raises:
            AccessDeniedError: the credential may not make containers (a container SAS may not).
        """
        account = open_account(self._target.account)
        name = self.group if self.group.isascii() else self.group.lower()
        try:
            return await account.create_container(self.container, metadata={GROUP_KEY: name})
        finally:
            await account.aclose()

    async def upload(
        self,
        *sources: str | os.PathLike[str],
        recursive: bool = False,
        flatten: bool = False,
        remote_path: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> GroupTransfer:
        """Upload files, folders and patterns, many at once; the group is made if it is missing.

        A file that is there with the same length and time of modification is left alone. Names are relative to the
        folder given or, by a pattern, to the folder before its first wildcard; a file given by its path has its own.

        Args:
            sources: Paths, or patterns by the rules of Batch's upload rules: `*`, `**`, `?`, `[abc]`, `[!abc]`.
            recursive: Of folders everything below, not only the files in them. Patterns say it themselves, with `**`.
            flatten: Names without any folders.
            remote_path: A folder in the group, to upload into.
            on_progress: Called with a `GroupProgress` as each file is done.

        Raises:
            InvalidNameError: a name cannot be used, or two files would get the same. Nothing was requested.
            SourceError: one of the sources leads to no file, or cannot be read (several: an `ExceptionGroup` of these).
                Nothing was requested.
            ExceptionGroup: some could not be uploaded; one error for each. All others are.
            AccessDeniedError: the credential may not list the group, or make it.
            ValueError: no source is given.
        """
        if not sources:
            raise ValueError("no source is given")
        found = await find_uploads(
            sources,
            recursive=recursive,
            flatten=flatten,
            remote_path=remote_path,
            skip=self._target.folder(self.container),
        )
        if self._target.embedded:
            logger.warning("Nothing says where file groups go, so this one goes to the folder %s.", self.place)
        work = Work(on_progress, len(found))
        upload = Upload(self._store, work)
        try:
            await upload.look(remote_path, len(found))
        except ContainerNotFoundError:
            await self.create_container()
        results = await for_each(found, work.guarded(upload.put))
        if failures := [result for result in results if result is not None]:
            raise ExceptionGroup("some could not be uploaded", failures)
        return work.transfer

    async def download(
        self, folder: str | os.PathLike[str], *patterns: str, on_progress: OnProgress | None = None
    ) -> GroupTransfer:
        """Download the files of the group, or those whose names match, many at once.

        Each file appears whole or not at all, and never outside the folder, whatever it is called. What is there
        unchanged is left alone, and a large file that was cut short goes on where it was.

        Args:
            folder: Where to write; made if missing.
            patterns: As those of `list`.
            on_progress: Called with a `GroupProgress` as each file is done.

        Raises:
            ContainerNotFoundError: there is no such group.
            BlobNotFoundError: no file matches the patterns.
            ExceptionGroup: some could not be downloaded; one error for each. All others are.
        """
        root = os.fspath(folder)
        work = Work(on_progress)
        placing = Placing[BlobProperties](root, way_out="download them one by one, to other folders")

        async def placed() -> AsyncIterator[tuple[str, BlobProperties]]:
            listed = 0
            async for blob in self._blobs(patterns):
                listed += 1
                for item in placing.add(blob.name, blob.name, blob):
                    yield item
            for item in placing.rest():
                yield item
            work.total = listed
            if patterns and not listed:
                raise BlobNotFoundError(
                    f"Nothing in the file group {self.group} is what was asked for; batch-outputs group list shows "
                    "what there is.",
                    place=self.place,
                )

        async def fetch(item: tuple[str, BlobProperties]) -> None:
            path, blob = item
            refuse_links(root, path)
            _, fetched = await fetch_blob(self._store, blob.name, path, known=Stored((blob,)))
            work.done(blob.name, fetched.size, unchanged=fetched.unchanged)

        failures = await for_each_listed(placed(), work.guarded(fetch), ahead=_LISTED_AHEAD)
        failures += placing.problems
        if len(failures) == 1 and not (work.transfer.moved or work.transfer.unchanged):
            raise failures[0]  # the group is missing, or nothing matches
        if failures:
            raise ExceptionGroup("some could not be downloaded", failures)
        return work.transfer

    async def list(self, *patterns: str) -> AsyncIterator[GroupFile]:
        """The files of the group, by name, page by page as they are asked for.

        Args:
            patterns: Only files whose names match one, by the rules of Batch's upload rules; a plain path means itself,
                or all that lies below it.

        Raises:
            ContainerNotFoundError: there is no such group.
        """
        async for blob in self._blobs(patterns):
            source_modified = _moment(modified_of(blob.metadata))
            yield GroupFile(blob.name, blob.size, blob.last_modified, blob.content_type, source_modified)

    async def delete(
        self, *patterns: str, until: datetime | None = None, on_progress: OnProgress | None = None
    ) -> GroupDeletion:
        """Delete the files whose names match, many at once. The group stays, see `delete_container`.

        Args:
            patterns: As those of `list`; at least one.
            until: Only what has not been stored anew since.
            on_progress: Called with a `GroupProgress` as each file is gone.

        Raises:
            ContainerNotFoundError: there is no such group.
            ExceptionGroup: some could not be deleted; one error for each. All others are gone.
            ValueError: no pattern is given.
        """
        if not patterns:
            raise ValueError("no pattern is given; delete_container deletes the whole group")
        work = Work(on_progress)

        async def found() -> AsyncIterator[BlobProperties]:
            async for blob in self._blobs(patterns):
                if until is None or blob.last_modified <= until:
                    yield blob

        async def delete(blob: BlobProperties) -> None:
            try:
                await self._store.delete(blob.name, etag=blob.etag)
            except BlobNotFoundError:
                return  # somebody else was faster
            work.done(blob.name, blob.size)

        failures = await for_each_listed(found(), work.guarded(delete), ahead=_LISTED_AHEAD)
        if len(failures) == 1 and not work.files:
            raise failures[0]
        if failures:
            raise ExceptionGroup("some could not be deleted", failures)
        return GroupDeletion(work.files, work.size)

    async def delete_container(self) -> None:
        """Delete the group with all its files. A new one of that name may have to wait half a minute, on Azure.

        Raises:
            ContainerNotFoundError: there is no such group.
            AccessDeniedError: the credential may not delete containers (a container SAS may not).
        """
        account = open_account(self._target.account)
        try:
            if not await account.delete_container(self.container):
                raise self._missing()
        finally:
            await account.aclose()

    @property
    def _store(self) -> Store:
        if self._open is None:
            self._open = open_store(self._location)
        return self._open

    async def _blobs(self, patterns: tuple[str, ...]) -> AsyncIterator[BlobProperties]:
        wanted = Wanted(patterns=patterns)
        try:
            async for blob in self._store.list(_beginning(patterns)):
                if wanted.includes_name(blob.name, blob.name):
                    yield blob
        except ContainerNotFoundError as error:
            raise self._missing() from error

    def _missing(self) -> ContainerNotFoundError:
        return ContainerNotFoundError(
            f"There is no file group {self.group} (container {self.place}); batch-outputs group list shows which there "
            "are, and group upload makes one.",
            place=self.place,
        )


async def list_file_groups(target: Target | None = None, *, prefix: str = "") -> AsyncIterator[StoredGroup]:
    """The file groups of an account, by the name of their containers, page by page as they are asked for.

    Args:
        target: The account, as one that was found before; by default the one that the environment names.
        prefix: What the containers' names begin with behind `fgrp-`, in small letters.

    Raises:
        ConfigurationError: there is access to one container only, or nothing is configured on a node.
        AccessDeniedError: the credential may not list containers.
    """
    place = find_target() if target is None else target
    if place.container is not None:
        raise ConfigurationError(
            f"There is access to {place.place} only, so which file groups there are cannot be seen; configure the "
            f"account instead, as by --account-url or {ACCOUNT_URL}.",
            variable=ACCOUNT_URL,
        )
    account = open_account(place.account)
    try:
        async for found in account.list_containers(GROUP_PREFIX + prefix):
            name = found.metadata.get(GROUP_KEY) or found.name.removeprefix(GROUP_PREFIX)
            yield StoredGroup(name, found.name, found.last_modified)
    finally:
        await account.aclose()


def _beginning(patterns: tuple[str, ...]) -> str:
    """What all names begin with that one of the patterns can match."""
    beginnings = [_beginning_of(Pattern.parse(text)) for text in patterns]
    return os.path.commonprefix(beginnings)  # noqa: RUF071 - of names, not of paths


def _beginning_of(pattern: Pattern) -> str:
    if pattern.is_literal:
        return pattern.base.rstrip("/")
    base = posixpath.normpath(pattern.base) if pattern.base else "."
    return "" if base in {".", "/"} else f"{base}/"


def _moment(seconds: float | None) -> datetime | None:
    try:
        return None if seconds is None else _EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return None
