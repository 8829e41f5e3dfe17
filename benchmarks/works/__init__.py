"""All works by name: what is done, where, and the limits that must hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.cases import Case
from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.azcopy import AzCopy
from benchmarks.contenders.ours import Ours, OursUnchecked
from benchmarks.measuring import MIB
from benchmarks.services import ServiceName
from benchmarks.verdicts import Limit
from benchmarks.works.listing import A_TENTH, Listing
from benchmarks.works.starting import BARE_PROGRAM, BARE_PYTHON, FirstInstruction, Help
from benchmarks.works.tracking import Backlog, Fast, Growing
from benchmarks.works.transfers import Download, Upload
from benchmarks.works.wrapping import SlowDown

_KIB = 1024
_GIB = 1024 * MIB


@dataclass(frozen=True)
class Work:
    """Something that is done, in one case or several."""

    name: str
    what: str
    cases: Sequence[Case]

    @property
    def moves_files(self) -> bool:
        """Whether it is about files that are saved or downloaded, and nothing else."""
        return all(isinstance(case, Upload | Download) for case in self.cases)


def _limits(wall: float | None, cpu: float | None, memory: float | None) -> list[Limit]:
    """Ratios to the best peer, and MiB."""
    found = [Limit(metric, factor) for metric, factor in (("wall", wall), ("cpu", cpu)) if factor is not None]
    return [*found, *([] if memory is None else [Limit("memory", plus=memory)])]


_SMALL = {"size": (2000, 4 * _KIB), "quick": (50, 4 * _KIB)}
_MANY = {"size": (20_000, 4 * _KIB), "quick": (200, 4 * _KIB)}
_MEDIUM = {"size": (64, 8 * MIB), "quick": (4, 8 * MIB)}
_LARGE = {"size": (1, _GIB), "quick": (1, 40 * MIB)}
_ONE = {"size": (1, 4 * _KIB), "quick": (1, 4 * _KIB)}
_HUGE = {"size": (1, 4 * _GIB), "quick": (1, 80 * MIB)}


def _upload(service: ServiceName, size: dict[str, tuple[int, int]], *limits: float | None) -> Upload:
    return Upload(service, _limits(*limits), size=size["size"], quick=size["quick"])


def _download(size: dict[str, tuple[int, int]]) -> Download:
    limits = [*_like_with_like(Ours, "the best with checksums"), *_like_with_like(OursUnchecked, "the best without")]
    return Download(limits, size=size["size"], quick=size["quick"])


def _like_with_like(ours: type[Ours], called: str) -> list[Limit]:
    """One of ours against those that compare checksums as it does, or do not, either."""
    against = tuple(kind.name for kind in CONTENDERS if not kind.ours and kind.compares == ours.compares)
    return [
        Limit("wall", 1.0, against=against, called=called, ours=ours.name),
        Limit("cpu", 0.8, against=against, called=called, ours=ours.name),
        Limit("memory", plus=150, ours=ours.name),
    ]


WORKS = {
    work.name: work
    for work in (
        Work(
            "small",
            "save 2,000 files of 4 KiB",
            [_upload("Azurite", _SMALL, 0.8, 0.6, 90), _upload("sink", _SMALL, 1.1, 1.0, 90)],
        ),
        Work("many", "save 20,000 files of 4 KiB", [_upload("sink", _MANY, 1.0, 1.0, 120)]),
        Work(
            "medium",
            "save 64 files of 8 MiB",
            [_upload("Azurite", _MEDIUM, 1.0, 0.7, 150), _upload("sink", _MEDIUM, 0.8, 0.8, 150)],
        ),
        Work(
            "large",
            "save a file of 1 GiB",
            [_upload("Azurite", _LARGE, None, None, 150), _upload("sink", _LARGE, 0.7, 0.6, 150)],
        ),
        Work("huge", "save a file of 4 GiB", [_upload("sink", _HUGE, 0.7, 0.6, 150)]),
        Work("download-small", "download 2,000 files of 4 KiB", [_download(_SMALL)]),
        Work("download-many", "download 20,000 files of 4 KiB", [_download(_MANY)]),
        Work("download-medium", "download 64 files of 8 MiB", [_download(_MEDIUM)]),
        Work("download-large", "download a file of 1 GiB", [_download(_LARGE)]),
        Work(
            "list",
            "list 100,000 blobs with their sizes",
            [Listing([Limit("wall", 1.0), Limit("cpu", 1.0), Limit("memory", 1.1, against=(A_TENTH,))])],
        ),
        Work(
            "start",
            "until something happens",
            [
                Help([Limit("wall", 3.0, plus=0.06, against=(BARE_PYTHON,))]),
                Upload(
                    "sink",
                    [Limit("wall", 1.0, against=(AzCopy.name,))],
                    size=_ONE["size"],
                    quick=_ONE["quick"],
                    name="save of a file of 4 KiB",
                ),
                FirstInstruction([Limit("delay", 1.0, plus=100, against=(BARE_PROGRAM,))]),
            ],
        ),
        Work(
            "tracking",
            "keep logs stored that grow, at an interval of 1 s",
            [Growing(1, quick=1), Growing(50, quick=5), Growing(500, [Limit("core", plus=0.3)], quick=20)],
        ),
        Work("backlog", "track a log that is there already", [Backlog()]),
        Work("fast-log", "track a log that grows fast", [Fast()]),
        Work("slow-down", "a program's own time", [SlowDown()]),
    )
}
