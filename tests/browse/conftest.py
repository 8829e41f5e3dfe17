"""A place with outputs of the job `demo`, and the page that shows it.

The place is a folder (the embedded default). A test for others asks for them with
`@pytest.mark.parametrize("place", ["folder", "container", "account"], indirect=True)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from batch_outputs import sync
from support.azurite import KEY, Azurite
from support.command import Desk, signature
from support.page import Page, serving

JOB = "demo"


@dataclass(frozen=True)
class Place:
    """Where outputs are: a `job` to fill, under the name of its `container`."""

    job: sync.JobOutputStorage
    container: str


@pytest.fixture
def place(request: pytest.FixtureRequest, desk: Desk) -> Iterator[Place]:
    """An empty job; the desk's commands find it."""
    kind = getattr(request, "param", "folder")
    with ExitStack() as stack:
        if kind == "folder":
            root = desk.folder / "batch-outputs"
            job = stack.enter_context(sync.JobOutputStorage.from_account_url(root.as_uri(), JOB))
            job.create_container()
        elif kind == "container":
            url = request.getfixturevalue("container").sas_url()
            desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = url
            desk.secrets += [signature(url), KEY]
            job = stack.enter_context(sync.JobOutputStorage.from_container_url(url))
        else:
            azurite: Azurite = request.getfixturevalue("azurite")
            desk.variables["AZURE_STORAGE_CONNECTION_STRING"] = azurite.connection_string
            desk.secrets.append(KEY)
            job = stack.enter_context(
                sync.JobOutputStorage.from_connection_string(
                    azurite.connection_string, f"{JOB}-{desk.folder.parent.name}"
                )
            )
            job.create_container()
        yield Place(job, job.container)


@pytest.fixture
def job(place: Place) -> sync.JobOutputStorage:
    """The job to fill: `job.save_text(...)`, `job.task("t1").save_bytes(...)`."""
    return place.job


@pytest.fixture
def start_page(desk: Desk) -> Iterator[Callable[..., Page]]:
    """Start the page with further options, `start_page("--allow-delete")`; it is ended with the test."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(serving(desk, *arguments))


@pytest.fixture
def page(place: Place, start_page: Callable[..., Page]) -> Page:
    """The page of the place."""
    return start_page()
