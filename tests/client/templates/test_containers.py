"""The containers of templates in a real account: what is listed, and what URLs allow."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import pytest

from batch_outputs.client.sync import template_tasks
from batch_outputs.client.templates import Container, StoredContainers, Template
from batch_outputs.errors import AccessDeniedError, ConfigurationError, TemplateError
from batch_outputs.settings import Target, account_from_connection_string, account_target, container_target
from batch_outputs.stores import open_account
from support.azurite import Azurite

pytestmark = pytest.mark.anyio

TEMPLATE = """{"job": {"taskFactory": {"type": "taskPerFile", "source": {"fileGroup": "%s", "prefix": "in/"},
 "repeatTask": {"commandLine": "{fileName}", "displayName": "{url}", "outputFiles": [{"filePattern": "*",
  "destination": {"autoStorage": {"fileGroup": "%s"}}, "uploadOptions": {"uploadCondition": "taskcompletion"}}]}}}}"""


async def fill(target: Target, container: str, *names: str) -> None:
    account = open_account(target.account)
    await account.create_container(container)
    store = account.open(container)
    for name in names:
        await store.put(name, name.encode())
    await store.aclose()
    await account.aclose()


async def exists(target: Target, container: str) -> bool:
    account = open_account(target.account)
    found = [each.name async for each in account.list_containers(container)]
    await account.aclose()
    return container in found


async def test_urls_let_tasks_in_and_no_further(azurite: Azurite) -> None:
    """A file's URL can be read, the group's can be written to, and neither allows what it is not for."""
    target = Target(account_from_connection_string(azurite.connection_string))
    await fill(target, "fgrp-read-me", "in/a b.txt", "in/ü.txt", "out/c.txt")
    containers = StoredContainers(target, create_groups=True, expiry=timedelta(hours=1))
    expansion = Template.parse(TEMPLATE % ("read-me", "Write_Me")).expand()
    first, second = [task async for task in expansion.tasks(containers)]
    assert (first["commandLine"], second["commandLine"]) == ("a b.txt", "ü.txt")
    for task, content in ((first, "in/a b.txt"), (second, "in/ü.txt")):
        with urlopen(task["displayName"]) as answer:  # noqa: ASYNC210, S310 - the test's own server
            assert answer.read().decode() == content
    url = first["outputFiles"][0]["destination"]["container"]["containerUrl"]
    assert parse_qs(urlsplit(url).query)["sp"] == ["w"]
    assert url == second["outputFiles"][0]["destination"]["container"]["containerUrl"]
    assert containers.signed == 2
    base, _, sas = url.partition("?")
    headers = {"x-ms-blob-type": "BlockBlob", "Content-Type": "text/plain"}
    request = Request(f"{base}/x?{sas}", b"new", headers, method="PUT")  # noqa: S310 - the same
    with urlopen(request) as answer:  # noqa: ASYNC210, S310 - the same
        assert answer.status == 201
    with pytest.raises(AccessDeniedError):
        [name async for name in StoredContainers(target).list_names(Container(url=url), "")]


async def test_without_sas_nothing_is_signed_or_made(azurite: Azurite) -> None:
    """URLs are plain, and the groups that are written to are not made."""
    target = Target(account_from_connection_string(azurite.connection_string))
    await fill(target, "fgrp-plain", "in/a")
    containers = StoredContainers(target, sas=False)
    (task,) = [task async for task in Template.parse(TEMPLATE % ("plain", "not-made")).expand().tasks(containers)]
    assert task["displayName"].endswith("/fgrp-plain/in/a")
    assert task["outputFiles"][0]["destination"]["container"]["containerUrl"].endswith("/fgrp-not-made")
    assert containers.signed == 0
    assert not await exists(target, "fgrp-not-made")


async def test_container_urls_bring_their_own_sas_or_take_the_account_s(azurite: Azurite) -> None:
    """A URL with a SAS is used as it is; without one the account's own access serves, where it is the account's."""
    target = Target(account_from_connection_string(azurite.connection_string))
    await fill(target, "some-container", "a", "b")
    containers = StoredContainers(target)
    plain = target.account.container_url("some-container")
    signed = await containers.container_url(Container(url=plain), "rl")
    assert signed.startswith(f"{plain}?")
    elsewhere = StoredContainers(account_target("https://other.blob.core.windows.net"))
    for each, url in ((containers, plain), (elsewhere, signed)):
        assert [name async for name in each.list_names(Container(url=url), "")] == ["a", "b"]
    assert await elsewhere.container_url(Container(url=signed.replace("?", "/?")), "r") == signed


async def test_folders_need_no_sas(tmp_path: Path) -> None:
    """In a folder, URLs are those of its files."""
    target = account_target(tmp_path.as_uri())
    await fill(target, "fgrp-g", "in/a b")
    (task,) = [t async for t in Template.parse(TEMPLATE % ("g", "out")).expand().tasks(StoredContainers(target))]
    assert task["displayName"] == f"{tmp_path.as_uri()}/fgrp-g/in/a%20b"
    assert task["outputFiles"][0]["destination"]["container"]["containerUrl"] == f"{tmp_path.as_uri()}/fgrp-out"
    assert not (tmp_path / "fgrp-out").exists()


def test_tasks_come_to_code_without_a_loop_too(tmp_path: Path) -> None:
    """The blocking face gives the same tasks, many of them, and raises the same errors."""
    target = account_target(tmp_path.as_uri())
    sweep = """{"job": {"taskFactory": {"type": "parametricSweep", "parameterSets": [{"start": 1, "end": 250}],
        "repeatTask": {"commandLine": "{0}"}}}}"""
    assert [task["id"] for task in template_tasks(Template.parse(sweep).expand())] == [str(n) for n in range(250)]
    with pytest.raises(TemplateError, match="does not exist"):
        list(template_tasks(Template.parse(TEMPLATE % ("gone", "out")).expand(), StoredContainers(target)))


async def test_missing_containers_and_wrong_urls_are_named_with_their_place(tmp_path: Path) -> None:
    """A group that is not there, and a URL that is none, are mistakes of the template."""
    target = account_target(tmp_path.as_uri())
    expansion = Template.parse(TEMPLATE % ("gone", "out"), "t.json").expand()
    with pytest.raises(
        TemplateError, match=r"^t.json:1:73 \(job.taskFactory.source.fileGroup\): the file group gone does not "
    ):
        [task async for task in expansion.tasks(StoredContainers(target))]
    wrong = TEMPLATE.replace('"fileGroup": "%s", "prefix"', '"containerUrl": "https://a/?sig=%s", "prefix"')
    with pytest.raises(TemplateError, match=r"^t.json:1:76 \(job.taskFactory.source.containerUrl\): ") as caught:
        [task async for task in Template.parse(wrong % ("S3", "o"), "t.json").expand().tasks(StoredContainers(target))]
    assert "S3" not in str(caught.value)


async def test_access_to_one_container_reaches_no_other(azurite: Azurite) -> None:
    """With one container configured, a group elsewhere is refused before any request."""
    containers = StoredContainers(container_target(azurite.new_container().sas_url()))
    with pytest.raises(ConfigurationError, match="not to the container fgrp-g; configure the account"):
        await containers.container_url(Container(group="g"), "w")


async def test_no_group_is_made_for_a_url_that_cannot_be_signed(azurite: Azurite) -> None:
    """Where no SAS can be had, nothing was made for it before."""
    target = account_from_connection_string(azurite.connection_string)
    containers = StoredContainers(Target(target), expiry=timedelta(days=999), create_groups=True)
    with pytest.raises(ConfigurationError, match="more than a year ahead"):
        await containers.container_url(Container(group="unsigned"), "w")
    assert not await exists(Target(target), "fgrp-unsigned")
