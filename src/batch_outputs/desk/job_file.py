"""Reading a job from a file, and checking all that can be checked before anything runs.

The file is a job as the Batch REST API takes it, with its tasks as a list `tasks`, or a job template. A `file:` URL in
it may be relative (`file:scripts/render.py`): it begins at the file's own folder.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from batch_outputs.desk.fields import Fields
from batch_outputs.desk.graph import Graph
from batch_outputs.desk.job import PREPARATION, RELEASE, UNLIMITED, Job, Task
from batch_outputs.desk.properties import JOB_PROPERTIES, check_names
from batch_outputs.desk.task_reader import JobSettings, TaskReader, environment_settings
from batch_outputs.errors import BatchOutputsError, ConfigurationError
from batch_outputs.names import job_container_name


def read_document(path: str) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        ConfigurationError: it cannot be read, or is no JSON object.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"The file {path} cannot be read: {error.strerror}; check its name.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not text in UTF-8; save it as such.") from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f":{error.lineno}:{error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        what = error.msg if isinstance(error, json.JSONDecodeError) else "it is nested too deep"
        raise ConfigurationError(f"{path}{where}: this is no JSON ({what}); correct it.") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: a job should be a JSON object with a list `tasks`.")
    return document


def is_template(document: Mapping[str, Any]) -> bool:
    """Whether a document is a job template, and not a job."""
    return isinstance(document.get("job"), dict) or "taskFactory" in document


def check_job(document: Mapping[str, Any], path: str, *, slots: int, own_folder: str | None = None) -> Job:
    """The job of a document; `path` is its file's, for messages and for relative URLs.

    Args:
        slots: How many slots a node has.
        own_folder: The folder that the tasks store to: what is to be fetched from there may come to be only later.

    Raises:
        ExceptionGroup: what is wrong, one error each.
    """
    problems: list[Exception] = []
    reader = _Reader(Fields(document, f"{path}: ", problems), path, slots, own_folder)
    job = reader.job()
    if problems:
        raise ExceptionGroup(f"{path} cannot be tried", problems)
    return job


class _Reader:
    def __init__(self, fields: Fields, path: str, slots: int, own_folder: str | None) -> None:
        self._fields = fields
        self._path = path
        self._folder = os.path.dirname(os.path.abspath(path))
        self._slots = slots
        self._own_folder = own_folder
        self._notes: dict[str, None] = {}

    def job(self) -> Job:
        job = self._fields
        check_names(job, JOB_PROPERTIES, self._note)
        if job.has("jobManagerTask"):
            self._note("the job's jobManagerTask is not run; it would need a Batch account")
        constraints = job.section("constraints")
        on_failure = job.choice("onTaskFailure", ["noaction", "performexitoptionsjobaction"])
        settings = JobSettings(
            constraints.number("maxTaskRetryCount", 0, least=UNLIMITED),
            on_failure not in {None, "noaction"},
            environment_settings(job, "commonEnvironmentSettings"),
        )
        reader = TaskReader(settings, self._folder, self._slots, self._own_folder, self._note)
        written = job.parts("tasks")
        tasks = [reader.task(fields) for fields in written]
        if not tasks and not job.problems:
            job.refuse("", "there are no tasks; add a list `tasks`.")
        preparation = reader.special(job.part("jobPreparationTask"), PREPARATION)
        release = reader.special(job.part("jobReleaseTask"), RELEASE)
        if release is not None and preparation is None and not job.has("jobPreparationTask"):
            job.refuse("jobReleaseTask", "a job with a release task needs a preparation task; add one.")
        known = self._check_ids([*tasks, *filter(None, (preparation, release))])
        of_tasks = {key: known[key] for key in (task.task_id.lower() for task in tasks)}
        resolved = self._resolve(tasks, written, of_tasks)
        preparing = job.part("jobPreparationTask")
        return Job(
            job_id=self._job_id(),
            tasks=tuple(resolved),
            pool_id=self._pool_id(),
            preparation=preparation,
            release=release,
            waits_for_preparation=preparing is None or preparing.truth("waitForSuccess", True),
            performs_job_actions=settings.performs_actions,
            max_parallel_tasks=self._max_parallel(),
            max_wall_clock_time=constraints.duration("maxWallClockTime"),
            notes=tuple(self._notes),
        )

    def _note(self, what: str) -> None:
        self._notes[what] = None

    def _job_id(self) -> str:
        job_id = self._fields.text("id") or re.sub(r"[^A-Za-z0-9_-]+", "-", Path(self._path).stem).strip("-") or "job"
        try:
            job_container_name(job_id)
        except BatchOutputsError as error:
            self._fields.refuse("id", str(error))
        return job_id

    def _pool_id(self) -> str:
        pool = self._fields.part("poolInfo")
        return (pool and pool.text("poolId")) or "desk"

    def _max_parallel(self) -> int:
        most = self._fields.number("maxParallelTasks", UNLIMITED, least=UNLIMITED)
        if most == 0:
            self._fields.refuse("maxParallelTasks", "with 0 no task would ever run; leave it out for no limit.")
        return most

    def _check_ids(self, tasks: Sequence[Task]) -> dict[str, str]:
        """The ids by what they are compared by: two that differ only in case are one to the service."""
        known: dict[str, str] = {}
        for task in tasks:
            key = task.task_id.lower()
            if task.task_id and key in known:
                self._fields.problems.append(
                    ConfigurationError(
                        f"{task.place}: the id {task.task_id} is taken by another task; give each task its own."
                    )
                )
            known.setdefault(key, task.task_id)
        return known

    def _resolve(self, tasks: Sequence[Task], written: Sequence[Fields], known: Mapping[str, str]) -> list[Task]:
        job = self._fields
        resolved = []
        for task, fields in zip(tasks, written, strict=True):
            wanted = self._dependencies(Fields(fields.data, task.place, job.problems), known)
            resolved.append(replace(task, depends_on=wanted))
        if any(fields.data.get("dependsOn") for fields in written) and not job.truth("usesTaskDependencies", False):
            job.refuse("usesTaskDependencies", "it should be true, since tasks of the job depend on others.")
        if cycle := Graph({task.task_id: task.depends_on for task in resolved}).cycle():
            way = " → ".join([*cycle[:8], *(["…"] if len(cycle) > 8 else []), cycle[0]])
            job.refuse("tasks", f"they wait for each other in a circle, {way}; take one of these dependencies out.")
        return resolved

    def _dependencies(self, task: Fields, known: Mapping[str, str]) -> tuple[str, ...]:
        fields = task.part("dependsOn")
        if fields is None:
            return ()
        wanted: dict[str, None] = {}
        for name, task_id in fields.texts("taskIds"):
            if task_id.lower() in known:
                wanted[known[task_id.lower()]] = None
            else:
                fields.refuse(name, f"there is no task {task_id} in this job; check its id.")
        for one in fields.parts("taskIdRanges"):
            start, end = (one.number(name, 0, least=0) for name in ("start", "end"))
            if end < start:
                one.refuse("", f"the range ends at {end}, before its start {start}; swap them.")
                continue
            for number in range(start, end + 1):
                if str(number) not in known:
                    one.refuse("", f"there is no task {number} in this job; check the range.")
                    break
                wanted[str(number)] = None
        return tuple(wanted)
