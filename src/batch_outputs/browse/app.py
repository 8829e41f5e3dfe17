"""The addresses of the page and what answers them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from batch_outputs.browse.listing.entries import SLOWLY
from batch_outputs.browse.shared import Crumbs, crumbs_to, failed
from batch_outputs.browse.site import BORROWED, STATIC, NoSuchPageError, Site, blob_name_in, in_sentence, site_of
from batch_outputs.browse.views import archive, delete, file, follow, job, jobs, kind, raw, search, task
from batch_outputs.errors import (
    AccessDeniedError,
    BatchOutputsError,
    BlobChangedError,
    BlobNotFoundError,
    ConfigurationError,
    ContainerNotFoundError,
    InvalidNameError,
    StoreUnavailableError,
)
from batch_outputs.names import parse_blob_name
from batch_outputs.wording import printable

logger: logging.Logger = logging.getLogger("batch_outputs.browse")

_STATUS: Mapping[type[BatchOutputsError], int] = {
    AccessDeniedError: 502,  # to us, not to who asks
    BlobChangedError: 409,
    BlobNotFoundError: 404,
    ConfigurationError: 404,  # another container than the one that there is access to
    ContainerNotFoundError: 404,
    InvalidNameError: 404,
    StoreUnavailableError: 503,
}
_MAY_COME = (AccessDeniedError, BlobNotFoundError, ContainerNotFoundError, StoreUnavailableError)
"""What may have passed when the page looks again."""
_PAGES = (jobs.show, job.show, task.show, kind.show, file.show, search.show)
_TITLE = "That did not work"
_LONGEST_SENTENCE = 1000
"""Characters."""


def create_app(site: Site) -> Starlette:
    """The application, to be put behind a `Guard`."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await site.aclose()

    in_job = "/jobs/{container}"
    app = Starlette(
        routes=[
            Route("/", jobs.show),
            Route(in_job, job.show),
            Route(f"{in_job}/task", task.show),
            Route(f"{in_job}/kind", kind.show),
            Route(f"{in_job}/file", file.show),
            Route(f"{in_job}/search", search.show),
            Route(f"{in_job}/follow", follow.send),
            Route(f"{in_job}/raw", raw.send),
            Route(f"{in_job}/download", raw.send_to_keep),
            Route(f"{in_job}/archive", archive.send),
            Route(f"{in_job}/delete", delete.delete, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        exception_handlers={
            BatchOutputsError: _tell,
            NoSuchPageError: _tell,
            ClientDisconnect: _let_go,
            HTTPException: _tell_http,
            Exception: _tell_unexpected,
        },
        middleware=[Middleware(_GivingBack, site)],
        lifespan=lifespan,
    )
    app.state.site = site
    return app


class _GivingBack:
    """Gives back the jobs that a request has borrowed, once it is answered to the end."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as an ASGI application."""
        borrowed: list[str] = []
        scope[BORROWED] = borrowed
        try:
            await self._app(scope, receive, send)
        finally:
            for container in borrowed:
                await self._site.jobs.give_back(container)


async def _tell(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    sentence = str(error)
    if isinstance(error, NoSuchPageError):
        status = 404
    elif isinstance(error, BlobChangedError):
        sentence = f"{error.blob or 'What is shown here'} has changed meanwhile; load the page again."
    for name in (getattr(error, "blob", None), getattr(error, "name", None)):
        sentence = sentence.replace(name, in_sentence(name)) if name else sentence
    is_page = request.method == "GET" and request.scope.get("endpoint") in _PAGES
    refresh = SLOWLY if is_page and isinstance(error, _MAY_COME) else None
    return _error_page(request, status, sentence, await _way_to(request, error), refresh=refresh)


async def _tell_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    sentence = "There is no such page." if status == 404 else "That cannot be done here."
    return _error_page(request, status, sentence, [], headers=getattr(error, "headers", None))


async def _let_go(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # to a client that has left before it had asked to the end


async def _tell_unexpected(request: Request, error: Exception) -> Response:
    logger.error("%s %s broke.", request.method, request.url.path, exc_info=error)
    return _error_page(request, 500, f"Something unexpected happened ({type(error).__name__}); try again.", [])


async def _way_to(request: Request, error: Exception) -> Crumbs:
    """The way to a page in a job that could not be shown; none where it is the job that cannot be."""
    site, query = site_of(request), request.query_params
    if not request.scope[BORROWED]:
        only = site.jobs.only_container
        return [] if only is None else await crumbs_to(site, only, None, _TITLE)
    container = request.scope[BORROWED][0]
    if isinstance(error, ContainerNotFoundError) or request.scope.get("endpoint") == job.show:
        return await crumbs_to(site, container)
    name = parse_blob_name(blob_name_in(request))
    task_id = name.task_id if name is not None else query.get("task", query.get("id"))
    if isinstance(error, InvalidNameError):
        task_id = None  # it may be that which is wrong
    return await crumbs_to(site, container, task_id, _TITLE)


def _error_page(
    request: Request, status: int, sentence: str, crumbs: Crumbs, *, refresh: int | None = None, headers: Any = None
) -> Response:
    said = printable(sentence if len(sentence) <= _LONGEST_SENTENCE else f"{sentence[:_LONGEST_SENTENCE]}…")
    page = failed(site_of(request), status, said, title=_TITLE, crumbs=crumbs, refresh=refresh)
    page.headers.update(headers or {})
    return page
