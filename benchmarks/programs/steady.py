"""Writes a log at a steady rate: `steady.py FILE MIB_PER_SECOND SECONDS`, a hundred times a second."""

from __future__ import annotations

import os
import random
import sys
import time

MIB = 1024 * 1024
STEP = 0.01


def main() -> None:
    """Write what is due by the clock."""
    path, rate, seconds = sys.argv[1], float(sys.argv[2]) * MIB, float(sys.argv[3])
    block = random.Random(1).randbytes(MIB)  # noqa: S311 - nothing is kept secret by it
    total, written = int(rate * seconds), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    began = time.monotonic()
    while written < total:
        due = min(total, int((time.monotonic() - began + STEP) * rate))
        while written < due:
            written += os.write(descriptor, block[: due - written])
        time.sleep(STEP)


main()
