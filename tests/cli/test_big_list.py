"""`list` over a job of 100,000 blobs: it shows what it has as it comes, and needs no more memory for more of it."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from support.azurite import KEY
from support.big_container import BigJob
from support.command import TIMEOUT, Desk, Done, signature
from support.memory import COMMAND_THAT_TELLS, MIB, most_memory, most_told, needs_proc


@pytest.fixture
def big_desk(desk: Desk, big: BigJob) -> Desk:
    """The desk with the big job's container."""
    url = big.container.sas_url()
    desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = url
    desk.secrets += [signature(url), KEY]
    return desk


def test_the_first_lines_come_at_once(big_desk: Desk, big: BigJob) -> None:
    """`list --json | head -1` takes the first page of twenty and perhaps the next, and ends with 0.

    That it takes less than 2 s is measured by `benchmarks/browse_big.py`; here there is room for a busy machine.
    """
    before, began = big.pages_asked_for, time.monotonic()
    done = big_desk.shell("{ batch-outputs list --json; echo code $? >&2; } | head -1")
    assert time.monotonic() - began < 60
    assert json.loads(done.out)["blob"] == f"{big.task(0)}/$TaskLog/stderr.txt"
    assert done.err == "code 0\n"
    assert 1 <= big.pages_asked_for - before <= 2


@needs_proc
def test_lines_are_shown_in_little_memory(big_desk: Desk, big: BigJob) -> None:
    """After 15,000 lines, each another blob in the order of their names, `list --json` has had less than 120 MiB."""
    with big_desk.started("list", "--json") as child:
        assert child.stdout
        blobs = [json.loads(child.stdout.readline())["blob"] for _ in range(15_000)]
        assert most_memory(child.pid) < 120 * MIB
        child.stdout.close()
        assert child.wait(timeout=TIMEOUT) == 0
    assert blobs == sorted(set(blobs))


@needs_proc
def test_all_of_it_is_counted(big_desk: Desk, big: BigJob) -> None:
    """`list --summary` counts 100,000 blobs by kind, to the byte, in less than 120 MiB."""
    command = [*COMMAND_THAT_TELLS, "list", "--summary", "--json"]
    child = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, env=big_desk.environment(), timeout=300, check=False
    )
    done = big_desk.checked(Done(child.returncode, child.stdout, child.stderr), 0)
    counts = {record["kind"]: (record["tasks"], record["files"], record["size"]) for record in done.objects}
    assert counts.pop(None) == (big.tasks, big.blobs, big.size)
    assert counts == big.sums
    assert most_told(done.err) < 120 * MIB
