"""The seam between the systems: what they do differently about processes, under one set of names."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from batch_outputs.runner.process_windows import (
        ENDING,
        FORWARDED,
        RESUMING,
        Child,
        OtherProcess,
        handlers_after_start,
        handlers_before_start,
        somebody_has_open,
        start_of,
    )
else:
    from batch_outputs.runner.process_posix import (
        ENDING,
        FORWARDED,
        RESUMING,
        Child,
        OtherProcess,
        handlers_after_start,
        handlers_before_start,
        somebody_has_open,
        start_of,
    )

__all__ = [
    "ENDING",
    "FORWARDED",
    "RESUMING",
    "Child",
    "OtherProcess",
    "handlers_after_start",
    "handlers_before_start",
    "somebody_has_open",
    "start_of",
]
