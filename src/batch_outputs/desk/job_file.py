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

from batch_outputs.desk.command_line import needs_shell, split
from batch_outputs.desk.fields import Fields
from batch_outputs.desk.graph import Graph
from batch_outputs.desk.job import (
    PREPARATION,
    RELEASE,
    UNLIMITED,
    ExitConditions,
    ExitOptions,
    Job,
    ResourceFile,
    Task,
    UploadRule,
)
from batch_outputs.desk.properties import JOB_PROPERTIES, PARTS, SPECIAL_TASK_PROPERTIES, TASK_PROPERTIES
from batch_outputs.desk.urls import absolute_url, check_access, local_path_of
from batch_outputs.errors import BatchOutputsError, ConfigurationError
from batch_outputs.names import job_container_name, name_at
from batch_outputs.runner.rules import When

_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MODE = re.compile(r"0?[0-7]{3}")
_WINDOWS = os.name == "nt"
_NO_IDENTITY = "identities of a pool are not at hand: what needs one is reached with this desk's own access"
_RELEASE_TIME = 15 * 60.0
"""Seconds that a release task may take where nothing is said, as with the service."""

_WHEN: Mapping[str, When] = {"tasksuccess": "success", "taskfailure": "failure", "taskcompletion": "completion"}


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
        self._check_names(job, JOB_PROPERTIES)
        if job.has("jobManagerTask"):
            self._note("the job's jobManagerTask is not run; it would need a Batch account")
        constraints = job.part("constraints") or self._nothing("constraints")
        self._job_retries = constraints.number("maxTaskRetryCount", 0, least=UNLIMITED)
        self._common = self._environment(job, "commonEnvironmentSettings")
        self._performs_actions = job.choice("onTaskFailure", ["noaction", "performexitoptionsjobaction"]) not in {
            None,
            "noaction",
        }
        written = job.parts("tasks")
        tasks = [self._task(fields) for fields in written]
        if not tasks and not job.problems:
            job.refuse("", "there are no tasks; add a list `tasks`.")
        preparation = self._special(job.part("jobPreparationTask"), PREPARATION)
        release = self._special(job.part("jobReleaseTask"), RELEASE)
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
            performs_job_actions=self._performs_actions,
            max_parallel_tasks=self._max_parallel(),
            max_wall_clock_time=constraints.duration("maxWallClockTime"),
            notes=tuple(self._notes),
        )

    def _nothing(self, name: str) -> Fields:
        return Fields({}, self._fields.at(name), self._fields.problems)

    def _note(self, what: str) -> None:
        self._notes[what] = None

    def _check_names(self, fields: Fields, known: frozenset[str]) -> None:
        """Refuse names that are misspelt, in what is read of the objects within too."""
        for name in fields.check_names(known):  # what the service has told of a job holds many
            self._note(f"the property {name} is not known here and not looked at")
        for name in sorted(known & PARTS.keys()):
            for part in fields.objects(name):
                self._check_names(part, PARTS[name])

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

    # Tasks

    def _task(self, fields: Fields) -> Task:
        task_id = fields.text("id", required=True) or ""
        if task_id and not _TASK_ID.fullmatch(task_id):
            fields.refuse("id", f"{task_id!r} is no task id: at most 64 letters, digits, '-' and '_'.")
        elif task_id:
            fields = Fields(fields.data, f"{fields.place} ({task_id})", fields.problems)
        self._check_names(fields, TASK_PROPERTIES)
        constraints = fields.part("constraints") or Fields({}, fields.at("constraints"), fields.problems)
        slots = fields.number("requiredSlots", 1, least=1)
        if slots > self._slots:
            fields.refuse(
                "requiredSlots", f"the task needs {slots} slots and a node has {self._slots}; give it more (--slots)."
            )
        if fields.has("multiInstanceSettings"):
            fields.refuse("multiInstanceSettings", "a multi-instance task cannot be tried at a desk; leave it out.")
        self._check_upload_rules(fields)
        return Task(
            task_id=task_id,
            command_line=self._command_line(fields),
            place=fields.place,
            resource_files=tuple(self._resource(one) for one in fields.parts("resourceFiles")),
            environment={**self._common, **self._environment(fields, "environmentSettings")},
            upload_rules=tuple(self._upload_rule(one) for one in fields.parts("outputFiles")),
            depends_on=(),
            exit_conditions=self._exit_conditions(fields.part("exitConditions")),
            max_wall_clock_time=constraints.duration("maxWallClockTime"),
            max_retries=constraints.number("maxTaskRetryCount", self._job_retries, least=UNLIMITED),
            required_slots=slots,
        )

    def _special(self, fields: Fields | None, usual_id: str) -> Task | None:
        """The preparation or release task."""
        if fields is None:
            return None
        self._check_names(fields, SPECIAL_TASK_PROPERTIES)
        task_id = fields.text("id") or usual_id
        if not _TASK_ID.fullmatch(task_id):
            fields.refuse("id", f"{task_id!r} is no task id: at most 64 letters, digits, '-' and '_'.")
        if fields.has("outputFiles"):
            fields.refuse("outputFiles", "preparation and release tasks have no upload rules; leave them out.")
        constraints = fields.part("constraints") or Fields({}, fields.at("constraints"), fields.problems)
        limit = constraints.duration("maxWallClockTime")
        if usual_id == RELEASE:
            limit = fields.duration("maxWallClockTime") or _RELEASE_TIME
        return Task(
            task_id=task_id,
            command_line=self._command_line(fields),
            place=fields.place,
            resource_files=tuple(self._resource(one) for one in fields.parts("resourceFiles")),
            environment={**self._common, **self._environment(fields, "environmentSettings")},
            max_wall_clock_time=limit,
            max_retries=constraints.number("maxTaskRetryCount", 0, least=UNLIMITED),
        )

    def _command_line(self, fields: Fields) -> str:
        line = fields.text("commandLine", required=True)
        if fields.has("containerSettings"):
            self._note("container images are not used: command lines run on this machine itself")
        if fields.has("applicationPackageReferences"):
            self._note("application packages are not fetched, and there are no AZ_BATCH_APP_PACKAGE_… variables")
        if line is None:
            return ""
        try:
            split(line)
            word = needs_shell(line)
        except ConfigurationError as error:
            fields.refuse("commandLine", str(error))
            return ""
        if word is not None:
            self._note(
                f"{fields.at('commandLine')} has {word}, which goes to the program as it stands, since no shell runs "
                "the line; for a shell write /bin/sh -c '…'"
            )
        return line

    def _environment(self, fields: Fields, name: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for setting in fields.parts(name):
            variable = setting.text("name", required=True)
            value = setting.data.get("value")
            if variable is None:
                continue
            if "=" in variable or "\0" in variable:
                setting.refuse("name", f"{variable!r} cannot be the name of a variable; leave out what is no letter.")
            elif variable.upper().startswith("AZ_BATCH_"):
                setting.refuse("name", f"{variable} is for the service to set; choose a name without AZ_BATCH_.")
            elif (variable.upper() if _WINDOWS else variable) in found:
                setting.refuse("name", f"{variable} is set twice; keep one.")
            elif value is not None and (not isinstance(value, str) or "\0" in value):
                setting.refuse("value", "it should be a text; write numbers and truth values in quotation marks.")
            else:
                found[variable.upper() if _WINDOWS else variable] = value or ""
        return found

    def _check_upload_rules(self, fields: Fields) -> None:
        if not fields.has("outputFiles"):
            return
        from batch_outputs.client import check_upload_rules

        try:
            check_upload_rules(fields.data)
        except BatchOutputsError as error:
            fields.refuse("outputFiles", str(error))
        except (AttributeError, KeyError, TypeError, ValueError):
            pass  # malformed in a way that is refused where it is read

    def _upload_rule(self, fields: Fields) -> UploadRule:
        pattern = fields.text("filePattern", required=True) or ""
        destination = fields.part("destination")
        container = destination.part("container") if destination is not None else None
        if destination is not None and destination.has("autoStorage"):
            destination.refuse("autoStorage", "only a template has it; name a container, or leave out the destination.")
        options = fields.part("uploadOptions")
        condition = options.choice("uploadCondition", list(_WHEN)) if options is not None else None
        url = container and self._url(container, "containerUrl", "w")
        if container is not None and container.has("identityReference"):
            self._note(_NO_IDENTITY)
        content_type = None
        for header in container.parts("uploadHeaders") if container is not None else []:
            if (header.text("name", required=True) or "").lower() in {"content-type", "x-ms-blob-content-type"}:
                content_type = header.text("value")
        path = container.text("path") if container is not None else None
        if container is not None and path is not None:
            try:
                name_at(path, "x")
            except BatchOutputsError as error:
                container.refuse("path", str(error))
        return UploadRule(
            place=fields.place,
            pattern=pattern,
            when=_WHEN[condition or "taskcompletion"],
            path=path,
            container_url=url or None,
            content_type=content_type,
        )

    def _exit_conditions(self, fields: Fields | None) -> ExitConditions:
        if fields is None:
            return ExitConditions()
        none = ExitOptions()
        codes = {}
        for one in fields.parts("exitCodes"):
            if "code" not in one.data:
                one.refuse("", "code is missing; add it.")
            codes[one.number("code", 0, least=-(2**31))] = self._exit_options(one, "exitOptions") or none
        ranges = []
        for one in fields.parts("exitCodeRanges"):
            start, end = (one.number(name, 0, least=-(2**31)) for name in ("start", "end"))
            if end < start:
                one.refuse("", f"the range ends at {end}, before its start {start}; swap them.")
            ranges.append((start, end, self._exit_options(one, "exitOptions") or none))
        return ExitConditions(
            codes,
            tuple(ranges),
            self._exit_options(fields, "preProcessingError"),
            self._exit_options(fields, "fileUploadError"),
            self._exit_options(fields, "default"),
        )

    def _exit_options(self, parent: Fields, name: str) -> ExitOptions | None:
        fields = parent.part(name)
        if fields is None:
            return None
        job_action = fields.choice("jobAction", ["none", "disable", "terminate"])
        if job_action is not None and not self._performs_actions:
            fields.refuse(
                "jobAction", "it has no effect unless the job's onTaskFailure is performexitoptionsjobaction."
            )
        return ExitOptions(job_action, fields.choice("dependencyAction", ["satisfy", "block"]))  # type: ignore[arg-type]

    # Dependencies

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

    # What is fetched

    def _resource(self, fields: Fields) -> ResourceFile:
        sources = [name for name in ("httpUrl", "storageContainerUrl", "autoStorageContainerName") if fields.has(name)]
        if len(sources) != 1:
            fields.refuse(
                "",
                "one of httpUrl, storageContainerUrl and autoStorageContainerName is needed, and only one; "
                f"{'none is there' if not sources else ' and '.join(sources) + ' are there'}.",
            )
        url = self._url(fields, "httpUrl", "r", container=False)
        container_url = self._url(fields, "storageContainerUrl", "rl")
        self._check_source(fields, url, container_url)
        if fields.has("identityReference"):
            self._note(_NO_IDENTITY)
        if url and fields.has("blobPrefix"):
            fields.refuse("blobPrefix", "it is of use with a container only; leave it out beside httpUrl.")
        mode = fields.text("fileMode") or "0770"
        if not _MODE.fullmatch(mode):
            fields.refuse("fileMode", f"{mode!r} is no file mode; write it in octal digits, as 0755.")
            mode = "0770"
        return ResourceFile(
            place=fields.place,
            http_url=url,
            container_url=container_url,
            auto_storage_container=fields.text("autoStorageContainerName"),
            blob_prefix=fields.text("blobPrefix") or "",
            file_path=self._file_path(fields, required=bool(url)),
            file_mode=int(mode, 8),
        )

    def _file_path(self, fields: Fields, *, required: bool) -> str:
        path = fields.text("filePath", required=required) or ""
        parts = path.replace("\\", "/").split("/") if _WINDOWS else path.split("/")
        if os.path.isabs(path) or ".." in parts or "\0" in path or (_WINDOWS and ":" in path):
            fields.refuse("filePath", f"{path!r} leads out of the task's working directory; write a path inside it.")
        elif required and path and parts[-1] in {"", "."}:
            fields.refuse("filePath", f"{path!r} ends like a folder; add the name of the file.")
        return path

    def _check_source(self, fields: Fields, url: str | None, container_url: str | None) -> None:
        for name, text, what, there in (
            ("httpUrl", url, "file", os.path.isfile),
            ("storageContainerUrl", container_url, "folder", os.path.isdir),
        ):
            if not text or not text.startswith("file:"):
                continue
            path = local_path_of(text)
            if self._own_folder and Path(path).is_relative_to(self._own_folder):
                continue  # a task before this one may store it
            if not there(path):
                other = " (for a folder use storageContainerUrl)" if what == "file" and os.path.isdir(path) else ""
                fields.refuse(name, f"there is no {what} {path}{other}; check the path.")

    def _url(self, fields: Fields, name: str, needs: str, *, container: bool = True) -> str | None:
        """A URL, with a relative `file:` one made absolute; `needs` are the letters of what its SAS has to allow."""
        text = fields.text(name)
        if text is None:
            return None
        try:
            url = absolute_url(text, self._folder)
            check_access(url, needs, container=container)
        except ConfigurationError as error:
            fields.refuse(name, str(error))
            return None
        return url
