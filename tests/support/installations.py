"""Our distributions, and virtual environments that hold nothing but what a test asks for, made by uv.

They come from the package index that uv is configured for. Where that cannot be reached, a test that needs it is
skipped by name.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIST = "BATCH_OUTPUTS_TESTS_DIST"
"""The variable that names the folder of the distributions that were built already, one of which is installed."""

_NO_INDEX = re.compile(
    r"error sending request|Failed to fetch|client error \(Connect\)|network was disabled", re.IGNORECASE
)
_TIMEOUT = 300.0


def uv(*arguments: str | Path) -> None:
    """Run uv to its end; skips the test if it cannot reach the package index."""
    done = subprocess.run(
        [sys.executable, "-m", "uv", "--quiet", *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT,
    )
    if done.returncode and _NO_INDEX.search(done.stderr):
        pytest.skip(f"the package index cannot be reached: {done.stderr}")
    assert done.returncode == 0, f"uv {arguments[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"


@dataclass(frozen=True)
class Distributions:
    """A source distribution, and the wheel that was built from it."""

    folder: Path

    @property
    def sdist(self) -> Path:
        """The source distribution."""
        return self._only("*.tar.gz")

    @property
    def wheel(self) -> Path:
        """The wheel."""
        return self._only("*.whl")

    def _only(self, pattern: str) -> Path:
        (found,) = self.folder.glob(pattern)
        return found


def distributions(folder: Path) -> Distributions:
    """The distributions that are named by the environment, or new ones in this folder."""
    if named := os.environ.get(DIST):
        return Distributions(Path(named))
    uv("build", "--out-dir", folder)
    return Distributions(folder)


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @property
    def programs(self) -> Path:
        """Where its programs are."""
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.programs / ("python.exe" if os.name == "nt" else "python")

    def install(self, *arguments: str | Path) -> None:
        """Install something, with options as `uv pip install` takes them."""
        uv("pip", "install", "--python", self.python, *arguments)


def new_environment(folder: Path) -> Environment:
    """An environment of the Python that runs the tests, with nothing in it, not even pip."""
    uv("venv", "--python", sys.executable, folder)
    return Environment(folder)
