"""Pages of a listing over plain connections: a command that lists needs no other HTTP client for it."""

from __future__ import annotations

import time
from concurrent.futures import wait
from functools import partial

from batch_outputs.pool import NoThreadError, Pool
from batch_outputs.stop import Stop
from batch_outputs.stores.azure import urls
from batch_outputs.stores.azure.access import Ticket, Tickets
from batch_outputs.stores.azure.answers import UnusableAnswerError
from batch_outputs.stores.azure.listing import Page
from batch_outputs.stores.azure.plain_http import PlainHttp
from batch_outputs.stores.azure.pressure import Pressure
from batch_outputs.stores.azure.rest import Rest
from batch_outputs.stores.azure.retries import RetryPolicy

_PIECE = 256 * 1024

_LOOK_EVERY = 0.1
"""Seconds between two moments at which Ctrl-C is heard."""


class PlainPages:
    """Listings of one container; belongs to one event loop.

    Like `bulk` it is never needed: what goes wrong is asked again over the wire, which also says why, renews tickets
    and has patience.
    """

    def __init__(
        self, http: PlainHttp, container: str, tickets: Tickets, policy: RetryPolicy, pressure: Pressure
    ) -> None:
        self._http = http
        self._path = urls.container_path(container)
        self._tickets = tickets
        self._patience = policy.patience
        self._pressure = pressure
        self._rest = Rest()

    async def page(self, query: str) -> Page | None:
        """The page that an encoded query asks for; None if it has to be asked for over the wire."""
        if self._rest.is_needed:
            return None
        import asyncio  # a command that lists quickly needs no event loop

        from batch_outputs.threads import finished

        ticket = await self._tickets.ticket()
        for pause in self._pressure.pauses(self._patience):
            await asyncio.sleep(pause)
        stop = Stop()
        return await finished(partial(self._asked, query, ticket, stop), stop)

    def page_at_once(self, query: str) -> Page | None:
        """The same, without an event loop."""
        ticket = self._tickets.at_hand()
        if ticket is None or self._rest.is_needed:
            return None
        for pause in self._pressure.pauses(self._patience):
            time.sleep(pause)
        stop = Stop()
        # On Windows a thread that waits for the network does not hear of Ctrl-C, so it must not be this one.
        with Pool(1, "batch-outputs-page") as threads:
            try:
                asked = threads.submit(self._asked, query, ticket, stop)
                while not asked.done():
                    wait([asked], timeout=_LOOK_EVERY)
                return asked.result()
            except NoThreadError:
                return self._asked(query, ticket, stop)
            except BaseException:
                stop.set()
                raise

    def _asked(self, query: str, ticket: Ticket, stop: Stop) -> Page | None:
        try:
            page = self._read(query, ticket, stop)
        except (_NoPageError, UnusableAnswerError):
            return None
        except Exception:  # of many classes; whoever asks again will find out what is wrong
            if not stop.is_set():
                self._rest.failed()
            return None
        self._pressure.served()
        self._rest.succeeded()
        return page

    def _read(self, query: str, ticket: Ticket, stop: Stop) -> Page:
        page = Page()
        with self._http.answer(self._path, query, ticket, stop) as response:
            if response.status != 200:
                raise _NoPageError
            while piece := response.read(_PIECE):
                page.feed(piece)
        page.close()
        return page


class _NoPageError(Exception):
    """The service has answered, with something else than a listing."""
