"""Uploads, downloads and lists with adlfs, fsspec's file system for Blob Storage, as its documentation shows it.

`adlfs_files.py upload FOLDER | download FOLDER | list`; the account is in CONNECTION_STRING, the rest in CONTAINER.
"""

from __future__ import annotations

import os
import sys

from adlfs import AzureBlobFileSystem  # type: ignore[import-not-found]  # it is in the peers' Python


def main() -> None:
    """Do what the command line says."""
    files = AzureBlobFileSystem(connection_string=os.environ["CONNECTION_STRING"], assume_container_exists=True)
    container = os.environ["CONTAINER"]
    match sys.argv[1:]:
        case ["upload", folder]:
            paths = [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]
            files.put(paths, [f"{container}/{path}" for path in paths])
        case ["download", folder]:
            files.get(f"{container}/", folder + "/", recursive=True)
        case _:
            for name, facts in files.find(container, detail=True).items():
                print(facts["size"], name.removeprefix(f"{container}/"), sep="\t")  # noqa: T201


main()
