"""rclone, without its looks at what is there already, and with more transfers at once; with checksums and without."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from benchmarks.contenders.base import Contender
from benchmarks.data import Data
from benchmarks.measuring import Command
from support.azurite import Container

_NO_LOOKS = ("--azureblob-no-check-container", "--no-traverse", "--no-check-dest")
_AT_ONCE = ("--transfers", "16", "--checkers", "16")


class Rclone(Contender):
    """`rclone copy` and `rclone lsf`, with a SAS; the MD5 of each file is stored with it, and compared."""

    key: ClassVar[str] = "rclone"
    name: ClassVar[str] = "rclone"
    compares: ClassVar[bool] = True
    options: ClassVar[tuple[str, ...]] = ("--azureblob-chunk-size", "16M")

    def prepare(self) -> None:
        """Find its program, or install it."""
        _ = self.tools.rclone

    def upload(self, data: Data, container: Container) -> Command:
        """`rclone copy FOLDER container:FOLDER`."""
        words = ("copy", data.folder, f"peer:{container.name}/{data.folder}", *_NO_LOOKS, *_AT_ONCE)
        return self._command(container, *words, *self.options, folder=data.root)

    def download(self, container: Container, folder: Path) -> Command:
        """`rclone copy container: FOLDER`."""
        words = ("copy", f"peer:{container.name}", str(folder), "--no-check-dest", *_AT_ONCE)
        return self._command(container, *words, *self.options)

    def list(self, container: Container, output: Path) -> Command:
        """`rclone lsf` of sizes and names, in one listing instead of one a folder."""
        options = ("--recursive", "--files-only", "--fast-list", "--format", "sp", "--separator", "\t")
        return self._command(container, "lsf", *options, f"peer:{container.name}", output=output)

    def _command(
        self, container: Container, *words: str, folder: Path | None = None, output: Path | None = None
    ) -> Command:
        variables = {
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CONFIG_PEER_TYPE": "azureblob",
            "RCLONE_CONFIG_PEER_SAS_URL": container.sas_url(),
        }
        return Command([self.tools.rclone, *words], variables, folder, output)


class RcloneUnchecked(Rclone):
    """rclone at its fastest: it neither makes checksums nor compares them."""

    key: ClassVar[str] = "rclone-unchecked"
    name: ClassVar[str] = "rclone, no checksums"
    lists: ClassVar[bool] = False
    compares: ClassVar[bool] = False
    options: ClassVar[tuple[str, ...]] = (*Rclone.options, "--ignore-checksum", "--azureblob-disable-checksum")
