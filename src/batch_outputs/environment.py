"""What Azure Batch tells a task about itself: the `AZ_BATCH_*` environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from batch_outputs.errors import ConfigurationError

_SIGNS_OF_A_NODE = (
    "AZ_BATCH_NODE_ID",
    "AZ_BATCH_POOL_ID",
    "AZ_BATCH_TASK_DIR",
    "AZ_BATCH_JOB_ID",
    "AZ_BATCH_TASK_ID",
)
_PACKAGE = "AZ_BATCH_APP_PACKAGE_"


def on_node(environ: Mapping[str, str]) -> bool:
    """Whether this process runs on a node of Azure Batch, as far as the environment tells."""
    return any(environ.get(name) for name in _SIGNS_OF_A_NODE)


@dataclass(frozen=True, slots=True)
class TaskEnvironment:
    """The environment of a Batch task, one field a variable; None where the variable is not set.

    Directories are opaque text: use them, never build them. A start task has neither `job_id` nor `task_id`. The
    authentication token that Batch may hand to a task is left alone.
    """

    job_id: str | None = None
    task_id: str | None = None
    task_dir: str | None = None
    """Holds `stdout.txt`, `stderr.txt` and the working directory."""
    working_dir: str | None = None
    """The current directory of the task's command line."""
    account_name: str | None = None
    account_url: str | None = None
    pool_id: str | None = None
    node_id: str | None = None
    is_dedicated: bool | None = None
    """False on a spot node, which can be taken away."""
    node_root_dir: str | None = None
    node_shared_dir: str | None = None
    node_startup_dir: str | None = None
    node_mounts_dir: str | None = None
    job_prep_dir: str | None = None
    job_prep_working_dir: str | None = None
    task_shared_dir: str | None = None
    """Shared by the primary and the subtasks of a multi-instance task."""
    is_current_node_master: bool | None = None
    """False in a subtask of a multi-instance task."""
    host_list: tuple[str, ...] = ()
    node_list: tuple[str, ...] = ()
    master_node: str | None = None
    reserved_ephemeral_disk_space_bytes: int | None = None
    app_packages: Mapping[str, str] = field(default_factory=dict)
    """Directory of each application package, by what follows `AZ_BATCH_APP_PACKAGE_` in its variable."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the variables from `environ` (default: the environment of this process).

        An empty variable counts as not set, and so does a truth value or a number that is neither: these are set by
        the service, and no oddity in them should keep a task from saving.
        """
        source = os.environ if environ is None else environ

        def text(name: str) -> str | None:
            return source.get(f"AZ_BATCH_{name}") or None

        return cls(
            job_id=text("JOB_ID"),
            task_id=text("TASK_ID"),
            task_dir=text("TASK_DIR"),
            working_dir=text("TASK_WORKING_DIR"),
            account_name=text("ACCOUNT_NAME"),
            account_url=text("ACCOUNT_URL"),
            pool_id=text("POOL_ID"),
            node_id=text("NODE_ID"),
            is_dedicated=_truth(text("NODE_IS_DEDICATED")),
            node_root_dir=text("NODE_ROOT_DIR"),
            node_shared_dir=text("NODE_SHARED_DIR"),
            node_startup_dir=text("NODE_STARTUP_DIR"),
            node_mounts_dir=text("NODE_MOUNTS_DIR"),
            job_prep_dir=text("JOB_PREP_DIR"),
            job_prep_working_dir=text("JOB_PREP_WORKING_DIR"),
            task_shared_dir=text("TASK_SHARED_DIR"),
            is_current_node_master=_truth(text("IS_CURRENT_NODE_MASTER")),
            host_list=_parts(text("HOST_LIST"), ","),
            node_list=_parts(text("NODE_LIST"), ";"),
            master_node=text("MASTER_NODE"),
            reserved_ephemeral_disk_space_bytes=_number(text("TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES")),
            app_packages={
                name.removeprefix(_PACKAGE): value
                for name, value in source.items()
                if name.startswith(_PACKAGE) and value
            },
        )


def log_folder(environment: TaskEnvironment, per_node: bool | None) -> str:
    """The folder for a task's logs below their kind: that of its node, `<node id>/`, or none.

    Tasks that run on several nodes under one id need it. With `per_node` None it is only that of subtasks of a
    multi-instance task.

    Raises:
        ConfigurationError: it is that of the node, whose id is not known.
    """
    if not (environment.is_current_node_master is False if per_node is None else per_node):
        return ""
    if environment.node_id is None:
        raise ConfigurationError(
            "Logs per node are wanted and AZ_BATCH_NODE_ID is not set; set it, or leave out per_node (--per-node).",
            variable="AZ_BATCH_NODE_ID",
        )
    return f"{environment.node_id}/"


def _truth(text: str | None) -> bool | None:
    return {"true": True, "false": False}.get((text or "").lower())


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _parts(text: str | None, separator: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(separator) if part.strip())
