"""What came of a run, as JSON for programs."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from batch_outputs.errors import TargetError
from batch_outputs.runner.plan import RunPlan
from batch_outputs.runner.result import RunResult

if TYPE_CHECKING:
    from batch_outputs.outputs import OutputFileReference


def check_report(path: str) -> None:
    """Make sure, before the program starts, that a report can be written to `path`.

    Raises:
        TargetError: it is a folder, or there is no folder for it that can be written.
    """
    folder = os.path.dirname(path) or os.curdir
    if os.path.isdir(path) or not os.path.basename(path):
        raise TargetError(f"The report {path} is a folder; name a file.", path=path)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise TargetError(f"The report {path} cannot be written: make the folder {folder}, writable, first.", path=path)


def write_report(
    path: str, plan: RunPlan, result: RunResult, code: int, sentences: Callable[[Exception], Sequence[str]]
) -> None:
    """Write what came of a run to a file, whole or not at all; `code` is the exit code of the run as a whole.

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
    beside = f"{path}.{secrets.token_hex(4)}.part"
    try:
        with open(beside, "w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(report, file, indent=2, ensure_ascii=False)
            file.write("\n")
        os.replace(beside, path)
    except OSError as error:
        raise TargetError(f"The report {path} cannot be written: {error.strerror}.", path=path) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(beside)


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
