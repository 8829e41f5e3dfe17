"""A process that tracks a file is killed again and again: storage holds the beginning of the file at every moment."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from support import faults
from support.azurite import Container
from support.fault_proxy import FaultProxy
from support.faults import Action, Exchange
from support.http1 import Request
from support.kill_child import Order, Tracker
from support.watched_log import WatchedLog, names

PATIENCE = 60.0
MODES: list[Action] = [
    faults.cut_before,
    faults.cut_after,
    faults.answer_before(500),
    faults.answer_after(500),
    faults.answer_after(503),
    faults.answer_after(200, html=True),
    faults.half_answer,
    faults.delay(0.02),
]


@contextmanager
def written_to(log: WatchedLog, chance: random.Random) -> Iterator[None]:
    """The file grows within the block, by a writer that is not killed."""
    stop = threading.Event()

    def write() -> None:
        n = 0
        with log.path.open("ab", buffering=0) as file:
            while not stop.wait(chance.uniform(0.001, 0.01)):
                file.write(b"line %d %s\n" % (n, bytes(chance.randrange(100))))
                n += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def faults_in(part: float, chance: random.Random) -> Callable[[Request], Action | None]:
    """A fault of any mode in this part of all requests."""

    def decide(request: Request) -> Action | None:
        if chance.random() >= part:
            return None
        mode = chance.choice(MODES)
        # Half of an answer without a body is all of it.
        return mode if mode is not faults.half_answer or request.operation == "read" else faults.cut_after

    return decide


@pytest.mark.parametrize("run", [1, 2, 3])
def test_killed_in_a_loop(
    container: Container,
    fault_proxy: FaultProxy,
    new_log: Callable[..., WatchedLog],
    seed: int,
    run: int,
    *,
    long_form: bool,
) -> None:
    """With faults in a quarter of all requests, and kills at any step: one log, which is its file in the end."""
    chance = random.Random(seed)  # noqa: S311 - repeatable
    log = new_log()
    log.path.write_bytes(b"")
    fault_proxy.azure_rules(container.azurite.reading_sas)
    fault_proxy.decide = faults_in(0.25, chance)
    order = Order(fault_proxy.through(container.sas_url()), str(log.path), log.name)
    kills = lives_with_progress = 0
    least, end = 30 if long_form else 2, time.monotonic() + (60 if long_form else 4)
    with written_to(log, random.Random(seed + 1)):  # noqa: S311
        while time.monotonic() < end or kills < least or not fault_proxy.fired:
            before = len(fault_proxy.requests)
            tracker = Tracker(order)
            steps = before + chance.randrange(1, 25)
            patience = time.monotonic() + chance.uniform(0.3, 1.5)
            # Killed within some step, not only while it waits for its next try.
            while len(fault_proxy.requests) < steps and time.monotonic() < patience:
                log.acknowledge(tracker.saved)
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.02))
            tracker.kill()
            kills += 1
            lives_with_progress += tracker.saved > 0
            log.acknowledge(tracker.saved)
            log.look()
    fault_proxy.decide = None
    Tracker(order).finish()
    assert lives_with_progress >= (10 if long_form else 0)
    log.check()
    assert names(container) == [log.name]
    print(f"{kills} kills, {lives_with_progress} after progress; {len(fault_proxy.requests)} requests, ", end="")
    print(f"{len(fault_proxy.fired)} faults, {log.looks} looks, {log.path.stat().st_size} bytes")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["create", "append", "properties", "read", "set_metadata", "copy"])
def test_killed_at_each_step(
    container: Container, fault_proxy: FaultProxy, new_log: Callable[..., WatchedLog], step: str, when: str
) -> None:
    """Killed while a request of each kind is under way, before or after it is carried out: the next attempt goes on."""
    earlier = b"an earlier attempt\n" * 5
    log = new_log(earlier=earlier)
    log.path.write_bytes(earlier)
    with log.asleep():
        Tracker(Order(container.sas_url(), str(log.path), log.name)).finish()
    log.path.write_bytes(b"a line\n" * 20)
    fault_proxy.azure_rules(container.azurite.reading_sas)
    gate = fault_proxy.gate()
    order = Order(fault_proxy.through(container.sas_url()), str(log.path), log.name)

    async def then_silence(exchange: Exchange) -> None:
        await exchange.forward()
        await exchange.client_gone()

    # Carried out, and never answered; or held back from the service until the process is dead.
    hit = fault_proxy.fault(then_silence if when == "after" else gate.held, on=lambda asked: asked.operation == step)
    tracker = Tracker(order)
    tracker.ask_to_finish()
    wait_until(lambda: hit.fired)
    tracker.kill()
    gate.release()
    fault_proxy.wait_idle()
    log.look()
    Tracker(order).finish()
    log.check()
    assert hit.fired == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGSTOP on Windows")
def test_stopped_for_a_while(container: Container, fault_proxy: FaultProxy, log: WatchedLog) -> None:
    """A process that is stopped and goes on later goes on with its log, too."""
    log.path.write_bytes(b"before\n")
    tracker = Tracker(Order(fault_proxy.through(container.sas_url()), str(log.path), log.name))
    wait_until(lambda: tracker.saved == 7)
    os.kill(tracker.process.pid or 0, signal.SIGSTOP)
    log.append(b"meanwhile\n" * 1000)
    log.look()
    os.kill(tracker.process.pid or 0, signal.SIGCONT)
    wait_until(lambda: tracker.saved == log.path.stat().st_size)
    tracker.finish()
    log.check()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.005)
