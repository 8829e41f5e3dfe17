"""A service that has too much to do is asked no more than needed, and the log stays exact."""

from __future__ import annotations

import random

import pytest

from batch_outputs import TaskOutputStorage
from batch_outputs.errors import StoreBusyError, StoreUnavailableError
from batch_outputs.tracking import TrackingError
from support import faults
from support.fault_proxy import FaultProxy
from support.faults import Action
from support.growing import lines, until
from support.http1 import Operation, Request
from support.watched_log import WatchedLog

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("impatient", "no_secret_shows", "no_thread_is_left"),
]

REFUSED: dict[str, Action] = {
    "503": faults.answer_before(503, code="ServerBusy"),
    "429": faults.answer_before(429, code="ServerBusy"),
    "503 with a time": faults.answer_before(503, code="ServerBusy", retry_after=1),
}
UNKNOWN: dict[str, Action] = {
    "lost": faults.cut_after,
    "500": faults.answer_after(500, code="InternalError"),
    "took too long": faults.answer_after(500, code="OperationTimedOut"),
    "took too long, not done": faults.answer_before(500, code="OperationTimedOut"),
    "another 503": faults.answer_after(503, code="Unavailable"),
    "another 429": faults.answer_after(429, code="TooManyRequests"),
    "a page with 503": faults.answer_after(503, html=True),
    "a page with 503, not done": faults.answer_before(503, html=True),
}


async def asked_after(
    action: Action, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog
) -> list[Operation]:
    """What is asked for from an append on that something happens to, until its bytes are stored."""
    log.path.write_bytes(lines(10))
    async with log.follow(faulty, flush_interval=3600) as tracked:
        await tracked.flush()
        before = len(fault_proxy.requests)
        hit = fault_proxy.fault(action, on="append")
        log.append(lines(5, "more"))
        await log.save()
        asked = [request.operation for request in fault_proxy.requests[before:]]
    assert hit.fired == 1
    log.check()
    return asked


@pytest.mark.parametrize("action", REFUSED.values(), ids=REFUSED)
async def test_a_refusal_leads_to_no_look(
    faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog, action: Action
) -> None:
    """What the service refuses because it has too much to do is sent again, and nothing else is."""
    assert await asked_after(action, faulty, fault_proxy, log) == ["append", "append"]


@pytest.mark.parametrize("action", UNKNOWN.values(), ids=UNKNOWN)
async def test_a_lost_answer_leads_to_one_look(
    faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog, action: Action
) -> None:
    """Where the append may have been carried out, the blob is looked at, once, before anything is sent again."""
    asked = await asked_after(action, faulty, fault_proxy, log)
    assert asked.count("properties") == 1
    assert asked.index("properties") < len(asked) - 1


async def test_a_refused_repetition_leads_to_a_look(
    faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog
) -> None:
    """The HTTP client sends again by itself when a connection breaks: a refusal of that says nothing of the first."""
    log.path.write_bytes(lines(10))
    errors: list[TrackingError] = []
    async with log.follow(faulty, flush_interval=3600, on_error=errors.append) as tracked:
        await tracked.flush()
        before = len(fault_proxy.requests)
        lost = fault_proxy.fault(faults.cut_after, on="append")
        refused = fault_proxy.fault(faults.answer_before(503), on="append")
        log.append(lines(5, "more"))
        await tracked.flush()
        asked = [request.operation for request in fault_proxy.requests[before:]]
    assert (lost.fired, refused.fired) == (1, 1)
    assert asked == ["append", "append", "properties", "read"]
    assert errors == []
    log.check()


async def test_errors_tell_refusals_from_lost_answers(
    faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog
) -> None:
    """Who is told of failed rounds sees which were refused because of too much to do."""
    log.path.write_bytes(lines(10))
    errors: list[TrackingError] = []
    async with log.follow(faulty, flush_interval=0.1, on_error=errors.append) as tracked:
        await tracked.flush()
        fault_proxy.fault(faults.answer_before(503), on="append")
        fault_proxy.fault(faults.answer_before(500), on="append")
        log.append(lines(5, "more"))
        await until(lambda: tracked.bytes_saved == log.path.stat().st_size)
    assert [type(error.cause) for error in errors] == [StoreBusyError, StoreUnavailableError]
    assert isinstance(errors[0].cause, StoreBusyError)
    assert errors[0].cause.code == "ServerBusy"
    log.check()


async def test_300_appends_to_a_busy_service_that_loses_answers(
    faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog, seed: int
) -> None:
    """With 30 % of the appends refused and 10 % of unknown outcome, a log is its file; only the 10 % lead to looks."""
    chance = random.Random(seed)  # noqa: S311 - repeatable
    unknown = [faults.cut_after, faults.cut_before, faults.half_request, faults.answer_after(500)]
    busy = faults.answer_before(503)

    def decide(request: Request) -> Action | None:
        number = chance.random()
        if request.operation != "append" or number >= 0.4:
            return None
        return busy if number < 0.3 else chance.choice(unknown)

    log.path.write_bytes(b"")
    async with log.follow(faulty, flush_interval=3600) as tracked:
        fault_proxy.decide = decide
        for n in range(300):
            log.append(b"%d %s\n" % (n, chance.randbytes(chance.randrange(60)).hex().encode()))
            await log.save()
            assert tracked.bytes_saved == log.path.stat().st_size
        fault_proxy.decide = None
    refusals = sum(fired.action is busy for fired in fault_proxy.fired)
    looks = sum(request.operation == "properties" for request in fault_proxy.requests)
    assert refusals > 60
    assert 0 < looks <= len(fault_proxy.fired) - refusals
    assert log.looks >= 400
    log.check()
