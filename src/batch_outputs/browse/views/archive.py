"""Outputs in one ZIP file: of a task or of the job itself, perhaps of one kind, or those that a form has named."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from batch_outputs.browse import addresses, headers
from batch_outputs.browse.iterating import begun
from batch_outputs.browse.sending.archive import archive
from batch_outputs.browse.sending.archive_names import ArchiveNames
from batch_outputs.browse.sending.file_names import attachment
from batch_outputs.browse.sending.streaming import Streamed
from batch_outputs.browse.shared import crumbs_to, failed
from batch_outputs.browse.site import NoSuchPageError, job_of, output_in, site_of
from batch_outputs.outputs import OutputFileReference


async def send(request: Request) -> Response:
    """The archive, from its first byte on as soon as there is one."""
    site, job = site_of(request), job_of(request)
    query = request.query_params
    task_id, kind = query.get("task"), query.get("kind")
    blob_names = addresses.named(query.getlist("name"), query.getlist("quoted"))
    if "selection" in query and not blob_names:
        crumbs = await crumbs_to(site, job.container, task_id, "Download")
        return failed(
            site, 400, "Nothing was selected, so there is nothing to download.", title="Nothing selected", crumbs=crumbs
        )
    name = await site.jobs.name(job.container)
    if blob_names:
        outputs = _named([output_in(job, blob_name) for blob_name in blob_names])
        name += "-selection" if task_id is None else f"-{task_id}"
    else:
        owner = job if task_id is None else job.task(task_id)
        nothing = NoSuchPageError("Nothing of that is stored, so there is nothing to download.")
        outputs = await begun(owner.list_outputs(kind), if_none=nothing)
        name = "-".join(part for part in (name, task_id, kind) if part is not None)
    given = {
        **headers.BLOB,
        "Content-Disposition": attachment(f"{name.replace('/', '_')}.zip"),
    }
    pieces = archive(outputs, ArchiveNames(with_tasks=bool(blob_names) and task_id is None))
    if request.method == "HEAD":
        return Response(headers=given, media_type="application/zip")
    return Streamed(await begun(pieces), headers=given, media_type="application/zip")


async def _named(outputs: list[OutputFileReference]) -> AsyncIterator[OutputFileReference]:
    for output in outputs:
        yield await output.refresh()
