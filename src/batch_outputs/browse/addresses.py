"""The addresses of our pages, made in one place.

A container's name stands in the path; ids and names that tasks have chosen stand in the query, where browsers and
servers leave every character as it is (in a path they would resolve `..` and merge slashes).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlencode

JOBS = "/"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def job(container: str, **query: str | int | None) -> str:
    """A job's page."""
    return _address(container, "", query)


def task(container: str, task_id: str, **query: str | int | None) -> str:
    """A task's page."""
    return _address(container, "task", {"id": task_id, **query})


def kind(container: str, task_id: str | None, kind: str, **query: str | int | None) -> str:
    """All outputs of a kind; without a task, of the job."""
    return _address(container, "kind", {"task": task_id, "kind": kind, **query})


def file(container: str, blob_name: str, **query: str | int | None) -> str:
    """The page of one output."""
    return _address(container, "file", {"name": blob_name, **query})


def raw(container: str, blob_name: str) -> str:
    """The content of an output, for pictures and players on our pages."""
    return _address(container, "raw", {"name": blob_name})


def download(container: str, blob_name: str) -> str:
    """The content of an output, as a file to keep."""
    return _address(container, "download", {"name": blob_name})


def search(container: str, blob_name: str, **query: str | int | None) -> str:
    """Where a text stands in an output."""
    return _address(container, "search", {"name": blob_name, **query})


def follow(container: str, blob_name: str, offset: int, log: str | None = None) -> str:
    """The events of a log that grows; `log` is the one that the offset is in."""
    return _address(container, "follow", {"name": blob_name, "offset": offset, "log": log})


def archive(container: str, *, task_id: str | None = None, kind: str | None = None) -> str:
    """Outputs in one ZIP file: of a task or of the job itself, perhaps of one kind; a form sends `name`s instead."""
    return _address(container, "archive", {"task": task_id, "kind": kind})


def delete(container: str) -> str:
    """Where the form that deletes outputs is sent."""
    return _address(container, "delete", {})


def field(blob_name: str) -> tuple[str, str]:
    """Name and value of the field by which a form sends a blob name; `named` reads it.

    A form changes line ends, and a page the character NUL: a name with such goes encoded.
    """
    return ("quoted", quote(blob_name, safe="")) if _CONTROL.search(blob_name) else ("name", blob_name)


def named(names: Iterable[str], quoted: Iterable[str]) -> list[str]:
    """The blob names that an address or a form names, each once: as they are, and encoded."""
    return list(dict.fromkeys([*names, *map(unquote, quoted)]))


def static(name: str) -> str:
    """A file of our own."""
    return f"/static/{name}"


def _address(container: str, page: str, query: dict[str, str | int | None]) -> str:
    path = f"/jobs/{quote(container, safe='')}" + (f"/{page}" if page else "")
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, quote_via=quote, safe='/$')}" if given else path
