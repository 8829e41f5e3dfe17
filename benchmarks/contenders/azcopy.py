"""AzCopy, without its looks at what is there already or at what has been stored."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from benchmarks.contenders.base import Contender
from benchmarks.data import Data
from benchmarks.measuring import Command
from support.azurite import Container

_QUIET = ("--log-level=ERROR", "--output-level=quiet", "--overwrite=true", "--check-length=false")
_LISTED = re.compile(r"^(?:INFO: )?(.+); +Content Length: (\d+)$", re.MULTILINE)


class AzCopy(Contender):
    """`azcopy copy` and `azcopy list`, with a SAS."""

    key: ClassVar[str] = "azcopy"
    name: ClassVar[str] = "AzCopy"
    compares: ClassVar[bool] = True

    def prepare(self) -> None:
        """Find its program, or install it."""
        _ = self.tools.azcopy

    def upload(self, data: Data, container: Container) -> Command:
        """`azcopy copy FOLDER URL --recursive`."""
        source = str(data.root / data.folder)
        return self._command("copy", source, container.sas_url(), "--recursive", "--from-to=LocalBlob", *_QUIET)

    def download(self, container: Container, folder: Path) -> Command:
        """`azcopy copy URL/* FOLDER --recursive`."""
        source = container.sas_url().replace("?", "/*?", 1)
        return self._command("copy", source, str(folder), "--recursive", "--from-to=BlobLocal", *_QUIET)

    def list(self, container: Container, output: Path) -> Command:
        """`azcopy list URL`."""
        return self._command("list", container.sas_url(), "--location=Blob", "--machine-readable", output=output)

    def listed(self, output: Path) -> dict[str, int]:
        """Lines such as `name; Content Length: 36`."""
        return {name: int(size) for name, size in _LISTED.findall(output.read_text())}

    def _command(self, *words: str, output: Path | None = None) -> Command:
        variables = {
            "AZCOPY_LOG_LOCATION": str(self.folder),
            "AZCOPY_JOB_PLAN_LOCATION": str(self.folder),
            "AZCOPY_DISABLE_SYSLOG": "true",
            # One listing of all, instead of one for each folder, which takes Azurite very long.
            "AZCOPY_DISABLE_HIERARCHICAL_SCAN": "true",
        }
        return Command([self.tools.azcopy, *words], variables, output=output)
