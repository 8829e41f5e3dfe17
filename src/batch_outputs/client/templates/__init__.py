"""Templates of jobs, made into a job and its tasks.

    from batch_outputs.client.templates import Template, read_parameters

    expansion = Template.read("render.json").expand(read_parameters("values.json"))
    tasks = [task async for task in expansion.tasks()]

`document` is JSON that knows its places; `parameters`, `expressions` and `placeholders` are what stands in brackets and
braces, `factories` makes the tasks, `auto_storage` what the service does not know, and `expand` has it all in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_outputs.lazy import fetch

if TYPE_CHECKING:
    from batch_outputs.client.templates.auto_storage import Container
    from batch_outputs.client.templates.containers import StoredContainers, TemplateContainers
    from batch_outputs.client.templates.expand import Expansion, Template, read_parameters, to_models
    from batch_outputs.client.templates.parameters import Parameter

__all__ = [
    "Container",
    "Expansion",
    "Parameter",
    "StoredContainers",
    "Template",
    "TemplateContainers",
    "read_parameters",
    "to_models",
]

_HOMES = {
    "Container": "auto_storage",
    "Expansion": "expand",
    "Parameter": "parameters",
    "StoredContainers": "containers",
    "Template": "expand",
    "TemplateContainers": "containers",
    "read_parameters": "expand",
    "to_models": "expand",
}


def __getattr__(name: str) -> object:
    # As in the package itself: the pure rules come without the library.
    return fetch(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return sorted(__all__)
