"""The environment settings of a task: a URL with a SAS, or one without and the identity's client id."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from azure.batch.models import BatchTaskCreateOptions, EnvironmentSetting

from batch_outputs import JobOutputStorage, TaskOutputStorage, sync
from batch_outputs.client import sync as client_sync
from batch_outputs.client import task_environment_settings
from batch_outputs.errors import ConfigurationError
from batch_outputs.settings import CONTAINER_URL
from batch_outputs.shared_access import SasTerms
from support.azurite import Azurite, Container
from support.command import signature

pytestmark = pytest.mark.anyio

CLIENT_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
HOST = "https://acct.blob.core.windows.net/job-render"


def as_environment(settings: list[EnvironmentSetting]) -> Mapping[str, str | None]:
    """What the task finds in its environment, by way of what is sent to the service."""
    sent = BatchTaskCreateOptions(id="t1", command_line="x", environment_settings=settings).as_dict()
    return {setting["name"]: setting["value"] for setting in sent["environmentSettings"]}


async def test_a_task_saves_with_its_settings(azurite: Azurite) -> None:
    """What the settings put into a task's environment is all that it needs beside what a node tells."""
    async with JobOutputStorage.from_connection_string(azurite.connection_string, "settings") as job:
        await job.create_container()
        environment = as_environment(await task_environment_settings(job))
    assert list(environment) == [CONTAINER_URL]
    of_node = {"AZ_BATCH_JOB_ID": "settings", "AZ_BATCH_TASK_ID": "t1", "AZ_BATCH_NODE_ID": "n1"}
    async with TaskOutputStorage.from_env({**of_node, CONTAINER_URL: environment[CONTAINER_URL] or ""}) as task:
        saved = await task.save_text("TaskOutput", "text", "a.txt")
    assert saved.blob_name == "t1/$TaskOutput/a.txt"


async def test_an_identity_needs_no_sas(azurite: Azurite) -> None:
    """With an identity the URL has no SAS, although one could be made; of several identities it is named."""
    async with JobOutputStorage.from_connection_string(azurite.connection_string, "settings") as job:
        url = job.container_url
        named = await task_environment_settings(job, identity_client_id=CLIENT_ID)
        assert as_environment(named) == {CONTAINER_URL: url, "AZURE_CLIENT_ID": CLIENT_ID}
        assert as_environment(await task_environment_settings(job, sas=False)) == {CONTAINER_URL: url}
    assert as_environment(await task_environment_settings(HOST, sas=False)) == {CONTAINER_URL: HOST}


async def test_a_url_with_a_sas_is_passed_on(container: Container) -> None:
    """Who has been given a SAS gives it to the tasks as it is."""
    url = container.sas_url("rw")
    assert as_environment(await task_environment_settings(url)) == {CONTAINER_URL: url}


async def test_a_folder(tmp_path: Path) -> None:
    """On a desk the setting is a folder's URL."""
    url = (tmp_path / "job-x").as_uri()
    assert as_environment(await task_environment_settings(url)) == {CONTAINER_URL: url}
    async with JobOutputStorage.from_account_url(tmp_path.as_uri(), "x") as job:
        assert as_environment(await task_environment_settings(job)) == {CONTAINER_URL: url}


async def test_a_sas_that_ends_before_the_task(container: Container, caplog: pytest.LogCaptureFixture) -> None:
    """That is worth a warning, to whoever wants it or to the log, which does not hold the SAS."""
    url = container.sas_url("rw", expires_in=timedelta(hours=1))
    told: list[str] = []
    long, short = timedelta(hours=2), timedelta(minutes=50)
    with caplog.at_level(logging.WARNING):
        await task_environment_settings(url, max_wall_clock_time=short, on_warning=told.append)
        await task_environment_settings(url, on_warning=told.append)
        assert told == []
        await task_environment_settings(url, max_wall_clock_time=long, on_warning=told.append)
        assert len(told) == 1
        assert "before a task that starts now reaches its max wall clock time (2:00:00)" in told[0]
        assert caplog.records == []
        await task_environment_settings(url, max_wall_clock_time=long)
    assert [(record.name, record.message) for record in caplog.records] == [("batch_outputs.client", told[0])]
    assert signature(url) not in told[0]


async def test_no_warning_without_a_sas(caplog: pytest.LogCaptureFixture) -> None:
    """An identity does not end."""
    await task_environment_settings(HOST, identity_client_id=CLIENT_ID, max_wall_clock_time=timedelta(days=180))
    assert caplog.records == []


@pytest.mark.parametrize(
    ("permissions", "hours", "sentence"),
    [("rw", -1, r"expired at 20\d\d-"), ("rl", 1, "allows 'rl', and a task that saves has to write")],
)
async def test_access_that_would_not_do(container: Container, permissions: str, hours: int, sentence: str) -> None:
    """A SAS that has expired, or does not allow to write, is refused before any task has it."""
    url = container.sas_url(permissions, expires_in=timedelta(hours=hours))
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        await task_environment_settings(url)
    assert signature(url) not in str(caught.value)


async def test_a_sas_and_an_identity(container: Container) -> None:
    """Only one of them can be meant."""
    url = container.sas_url()
    with pytest.raises(ConfigurationError, match="brings a SAS, and an identity"):
        await task_environment_settings(url, identity_client_id=CLIENT_ID)
    with pytest.raises(ConfigurationError, match="brings a SAS, and an identity"):
        await task_environment_settings(url, sas=False)
    with pytest.raises(ConfigurationError, match="A SAS is wanted, and an identity is named too"):
        await task_environment_settings(HOST, identity_client_id=CLIENT_ID, sas=True)


@pytest.mark.parametrize("wrong", ["", "my-identity", "/subscriptions/s/resourceGroups/g/providers/p"])
async def test_an_identity_is_named_by_its_client_id(wrong: str) -> None:
    """Its name or resource id would be refused by the node only when the task runs."""
    with pytest.raises(ConfigurationError, match="by its client id"):
        await task_environment_settings(HOST, identity_client_id=wrong)


async def test_no_url_of_a_container() -> None:
    """What is no container's URL is refused, and not shown where it may hold a secret."""
    with pytest.raises(ConfigurationError, match="should end in one container's name"):
        await task_environment_settings("https://acct.blob.core.windows.net")
    with pytest.raises(ConfigurationError, match="not shown here"):
        await task_environment_settings("AccountKey=abcdef")


async def test_what_is_no_place_for_outputs(tmp_path: Path) -> None:
    """Other things, such as the outputs of the blocking API in asyncio or the reverse, are one sentence."""
    url = (tmp_path / "job-x").as_uri()
    with (
        sync.JobOutputStorage.from_container_url(url) as blocking,
        pytest.raises(ConfigurationError, match=r"A JobOutputStorage of batch_outputs\.sync is not where outputs go"),
    ):
        await task_environment_settings(blocking)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="A NoneType of builtins is not where outputs go; give what"):
        await task_environment_settings(None)  # type: ignore[arg-type]
    async with JobOutputStorage.from_container_url(url) as job:
        with pytest.raises(ConfigurationError, match=r"A JobOutputStorage of batch_outputs\.storage is not"):
            client_sync.task_environment_settings(job)  # type: ignore[arg-type]


def test_blocking(azurite: Azurite, container: Container) -> None:
    """The same without an event loop."""
    with sync.JobOutputStorage.from_connection_string(azurite.connection_string, "settings") as job:
        environment = as_environment(client_sync.task_environment_settings(job, expiry=timedelta(hours=1)))
    assert SasTerms.of(environment[CONTAINER_URL] or "") is not None
    url = container.sas_url()
    assert as_environment(client_sync.task_environment_settings(url)) == {CONTAINER_URL: url}
