"""The page of a job: its own outputs, and its tasks, searched and in an order."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast, get_args

from starlette.requests import Request
from starlette.responses import Response

from batch_outputs import wording
from batch_outputs.browse import addresses
from batch_outputs.browse.listing.entries import SLOWLY, Entry, refresh_after
from batch_outputs.browse.listing.paging import Pager, numbered, page_number
from batch_outputs.browse.listing.sections import SHOWN as OUTPUTS_SHOWN
from batch_outputs.browse.listing.sections import place_of, sections_of, title_of
from batch_outputs.browse.listing.task_table import MOST_TASKS, Order, TaskRow, TaskTable, last_change
from batch_outputs.browse.shared import crumbs_to
from batch_outputs.browse.site import job_of, site_of
from batch_outputs.output_state import is_recent
from batch_outputs.storage import JobOutputStorage

SHOWN = 100
"""Tasks on one page."""
_REFRESH = 5
"""Seconds after which the page looks again while something comes."""
_REFRESH_WHILE_COUNTING = 2
"""Seconds after which it says again how far a count has come."""
_SCANNED_AT_ONCE = 5000
"""Ids of one listing in a search."""
_SCANNED = 50_000
"""Ids that one search looks at; then it says how far it has come."""
_SCANNED_FOR = 2.0
"""Seconds that one search takes."""
_FURTHER = "skip="
"""Before a number of tasks, where a page begins that no listing has said the beginning of."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address of the page asks for."""

    q: str
    anywhere: bool
    sort: Order
    counts: bool
    after: str | None
    behind: str | None
    page: str | None

    @classmethod
    def by(cls, request: Request) -> Asked:
        """Read the address; what makes no sense counts as missing."""
        query = request.query_params
        sort = query.get("sort", "")
        return cls(
            query.get("q", "").strip(),
            query.get("anywhere") == "1",
            cast("Order", sort) if sort in get_args(Order) else "id",
            query.get("count") == "1",
            query.get("after") or None,
            query.get("behind") or None,
            query.get("page"),
        )

    def wants(self, task_id: str) -> bool:
        """Whether a task is looked for, among ids that are at hand: in capitals or not."""
        if not self.q:
            return True
        wanted, text = self.q.casefold(), task_id.casefold()
        return wanted in text if self.anywhere else text.startswith(wanted)

    def address(self, container: str, **changes: str | int | None) -> str:
        """The address of the page with the same wishes, from its beginning, but for some."""
        query: dict[str, str | int | None] = {
            "q": self.q or None,
            "anywhere": "1" if self.anywhere and self.q else None,
            "sort": self.sort if self.sort != "id" else None,
            "count": "1" if self.counts else None,
        }
        return addresses.job(container, **(query | changes))


@dataclass(frozen=True, slots=True)
class Tasks:
    """The tasks on the page: ids, what is known of each, and the ways to others.

    `searched` says how far a search has come that is not through, and `go_on` is the address that goes on.
    `capitals_count` says that the search told capitals from small letters.
    """

    ids: tuple[str, ...]
    rows: dict[str, TaskRow]
    pager: Pager
    found: int | None = None
    searched: str = ""
    go_on: str | None = None
    capitals_count: bool = False


async def show(request: Request) -> Response:
    """A job."""
    site = site_of(request)
    job = job_of(request)
    asked = Asked.by(request)
    now = datetime.now(UTC)
    own = await sections_of(job, now)
    tables = site_of(request).tables
    is_first = asked.sort == "id" and not asked.q and asked.after is None
    beginning = await tables.beginning(job, SHOWN, is_needed=is_first)
    table: TaskTable | None = beginning if beginning.is_small else tables.known(job.container)
    if table is None and (asked.sort != "id" or asked.counts):
        table = await tables.wanted(job)
    tasks: Tasks | None = None
    if table is not None and table.is_done and (table.is_small or asked.sort != "id"):
        tasks = _of_table(job, asked, table)
    elif asked.sort == "id":
        tasks = await _of_listing(request, job, asked, beginning, table)
    is_counting = table is not None and not (table.is_done or table.has_too_many or table.error)
    is_empty = tasks is not None and not tasks.ids and not asked.q and asked.after is None
    return site.page(
        "job.html",
        title=wording.printable(await site.jobs.name(job.container)),
        crumbs=await crumbs_to(site, job.container),
        refresh=_REFRESH_WHILE_COUNTING if is_counting else _refresh(own.entries, tasks, now, is_empty=is_empty),
        wording=wording,
        now=now,
        container=job.container,
        own=own,
        others=[(title_of(kind), addresses.kind(job.container, None, kind)) for kind in own.others],
        shown=OUTPUTS_SHOWN,
        asked=asked,
        tasks=tasks,
        table=table,
        sums=[] if table is None else sorted(table.kinds.values(), key=lambda one: (one.of_job, place_of(one.kind))),
        is_counting=is_counting,
        most_tasks=MOST_TASKS,
        titles=title_of,
        orders=[
            ("id", "Id"),
            ("-id", "Id, descending"),
            ("changed", "Last change"),
            ("size", "Size"),
            ("files", "Files"),
        ],
        is_empty=is_empty,
    )


def _refresh(own: list[Entry], tasks: Tasks | None, now: datetime, *, is_empty: bool) -> int | None:
    """Seconds after which the page looks again."""
    rows = [] if tasks is None else tasks.rows.values()
    if is_recent(last_change(rows), now):
        return _REFRESH
    of_own = refresh_after(own, now, _REFRESH)
    is_open = is_empty or any(row.has_open_log for row in rows)
    return SLOWLY if of_own is None and is_open else of_own


def _of_table(job: JobOutputStorage, asked: Asked, table: TaskTable) -> Tasks:
    """A page of tasks that are all known."""
    rows = table.ordered(asked.sort, asked.wants if asked.q else None)
    number = page_number(asked.page, SHOWN, len(rows))
    shown = rows[(number - 1) * SHOWN : number * SHOWN]
    return Tasks(
        tuple(row.task_id for row in shown),
        {row.task_id: row for row in shown},
        numbered(number, SHOWN, len(rows), lambda page: asked.address(job.container, page=page)),
        found=len(rows),
    )


async def _of_listing(
    request: Request, job: JobOutputStorage, asked: Asked, beginning: TaskTable, table: TaskTable | None
) -> Tasks:
    """A page of tasks as a listing gives them."""
    rows = beginning.rows | (table.rows if table is not None and table.is_done else {})
    if asked.q and asked.anywhere:
        return await _searched(job, asked, rows)

    def address(start: str | None) -> str:
        return asked.address(job.container, after=start)

    after = asked.after
    if after is None and not asked.q and len(beginning.rows) >= SHOWN:
        # They are known already; only the listing's own word for where it goes on is not.
        ids = tuple(beginning.rows)[:SHOWN]
        following: str | None = f"{_FURTHER}{SHOWN}"
    else:
        ids, following = await _listed(job, asked.q, after)
    pager = site_of(request).trail.pager(f"{job.container} {asked.q}", after, following, len(ids), address)
    known = {task_id: rows[task_id] for task_id in ids if task_id in rows}
    return Tasks(ids, known, pager, capitals_count=bool(asked.q))


async def _listed(job: JobOutputStorage, prefix: str, after: str | None) -> tuple[tuple[str, ...], str | None]:
    """The tasks of a page of a listing, and where it goes on."""
    skipped = 0
    if after is not None and after.startswith(_FURTHER) and after.removeprefix(_FURTHER) == str(SHOWN):
        after, skipped = None, SHOWN
    ids: list[str] = []
    while True:  # a page may hold fewer than it could, or none, and not be the last
        page = await job.page_of_tasks(prefix, after=after, limit=SHOWN + skipped - len(ids))
        ids += page.tasks
        after = page.after
        if after is None or len(ids) >= SHOWN // 2 + skipped:
            return tuple(ids[skipped:]), after


async def _searched(job: JobOutputStorage, asked: Asked, rows: dict[str, TaskRow]) -> Tasks:
    """The tasks that have a text anywhere in their id, as far as they are found in a short time."""
    begun = time.monotonic()
    found: list[str] = []
    start, behind, looked_at = asked.after, asked.behind, 0
    last = ""
    while True:
        page = await job.page_of_tasks(after=start, limit=_SCANNED_AT_ONCE)
        ids = _behind(page.tasks, behind)
        looked_at += len(ids)
        last = ids[-1] if ids else last
        wanted = [task_id for task_id in ids if asked.wants(task_id)]
        room = SHOWN - len(found)
        found += wanted[:room]
        if len(wanted) > room:
            further: dict[str, str | None] | None = {"after": start, "behind": found[-1]}
            break
        start, behind = page.after, None
        further = None if start is None else {"after": start}
        if start is None or looked_at >= _SCANNED or len(found) == SHOWN or _is_over(begun):
            break
    is_first = asked.after is None and asked.behind is None
    searched = ""
    if further is not None and len(found) < SHOWN:
        searched = f"Looked at {wording.counted(looked_at, 'task')} so far, up to {wording.printable(last)}."
    go_on = None if further is None else asked.address(job.container, **further)
    return Tasks(
        tuple(found),
        {task_id: rows[task_id] for task_id in found if task_id in rows},
        Pager(None if is_first else asked.address(job.container), None, go_on, ""),
        searched=searched,
        go_on=go_on if searched else None,
    )


def _behind(ids: tuple[str, ...], behind: str | None) -> tuple[str, ...]:
    """The ids of a page that come behind one of it; if that is gone, those that would."""
    if behind is None:
        return ids
    if behind in ids:
        return ids[ids.index(behind) + 1 :]
    return tuple(task_id for task_id in ids if f"{task_id}/" > f"{behind}/")


def _is_over(begun: float) -> bool:
    return time.monotonic() - begun > _SCANNED_FOR
