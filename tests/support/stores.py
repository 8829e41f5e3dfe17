"""The stores of the library in all their modes, each with an empty container, as the conformance suite takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest

from batch_outputs.location import Account, AzureAccount, DirectoryAccount, KeyAccess, SasAccess, StoreLocation
from batch_outputs.stores.azure import AzureStore, AzureStoreAccount
from batch_outputs.stores.base import Store, StoreAccount
from batch_outputs.stores.directory import DirectoryStore, DirectoryStoreAccount
from support import faults
from support.azurite import ACCOUNT, KEY, Container
from support.fault_proxy import FaultProxy
from support.memory_store import MemoryAccount


class Backend(Protocol):
    """A kind of store, and an empty container of it that no other test knows."""

    many: int
    """How many blobs make several pages of a list."""
    secrets: tuple[str, ...]
    """What may stand in no message."""

    @property
    def account(self) -> Account:
        """Where its containers are."""

    def open(self) -> Store:
        """A store of the container."""

    def open_missing(self) -> Store:
        """A store of a container that does not exist."""

    def open_account(self) -> StoreAccount:
        """The account."""


@dataclass
class DirectoryBackend:
    """Folders."""

    root: Path
    own_thread: bool = False
    case_blind: bool | None = None
    many: int = 300
    secrets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.root.joinpath("job-x").mkdir(parents=True)

    @property
    def account(self) -> DirectoryAccount:
        return DirectoryAccount(self.root)

    def open(self) -> Store:
        return self._open("job-x")

    def open_missing(self) -> Store:
        return self._open("job-missing")

    def open_account(self) -> StoreAccount:
        return DirectoryStoreAccount(self.account)

    def _open(self, container: str) -> Store:
        location = StoreLocation(self.account, container)
        return DirectoryStore(location, own_thread=self.own_thread, case_blind=self.case_blind)


class MemoryBackend:
    """The store in memory that simulations use: held to the same rules."""

    def __init__(self, root: Path) -> None:
        self.many = 300
        self.secrets: tuple[str, ...] = ()
        self._account = MemoryAccount("job-x")
        self.account: Account = self._account.account

    def open(self) -> Store:
        return self._account.open("job-x")

    def open_missing(self) -> Store:
        return self._account.open("job-missing")

    def open_account(self) -> StoreAccount:
        return self._account


@dataclass
class AzureBackend:
    """Azurite, behind a proxy that has lists come in small pages and blobs keep their type, as with Azure."""

    container: Container
    proxy: FaultProxy
    own_thread: bool = False
    bulk: bool = True
    by_key: bool = False
    host: str = "127.0.0.1"
    many: int = 20
    secrets: tuple[str, ...] = (KEY, "sig=")

    def __post_init__(self) -> None:
        self.proxy.fault(faults.small_pages(3), on="list", times=None)
        self.proxy.azure_rules(self.container.azurite.reading_sas)

    @property
    def account(self) -> AzureAccount:
        return AzureAccount(self._endpoint, KeyAccess(ACCOUNT, KEY))

    def open(self) -> Store:
        return self._open(self.container)

    def open_missing(self) -> Store:
        return self._open(self.container.azurite.container("job-missing"))

    def open_account(self) -> StoreAccount:
        return AzureStoreAccount(self.account)

    @property
    def _endpoint(self) -> str:
        return self.proxy.through(f"http://{self.host}/{ACCOUNT}")

    def _open(self, container: Container) -> Store:
        access = KeyAccess(ACCOUNT, KEY) if self.by_key else SasAccess(container.sas())
        location = StoreLocation(AzureAccount(self._endpoint, access), container.name)
        with pytest.MonkeyPatch.context() as environment:
            # The switch is read when a store is made.
            environment.setenv("BATCH_OUTPUTS_BULK", "1" if self.bulk else "0")
            return AzureStore(location, own_thread=self.own_thread)


DIRECTORIES: dict[str, Callable[[Path], Backend]] = {
    "directory": DirectoryBackend,
    "directory-case-blind": partial(DirectoryBackend, case_blind=True),
    "directory-own-thread": partial(DirectoryBackend, own_thread=True),
}
LOCAL: dict[str, Callable[[Path], Backend]] = {**DIRECTORIES, "memory": MemoryBackend}
SERVICES: dict[str, Callable[[Container, FaultProxy], Backend]] = {
    "azure": AzureBackend,
    "azure-without-bulk": partial(AzureBackend, bulk=False),
    # What a tracking thread uses, with the look-up of a host name.
    "azure-own-thread": partial(AzureBackend, own_thread=True, by_key=True, host="localhost"),
}
