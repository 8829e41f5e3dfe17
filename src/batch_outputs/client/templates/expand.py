"""From a template and values for its parameters to a job and its tasks, as the Batch service's REST API takes them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from anyio.lowlevel import checkpoint

from batch_outputs.client.models import check_installed
from batch_outputs.client.templates.auto_storage import (
    TO_READ,
    Container,
    goes_to_groups,
    group_container,
    job_without_groups,
    no_access,
    without_groups,
)
from batch_outputs.client.templates.document import Node, Place, parse, read, refuse_huge
from batch_outputs.client.templates.expressions import resolve, suggestion
from batch_outputs.client.templates.factories import (
    FileSource,
    PerFile,
    TaskFactory,
    refuse_too_many,
    task_factory,
)
from batch_outputs.client.templates.parameters import (
    Parameter,
    check_names,
    definitions,
    read_values,
    value_of_text,
    values_from_python,
)
from batch_outputs.client.templates.placeholders import File
from batch_outputs.errors import ConfigurationError, ContainerNotFoundError

if TYPE_CHECKING:
    from azure.batch.models import BatchTaskCreateOptions

    from batch_outputs.client.templates.containers import TemplateContainers

_NOT_OF_THE_JOB = ("parameters", "variables", "templateMetadata", "$schema", "contentVersion")
_HOW_TO_FILL = "upload its files first, as with batch-outputs group upload."
_TASKS_AT_ONCE = 1000
_LONGEST_CHAIN = 50
"""Variables that are each made from the next; a chain costs stack."""


class Template:
    """A template of a job, as it was read: `parameters` says what it may be given, `expand` makes the job of it."""

    def __init__(self, document: Node) -> None:
        self._document = document
        self._members = document.as_object("a template")
        self.parameters: Mapping[str, Parameter] = definitions(self._members)

    @classmethod
    def read(cls, file: str | os.PathLike[str]) -> Self:
        """Read a file.

        Raises:
            TemplateError: it cannot be read, is not JSON, or defines its parameters wrongly.
        """
        return cls(read(os.fspath(file)))

    @classmethod
    def parse(cls, text: str, file: str = "the template") -> Self:
        """Read text; `file` is what errors call it.

        Raises:
            TemplateError: it is not JSON, or defines its parameters wrongly.
        """
        return cls(parse(text, file))

    def expand(self, values: Mapping[str, object] | None = None) -> Expansion:
        """The job for these values of the parameters. Nothing is requested, and no task is made yet.

        Args:
            values: By the names of parameters; what `read_parameters` gives, or plain values.

        Raises:
            TemplateError: a value is missing, of the wrong type or not allowed, an expression has a mistake, or the job
                or its task factory has.
        """
        given = values_from_python(values or {})
        check_names(self.parameters, given)
        scope = _Scope(self._members, self.parameters, given)
        scope.check_all()
        job = resolve(self._job(), scope.lookup)
        refuse_huge(job)
        members = dict(job.as_object("the job"))
        if "taskFactory" not in members:
            raise job.error("the job has no taskFactory, so that there are no tasks; add one.")
        factory = task_factory(members.pop("taskFactory"))
        if factory.has_dependencies:
            uses = members.setdefault("usesTaskDependencies", Node(True, job.place))
            if uses.value is not True:
                raise uses.error("tasks of the job depend on others; make it true, or leave it out.")
        return Expansion(job_without_groups(Node(members, job.place)), factory)

    def _job(self) -> Node:
        if "job" in self._members:
            job = self._members["job"]
            return job.as_object("the job").get("properties", job)
        if "taskFactory" in self._members:  # a template of what belongs to an application, without the job around it
            kept = {name: item for name, item in self._members.items() if name not in _NOT_OF_THE_JOB}
            return Node(kept, self._document.place)
        raise self._document.error("this is no template of a job: it has no job; add one with its taskFactory.")


class Expansion:
    """A job that was made from a template: `job` as the REST API takes it, and `tasks`, made as asked for."""

    def __init__(self, job: Node, factory: TaskFactory) -> None:
        self._job = job
        self._factory = factory

    @property
    def job(self) -> dict[str, Any]:
        """The job without its tasks; a copy."""
        return {name: item.plain for name, item in self._job.as_object("the job").items()}

    @property
    def count(self) -> int | None:
        """How many tasks there are; None where that depends on the files there are."""
        return self._factory.count

    @property
    def needs_containers(self) -> bool:
        """Whether `tasks` has to have access to storage."""
        return isinstance(self._factory, PerFile) or any(map(goes_to_groups, self._factory.patterns))

    async def tasks(self, containers: TemplateContainers | None = None) -> AsyncIterator[dict[str, Any]]:
        """The tasks, one by one, as the REST API takes them.

        Args:
            containers: Access to storage, for tasks per file and for output files that go to file groups; see
                `StoredContainers`. Not needed for others.

        Raises:
            TemplateError: there is no file to make a task for, there are too many, or access is needed and not given.
            StoreError: storage does not list the files or refuses a SAS.
        """
        if isinstance(self._factory, PerFile):
            made = self._factory.tasks(await _files(self._factory.source, containers))
        else:
            made = self._factory.tasks()
        for number, task in enumerate(made):
            if number % _TASKS_AT_ONCE == 0:
                await checkpoint()  # making a million takes long enough to be interrupted
            served = await without_groups(task, containers)
            yield {name: item.plain for name, item in served.as_object("the task").items()}


class _Scope:
    """The parameters and variables of a template, each worked out when it is first asked for."""

    def __init__(
        self, template: Mapping[str, Node], parameters: Mapping[str, Parameter], given: Mapping[str, Node]
    ) -> None:
        self._parameters = parameters
        self._given = given
        self._variables = template["variables"].as_object("variables") if "variables" in template else {}
        self._known: dict[tuple[str, str], Node] = {}
        self._under_way: list[tuple[str, str]] = []

    def check_all(self) -> None:
        """Work out everything, so that mistakes also show where nothing is used."""
        for name, parameter in self._parameters.items():
            self.lookup("parameters", name, parameter.place)
        for name, variable in self._variables.items():
            self.lookup("variables", name, variable.place)

    def lookup(self, function: str, name: str, place: Place) -> Node:
        """The value of a parameter or variable that the text at `place` asks for."""
        key = (function, name)
        if key in self._known:
            return self._known[key]
        defined = self._parameters if function == "parameters" else self._variables
        if name not in defined:
            raise place.error(f"the template has no {function[:-1]} {name}; {suggestion(name, defined)}")
        if key in self._under_way:
            circle = [*self._under_way[self._under_way.index(key) :], key]
            shown = " → ".join(each for _, each in circle)
            raise place.error(f"{shown} is a circle, so that none has a value; break it.")
        if len(self._under_way) >= _LONGEST_CHAIN:
            raise place.error(f"more than {_LONGEST_CHAIN} variables are each made from the next; use fewer.")
        self._under_way.append(key)
        try:
            found = self._parameter(name) if function == "parameters" else self._variable(name)
            refuse_huge(found)
            self._known[key] = found
        finally:
            self._under_way.pop()
        return self._known[key]

    def _parameter(self, name: str) -> Node:
        parameter = self._parameters[name]
        if name in self._given:
            return parameter.value(self._given[name])  # as it is: what somebody gives is data
        if parameter.default is None:
            raise parameter.place.error(f"the parameter {name} has no value.")
        return parameter.value(resolve(parameter.default, self.lookup))

    def _variable(self, name: str) -> Node:
        return resolve(self._variables[name], self.lookup)


async def _files(source: FileSource, containers: TemplateContainers | None) -> list[File]:
    """The files that tasks are made for, all listed before the first task is made."""
    if source.file_group is not None:
        group_container(source.file_group)
        container, shown = Container(group=str(source.file_group.value)), f"the file group {source.file_group.value}"
        node = source.file_group
    else:
        node = source.container_url or Node(None, source.place)
        container, shown = Container(url=str(node.value)), "the container"
    if containers is None:
        raise no_access(node, "tasks are made per file")
    names: list[str] = []
    try:
        async for name in containers.list_names(container, source.prefix):
            names.append(name)
            refuse_too_many(len(names), source.place)
        if not names:
            behind = f" whose name begins with {source.prefix}" if source.prefix else ""
            raise source.place.error(f"{shown} has no file{behind}, so that there are no tasks; {_HOW_TO_FILL}")
        url, _, sas = (await containers.container_url(container, TO_READ)).partition("?")
    except ContainerNotFoundError as error:
        raise node.error(f"{shown} does not exist; {_HOW_TO_FILL}") from error
    except ConfigurationError as error:
        raise node.error(str(error)) from error
    query = f"?{sas}" if sas else ""
    return [File(f"{url}/{quote(name, safe='/$')}{query}", name) for name in names]


def read_parameters(
    file: str | os.PathLike[str] | None = None,
    texts: Mapping[str, str] | None = None,
    *,
    template: Template | None = None,
) -> dict[str, object]:
    """The values of parameters from a file, and above those the ones that were typed.

    Args:
        file: JSON, `{"x": {"value": 1}}` or `{"x": 1}`.
        texts: Values as texts; each is read as its parameter's type asks, JSON for an object.
        template: The template that they are for, to know the types.

    Raises:
        TemplateError: the file cannot be read, or is not such a file; a text is not JSON.
    """
    values: dict[str, object] = dict(read_values(os.fspath(file))) if file is not None else {}
    defined = template.parameters if template is not None else {}
    for name, text in (texts or {}).items():
        values[name] = value_of_text(name, text, defined.get(name))
    return values


def to_models(tasks: Iterable[Mapping[str, Any]]) -> list[BatchTaskCreateOptions]:
    """Tasks as azure-batch's `create_task` and `create_tasks` take them.

    Raises:
        ConfigurationError: azure-batch is not installed.
    """
    check_installed()
    from azure.batch.models import BatchTaskCreateOptions

    return [BatchTaskCreateOptions(dict(task)) for task in tasks]
