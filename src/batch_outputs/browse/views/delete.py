"""Deleting outputs: a first form is answered with what would go, a second one deletes that if it is still the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from batch_outputs import wording
from batch_outputs.browse import addresses
from batch_outputs.browse.forms import FormError, form_of
from batch_outputs.browse.log_marks import log_id
from batch_outputs.browse.moments import moment_of
from batch_outputs.browse.shared import crumbs_to, failed
from batch_outputs.browse.site import Site, in_sentence, job_of, output_in, site_of
from batch_outputs.clearing import Cleared, Clearing
from batch_outputs.errors import BatchOutputsError, BlobChangedError, BlobNotFoundError
from batch_outputs.output_state import state_of
from batch_outputs.outputs import OutputFileReference
from batch_outputs.selection import Wanted
from batch_outputs.storage import JobOutputStorage
from batch_outputs.transfer import for_each

_SHOWN = 100
"""Outputs that are named on the page, where all are counted."""
_TOLD = 5
_NOTHING = datetime.min.replace(tzinfo=UTC)
"""Until when something must have changed last to be deleted, where the question was only about logs that grow."""


async def delete(request: Request) -> Response:
    """Ask, or delete what the form says and go back to where that was."""
    site, job = site_of(request), job_of(request)
    if not site.allow_delete:
        return await _told(site, job, 403, "This page only reads; batch-outputs browse --allow-delete lets it delete.")
    try:
        fields = await form_of(request, site)
    except FormError as error:
        return await _told(site, job, 403, str(error))
    names = addresses.named(fields.get("name", []), fields.get("quoted", []))
    task_id = fields.get("task", [""])[0]
    is_confirmed = "confirmed" in fields
    if names:
        outputs = [output_in(job, name) for name in names]
        if is_confirmed:
            return await _delete_outputs(site, job, outputs, {*fields.get("state", [])})
        return await _ask_about_outputs(site, job, outputs)
    if not task_id:
        return await _told(site, job, 400, "Nothing was selected, so nothing was deleted.")
    job.task(task_id)  # says if it cannot be one
    if is_confirmed:
        until = moment_of(fields.get("until", [""])[0])
        if until is None:
            return await _told(
                site, job, 400, "The form does not say until when; go back, load it anew, and try again."
            )
        return await _delete_task(site, job, task_id, until, growing="growing" in fields)
    return await _ask_about_task(site, job, task_id)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One output on the page that asks."""

    name: str
    size: int | None
    is_growing: bool


async def _ask_about_outputs(site: Site, job: JobOutputStorage, outputs: list[OutputFileReference]) -> Response:
    looked_at = await for_each(outputs, OutputFileReference.refresh)
    found = []
    for result in looked_at:
        if isinstance(result, OutputFileReference):
            found.append(result)
        elif not isinstance(result, BlobNotFoundError):
            raise result
    if not found:
        return await _told(site, job, 404, "What was selected is gone already.")
    now = datetime.now(UTC)
    asked = [_Asked(output.blob_name, output.size, state_of(output, now) == "growing") for output in found]
    return site.page(
        "delete.html",
        title=f"Delete {wording.counted(len(found), 'output')}?",
        crumbs=await crumbs_to(site, job.container, _task_of(found), "Delete"),
        container=job.container,
        asked=asked[:_SHOWN],
        more=len(asked) - _SHOWN,
        size=sum(output.size or 0 for output in found),
        growing=sum(one.is_growing for one in asked),
        fields=[field for output in found for field in (addresses.field(output.blob_name), ("state", _state(output)))],
        asks_for_growing=False,
        problem="",
        back=_where(job, _task_of(found)),
        wording=wording,
    )


async def _ask_about_task(site: Site, job: JobOutputStorage, task_id: str) -> Response:
    cleared = Cleared()
    asked: list[_Asked] = []
    now = datetime.now(UTC)
    async for output in Clearing(job, Wanted(task=task_id)).look(cleared):
        if len(asked) < _SHOWN:
            asked.append(_Asked(output.blob_name, output.size, state_of(output, now) == "growing"))
    problem = ""
    if cleared.failures:
        first = cleared.failures_to_tell[0]
        if not isinstance(first, BatchOutputsError):
            raise first
        problem = f"{wording.counted(len(cleared.failures), 'output')} could not be looked at: {first}"
    if not cleared.files and not cleared.growing:
        if problem:
            return await _told(site, job, 502, problem)
        return await _told(site, job, 404, f"Nothing is stored of task {in_sentence(task_id)}.")
    return site.page(
        "delete.html",
        title=f"Delete all outputs of task {wording.printable(task_id)}?",
        crumbs=await crumbs_to(site, job.container, task_id, "Delete"),
        container=job.container,
        asked=asked,
        more=cleared.files - len(asked),
        size=cleared.size,
        growing=cleared.growing,
        fields=[("task", task_id), ("until", (cleared.newest or _NOTHING).isoformat())],
        asks_for_growing=cleared.growing > 0,
        problem=wording.printable(problem),
        back=_where(job, task_id),
        wording=wording,
    )


async def _delete_outputs(
    site: Site, job: JobOutputStorage, outputs: list[OutputFileReference], asked: set[str]
) -> Response:
    async def remove(output: OutputFileReference) -> None:
        await output.refresh()
        if not asked & {_state(output), _state(output, grows=True)}:
            raise BlobChangedError(
                f"{in_sentence(output.blob_name)} has changed since you were asked; look at it, and select it again.",
                place=job.place,
                blob=output.blob_name,
            )
        await output.delete()

    results = await for_each(outputs, remove)
    failures = [
        result for result in results if isinstance(result, Exception) and not isinstance(result, BlobNotFoundError)
    ]
    return await _done(site, job, _task_of(outputs), failures)


async def _delete_task(site: Site, job: JobOutputStorage, task_id: str, until: datetime, *, growing: bool) -> Response:
    cleared = Cleared()
    await Clearing(job, Wanted(task=task_id), growing=growing, until=until).delete(cleared)
    return await _done(site, job, task_id, cleared.failures_to_tell)


async def _done(site: Site, job: JobOutputStorage, task_id: str | None, failures: list[Exception]) -> Response:
    for failure in failures:
        if not isinstance(failure, BatchOutputsError):
            raise failure
    if failures:
        sentences = " ".join(str(failure) for failure in failures[:_TOLD])
        status = 409 if all(isinstance(failure, BlobChangedError) for failure in failures) else 502
        return await _told(site, job, status, f"{wording.counted(len(failures), 'output')} not deleted: {sentences}")
    # From now on nothing of it may be left of which there could be a page.
    if task_id is not None and not [kind async for kind in job.task(task_id).list_kinds()]:
        task_id = None
    return RedirectResponse(_where(job, task_id), status_code=303)


async def _told(site: Site, job: JobOutputStorage, status: int, sentence: str) -> Response:
    crumbs = await crumbs_to(site, job.container, None, "Delete")
    return failed(site, status, wording.printable(sentence), title="Not deleted", crumbs=crumbs)


def _state(output: OutputFileReference, *, grows: bool = False) -> str:
    """What an output that has been looked at must still have in common with itself to be deleted.

    Of what is whole that is every byte. A log that `grows`, or did so when it was asked about, is to be the same log.
    """
    grows = bool(output.is_log) and (grows or not output.complete)
    what = f"log {log_id(output)}" if grows else f"state {output.etag}"
    return hashlib.sha256(f"{output.blob_name}\n{what}".encode()).hexdigest()


def _task_of(outputs: list[OutputFileReference]) -> str | None:
    """The one task that they are of."""
    tasks = {output.task_id for output in outputs}
    return tasks.pop() if len(tasks) == 1 else None


def _where(job: JobOutputStorage, task_id: str | None) -> str:
    return addresses.job(job.container) if task_id is None else addresses.task(job.container, task_id)
