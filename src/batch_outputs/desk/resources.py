"""Resource files: brought to a task's working directory before it starts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

import anyio
from anyio import to_thread

from batch_outputs.desk.job import ResourceFile
from batch_outputs.desk.storage import DeskStorage
from batch_outputs.desk.urls import local_path_of
from batch_outputs.errors import BatchOutputsError, SourceError, StoreError, TargetError
from batch_outputs.fetching import download_blob
from batch_outputs.local_names import local_path
from batch_outputs.location import StoreLocation
from batch_outputs.settings import shown
from batch_outputs.stores import open_store
from batch_outputs.stores.base import BlobProperties
from batch_outputs.target_guard import refuse_links
from batch_outputs.transfer import for_each_listed

_CHUNK = 1024 * 1024
_PATIENCE = 60.0
"""Seconds without a byte."""


async def fetch_resources(resources: Sequence[ResourceFile], working: str, storage: DeskStorage) -> None:
    """Bring resource files to a working directory, one after the other.

    Raises:
        BatchOutputsError: one of them cannot be had.
    """
    for resource in resources:
        try:
            await _fetch(resource, working, storage)
        except ExceptionGroup as group:
            raise group.exceptions[0] from None


async def _fetch(resource: ResourceFile, working: str, storage: DeskStorage) -> None:
    if resource.http_url is not None:
        await _fetch_file(resource, resource.http_url, working, storage)
    elif resource.container_url is not None:
        location = storage.location_of(resource.container_url, f"{resource.place}.storageContainerUrl")
        await _fetch_container(resource, location, working)
    else:
        await _fetch_container(resource, storage.container(resource.auto_storage_container or ""), working)


async def _fetch_file(resource: ResourceFile, url: str, working: str, storage: DeskStorage) -> None:
    path = os.path.join(working, resource.file_path)
    refuse_links(working, path)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if url.startswith("file:"):
            source = local_path_of(url)
            try:
                await to_thread.run_sync(shutil.copyfile, source, path)
            except FileNotFoundError as error:
                raise SourceError(f"{resource.place}: there is no file {source}.", path=source) from error
        elif (blob := storage.blob_of(url)) is not None:
            await _download(blob[0], blob[1], path)
        else:
            await _get(resource, url, path)
        _set_mode(path, resource.file_mode)
    except OSError as error:
        raise TargetError(f"{path} cannot be written: {error.strerror or error}.", path=path) from error


async def _download(location: StoreLocation, name: str, path: str) -> None:
    store = open_store(location)
    try:
        await download_blob(store, name, path)
    finally:
        with anyio.CancelScope(shield=True):
            await store.aclose()


async def _get(resource: ResourceFile, url: str, path: str) -> None:
    import aiohttp

    place = shown(url)
    try:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_PATIENCE, sock_read=_PATIENCE)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            if answer.status != 200:
                raise StoreError(
                    f"{resource.place}: {place} answers {answer.status} {answer.reason}; check the URL and its SAS.",
                    place=place,
                )
            with open(path, "wb") as file:  # noqa: ASYNC230 - a local file, written piece by piece
                async for piece in answer.content.iter_chunked(_CHUNK):
                    file.write(piece)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise StoreError(
            f"{resource.place}: {place} cannot be fetched ({type(error).__name__}); check the URL.", place=place
        ) from None


async def _fetch_container(resource: ResourceFile, location: StoreLocation, working: str) -> None:
    store = open_store(location)
    folder = os.path.join(working, resource.file_path)
    count = 0

    async def fetch(blob: BlobProperties) -> None:
        nonlocal count
        path = os.path.join(folder, local_path(blob.name))
        refuse_links(working, path)
        await download_blob(store, blob.name, path)
        _set_mode(path, resource.file_mode)
        count += 1

    try:
        problems = await for_each_listed(store.list(resource.blob_prefix), fetch, ahead=1000)
    finally:
        with anyio.CancelScope(shield=True):
            await store.aclose()
    if problems:
        first = problems[0]
        raise first if isinstance(first, BatchOutputsError) else StoreError(str(first), place=location.place)
    if not count:
        named = f" whose name begins with {resource.blob_prefix}" if resource.blob_prefix else ""
        raise StoreError(f"{resource.place}: {location.place} holds no blob{named}.", place=location.place)


def _set_mode(path: str, mode: int) -> None:
    if os.name != "nt":
        os.chmod(path, mode)
