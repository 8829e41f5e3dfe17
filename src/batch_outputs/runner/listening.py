"""Hearing, on the event loop, that the program is asked to end, or that its node is to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from batch_outputs.runner.launch import Run
from batch_outputs.runner.preemption import Notice, PreemptionWatch
from batch_outputs.settings import metadata_url

logger: logging.Logger = logging.getLogger("batch_outputs.runner")


@asynccontextmanager
async def listening(
    run: Run, asked_to_end: Callable[[], object], announced: Callable[[Notice], object]
) -> AsyncIterator[None]:
    """While the block runs, call back for each signal to end and for the announcement of the node's end.

    The program is sent its signal for the latter, if one was chosen.
    """
    loop = asyncio.get_running_loop()

    def in_loop(action: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # all is over, and the loop closed
            loop.call_soon_threadsafe(action)

    def hear(notice: Notice) -> None:
        when = f", not before {notice.not_before}" if notice.not_before else ""
        logger.warning("This node is to end (%s%s); all that is there is saved now.", notice.event, when)
        announced(notice)
        if run.plan.preempt_signal is not None:
            run.program.send(run.plan.preempt_signal)

    watch = PreemptionWatch(metadata_url(), lambda notice: in_loop(lambda: hear(notice)))
    run.program.on_asked_to_end = lambda: in_loop(asked_to_end)
    if run.program.times_asked_to_end:
        asked_to_end()
    if run.plan.watches_preemption:
        watch.start()
    try:
        yield
    finally:
        run.program.on_asked_to_end = None
        watch.stop()
