"""A renderer as you may have one already: it writes pictures below zoom/ and says on stdout how it goes.

    python render_frames.py --frames 6 --width 160

It knows nothing of batch-outputs. The command `batch-outputs run` keeps what it makes from the outside, and
render_zoom.py does so from the inside.
"""

from __future__ import annotations

import argparse
import os

from fractal import View, render, zoom


def draw(view: View, width: int) -> tuple[str, str]:
    """Write a frame and a preview of a quarter of its width; return the paths of both."""
    frame, preview = f"zoom/frame-{view.number:03}.png", f"zoom/small/frame-{view.number:03}.png"
    os.makedirs("zoom/small", exist_ok=True)
    for path, pixels in (frame, width), (preview, max(width // 4, 1)):
        with open(path, "wb") as file:
            file.write(render(view, pixels))
    return frame, preview


def options(description: str) -> argparse.ArgumentParser:
    """The options that all scripts have which draw with this one."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--frames", type=positive, default=6, help="how many frames (default: %(default)s)")
    parser.add_argument("--width", type=positive, default=160, help="width of a frame in pixels (default: %(default)s)")
    return parser


def positive(text: str) -> int:
    """A whole number above 0."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def main() -> None:
    """Draw all frames, the widest view first."""
    chosen = options("Render frames of a fractal zoom to files.").parse_args()
    for view in zoom(chosen.frames):
        frame, _ = draw(view, chosen.width)
        print(f"{frame} is drawn, {view.number} of {chosen.frames}", flush=True)


if __name__ == "__main__":
    main()
