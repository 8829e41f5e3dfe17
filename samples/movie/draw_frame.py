"""The task of a frame: it draws the frame whose number is the task's id, out of as many as FRAMES says."""

from __future__ import annotations

import os

from fractal import render, zoom


def main() -> None:
    """Write the frame to a file, whose name sorts as the frames follow each other."""
    number, frames = int(os.environ["AZ_BATCH_TASK_ID"]), int(os.environ["FRAMES"])
    view = next(view for view in zoom(frames) if view.number == number)
    with open(f"frame-{number:04}.png", "wb") as file:
        file.write(render(view, 64))
    print(f"frame {number} of {frames} is drawn", flush=True)


if __name__ == "__main__":
    main()
