"""What is to be tried, as plain values: a job, its tasks, and what they ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from batch_outputs.runner.rules import When

DependencyAction: TypeAlias = Literal["satisfy", "block"]
JobAction: TypeAlias = Literal["none", "disable", "terminate"]

PREPARATION = "jobpreparation"
RELEASE = "jobrelease"
UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class ExitOptions:
    """What an end of a task means for others; None: what is usual."""

    job_action: JobAction | None = None
    dependency_action: DependencyAction | None = None


@dataclass(frozen=True, slots=True)
class ExitConditions:
    """Which options hold for which end of a task."""

    codes: Mapping[int, ExitOptions] = field(default_factory=dict)
    ranges: tuple[tuple[int, int, ExitOptions], ...] = ()
    pre_processing_error: ExitOptions | None = None
    file_upload_error: ExitOptions | None = None
    default: ExitOptions | None = None


@dataclass(frozen=True, slots=True)
class ResourceFile:
    """Something to be brought to a task's working directory; exactly one of the three sources is set.

    `file_path` is the file for a `http_url` and a folder for a container. `place` is where the job file says it.
    """

    place: str
    http_url: str | None = field(default=None, repr=False)
    container_url: str | None = field(default=None, repr=False)
    auto_storage_container: str | None = None
    blob_prefix: str = ""
    file_path: str = ""
    file_mode: int = 0o770


@dataclass(frozen=True, slots=True)
class UploadRule:
    """An upload rule: files, when they are uploaded, and where to; without a `container_url` to the job's container."""

    place: str
    pattern: str
    when: When
    path: str | None = None
    container_url: str | None = field(default=None, repr=False)
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A task, or a job's preparation or release task."""

    task_id: str
    command_line: str
    place: str
    resource_files: tuple[ResourceFile, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    upload_rules: tuple[UploadRule, ...] = ()
    depends_on: tuple[str, ...] = ()
    """The ids of tasks as they write them."""
    exit_conditions: ExitConditions = ExitConditions()
    max_wall_clock_time: float | None = None
    max_retries: int = 0
    required_slots: int = 1


@dataclass(frozen=True, slots=True)
class Job:
    """A job that has been checked. `notes` say what of it the desk does otherwise than a node."""

    job_id: str
    tasks: tuple[Task, ...]
    pool_id: str = "desk"
    preparation: Task | None = None
    release: Task | None = None
    waits_for_preparation: bool = True
    performs_job_actions: bool = False
    max_parallel_tasks: int = UNLIMITED
    max_wall_clock_time: float | None = None
    notes: tuple[str, ...] = ()
