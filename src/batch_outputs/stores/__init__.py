"""Stores: where bytes live. What a location asks for is known here alone; all others know the protocol."""

from __future__ import annotations

from batch_outputs.location import Account, AzureAccount, StoreLocation
from batch_outputs.stores.base import Store, StoreAccount


def open_store(location: StoreLocation, *, own_thread: bool = False) -> Store:
    """The store at `location`, without a request.

    `own_thread` is for callers that run on an event loop in a thread of their own, perhaps past the end of the main
    thread: what would otherwise be handed to an executor (which refuses work at interpreter exit) is done inline.
    """
    if isinstance(location.account, AzureAccount):
        from batch_outputs.stores.azure import AzureStore

        return AzureStore(location, own_thread=own_thread)
    from batch_outputs.stores.directory import DirectoryStore

    return DirectoryStore(location, own_thread=own_thread)


def open_account(account: Account) -> StoreAccount:
    """The account, without a request."""
    if isinstance(account, AzureAccount):
        from batch_outputs.stores.azure import AzureStoreAccount

        return AzureStoreAccount(account)
    from batch_outputs.stores.directory import DirectoryStoreAccount

    return DirectoryStoreAccount(account)


def local_file(location: StoreLocation, name: str) -> str | None:
    """The path of the local file that a blob is; None where blobs are none, or there is none of this name."""
    if isinstance(location.account, AzureAccount):
        return None
    from batch_outputs.stores.directory.tree import Tree

    return Tree(location.account.place(location.container)).find(name)
