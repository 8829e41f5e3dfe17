"""Where the tests keep what they install for themselves: outside the tree, for all sessions of this user."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """The folder named by `BATCH_OUTPUTS_TESTS_CACHE`, or one in the user's cache."""
    if chosen := os.environ.get("BATCH_OUTPUTS_TESTS_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "batch-outputs-tests"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock among processes; it goes away with its holder, so a killed session blocks nobody."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            # Tries for ten seconds and then raises; an installation takes about that long, hence the loop.
            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
                except OSError:
                    continue
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
