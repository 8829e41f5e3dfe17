"""Jobs to be tried at a desk: their JSON, and what came of each task when they were."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from batch_outputs.desk.job_file import check_job
from batch_outputs.desk.running import TaskResult
from batch_outputs.desk.schedule import Telling
from batch_outputs.desk.trial import Trial, TrialResult
from batch_outputs.desk.workspace import TryFolder
from batch_outputs.location import DirectoryAccount
from batch_outputs.settings import Target
from support.command import wait_until


def sh(script: str) -> str:
    """A command line that has a shell do this."""
    return f"/bin/sh -c {shlex.quote(script)}"


def task(task_id: str, script: str = "true", /, **properties: object) -> dict[str, object]:
    """The JSON of a task that has a shell do something."""
    return {"id": task_id, "commandLine": sh(script), **properties}


def depends(*ids: str) -> dict[str, object]:
    """The property of a task that depends on these."""
    return {"dependsOn": {"taskIds": list(ids)}}


def upload(pattern: str, path: str | None, when: str = "taskcompletion", url: str | None = None) -> dict[str, object]:
    """The JSON of an upload rule; without a URL to the job's container at the desk."""
    container = {key: value for key, value in (("path", path), ("containerUrl", url)) if value is not None}
    return {
        "filePattern": pattern,
        "destination": {"container": container},
        "uploadOptions": {"uploadCondition": when},
    }


def job(*tasks: Mapping[str, object], **properties: object) -> dict[str, object]:
    """The JSON of a job."""
    return {"id": "demo", "usesTaskDependencies": True, "tasks": list(tasks), **properties}


@dataclass
class Tried:
    """What came of a try."""

    result: TrialResult

    def __getitem__(self, task_id: str) -> TaskResult:
        (found,) = [result for result in self.all if result.task_id == task_id]
        return found

    @property
    def all(self) -> list[TaskResult]:
        """Of all tasks, the preparation and release tasks too."""
        return [*self.result.tasks, *self.result.around]

    @property
    def states(self) -> dict[str, str]:
        """How each task ended."""
        return {result.task_id: result.state for result in self.all}

    def stdout(self, task_id: str) -> str:
        """What a task wrote."""
        return Path(self[task_id].directory or "", "stdout.txt").read_text()


def attempt(
    folder: Path, document: Mapping[str, Any], *, nodes: int = 1, slots: int = 1, only: tuple[str, ...] = ()
) -> Tried:
    """Try a job in `folder/try`, storing to `folder/account`."""
    target = Target(DirectoryAccount(folder / "account"))
    checked = check_job(document, str(folder / "job.json"), slots=slots)

    async def carry_out() -> TrialResult:
        silent = Telling(lambda *_: None, lambda *_: None, lambda _: None)
        trial = Trial(
            checked,
            TryFolder(str(folder / "try")),
            target,
            tasks=only,
            nodes=nodes,
            slots=slots,
            telling=silent,
            on_retry=lambda *_: None,
        )
        return await trial.carry_out()

    return Tried(anyio.run(carry_out))


def stored(folder: Path) -> dict[str, bytes]:
    """What a try has stored in the job's container, by blob name."""
    container = folder / "account" / "job-demo"
    files = (path for path in container.rglob("*") if path.is_file())
    named = {path.relative_to(container).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in named.items() if not name.startswith(".")}


def is_gone(pid: int) -> bool:
    """Whether a process has ended, as it has a moment after it was killed."""

    def gone() -> bool:
        try:
            status = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return True
        return status.rpartition(b")")[2].split()[0] == b"Z"

    wait_until(gone)
    return True
