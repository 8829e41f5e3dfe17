"""The names of what jobs and tasks may have in JSON, as the Batch REST API knows them, and what is said of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from batch_outputs.desk.fields import Fields

JOB_PROPERTIES = frozenset(
    {
        "id",
        "displayName",
        "usesTaskDependencies",
        "priority",
        "allowTaskPreemption",
        "maxParallelTasks",
        "constraints",
        "jobManagerTask",
        "jobPreparationTask",
        "jobReleaseTask",
        "commonEnvironmentSettings",
        "poolInfo",
        "onAllTasksComplete",
        "onTaskFailure",
        "networkConfiguration",
        "metadata",
        "tasks",
    }
)
"""Of a job, with its tasks."""
TASK_PROPERTIES = frozenset(
    {
        "id",
        "displayName",
        "commandLine",
        "containerSettings",
        "exitConditions",
        "resourceFiles",
        "outputFiles",
        "environmentSettings",
        "affinityInfo",
        "constraints",
        "requiredSlots",
        "userIdentity",
        "multiInstanceSettings",
        "dependsOn",
        "applicationPackageReferences",
        "authenticationTokenSettings",
    }
)
"""Of a task."""
SPECIAL_TASK_PROPERTIES = TASK_PROPERTIES | {
    "waitForSuccess",
    "rerunOnNodeRebootAfterSuccess",
    "maxWallClockTime",
    "retentionTime",
}
"""Of a preparation or release task."""

_EXIT_OPTIONS = frozenset({"jobAction", "dependencyAction"})
_SETTING = frozenset({"name", "value"})
_RANGE = frozenset({"start", "end"})
PARTS: Mapping[str, frozenset[str]] = {
    "constraints": frozenset({"maxWallClockTime", "maxTaskRetryCount", "retentionTime"}),
    "commonEnvironmentSettings": _SETTING,
    "environmentSettings": _SETTING,
    "dependsOn": frozenset({"taskIds", "taskIdRanges"}),
    "taskIdRanges": _RANGE,
    "exitConditions": frozenset({"exitCodes", "exitCodeRanges", "preProcessingError", "fileUploadError", "default"}),
    "exitCodes": frozenset({"code", "exitOptions"}),
    "exitCodeRanges": _RANGE | {"exitOptions"},
    "exitOptions": _EXIT_OPTIONS,
    "preProcessingError": _EXIT_OPTIONS,
    "fileUploadError": _EXIT_OPTIONS,
    "default": _EXIT_OPTIONS,
    "resourceFiles": frozenset(
        {
            "autoStorageContainerName",
            "storageContainerUrl",
            "httpUrl",
            "blobPrefix",
            "filePath",
            "fileMode",
            "identityReference",
        }
    ),
    "outputFiles": frozenset({"filePattern", "destination", "uploadOptions"}),
    "destination": frozenset({"container", "autoStorage"}),
    "container": frozenset({"containerUrl", "path", "identityReference", "uploadHeaders"}),
    "uploadHeaders": _SETTING,
    "uploadOptions": frozenset({"uploadCondition"}),
}
"""What the objects within a job or a task have, by the name of the property that holds them."""


def check_names(fields: Fields, known: frozenset[str], note: Callable[[str], object]) -> None:
    """Refuse names that are misspelt, in what is read of the objects within too; `note` is told of unknown ones."""
    for name in fields.check_names(known):  # what the service has told of a job holds many
        note(f"the property {name} is not known here and not looked at")
    for name in sorted(known & PARTS.keys()):
        for part in fields.objects(name):
            check_names(part, PARTS[name], note)
