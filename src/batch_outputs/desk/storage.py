"""The storage that a job at the desk has: the folder beside it, or what the desk itself is set up for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from batch_outputs.errors import AccessDeniedError, ConfigurationError
from batch_outputs.job_container import JobContainer
from batch_outputs.location import (
    Access,
    Account,
    AzureAccount,
    DirectoryAccount,
    SasAccess,
    SasFileAccess,
    StoreLocation,
    TokenAccess,
)
from batch_outputs.names import GROUP_PREFIX
from batch_outputs.settings import ACCOUNT_URL, CONTAINER_URL, EMBEDDED_FOLDER, Target, container_target, current_folder
from batch_outputs.storage import JobOutputStorage
from batch_outputs.stores import open_account


def folder_beside() -> Target:
    """The folder that commands use where nothing is configured, as a place like any other."""
    return Target(DirectoryAccount(Path(current_folder(), EMBEDDED_FOLDER)))


@dataclass(frozen=True, slots=True)
class DeskStorage:
    """Where the job's container is, and the variables by which a task that is told nothing else finds it."""

    target: Target
    job_container: StoreLocation
    variables: Mapping[str, str] = field(repr=False)

    @classmethod
    async def prepare(cls, target: Target, job_id: str) -> Self:
        """Make the job's container, if it is not there, and what tasks need to get at it.

        Raises:
            StoreError: it cannot be made.
            ConfigurationError: there is no access that tasks could be given.
        """
        container = JobContainer.to(target, job_id)
        if target.container is None or isinstance(target.account, DirectoryAccount):
            try:
                await container.create()
            except AccessDeniedError:
                if isinstance(target.account, DirectoryAccount) or not _is_sas(target.account.access):
                    raise
                # It may be there: a SAS often may not make containers.
        return cls(target, container.location, await _variables(target, container.location, job_id))

    def container(self, name: str) -> StoreLocation:
        """Another container of the same account, such as a file group's.

        Raises:
            ConfigurationError: there is access to the job's container only.
        """
        if self.target.container not in {None, name}:
            raise ConfigurationError(
                f"There is access to {self.target.place} only, not to the container {name}; configure the account."
            )
        return StoreLocation(self.target.account, name)

    def location_of(self, url: str, variable: str) -> StoreLocation:
        """The container of a URL; without a SAS it is reached with the desk's own access, if it is in that account.

        Raises:
            ConfigurationError: the URL is not a container's.
        """
        target = container_target(url, variable=variable)
        own, other = self.target.account, target.account
        if isinstance(other, AzureAccount) and isinstance(other.access, TokenAccess) and self._reaches(other, target):
            return StoreLocation(own, target.container or "")
        return target.location(None)

    def blob_of(self, url: str) -> tuple[StoreLocation, str] | None:
        """The container and name of a blob in the desk's own account, if that is what a URL without a SAS leads to."""
        account = self.target.account
        if not isinstance(account, AzureAccount) or "?" in url or not url.startswith(f"{account.endpoint}/"):
            return None
        container, slash, name = url.removeprefix(f"{account.endpoint}/").partition("/")
        if not slash or not name or self.target.container not in {None, container}:
            return None
        return StoreLocation(account, unquote(container)), unquote(name)

    def _reaches(self, other: AzureAccount, target: Target) -> bool:
        own = self.target.account
        same = isinstance(own, AzureAccount) and own.endpoint == other.endpoint
        return same and self.target.container in {None, target.container}

    async def make_groups(self, urls: Iterable[str | None]) -> None:
        """Make the containers of file groups that upload rules name in this account, where they are missing."""
        account = open_account(self.target.account)
        try:
            for group in self.groups(urls):
                await account.create_container(group)
        finally:
            await account.aclose()

    def groups(self, urls: Iterable[str | None]) -> set[str]:
        """The containers of file groups in this account, of these URLs."""
        wanted = {self.location_of(url, "A container URL") for url in urls if url is not None}
        return {at.container for at in wanted if at.container.startswith(GROUP_PREFIX) and self._is_ours(at.account)}

    def _is_ours(self, other: Account) -> bool:
        own = self.target.account
        if self.target.container is not None:
            return False
        if isinstance(own, DirectoryAccount):
            return isinstance(other, DirectoryAccount) and own.root.absolute() == other.root.absolute()
        return isinstance(other, AzureAccount) and own.endpoint == other.endpoint

    async def has_container(self, name: str) -> bool:
        """Whether there is such a container."""
        account = open_account(self.container(name).account)
        try:
            return any([found.name == name async for found in account.list_containers(name)])
        finally:
            await account.aclose()


def _is_sas(access: Access) -> bool:
    """Whether access is by a SAS, which can be handed on as it is and cannot make another."""
    return isinstance(access, SasAccess | SasFileAccess)


async def _variables(target: Target, location: StoreLocation, job_id: str) -> dict[str, str]:
    account = target.account
    if isinstance(account, DirectoryAccount):
        if target.container is not None:
            return {CONTAINER_URL: location.url}
        return {ACCOUNT_URL: account.root.absolute().as_uri()}
    if isinstance(account.access, SasAccess):
        return {CONTAINER_URL: f"{location.url}?{account.access.sas}"}
    if isinstance(account.access, SasFileAccess):
        variable = ACCOUNT_URL if target.container is None else CONTAINER_URL
        return {f"{variable}_FILE": str(account.access.path.absolute())}
    async with JobOutputStorage.at(target, job_id=job_id) as job:
        return {CONTAINER_URL: await job.generate_container_url()}
