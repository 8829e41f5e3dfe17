"""Blobs in Azure Blob Storage.

`AzureStore` and `AzureStoreAccount` are fetched when first used, because aiohttp comes with the latter. It comes with
the first request of a store that needs it otherwise, and so does azure-storage-blob.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch_outputs.lazy import fetch

if TYPE_CHECKING:
    from batch_outputs.stores.azure.account import AzureStoreAccount
    from batch_outputs.stores.azure.store import AzureStore

__all__ = ["AzureStore", "AzureStoreAccount"]


_HOMES = {"AzureStore": "store", "AzureStoreAccount": "account"}


def __getattr__(name: str) -> object:
    return fetch(__name__, _HOMES, name)
