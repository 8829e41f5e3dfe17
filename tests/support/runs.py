"""Looking at a run of task t1 from outside: what is stored of its streams, and whether its program is there."""

from __future__ import annotations

import os
from pathlib import Path

from support.azurite import Container
from support.command import Desk

_PREFIX = "t1/$TaskLog/"


def logs(container: Container) -> dict[str, bytes]:
    """All logs of task t1 with their content, by name."""
    names = container.client.list_blob_names(name_starts_with=_PREFIX)
    return {name.removeprefix(_PREFIX): container.content(name) for name in names}


def marks(container: Container, name: str = "stdout.txt") -> dict[str, str]:
    """What a log of task t1 says of itself."""
    return container.client.get_blob_client(f"{_PREFIX}{name}").get_blob_properties().metadata


def program_is_there(desk: Desk) -> bool:
    """Whether a process works in the desk's folder, other than a wrapper (Linux)."""
    return any(_works_in(process, str(desk.folder)) for process in Path("/proc").glob("[0-9]*"))


def _works_in(process: Path, folder: str) -> bool:
    try:
        wraps = b"batch_outputs" in (process / "cmdline").read_bytes()
        return os.readlink(process / "cwd") == folder and not wraps
    except FileNotFoundError:
        return not _has_ended(process)  # just before its end it has no folder any more; it might be the one
    except OSError:
        return False


def _has_ended(process: Path) -> bool:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except OSError:
        return True


def spool_is_open(desk: Desk) -> bool:
    """Whether a process has a file of a spool open, its lock for example (Linux)."""
    spools = str(desk.folder / ".batch-outputs")
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(descriptor).startswith(spools):
                return True
        except OSError:
            continue
    return False
