"""A pool of threads that does nothing which it has not taken."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class NoThreadError(RuntimeError):
    """The system gives no further thread, or the pool has been shut down."""


class Pool(ThreadPoolExecutor):
    """As its parent, which, when a thread cannot be started, says so and does the work all the same, later."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have `fn` done in a thread.

        Raises:
            NoThreadError: it will not be done.
        """
        future = Future[T]()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        def ended(inner: Future[None]) -> None:
            if inner.cancelled():  # the pool was shut down before it came to this
                future.cancel()
                future.set_running_or_notify_cancel()

        try:
            super().submit(work).add_done_callback(ended)
        except RuntimeError as error:
            if future.cancel():
                raise NoThreadError from error
        return future  # some thread has begun it already
