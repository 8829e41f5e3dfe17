"""Forms that a page of ours sends: read within bounds, and taken only with the token of this run."""

from __future__ import annotations

from hmac import compare_digest
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request

from batch_outputs.browse.site import Site

_LONGEST = 16 * 1024 * 1024
"""Bytes; a page shows some hundred names of at most 1,024 characters, each of which may take many bytes in a form."""
_MOST_FIELDS = 10_000


class FormError(Exception):
    """A form that is not taken; the text is for people."""


async def form_of(request: Request, site: Site) -> dict[str, list[str]]:
    """The fields of a form, each with its values.

    Raises:
        FormError: it does not come from a page of this run, or cannot be read.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST:
            raise HTTPException(413, headers={"Connection": "close"})
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise FormError("The form cannot be read; go back, load the page anew, and try again.") from error
    tokens = fields.pop("form_token", [""])
    if not compare_digest(tokens[0].encode(), site.form_token.encode()):
        raise FormError("The page was made before the server was started anew; go back, load it anew, and try again.")
    return fields
