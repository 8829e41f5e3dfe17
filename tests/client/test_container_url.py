"""The URL of a job's container for its tasks: what it allows and until when, and when there is none."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from batch_outputs import JobOutputStorage, TaskOutputStorage, sync
from batch_outputs.errors import AccessDeniedError, ConfigurationError
from batch_outputs.shared_access import SasTerms
from support.azurite import Azurite, Container
from support.command import signature

pytestmark = pytest.mark.anyio


async def test_a_key_gives_a_url_that_works(azurite: Azurite) -> None:
    """A task saves with the URL, reads and lists with it, for the time and with the letters of the .NET library."""
    async with JobOutputStorage.from_connection_string(azurite.connection_string, "url-by-key") as job:
        await job.create_container()
        before = datetime.now(UTC)
        url = await job.generate_container_url()
        assert url.partition("?")[0] == job.container_url == f"{azurite.endpoint}/job-url-by-key"
        assert signature(url) not in repr(job) + job.place + job.container_url
    terms = SasTerms.of(url)
    assert terms is not None
    assert terms.permissions == "racwl"
    assert terms.expires is not None
    assert abs(terms.expires - before - timedelta(days=7)) < timedelta(seconds=30)
    assert "st" not in parse_qs(url)
    async with TaskOutputStorage.from_container_url(url, "t1") as task:
        saved = await task.save_text("TaskOutput", "text", "a.txt")
        assert await task.get_output("TaskOutput", "a.txt").read_text() == "text"
        assert [output.name async for output in task.list_outputs()] == ["a.txt"]
        with pytest.raises(AccessDeniedError, match="does not allow to delete"):
            await saved.delete()


async def test_a_url_allows_what_was_asked(azurite: Azurite) -> None:
    """Fewer letters allow less, and the end is the one that was asked, to the second."""
    end = datetime.now(UTC) + timedelta(hours=2)
    async with JobOutputStorage.from_connection_string(azurite.connection_string, "url-to-read") as job:
        await job.create_container()
        url = await job.generate_container_url(end, "lr")
    assert SasTerms.of(url) == SasTerms(end.replace(microsecond=0), "rl")
    async with TaskOutputStorage.from_container_url(url, "t1") as task:
        assert [output async for output in task.list_outputs()] == []
        with pytest.raises(AccessDeniedError, match="does not allow to write"):
            await task.save_text("TaskOutput", "text", "a.txt")


async def test_a_sas_makes_no_other(container: Container, tmp_path: Path) -> None:
    """Whoever has only a SAS, as text or in a file, is told what to do instead, and the SAS is not shown."""
    url = container.sas_url()
    (tmp_path / "url").write_text(url)
    for variables in (
        {"BATCH_OUTPUTS_CONTAINER_URL": url},
        {"BATCH_OUTPUTS_CONTAINER_URL_FILE": str(tmp_path / "url")},
    ):
        async with JobOutputStorage.from_env(variables) as job:
            with pytest.raises(ConfigurationError, match="pass on the SAS that you have") as caught:
                await job.generate_container_url()
        assert "sig" not in str(caught.value)


async def test_a_folder_has_its_url(tmp_path: Path) -> None:
    """The URL of a folder leads there, although nothing was prepared; letters and end are checked all the same."""
    async with JobOutputStorage.from_account_url(tmp_path.as_uri(), "render") as job:
        url = await job.generate_container_url()
        assert url == job.container_url == (tmp_path / "job-render").as_uri()
        with pytest.raises(ConfigurationError, match="'q' is not a permission"):
            await job.generate_container_url(permissions="rq")
        with pytest.raises(ConfigurationError, match="not in the future"):
            await job.generate_container_url(timedelta(days=-1))
    assert os.listdir(tmp_path) == []


async def test_an_identity_signs_for_a_week_at_most() -> None:
    """More than the service allows is refused before anything is asked."""
    account = "https://acct.blob.core.windows.net"
    async with JobOutputStorage.from_account_url(account, "render", credential=Unused()) as job:
        with pytest.raises(ConfigurationError, match="7 days at most"):
            await job.generate_container_url(timedelta(days=8))


class Unused:
    """An identity that nobody may ask."""

    def get_token(self, *scopes: str) -> object:
        raise AssertionError("a token was asked for")


def test_blocking(azurite: Azurite) -> None:
    """The same without an event loop."""
    with sync.JobOutputStorage.from_connection_string(azurite.connection_string, "url-blocking") as job:
        assert SasTerms.of(job.generate_container_url(timedelta(hours=1), "r")) is not None
        assert job.container_url == f"{azurite.endpoint}/job-url-blocking"
