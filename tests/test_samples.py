"""Every sample does what it says when a user runs it in a clean folder."""

from __future__ import annotations

import os
import shlex
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from batch_outputs.errors import BlobNotFoundError, ContainerNotFoundError
from batch_outputs.sync import JobOutputStorage, OutputFileReference
from support.azurite import Container
from support.peers import needs, program

SAMPLES = Path(__file__).parents[1] / "samples"
COMMAND = [sys.executable, "-m", "batch_outputs"]
SCRIPTS = ["render_zoom.py", "render_zoom_sync.py"]
LOOK = 0.03
"""Seconds between two looks at a log in storage; each waits for the end of the script instead of sleeping."""


@dataclass(frozen=True)
class Place:
    """Where a script is sent to, and where its outputs are then read."""

    variables: dict[str, str]
    url: str

    def outputs(self, task: str = "task") -> dict[str, OutputFileReference]:
        """All outputs of a task, by kind and name."""
        with JobOutputStorage.from_container_url(self.url) as job:
            return {f"{output.kind}/{output.name}": output for output in job.task(task).list_outputs()}

    def read(self, kind_and_name: str, task: str = "task") -> bytes:
        """The content of one output."""
        kind, _, name = kind_and_name.partition("/")
        with JobOutputStorage.from_container_url(self.url) as job:
            return job.task(task).get_output(kind, name).read_bytes()


@pytest.fixture
def desk(tmp_path: Path) -> Place:
    """The embedded default of a script that runs in `tmp_path` with nothing configured."""
    return Place({}, (tmp_path / "batch-outputs" / "job-local").as_uri())


@pytest.fixture(params=["desk", "service"])
def place(request: pytest.FixtureRequest) -> Place:
    """The embedded default, and a container that is named by a URL with just the rights that saving needs."""
    if request.param == "desk":
        at_desk: Place = request.getfixturevalue("desk")
        return at_desk
    container: Container = request.getfixturevalue("container")
    variables = {"BATCH_OUTPUTS_CONTAINER_URL": container.sas_url("rw"), "AZ_BATCH_TASK_ID": "task"}
    return Place(variables, container.sas_url("rl"))


def start(folder: Path, *command: str, variables: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a command in a folder, without the variables that this shell may have for other accounts."""
    ours = ("AZURE_", "BATCH_OUTPUTS_", "AZ_BATCH_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**environment, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *command: str, variables: Mapping[str, str] | None = None, code: int = 0) -> tuple[str, str]:
    """Run a command to its end, check its exit code, and return what it printed to stdout and stderr."""
    with start(folder, *command, variables=variables or {}) as process:
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == code, f"{shlex.join(command)}\n{stdout}\n{stderr}"
    return stdout, stderr


def script(name: str, *options: str) -> list[str]:
    """The command that runs a sample."""
    return [sys.executable, str(SAMPLES / name), *options]


def png_size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG of 8-bit colours, all of which is read and checked."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks = list(png_chunks(data[8:]))
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *how = struct.unpack(">IIBBBBB", chunks[0][1])
    assert how == [8, 2, 0, 0, 0], "8 bits for each of red, green and blue, with nothing unusual"
    pixels = zlib.decompress(chunks[1][1])
    row = 1 + 3 * width
    assert len(pixels) == height * row
    assert len(set(pixels)) > 10, "a picture, not a blank"
    assert not any(pixels[::row]), "rows that are not filtered"
    return width, height


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG behind its signature, their checksums checked."""
    while data:
        length, kind = struct.unpack_from(">I4s", data)
        content = data[8 : 8 + length]
        assert struct.unpack_from(">I", data, 8 + length)[0] == zlib.crc32(kind + content)
        yield kind, content
        data = data[12 + length :]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_task_script_saves_frames_previews_and_its_log(name: str, place: Place, tmp_path: Path) -> None:
    """Each frame is a picture of the size asked for, each preview a smaller one of it, and the log is whole."""
    run(tmp_path, *script(name, "--frames", "2", "--width", "60"), variables=place.variables)
    found = place.outputs()
    assert sorted(found) == [
        "TaskLog/progress.log",
        "TaskOutput/zoom/frame-001.png",
        "TaskOutput/zoom/frame-002.png",
        "TaskPreview/zoom/small/frame-001.png",
        "TaskPreview/zoom/small/frame-002.png",
    ]
    for number in "001", "002":
        frame = place.read(f"TaskOutput/zoom/frame-{number}.png")
        preview = place.read(f"TaskPreview/zoom/small/frame-{number}.png")
        assert (png_size(frame), png_size(preview)) == ((60, 45), (15, 11))
        assert len(preview) < len(frame)
    assert found["TaskOutput/zoom/frame-001.png"].content_type == "image/png"
    assert all(output.complete for output in found.values())
    log = place.read("TaskLog/progress.log")
    assert log == (tmp_path / "zoom" / "progress.log").read_bytes()
    assert len(log.splitlines()) == 2


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_log_grows_in_storage_while_the_script_runs(name: str, place: Place, tmp_path: Path) -> None:
    """Before the script has ended, its log is in storage in growing parts, and each is the beginning of the whole."""
    lengths: set[int] = set()
    for width in ("80", "160", "240"):  # on a busy machine a script may be faster than who looks
        options = ("--frames", "10", "--width", width, "--flush-interval", "0.1")
        with start(tmp_path, *script(name, *options), variables=place.variables) as process:
            seen = list(states_until_the_end(process, lambda: place.read("TaskLog/progress.log")))
            _, stderr = process.communicate()
        assert process.returncode == 0, stderr
        whole = place.read("TaskLog/progress.log")
        assert len(whole.splitlines()) == 10
        assert all(whole.startswith(part) for part in seen)
        lengths = {len(part) for part in seen} - {0, len(whole)}
        if len(lengths) >= 2:
            break
    assert len(lengths) >= 2


def states_until_the_end(process: subprocess.Popen[str], read: Callable[[], bytes]) -> Iterator[bytes]:
    """What is read, again and again, while a process runs; nothing where there is nothing yet."""
    while process.poll() is None:
        with suppress(BlobNotFoundError, ContainerNotFoundError):
            yield read()
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_that_is_run_again_keeps_its_earlier_log(name: str, place: Place, tmp_path: Path) -> None:
    """The second run's log has the plain name, and the first run's is kept, whole, as attempt 1."""
    run(tmp_path, *script(name, "--frames", "2", "--width", "8"), variables=place.variables)
    first = place.read("TaskLog/progress.log")
    run(tmp_path, *script(name, "--frames", "1", "--width", "8"), variables=place.variables)
    found = place.outputs()
    assert place.read("TaskLog/progress.attempt-1.log") == first
    assert place.read("TaskLog/progress.log") == b"zoom/frame-001.png is saved, 1 of 1\n"
    assert found["TaskLog/progress.attempt-1.log"].complete
    assert found["TaskLog/progress.log"].complete


@pytest.mark.parametrize("name", [*SCRIPTS, "render_frames.py"])
def test_a_wrong_option_is_refused_before_anything_is_done(name: str, tmp_path: Path) -> None:
    """A number of frames that is none ends the script with the parser's sentence and nothing written."""
    _, stderr = run(tmp_path, *script(name, "--frames", "0"), code=2)
    assert "--frames" in stderr
    assert "Traceback" not in stderr
    assert not any(tmp_path.iterdir())


def test_the_plain_program_is_wrapped(desk: Place, tmp_path: Path) -> None:
    """A program that knows nothing of us: what it prints comes through and is kept, and so are its files."""
    saves = ["--save", "zoom/*.png", "--save", "TaskPreview=zoom/small/*.png"]
    plain = script("render_frames.py", "--frames", "2", "--width", "20")
    stdout, _ = run(tmp_path, *COMMAND, "run", *saves, "--", *plain)
    assert stdout.splitlines() == ["zoom/frame-001.png is drawn, 1 of 2", "zoom/frame-002.png is drawn, 2 of 2"]
    assert desk.read("TaskLog/stdout.txt") == (stdout if os.linesep == "\n" else stdout.replace("\n", "\r\n")).encode()
    assert png_size(desk.read("TaskOutput/zoom/frame-002.png")) == (20, 15)
    assert png_size(desk.read("TaskPreview/zoom/small/frame-002.png")) == (5, 3)
    assert len(desk.outputs()) == 6


@needs("ffmpeg")
def test_ffmpeg_is_wrapped_as_the_samples_page_says(desk: Place, tmp_path: Path) -> None:
    """The page's command makes a video that ffmpeg can read from storage, and keeps what ffmpeg said."""
    page = (SAMPLES / "README.md").read_text(encoding="utf-8")
    [line] = [line for line in page.splitlines() if line.startswith("batch-outputs run") and "lavfi" in line]
    command = [program("ffmpeg") if word == "ffmpeg" else word for word in shlex.split(line)]
    _, stderr = run(tmp_path, *COMMAND, *command[1:])
    assert "Stream mapping" in stderr
    assert b"Stream mapping" in desk.read("TaskLog/stderr.txt", "video")
    stored = tmp_path / "stored.mp4"
    stored.write_bytes(desk.read("TaskOutput/test.mp4", "video"))
    _, complaints = run(tmp_path, program("ffmpeg"), "-v", "error", "-i", str(stored), "-f", "null", "-")
    assert complaints == ""
    assert desk.outputs("video")["TaskOutput/test.mp4"].content_type == "video/mp4"


def test_the_demo_runs_twice_whatever_the_shell_is_set_up_for(desk: Place, tmp_path: Path) -> None:
    """The demo saves to ./batch-outputs and nowhere else, shows each command, and keeps the first run's logs."""
    elsewhere = {
        "AZURE_STORAGE_CONNECTION_STRING": "nonsense",
        "BATCH_OUTPUTS_ACCOUNT_URL": "https://account.invalid",
        "AZ_BATCH_JOB_ID": "somebody-elses",
        "AZ_BATCH_NODE_ID": "tvm-1",
    }
    mine = tmp_path / "zoom" / "mine.txt"
    for left in [["batch-outputs"], ["batch-outputs", "zoom"]]:
        stdout, _ = run(tmp_path, *script("demo.py"), variables=elsewhere)
        shown = [line.split()[1] for line in stdout.splitlines() if line.startswith("$ ")]
        assert shown == ["batch-outputs", "python", "batch-outputs", "batch-outputs"]
        assert "wrapped/$TaskOutput/zoom/frame-003.png" in stdout
        assert "task/$TaskPreview/zoom/small/frame-003.png" in stdout
        assert "\nzoom/frame-003.png is saved, 3 of 3\n" in stdout
        assert sorted(path.name for path in tmp_path.iterdir()) == left
        mine.parent.mkdir(exist_ok=True)
        mine.touch()
    assert mine.exists(), "a folder that happens to be called like the demo's own is left alone"
    assert "TaskLog/progress.attempt-1.log" in desk.outputs("task")
    assert "TaskLog/stdout.attempt-1.txt" in desk.outputs("wrapped")
    assert png_size(desk.read("TaskOutput/zoom/frame-003.png", "wrapped")) == (160, 120)
