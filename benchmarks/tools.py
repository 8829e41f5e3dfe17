"""The programs that batch-outputs is compared with, installed once per user into the tests' cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from benchmarks.errors import BenchmarkError
from support.azurite import npm_command
from support.cache import cache_folder, locked
from support.peers import find

AZCOPY = "10.32.2"
_REQUIREMENTS = Path(__file__).with_name("peers.txt")


class Tools:
    """Where the programs are; each is installed when it is first asked for.

    Each raises BenchmarkError if it cannot be.
    """

    @cached_property
    def azcopy(self) -> str:
        """AzCopy, from npm."""
        return find("azcopy") or _installed_azcopy()

    @cached_property
    def rclone(self) -> str:
        """The machine's rclone, or that of PyPI."""
        return find("rclone") or str(self._venv / "bin" / "rclone")

    @cached_property
    def python(self) -> str:
        """A Python that has azure-storage-blob and adlfs, and not batch-outputs."""
        return str(self._venv / "bin" / "python")

    def versions(self) -> dict[str, str]:
        """What is compared with, of what has been asked for."""
        known: dict[str, str] = {}
        if "azcopy" in self.__dict__:
            known["AzCopy"] = _said([self.azcopy, "--version"]).split()[-1]
        if "rclone" in self.__dict__:
            known["rclone"] = _said([self.rclone, "version"]).split()[1]
        if "python" in self.__dict__:
            packages = json.loads(
                _said([sys.executable, "-m", "pip", "--python", self.python, "list", "--format=json"])
            )
            known |= {one["name"]: one["version"] for one in packages if one["name"] in ("adlfs", "azure-storage-blob")}
        return known

    @cached_property
    def _venv(self) -> Path:
        name = hashlib.sha256(_REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
        home = cache_folder() / f"peers-{name}"
        with locked(home.with_suffix(".lock")):
            if not (home / "complete").exists():
                shutil.rmtree(home, ignore_errors=True)
                _run([sys.executable, "-m", "venv", "--without-pip", str(home)], "a virtual environment")
                pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(home / "bin/python")]
                _run([*pip, "install", "--quiet", "-r", str(_REQUIREMENTS)], "the peers from PyPI")
                # A virtual environment knows its own place, so it cannot be made elsewhere and moved.
                (home / "complete").touch()
        return home


def _installed_azcopy() -> str:
    home = cache_folder() / f"azcopy-{AZCOPY}"
    with locked(home.with_suffix(".lock")), tempfile.TemporaryDirectory(dir=home.parent) as unfinished:
        if not home.exists():
            build = Path(unfinished) / "azcopy"
            build.mkdir()
            (build / "package.json").write_text('{"private": true}')
            package = f"@azure-tools/azcopy-linux@{AZCOPY}"
            npm = [
                *npm_command(),
                "install",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--fetch-retries=1",
                package,
            ]
            _run(npm, "AzCopy from npm", folder=build)
            for program in (build / "node_modules/@azure-tools/azcopy-linux/dist/bin").iterdir():
                program.chmod(0o755)
            build.rename(home)
    find.cache_clear()
    if path := find("azcopy"):
        return path
    raise BenchmarkError(
        f"AzCopy {AZCOPY} was installed into {home}, and its program is not there; remove that folder."
    )


def _run(command: Sequence[str], what: str, *, folder: Path | None = None) -> None:
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
        said = "" if done.returncode == 0 else (done.stderr or done.stdout).strip()
        failed = done.returncode != 0
    except OSError as error:
        failed, said = True, str(error)
    if failed:
        lines = said.splitlines() or ["it said nothing"]
        cause = next((line for line in lines if "error" in line.lower()), lines[-1])
        raise BenchmarkError(
            f"Could not install {what}: {cause}. Try again with a network, or leave peers out with --peers."
        )


def _said(command: Sequence[str]) -> str:
    return subprocess.run(  # noqa: S603
        command, env={**os.environ, "AZCOPY_DISABLE_SYSLOG": "true"}, capture_output=True, text=True, check=True
    ).stdout
