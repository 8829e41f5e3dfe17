"""The page of all jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from batch_outputs import wording
from batch_outputs.browse import addresses
from batch_outputs.browse.listing.entries import SLOWLY
from batch_outputs.browse.listing.paging import numbered, page_number
from batch_outputs.browse.site import site_of

SHOWN = 50
"""Jobs on one page."""
_REFRESH = 10
"""Seconds after which an empty page looks again."""


async def show(request: Request) -> Response:
    """The jobs, newest first; with access to one container only, the way to its job."""
    site = site_of(request)
    if site.jobs.only_container is not None:
        return RedirectResponse(addresses.job(site.jobs.only_container), status_code=303)
    asked = request.query_params.get("q", "").strip()
    wanted = asked.casefold()
    everything = await site.jobs.newest_first()
    found = [job for job in everything if wanted in job.name.casefold() or wanted in job.container]
    number = page_number(request.query_params.get("page"), SHOWN, len(found))
    return site.page(
        "jobs.html",
        title="Jobs",
        crumbs=[("Jobs", None)],
        refresh=SLOWLY if everything else _REFRESH,
        wording=wording,
        now=datetime.now(UTC),
        jobs=found[(number - 1) * SHOWN : number * SHOWN],
        found=len(found),
        total=len(everything),
        q=asked,
        pager=numbered(number, SHOWN, len(found), lambda page: _address(asked, page)),
    )


def _address(q: str, page: int | None) -> str:
    query = {name: value for name, value in (("q", q), ("page", page)) if value}
    return f"{addresses.JOBS}?{urlencode(query, quote_via=quote)}" if query else addresses.JOBS
