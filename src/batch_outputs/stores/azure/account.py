"""`AzureStoreAccount`: the containers of a storage account."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from functools import partial

from batch_outputs.credentials import account_name_of
from batch_outputs.errors import AccessDeniedError, BlobExistsError, ConfigurationError, ContainerNotFoundError
from batch_outputs.location import AzureAccount, KeyAccess, SasAccess, StoreLocation, TokenAccess
from batch_outputs.stores.azure import service, urls
from batch_outputs.stores.azure.access import tickets_for
from batch_outputs.stores.azure.blocking import in_plain_thread
from batch_outputs.stores.azure.calls import Call
from batch_outputs.stores.azure.delegation import delegation_key, delegation_period
from batch_outputs.stores.azure.line import Line
from batch_outputs.stores.azure.listing import PAGE_SIZE
from batch_outputs.stores.azure.network import proxy_for
from batch_outputs.stores.azure.retries import RetryPolicy
from batch_outputs.stores.azure.store import AzureStore
from batch_outputs.stores.azure.wire import nothing, read_page
from batch_outputs.stores.base import ContainerProperties


class AzureStoreAccount:
    """A storage account, as a `StoreAccount`; making it requests nothing.

    Raises:
        ConfigurationError: as `AzureStore`.
    """

    def __init__(self, account: AzureAccount) -> None:
        self._account = account
        self._place = account.endpoint.partition("://")[2]
        self._tickets = tickets_for(account, None)
        proxy = proxy_for(account.endpoint)
        self._line = Line(account, self._tickets, RetryPolicy.from_environ(), proxy, place=self._place)

    @property
    def account(self) -> AzureAccount:
        """Where this account is."""
        return self._account

    async def list_containers(self, prefix: str = "") -> AsyncIterator[ContainerProperties]:
        """All containers whose name begins with `prefix`, page by page as they are asked for.

        Raises:
            AccessDeniedError: a SAS of one container knows no others.
        """
        await self._check_reaches_account()
        marker = ""
        while True:
            query = urls.query(comp="list", include="metadata", prefix=prefix, marker=marker, maxresults=str(PAGE_SIZE))
            page = await self._line.ask(Call("GET", "/", "list", "l", query), read_page)
            for entry in page.entries:
                if isinstance(entry, ContainerProperties):
                    yield entry
            marker = page.next_marker
            if not marker:
                return

    async def create_container(self, name: str, *, metadata: Mapping[str, str] | None = None) -> bool:
        """Create a container; False if it was there already.

        Raises:
            InvalidNameError: no container can have this name.
            AccessDeniedError: a SAS of one container creates none.
        """
        urls.check_container_name(name)
        await self._check_reaches_account()
        call = Call(
            "PUT",
            urls.container_path(name),
            "create",
            "cw",
            "restype=container",
            urls.metadata_headers(metadata),
            b"",
            expect=(201,),
        )
        try:
            await self._line.ask(call, nothing)
        except BlobExistsError:
            return False
        return True

    async def delete_container(self, name: str) -> bool:
        """Delete a container with all that is in it; False if there was none.

        Raises:
            InvalidNameError: no container can have this name.
            AccessDeniedError: a SAS of one container cannot delete it.
        """
        urls.check_container_name(name)
        await self._check_reaches_account()
        call = Call("DELETE", urls.container_path(name), "delete", "d", "restype=container", expect=(202,))
        try:
            await self._line.ask(call, nothing)
        except ContainerNotFoundError:
            return call.unsure  # an earlier sending whose answer was lost has done it
        return True

    async def signed_url(self, name: str, *, permissions: str, expires: datetime) -> str:
        """A container's URL with a SAS: signed with the account's key, or with one that an identity asks for.

        Raises:
            InvalidNameError: no container can have this name.
            ConfigurationError: access is by a SAS, or by an identity, for which the end is too far away.
            AccessDeniedError: the identity may not sign.
        """
        urls.check_container_name(name)
        url, access = self._account.container_url(name), self._account.access
        if isinstance(access, KeyAccess):
            return f"{url}?{await in_plain_thread(partial(self._sign, access, name, permissions, expires))}"
        if not isinstance(access, TokenAccess):
            raise ConfigurationError(
                f"Access to {self._place} is by a SAS, and a SAS cannot make another one; use an account key or an "
                "identity, or pass on the SAS that you have."
            )
        start, end = delegation_period(expires, now=datetime.now(UTC))
        key = await delegation_key(self._line, start, end)
        account_name = account_name_of(self._account.endpoint).removesuffix("-secondary")
        return f"{url}?{service.delegated_sas(key, account_name, name, permissions=permissions, expires=end)}"

    def _sign(self, access: KeyAccess, name: str, permissions: str, expires: datetime) -> str:
        https_only = self._account.endpoint.startswith("https://")
        return service.container_sas(access, name, permissions=permissions, expires=expires, https_only=https_only)

    def open(self, container: str) -> AzureStore:
        """The store of one container, without a request.

        Raises:
            InvalidNameError: no container can have this name.
        """
        urls.check_container_name(container)
        return AzureStore(StoreLocation(self._account, container))

    async def aclose(self) -> None:
        """Give back connections; stores that were opened from here have their own."""
        await self._line.aclose()

    async def _check_reaches_account(self) -> None:
        if SasAccess((await self._tickets.ticket()).sas).is_for_one_container:
            raise AccessDeniedError(
                f"The SAS for {self._place} is for one container and knows no others; "
                "to list, create or delete containers use an account SAS, the account's key, or an identity.",
                place=self._place,
            )
