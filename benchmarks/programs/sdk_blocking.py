"""Uploads, downloads and lists with azure-storage-blob's blocking client as its documentation shows it, in a loop.

`sdk_blocking.py upload FOLDER | download FOLDER | list`; the container's URL with a SAS is in CONTAINER_URL.
"""

from __future__ import annotations

import os
import sys

from azure.storage.blob import ContainerClient

OF_ONE_FILE = 4


def upload(container: ContainerClient, folder: str) -> None:
    """All files below a folder, named by their paths."""
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            with open(path, "rb") as file:
                container.upload_blob(path, file, overwrite=True, max_concurrency=OF_ONE_FILE)


def download(container: ContainerClient, folder: str) -> None:
    """All blobs of the container."""
    for name in container.list_blob_names():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            container.download_blob(name, max_concurrency=OF_ONE_FILE).readinto(file)


def main() -> None:
    """Do what the command line says."""
    with ContainerClient.from_container_url(os.environ["CONTAINER_URL"]) as container:
        match sys.argv[1:]:
            case ["upload", folder]:
                upload(container, folder)
            case ["download", folder]:
                download(container, folder)
            case _:
                for blob in container.list_blobs():
                    print(blob.size, blob.name, sep="\t")  # noqa: T201


main()
