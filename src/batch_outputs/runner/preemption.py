"""Listening for the end of the node: the Scheduled Events of Azure's instance metadata service.

A spot node is announced to be taken away at least 30 seconds ahead. Each look is one small request to an address on the
node itself, by a thread of its own.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

logger: logging.Logger = logging.getLogger("batch_outputs.runner")

ENDINGS = ("Preempt", "Terminate", "Reboot", "Redeploy")
"""The events after which nothing on the node goes on; `Freeze` is only a pause."""

_EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"
_NAME = "/metadata/instance/compute/name?api-version=2020-06-01&format=text"
_HEADERS = {"Metadata": "true"}
_A_NAME = re.compile(r"[\w.-]+")
_LOOK = 1.0
_PATIENCE = 2.0
"""Seconds; a request that is lost may cost only a part of the time between an announcement and the end."""
_PATIENCE_AT_FIRST = 130.0
"""The service takes up to two minutes for the first answer, which turns the events on."""
_LONGEST_ANSWER = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Notice:
    """That a node is to end: `event` is one of `ENDINGS`; `not_before` is when at the earliest, as the service says it.

    `not_before` is empty once it has begun.
    """

    event: str
    not_before: str = ""

    @property
    def seconds_left(self) -> float:
        """Seconds until the node ends at the earliest, by our clock; 0 if that is not said, or has come."""
        try:
            moment = parsedate_to_datetime(self.not_before).astimezone(UTC)
        except (ValueError, TypeError, OverflowError):
            return 0.0
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())


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
        names = resources if isinstance(resources, list) else ()
        if node is None or any(isinstance(name, str) and name.lower() == node.lower() for name in names):
            not_before = event.get("NotBefore")
            return Notice(event["EventType"], not_before if isinstance(not_before, str) else "")
    return None


class PreemptionWatch:
    """A thread that looks once a second until the node's end is announced, and then calls `on_notice`, once."""

    def __init__(self, url: str, on_notice: Callable[[Notice], object]) -> None:
        self._host = urlsplit(url).netloc
        self._on_notice = on_notice
        self._node: str | None = None
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
        patience = _PATIENCE_AT_FIRST
        while not self._stop.is_set():
            try:
                notice = self._look(patience)
            except (OSError, ValueError, http.client.HTTPException) as error:
                self._complain(error)
            else:
                patience = _PATIENCE
                if notice is not None:
                    if not self._stop.is_set():
                        self._on_notice(notice)
                    return
            self._stop.wait(_LOOK)

    def _look(self, patience: float) -> Notice | None:
        try:
            document = json.loads(self._get(_EVENTS, patience))
        except (ValueError, RecursionError):
            raise OSError("its answer is not JSON") from None
        if notice_in(document, None) is None:
            return None
        return notice_in(document, self._name())

    def _name(self) -> str | None:
        """The own machine's name, asked for anew each time it matters; None if it could never be learnt."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            name = self._get(_NAME, _PATIENCE).decode(errors="replace").strip()
            if _A_NAME.fullmatch(name):  # and not somebody's web page
                self._node = name
        return self._node

    def _get(self, path: str, patience: float) -> bytes:
        connection = http.client.HTTPConnection(self._host, timeout=patience)  # straight there, past any proxy
        try:
            connection.request("GET", path, headers=_HEADERS)
            answer = connection.getresponse()
            if answer.status != http.client.OK:
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
