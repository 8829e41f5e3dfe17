"""The list of a job of very many blobs, with their sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from benchmarks.cases import Case, Row, Stage, role_of
from benchmarks.contenders.base import Contender
from benchmarks.errors import BenchmarkError
from benchmarks.measuring import measured
from benchmarks.metrics import Sample, sample_of
from benchmarks.services import Traffic, requests_of
from benchmarks.verdicts import Limit
from support.azurite import Container
from support.big_container import FRAMES, LOG, THUMBNAILS, BigJob, big_job

A_TENTH = "batch-outputs, a tenth of them"
_TASKS = 10_000
_TASKS_QUICK = 100


class Listing(Case):
    """All of 100,000 blobs; ours also with a tenth of them, as its memory should not grow with their number."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        super().__init__("Azurite", limits, service="Azurite")

    @contextmanager
    def rows(self, stage: Stage) -> Iterator[Sequence[Row]]:
        """All contenders, and ours on a smaller job."""
        tasks = _TASKS_QUICK if stage.quick else _TASKS
        with ExitStack() as stack:
            folder = stack.enter_context(stage.scratch())
            big = stack.enter_context(big_job(folder / "big", tasks=tasks))
            tenth = stack.enter_context(big_job(folder / "tenth", tasks=tasks // 10))
            contenders = [contender for contender in stage.contenders() if contender.lists]
            rows = [
                Row(contender.name, role_of(contender), partial(_list, stage, contender, big))
                for contender in contenders
            ]
            ours = next(contender for contender in contenders if contender.ours)
            yield [*rows, Row(A_TENTH, "reference", partial(_list, stage, ours, tenth))]


def _list(stage: Stage, contender: Contender, job: BigJob, _check: bool) -> Sample:
    container: Container = job.container
    with stage.scratch() as folder:
        output = folder / "listed"
        before = requests_of(container.azurite)
        cost = measured(contender.list(container, output))
        traffic = Traffic(requests_of(container.azurite) - before, None)
        if contender.listed(output) != _expected(job):
            raise BenchmarkError("the list has other names or sizes than are stored")
    return sample_of(cost, traffic)


def _expected(job: BigJob) -> dict[str, int]:
    """The sizes of all blobs by their names."""
    each = {f"$TaskLog/{name}.txt": len(LOG) for name in ("stdout", "stderr")}
    each |= {f"$TaskOutput/frame-{number:04}.png": len(job.picture) for number in range(FRAMES)}
    each |= {f"$TaskPreview/thumb-{number:04}.png": len(job.picture) for number in range(THUMBNAILS)}
    return {f"{job.task(task)}/{name}": size for task in range(job.tasks) for name, size in each.items()}
