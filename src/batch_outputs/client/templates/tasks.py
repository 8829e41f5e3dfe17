"""What a task of a template must look like, in the words of the Batch service's REST API."""

from __future__ import annotations

import re

from batch_outputs.client.templates.document import Node
from batch_outputs.client.templates.expressions import suggestion

MEMBERS = frozenset(
    {
        "affinityInfo",
        "applicationPackageReferences",
        "commandLine",
        "constraints",
        "containerSettings",
        "dependsOn",
        "displayName",
        "environmentSettings",
        "exitConditions",
        "id",
        "multiInstanceSettings",
        "outputFiles",
        "requiredSlots",
        "resourceFiles",
        "userIdentity",
    }
)
"""What a task may have (azure-batch 15)."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONDITIONS = ("tasksuccess", "taskfailure", "taskcompletion")


def check_task(task: Node, what: str, *, forbidden: tuple[str, ...] = ()) -> None:
    """Make sure that a task can be one, as far as that shows before it is sent.

    Args:
        task: The task, or the pattern of one.
        what: What it is, for people: `the repeatTask`.
        forbidden: Members that its factory sets or does not allow.

    Raises:
        TemplateError: it has a mistake.
    """
    members = task.as_object(what)
    for name, member in members.items():
        if name in forbidden:
            raise member.error(f"{what} may have no {name}, which is for its factory to set; remove it.")
        if name not in MEMBERS:
            raise member.error(f"a task has no {name}; {suggestion(name, MEMBERS)}")
    if "commandLine" not in members:
        raise task.error(f"{what} has no commandLine; add it.")
    members["commandLine"].as_text("the commandLine")
    for setting in _items(members, "environmentSettings"):
        _check_setting(setting)
    for file in _items(members, "resourceFiles"):
        check_resource_file(file)
    for file in _items(members, "outputFiles"):
        _check_output_file(file)


def _check_setting(setting: Node) -> None:
    _required(setting, "an environment setting", "name")
    value = setting.as_object("an environment setting").get("value")
    if value is not None and value.value is not None and not isinstance(value.value, str):
        raise value.error(
            f"the value of an environment setting is {value.kind}; make it a text, as [concat(parameters('x'))] does."
        )


def check_id(node: Node) -> str:
    """The id of a task.

    Raises:
        TemplateError: it cannot be one.
    """
    text = node.as_text("the id")
    if not _ID.fullmatch(text):
        raise node.error("this is not a task id; an id consists of at most 64 letters, digits, '-' and '_'.")
    return text


def check_resource_file(file: Node) -> None:
    """Make sure that a resource file names one source, if it is said in the way of templates.

    Raises:
        TemplateError: it has a mistake.
    """
    members = file.as_object("a resource file")
    if "source" not in members:
        return
    ways = ("fileGroup", "containerUrl", "url")
    source = _one_of(members["source"], "the source", ways, also=("prefix",))
    if "prefix" in source and "url" in source:
        raise source["prefix"].error("a prefix chooses among the files of a group or container; remove it beside url.")
    for name in ("httpUrl", "storageContainerUrl", "autoStorageContainerName", "blobPrefix"):
        if name in members:
            raise members[name].error(f"a resource file has a source or {name}; remove one of them.")


def _check_output_file(file: Node) -> None:
    members = file.as_object("an output file")
    _required(file, "an output file", "filePattern")
    if "destination" not in members:
        raise file.error("the output file has no destination; add one with a container or autoStorage.")
    destination = _one_of(members["destination"], "the destination", ("container", "autoStorage"))
    if "container" in destination:
        _required(destination["container"], "the container", "containerUrl")
    else:
        auto_storage = _one_of(destination["autoStorage"], "autoStorage", ("fileGroup",), also=("path",))
        auto_storage["fileGroup"].as_text("the fileGroup")
        if "path" in auto_storage:
            auto_storage["path"].as_text("the path")
    if "uploadOptions" not in members:
        raise file.error('the output file has no uploadOptions; add {"uploadCondition": "taskcompletion"}.')
    condition = _required(members["uploadOptions"], "uploadOptions", "uploadCondition")
    if str(condition.value).lower() not in _CONDITIONS:
        raise condition.error(f"this is no uploadCondition; use one of {', '.join(_CONDITIONS)}.")


def _items(members: dict[str, Node], name: str) -> list[Node]:
    return members[name].as_list(name) if name in members and members[name].value is not None else []


def _required(node: Node, what: str, name: str) -> Node:
    members = node.as_object(what)
    if name not in members:
        raise node.error(f"{what} needs a {name}; add it.")
    members[name].as_text(f"the {name}")
    return members[name]


def _one_of(node: Node, what: str, ways: tuple[str, ...], also: tuple[str, ...] = ()) -> dict[str, Node]:
    members = node.as_object(what)
    for name, member in members.items():
        if name not in {*ways, *also}:
            raise member.error(f"{what} has no {name}; {suggestion(name, {*ways, *also})}")
    chosen = [name for name in ways if name in members]
    if len(chosen) != 1:
        listed = " or ".join(ways)
        raise node.error(f"{what} needs {listed}; " + ("add it." if not chosen else "keep one of them."))
    return members
