"""What is asked of a contender: the command lines of its uploads, downloads and lists."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from benchmarks.data import Data
from benchmarks.measuring import Command
from benchmarks.tools import Tools
from support.azurite import Container

PROGRAMS = Path(__file__).parents[1] / "programs"


class Contender(ABC):
    """A program that moves files into a container and out of it."""

    key: ClassVar[str]
    """What `--peers` calls it."""

    name: ClassVar[str]
    """What tables call it."""

    ours: ClassVar[bool] = False
    lists: ClassVar[bool] = True
    """Whether it lists in a way of its own, and not as another one does."""

    saves: ClassVar[bool] = True
    """Whether it saves in a way of its own, and not as another one does."""

    compares: ClassVar[bool] = False
    """Whether it holds what it downloads against the checksum that was stored with it."""

    prefix: ClassVar[str] = ""
    """What its blobs' names have before the names of the files."""

    def __init__(self, tools: Tools, folder: Path) -> None:
        self.tools = tools
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def prepare(self) -> None:
        """Find its program, or install it."""

    @abstractmethod
    def upload(self, data: Data, container: Container) -> Command:
        """Save all of `data`, named as they are below its root."""

    @abstractmethod
    def download(self, container: Container, folder: Path) -> Command:
        """Bring all blobs of the container into an empty folder, at their names."""

    @abstractmethod
    def list(self, container: Container, output: Path) -> Command:
        """Write names and sizes of all blobs to `output`."""

    def listed(self, output: Path) -> dict[str, int]:
        """The sizes by the names that `list` has written, by default as size, tab, name."""
        lines = (line.rstrip("\n").split("\t") for line in output.open())
        return {name: int(size) for size, name in lines}
