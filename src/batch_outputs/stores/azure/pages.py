"""Pages of a listing by calls that block: a command that lists needs no other HTTP client for it."""

from __future__ import annotations

from batch_outputs.stores.azure import urls
from batch_outputs.stores.azure.access import Ticket
from batch_outputs.stores.azure.listing import Page
from batch_outputs.stores.azure.plain_http import PlainHttp
from batch_outputs.stores.azure.pressure import BUSY, Pressure
from batch_outputs.threads import Stop

_PIECE = 256 * 1024


class NoPageError(Exception):
    """The service has answered, with something else than a listing."""


class PageReader:
    """Listings of one container, for threads. Whatever goes wrong is raised, of whatever class."""

    def __init__(self, http: PlainHttp, container: str, pressure: Pressure) -> None:
        self._http = http
        self._path = urls.container_path(container)
        self._pressure = pressure

    def read(self, query: str, ticket: Ticket, stop: Stop) -> Page:
        """The page that an encoded query asks for."""
        page = Page()
        with self._http.answer(self._path, query, ticket, stop) as response:
            if response.status in BUSY:
                self._pressure.busy()
            if response.status != 200:
                raise NoPageError
            while piece := response.read(_PIECE):
                page.feed(piece)
        if stop.is_set():
            raise NoPageError  # what was broken off may look whole
        self._pressure.served()
        page.close()
        return page
