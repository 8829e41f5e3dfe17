"""Computes and writes in turn: `busy.py WRITES AMOUNT FILE`, 64 KiB at a time; its own seconds go to the file."""

from __future__ import annotations

import os
import sys
import time

BLOCK = (b"x" * 127 + b"\n") * 512


def compute(amount: int) -> int:
    """Something that takes time in proportion to the amount."""
    total = 0
    for number in range(amount):
        total += number * number % 7
    return total


def main() -> None:
    """Do it, and tell the wall time and the CPU from the first instruction to the last."""
    began, cpu = time.monotonic(), time.process_time()
    writes, amount, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    for _ in range(writes):
        compute(amount)
        os.write(1, BLOCK)
    with open(path, "w") as file:
        print(time.monotonic() - began, time.process_time() - cpu, file=file)


if __name__ == "__main__":
    main()
