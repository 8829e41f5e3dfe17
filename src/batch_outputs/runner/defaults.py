"""What a run does where nothing else is said, for those who say it: options and plans alike."""

from __future__ import annotations

STREAMS = ("stdout.txt", "stderr.txt")
"""The logs of a program's output, by the names that Batch's own files of a task have."""

FLUSH_INTERVAL = 15.0
"""Seconds between two savings of a log."""

GRACE = 10.0
"""Seconds between asking the program to end and killing it."""
