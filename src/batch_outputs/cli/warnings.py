"""The library's log, as far as it is for people: its warnings become sentences of ours."""

from __future__ import annotations

import logging
import re
import time

from batch_outputs.cli.talk import say

_SAY_AGAIN_AFTER = 600.0
"""Seconds."""
_CHANGES = "batch_outputs.tracking.changes"
_NUMBER = re.compile(r"\d+")


def show_warnings() -> None:
    """Let the library's warnings appear among our sentences, and nobody else's: those know nothing of our readers."""
    library = logging.getLogger("batch_outputs")
    if not any(isinstance(handler, _Say) for handler in library.handlers):
        library.addHandler(_Say(logging.WARNING))
        library.propagate = False
        logging.getLogger().addHandler(logging.NullHandler())
    # Commands that write say themselves where to.
    logging.getLogger("batch_outputs.storage").setLevel(logging.ERROR)


class _Say(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._told: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Say it, unless the same was said a while ago: an outage of hours is news once, however often it is met.

        What has been done to a file is news each time.
        """
        text = record.getMessage()
        if record.name == _CHANGES:
            say(text)
            return
        news = _NUMBER.sub("", text)
        now = time.monotonic()
        if now - self._told.get(news, -_SAY_AGAIN_AFTER) >= _SAY_AGAIN_AFTER:
            self._told[news] = now
            say(text)
