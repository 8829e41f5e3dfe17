"""Task factories of templates: `taskCollection`, and `parametricSweep` and `taskPerFile` with their `mergeTask`.

Everything is checked before the first task is made; then tasks are made one by one, as they are asked for. The ids of a
factory's tasks count from 0, the merge task is `merge` and depends on all of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from batch_outputs.client.templates.document import Node, Place, node_of
from batch_outputs.client.templates.expressions import suggestion
from batch_outputs.client.templates.placeholders import File, TaskPattern, file_slot, numbered_slots
from batch_outputs.client.templates.tasks import check_id, check_task

MAX_TASKS = 1_000_000
"""The most tasks that a factory makes, the merge task not counted."""
MERGE_ID = "merge"

_MEMBERS = {
    "taskCollection": ("tasks",),
    "parametricSweep": ("parameterSets", "repeatTask", "mergeTask"),
    "taskPerFile": ("source", "repeatTask", "mergeTask"),
}
_SET_BY_FACTORY = ("id", "dependsOn")


@dataclass(frozen=True, slots=True)
class Collection:
    """Tasks as they stand."""

    items: Sequence[Node]

    @property
    def has_dependencies(self) -> bool:
        """Whether a task depends on others."""
        return any("dependsOn" in task.as_object("the task") for task in self.items)

    @property
    def count(self) -> int:
        """How many tasks there are."""
        return len(self.items)

    @property
    def patterns(self) -> Sequence[Node]:
        """What tasks are made from."""
        return self.items

    def tasks(self) -> Iterator[Node]:
        """The tasks, in their order."""
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A task for each combination of numbers; those of the first set change most slowly."""

    ranges: Sequence[range]
    pattern: TaskPattern[Sequence[int]]
    merge: Node | None

    @property
    def count(self) -> int:
        """How many tasks there are, with the merge task."""
        return math.prod(map(len, self.ranges)) + (self.merge is not None)

    @property
    def has_dependencies(self) -> bool:
        """Whether there is a merge task, which depends on the others."""
        return self.merge is not None

    @property
    def patterns(self) -> Sequence[Node]:
        """What tasks are made from."""
        return [self.pattern.node] if self.merge is None else [self.pattern.node, self.merge]

    def tasks(self) -> Iterator[Node]:
        """The tasks, made one by one."""
        number = 0
        for values in itertools.product(*self.ranges):
            yield _with_id(self.pattern.fill(values), str(number))
            number += 1
        if self.merge is not None:
            yield _merge_task(self.merge, number)


@dataclass(frozen=True, slots=True)
class FileSource:
    """Where the files are that tasks are made for: a file group, or a container by its URL. One of the two is None."""

    file_group: Node | None
    container_url: Node | None
    prefix: str
    place: Place


@dataclass(frozen=True, slots=True)
class PerFile:
    """A task for each file of a source."""

    source: FileSource
    pattern: TaskPattern[File]
    merge: Node | None
    count = None

    @property
    def has_dependencies(self) -> bool:
        """Whether there is a merge task, which depends on the others."""
        return self.merge is not None

    @property
    def patterns(self) -> Sequence[Node]:
        """What tasks are made from."""
        return [self.pattern.node] if self.merge is None else [self.pattern.node, self.merge]

    def tasks(self, files: Sequence[File]) -> Iterator[Node]:
        """The tasks for these files, made one by one."""
        for number, file in enumerate(files):
            yield _with_id(self.pattern.fill(file), str(number))
        if self.merge is not None:
            yield _merge_task(self.merge, len(files))


TaskFactory: TypeAlias = Collection | Sweep | PerFile


def task_factory(node: Node) -> TaskFactory:
    """Read a `taskFactory` whose expressions have been replaced.

    Raises:
        TemplateError: it has a mistake, or would make more than a million tasks.
    """
    members = node.as_object("the taskFactory")
    if "type" not in members:
        raise node.error(f"the taskFactory has no type; add one of {', '.join(_MEMBERS)}.")
    kind = members["type"].as_text("the type")
    if kind not in _MEMBERS:
        raise members["type"].error(f"there is no task factory {kind}; {suggestion(kind, _MEMBERS)}")
    for name, member in members.items():
        if name not in {"type", *_MEMBERS[kind]}:
            raise member.error(f"a {kind} has no {name}; {suggestion(name, _MEMBERS[kind])}")
    for name in _MEMBERS[kind]:
        if name not in members and name != "mergeTask":
            raise node.error(f"the {kind} has no {name}; add it.")
    if kind == "taskCollection":
        return _collection(members["tasks"])
    check_task(members["repeatTask"], "the repeatTask", forbidden=_SET_BY_FACTORY)
    merge = members.get("mergeTask")
    if merge is not None:
        check_task(merge, "the mergeTask", forbidden=_SET_BY_FACTORY)
    if kind == "parametricSweep":
        ranges = _ranges(members["parameterSets"])
        return Sweep(ranges, TaskPattern(members["repeatTask"], numbered_slots(ranges)), merge)
    return PerFile(_source(members["source"]), TaskPattern(members["repeatTask"], file_slot), merge)


def refuse_too_many(count: int, place: Place) -> None:
    """Refuse to make more tasks than anybody can want.

    Raises:
        TemplateError: there would be more than a million.
    """
    if count > MAX_TASKS:
        raise place.error(f"this makes more than {MAX_TASKS:,} tasks; divide the work into several jobs.")


def _collection(node: Node) -> Collection:
    tasks = node.as_list("tasks")
    if not tasks:
        raise node.error("there are no tasks; add some.")
    refuse_too_many(len(tasks), node.place)
    seen: dict[str, Node] = {}
    for task in tasks:
        check_task(task, "the task")
        members = task.as_object("the task")
        if "id" not in members:
            raise task.error("the task has no id; add one.")
        task_id = check_id(members["id"])
        if task_id.lower() in seen:  # the service tells ids apart without regard to case
            raise members["id"].error(f"a task before has the id {task_id}, too; give each its own, in more than case.")
        seen[task_id.lower()] = task
    return Collection(tasks)


def _ranges(node: Node) -> list[range]:
    sets = node.as_list("parameterSets")
    if not sets:
        raise node.error("there is no parameter set; add one with start and end.")
    ranges = [_range(one) for one in sets]
    refuse_too_many(math.prod(map(_length, ranges)), node.place)
    return ranges


def _range(node: Node) -> range:
    members = node.as_object("a parameter set")
    for name, member in members.items():
        if name not in {"start", "end", "step"}:
            raise member.error(f"a parameter set has no {name}; it has start, end and step.")
    for name in ("start", "end"):
        if name not in members:
            raise node.error(f"the parameter set has no {name}; add it.")
    start, end = (members[name].as_whole_number(name) for name in ("start", "end"))
    step = members["step"].as_whole_number("step") if "step" in members else 1
    if step == 0:
        raise members["step"].error("the step is 0, with which no end is reached; leave it out for 1.")
    if (end - start) * step < 0:
        away = members.get("step", node)
        raise away.error(
            f"a step of {step} leads from {start} away from {end}; turn its sign, or change start and end."
        )
    return range(start, end + (1 if step > 0 else -1), step)


def _length(numbers: range) -> int:
    return (numbers[-1] - numbers[0]) // numbers.step + 1  # `len` cannot count beyond what a machine can address


def _source(node: Node) -> FileSource:
    members = node.as_object("the source")
    for name, member in members.items():
        if name not in {"fileGroup", "containerUrl", "prefix"}:
            raise member.error(f"a source has no {name}; it has fileGroup or containerUrl, and prefix.")
        if name != "prefix" or member.value != "":
            member.as_text(f"the {name}")
    group, url = members.get("fileGroup"), members.get("containerUrl")
    if (group is None) == (url is None):
        raise node.error(
            "the source needs a fileGroup or a containerUrl; " + ("add one." if group is None else "keep one.")
        )
    prefix = members["prefix"].value if "prefix" in members else ""
    return FileSource(group, url, str(prefix), node.place)


def _merge_task(task: Node, number: int) -> Node:
    depends_on = node_of({"taskIdRanges": [{"start": 0, "end": number - 1}]}, task.place)
    return _with_id(Node({**task.as_object("the mergeTask"), "dependsOn": depends_on}, task.place), MERGE_ID)


def _with_id(task: Node, task_id: str) -> Node:
    members: Mapping[str, Node] = task.as_object("the task")
    return Node({"id": Node(task_id, task.place), **members}, task.place)
