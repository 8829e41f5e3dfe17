"""The wrapper around an executable: start it, keep what it writes and makes, return its exit code.

    from batch_outputs.runner import run

    result = await run(["ffmpeg", "-i", "in.mov", "out.mp4"], save=["*.mp4"])

The same as the command `batch-outputs run`. Up to the program's start nothing heavy is loaded: `plan`, `launch` and
`program` are light, and `attend` brings in the library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_outputs.lazy import fetch

if TYPE_CHECKING:
    from batch_outputs.runner.preemption import Notice
    from batch_outputs.runner.program import CannotStartError
    from batch_outputs.runner.result import RunResult
    from batch_outputs.runner.rules import CheckpointRule, RestoreRule, SaveRule
    from batch_outputs.runner.wrap import run

__all__ = ["CannotStartError", "CheckpointRule", "Notice", "RestoreRule", "RunResult", "SaveRule", "run"]

_HOMES = {
    "CannotStartError": "program",
    "CheckpointRule": "rules",
    "Notice": "preemption",
    "RestoreRule": "rules",
    "RunResult": "result",
    "SaveRule": "rules",
    "run": "wrap",
}


def __getattr__(name: str) -> object:
    # As in the package itself: the command starts its program before the library is loaded.
    return fetch(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted(__all__)
