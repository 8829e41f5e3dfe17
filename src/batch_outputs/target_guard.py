"""What a download must not write through, or into: links, and the store itself."""

from __future__ import annotations

import os
from pathlib import Path

from batch_outputs.errors import TargetError
from batch_outputs.files import is_link


def refuse_links(folder: str, path: str) -> None:
    """A symbolic link below the folder, whoever put it there, must not lead a download out of it.

    Raises:
        TargetError: there is one on the way to `path`.
    """
    inside = os.path.join(folder, "")
    way = os.path.dirname(path)
    if folder and path.startswith(inside):
        below = way[len(inside) :]
    else:
        below = os.path.relpath(way or os.curdir, folder or os.curdir)
    place = folder
    for component in below.split(os.sep):
        place = os.path.join(place, component)
        if component not in {"", os.curdir} and _is_link(place):
            raise TargetError(f"{place} is a symbolic link; remove it, or download to another folder.", path=path)


def refuse_store(folder: str, store: str | None) -> None:
    """A download must not write into the folder that outputs are stored in, over their content and records.

    Raises:
        TargetError: `folder` is the folder `store`, or lies in it.
    """
    if store is not None and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(store)):
        raise TargetError(
            f"{folder} is in {store}, where the outputs are stored; download to a folder elsewhere.", path=folder
        )


def _is_link(path: str) -> bool:
    try:
        return is_link(os.lstat(path))
    except (OSError, ValueError):  # as `os.path.islink`
        return False
