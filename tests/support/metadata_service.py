"""A small server that answers like the instance metadata service of an Azure node, and misbehaves on request.

    with MetadataService() as service:
        service.announce()              # a preemption: the next look at the scheduled events shows it
        ...                             # a client works with service.url
        assert service.looks() == 1

It runs on threads of its own, so blocking and asynchronous tests use it alike.
"""

from __future__ import annotations

import json
import socketserver
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, TypeAlias, cast
from urllib.parse import parse_qs, urlsplit

EVENTS = "/metadata/scheduledevents"
NAME = "/metadata/instance/compute/name"
NODE = "vmss-of-the-pool_3"
"""What the node is called unless a test says otherwise."""
NOT_BEFORE = "Mon, 19 Sep 2016 18:29:47 GMT"

TIMEOUT = 60.0


@dataclass(frozen=True)
class Reply:
    """An answer in the place of the service's own."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"


HANG: None = None
"""In the place of an answer: not a word, until `hang_up`."""

Misbehaviour: TypeAlias = Reply | None


def event(
    kind: str = "Preempt",
    resources: Sequence[str] = (NODE,),
    *,
    not_before: str = NOT_BEFORE,
    status: str = "Scheduled",
) -> dict[str, Any]:
    """A scheduled event as the service writes it."""
    return {
        "EventId": str(uuid.uuid4()),
        "EventType": kind,
        "ResourceType": "VirtualMachine",
        "Resources": list(resources),
        "EventStatus": status,
        "NotBefore": not_before,
        "Description": "",
        "EventSource": "Platform",
        "DurationInSeconds": -1,
    }


class MetadataService:
    """The service on a port of 127.0.0.1, by default a free one; a context manager.

    `requests` are the paths that were asked for, refused ones included.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[str] = []
        self.name = NODE
        self._port = port
        self._events: list[dict[str, Any]] = []
        self._instead: dict[str, Misbehaviour] = {}
        self._changed = threading.Condition()
        self._hung_up = threading.Event()
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", self._port), _Handler)
        self._port = self._server.server_address[1]
        self._server.service = self
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="metadata-service", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        """The port, also once the service has gone."""
        return self._port

    @property
    def url(self) -> str:
        """What `BATCH_OUTPUTS_METADATA_URL` is to be."""
        return f"http://127.0.0.1:{self._port}"

    def announce(self, *kinds: str, resources: Sequence[str] = (NODE,), not_before: str = NOT_BEFORE) -> None:
        """From now on these events are planned, beside those that were; by default a preemption."""
        with self._changed:
            self._events += [event(kind, resources, not_before=not_before) for kind in kinds or ("Preempt",)]

    def forget(self) -> None:
        """Nothing is planned any more."""
        with self._changed:
            self._events.clear()

    def misbehave(self, instead: Misbehaviour, *paths: str) -> None:
        """From now on answer so, or not at all (`HANG`), to what is asked of these paths, by default of all."""
        with self._changed:
            self._instead |= dict.fromkeys(paths or (EVENTS, NAME), instead)

    def recover(self) -> None:
        """Answer as the service does. What has been left hanging hangs on."""
        with self._changed:
            self._instead.clear()

    def hang_up(self) -> None:
        """Cut all connections that were left hanging, and from now on those that would be."""
        self._hung_up.set()

    def looks(self, path: str = EVENTS) -> int:
        """How often a path has been asked for."""
        with self._changed:
            return self.requests.count(path)

    def wait_for_looks(self, more: int = 1, path: str = EVENTS) -> None:
        """Block until a path has been asked for so many times more."""
        with self._changed:
            goal = self.requests.count(path) + more
            if not self._changed.wait_for(lambda: self.requests.count(path) >= goal, TIMEOUT):
                raise TimeoutError(f"The metadata service waited {TIMEOUT} s in vain; it was asked for {self.requests}")

    def answer(self, path: str, parameters: dict[str, list[str]], header: str | None) -> Misbehaviour:
        """Take note of a request; what to answer, None for nothing."""
        with self._changed:
            self.requests.append(path)
            self._changed.notify_all()
            if header != "true":
                return Reply(400, b'{"error": "Required metadata header not specified"}')
            if path in self._instead:
                return self._instead[path]
            if "api-version" not in parameters:
                return Reply(400, b'{"error": "Bad request. api-version was not specified in the request"}')
            if path == EVENTS:
                return Reply(
                    body=json.dumps({"DocumentIncarnation": len(self._events), "Events": self._events}).encode()
                )
            if path == NAME and parameters.get("format") == ["text"]:
                return Reply(body=self.name.encode(), content_type="text/plain; charset=utf-8")
            return Reply(404, b'{"error": "Not found"}')

    def wait_hung_up(self) -> None:
        """Block as long as what hangs is to hang."""
        self._hung_up.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    service: MetadataService

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # without looking up what the host is called
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        service = cast("_Server", self.server).service
        parts = urlsplit(self.path)
        reply = service.answer(parts.path, parse_qs(parts.query), self.headers.get("Metadata"))
        if reply is None:
            service.wait_hung_up()
            return
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name for it
        """Nobody wants to read it."""
