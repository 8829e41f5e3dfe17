"""What the tests of tracked saves share: a task behind the fault proxy, logs that are watched, a scan for secrets."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from batch_outputs import TaskOutputStorage
from support.azurite import KEY, Container
from support.fault_proxy import FaultProxy
from support.watched_log import WatchedLog, watch

PATIENCE = 60.0


@pytest.fixture
async def faulty(container: Container, fault_proxy: FaultProxy) -> AsyncIterator[TaskOutputStorage]:
    """The outputs of a task, on a blob service behind the fault proxy that keeps Azure's rules."""
    fault_proxy.azure_rules(container.azurite.reading_sas)
    async with TaskOutputStorage.from_container_url(fault_proxy.through(container.sas_url()), "t1") as storage:
        yield storage


@pytest.fixture
def new_log(container: Container, fault_proxy: FaultProxy, tmp_path: Path) -> Iterator[Callable[..., WatchedLog]]:
    """Makes logs that are looked at whenever a request for them has come through the proxy."""
    logs: list[WatchedLog] = []

    def make(name: str = "log.txt", *, earlier: bytes | None = None) -> WatchedLog:
        logs.append(WatchedLog(container, tmp_path / name, earlier=earlier))
        watch(fault_proxy, logs)
        return logs[-1]

    yield make
    assert [violation for log in logs for violation in log.violations] == []


@pytest.fixture
def log(new_log: Callable[..., WatchedLog]) -> WatchedLog:
    """One such log; its file is not there yet."""
    return new_log()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send each request once, so that every fault is the tracked save's own to survive."""
    monkeypatch.setenv("BATCH_OUTPUTS_RETRY_SECONDS", "0")


@pytest.fixture
def no_secret_shows(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """With the root logger at DEBUG, neither a key nor the signature of a SAS is in anything that is logged."""
    caplog.set_level(logging.DEBUG)
    yield
    told = "\n".join(caplog.text + repr([record.__dict__ for record in caplog.get_records(when)]) for when in ("call",))
    assert [form for form in forms_of_secrets() if form in told] == []


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    """Nothing outlives the block: the log thread ends with the last tracked save."""
    yield
    deadline = time.monotonic() + PATIENCE
    while any(thread.name == "batch-outputs-logs" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def forms_of_secrets() -> list[str]:
    """The key and the beginning of any signature: plain, percent-encoded, and encoded twice."""
    once = [quote(secret, safe="") for secret in (KEY, "sig=")]
    return [KEY, "sig=", *once, *(quote(form, safe="") for form in once)]
