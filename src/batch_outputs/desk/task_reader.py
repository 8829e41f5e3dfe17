"""Reading a task of a job, or its preparation or release task, and checking what can be checked of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from batch_outputs.desk.command_line import needs_shell, split
from batch_outputs.desk.fields import Fields
from batch_outputs.desk.job import (
    RELEASE,
    UNLIMITED,
    ExitConditions,
    ExitOptions,
    ResourceFile,
    Task,
    UploadRule,
)
from batch_outputs.desk.properties import SPECIAL_TASK_PROPERTIES, TASK_PROPERTIES, check_names
from batch_outputs.desk.urls import absolute_url, check_access, local_path_of
from batch_outputs.errors import BatchOutputsError, ConfigurationError
from batch_outputs.names import name_at
from batch_outputs.runner.rules import When

_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MODE = re.compile(r"0?[0-7]{3}")
_WINDOWS = os.name == "nt"
_NO_IDENTITY = "identities of a pool are not at hand: what needs one is reached with this desk's own access"
_RELEASE_TIME = 15 * 60.0
"""Seconds that a release task may take where nothing is said, as with the service."""

_WHEN: Mapping[str, When] = {"tasksuccess": "success", "taskfailure": "failure", "taskcompletion": "completion"}


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What the job says of all its tasks: how often they are run again, whether their ends end it, their variables."""

    retries: int
    performs_actions: bool
    environment: Mapping[str, str] = field(repr=False)


class TaskReader:
    """Reads the tasks of one job. `note` is told what of them the desk does otherwise than a node.

    `folder` is where relative URLs begin, `slots` how many a node has; what lies in `own_folder` may come to be only
    while the job runs.
    """

    def __init__(
        self, job: JobSettings, folder: str, slots: int, own_folder: str | None, note: Callable[[str], object]
    ) -> None:
        self._job = job
        self._folder = folder
        self._slots = slots
        self._own_folder = own_folder
        self._note = note

    def task(self, fields: Fields) -> Task:
        """A task; what it waits for is not looked at yet."""
        task_id = fields.text("id", required=True) or ""
        if task_id and not _TASK_ID.fullmatch(task_id):
            fields.refuse("id", f"{task_id!r} is no task id: at most 64 letters, digits, '-' and '_'.")
        elif task_id:
            fields = Fields(fields.data, f"{fields.place} ({task_id})", fields.problems)
        check_names(fields, TASK_PROPERTIES, self._note)
        constraints = fields.section("constraints")
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
            environment={**self._job.environment, **environment_settings(fields, "environmentSettings")},
            upload_rules=tuple(self._upload_rule(one) for one in fields.parts("outputFiles")),
            depends_on=(),
            exit_conditions=self._exit_conditions(fields.part("exitConditions")),
            max_wall_clock_time=constraints.duration("maxWallClockTime"),
            max_retries=constraints.number("maxTaskRetryCount", self._job.retries, least=UNLIMITED),
            required_slots=slots,
        )

    def special(self, fields: Fields | None, usual_id: str) -> Task | None:
        """The preparation or release task, if there is one."""
        if fields is None:
            return None
        check_names(fields, SPECIAL_TASK_PROPERTIES, self._note)
        task_id = fields.text("id") or usual_id
        if not _TASK_ID.fullmatch(task_id):
            fields.refuse("id", f"{task_id!r} is no task id: at most 64 letters, digits, '-' and '_'.")
        if fields.has("outputFiles"):
            fields.refuse("outputFiles", "preparation and release tasks have no upload rules; leave them out.")
        constraints = fields.section("constraints")
        limit = constraints.duration("maxWallClockTime")
        if usual_id == RELEASE:
            limit = fields.duration("maxWallClockTime") or _RELEASE_TIME
        return Task(
            task_id=task_id,
            command_line=self._command_line(fields),
            place=fields.place,
            resource_files=tuple(self._resource(one) for one in fields.parts("resourceFiles")),
            environment={**self._job.environment, **environment_settings(fields, "environmentSettings")},
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
        if job_action is not None and not self._job.performs_actions:
            fields.refuse(
                "jobAction", "it has no effect unless the job's onTaskFailure is performexitoptionsjobaction."
            )
        return ExitOptions(job_action, fields.choice("dependencyAction", ["satisfy", "block"]))  # type: ignore[arg-type]

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


def environment_settings(fields: Fields, name: str) -> dict[str, str]:
    """The variables that a list of settings sets."""
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
