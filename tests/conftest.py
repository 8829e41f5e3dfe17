"""What every test can ask for: a real blob server, a container of its own, a fault proxy in between."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

from support.azurite import Azurite, Container, running_azurite
from support.fault_proxy import FaultProxy

MUST_RUN = os.environ.get("BATCH_OUTPUTS_TESTS_MUST_RUN") == "1"
NONE_ALLOWED = "{} was skipped, and BATCH_OUTPUTS_TESTS_MUST_RUN=1 allows none: {}"
SERVER_LOG = pytest.StashKey[Azurite]()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The library runs on asyncio only."""
    return "asyncio"


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Azurite]:
    """A Blob service in memory, one for the whole session; its key and endpoints are attributes."""
    with running_azurite(tmp_path_factory.mktemp("azurite") / "azurite.log") as server:
        request.config.stash[SERVER_LOG] = server
        yield server


@pytest.fixture
def container(azurite: Azurite) -> Container:
    """An empty container that no other test knows."""
    return azurite.new_container()


@pytest.fixture
def fault_proxy(azurite: Azurite) -> Iterator[FaultProxy]:
    """A proxy before the blob service, passing everything until it is told otherwise."""
    with FaultProxy(azurite.port) as proxy:
        yield proxy


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make a skip a failure where nothing may be skipped, and show what the blob server said beside a failure."""
    report = yield
    if MUST_RUN and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} was skipped, and BATCH_OUTPUTS_TESTS_MUST_RUN=1 allows none: {report.longrepr}"
        )
    if report.failed and "azurite" in getattr(item, "fixturenames", ()) and SERVER_LOG in item.config.stash:
        report.sections.append(("What Azurite answered last", item.config.stash[SERVER_LOG].recent_log()))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Make the skip of a whole module a failure where nothing may be skipped."""
    report = yield
    if MUST_RUN and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = NONE_ALLOWED.format(collector.nodeid, report.longrepr)
    return report
