"""Whole processes and what they cost: time, CPU, memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError

MIB = 1024 * 1024
_LAUNCHER = Path(__file__).with_name("launcher.py")
_PATIENCE = 900.0
"""Seconds after which a command is killed."""

_LAST_WORDS = 300


@dataclass(frozen=True)
class Command:
    """What is run: its words, its own variables, its folder, and where its output goes (nowhere if None)."""

    words: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    output: Path | None = None

    def with_variables(self, more: Mapping[str, str]) -> Command:
        """The same with more variables."""
        return replace(self, variables={**self.variables, **more})

    def environment(self) -> dict[str, str]:
        """The machine's PATH with the command's own variables: nothing of this machine's Azure or Batch."""
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        home = str(self.folder or tempfile.gettempdir())
        return {**kept, "HOME": home, "LC_ALL": "C.UTF-8", **self.variables}


@dataclass(frozen=True)
class Cost:
    """What a process and all its children have cost."""

    began: float
    """When it was started, on the monotonic clock, in seconds."""

    wall: float
    """Seconds from its start to its end."""

    cpu: float
    """Seconds of CPU, of user and system."""

    memory: int
    """The most bytes it had in memory."""


def measured(command: Command) -> Cost:
    """Run a command to its end.

    Raises:
        BenchmarkError: it did not end with 0.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        errors = Path(folder) / "stderr"
        launched = [sys.executable, "-I", "-S", str(_LAUNCHER), str(report), str(_PATIENCE), *command.words]
        with errors.open("wb") as stderr, open(command.output or os.devnull, "wb") as stdout:
            launcher = subprocess.Popen(  # noqa: S603
                launched,
                env=command.environment(),
                cwd=command.folder or folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            try:
                launcher.wait()
            except BaseException:
                # Whoever ends the benchmarks ends what they run, of which the launcher is only the first.
                os.killpg(launcher.pid, signal.SIGKILL)
                launcher.wait()
                raise
        told: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {"code": "no report"}
        if told["code"] != 0:
            said = _last_words(errors) or (_last_words(command.output) if command.output else "")
            raise BenchmarkError(f"{_shown(command)} ended with {told['code']}: {said or 'it said nothing'}")
    return Cost(told["began"], told["wall"], told["cpu"], told["memory"])


@contextmanager
def started(command: Command) -> Iterator[subprocess.Popen[bytes]]:
    """A command under way, for what is measured of it meanwhile; killed if it is still there at the end."""
    with (
        open(command.output or os.devnull, "wb") as output,
        subprocess.Popen(  # noqa: S603
            command.words,
            env=command.environment(),
            cwd=command.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as child,
    ):
        try:
            yield child
        finally:
            child.kill()


def cpu_until_now(pid: int) -> float:
    """Seconds of CPU of a process under way and of those it has started and waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(number) for number in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _last_words(path: Path) -> str:
    """The last line of what a program said."""
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1][:_LAST_WORDS] if lines else ""


def _shown(command: Command) -> str:
    """A command for a message: its program and its first words, but no URL with a secret and no program text."""
    words = [word for word in command.words[1:3] if "?" not in word and "\n" not in word]
    return " ".join([os.path.basename(command.words[0]), *words])
