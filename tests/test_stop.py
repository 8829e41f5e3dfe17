"""Telling threads that nobody needs their work any more."""

from __future__ import annotations

from batch_outputs.stop import Stop


def test_breaks_what_is_waited_for() -> None:
    """Setting it does what running blocks have asked for, and nothing for those that have ended."""
    stop = Stop()
    broken: list[str] = []
    with stop.breaking(lambda: broken.append("ended")):
        pass
    with stop.breaking(lambda: broken.append("running")):
        stop.set()
    assert broken == ["running"]
    assert stop.is_set()


def test_set_before() -> None:
    """What begins when it is set already is broken off at once."""
    stop = Stop()
    stop.set()
    broken: list[str] = []
    with stop.breaking(lambda: broken.append("late")):
        assert broken == ["late"]
