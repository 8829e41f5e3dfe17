"""Uploads, downloads and lists with azure-storage-blob's asyncio client as its documentation shows it, 16 at once.

`sdk_aio.py upload FOLDER | download FOLDER | list`; the container's URL with a SAS is in CONTAINER_URL.
"""

from __future__ import annotations

import asyncio
import os
import sys

from azure.storage.blob.aio import ContainerClient

AT_ONCE = 16
OF_ONE_FILE = 4


async def upload(container: ContainerClient, folder: str) -> None:
    """All files below a folder, named by their paths."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(path: str) -> None:
        async with slots:
            with open(path, "rb") as file:  # noqa: ASYNC230 - as its documentation does
                await container.upload_blob(path, file, overwrite=True, max_concurrency=OF_ONE_FILE)

    paths = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]
    await asyncio.gather(*map(one, paths))


async def download(container: ContainerClient, folder: str) -> None:
    """All blobs of the container."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> None:
        async with slots:
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            stream = await container.download_blob(name, max_concurrency=OF_ONE_FILE)
            with open(path, "wb") as file:  # noqa: ASYNC230 - likewise
                await stream.readinto(file)

    await asyncio.gather(*[one(name) async for name in container.list_blob_names()])


async def list_all(container: ContainerClient) -> None:
    """Names and sizes."""
    async for blob in container.list_blobs():
        print(blob.size, blob.name, sep="\t")  # noqa: T201


async def main() -> None:
    """Do what the command line says."""
    async with ContainerClient.from_container_url(os.environ["CONTAINER_URL"]) as container:
        match sys.argv[1:]:
            case ["upload", folder]:
                await upload(container, folder)
            case ["download", folder]:
                await download(container, folder)
            case _:
                await list_all(container)


asyncio.run(main())
