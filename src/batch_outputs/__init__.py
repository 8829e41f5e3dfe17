"""Keep what an Azure Batch task produces, under the Batch File Conventions.

    from batch_outputs import TaskOutputKind, TaskOutputStorage

    async with TaskOutputStorage.from_env() as outputs:
        async with outputs.save_tracked(TaskOutputKind.TASK_LOG, "../stdout.txt"):
            render()
        await outputs.save(TaskOutputKind.TASK_OUTPUT, "frame.png")

The same names, blocking, are in `batch_outputs.sync`. The library runs on asyncio; trio is not supported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_outputs.lazy import fetch

if TYPE_CHECKING:
    from batch_outputs.account import OutputAccount, StoredJob
    from batch_outputs.environment import TaskEnvironment
    from batch_outputs.errors import BatchOutputsError
    from batch_outputs.fetching_at_once import Fetched
    from batch_outputs.kinds import JobOutputKind, TaskOutputKind
    from batch_outputs.names import job_container_name
    from batch_outputs.output_storage import OutputPage
    from batch_outputs.outputs import OutputFileReference
    from batch_outputs.saving_all import SaveProgress
    from batch_outputs.storage import JobOutputStorage, TaskOutputStorage, TaskPage
    from batch_outputs.tracking import TrackedSave, TrackingError

__all__ = [
    "BatchOutputsError",
    "Fetched",
    "JobOutputKind",
    "JobOutputStorage",
    "OutputAccount",
    "OutputFileReference",
    "OutputPage",
    "SaveProgress",
    "StoredJob",
    "TaskEnvironment",
    "TaskOutputKind",
    "TaskOutputStorage",
    "TaskPage",
    "TrackedSave",
    "TrackingError",
    "job_container_name",
]

_HOMES = {
    "BatchOutputsError": "errors",
    "Fetched": "fetching_at_once",
    "JobOutputKind": "kinds",
    "JobOutputStorage": "storage",
    "OutputAccount": "account",
    "OutputFileReference": "outputs",
    "OutputPage": "output_storage",
    "SaveProgress": "saving_all",
    "StoredJob": "account",
    "TaskEnvironment": "environment",
    "TaskOutputKind": "kinds",
    "TaskOutputStorage": "storage",
    "TaskPage": "storage",
    "TrackedSave": "tracking",
    "TrackingError": "tracking",
    "job_container_name": "names",
}


def __getattr__(name: str) -> object:
    # Names are fetched when first used: the command must start its program before asyncio is even imported.
    return fetch(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted(__all__)
