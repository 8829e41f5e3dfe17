"""Blobs in Azure Blob Storage.

`AzureStore` and `AzureStoreAccount` are fetched when first used, because aiohttp comes with them; obstore and
azure-storage-blob come later still, with the first request that needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch_outputs.stores.azure.account import AzureStoreAccount
    from batch_outputs.stores.azure.store import AzureStore

__all__ = ["AzureStore", "AzureStoreAccount"]


def __getattr__(name: str) -> object:
    if name == "AzureStore":
        from batch_outputs.stores.azure.store import AzureStore

        return AzureStore
    if name == "AzureStoreAccount":
        from batch_outputs.stores.azure.account import AzureStoreAccount

        return AzureStoreAccount
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
