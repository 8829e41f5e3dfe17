"""The page of a search: the lines of an output in which a text stands."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from batch_outputs import wording
from batch_outputs.browse import addresses
from batch_outputs.browse.listing.sections import title_of
from batch_outputs.browse.shared import crumbs_to
from batch_outputs.browse.site import blob_name_in, job_of, output_in, site_of
from batch_outputs.browse.viewing.contents import Content
from batch_outputs.browse.viewing.encodings import UTF_8
from batch_outputs.browse.viewing.searching import LONGEST_NEEDLE, Match, Position, Search
from batch_outputs.browse.viewing.windows import WINDOW
from batch_outputs.outputs import OutputFileReference
from batch_outputs.storage import JobOutputStorage
from batch_outputs.wording import printable

_MOST = 200
"""Lines that are shown at once."""
_SECONDS = 5.0
"""How long somebody is kept waiting."""


@dataclass(frozen=True, slots=True)
class Found:
    """A line with the text, in three pieces, and the address of the part of the output that has it."""

    line: int
    address: str
    before: str
    text: str
    behind: str


async def show(request: Request) -> Response:
    """Search the output that is named in the address, from where an earlier page ended."""
    site, job, asked = site_of(request), job_of(request), request.query_params
    output = await output_in(job, blob_name_in(request)).refresh()
    needle = asked.get("q", "")
    begin = Position.parse(asked.get("from", ""))
    remark, search, found = "", None, list[Found]()
    if "\n" in needle or len(needle) > LONGEST_NEEDLE:
        remark = f"Only one line of up to {LONGEST_NEEDLE:,} characters can be looked for."
    elif needle and (await Content.of(output)).encoding is not UTF_8:
        remark = "The file is in UTF-16, in which nothing is found; download it to search it."
    elif needle:
        search = Search(output, needle, begin, limit=_MOST, seconds=_SECONDS)
        async with aclosing(search.matches()) as matches:
            found = [_found(job.container, output, needle, match) async for match in matches]
    crumbs = await crumbs_to(site, job.container, output.task_id, title_of(output.kind), output.name, "Search")
    crumbs[-3] = (crumbs[-3][0], addresses.kind(job.container, output.task_id, output.kind))
    crumbs[-2] = (crumbs[-2][0], addresses.file(job.container, output.blob_name))
    return site.page(
        "search.html",
        title=f"Search in {printable(output.name.rpartition('/')[2][-80:])}",
        crumbs=crumbs,
        container=job.container,
        output=output,
        needle=needle,
        remark=remark,
        found=found,
        searched=None if search is None else _searched(output, search, len(found)),
        go_on=None if search is None or search.is_at_end else _address(job, output, needle, search.position),
        from_beginning=_address(job, output, needle, None) if begin.offset else None,
        wording=wording,
    )


def _found(container: str, output: OutputFileReference, needle: str, match: Match) -> Found:
    # Far inside a huge line the window begins with the match and not with the line.
    near = match.line_offset if match.offset - match.line_offset < WINDOW // 2 else match.offset
    address = addresses.file(container, output.blob_name, view="text", near=near, line=match.line, q=needle)
    return Found(
        match.line,
        f"{address}#L{match.line}",
        ("…" if match.cut_before else "") + match.text[: match.start],
        match.text[match.start : match.end],
        match.text[match.end :] + ("…" if match.cut_after else ""),
    )


def _searched(output: OutputFileReference, search: Search, found: int) -> str:
    """How far the search came, in words."""
    lines = wording.counted(found, "line")
    size = output.size or 0
    if search.is_at_end:
        return f"{lines}. That is all up to the end." if output.complete else f"{lines}, up to the end as it is now."
    share = min(99, int(search.position.offset * 100 / size)) if size else 99
    return f"{lines} so far: searched up to {share} % of {wording.size_text(size)}, line {search.position.line:,}."


def _address(job: JobOutputStorage, output: OutputFileReference, needle: str, position: Position | None) -> str:
    begin = None if position is None else str(position)
    return addresses.search(job.container, output.blob_name, q=needle, **{"from": begin})
