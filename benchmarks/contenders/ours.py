"""The command `batch-outputs`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import ClassVar

from benchmarks.contenders.base import Contender
from benchmarks.data import Data
from benchmarks.measuring import Command
from support.azurite import Container

TASK = "t1"


def our_command(
    *arguments: str, container: Container, folder: Path | None = None, output: Path | None = None
) -> Command:
    """The command on a container, as a task's script would call it."""
    variables = {"BATCH_OUTPUTS_CONTAINER_URL": container.sas_url(), "AZ_BATCH_TASK_ID": TASK}
    return Command([our_program(), *arguments], variables, folder, output)


def our_program() -> str:
    """The installed command, beside this Python."""
    return os.path.join(os.path.dirname(sys.executable), "batch-outputs")


class Ours(Contender):
    """Saves as a task does, and reads the whole job."""

    key: ClassVar[str] = "ours"
    name: ClassVar[str] = "batch-outputs"
    ours: ClassVar[bool] = True
    compares: ClassVar[bool] = True
    prefix: ClassVar[str] = f"{TASK}/$TaskOutput/"
    options: ClassVar[tuple[str, ...]] = ()
    """Of its downloads."""

    def prepare(self) -> None:
        """It is there: the benchmarks run beside it."""

    def upload(self, data: Data, container: Container) -> Command:
        """`save FOLDER`."""
        return our_command("save", data.folder, container=container, folder=data.root)

    def download(self, container: Container, folder: Path) -> Command:
        """`download`, of the whole job."""
        command = our_command("download", *self.options, "--to", str(folder), container=container)
        return Command(command.words, {**command.variables, "AZ_BATCH_TASK_ID": ""})

    def list(self, container: Container, output: Path) -> Command:
        """`list --json`, which has exact sizes."""
        command = our_command("list", "--json", container=container, output=output)
        return Command(command.words, {**command.variables, "AZ_BATCH_TASK_ID": ""}, output=output)

    def listed(self, output: Path) -> dict[str, int]:
        """One JSON object a line."""
        return {record["blob"]: record["size"] for record in map(json.loads, output.open())}


class OursUnchecked(Ours):
    """Downloads without checksums; it saves and lists as it always does."""

    key: ClassVar[str] = "ours-unchecked"
    name: ClassVar[str] = "batch-outputs, no checksums"
    lists: ClassVar[bool] = False
    saves: ClassVar[bool] = False
    compares: ClassVar[bool] = False
    options: ClassVar[tuple[str, ...]] = ("--no-checksum",)
