"""What a template may say and the Batch service does not know: file groups, made containers with their URLs.

An output file's `autoStorage` becomes a container with a SAS to write; a resource file's `source` becomes the storage
container or URL that it stands for. A file group that is a source is named, without a SAS: the service reads from the
account that is linked to the Batch account.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from batch_outputs.client.templates.document import Node, Place
from batch_outputs.client.templates.tasks import check_resource_file
from batch_outputs.errors import InvalidNameError
from batch_outputs.names import file_group_container_name

TO_WRITE = "w"
TO_READ = "r"

_NOTHING = Node(None, Place(""))


@dataclass(frozen=True, slots=True)
class Container:
    """A container that a template names: by its file group, or by its URL, maybe with a SAS. One of the two is None."""

    group: str | None = None
    url: str | None = field(default=None, repr=False)


class ContainerUrls(Protocol):
    """Gives URLs of containers that let whoever has them in."""

    async def container_url(self, container: Container, permissions: str) -> str:
        """The container's URL, with a SAS for these permissions (`r` to read, `w` to write) where one is needed."""


async def without_groups(task: Node, urls: ContainerUrls | None) -> Node:
    """The task as the Batch service takes it.

    Raises:
        TemplateError: a file group cannot have the name it has, or a URL is needed and there are no `urls`.
    """
    members = task.as_object("the task")
    changed = dict(members)
    if isinstance((files := _member(members, "resourceFiles")).value, list):
        changed["resourceFiles"] = Node([_resource_file(file) for file in files.value], files.place)
    if isinstance((files := _member(members, "outputFiles")).value, list):
        changed["outputFiles"] = Node([await _output_file(file, urls) for file in files.value], files.place)
    return Node(changed, task.place)


def job_without_groups(node: Node) -> Node:
    """The job as the Batch service takes it, with the resource files of its preparation and other tasks.

    Raises:
        TemplateError: a resource file has a mistake, or an output file of the job's own tasks goes to a file group.
    """
    if isinstance(node.value, list):
        return Node([job_without_groups(item) for item in node.value], node.place)
    if not isinstance(node.value, dict):
        return node
    members = {name: job_without_groups(item) for name, item in node.value.items()}
    if isinstance((files := _member(members, "resourceFiles")).value, list):
        for file in files.value:
            check_resource_file(file)
        members["resourceFiles"] = Node([_resource_file(file) for file in files.value], files.place)
    destination = members.get("destination")
    if destination is not None and isinstance(destination.value, dict) and "autoStorage" in destination.value:
        raise destination.value["autoStorage"].error(
            "autoStorage is for tasks of the taskFactory; name a container here."
        )
    return Node(members, node.place)


def goes_to_groups(task: Node) -> bool:
    """Whether output files of a task go to file groups."""
    files = task.as_object("the task").get("outputFiles", _NOTHING).value
    return isinstance(files, list) and any(
        "autoStorage" in file.as_object("an output file")["destination"].as_object("the destination") for file in files
    )


def group_container(node: Node) -> str:
    """The name of the container of a file group.

    Raises:
        TemplateError: the group cannot have this name.
    """
    try:
        return file_group_container_name(node.as_text("the fileGroup"))
    except InvalidNameError as error:
        raise node.error(str(error)) from error


def no_access(node: Node, what: str) -> Exception:
    """The error that a template cannot be expanded without access to storage."""
    return node.error(f"{what}, which needs access to storage; give the containers to expand it with.")


def _resource_file(file: Node) -> Node:
    if not isinstance(file.value, dict) or not isinstance((source := _member(file.value, "source")).value, dict):
        return file
    members = {name: item for name, item in file.value.items() if name != "source"}
    if "fileGroup" in source.value:
        group = source.value["fileGroup"]
        members["autoStorageContainerName"] = Node(group_container(group), group.place)
    elif "containerUrl" in source.value:
        members["storageContainerUrl"] = source.value["containerUrl"]
    elif "url" in source.value:
        members["httpUrl"] = source.value["url"]
    if "prefix" in source.value:
        members["blobPrefix"] = source.value["prefix"]
    return Node(members, file.place)


async def _output_file(file: Node, urls: ContainerUrls | None) -> Node:
    members = file.as_object("an output file")
    destination = members["destination"]
    auto_storage = destination.as_object("the destination").get("autoStorage")
    if auto_storage is None:
        return file
    fields = auto_storage.as_object("autoStorage")
    group = fields["fileGroup"]
    group_container(group)
    if urls is None:
        raise no_access(group, "output files go to this file group")
    url = await urls.container_url(Container(group=group.as_text("the fileGroup")), TO_WRITE)
    container = {"containerUrl": Node(url, group.place)}
    if "path" in fields:
        container["path"] = fields["path"]
    made = Node({"container": Node(container, auto_storage.place)}, destination.place)
    return Node({**members, "destination": made}, file.place)


def _member(members: dict[str, Node], name: str) -> Node:
    return members.get(name, _NOTHING)
