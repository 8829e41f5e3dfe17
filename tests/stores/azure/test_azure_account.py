"""Containers of an account: listed, created, opened, and what a SAS of one container cannot do."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from aiohttp import web
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from batch_outputs.errors import AccessDeniedError, InvalidNameError, StoreError
from batch_outputs.location import AzureAccount, KeyAccess, SasAccess, SasFileAccess
from batch_outputs.stores.azure import AzureStore, AzureStoreAccount
from stores.azure.answering import SAS, answering, refusal
from support.azurite import ACCOUNT, KEY, Azurite

pytestmark = pytest.mark.anyio

OpenAccount: TypeAlias = Callable[[AzureAccount], AzureStoreAccount]


def account_sas() -> str:
    """A SAS of the whole account."""
    sas: str = generate_account_sas(
        ACCOUNT,
        KEY,
        resource_types=ResourceTypes(service=True, container=True, object=True),
        permission=AccountSasPermissions(read=True, write=True, list=True, create=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    return sas


@pytest.mark.parametrize("by", ["key", "sas"])
async def test_containers(azurite: Azurite, open_account: OpenAccount, by: str) -> None:
    """With a key or an account SAS: a container is created once, keeps its metadata, is listed by prefix and opened."""
    access = KeyAccess(ACCOUNT, KEY) if by == "key" else SasAccess(account_sas())
    account = open_account(AzureAccount(azurite.endpoint, access))
    prefix = f"job-{uuid.uuid4().hex[:20]}"
    for number in (2, 1):
        assert await account.create_container(f"{prefix}-{number}", metadata={"job_id": f"My Job:{number}"})
    assert not await account.create_container(f"{prefix}-1", metadata={"job_id": "other"})
    found = [container async for container in account.list_containers(prefix)]
    assert [(container.name, container.metadata["job_id"]) for container in found] == [
        (f"{prefix}-1", "My Job:1"),
        (f"{prefix}-2", "My Job:2"),
    ]
    assert abs(found[0].last_modified - datetime.now(UTC)) < timedelta(hours=1)
    store = account.open(f"{prefix}-1")
    assert isinstance(store, AzureStore)
    assert store.location.container == f"{prefix}-1"
    if by == "key":
        await store.put("x", b"data")
        assert [blob.name async for blob in store.list()] == ["x"]
    await store.aclose()


@pytest.mark.parametrize("source", ["given", "file"])
async def test_a_sas_of_one_container(open_account: OpenAccount, tmp_path: Path, source: str) -> None:
    """It knows one container: listing and creating say so without a request."""
    path = tmp_path / "url"
    path.write_text(f"https://acct.blob.core.windows.net/job-x?{SAS}")
    access = SasAccess(SAS) if source == "given" else SasFileAccess(path)
    account = open_account(AzureAccount("http://127.0.0.1:1/acct", access))
    with pytest.raises(AccessDeniedError, match="is for one container and knows no others"):
        await anext(aiter(account.list_containers()))
    with pytest.raises(AccessDeniedError, match="is for one container and knows no others"):
        await account.create_container("job-y")


@pytest.mark.parametrize("name", ["", "ab", "Job-x", "job--x", "-job", "job-", "job_x", "job/x", "j" * 64])
async def test_names_that_no_container_has(open_account: OpenAccount, name: str) -> None:
    """They are refused before any request."""
    account = open_account(AzureAccount("http://127.0.0.1:1/acct", KeyAccess("acct", "a2V5")))
    with pytest.raises(InvalidNameError, match="not a container's name"):
        await account.create_container(name)
    with pytest.raises(InvalidNameError, match="not a container's name"):
        account.open(name)


async def test_a_container_that_is_being_deleted(open_account: OpenAccount) -> None:
    """Its name is taken for a while yet; that is said, and it does not pass for being there."""

    async def handler(request: web.Request) -> web.Response:
        return refusal(409, "ContainerBeingDeleted")

    async with answering(handler) as endpoint:
        account = open_account(AzureAccount(endpoint, SasAccess("sv=1&ss=b&srt=sc&sp=c&sig=x")))
        with pytest.raises(StoreError, match="being deleted"):
            await account.create_container("job-x")


async def test_a_wrong_key(azurite: Azurite, open_account: OpenAccount) -> None:
    """A key that is not the account's is named."""
    account = open_account(AzureAccount(azurite.endpoint, KeyAccess(ACCOUNT, "d3Jvbmc=")))
    with pytest.raises(AccessDeniedError, match=f"key of the account {ACCOUNT} is not accepted"):
        await anext(aiter(account.list_containers()))
