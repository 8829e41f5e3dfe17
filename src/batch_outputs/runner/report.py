"""What came of a run, as JSON for programs."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from batch_outputs.errors import TargetError
from batch_outputs.files import write_whole
from batch_outputs.runner.plan import RunPlan
from batch_outputs.runner.result import RunResult

if TYPE_CHECKING:
    from batch_outputs.outputs import OutputFileReference

_PATIENCE = 5.0
"""Seconds that the reader of a pipe may take nothing of a report."""
_LOOK = 0.05
_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def check_report(path: str) -> None:
    """Make sure, before the program starts, that a report can be written to `path`.

    Raises:
        TargetError: it is a folder, or there is no folder for it that can be written, or it is a pipe or device that
            cannot be written.
    """
    if os.path.isdir(path) or not os.path.basename(path):
        raise TargetError(f"The report {path} is a folder; name a file.", path=path)
    with _refusals(path):
        if _is_to_stay(path):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
    folder = os.path.dirname(_end_of_links(path)) or os.curdir
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise TargetError(f"The report {path} cannot be written: make the folder {folder}, writable, first.", path=path)


def write_report(
    path: str, plan: RunPlan, result: RunResult, code: int, sentences: Callable[[Exception], Sequence[str]]
) -> None:
    """Write what came of a run to a file, whole or not at all; `code` is the exit code of the run as a whole.

    A pipe or a device is written to, and for a link the file that it leads to is written; neither is replaced.

    Raises:
        TargetError: it cannot be written.
    """
    report = {
        "place": plan.location.place,
        "job": plan.job_id,
        "task": plan.task_id,
        "exit_code": code,
        "program": {"exit_code": result.exit_code, "seconds": round(result.seconds, 3)},
        "seconds_saving": round(result.seconds_saving, 3),
        "logs": _outputs(result.logs),
        "saved": _outputs(result.saved),
        "checkpoints": _outputs(result.checkpoints),
        "restored": _outputs(result.restored),
        "recovered": _outputs(result.recovered),
        "unmatched": [str(error) for error in result.unmatched],
        "failures": [sentence for failure in result.failures for sentence in sentences(failure)],
        "left_in": result.spool,
        "notice": {"event": result.notice.event, "not_before": result.notice.not_before} if result.notice else None,
    }
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    content = text.encode("utf-8", errors="backslashreplace")
    with _refusals(path):
        if _is_to_stay(path):
            _write_into(path, content)
        else:
            write_whole(_end_of_links(path), content)


@contextlib.contextmanager
def _refusals(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TargetError(f"The report {path} cannot be written: {error.strerror}.", path=path) from error


def _is_to_stay(path: str) -> bool:
    """Whether there is something that a file must not take the place of: a pipe, a device, where our output goes."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(there.st_mode) or any(_leads_to(descriptor, there) for descriptor in (1, 2))


def _leads_to(descriptor: int, there: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), there)
    except OSError:
        return False  # it is closed


def _end_of_links(path: str) -> str:
    return os.path.realpath(path) if os.path.islink(path) else path


def _write_into(path: str, content: bytes) -> None:
    """Write to what is there, as far as somebody takes it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | _WITHOUT_WAITING)
    try:
        rest, deadline = content, time.monotonic() + _PATIENCE
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
                deadline = time.monotonic() + _PATIENCE
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, "nobody reads it") from None
                time.sleep(_LOOK)
    finally:
        os.close(descriptor)


def _outputs(outputs: Sequence[OutputFileReference]) -> list[dict[str, object]]:
    return [
        {
            "kind": str(output.kind),
            "name": output.name,
            "blob": output.blob_name,
            "size": output.size,
            "complete": output.complete,
        }
        for output in outputs
    ]
