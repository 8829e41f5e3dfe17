"""The page of one output: what it is, and what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from batch_outputs import wording
from batch_outputs.browse import addresses
from batch_outputs.browse.listing.entries import SLOWLY
from batch_outputs.browse.listing.sections import title_of
from batch_outputs.browse.log_marks import log_id
from batch_outputs.browse.served_types import known_type
from batch_outputs.browse.shared import crumbs_to
from batch_outputs.browse.site import blob_name_in, job_of, output_in, site_of
from batch_outputs.browse.viewing.contents import Content
from batch_outputs.browse.viewing.encodings import UTF_8
from batch_outputs.browse.viewing.facts import facts_of, parts_in_words, state_in_words
from batch_outputs.browse.viewing.family import Family, family_of
from batch_outputs.browse.viewing.json_tree import NotJsonError, parse_json, parse_json_lines
from batch_outputs.browse.viewing.lines import harmless
from batch_outputs.browse.viewing.passages import BEGINNING, passage
from batch_outputs.browse.viewing.previews import WORDS, Preview, Viewer, hex_dump, preview_of
from batch_outputs.browse.viewing.tables import NotATableError, delimiter_of, parse_table
from batch_outputs.output_state import OutputState, state_of
from batch_outputs.outputs import OutputFileReference
from batch_outputs.wording import printable

_REFRESH = 10
"""Seconds after which a page is loaded anew while its log grows, where no script follows it."""


async def show(request: Request) -> Response:
    """The page of the output that is named in the address."""
    site, job, asked = site_of(request), job_of(request), request.query_params
    output = await output_in(job, blob_name_in(request)).refresh()
    now, type_ = datetime.now(UTC), known_type(output.content_type, output.name)
    family = await family_of(job if output.task_id is None else job.task(output.task_id), output, now)
    state = _state(output, family, now)
    grows = state in {"growing", "continued"} or (state == "partial" and family.other is None)
    content = await Content.of(output)
    preview = preview_of(output.name, output.content_type, content.size, content.beginning, is_log=bool(output.is_log))
    crumbs = await crumbs_to(site, job.container, output.task_id, title_of(output.kind), output.name)
    crumbs[-2] = (crumbs[-2][0], addresses.kind(job.container, output.task_id, output.kind))
    return site.page(
        "file.html",
        title=printable(output.name.rpartition("/")[2][-80:]),
        crumbs=crumbs,
        container=job.container,
        output=output,
        kind_title=title_of(output.kind),
        state=state_in_words(output, state),
        facts=facts_of(output, type_, now),
        parts=parts_in_words(family),
        metadata=[(printable(key), printable(value)) for key, value in sorted((output.metadata or {}).items())],
        family=family,
        words=WORDS,
        search=asked.get("q", ""),
        wording=wording,
        now=now,
        preview=preview,
        refresh_without_script=None if state == "partial" else _REFRESH,
        **await shown(content, preview, asked, grows=grows, refresh=SLOWLY if state == "partial" else _REFRESH),
    )


def _state(output: OutputFileReference, family: Family, now: datetime) -> OutputState:
    """How far an output has come; a list knows of an attempt that was kept aside just now that nobody writes to it."""
    if output.complete:
        return "complete"
    return family.own.state if family.own else state_of(output, now)


async def shown(
    content: Content, preview: Preview, asked: Mapping[str, str], *, grows: bool, refresh: int
) -> dict[str, Any]:
    """What the template shows of the content: the `viewer`, a `remark`, and what that viewer needs.

    The page of what `grows` and is not followed is to `refresh` itself after so many seconds.
    """
    viewer, remark = preview.choose(asked.get("view")), ""
    if viewer is preview.viewer:
        remark = preview.remark
    try:
        match viewer:
            case Viewer.TREE:
                text, is_whole = await content.text()
                read = parse_json_lines(text, is_whole=is_whole) if preview.is_lines else parse_json(text)
                return {"viewer": viewer, "remark": remark, "tree_root": read, "is_whole": is_whole}
            case Viewer.TABLE:
                text, is_whole = await content.text()
                text = harmless(text)
                table = parse_table(text, delimiter_of(text, content.output.name), is_whole=is_whole)
                return {"viewer": viewer, "remark": remark, "cells": table}
            case Viewer.BYTES:
                return {"viewer": viewer, "remark": remark, "rows": hex_dump(content.beginning), "size": content.size}
    except NotJsonError as error:
        viewer, remark = Viewer.TEXT, f"It cannot be folded: {error}."
    except NotATableError as error:
        viewer, remark = Viewer.TEXT, f"It cannot be shown as a table: {error}."
    if viewer is not Viewer.TEXT:
        return {"viewer": viewer, "remark": remark}
    found = await passage(content.windows, asked, grows=grows)
    follows = grows and found.has_end
    return {
        "viewer": viewer,
        "remark": remark,
        "passage": found,
        "beginning": BEGINNING,
        "where": found.words,
        "text_view": None if viewer is preview.viewer else viewer.value,
        "next_line": found.next_line,
        "log": log_id(content.output) or None,
        "follows": follows and content.encoding is UTF_8,
        "refresh": refresh if follows and content.encoding is not UTF_8 else None,
    }
