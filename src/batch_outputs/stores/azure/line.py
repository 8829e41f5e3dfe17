"""The way of every request to the service: ticket, sending, renewal, repetition, and errors that are ours."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import aiohttp
from yarl import URL

from batch_outputs.errors import AccessDeniedError, StoreError, StoreUnavailableError
from batch_outputs.location import AzureAccount
from batch_outputs.stores.azure import urls
from batch_outputs.stores.azure.access import Ticket, Tickets
from batch_outputs.stores.azure.answers import UnusableAnswerError
from batch_outputs.stores.azure.calls import Call
from batch_outputs.stores.azure.failures import Refusal, foreign, refused, unanswered
from batch_outputs.stores.azure.network import shown_proxy
from batch_outputs.stores.azure.pressure import BUSY, pressure_on
from batch_outputs.stores.azure.retries import RetryPolicy
from batch_outputs.stores.azure.transport import as_body, new_session, time_allowed

T = TypeVar("T")

_ERROR_BODY = 64 * 1024

BROKEN = (aiohttp.ClientError, TimeoutError, OSError)
"""What aiohttp raises when a connection cannot be made or breaks. Some of these hold the URL, and so the SAS."""


class Line:
    """Requests to one account; belongs to the event loop it is first used on.

    `place` is what messages call the other end.
    """

    def __init__(
        self,
        account: AzureAccount,
        tickets: Tickets,
        policy: RetryPolicy,
        proxy: str | None,
        *,
        place: str,
        own_thread: bool = False,
    ) -> None:
        self.place = place
        self.policy = policy
        self._account = account
        self._tickets = tickets
        self._own_thread = own_thread
        self._proxy = proxy
        self._pressure = pressure_on(account.endpoint)
        # Over TLS the transport sees to it that bytes arrive as they were sent.
        self._checksums = account.endpoint.startswith("http://")
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, call: Call, use: Callable[[aiohttp.ClientResponse], Awaitable[T]]) -> T:
        """Send a call, again and again if it may be repeated, and return what `use` makes of the answer.

        Raises:
            StoreError: the service refused, or no usable answer came.
        """
        patience = self.policy.begin()
        while True:
            try:
                return await self._once(call, use)
            except StoreUnavailableError as error:
                wait = patience.wait(error.retry_after) if call.repeats else None
                if wait is None:
                    raise
            await asyncio.sleep(wait)

    async def open(self, call: Call) -> aiohttp.ClientResponse:
        """The answer to one sending of a call, its body still to be read; a refused ticket is renewed once.

        Raises:
            StoreError: the service refused, or no usable answer came.
        """
        ticket = await self._tickets.ticket()
        try:
            return await self._send(call, ticket)
        except AccessDeniedError:
            better = await self._tickets.renewed(ticket)
            if better is None:
                raise
        return await self._send(call, better)

    async def pieces(self, response: aiohttp.ClientResponse, call: Call) -> AsyncIterator[bytes]:
        """An answer's body as it comes.

        Raises:
            StoreUnavailableError: it broke off.
        """
        while True:
            failure = None
            piece = b""
            try:
                piece = await response.content.readany()
            except BROKEN as error:
                failure = self.broken(error, call)
            if failure is not None:
                raise failure
            if not piece:
                return
            yield piece

    def usable(self, call: Call, response: aiohttp.ClientResponse, read: Callable[[], T]) -> T:
        """What `read` makes of an answer's headers.

        Raises:
            StoreUnavailableError: they are not Blob Storage's.
        """
        with suppress(UnusableAnswerError):
            return read()
        raise foreign(call, place=self.place, status=response.status)

    def broken(self, error: Exception, call: Call) -> StoreUnavailableError:
        """The error for an answer that broke off (`BROKEN`); to be raised behind the handler, not inside it."""
        return unanswered(error, call, place=self.place, proxy=shown_proxy(self._proxy) if self._proxy else None)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _once(self, call: Call, use: Callable[[aiohttp.ClientResponse], Awaitable[T]]) -> T:
        response = await self.open(call)
        failure: StoreError
        try:
            async with response:
                return await use(response)
        except UnusableAnswerError:
            failure = foreign(call, place=self.place, status=response.status)
        except BROKEN as error:
            call.unsure = True
            failure = self.broken(error, call)
        # Raised here, behind the handler, so that aiohttp's error, which may hold the URL, is not its context.
        raise failure

    async def _send(self, call: Call, ticket: Ticket) -> aiohttp.ClientResponse:
        failure: StoreError
        for pause in self._pressure.pauses(self.policy.patience):
            await asyncio.sleep(pause)
        try:
            response = await self._open_session().request(
                call.method,
                self._url(call.path, call.query, ticket),
                headers=self._headers(call, ticket),
                data=as_body(call.body),
                timeout=time_allowed(call.body),
                proxy=self._proxy,
                allow_redirects=False,
                middlewares=(call.watch,),
            )
            if response.status in call.expect:
                self._pressure.served()
                return response
            async with response:
                body = await response.content.read(_ERROR_BODY)
            refusal = Refusal(response.status, response.headers, body)
            call.unsure |= refusal.leaves_unsure
            if response.status in BUSY:
                self._pressure.busy(refusal.retry_after)
            failure = refused(refusal, call, ticket, place=self.place, access=self._account.access)
        except BROKEN as error:
            failure = self.broken(error, call)
        raise failure  # behind the handler, as in `_once`

    def _url(self, path: str, query: str, ticket: Ticket) -> URL:
        # `encoded`, because yarl would otherwise tidy `..`, `//` and `%41` in names.
        search = "&".join(part for part in (query, ticket.sas) if part)
        return URL(f"{self._account.endpoint}{path}?{search}", encoded=True)

    def _headers(self, call: Call, ticket: Ticket) -> dict[str, str]:
        headers = {
            "x-ms-version": urls.API_VERSION,
            "User-Agent": "batch-outputs",
            **call.headers,
            **ticket.headers(),
        }
        if call.source is not None:
            headers["x-ms-copy-source"] = str(self._url(call.source, "", ticket))
        if call.body is not None:
            headers["Content-Length"] = str(len(call.body))
            if self._checksums and call.body:
                digest = hashlib.md5(call.body, usedforsecurity=False).digest()
                headers["Content-MD5"] = base64.b64encode(digest).decode()
        return headers

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = new_session(own_thread=self._own_thread)
        return self._session
