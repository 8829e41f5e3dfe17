"""The main job from end to end, at your desk: outputs are saved to the folder ./batch-outputs and read back.

    python samples/demo.py

A program that knows nothing of batch-outputs is wrapped, a task script saves by itself, and what both left is listed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SAMPLES = Path(__file__).parent
# The storage account or the Batch node that this shell may be set up for is none of the demo's business: without these
# variables outputs go to ./batch-outputs.
ELSEWHERE = ("AZURE_", "BATCH_", "AZ_BATCH_")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.upper().startswith(ELSEWHERE)}


def python(script: str, *arguments: str) -> list[str]:
    """The command line that runs a script of the samples."""
    path = SAMPLES / script
    return ["python", os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path), *arguments]


def run(*command: str) -> None:
    """Show a command as at a prompt, and run it."""
    show = subprocess.list2cmdline if os.name == "nt" else shlex.join
    print(f"\n$ {show(command)}", flush=True)
    subprocess.run(_started_by_this_python(command), env=ENVIRONMENT, check=True)


def _started_by_this_python(command: Sequence[str]) -> list[str]:
    """The command with the programs of this virtual environment, whether it is activated or not."""
    programs = {"python": [sys.executable], "batch-outputs": [sys.executable, "-m", "batch_outputs"]}
    return [part for word in command for part in programs.get(word, [word])]


def main() -> None:
    """Wrap a program, run a task script, and look at what both saved."""
    found = os.path.exists("zoom")
    wrap = ("run", "--task", "wrapped", "--save", "zoom/*.png", "--save", "TaskPreview=zoom/small/*.png")
    run("batch-outputs", *wrap, "--", *python("render_frames.py", "--frames", "3"))
    run(*python("render_zoom.py", "--frames", "3"))
    run("batch-outputs", "list")
    run("batch-outputs", "cat", "progress.log")
    if not found:
        shutil.rmtree("zoom")  # where the two drew; all of it is saved
    print("\nThe pictures are below batch-outputs/job-local; look at them with any viewer.")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
