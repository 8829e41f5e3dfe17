"""Uploading into a file group: under which names, and which files are there already."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial

from anyio import to_thread

from batch_outputs.client.group_work import Work
from batch_outputs.content_types import guess_content_type
from batch_outputs.errors import BlobNotFoundError, InvalidNameError, SourceError
from batch_outputs.names import check_blob_name, output_name
from batch_outputs.putting import put_file
from batch_outputs.sources import Folders, Found, Source, find_named
from batch_outputs.stores.base import BlobProperties, Store

MODIFIED_KEY = "lastmodified"
"""Metadata with a source's time of modification, in the spelling of the Azure CLI's Batch extension."""

_LOOKS_PER_PAGE = 50
"""Looking at so many files one by one takes about as long as listing a page."""
_PAGE = 5000


async def find_uploads(
    sources: Sequence[str | os.PathLike[str]],
    *,
    recursive: bool,
    flatten: bool,
    remote_path: str | None,
    skip: str | None,
) -> list[Source]:
    """The files to upload, each with its name in the group.

    Raises:
        InvalidNameError: a name cannot be used, or two files would get the same.
        SourceError, ExceptionGroup: something leads to no file, or cannot be read.
    """
    name = partial(_name, folder=_remote_folder(remote_path), flatten=flatten)
    find = partial(
        find_named,
        sources,
        Folders(skip=skip),
        os.environ,
        name,
        recursive=recursive,
        way_out=("leave out flatten (--flatten), or " if flatten else "")
        + "upload one of them below another remote_path (--remote-path)",
    )
    found, problems = await to_thread.run_sync(find)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise ExceptionGroup("nothing was uploaded, as some sources cannot be", problems)
    return found


class Upload:
    """Puts files into a group's container that are not there as they are."""

    def __init__(self, store: Store, work: Work) -> None:
        self._store = store
        self._work = work
        self._known: dict[str, BlobProperties] = {}
        self._all_known = True

    async def look(self, remote_path: str | None, number: int) -> None:
        """Learn what is there already: by a listing as far as that is quicker than a look at each of so many files.

        Raises:
            ContainerNotFoundError: the group does not exist.
        """
        folder = _remote_folder(remote_path)
        limit = _PAGE if number >= _LOOKS_PER_PAGE else 1
        after = None
        for _ in range(1 + number // _LOOKS_PER_PAGE):
            page = await self._store.list_page(f"{folder}/" if folder else "", after=after, limit=limit)
            self._known |= {entry.name: entry for entry in page.entries if isinstance(entry, BlobProperties)}
            after = page.after
            if after is None:
                break
        self._all_known = after is None

    async def put(self, source: Source) -> None:
        """Upload one file, unless one with its length and time is there.

        Raises:
            SourceError: it cannot be read.
            StoreError: it cannot be stored.
        """
        size, modified = await to_thread.run_sync(_look_at, source.path)
        there = await self._there(source.name)
        if there is not None and there.size == size and _modified(there.metadata) == modified:
            self._work.done(source.name, size, unchanged=True)
            return
        # Should it change from here on, what is stored has the earlier time, and the next upload replaces it.
        stored = await put_file(
            self._store,
            source.name,
            source.path,
            content_type=guess_content_type(source.name),
            metadata={MODIFIED_KEY: modified},
        )
        self._work.done(source.name, stored.size)

    async def _there(self, name: str) -> BlobProperties | None:
        if name in self._known or self._all_known:
            return self._known.get(name)
        try:
            return await self._store.properties(name)
        except BlobNotFoundError:
            return None


def modified_of(metadata: Mapping[str, str]) -> float | None:
    """When the source of a file in a group was last modified, in seconds since 1970; None where nobody kept it."""
    try:
        return float(_modified(metadata) or "")
    except ValueError:
        return None


def _modified(metadata: Mapping[str, str]) -> str | None:
    # Services give keys back in other letters.
    return next((value for key, value in metadata.items() if key.lower() == MODIFIED_KEY), None)


def _name(found: Found, *, folder: str, flatten: bool) -> str:
    """The name of a file: below the folder that was given, or the one before a pattern's first wildcard."""
    name = os.path.basename(found.path) if flatten or found.below is None else found.below
    return check_blob_name(output_name(f"{folder}/{name}" if folder else name))


def _remote_folder(remote_path: str | None) -> str:
    folder = (remote_path or "").replace("\\", "/").strip("/")
    if folder and {"", ".", ".."} & set(folder.split("/")):
        raise InvalidNameError(
            f"The remote path {remote_path!r} is no folder of a group; write its folders with one '/' between, and "
            "without '.' and '..'.",
            name=remote_path or "",
        )
    return folder


def _look_at(path: str) -> tuple[int, str]:
    """A file's length, and its time of modification as text."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.", path=path) from error
    return status.st_size, str(status.st_mtime)
