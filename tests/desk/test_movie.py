"""The movie job among the samples runs whole at a desk."""

from __future__ import annotations

import struct
from pathlib import Path

from support.command import Desk

MOVIE = Path(__file__).parents[2] / "samples" / "movie" / "movie.json"
FRAMES = ("1", "2", "3", "4")


def test_the_movie_is_made(desk: Desk) -> None:
    """Frames are drawn by tasks beside each other, and a last task joins what they stored to an output of the job."""
    done = desk.run("try", "--json", "--nodes", "2", "--slots", "2", str(MOVIE))
    assert [record["task"] for record in done.objects] == [*FRAMES, "merge"]
    logs = {f"{task}/$TaskLog/{stream}.txt" for task in (*FRAMES, "merge") for stream in ("stdout", "stderr")}
    frames = {f"{task}/$TaskOutput/frame-000{task}.png" for task in FRAMES}
    assert set(desk.outputs("--job", "movie")) == logs | frames | {"$JobOutput/movie.png"}
    assert desk.run("cat", "--job", "movie", "--task", "merge", "stdout.txt").out == "4 frames are joined\n"
    movie = desk.run("cat", "--job", "movie", "JobOutput/movie.png").stdout
    assert movie.startswith(b"\x89PNG")
    animation = movie.index(b"acTL") + 4
    assert struct.unpack_from(">I", movie, animation) == (len(FRAMES),)
    assert movie.count(b"fcTL") == len(FRAMES)
