"""adlfs, the file system of fsspec that pandas and others use."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.contenders.sdk import Scripted
from support.azurite import Container


class Adlfs(Scripted):
    """Its `put`, `get` and `find`, with the account's key."""

    key: ClassVar[str] = "adlfs"
    name: ClassVar[str] = "adlfs"
    script: ClassVar[str] = "adlfs_files.py"

    def variables(self, container: Container) -> dict[str, str]:
        """By account and container."""
        return {"CONNECTION_STRING": container.azurite.connection_string, "CONTAINER": container.name}
