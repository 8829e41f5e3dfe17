"""What all views share: the jobs, what is known of them, the templates, and what this run of the server allows."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from typing import cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from batch_outputs.browse import addresses
from batch_outputs.browse.jobs import Jobs
from batch_outputs.browse.listing.paging import Trail
from batch_outputs.browse.listing.task_table import TaskTables
from batch_outputs.errors import InvalidNameError
from batch_outputs.outputs import OutputFileReference
from batch_outputs.storage import JobOutputStorage
from batch_outputs.wording import printable

HERE = os.path.dirname(__file__)
STATIC = os.path.join(HERE, "static")
BORROWED = "batch_outputs.browse.borrowed"
"""What in the scope of a request has the containers of jobs that are to be given back when it is answered."""
_LONGEST_IN_SENTENCE = 100
"""Characters of a name."""


class NoSuchPageError(Exception):
    """An address that leads nowhere; the text is for people."""


@dataclass(slots=True)
class Site:
    """One run of the server."""

    jobs: Jobs
    allow_delete: bool = False
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    """What a form that changes something must bring along."""
    tables: TaskTables = field(default_factory=TaskTables, repr=False)
    trail: Trail = field(default_factory=Trail, repr=False)
    templates: Environment = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.templates = Environment(
            loader=FileSystemLoader(os.path.join(HERE, "templates")),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.templates.globals |= {"addresses": addresses, "site": self}

    async def aclose(self) -> None:
        """Break off what is under way, and give back all connections."""
        await self.tables.aclose()
        await self.jobs.aclose()

    def page(self, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
        """A page from its template."""
        return HTMLResponse(self.templates.get_template(template).render(**values), status_code=status)


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    return cast("Site", request.app.state.site)


def job_of(request: Request) -> JobOutputStorage:
    """The job that a request's path names, open until the request is answered.

    Raises:
        ConfigurationError, InvalidNameError: as `Jobs.borrow`.
    """
    container = request.path_params["container"]
    job = site_of(request).jobs.borrow(container)
    request.scope[BORROWED].append(container)
    return job


def output_in(job: JobOutputStorage, blob_name: str) -> OutputFileReference:
    """The output of a whole blob name, without a request.

    Raises:
        NoSuchPageError: it is not the name of an output.
    """
    try:
        return job.output_at(blob_name)
    except InvalidNameError:
        said = f"{in_sentence(blob_name)} is not the name of an output" if blob_name else "The address names no output"
        raise NoSuchPageError(f"{said}; go back to the job's page.") from None


def output_of(request: Request) -> OutputFileReference:
    """The output that a request's path and query name, without a request.

    Raises:
        ConfigurationError, InvalidNameError: as `job_of`.
        NoSuchPageError: as `output_in`.
    """
    return output_in(job_of(request), blob_name_in(request))


def blob_name_in(request: Request) -> str:
    """The blob name in the query of a request; empty if there is none."""
    query = request.query_params
    return next(iter(addresses.named(query.getlist("name"), query.getlist("quoted"))), "")


def in_sentence(name: str) -> str:
    """A name as it can stand in a sentence: no longer than that, and nothing in it that cannot be seen."""
    return printable(name if len(name) <= _LONGEST_IN_SENTENCE else f"{name[:_LONGEST_IN_SENTENCE]}…")
