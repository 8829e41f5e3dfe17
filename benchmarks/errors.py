"""What ends a run of the benchmarks, in a sentence for its reader."""

from __future__ import annotations


class BenchmarkError(Exception):
    """Something that a comparison needs is not there, or what a program did is not what it was asked for."""
