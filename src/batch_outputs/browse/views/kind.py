"""The page of all outputs of one kind, of a task or of a job itself."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from batch_outputs import wording
from batch_outputs.browse import addresses
from batch_outputs.browse.listing.entries import entries_of, refresh_after
from batch_outputs.browse.listing.sections import SHOWN, is_gallery, title_of
from batch_outputs.browse.shared import crumbs_to, nothing
from batch_outputs.browse.site import job_of, site_of
from batch_outputs.output_storage import OutputStorage

_REFRESH = 10
_MOST_EMPTY = 20
"""Pages without an output that are passed over: a service may give such, and go on."""


async def show(request: Request) -> Response:
    """One page of the outputs of a kind."""
    site = site_of(request)
    job = job_of(request)
    query = request.query_params
    kind, task_id, after = query.get("kind", ""), query.get("task"), query.get("after") or None
    storage: OutputStorage = job if task_id is None else job.task(task_id)
    prefix = storage.output_prefix(kind)  # refuses what cannot be a kind
    page = await storage.page_of_outputs(kind, after=after, limit=SHOWN)
    for _ in range(_MOST_EMPTY):
        if page.outputs or page.after is None:
            break
        page = await storage.page_of_outputs(kind, after=page.after, limit=SHOWN)
    if not page.outputs and after is None:
        return nothing(
            site,
            f"Nothing is stored under {prefix}; check the kind and the task's id (capitals count), or go back.",
            await crumbs_to(site, job.container, task_id, kind),
        )
    now = datetime.now(UTC)
    entries = await entries_of(storage, kind, page.outputs, now)
    pager = site_of(request).trail.pager(
        f"{job.container} {prefix}",
        after,
        page.after,
        len(page.outputs),
        lambda start: addresses.kind(job.container, task_id, kind, after=start),
    )
    owner = task_id or await site.jobs.name(job.container)
    return site.page(
        "kind.html",
        title=wording.printable(f"{title_of(kind)} of {owner}"),
        crumbs=await crumbs_to(site, job.container, task_id, title_of(kind)),
        refresh=refresh_after(entries, now, _REFRESH),
        wording=wording,
        now=now,
        container=job.container,
        task_id=task_id,
        kind=kind,
        heading=title_of(kind),
        entries=entries,
        is_gallery=is_gallery(kind, entries),
        pager=pager,
    )
