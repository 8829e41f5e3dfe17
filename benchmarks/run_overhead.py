"""What `batch-outputs run` costs the program that it wraps.

    python benchmarks/run_overhead.py [--seconds 20] [--mib 100] [--rounds 5]

Two things are measured, the wrapped program in turn with the bare one, and medians are shown with their ratio:

- The program's own time: it computes, and writes so many MiB over so many seconds, to a file on the same disk. Shown
  are the wall time and the CPU time between its first instruction and its last.
- The delay of its first instruction, from the moment that the command line was started.

Outputs go to a folder on the same disk, which costs the machine more than a network would.
"""

# ruff: noqa: T201 - it prints what it has measured

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

PROGRAM = """
import os, sys, time
began, cpu = time.monotonic(), time.process_time()
mib, seconds = int(sys.argv[1]), float(sys.argv[2])
line = b"x" * 127 + b"\\n"
block = line * 512  # 64 KiB
def compute(amount):
    total = 0
    for number in range(amount):
        total += number * number % 7
    return total
# How much there is to compute is fixed before, so that a slower machine shows.
for _ in range(mib * 16):
    compute(int(sys.argv[4]))
    os.write(1, block)
with open(sys.argv[3], "w") as file:
    print(time.monotonic() - began, time.process_time() - cpu, began, file=file)
"""

FIRST = "import time, sys; open(sys.argv[1], 'w').write(str(time.monotonic()))"


def calibrated(mib: int, seconds: float) -> int:
    """How much the program is to compute before each write, so that all of it takes about this long."""
    amount = 20_000
    began = time.process_time()
    for _ in range(20):
        total = 0
        for number in range(amount):
            total += number * number % 7
    each = (time.process_time() - began) / 20 / amount
    return max(1, int(seconds / (mib * 16) / each))


def measure(command: Sequence[str], folder: str) -> list[float]:
    """Run a program to its end, its output in a file, and return the numbers that it wrote."""
    numbers = os.path.join(folder, "numbers")
    with open(os.path.join(folder, "out"), "wb") as out:
        subprocess.run(command, cwd=folder, stdout=out, stderr=subprocess.DEVNULL, check=True)  # noqa: S603
    with open(numbers, encoding="ascii") as file:
        return [float(text) for text in file.read().split()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--mib", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    wrapper = [sys.executable, "-m", "batch_outputs", "run", "--task", "t", "--"]
    amount = calibrated(asked.mib, asked.seconds)
    times: dict[str, list[list[float]]] = {"bare": [], "wrapped": []}
    delays: dict[str, list[float]] = {"bare": [], "wrapped": []}
    for number in range(asked.rounds):
        print(f"round {number + 1} of {asked.rounds}", file=sys.stderr)
        for way, before in (("bare", []), ("wrapped", wrapper)):
            with tempfile.TemporaryDirectory(dir=os.getcwd()) as folder:
                program = [sys.executable, "-c", PROGRAM, f"{asked.mib}", f"{asked.seconds}", "numbers", f"{amount}"]
                times[way].append(measure([*before, *program], folder))
                for _ in range(5):
                    began = time.monotonic()
                    (first,) = measure([*before, sys.executable, "-c", FIRST, "numbers"], folder)
                    delays[way].append((first - began) * 1000)
    print(f"{'':22}{'bare':>10}{'wrapped':>10}{'ratio':>8}")
    for index, what in ((0, "program's time, s"), (1, "program's CPU, s")):
        bare, wrapped = (statistics.median(one[index] for one in times[way]) for way in ("bare", "wrapped"))
        print(f"{what:22}{bare:10.2f}{wrapped:10.2f}{wrapped / bare:8.3f}")
    bare, wrapped = (statistics.median(delays[way]) for way in ("bare", "wrapped"))
    print(f"{'first instruction, ms':22}{bare:10.1f}{wrapped:10.1f}   delayed by {wrapped - bare:.1f} ms")


if __name__ == "__main__":
    main()
