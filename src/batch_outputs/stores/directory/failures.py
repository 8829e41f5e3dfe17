"""What a system says about files, as sentences."""

from __future__ import annotations

import errno

from batch_outputs.errors import AccessDeniedError, StoreError
from batch_outputs.stores.directory.tree import InTheWayError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def store_error(error: OSError | InTheWayError, what: str, *, place: str, blob: str | None = None) -> StoreError:
    """The error to raise from `error`; `what` says what could not be done: `stored`, `read`, `listed`."""
    failed = f"{place if blob is None else f'{blob!r} in {place}'} could not be {what}"
    if isinstance(error, InTheWayError):
        return StoreError(
            f"{failed}: {error.path} is in the way (a link, or something else that is no blob). Move it elsewhere.",
            place=place,
            blob=blob,
        )
    reason = error.strerror or type(error).__name__
    if error.errno in _FULL:
        return StoreError(f"{failed}: the disk is full. Free some space and try again.", place=place, blob=blob)
    if error.errno in _DENIED:
        where = error.filename or place
        return AccessDeniedError(
            f"{failed}: {reason} ({where}). Check who may read and write there.", place=place, blob=blob
        )
    if error.errno == errno.ENAMETOOLONG:
        return StoreError(
            f"{failed}: the path is too long for this system. Use a shorter name.", place=place, blob=blob
        )
    return StoreError(f"{failed}: {reason}. Check the disk and try again.", place=place, blob=blob)
