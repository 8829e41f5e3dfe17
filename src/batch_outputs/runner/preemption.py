"""Listening for the end of the node: the Scheduled Events of Azure's instance metadata service.

A spot node is announced to be taken away at least 30 seconds ahead. Each look is one small request to an address on the
node itself, by a thread of its own.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

logger = logging.getLogger("batch_outputs.runner")

ENDINGS = ("Preempt", "Terminate", "Reboot", "Redeploy")
"""The events after which nothing on the node goes on; `Freeze` is only a pause."""

_EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"
_NAME = "/metadata/instance/compute/name?api-version=2020-06-01&format=text"
_HEADERS = {"Metadata": "true"}
_LOOK = 1.0
_PATIENCE = 130.0
"""Seconds; the service takes up to two minutes for the first answer, which turns the events on."""
_LONGEST_ANSWER = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Notice:
    """That a node is to end: `event` is one of `ENDINGS`; `not_before` is when at the earliest, as the service says it.

    `not_before` is empty once it has begun.
    """

    event: str
    not_before: str = ""


def notice_in(document: object, node: str | None) -> Notice | None:
    """The first announced end of this node in an answer of the service.

    The answer has the events of all machines of a scale set. `node` is the own machine's name; without one, every
    event counts.
    """
    events = document.get("Events") if isinstance(document, dict) else None
    for event in events if isinstance(events, list) else ():
        if not isinstance(event, dict) or event.get("EventType") not in ENDINGS:
            continue
        resources = event.get("Resources")
        names = {str(name).lower() for name in resources} if isinstance(resources, list) else set()
        if node is None or node.lower() in names:
            return Notice(str(event["EventType"]), str(event.get("NotBefore") or ""))
    return None


class PreemptionWatch:
    """A thread that looks once a second until the node's end is announced, and then calls `on_notice`, once."""

    def __init__(self, url: str, on_notice: Callable[[Notice], object]) -> None:
        self._host = urlsplit(url).netloc
        self._on_notice = on_notice
        self._stop = threading.Event()
        self._told = False
        # A daemon: an answer that does not come holds nobody.
        self._thread = threading.Thread(target=self._watch, name="batch-outputs-preemption", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def _watch(self) -> None:
        node: str | None = None
        while not self._stop.is_set():
            try:
                node = node or self._get(_NAME).decode(errors="replace").strip() or None
                notice = notice_in(json.loads(self._get(_EVENTS)), node)
            except (OSError, ValueError, http.client.HTTPException) as error:
                self._complain(error)
                notice = None
            if notice is not None:
                if not self._stop.is_set():
                    self._on_notice(notice)
                return
            self._stop.wait(_LOOK)

    def _get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection(self._host, timeout=_PATIENCE)  # straight there, past any proxy
        try:
            connection.request("GET", path, headers=_HEADERS)
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                if path == _NAME:
                    return b""  # every event counts then
                raise OSError(f"it answered {answer.status}")
            return answer.read(_LONGEST_ANSWER)
        finally:
            connection.close()

    def _complain(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            logger.warning(
                "The metadata service at %s does not tell what is planned for this node (%s); a preemption may come "
                "without notice.",
                self._host,
                error,
            )
