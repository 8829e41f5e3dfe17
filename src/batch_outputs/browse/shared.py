"""What pages have in common: the way to them, and the page in their place where there is nothing, or nothing works."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from batch_outputs.browse import addresses
from batch_outputs.browse.listing.entries import SLOWLY
from batch_outputs.browse.site import Site
from batch_outputs.wording import printable

Crumbs = list[tuple[str, str | None]]


async def crumbs_to(site: Site, container: str, task_id: str | None = None, *here: str) -> Crumbs:
    """The way from the jobs to a page: the last of it has no address.

    With access to one container only there are no other jobs to go back to.
    """
    steps: Crumbs = [] if site.jobs.only_container else [("Jobs", addresses.JOBS)]
    steps.append((await site.jobs.name(container), addresses.job(container)))
    if task_id is not None:
        steps.append((task_id, addresses.task(container, task_id)))
    steps += [(text, None) for text in here]
    last, _ = steps.pop()
    return [(printable(text), address) for text, address in [*steps, (last, None)]]


def nothing(site: Site, sentence: str, crumbs: Crumbs) -> Response:
    """A page that says that there is nothing here, with the ways back; it looks again."""
    return failed(site, 404, sentence, title="Nothing here", crumbs=crumbs, refresh=SLOWLY)


def failed(site: Site, status: int, sentence: str, *, title: str, **values: Any) -> Response:
    """A page that says why there is not what was asked for."""
    return site.page("error.html", status=status, title=title, sentence=sentence, **values)
