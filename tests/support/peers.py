"""Other programs that the tests use: found where they are installed, and called with what they need.

A test that needs one is marked `@needs("ffmpeg")`: it is skipped by name where the program is missing, and with
`BATCH_OUTPUTS_TESTS_MUST_RUN=1` (as in `.ci/run`) it fails there instead, as any skipped test does (see `conftest.py`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

import pytest

from support.azurite import ACCOUNT, KEY, Azurite
from support.cache import cache_folder

Peer: TypeAlias = Literal["azcopy", "chromium", "ffmpeg", "nginx", "rclone"]


@cache
def find(peer: Peer) -> str | None:
    """The path of a program, or None: beside this Python, on PATH, where Debian has it, or in the tests' cache."""
    if named := os.environ.get(f"BATCH_OUTPUTS_TESTS_{peer.upper()}"):
        return named
    places = [os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath), "/usr/sbin"]
    return shutil.which(peer, path=os.pathsep.join(places)) or (_cached_azcopy() if peer == "azcopy" else None)


def _cached_azcopy() -> str | None:
    programs = cache_folder().glob("azcopy-*/node_modules/@azure-tools/azcopy-linux/dist/bin/azcopy_linux_*")
    return next((str(path) for path in sorted(programs) if os.access(path, os.X_OK)), None)


def needs(peer: Peer) -> pytest.MarkDecorator:
    """Mark a test that is of no use without this program."""
    return pytest.mark.skipif(find(peer) is None, reason=f"{peer} is not installed")


def program(peer: Peer) -> str:
    """The path of a program, for a test that is marked with `needs`."""
    path = find(peer)
    assert path, f"{peer} is not installed"
    return path


def rclone(azurite: Azurite, *arguments: str) -> str:
    """Run rclone and return what it prints; the server's containers are called `peer:<container>`."""
    environment = {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_PEER_TYPE": "azureblob",
        "RCLONE_CONFIG_PEER_ACCOUNT": ACCOUNT,
        "RCLONE_CONFIG_PEER_KEY": KEY,
        "RCLONE_CONFIG_PEER_ENDPOINT": azurite.endpoint,
    }
    return _run([program("rclone"), *arguments], environment)


def azcopy(folder: Path, *arguments: str) -> str:
    """Run AzCopy and return what it prints; its logs go to `folder`, and `--from-to` must be among the arguments."""
    environment = {
        "AZCOPY_LOG_LOCATION": str(folder),
        "AZCOPY_JOB_PLAN_LOCATION": str(folder),
        "AZCOPY_DISABLE_SYSLOG": "true",
    }
    return _run([program("azcopy"), *arguments], environment)


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
