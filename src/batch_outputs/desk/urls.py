"""URLs in a job: what is fetched from them, or uploaded to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from batch_outputs.errors import ConfigurationError
from batch_outputs.settings import container_target, shown
from batch_outputs.shared_access import SasTerms
from batch_outputs.wording import time_text


def absolute_url(text: str, folder: str) -> str:
    """A URL as it stands, but for a relative `file:` one, which begins at a folder.

    Raises:
        ConfigurationError: it is no URL that can be used.
    """
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        parts = urlsplit("")
    if parts.scheme == "file" and not parts.netloc and parts.path and not parts.path.startswith("/"):
        return Path(folder, unquote(parts.path)).resolve().as_uri()
    if parts.scheme not in {"http", "https", "file"} or (parts.scheme != "file" and not parts.netloc):
        raise ConfigurationError(f"{shown(text)} is not a URL that can be used; give https://… or file:….")
    return text.strip()


def check_access(url: str, needs: str, *, container: bool) -> None:
    """See whether a URL can be a container's, if it is to be one, and its SAS is still good for what is needed.

    Raises:
        ConfigurationError: it is not.
    """
    if container:
        container_target(url, variable="the URL")
    terms = SasTerms.of(url)
    if terms is None:
        return
    if terms.expires is not None and terms.expires <= datetime.now(UTC):
        raise ConfigurationError(f"the SAS of {shown(url)} expired at {time_text(terms.expires)}; get a new one.")
    allowed = terms.permissions
    if allowed is not None and not set(needs) <= set(allowed):
        wanted = " and ".join(map(repr, needs))
        raise ConfigurationError(
            f"the SAS of {shown(url)} allows {allowed!r}, and {wanted} is needed; get one with it."
        )


def local_path_of(url: str) -> str:
    """The path of a `file:` URL."""
    return url2pathname(urlsplit(url).path)
