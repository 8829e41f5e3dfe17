"""The addresses of the page and what answers them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from batch_outputs.browse.site import STATIC, NoSuchPageError, Site, site_of
from batch_outputs.browse.views import archive, delete, file, follow, job, jobs, kind, raw, search, task
from batch_outputs.errors import (
    AccessDeniedError,
    BatchOutputsError,
    BlobNotFoundError,
    ConfigurationError,
    ContainerNotFoundError,
    InvalidNameError,
    StoreUnavailableError,
)

logger = logging.getLogger("batch_outputs.browse")

_STATUS: Mapping[type[BatchOutputsError], int] = {
    AccessDeniedError: 403,
    BlobNotFoundError: 404,
    ConfigurationError: 404,  # another container than the one that there is access to
    ContainerNotFoundError: 404,
    InvalidNameError: 404,
    StoreUnavailableError: 503,
}


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
            HTTPException: _tell_http,
            Exception: _tell_unexpected,
        },
        lifespan=lifespan,
    )
    app.state.site = site
    return app


async def _tell(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    if isinstance(error, NoSuchPageError):
        status = 404
    return _error_page(request, status, str(error))


async def _tell_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    sentence = "There is no such page." if status == 404 else "That cannot be done here."
    return _error_page(request, status, sentence, getattr(error, "headers", None))


async def _tell_unexpected(request: Request, error: Exception) -> Response:
    logger.error("%s %s broke.", request.method, request.url.path, exc_info=error)
    return _error_page(request, 500, f"Something unexpected happened ({type(error).__name__}); try again.")


def _error_page(request: Request, status: int, sentence: str, headers: Any = None) -> Response:
    page = site_of(request).page("error.html", status=status, sentence=sentence, title="That did not work")
    page.headers.update(headers or {})
    return page
