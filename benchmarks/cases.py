"""What a case is made of: the rows that are run in turn, the limits of ours, and the stage that all stand on."""

from __future__ import annotations

import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.base import Contender
from benchmarks.data import Data, made
from benchmarks.metrics import Sample
from benchmarks.results import Role
from benchmarks.services import ServiceName, Services
from benchmarks.tools import Tools
from benchmarks.verdicts import Limit


@dataclass(frozen=True)
class Row:
    """One that is compared: it runs once when it is called, and is told whether to compare all bytes."""

    name: str
    role: Role
    run: Callable[[bool], Sample]


class Stage:
    """The folder, the services, the programs and the files of a run of the benchmarks."""

    def __init__(self, folder: Path, services: Services, *, quick: bool, peers: Sequence[str]) -> None:
        self.services = services
        self.quick = quick
        self.tools = Tools()
        self._folder = folder
        self._peers = peers
        self._data: dict[tuple[int, int], Data] = {}

    def contenders(self) -> list[Contender]:
        """Ours and the peers that were asked for, ready to run."""
        chosen = [kind for kind in CONTENDERS if kind.ours or kind.key in self._peers]
        made_ready = [kind(self.tools, self._folder / "contenders" / kind.key) for kind in chosen]
        for contender in made_ready:
            contender.prepare()
        return made_ready

    def has_peer(self, key: str) -> bool:
        """Whether a peer was asked for."""
        return key in self._peers

    def data(self, count: int, each: int) -> Data:
        """Files of `each` bytes, made when they are first asked for."""
        if (count, each) not in self._data:
            self._data[count, each] = made(self._folder / "data", count, each)
        return self._data[count, each]

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder on the same disk, gone afterwards."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


class Case(ABC):
    """One comparison of a work."""

    def __init__(self, name: str, limits: Sequence[Limit] = (), *, service: ServiceName | None = None) -> None:
        self.name = name
        self.limits = tuple(limits)
        self.service = service

    @abstractmethod
    def rows(self, stage: Stage) -> AbstractContextManager[Sequence[Row]]:
        """Prepare what they need; ours is one of them."""


def role_of(contender: Contender) -> Role:
    """Ours, or a peer."""
    return "ours" if contender.ours else "peer"
