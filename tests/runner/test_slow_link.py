"""A link that is slower than the program: the program does not notice, memory stays small, nothing is lost."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from support.azurite import Container
from support.command import Desk, wait_until
from support.fault_proxy import FaultProxy
from support.memory import MIB, most_memory, needs_proc

pytestmark = needs_proc

MEMORY = 150 * MIB

WRITER = """
import os, sys, time
size, block = int(sys.argv[1]), bytes(range(256)) * 4096
longest, began = 0.0, time.monotonic()
for number in range(size):
    before = time.monotonic()
    os.write(1, number.to_bytes(4, "big") + block[4:])
    longest = max(longest, time.monotonic() - before)
print(longest, time.monotonic() - began, file=open("times", "w"))
open("written", "w").close()
input()
"""


def stored_size(container: Container) -> int:
    """How much of the log is stored."""
    return sum(blob.size for blob in container.client.list_blobs() if blob.name.endswith("stdout.txt"))


def test_a_flood_over_a_slow_link(azure: Desk, container: Container, fault_proxy: FaultProxy, long_form: bool) -> None:
    """64 MiB (1 GiB) written at once over 1 MB/s: no write waits, memory is bounded, and the end keeps its time.

    What is stored then is the beginning of the output; how much is left, and where, is said, and `resume` stores it.
    """
    size, limit = (1024, 5.0) if long_form else (64, 2.0)
    azure.write("writer.py", WRITER)
    through = fault_proxy.through(azure.variables["BATCH_OUTPUTS_CONTAINER_URL"])
    direct = dict(azure.variables)
    azure.variables["BATCH_OUTPUTS_CONTAINER_URL"] = through
    fault_proxy.bytes_per_second = 1e6
    options = ["--flush-timeout", f"{limit}", "--stderr", "direct"]
    with (azure.folder / "out").open("wb") as out:
        command = ["run", *options, "--", sys.executable, "writer.py", f"{size}"]
        with azure.started(*command, stdout=out.fileno()) as child:
            assert child.stdin
            wait_until((azure.folder / "written").exists)
            longest, whole = map(float, (azure.folder / "times").read_text().split())
            wait_until(lambda: (azure.folder / "out").stat().st_size == size * MIB)
            wait_until(lambda: stored_size(container) >= 4 * MIB)
            memory = most_memory(child.pid)
            began = time.monotonic()
            child.stdin.write(b"\n")
            done = azure.ended(child, code=125)
            took = time.monotonic() - began
    print(f"longest write {longest:.3f} s, all {whole:.1f} s, memory {memory / MIB:.0f} MiB, end {took:.1f} s")
    assert whole < size * MIB / 1e6 / 4
    assert memory < MEMORY
    assert took < limit + 30  # all of it would take twice that
    left = next(sentence for sentence in done.sentences if "could not be saved" in sentence)
    found = re.match(r"([\d,]+) bytes of (\S+stdout\.txt) could not be saved to t1/\$TaskLog/stdout\.txt", left)
    assert found, left
    stored = container.content("t1/$TaskLog/stdout.txt")
    spool = Path(found[2])
    content = spool.read_bytes()
    assert len(content) == size * MIB
    assert content.startswith(stored)
    assert int(found[1].replace(",", "")) >= size * MIB - len(stored)
    assert (azure.folder / "out").read_bytes() == content
    fault_proxy.bytes_per_second = None
    azure.run("resume", code=125, variables=direct)  # it is told to go elsewhere
    azure.run("resume")
    assert container.content("t1/$TaskLog/stdout.txt") == content
    assert not spool.exists()
