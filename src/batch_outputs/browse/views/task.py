"""The page of a task: what is stored of it, by kind."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from batch_outputs import wording
from batch_outputs.browse import addresses
from batch_outputs.browse.listing.entries import Entry, refresh_after
from batch_outputs.browse.listing.sections import SHOWN, sections_of, title_of
from batch_outputs.browse.shared import crumbs_to, nothing
from batch_outputs.browse.site import in_sentence, job_of, site_of

_REFRESH = 5


async def show(request: Request) -> Response:
    """What is stored of a task."""
    site = site_of(request)
    job = job_of(request)
    task = job.task(request.query_params.get("id", ""))
    now = datetime.now(UTC)
    sections = await sections_of(task, now)
    if not sections.shown:
        return nothing(
            site,
            f"Nothing is stored of task {in_sentence(task.task_id)} in {job.place}; "
            "check its id (capitals count), or wait until its first output is saved.",
            await crumbs_to(site, job.container, task.task_id),
        )
    entries = sections.entries
    return site.page(
        "task.html",
        title=wording.printable(task.task_id),
        crumbs=await crumbs_to(site, job.container, task.task_id),
        refresh=refresh_after(entries, now, _REFRESH),
        wording=wording,
        now=now,
        container=job.container,
        task_id=task.task_id,
        sections=sections,
        others=[(title_of(kind), addresses.kind(job.container, task.task_id, kind)) for kind in sections.others],
        shown=SHOWN,
        changed=max((entry.last_modified for entry in entries if entry.last_modified), default=None),
        is_growing=any(entry.state == "growing" for entry in entries),
        exit_code=_exit_code(entries),
    )


def _exit_code(entries: list[Entry]) -> int | None:
    """How the task's program ended, by the log that was finished last."""
    ended = [entry for entry in entries if entry.exit_code is not None and entry.last_modified is not None]
    ended.sort(key=lambda entry: entry.last_modified or datetime.min.replace(tzinfo=UTC))
    return ended[-1].exit_code if ended else None
