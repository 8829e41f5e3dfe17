"""For those who submit jobs: what a job needs before its tasks run, and the files that they are to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_outputs.lazy import fetch
from batch_outputs.names import file_group_container_name

if TYPE_CHECKING:
    from batch_outputs.client.file_groups import FileGroup, GroupFile, StoredGroup, list_file_groups
    from batch_outputs.client.group_work import GroupDeletion, GroupProgress, GroupTransfer
    from batch_outputs.client.settings import task_environment_settings
    from batch_outputs.client.storages import job_output_storage, task_output_storage
    from batch_outputs.client.upload_rules import check_upload_rules, output_file, upload_path

__all__ = [
    "FileGroup",
    "GroupDeletion",
    "GroupFile",
    "GroupProgress",
    "GroupTransfer",
    "StoredGroup",
    "check_upload_rules",
    "file_group_container_name",
    "job_output_storage",
    "list_file_groups",
    "output_file",
    "task_environment_settings",
    "task_output_storage",
    "upload_path",
]

_HOMES = {
    "FileGroup": "file_groups",
    "GroupDeletion": "group_work",
    "GroupFile": "file_groups",
    "GroupProgress": "group_work",
    "GroupTransfer": "group_work",
    "StoredGroup": "file_groups",
    "check_upload_rules": "upload_rules",
    "job_output_storage": "storages",
    "list_file_groups": "file_groups",
    "output_file": "upload_rules",
    "task_environment_settings": "settings",
    "task_output_storage": "storages",
    "upload_path": "upload_rules",
}


def __getattr__(name: str) -> object:
    # Each part is loaded when it is used: some need azure-batch, others only names.
    return fetch(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted(__all__)
