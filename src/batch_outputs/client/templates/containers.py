"""The containers that templates name, in a storage account: their URLs with a SAS, and the files in them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Protocol

from batch_outputs.client.templates.auto_storage import TO_READ, Container, ContainerUrls
from batch_outputs.errors import ConfigurationError
from batch_outputs.location import AzureAccount, SasAccess, StoreLocation
from batch_outputs.names import file_group_container_name
from batch_outputs.settings import Target, container_target
from batch_outputs.shared_access import LIFETIME
from batch_outputs.storage import JobOutputStorage
from batch_outputs.stores import open_store


class TemplateContainers(ContainerUrls, Protocol):
    """What the expansion of a template asks of storage."""

    def list_names(self, container: Container, prefix: str) -> AsyncIterator[str]:
        """The names of the files whose name begins with the prefix, in their order."""


class StoredContainers:
    """The containers of an account, and those of URLs.

    Args:
        target: The account of the file groups; see `find_target`.
        sas: Whether URLs get a SAS. Without one nothing is signed, and whoever uses them needs access of their own.
        expiry: How long a SAS is good, or until when (with a time zone); with an identity at most 7 days.
        create_groups: Whether the containers of groups that are written to are made where they are missing: the service
            stores no output file into a container that is not there.
    """

    def __init__(
        self, target: Target, *, sas: bool = True, expiry: timedelta | datetime = LIFETIME, create_groups: bool = False
    ) -> None:
        self.signed: int = 0
        """How many URLs have got a SAS."""
        self._target = target
        self._sas = sas
        self._expiry = expiry
        self._create_groups = create_groups
        self._urls: dict[tuple[Container, str], str] = {}

    async def list_names(self, container: Container, prefix: str) -> AsyncIterator[str]:
        """The names of the files whose name begins with the prefix, in their order.

        Raises:
            ContainerNotFoundError: there is no such container.
            ConfigurationError: the URL is not a container's, or there is access to another container only.
        """
        store = open_store(self._location(container))
        try:
            async with aclosing(store.list(prefix)) as found:  # type: ignore[type-var]  # iterators of stores are generators
                async for properties in found:
                    yield properties.name
        finally:
            await store.aclose()

    async def container_url(self, container: Container, permissions: str) -> str:
        """The container's URL, with a SAS for these permissions; asked for once, then remembered.

        A URL that brings a SAS is returned as it is.

        Raises:
            ConfigurationError: access is by a SAS, which cannot make another; or the URL is not a container's.
            AccessDeniedError: the identity may not sign, or not make the container.
        """
        key = (container, permissions)
        if key not in self._urls:
            self._urls[key] = await self._new_url(container, permissions)
        return self._urls[key]

    async def _new_url(self, container: Container, permissions: str) -> str:
        location = self._location(container)
        if container.url is not None and "?" in container.url and isinstance(location.account, AzureAccount):
            access = location.account.access
            return f"{location.url}?{access.sas}" if isinstance(access, SasAccess) else location.url
        url = location.url
        if self._sas:
            async with JobOutputStorage.at(Target(location.account, location.container)) as storage:
                url = await storage.generate_container_url(self._expiry, permissions)
        if container.group is not None and permissions != TO_READ and self._create_groups:
            from batch_outputs.client.file_groups import FileGroup

            async with FileGroup.at(self._target, container.group) as group:
                await group.create_container()
        self.signed += "?" in url
        return url

    def _location(self, container: Container) -> StoreLocation:
        if container.url is not None:
            target = container_target(container.url, variable="The containerUrl")
            own, other = self._target.account, target.account
            if "?" in container.url or not isinstance(own, AzureAccount) or not isinstance(other, AzureAccount):
                return target.location(None)
            if own.endpoint == other.endpoint and target.container is not None:
                return self._in_account(target.container)  # access of its own is better than the desk's identity
            return target.location(None)
        return self._in_account(file_group_container_name(container.group or ""))

    def _in_account(self, name: str) -> StoreLocation:
        if self._target.container not in {None, name}:
            raise ConfigurationError(
                f"There is access to {self._target.place} only, not to the container {name}; "
                "configure the account instead."
            )
        return StoreLocation(self._target.account, name)
