"""What the tests of the Azure store share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from batch_outputs.location import AzureAccount, StoreLocation
from batch_outputs.stores.azure import AzureStore, AzureStoreAccount


@pytest.fixture(params=["bulk", "wire"])
def by_bulk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run a test with the bulk client and without it."""
    monkeypatch.setenv("BATCH_OUTPUTS_BULK", "1" if request.param == "bulk" else "0")
    return bool(request.param == "bulk")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send each request once."""
    monkeypatch.setenv("BATCH_OUTPUTS_RETRY_SECONDS", "0")


@pytest.fixture
async def open_store() -> AsyncIterator[Callable[..., AzureStore]]:
    """Opens stores and closes them after the test."""
    async with AsyncExitStack() as stack:

        def open_store(location: StoreLocation, *, own_thread: bool = False) -> AzureStore:
            store = AzureStore(location, own_thread=own_thread)
            stack.push_async_callback(store.aclose)
            return store

        yield open_store


@pytest.fixture
async def open_account() -> AsyncIterator[Callable[[AzureAccount], AzureStoreAccount]]:
    """Opens accounts and closes them after the test."""
    async with AsyncExitStack() as stack:

        def open_account(account: AzureAccount) -> AzureStoreAccount:
            opened = AzureStoreAccount(account)
            stack.push_async_callback(opened.aclose)
            return opened

        yield open_account
