"""Logs that are kept stored while they grow, on the sink; beside ours stands a plain loop of azure-storage-blob."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.cases import Case, Row, Stage
from benchmarks.contenders.base import PROGRAMS
from benchmarks.contenders.ours import TASK, our_command
from benchmarks.contenders.sdk import SdkAio
from benchmarks.errors import BenchmarkError
from benchmarks.measuring import MIB, Command, cpu_until_now, measured, started
from benchmarks.metrics import Sample, sample_of
from benchmarks.results import Role
from benchmarks.sink import Sink
from benchmarks.verdicts import Limit
from support.azurite import Container
from support.memory import most_memory

_INTERVAL = 1.0
_LOOK = 0.1
_PATIENCE = 120.0


class _Tracker:
    """One that keeps logs stored."""

    name = "batch-outputs track"
    role: Role = "ours"
    prefix = f"{TASK}/$TaskLog/"

    def command(self, container: Container, folder: Path, names: Sequence[str], pid: int | None) -> Command:
        """Keep the files of a folder stored until it gets SIGTERM, or a process has ended."""
        until = () if pid is None else ("--until-exit", str(pid))
        interval = ("--flush-interval", f"{_INTERVAL:g}")
        return our_command("track", *until, *interval, *names, container=container, folder=folder)


class _Loop(_Tracker):
    """What a script does by itself."""

    name = "azure-storage-blob, aio, a loop"
    role: Role = "peer"
    prefix = ""

    def __init__(self, python: str) -> None:
        self._python = python

    def command(self, container: Container, folder: Path, names: Sequence[str], pid: int | None) -> Command:
        """See `_Tracker`."""
        words = [self._python, str(PROGRAMS / "sdk_append.py"), f"{_INTERVAL:g}", str(pid or 0), *names]
        return Command(words, {"CONTAINER_URL": container.sas_url()}, folder)


class _Tracking(Case):
    """All trackers in turn."""

    def __init__(self, name: str, limits: Sequence[Limit]) -> None:
        super().__init__(name, limits, service="sink")

    @contextmanager
    def rows(self, stage: Stage) -> Iterator[Sequence[Row]]:
        """Ours, and the loop if azure-storage-blob was asked for."""
        trackers = [_Tracker()]
        if stage.has_peer(SdkAio.key):
            trackers.append(_Loop(stage.tools.python))
        yield [Row(tracker.name, tracker.role, partial(self.run, stage, tracker)) for tracker in trackers]

    @abstractmethod
    def run(self, stage: Stage, tracker: _Tracker, check: bool) -> Sample:
        """Have a tracker do its work."""


class Growing(_Tracking):
    """So many files that all grow by two lines a second: the CPU of a while, without the start and the end."""

    def __init__(self, files: int, limits: Sequence[Limit] = (), *, quick: int) -> None:
        super().__init__(f"{files} growing files" if files > 1 else "a growing file", limits)
        self._files = files
        self._quick = quick

    def run(self, stage: Stage, tracker: _Tracker, check: bool) -> Sample:
        """See `_Tracking`."""
        files, seconds = (self._quick, 2.0) if stage.quick else (self._files, 20.0)
        sink = stage.services.sink.sink
        container = stage.services.sink.fresh(check=check)
        names = [f"log{number}.txt" for number in range(files)]
        lines = [str(PROGRAMS / "lines.py"), ".", str(files), str(_INTERVAL / 2)]
        with stage.scratch() as folder, started(Command([sys.executable, *lines], folder=folder)) as writer:
            _wait(lambda: all((folder / name).exists() for name in names), writer)
            with started(tracker.command(container, folder, names, None)) as child:
                _wait(lambda: _appends(sink) >= 2 * files, child)
                before, appends, began = cpu_until_now(child.pid), _appends(sink), time.monotonic()
                time.sleep(seconds)
                cpu, wall = cpu_until_now(child.pid) - before, time.monotonic() - began
                appends, memory = _appends(sink) - appends, most_memory(child.pid)
                writer.terminate()
                writer.wait()
                child.send_signal(signal.SIGTERM)
                _end(child)
            _compare(sink, tracker.prefix, {name: folder / name for name in names}, check=check)
        core = {"core": cpu / wall, "memory": memory / MIB}
        return {**core, "appends": appends / wall, "each": cpu / max(1, appends) * 1e6}


class Backlog(_Tracking):
    """A log that is there already when tracking begins, and whose program has ended."""

    def __init__(self, limits: Sequence[Limit] = ()) -> None:
        super().__init__("a log of 1 GiB", limits)

    def run(self, stage: Stage, tracker: _Tracker, check: bool) -> Sample:
        """See `_Tracking`."""
        data = stage.data(1, 40 * MIB if stage.quick else 1024 * MIB)
        [log] = data.files.values()
        container = stage.services.sink.fresh(check=check)
        ended = subprocess.Popen([sys.executable, "-c", "pass"])
        ended.wait()
        cost = measured(tracker.command(container, log.parent, [log.name], ended.pid))
        traffic = stage.services.sink.traffic()
        _compare(stage.services.sink.sink, tracker.prefix, {log.name: log}, check=check)
        return sample_of(cost, traffic)


class Fast(_Tracking):
    """A log that is written at 100 MiB/s: the share of CPU meanwhile, and how far behind it falls."""

    def __init__(self, limits: Sequence[Limit] = ()) -> None:
        super().__init__("a log of 100 MiB/s", limits)

    def run(self, stage: Stage, tracker: _Tracker, check: bool) -> Sample:
        """See `_Tracking`."""
        rate, seconds = (20, 1.5) if stage.quick else (100, 10.0)
        sink = stage.services.sink.sink
        container = stage.services.sink.fresh(check=check)
        with stage.scratch() as folder:
            log = folder / "fast.log"
            log.touch()
            # The tracker is under way before the first byte: its start is measured elsewhere.
            gate = ("-c", "import sys; sys.stdin.read()")
            with (
                _held([sys.executable, *gate], folder) as holder,
                started(tracker.command(container, folder, [log.name], holder.pid)) as child,
            ):
                _wait(lambda: sink.counts().total > 0, child)
                words = [sys.executable, str(PROGRAMS / "steady.py"), log.name, str(rate), str(seconds)]
                before, began = cpu_until_now(child.pid), time.monotonic()
                with started(Command(words, folder=folder)) as writer:
                    lag = _longest_lag(log, sink, writer, rate * MIB)
                    if writer.wait():
                        raise BenchmarkError("what writes the log failed")
                cpu, ended = cpu_until_now(child.pid) - before, time.monotonic()
                memory = most_memory(child.pid)
                _let_go(holder)
                _end(child)
                rest = time.monotonic() - ended
            _compare(sink, tracker.prefix, {log.name: log}, check=check)
        return {"core": cpu / (ended - began), "memory": memory / MIB, "lag": lag, "rest": rest}


@contextmanager
def _held(words: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose end is waited for by others; it ends when its standard input does."""
    with subprocess.Popen(words, cwd=folder, stdin=subprocess.PIPE) as holder:  # noqa: S603
        try:
            yield holder
        finally:
            holder.kill()


def _let_go(holder: subprocess.Popen[bytes]) -> None:
    if holder.stdin is not None:
        holder.stdin.close()
    holder.wait()


def _longest_lag(log: Path, sink: Sink, writer: subprocess.Popen[bytes], rate: float) -> float:
    """How far what is stored was behind what is written, in seconds at that rate, until the writer ends."""
    longest = 0.0
    while writer.poll() is None:
        written = log.stat().st_size
        longest = max(longest, (written - sink.counts().stored) / rate)
        time.sleep(_LOOK)
    return longest


def _appends(sink: Sink) -> int:
    return sink.counts().requests.get("PUT appendblock", 0)


def _wait(condition: Callable[[], bool], child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if child.poll() is not None or time.monotonic() > deadline:
            raise BenchmarkError(f"it ended, or did nothing for {_PATIENCE:.0f} s")
        time.sleep(_LOOK)


def _end(child: subprocess.Popen[bytes]) -> None:
    try:
        code = child.wait(_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"it did not end within {_PATIENCE:.0f} s") from error
    if code:
        raise BenchmarkError(f"it ended with {code}")


def _compare(sink: Sink, prefix: str, logs: Mapping[str, Path], *, check: bool) -> None:
    """Refuse what is stored of the logs if it is not what they hold."""
    written = sum(log.stat().st_size for log in logs.values())
    if (stored := sink.counts().stored) != written:
        raise BenchmarkError(f"wrong bytes: {stored:,} are stored of {written:,}")
    if check and (wrong := sink.wrong({prefix + name: log for name, log in logs.items()})):
        raise BenchmarkError(f"wrong bytes in {len(wrong):,} of the logs, such as {wrong[0]}")
