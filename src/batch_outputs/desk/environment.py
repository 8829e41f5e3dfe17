"""The environment that a task finds: what a node sets, what the job sets, and next to nothing of the desk's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from batch_outputs.desk.job import Job, Task
from batch_outputs.desk.node import Node
from batch_outputs.desk.workspace import Workspace

ACCOUNT_NAME = "desk"

_BASE = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
        *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "APPDATA", "LOCALAPPDATA"),
        *("PROGRAMDATA", "PROGRAMFILES", "PROGRAMFILES(X86)", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "COVERAGE_PROCESS_START"),
    )
)
_STORAGE = ("BATCH_OUTPUTS_", "AZURE_STORAGE_")
_ADDRESS = "127.0.0.1"
_RESERVED_DISK_SPACE = 10**9


def base_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What of the desk's environment any program needs; this command is on the PATH, behind all else."""
    source = os.environ if environ is None else environ
    kept = {name: value for name, value in source.items() if name.upper() in _BASE or name.upper().startswith("LC_")}
    path = next((name for name in kept if name.upper() == "PATH"), "PATH")
    kept[path] = os.pathsep.join(filter(None, [kept.get(path, ""), os.path.dirname(sys.executable)]))
    return kept


def task_environment(
    job: Job, task: Task, node: Node, workspace: Workspace, storage: Mapping[str, str], base: Mapping[str, str]
) -> dict[str, str]:
    """All variables of a task. Those of the desk's storage are left out where the job says itself where outputs go."""
    says_where = any(name.upper().startswith(_STORAGE) for name in task.environment)
    return {**base, **({} if says_where else storage), **task.environment, **_of_node(job, task, node, workspace)}


def _of_node(job: Job, task: Task, node: Node, workspace: Workspace) -> dict[str, str]:
    variables = {
        "ACCOUNT_NAME": ACCOUNT_NAME,
        "ACCOUNT_URL": f"https://{ACCOUNT_NAME}.invalid/",
        "JOB_ID": job.job_id,
        "TASK_ID": task.task_id,
        "TASK_DIR": workspace.directory,
        "TASK_WORKING_DIR": workspace.working,
        "POOL_ID": job.pool_id,
        "NODE_ID": node.node_id,
        "NODE_IS_DEDICATED": "true",
        "NODE_ROOT_DIR": node.root,
        "NODE_SHARED_DIR": node.shared,
        "NODE_STARTUP_DIR": node.startup,
        "NODE_MOUNTS_DIR": node.mounts,
        "IS_CURRENT_NODE_MASTER": "true",
        "HOST_LIST": _ADDRESS,
        "NODE_LIST": _ADDRESS,
        "MASTER_NODE": f"{_ADDRESS}:6000",
        "TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES": str(_RESERVED_DISK_SPACE),
    }
    if job.preparation is not None:
        preparing = node.workspace(job.preparation.task_id)
        variables |= {"JOB_PREP_DIR": preparing.directory, "JOB_PREP_WORKING_DIR": preparing.working}
    return {f"AZ_BATCH_{name}": value for name, value in variables.items()}
