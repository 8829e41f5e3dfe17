"""Copying a blob within its container, on the service's side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from urllib.parse import unquote, urlsplit

import aiohttp

from batch_outputs.errors import BlobChangedError, BlobExistsError, StoreError, StoreUnavailableError
from batch_outputs.stores.azure import answers
from batch_outputs.stores.azure.calls import Call
from batch_outputs.stores.azure.line import Line
from batch_outputs.stores.base import Written

LONGEST_WAIT = 600.0
"""Seconds. Within an account a copy is there at once, as a rule."""

_FIRST_LOOK = 0.1
_LAST_LOOK = 2.0
_CLOCK_STEP = timedelta(seconds=2)

Look = Callable[[], Awaitable[Mapping[str, str]]]
"""Asks for the headers that tell of the target."""


async def copy(line: Line, call: Call, look: Look) -> Written:
    """Send the call, which copies `call.source` to where nothing is, and wait until the copy is there.

    Raises:
        BlobExistsError: there is something under the target's name.
        BlobChangedError: the source is not the one of the ETag.
    """
    began = time.monotonic()
    try:
        headers = await line.ask(call, _headers)
    except (BlobExistsError, BlobChangedError) as error:
        if not _is_taken(error):
            raise
        # What stands there may be the work of an earlier sending whose answer was lost.
        headers = await look() if call.unsure else {}
        if not _is_copy_of(call, headers, age=time.monotonic() - began):
            raise _exists(error) from None
    return answers.written(await _finished(headers, look, line, call))


async def _headers(response: aiohttp.ClientResponse) -> Mapping[str, str]:
    await response.read()
    answers.written(response.headers)
    return response.headers


def _is_taken(error: StoreError) -> bool:
    return isinstance(error, BlobExistsError) or error.code == "TargetConditionNotMet"


def _exists(error: StoreError) -> BlobExistsError:
    text = f"There is a {error.blob} in {error.place} already, and nothing may be replaced."
    return BlobExistsError(text, place=error.place, blob=error.blob, code=error.code)


def _is_copy_of(call: Call, headers: Mapping[str, str], *, age: float) -> bool:
    """Whether a blob is a copy of the call's source, made since it was first asked for by the service's own clock."""
    source = unquote(urlsplit(headers.get("x-ms-copy-source", "")).path)
    if call.source is None or not source.endswith(unquote(call.source)):
        return False
    if headers.get("x-ms-copy-status") == "pending":
        return True
    try:
        earliest = answers.http_date(headers["Date"]) - timedelta(seconds=age) - _CLOCK_STEP
        return answers.http_date(headers["x-ms-copy-completion-time"]) >= earliest
    except (KeyError, ValueError):
        return False


async def _finished(headers: Mapping[str, str], look: Look, line: Line, call: Call) -> Mapping[str, str]:
    deadline = time.monotonic() + LONGEST_WAIT
    pause = _FIRST_LOOK
    while (status := headers.get("x-ms-copy-status", "success")) == "pending":
        if time.monotonic() >= deadline:
            text = f"The copy to {call.blob} in {line.place} is still not finished after {LONGEST_WAIT:.0f} s."
            raise StoreUnavailableError(text, place=line.place, blob=call.blob)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LAST_LOOK)
        headers = await look()
    if status != "success":
        text = f"The copy to {call.blob} in {line.place} ended as {status!r}; delete what is there and copy again."
        raise StoreError(text, place=line.place, blob=call.blob)
    return headers
