"""The simulation of a fleet does what the library does, and the document shows what it prints."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # benchmarks are run from there

from benchmarks.fleet.cadence import rounds
from benchmarks.fleet.overload import SCENARIOS, simulate
from benchmarks.fleet.service import LATENCY, Operation, Service
from benchmarks.fleet.simulated_time import run_simulated
from benchmarks.fleet.tasks import Life, Task, quiet, run_all

from batch_outputs.log_part import MAX_APPEND
from batch_outputs.sync import TaskOutputStorage
from support import http1
from support.azurite import Container
from support.command import Desk, wait_until
from support.fault_proxy import FaultProxy
from support.faults import answer_before

ROOT = Path(__file__).parents[2]
NAMES: dict[http1.Operation, Operation] = {
    "create": "create",
    "append": "append",
    "properties": "look",
    "set_metadata": "mark",
}


class Refusing(Service):
    """Refuses the first request of each of some operations, and knows in which order all came."""

    def __init__(self, refused: Sequence[Operation]) -> None:
        super().__init__()
        self.order: list[Operation] = []
        self._left = list(refused)

    def takes(self, operation: Operation, now: float) -> bool:
        self.order.append(operation)
        if operation in self._left:
            self._left.remove(operation)
            return False
        return super().takes(operation, now)


def without_repeated_appends(order: Sequence[Operation]) -> list[Operation]:
    """A file that grows has more appends than one that stands still."""
    return [op for op, before in zip(order, [None, *order], strict=False) if (op, before) != ("append", "append")]


def test_the_document_shows_what_the_simulation_prints(tmp_path: Path) -> None:
    """Every table of figures is in docs/scale.md as it comes; `--into docs/scale.md` renews them."""
    document = ROOT / "docs" / "scale.md"
    copy = tmp_path / "scale.md"
    copy.write_bytes(document.read_bytes())
    subprocess.run([sys.executable, "-m", "benchmarks.fleet", "--into", str(copy)], cwd=ROOT, check=True, timeout=300)
    assert copy.read_text(encoding="utf-8") == document.read_text(encoding="utf-8")


def test_the_advice_is_that_of_the_tables() -> None:
    """The number of tasks up to which nothing has to be set is the one that keeps an account at 70 % of its limit."""
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| up to ([\d,]+) \|", text, re.MULTILINE)[-1] in re.findall(
        r"^\| 15 s \|.* ([\d,]+) \|$", text, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("flush_interval", "rate", "until"),
    [(15.0, 100.0, 100_000.0), (1.0, 100.0, 6_000.0), (60.0, 200 * 1024.0, 1200.0)],
    ids=["old", "soon old", "fast"],
)
def test_rounds_come_when_those_of_a_tracked_save_come(
    flush_interval: float, rate: float, until: float, seed: int
) -> None:
    """With the same chance, each round is at the same moment, whether it is worked out or the library runs."""
    random.seed(seed)
    end = until - 1.1  # at which no round begins: they come at looks, of which there are four a second
    expected = list(rounds(flush_interval, rate, end))
    assert all(size <= MAX_APPEND for _, size in expected)
    service = Service()
    random.seed(seed)
    run_simulated(run_all([Task(service, Life(0.0, until, flush_interval, streams=1, rate=rate))]))
    moments = [moment - LATENCY for moment, _ in service.lags if moment - LATENCY < end]
    assert moments == pytest.approx([age for age, _ in expected])


@pytest.mark.parametrize("refused", [(), ("create",), ("append",), ("append", "append"), ("set_metadata",)])
def test_a_refusal_is_followed_by_the_same_requests(
    container: Container, fault_proxy: FaultProxy, tmp_path: Path, refused: Sequence[http1.Operation]
) -> None:
    """What a tracked save asks for after a 503, and in which order, is so in the simulation, too."""
    for operation in refused:
        fault_proxy.fault(answer_before(503), on=operation)
    path = tmp_path / "log.txt"
    path.write_bytes(b"some lines\n")
    with (
        TaskOutputStorage.from_container_url(fault_proxy.through(container.sas_url()), "t1") as task,
        task.save_tracked("TaskLog", path, "log.txt", flush_interval=0.5) as tracked,
    ):
        wait_until(lambda: tracked.bytes_saved)
    service = Refusing([NAMES[operation] for operation in refused])
    with quiet():
        run_simulated(run_all([Task(service, Life(0.0, 10.0, 0.5, streams=1))]))
    real = [NAMES[request.operation] for request in fault_proxy.requests]
    assert without_repeated_appends(service.order) == without_repeated_appends(real)


@pytest.mark.skipif(sys.platform == "win32", reason="programs of POSIX")
def test_a_task_makes_as_many_requests(azure: Desk, fault_proxy: FaultProxy) -> None:
    """A wrapped program that writes to both streams for a moment costs what the simulated one costs."""
    url = azure.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    azure.variables["BATCH_OUTPUTS_CONTAINER_URL"] = fault_proxy.through(url)
    azure.run("run", "--", "sh", "-c", "echo out; echo err >&2")
    service = Service()
    run_simulated(run_all([Task(service, Life(0.0, 1.0, 15.0))]))
    real = sorted(NAMES[request.operation] for request in fault_proxy.requests)
    assert real == sorted(service.by_operation.elements())


def test_a_sample_stands_for_all() -> None:
    """Four times as many tasks, against four times as much of the limit, fare alike."""
    (scenario,) = (one for one in SCENARIOS if one.name == "100,000 at 15 s, all end in one second")
    few, many = (simulate(scenario, sample=sample) for sample in (60, 240))
    assert few.sent == pytest.approx(many.sent, rel=0.2)
    assert few.refused == pytest.approx(many.refused, abs=0.06)
    assert few.done_after == pytest.approx(many.done_after, rel=0.3)
