"""The blocks of a large blob: their ids, and the list that makes a blob of them."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable


def new_block_id() -> str:
    """An id that no other block has; all of a blob must have one length, with those of unfinished uploads."""
    return base64.b64encode(os.urandom(16).hex().encode()).decode()


def block_list(ids: Iterable[str]) -> bytes:
    """The body of a request that makes a blob of blocks, in this order."""
    # "Latest" finds them also when an earlier sending of the list was carried out and its answer lost.
    entries = "".join(f"<Latest>{id_}</Latest>" for id_ in ids)
    return f'<?xml version="1.0" encoding="utf-8"?><BlockList>{entries}</BlockList>'.encode()
