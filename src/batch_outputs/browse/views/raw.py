"""The content of an output: for pictures, players and frames on our pages, or as a file to keep."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from batch_outputs.browse import headers
from batch_outputs.browse.iterating import begun
from batch_outputs.browse.sending.file_names import attachment, inline
from batch_outputs.browse.sending.ranges import UnsatisfiableError, entity_tag, is_unchanged, wanted_range
from batch_outputs.browse.sending.streaming import Streamed, verified
from batch_outputs.browse.served_types import SVG, served_type
from batch_outputs.browse.site import output_of
from batch_outputs.outputs import OutputFileReference


async def send(request: Request) -> Response:
    """The content, as a type that does no harm."""
    output = await output_of(request).refresh()
    return await _send(request, output, inline(output.name))


async def send_to_keep(request: Request) -> Response:
    """The content, to be kept under the output's name."""
    output = await output_of(request).refresh()
    return await _send(request, output, attachment(output.name))


async def _send(request: Request, output: OutputFileReference, disposition: str) -> Response:
    size, tag = output.size or 0, entity_tag(output.etag or "")
    type_ = served_type(output.content_type, output.name)
    common = {
        **(headers.SVG if type_ == SVG else headers.BLOB),
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": disposition,
        "Content-Type": type_,
        "ETag": tag,
    }
    if is_unchanged(request.headers.get("if-none-match"), tag):
        del common["Content-Type"]
        return Response(status_code=304, headers=common)
    if request.method == "HEAD":
        return Response(headers={**common, "Content-Length": str(size)})
    try:
        wanted = wanted_range(request.headers.get("range"), request.headers.get("if-range"), tag, size)
    except UnsatisfiableError:
        return Response(status_code=416, headers={**common, "Content-Range": f"bytes */{size}"})
    offset, length = wanted or (0, size)
    common["Content-Length"] = str(length)
    if wanted is not None:
        common["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{size}"
    # A log that grows meanwhile is sent as long as it was; one that is another by now is broken off.
    pieces = await begun(verified(output.chunks(offset, length, exactly=True), length))
    return Streamed(pieces, status_code=200 if wanted is None else 206, headers=common)
