"""A log that grows, as events for a page that is open."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from batch_outputs.browse.sending.log_events import BEGINNING, LogEvents, Point
from batch_outputs.browse.sending.streaming import while_client_stays
from batch_outputs.browse.site import output_of
from batch_outputs.outputs import OutputFileReference


async def send(request: Request) -> Response:
    """Follow a log from where the browser has it, if it asks again, or else from the `offset` in the address."""
    query = request.query_params
    output = output_of(request)
    begin = Point.parse(request.headers.get("last-event-id", ""))
    if begin is None:
        begin = Point.parse(f"{query.get('offset', '')}.{query.get('log', '')}") or Point()
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")
    return _Events(output, begin)


class _Events(Response):
    """An answer that ends with the log, with the client, or with the server."""

    media_type = "text/event-stream"

    def __init__(self, output: OutputFileReference, begin: Point) -> None:
        self.status_code = 200
        self._output = output
        self._begin = begin
        self.init_headers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as an ASGI application."""

        async def write(text: str) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        async def answer() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await write(BEGINNING)
            await LogEvents(self._output, self._begin, write).tell()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await while_client_stays(receive, answer)
