"""The models of azure-batch: imported when they are first needed, and read like the JSON of the Batch REST API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batch_outputs.errors import ConfigurationError


def check_installed() -> None:
    """Make sure that azure-batch can be imported.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import azure.batch.models  # noqa: F401 - only whether it is there
    except ImportError:
        raise ConfigurationError(
            "This makes models of azure-batch, which is not installed; install it with "
            "pip install 'batch-outputs[batch]'."
        ) from None


def id_of(thing: object, what: str) -> str:
    """The id of a job or task: of an object or of REST JSON that has one, or a text that is one.

    Raises:
        ConfigurationError: there is none.
    """
    found = thing if isinstance(thing, str) else rest_json(thing).get("id", getattr(thing, "id", None))
    if not isinstance(found, str) or not found:
        raise ConfigurationError(f"A {type(thing).__name__} without an id names no {what}; give the {what}'s id.")
    return found


def rest_json(thing: object) -> Mapping[str, Any]:
    """What a model of azure-batch says, as the REST API has it; a mapping is taken for that already."""
    if isinstance(thing, Mapping):
        return thing
    as_dict = getattr(thing, "as_dict", None)
    found = as_dict() if callable(as_dict) else {}
    return found if isinstance(found, Mapping) else {}
