"""What every test can ask for: a real blob server, a container of its own, a fault proxy in between."""

from __future__ import annotations

import os
import random
import signal
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support.azurite import KEY, Azurite, Container, running_azurite
from support.big_container import BigJob, big_job
from support.command import Desk, signature
from support.fault_proxy import FaultProxy

MUST_RUN = os.environ.get("BATCH_OUTPUTS_TESTS_MUST_RUN") == "1"
NONE_ALLOWED = "{} was skipped, and BATCH_OUTPUTS_TESTS_MUST_RUN=1 allows none: {}"
SERVER_LOG = pytest.StashKey[Azurite]()

# On a busy machine an example may take long, and making it up as well; neither says anything about what is tried.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# A shell's background job (`pytest &`) ignores Ctrl-C and Ctrl-\, one of `nohup` a hang-up, and its children would
# inherit that; tests send these to them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for name in ("SIGQUIT", "SIGHUP"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)


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


@pytest.fixture(scope="session")
def big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigJob]:
    """A job of 100,000 blobs over 10,000 tasks on a blob service of its own, to be read only."""
    with big_job(tmp_path_factory.mktemp("big")) as job:
        yield job


@pytest.fixture
def container(azurite: Azurite) -> Container:
    """An empty container that no other test knows."""
    return azurite.new_container()


@pytest.fixture(params=["folder", "azure"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty container, with every right: a folder, then one of a blob service."""
    if request.param == "folder":
        folder = tmp_path / "store" / "job-x"
        folder.mkdir(parents=True)
        return folder.as_uri()
    container: Container = request.getfixturevalue("container")
    return container.sas_url()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An empty folder to run the command in, with nothing configured, away from a node."""
    folder = tmp_path / "desk"
    folder.mkdir()
    return Desk(folder)


@pytest.fixture
def azure(desk: Desk, container: Container) -> Desk:
    """The desk with an empty container on a blob service, as a container URL with a SAS, and a task of a job."""
    url = container.sas_url()
    desk.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": url, "AZ_BATCH_TASK_ID": "t1"}
    desk.secrets += [signature(url), KEY]
    return desk


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


def pytest_addoption(parser: pytest.Parser) -> None:
    """The long forms of tests that have one, and the seed of their chance."""
    parser.addoption("--long", action="store_true", help="run tests that take minutes, and others at full size")
    parser.addoption("--seed", type=int, default=None, help="repeat the random choices of an earlier run")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed, so that it can be shown."""
    if config.getoption("--seed") is None:
        config.option.seed = random.SystemRandom().randrange(2**32)


def pytest_report_header(config: pytest.Config) -> str:
    """The seed that repeats this run."""
    form = "long" if config.getoption("--long") else "short"
    return f"{form} form, --seed {config.getoption('--seed')}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the long form runs."""
    if config.getoption("--long"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(scope="session")
def long_form(request: pytest.FixtureRequest) -> bool:
    """Whether tests run at full size."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run's random choices, another for each test."""
    return zlib.crc32(f"{request.config.getoption('--seed')} {request.node.nodeid}".encode())


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
