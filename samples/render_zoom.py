"""A task script: it renders frames of a fractal zoom and keeps each as soon as it is there, with a preview and a log.

    python render_zoom.py --frames 6 --width 160

Where to is said by BATCH_OUTPUTS_CONTAINER_URL on a Batch node. At a desk, with nothing set, it is ./batch-outputs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import TextIO

from batch_outputs import TaskOutputKind, TaskOutputStorage
from fractal import zoom
from render_frames import draw, options


async def render_zoom(chosen: argparse.Namespace, log: TextIO) -> None:
    """Draw and save one frame after the other."""
    async with (
        TaskOutputStorage.from_env() as outputs,
        outputs.save_tracked(TaskOutputKind.TASK_LOG, log.name, "progress.log", flush_interval=chosen.flush_interval),
    ):
        for view in zoom(chosen.frames):
            # This blocks the event loop, and may: the log is saved from a thread of its own.
            frame, preview = draw(view, chosen.width)
            await outputs.save(TaskOutputKind.TASK_OUTPUT, frame)
            await outputs.save(TaskOutputKind.TASK_PREVIEW, preview)
            print(f"{frame} is saved, {view.number} of {chosen.frames}", file=log)


def main() -> None:
    """Read the options, open the log, and go."""
    parser = options("Render frames of a fractal zoom and keep them as a task's outputs.")
    parser.add_argument("--flush-interval", type=float, default=15.0, help="seconds between two savings of the log")
    chosen = parser.parse_args()
    os.makedirs("zoom", exist_ok=True)
    # Opened, and so emptied, before it is tracked. Each line is in the file as soon as it is printed.
    with open("zoom/progress.log", "w", buffering=1, encoding="utf-8") as log:
        asyncio.run(render_zoom(chosen, log))


if __name__ == "__main__":
    main()
