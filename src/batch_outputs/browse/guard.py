"""Who may ask: the one person who was given the address with the token, from a page of ours and by our name.

A server on this machine can be asked by every page that is open in the browser, and by everybody who has an account on
the machine. So each request is checked for the name it was sent to (`Host`, against names elsewhere that lead here),
the page it comes from (`Sec-Fetch-Site` or `Origin`), and a cookie that only the token buys.
"""

from __future__ import annotations

import ipaddress
import logging
import secrets
import socket
from collections.abc import Iterable, Mapping
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batch_outputs.browse import headers

logger: logging.Logger = logging.getLogger("batch_outputs.browse")

_READING = {"GET", "HEAD"}
_ALLOWED = {*_READING, "POST"}
_OURS = {"same-origin", "none"}
"""What `Sec-Fetch-Site` says of a page of ours, and of an address that somebody typed or opened."""


class Keys:
    """The secrets of one run of the server: tokens for addresses, and what the cookie holds."""

    def __init__(self, port: int) -> None:
        self.cookie_name: str = f"batch-outputs-{port}"  # cookies do not tell ports apart
        self.token: str = secrets.token_urlsafe(32)
        """For the address that is printed; good as long as the server runs."""
        self.opening_token: str = secrets.token_urlsafe(32)
        """For the browser that we open ourselves; good once, as the list of processes shows it."""
        self._session = secrets.token_urlsafe(32)

    def takes(self, token: str) -> bool:
        """Whether a token is one of ours; the one for our own browser is not, from then on."""
        if compare_digest(token.encode(), self.token.encode()):
            return True
        if self.opening_token and compare_digest(token.encode(), self.opening_token.encode()):
            self.opening_token = ""
            return True
        return False

    def is_known(self, cookies: str) -> bool:
        """Whether a `Cookie` header holds what the token bought."""
        jar: SimpleCookie = SimpleCookie()
        for cookie in cookies.split(";"):  # one by one: what another server on this host has set may be unreadable
            try:
                jar.load(cookie.strip())
            except CookieError:
                continue
            found = jar.get(self.cookie_name)
            if found is not None and compare_digest(found.value.encode(), self._session.encode()):
                return True
        return False

    def admit(self, response: Response) -> None:
        """Give the browser the cookie."""
        response.set_cookie(self.cookie_name, self._session, path="/", httponly=True, samesite="strict")


class Hosts:
    """The names under which the server may be asked for.

    `others` are behind a tunnel, whose port is another: each is good with any, or with the one that it names itself.
    """

    def __init__(self, host: str, port: int, others: Iterable[str] = ()) -> None:
        self._port = port
        self._others = {name.lower() for name in others}
        self._names = {"localhost", "127.0.0.1"}
        self._any_address = not is_loopback(host)
        if self._any_address:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        self._names.add(host.lower())

    def has(self, host: str) -> bool:
        """Whether a `Host` header names this server.

        A page elsewhere can have its own name lead to this address, but no address lead anywhere else: where the server
        listens to the network, any address is as good as another.
        """
        name, port = _split(host)
        if port is None:
            return False
        if name in self._others or f"{name}:{port}" in self._others:
            return True
        return port == self._port and (name in self._names or (self._any_address and _is_address(name)))


class Guard:
    """Around the whole application: refuses what may not be asked, and adds the headers of a page."""

    def __init__(self, app: ASGIApp, keys: Keys, hosts: Hosts) -> None:
        self._app = app
        self._keys = keys
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as an ASGI application."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(scope=message)
                for name, value in headers.PAGE.items():
                    given.setdefault(name, value)
            await send(message)

        answer = self._refusal(scope) or self._admission(scope)
        try:
            await (answer or self._app)(scope, receive, send_with_headers)
        except Exception:
            # It has been answered, or broke in the middle of an answer: then the connection ends short of its length.
            logger.debug("Answering %s broke.", scope["path"], exc_info=True)

    def _refusal(self, scope: Scope) -> Response | None:
        asked = Headers(scope=scope)
        hosts = asked.getlist("host")
        if len(hosts) != 1 or not self._hosts.has(hosts[0]):
            return _refuse(
                "This server does not go by that name; use the address that batch-outputs browse has printed."
            )
        if scope["method"] not in _ALLOWED:
            return _refuse("This server only answers GET and POST.", status=405, headers={"Allow": "GET, HEAD, POST"})
        if not _comes_from_us(scope["method"], asked, hosts[0]):
            return _refuse("This was asked by a page of another site; open the address in a tab of its own.")
        return None

    def _admission(self, scope: Scope) -> Response | None:
        """None for those who are let in."""
        asked = Headers(scope=scope)
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if token and scope["path"] == "/" and scope["method"] in _READING and self._keys.takes(token[0]):
            response = RedirectResponse("/", status_code=303)
            self._keys.admit(response)
            return response
        if self._keys.is_known("; ".join(asked.getlist("cookie"))):
            return None
        return _refuse(
            "Open the address that batch-outputs browse has printed; it holds the token that lets you in.",
            headers=headers.TOKEN_WANTED,
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine itself can ask at such an address."""
    if host.lower() == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _comes_from_us(method: str, asked: Headers, host: str) -> bool:
    site, origin = asked.get("sec-fetch-site"), asked.get("origin")
    if site is not None and site not in _OURS:
        return False
    if origin is not None and not (origin == "null" and site is not None):
        return origin in {f"http://{host}", f"https://{host}"}  # as which of them, a tunnel decides
    # With what changes something every browser sends one of the two; as our pages give no referrer, the origin of their
    # forms is "null" to it, and the other one counts.
    return site is not None or method in _READING


def _split(host: str) -> tuple[str, int | None]:
    """Name and port of a `Host` header; no port is that of HTTP."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, "80"
    number = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else None
    return name.removeprefix("[").removesuffix("]").lower(), number


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refuse(sentence: str, *, status: int = 403, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{sentence}\n", status_code=status, headers=headers)
