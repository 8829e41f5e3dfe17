"""A request as a value, before anything is known of access, connections or repetition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import aiohttp

Deed = Literal["save", "create", "append to", "look at", "read", "list", "mark", "copy", "delete", "sign for"]


@dataclass(slots=True)
class Call:
    """One request.

    `path` and `query` are encoded; `needs` holds the letters of a SAS any one of which allows it; `source` is the path
    of a blob to copy from, to which a SAS is added as to the URL. `unsure` becomes true when the request may have been
    carried out without our having heard of it, so that what is found later may be our own doing.
    """

    method: str
    path: str
    deed: Deed
    needs: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    blob: str | None = None
    expect: tuple[int, ...] = (200,)
    repeats: bool = True
    source: str | None = None
    unsure: bool = False

    async def watch(self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Send, noting when no answer came: aiohttp sends a request again by itself when a kept connection breaks."""
        try:
            return await send(request)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise  # nothing was sent
        except BaseException:
            self.unsure = True
            raise
