"""A proxy that understands HTTP and misbehaves on request, to stand between a client and a blob service.

    with FaultProxy(azurite.port) as proxy:
        lost = proxy.fault(cut_after, on="append", times=2)      # commit two appends and lose their answers
        ...                                                      # a client works through proxy.through(sas_url)
        assert lost.fired == 2

Whatever no fault is for passes unchanged. The proxy runs on an event loop in a thread of its own, so blocking and
asynchronous tests use it alike. Neither a SAS nor a shared key signs host and port, so any URL of the service may be
sent `through` it.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias
from urllib.parse import urlsplit

from support.faults import Action, Gate, made_up, pass_on
from support.http1 import PIECE, Answer, Operation, Request, read_answer, read_request
from support.ports import kept_port, port_of

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]

TIMEOUT = 60.0


@dataclass(eq=False)
class Fault:
    """An action and the requests it is for; `fired` counts how often it was taken."""

    action: Action
    on: Operation | Callable[[Request], bool] | None
    blob: str | None
    times: int | None
    after: int
    fired: int = 0

    def takes(self, request: Request) -> bool:
        """Whether this request falls to the fault; counts."""
        if not self._matches(request) or (self.times is not None and self.fired >= self.times):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.fired += 1
        return True

    def _matches(self, request: Request) -> bool:
        if self.blob is not None and request.blob != self.blob:
            return False
        return self.on(request) if callable(self.on) else self.on in (None, request.operation)


@dataclass(frozen=True)
class Fired:
    """That an action other than passing on was taken for a request."""

    action: Action
    request: Request


class FaultProxy:
    """A proxy on a port of 127.0.0.1 before the service at `service_port`; a context manager.

    The port is one that nobody else gets while the proxy is `down`.

    `decide` may be set to a callable that is asked for an action where no fault takes a request; None passes it on.
    `bytes_per_second`, when set, is the speed of the link in each direction. `after_each`, when set, is called with
    each request that has been dealt with; what it does may not come through here.
    """

    def __init__(self, service_port: int) -> None:
        self.port = 0
        self.decide: Callable[[Request], Action | None] | None = None
        self.bytes_per_second: float | None = None
        self.after_each: Callable[[Request], object] | None = None
        self.requests: list[Request] = []
        self.fired: list[Fired] = []
        self._service_port = service_port
        self._reading_sas: str | None = None
        self._faults: list[Fault] = []
        self._errors: list[Exception] = []
        self._under_way = 0
        self._changed = threading.Condition()
        self._kept: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy")

    def __enter__(self) -> Self:
        kept = kept_port()
        self.port = port_of(kept)
        if sys.platform.startswith("linux"):
            self._kept = kept  # as long as the proxy is there, also in an outage
        else:
            kept.close()
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._kept is not None:
            self._kept.close()
        if self._errors and error is None:
            raise ExceptionGroup("the fault proxy failed", self._errors)

    def through(self, url: str) -> str:
        """A URL of the service, changed so that its requests come through here."""
        parts = urlsplit(url)
        return parts._replace(netloc=f"{parts.hostname}:{self.port}").geturl()

    def fault(
        self,
        action: Action,
        *,
        on: Operation | Callable[[Request], bool] | None = None,
        blob: str | None = None,
        times: int | None = 1,
        after: int = 0,
    ) -> Fault:
        """Take `action` for the next `times` requests (None: all) of an operation, or that a callable picks.

        The first `after` of them pass. Of several faults for one request, the one that was asked for first has it.
        """
        fault = Fault(action, on, blob, times, after)
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    def gate(self) -> Gate:
        """A gate whose `held` and `late` are actions."""
        return Gate(self._loop)

    def azure_rules(self, reading_sas: str) -> None:
        """Refuse, as Azure does and Azurite does not, to put a blob of one type over a blob of the other.

        `reading_sas` is the query string of a SAS to look at blobs with (`Azurite.reading_sas`).
        """
        self._reading_sas = reading_sas

    def wait_fired(self, count: int = 1, timeout: float = TIMEOUT) -> None:
        """Block until at least `count` faults have fired."""
        self._wait(lambda: len(self.fired) >= count, timeout)

    def wait_idle(self, timeout: float = TIMEOUT) -> None:
        """Block until no request is under way, late ones included."""
        self._wait(lambda: self._under_way == 0, timeout)

    def wait_left(self, timeout: float = TIMEOUT) -> None:
        """Block until no client is connected any more, and what they have sent has been dealt with."""
        self._wait(lambda: self._under_way == 0 and not self._clients, timeout)

    @contextmanager
    def down(self) -> Iterator[None]:
        """An outage: within the block connections are broken and new ones refused."""
        self._run(self._hang_up())
        try:
            yield
        finally:
            self._run(self._listen())

    def _wait(self, condition: Callable[[], bool], timeout: float) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise TimeoutError(f"The fault proxy waited {timeout} s in vain; fired until then: {self.fired}")

    def _run(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _hang_up(self) -> None:
        assert self._server is not None
        # A connection accepted in the very moment in which the server is closed would be left open by asyncio.
        for listener in self._server.sockets:
            with suppress(NotImplementedError):
                self._loop.remove_reader(listener.fileno())
        for _ in range(3):
            await asyncio.sleep(0)
        self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.get_running_loop().create_task(self._serve((reader, writer)))
        self._clients.add(client)
        client.add_done_callback(self._note_end)
        # Also when the task is cancelled before it began.
        client.add_done_callback(lambda _: writer.transport.abort())

    def _note_end(self, client: asyncio.Task[None]) -> None:
        with self._changed:
            self._clients.discard(client)
            self._changed.notify_all()

    async def _serve(self, client: Streams) -> None:
        service = _Service(self._service_port, lambda: self._reading_sas)
        try:
            while request := await read_request(*client, self._pace):
                exchange = _Exchange(request, client, service, self._pace)
                await self._carry_out(exchange)
                if not exchange.answered:
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # one side went away, which the other is about to notice
        except Exception as error:
            self._errors.append(error)
        finally:
            service.close()

    async def _carry_out(self, exchange: _Exchange) -> None:
        action = self._choose(exchange.request)
        with self._changed:
            self.requests.append(exchange.request)
            self._under_way += 1
            if action is not pass_on:
                self.fired.append(Fired(action, exchange.request))
            self._changed.notify_all()
        try:
            await action(exchange)
        finally:
            if self.after_each:
                self.after_each(exchange.request)
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def _choose(self, request: Request) -> Action:
        for fault in self._faults:
            if fault.takes(request):
                return fault.action
        return (self.decide and self.decide(request)) or pass_on

    async def _pace(self, length: int) -> None:
        if self.bytes_per_second:
            await asyncio.sleep(length / self.bytes_per_second)


class _Exchange:
    """One request of a client, between both ends of its way."""

    def __init__(
        self, request: Request, client: Streams, service: _Service, pace: Callable[[int], Awaitable[None]]
    ) -> None:
        self.request = request
        self.answered = False
        self._reader, self._writer = client
        self._service = service
        self._pace = pace

    async def forward(self, request: Request | None = None) -> Answer:
        return await self._service.ask(request or self.request)

    async def forward_half(self) -> None:
        await self._service.send_half(self.request)

    async def answer(self, answer: Answer) -> None:
        # What was made up may have a body where the answer to a HEAD has none.
        await self._write(answer.head() + (b"" if self.request.method == "HEAD" else answer.body))
        self.answered = True

    async def answer_half(self, answer: Answer) -> None:
        await self._write(answer.head() + answer.body[: len(answer.body) // 2])
        self._writer.close()
        await self._writer.wait_closed()

    async def answer_in_pieces(self, answer: Answer, pieces: int, pause: float) -> None:
        await self._write(answer.head())
        step = -(-len(answer.body) // pieces) or 1
        for at in range(0, len(answer.body), step):
            await self._write(answer.body[at : at + step])
            await asyncio.sleep(pause)
        self.answered = True

    def cut(self) -> None:
        self._writer.transport.abort()

    async def client_gone(self) -> None:
        while await self._reader.read(PIECE):
            pass

    async def _write(self, data: bytes) -> None:
        for at in range(0, len(data), PIECE):
            self._writer.write(data[at : at + PIECE])
            await self._writer.drain()
            await self._pace(min(PIECE, len(data) - at))


class _Service:
    """The way to the service on behalf of one client's connection."""

    def __init__(self, port: int, reading_sas: Callable[[], str | None]) -> None:
        self._port = port
        self._reading_sas = reading_sas
        self._streams: Streams | None = None

    async def ask(self, request: Request) -> Answer:
        """Send a request and read the answer, which the rules of Azure may give before the service is asked."""
        if (sas := self._reading_sas()) and await self._would_change_type(request, sas):
            return made_up(409, code="InvalidBlobType")
        return await self._ask(request)

    async def send_half(self, request: Request) -> None:
        """Send the head and half of the body, and end the connection."""
        _, writer = await self._connected()
        writer.write(request.head() + request.body[: len(request.body) // 2])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def close(self) -> None:
        """Break the connection if there is one."""
        if self._streams:
            self._streams[1].transport.abort()

    async def _would_change_type(self, request: Request, sas: str) -> bool:
        # A condition that nothing may be there is looked at first, and refused in its own words.
        if request.operation not in ("put", "create", "stage", "commit") or request.header("If-None-Match"):
            return False
        path = request.target.partition("?")[0]
        question = Request(f"HEAD {path}?{sas} HTTP/1.1", (("Host", "service"), ("x-ms-version", "2023-11-03")))
        there = (await self._ask(question)).header("x-ms-blob-type")
        return there is not None and there != ("AppendBlob" if request.operation == "create" else "BlockBlob")

    async def _ask(self, request: Request) -> Answer:
        reader, writer = await self._connected()
        writer.write(request.head() + request.body)
        await writer.drain()
        return await read_answer(reader, request)

    async def _connected(self) -> Streams:
        if self._streams is None or self._streams[0].at_eof() or self._streams[1].is_closing():
            self.close()
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return self._streams
