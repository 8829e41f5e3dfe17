"""The page, served by the real command, and a browser of few words that asks it."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from support.command import BATCH_OUTPUTS, TIMEOUT, Desk

OURS = {"sec-fetch-site": "same-origin"}
"""What a browser sends with a request that one of our own pages makes."""


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def __getitem__(self, header: str) -> str:
        value = self.headers[header]
        assert value is not None, f"no {header} in {dict(self.headers)}"
        return value


class Page:
    """A server under way. Asks with the cookie and as one of our own pages, unless headers say otherwise.

    Headers are given as arguments, `if_none_match="…"`; None leaves out one that would be sent.
    """

    def __init__(self, address: str, process: subprocess.Popen[bytes], said: Path) -> None:
        self.address = address
        """As the command has printed it, with the token."""
        self.process = process
        self.said = said
        """What it has written to stderr so far."""
        parts = urlsplit(address)
        assert parts.hostname is not None
        assert parts.port is not None
        self.host, self.port = parts.hostname, parts.port
        self.token = parts.query.removeprefix("token=")
        self.cookie: str | None = None

    @property
    def origin(self) -> str:
        """The address without path and token."""
        return f"http://{self.host}:{self.port}"

    def enter(self) -> None:
        """Buy the cookie with the token."""
        answer = self.get(f"/?token={self.token}", sec_fetch_site="none")
        assert answer.status == 303, answer.text
        self.cookie = answer["set-cookie"].partition(";")[0]

    def get(self, path: str, *, method: str = "GET", **headers: str | None) -> Answer:
        """Ask for a path, as it stands; redirections are not followed."""
        with self.asking(path, method, **headers) as response:
            return Answer(response.status, response.headers, response.read())

    def post(self, path: str, form: Mapping[str, str | Sequence[str]] | None = None, **headers: str | None) -> Answer:
        """Send a form."""
        body = urlencode(form or {}, doseq=True).encode()
        headers.setdefault("content_type", "application/x-www-form-urlencoded")
        with self.asking(path, "POST", body, **headers) as response:
            return Answer(response.status, response.headers, response.read())

    @contextmanager
    def asking(
        self, path: str, method: str = "GET", body: bytes | None = None, /, **headers: str | None
    ) -> Iterator[http.client.HTTPResponse]:
        """A request whose answer is read as it comes."""
        sent = {**OURS, "host": f"{self.host}:{self.port}", "cookie": self.cookie}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value is not None:
                    connection.putheader(name, value.encode())
            if body is not None:
                connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            with connection.getresponse() as response:
                yield response
        finally:
            connection.close()

    def leave_after(self, request: bytes) -> None:
        """Send the beginning of a request, and leave without an answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as connection:
            connection.sendall(request)
            self.get("/static/icon.svg")  # by then it is being answered

    def ask_in_bytes(self, request: bytes) -> bytes:
        """Everything that is answered to what no client would send; the request must close the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as connection:
            connection.sendall(request)
            with connection.makefile("rb") as answer:
                return answer.read()


@contextmanager
def serving(desk: Desk, *arguments: str) -> Iterator[Page]:
    """`batch-outputs browse` at a desk, entered; it must end cleanly when it is told to."""
    said = desk.folder.parent / f"browse-{len(list(desk.folder.parent.glob('browse-*')))}.err"
    with said.open("wb") as stderr:
        process = subprocess.Popen(
            [*BATCH_OUTPUTS, "browse", "--no-open", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=desk.folder,
            env=desk.environment(),
        )
    with process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().decode().strip()
            assert address.startswith("http://"), f"no address, but:\n{said.read_text()}"
            page = Page(address, process, said)
            page.enter()
            yield page
            process.send_signal(signal.SIGINT)
            code = process.wait(timeout=TIMEOUT)
            assert process.stdout.read() == b"", "it prints its address and nothing else"
        finally:
            process.kill()
    text = said.read_text(errors="replace")
    assert code == 0, text
    assert "Traceback" not in text, text
    for secret in (page.token, *desk.secrets):
        assert secret not in text
