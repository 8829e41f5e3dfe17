"""azure-storage-blob as its documentation shows it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from benchmarks.contenders.base import PROGRAMS, Contender
from benchmarks.data import Data
from benchmarks.measuring import Command
from support.azurite import Container


class Scripted(Contender):
    """A script of `programs/` that is run by the peers' Python."""

    script: ClassVar[str]

    def prepare(self) -> None:
        """Find its packages, or install them."""
        _ = self.tools.python

    def upload(self, data: Data, container: Container) -> Command:
        """`upload FOLDER`."""
        return self._command(container, "upload", data.folder, folder=data.root)

    def download(self, container: Container, folder: Path) -> Command:
        """`download FOLDER`."""
        return self._command(container, "download", str(folder))

    def list(self, container: Container, output: Path) -> Command:
        """`list`."""
        return self._command(container, "list", output=output)

    def variables(self, container: Container) -> dict[str, str]:
        """How the script is told of the container."""
        return {"CONTAINER_URL": container.sas_url()}

    def _command(
        self, container: Container, *words: str, folder: Path | None = None, output: Path | None = None
    ) -> Command:
        return Command(
            [self.tools.python, str(PROGRAMS / self.script), *words], self.variables(container), folder, output
        )


class SdkAio(Scripted):
    """Its asyncio client, 16 files at once."""

    key: ClassVar[str] = "sdk-aio"
    name: ClassVar[str] = "azure-storage-blob, aio"
    script: ClassVar[str] = "sdk_aio.py"


class SdkBlocking(Scripted):
    """Its blocking client, file by file."""

    key: ClassVar[str] = "sdk"
    name: ClassVar[str] = "azure-storage-blob"
    script: ClassVar[str] = "sdk_blocking.py"
