"""While the service says that it has too much to do, all of a process hold back, and no more than that."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from batch_outputs import TaskOutputStorage
from batch_outputs.errors import StoreError
from batch_outputs.stop import Stop
from batch_outputs.stores.azure import AzureStore
from batch_outputs.stores.azure.access import Ticket
from batch_outputs.stores.azure.content import InMemory
from batch_outputs.stores.azure.http1 import BrokenAnswerError
from batch_outputs.stores.azure.plain_http import PlainHttp
from batch_outputs.stores.azure.pressure import Pressure, pressure_on
from support.azurite import Container
from support.command import wait_until
from support.fault_proxy import FaultProxy
from support.faults import answer_before
from support.http1 import Request
from support.simulated_clock import SimulatedClock

OpenStore: TypeAlias = Callable[..., AzureStore]

MIB = 1 << 20
PATIENCE = 60.0


class World:
    """A service that is busy for a while, and one that sends to it."""

    def __init__(self, jitter: float = 0.5) -> None:
        self.clock = SimulatedClock()
        self.pressure = Pressure(clock=self.clock.now, jitter=lambda: jitter)

    def wait(self, patience: float = PATIENCE) -> float:
        """How long a request waits before it is sent; the time passes."""
        began = self.clock.now()
        for pause in self.pressure.pauses(patience):
            self.clock.advance(pause)
        return self.clock.now() - began

    def refusals(self, count: int) -> list[float]:
        """How long each of so many waits that are sent one after the other, and all refused."""
        waits = []
        for _ in range(count):
            waits.append(self.wait())
            self.pressure.busy()
        return waits


def test_nothing_is_held_back_without_a_reason() -> None:
    """Where the service was never busy nobody waits."""
    world = World()
    world.pressure.served()
    assert world.wait() == 0


def test_pauses_double_while_it_goes_on() -> None:
    """Each refusal right behind a pause makes the next one twice as long, from a tenth of a second to eight."""
    waits = World(jitter=0.5).refusals(12)
    assert waits[0] == 0
    # Behind the pause itself, those who wait go on one after the other.
    assert waits[1:] == pytest.approx([1.25 * pause for pause in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 8, 8, 8, 8)])


def test_one_good_answer_ends_it() -> None:
    """After one good answer behind the pause nobody waits, and the next pause is a short one."""
    world = World()
    world.refusals(6)
    assert world.wait() > 3
    world.pressure.served()
    assert world.wait() == 0
    assert world.refusals(2)[1] == pytest.approx(0.125)


def test_answers_to_what_was_sent_before() -> None:
    """Answers that come during a pause are to what was sent before it: they neither prolong it nor end it."""
    world = World()
    for _ in range(100):
        world.pressure.busy()
    world.clock.advance(0.05)
    world.pressure.served()
    world.pressure.busy()
    assert world.wait() == pytest.approx(0.05 + 0.025)


def test_the_first_to_go_on_finds_out_for_all() -> None:
    """Who wakes while another has been refused again waits on."""
    world = World()
    world.pressure.busy()
    pauses = world.pressure.pauses(PATIENCE)
    world.clock.advance(next(pauses))
    world.pressure.busy()
    assert next(pauses) == pytest.approx(0.25)


def test_retry_after() -> None:
    """The service's own wish is kept to, up to a minute."""
    world = World(jitter=0)
    world.pressure.busy(5)
    assert world.wait() == pytest.approx(5)
    world = World(jitter=0)
    world.pressure.busy(3600)
    assert world.wait(1000) == pytest.approx(60)
    world = World(jitter=0)
    world.pressure.busy()
    world.pressure.busy(2)  # during the pause
    assert world.wait() == pytest.approx(2)


def test_no_longer_than_the_patience() -> None:
    """Nobody waits for longer than they have patience, also over many pauses; who has none does not wait."""
    world = World()
    world.pressure.busy(60)
    assert world.wait(0) == 0
    assert world.wait(1.5) == pytest.approx(1.5)
    pauses = world.pressure.pauses(10)
    total = 0.0
    for pause in pauses:
        total += pause
        world.clock.advance(pause)
        world.pressure.busy(60)
    assert total == pytest.approx(10)


def test_one_for_each_account() -> None:
    """What one account says holds for all who ask about it, and for no other account."""
    assert pressure_on("https://a.invalid") is pressure_on("https://a.invalid")
    assert pressure_on("https://a.invalid") is not pressure_on("https://b.invalid")


class Arrivals:
    """When which requests came to a proxy."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.times: dict[str, list[float]] = {}
        proxy.after_each = self._note

    def _note(self, request: Request) -> None:
        self.times.setdefault(request.blob, []).append(time.monotonic())


@pytest.mark.anyio
async def test_all_are_held_back(open_store: OpenStore, container: Container, fault_proxy: FaultProxy) -> None:
    """After one refusal reads, puts and appends by whatever client wait as asked; another account is not held back."""
    location = container.location(endpoint=fault_proxy.through(container.azurite.endpoint))
    ordinary, tracker, elsewhere = (
        open_store(location),
        open_store(location, own_thread=True),
        open_store(container.location()),
    )
    await elsewhere.put("seen", b"x" * 2 * MIB)
    seen = await elsewhere.properties("seen")
    log = await tracker.create_append("log")
    calls = await ordinary.blocking_calls()
    assert calls is not None
    arrivals = Arrivals(fault_proxy)
    began = time.monotonic()
    fault_proxy.fault(answer_before(503, retry_after=1), on="properties")
    refused = asyncio.ensure_future(ordinary.properties("seen"))
    await asyncio.to_thread(fault_proxy.wait_fired)
    pressure = pressure_on(fault_proxy.through(container.azurite.endpoint))
    await asyncio.to_thread(wait_until, lambda: next(pressure.pauses(1), 0))
    arrivals.times.clear()

    def read_all() -> int:
        return sum(len(memoryview(p)) for p in calls.read("seen", offset=0, size=2 * MIB, etag=seen.etag))

    def read_little() -> int:
        return sum(len(memoryview(p)) for p in calls.read("seen", offset=2 * MIB - 9, size=2 * MIB, etag=seen.etag))

    works: list[Awaitable[object]] = [
        ordinary.put("by bulk", b"x"),
        ordinary.put("by wire//", b"x"),
        tracker.append("log", b"x", offset=0, etag=log.etag),
        asyncio.to_thread(calls.put, "quickly", InMemory(b"x")),
        asyncio.to_thread(read_all),
        asyncio.to_thread(read_little),
    ]
    others = asyncio.gather(*works)
    await elsewhere.properties("seen")
    assert not arrivals.times
    results = await others
    await refused
    await asyncio.to_thread(fault_proxy.wait_idle)
    assert results[-2:] == [2 * MIB, 9]
    assert set(arrivals.times) == {"by bulk", "by wire//", "log", "quickly", "seen"}
    assert min(min(times) for times in arrivals.times.values()) - began >= 1.0


@pytest.mark.anyio
@pytest.mark.parametrize("by", ["quick put", "quick read", "quick read of much", "put", "wire"])
async def test_each_client_tells_the_others(
    open_store: OpenStore, container: Container, fault_proxy: FaultProxy, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever client is refused as the service is busy, all hear of it; and of a good answer behind the pause."""
    monkeypatch.setenv("BATCH_OUTPUTS_RETRY_SECONDS", "0.2")
    location = container.location(endpoint=fault_proxy.through(container.azurite.endpoint))
    store = open_store(location)
    await store.put("x", b"x" * 2 * MIB)
    blob = await store.properties("x")
    calls = await store.blocking_calls()
    assert calls is not None
    size = 9 if by == "quick read" else 2 * MIB

    def read() -> int:
        return sum(len(memoryview(p)) for p in calls.read("x", offset=0, size=size, etag=blob.etag))

    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "quick put": lambda: asyncio.to_thread(calls.put, "y", InMemory(b"x")),
        "quick read": lambda: asyncio.to_thread(read),
        "quick read of much": lambda: asyncio.to_thread(read),
        "put": lambda: store.put("y", b"x"),
        "wire": lambda: store.properties("x"),
    }
    pressure = pressure_on(fault_proxy.through(container.azurite.endpoint))
    fault_proxy.fault(answer_before(503), times=None)
    try:
        assert await ways[by]() in {None, 0}
    except StoreError as error:
        assert by in {"put", "wire"}, error  # noqa: PT017 - the others do not raise
    assert next(pressure.pauses(PATIENCE), 0) > 0
    fault_proxy.clear()
    await asyncio.sleep(sum(pressure.pauses(1)))
    assert await ways[by]() is not None
    assert next(pressure.pauses(PATIENCE), 0) == 0


@pytest.mark.anyio
@pytest.mark.parametrize("busy", ["at times", "for a while"])
async def test_saving_many(container: Container, fault_proxy: FaultProxy, tmp_path: Path, busy: str) -> None:
    """Of many files each is stored, exactly and once, also when the service refuses some puts, or all for a while."""
    contents = {f"{number:03}": os.urandom(number) for number in range(200)}
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        os.utime(path, (1, 1))
    puts = 0
    until = 0.0

    def is_refused(request: Request) -> bool:
        nonlocal puts, until
        puts += 1
        until = until or time.monotonic() + 1.0
        return puts % 25 == 0 if busy == "at times" else time.monotonic() < until

    refused = fault_proxy.fault(answer_before(503), on=is_refused, times=None)
    async with TaskOutputStorage.from_container_url(fault_proxy.through(container.sas_url()), "t1") as task:
        saved = await task.save_all("TaskOutput", "*", base=tmp_path)
    assert [output.name for output in saved] == sorted(contents)
    found = {blob.name.rpartition("/")[2]: blob.size for blob in container.client.list_blobs()}
    assert found == {name: len(content) for name, content in contents.items()}
    assert container.content("t1/$TaskOutput/199") == contents["199"]
    assert refused.fired > 0
    assert len(fault_proxy.requests) == 200 + refused.fired
    if busy == "for a while":
        # Each pause is found too short by few.
        assert refused.fired < 30


@pytest.mark.anyio
async def test_the_service_is_spared(
    open_store: OpenStore, container: Container, fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing is accepted, of many who wait only a few ask again now and then, and all get through after it."""
    monkeypatch.setenv("BATCH_OUTPUTS_BULK", "0")
    store = open_store(container.location(endpoint=fault_proxy.through(container.azurite.endpoint)))
    until = time.monotonic() + 1.5
    refused = fault_proxy.fault(answer_before(503), on=lambda _: time.monotonic() < until, times=None)
    many = 48
    await asyncio.gather(*(store.put(f"x{number}", b"x") for number in range(many)))
    assert len([blob async for blob in store.list()]) == many
    # All of them once; each for itself would be refused twice or three times more.
    assert many <= refused.fired < 1.7 * many


@pytest.mark.parametrize("says", [True, False])
def test_refused_before_all_has_come(says: bool) -> None:
    """Who refuses a request while its body is still being sent, and hangs up, is heard; who only hangs up is not."""
    pressure = Pressure()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            wire, _ = server.accept()
            with wire:
                wire.recv(1000)
                if says:
                    wire.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n")

        refusing = threading.Thread(target=refuse)
        refusing.start()
        http = PlainHttp(f"http://127.0.0.1:{server.getsockname()[1]}/acct", pressure)
        try:
            status = http.put("/x", "", Ticket(), Stop(), {}, bytes(64 << 20)).status
        except (OSError, BrokenAnswerError):
            status = 0
        refusing.join()
        http.close()
    assert status == (503 if says else 0)
    assert [pause > 4 for pause in pressure.pauses(5.0)][:1] == [True] * says
