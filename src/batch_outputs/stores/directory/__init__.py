"""A folder as a store: containers are its subfolders, blobs are plain files of the same name.

`store` is the asynchronous face; `container` and `account` do the work, blocking; `tree` finds a name's place on the
disk by the rules of `escaping`; `records` keeps what a file alone cannot say; `system` is the seam between systems.
"""

from __future__ import annotations

from batch_outputs.stores.directory.store import DirectoryStore, DirectoryStoreAccount

__all__ = ["DirectoryStore", "DirectoryStoreAccount"]
