"""Listens, says where, and serves until it is told to stop."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import closing

import uvicorn

from batch_outputs.browse.app import create_app
from batch_outputs.browse.guard import Guard, Hosts, Keys
from batch_outputs.browse.site import Site
from batch_outputs.errors import ConfigurationError

_LONGEST_HEAD = 1024 * 1024
"""Bytes of an address and its headers: a form sends the names of all that is selected on a page."""
_TIME_TO_END = 1
"""Seconds that answers under way have when the server is told to stop; a log that is followed has no end of its own."""


async def serve(
    site: Site, *, host: str, port: int, host_names: Iterable[str], announce: Callable[[str, str], object]
) -> None:
    """Serve a site, with `port` 0 on any free one.

    `announce` is called once the server can be asked, with the address to print and one to open a browser with.

    Raises:
        ConfigurationError: nobody can listen there.
    """
    with closing(_listen(host, port)) as listener:
        actual = listener.getsockname()[1]
        keys = Keys(actual)
        app = Guard(create_app(site), keys, Hosts(host, actual, host_names))
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="critical",
                access_log=False,  # its first line would show the token
                server_header=False,
                proxy_headers=False,  # anybody on this machine could send them
                h11_max_incomplete_event_size=_LONGEST_HEAD,
                timeout_graceful_shutdown=_TIME_TO_END,
            )
        )
        # The socket listens by now, so that a browser which is faster than the server waits for it.
        address = f"http://{_in_address(host)}:{actual}/?token="
        announce(address + keys.token, address + keys.opening_token)
        await server.serve(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # on Windows, where SO_REUSEADDR lets others take the port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise ConfigurationError(
            f"The page cannot be served at {host}, port {port}: {error.strerror or error}; "
            "name another port with --port, or leave it out for any free one."
        ) from error
    return listener


def _in_address(host: str) -> str:
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not listened to
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
