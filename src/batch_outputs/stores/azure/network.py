"""What every connection to the service needs to know, whichever client makes it: the proxy, and how long it is kept."""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

from batch_outputs.errors import ConfigurationError

KEEP_ALIVE = 120.0
"""Seconds an idle connection is kept. With aiohttp's own 15, each flush of a log would make a new one."""


def proxy_for(endpoint: str) -> str | None:
    """The proxy that the environment wants for this endpoint.

    Raises:
        ConfigurationError: it is not an HTTP proxy.
    """
    if sys.platform == "linux" and not any(name.lower().endswith("_proxy") for name in os.environ):
        return None  # there is no other place for them, and no need for what comes with `urllib.request`
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(endpoint)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if urlsplit(proxy).scheme not in {"http", "https"}:
        raise ConfigurationError(
            f"The proxy {shown_proxy(proxy)} is not an HTTP proxy; set {parts.scheme.upper()}_PROXY to one, "
            f"or put {parts.hostname} into NO_PROXY.",
            variable=f"{parts.scheme.upper()}_PROXY",
        )
    return proxy


def shown_proxy(proxy: str) -> str:
    """A proxy's URL without its login."""
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
