"""Blocking work away from the event loop, without an executor."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_plain_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread of its own and return what it returns.

    For rare, slow work. An executor would refuse it at interpreter exit, when logs are still being saved; and where
    not even a thread can be started any more, it is done inline.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # without an error it is a T

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:  # whatever it was belongs to the caller
            failure = error
        # The loop may be closed by now, when the caller was cancelled; then nobody wants to know.
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    try:
        threading.Thread(target=run, name="batch-outputs-access", daemon=True).start()
    except RuntimeError:
        return work()
    return await done
