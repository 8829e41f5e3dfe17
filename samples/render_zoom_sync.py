"""The task script of render_zoom.py without asyncio: the same names from `batch_outputs.sync`, blocking.

python render_zoom_sync.py --frames 6 --width 160
"""

from __future__ import annotations

import argparse
import os
from typing import TextIO

from batch_outputs.sync import TaskOutputKind, TaskOutputStorage
from fractal import zoom
from render_frames import draw, options


def render_zoom(chosen: argparse.Namespace, log: TextIO) -> None:
    """Draw and save one frame after the other."""
    with (
        TaskOutputStorage.from_env() as outputs,
        outputs.save_tracked(TaskOutputKind.TASK_LOG, log.name, "progress.log", flush_interval=chosen.flush_interval),
    ):
        for view in zoom(chosen.frames):
            frame, preview = draw(view, chosen.width)
            outputs.save(TaskOutputKind.TASK_OUTPUT, frame)
            outputs.save(TaskOutputKind.TASK_PREVIEW, preview)
            print(f"{frame} is saved, {view.number} of {chosen.frames}", file=log)


def main() -> None:
    """Read the options, open the log, and go."""
    parser = options("Render frames of a fractal zoom and keep them as a task's outputs.")
    parser.add_argument("--flush-interval", type=float, default=15.0, help="seconds between two savings of the log")
    chosen = parser.parse_args()
    os.makedirs("zoom", exist_ok=True)
    # Opened, and so emptied, before it is tracked. Each line is in the file as soon as it is printed.
    with open("zoom/progress.log", "w", buffering=1, encoding="utf-8") as log:
        render_zoom(chosen, log)


if __name__ == "__main__":
    main()
