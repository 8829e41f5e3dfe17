"""Files into a container, and out of it again."""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.cases import Case, Row, Stage, role_of
from benchmarks.contenders.base import Contender
from benchmarks.contenders.ours import Ours
from benchmarks.data import Data
from benchmarks.errors import BenchmarkError
from benchmarks.measuring import MIB, measured
from benchmarks.metrics import Sample, sample_of
from benchmarks.services import Service, ServiceName
from benchmarks.verdicts import Limit
from support.azurite import Container

_SHOWN = 3


class Upload(Case):
    """So many files of one size into an empty container; with `quick`, fewer or smaller ones."""

    def __init__(
        self,
        service: ServiceName,
        limits: Sequence[Limit],
        *,
        size: tuple[int, int],
        quick: tuple[int, int],
        name: str | None = None,
    ) -> None:
        super().__init__(name or service, limits, service=service)
        self._where: ServiceName = service
        self._size = size
        self._quick = quick

    @contextmanager
    def rows(self, stage: Stage) -> Iterator[Sequence[Row]]:
        """All contenders that save in a way of their own."""
        data = stage.data(*(self._quick if stage.quick else self._size))
        service = stage.services.named(self._where)
        yield [
            Row(contender.name, role_of(contender), partial(_upload, contender, data, service))
            for contender in stage.contenders()
            if contender.saves
        ]


def _upload(contender: Contender, data: Data, service: Service, check: bool) -> Sample:
    container = service.fresh(check=check)
    cost = measured(contender.upload(data, service.facing(container)).with_variables(service.trust))
    traffic = service.traffic()
    _refuse(service.wrong(container, data, contender.prefix, check=check))
    return sample_of(cost, traffic)


class Download(Case):
    """All blobs of a container of Azurite, which `batch-outputs save` has filled, into an empty folder."""

    def __init__(self, limits: Sequence[Limit], *, size: tuple[int, int], quick: tuple[int, int]) -> None:
        super().__init__("Azurite", limits, service="Azurite")
        self._size = size
        self._quick = quick

    @contextmanager
    def rows(self, stage: Stage) -> Iterator[Sequence[Row]]:
        """All contenders."""
        data = stage.data(*(self._quick if stage.quick else self._size))
        contenders = stage.contenders()
        filler = next(contender for contender in contenders if contender.ours)
        service = stage.services.azurite
        container = service.fresh(check=True)
        measured(filler.upload(data, container))
        _refuse(service.wrong(container, data, filler.prefix, check=True))
        with stage.scratch() as folders:
            yield [
                Row(
                    contender.name, role_of(contender), partial(_download, service, contender, data, container, folders)
                )
                for contender in contenders
            ]


def _download(
    service: Service, contender: Contender, data: Data, container: Container, folders: Path, check: bool
) -> Sample:
    folder = Path(tempfile.mkdtemp(dir=folders))
    try:
        if data.size >= 256 * MIB:
            os.sync()  # the files of whoever came before are not written out at the cost of this one
        service.count()
        cost = measured(contender.download(service.facing(container), folder).with_variables(service.trust))
        traffic = service.traffic()
        _refuse(_wrong_files(data, folder, check=check))
    finally:
        # Small files stay until the end of the case: where ext4 has no journal, each file that is made walks over the
        # inodes that were deleted in the last minutes, at up to 1 ms of CPU that would be counted as the program's.
        if data.each >= MIB:
            shutil.rmtree(folder)
    return sample_of(cost, traffic)


def _wrong_files(data: Data, folder: Path, *, check: bool) -> list[str]:
    """The names of files that should not be there, are not, or differ: in length or, with `check`, in any byte."""
    expected = {folder / f"{Ours.prefix}{name}": path for name, path in data.files.items()}
    found = {path for path in folder.rglob("*") if not path.is_dir()}
    wrong = [path for path in found if path not in expected]
    for path, original in expected.items():
        if path not in found or path.stat().st_size != data.each or (check and not _same(path, original)):
            wrong.append(path)
    return sorted(path.relative_to(folder).as_posix() for path in wrong)


def _same(path: Path, other: Path) -> bool:
    return filecmp.cmp(path, other, shallow=False)


def _refuse(wrong: Sequence[str]) -> None:
    if wrong:
        names = ", ".join(wrong[:_SHOWN]) + (", …" if len(wrong) > _SHOWN else "")
        raise BenchmarkError(f"wrong bytes in, or instead of, {len(wrong):,} of the files: {names}")
