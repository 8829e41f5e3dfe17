"""Writes a line to each of some files again and again: `lines.py FOLDER FILES PAUSE`, until it is told to end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

LINE = b"one more line of a log, as programs write them: 0123456789\n"


def main() -> None:
    """Write to all files evenly over the pause."""
    folder, files, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    opened = [
        os.open(os.path.join(folder, f"log{n}.txt"), os.O_WRONLY | os.O_APPEND | os.O_CREAT) for n in range(files)
    ]
    while not stop.is_set():
        began = time.monotonic()
        for number, descriptor in enumerate(opened):
            os.write(descriptor, LINE)
            if number % 20 == 0:
                stop.wait(max(0.0, began + pause * number / files - time.monotonic()))
        stop.wait(max(0.0, began + pause - time.monotonic()))


main()
