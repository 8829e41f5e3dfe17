"""How long `list` and the page take over a job of very many blobs, and how much memory.

    python benchmarks/browse_big.py [--tasks 10000] [--rounds 3]

The job is in an Azurite of its own: each task has two logs, six frames and two thumbnails (see
`tests/support/big_container.py`). Each command and each server is a fresh process; a page is timed from its request to
its last byte, the first time it is asked for. Shown are the best and the worst of the rounds, and the most memory that
any process had. What azure-storage-blob takes for the lists behind them is shown beside it: Azurite looks through all
blobs for every page of a listing, Azure does not.
"""

# ruff: noqa: T201 - it prints what it has measured

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from batch_outputs.browse import addresses
from support.big_container import BigJob, big_job
from support.command import Desk
from support.memory import COMMAND_THAT_TELLS, MIB, most_memory, most_told
from support.page import Page, serving


class Figures:
    """Seconds and bytes by what was done."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}
        self._memory: dict[str, int] = {}

    def time(self, what: str, call: Callable[[], object]) -> None:
        """Do it and take its time."""
        began = time.monotonic()
        call()
        self.add(what, time.monotonic() - began)

    def add(self, what: str, seconds: float, memory: int = 0) -> None:
        """Take note of a round."""
        self._seconds.setdefault(what, []).append(seconds)
        self._memory[what] = max(memory, self._memory.get(what, 0))

    def show(self) -> None:
        """Print all."""
        for what, seconds in self._seconds.items():
            memory = f"{self._memory[what] / MIB:6.0f} MiB" if self._memory[what] else ""
            took = f"{min(seconds):7.2f} to {max(seconds):7.2f} s" if max(seconds) else " " * 20
            print(f"{what:50} {took}  {memory}".rstrip())


def measure_list(desk: Desk, figures: Figures) -> None:
    """The first line of `list --json`, all of it, and its sums."""
    figures.time("list --json | head -1", lambda: desk.shell("batch-outputs list --json | head -1"))
    for arguments in (["list", "--json"], ["list", "--summary"], ["tasks"]):
        began = time.monotonic()
        done = subprocess.run(  # noqa: S603
            [*COMMAND_THAT_TELLS, *arguments],
            env=desk.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=True,
        )
        figures.add(" ".join(arguments), time.monotonic() - began, most_told(done.stderr.decode()))


def measure_page(desk: Desk, big: BigJob, figures: Figures) -> None:
    """Pages of each sort, and the whole job counted and sorted."""
    container = big.container.name
    with serving(desk) as page:
        for what, address in {
            "page: jobs": addresses.JOBS,
            "page: the job's first hundred tasks": addresses.job(container),
            "page: a task": addresses.task(container, big.task(big.tasks // 2)),
            "page: tasks that begin with ...": addresses.job(container, q=big.task(big.tasks - 1)[:-1]),
            "page: tasks with ... anywhere": addresses.job(container, q=big.task(big.tasks - 1)[-4:], anywhere="1"),
        }.items():
            figures.time(what, partial(_get, page, address))
        began = time.monotonic()
        while "so far" in _get(page, addresses.job(container, sort="changed")):
            time.sleep(0.2)
        figures.add("page: all sorted by change, from the first request", time.monotonic() - began)
        figures.time("page: sorted by change, once more", partial(_get, page, addresses.job(container, sort="changed")))
        figures.add("page: the server after all of these", 0, most_memory(page.process.pid))


def _get(page: Page, address: str) -> str:
    answer = page.get(address)
    if answer.status != 200:
        raise RuntimeError(f"{answer.status} for {address}")
    return answer.text


def measure_service(big: BigJob, figures: Figures) -> None:
    """What another client takes for the lists behind these."""
    client = big.container.client
    pages = client.walk_blobs(delimiter="/", results_per_page=100).by_page()
    figures.time("azure-storage-blob: names of a hundred tasks", lambda: list(next(pages)))
    blobs = client.list_blobs(results_per_page=5000, include=["metadata"]).by_page()
    figures.time("azure-storage-blob: 5,000 blobs", lambda: list(next(blobs)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        with big_job(Path(folder) / "azurite", tasks=asked.tasks) as big:
            print(f"{big.blobs:,} blobs in {big.tasks:,} tasks, made in {time.monotonic() - began:.1f} s\n")
            for number in range(asked.rounds):
                desk = Desk(Path(folder) / f"desk-{number}" / "desk")
                desk.folder.mkdir(parents=True)
                desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = big.container.sas_url()
                measure_list(desk, figures)
                del desk.variables["BATCH_OUTPUTS_CONTAINER_URL"]
                desk.variables["AZURE_STORAGE_CONNECTION_STRING"] = big.container.azurite.connection_string
                measure_page(desk, big, figures)
                measure_service(big, figures)
    figures.show()


if __name__ == "__main__":
    main()
