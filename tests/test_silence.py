"""Silence is told once each time."""

from __future__ import annotations

import queue
import threading
import time

import pytest

from batch_outputs.silence import Silence

PATIENCE = 20.0


def test_told_once_each_time() -> None:
    """It is told when nothing has come for a while, once, and again after something has come."""
    told: queue.SimpleQueue[float] = queue.SimpleQueue()
    silence = Silence(lambda: told.put(time.monotonic()), patience=0.1)
    begun = time.monotonic()
    with silence.watched():
        assert told.get(timeout=PATIENCE) - begun >= 0.1
        with pytest.raises(queue.Empty):
            told.get(timeout=0.3)
        silence.sign()
        told.get(timeout=PATIENCE)


def test_a_failure_inside() -> None:
    """An error of what is watched comes as it is, and at once; no thread is left behind."""
    before = threading.active_count()
    with pytest.raises(KeyError), Silence(lambda: None, patience=500).watched():
        raise KeyError
    assert threading.active_count() == before
