"""The containers of a folder, blocking."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from batch_outputs.errors import InvalidNameError
from batch_outputs.stores.base import ContainerProperties
from batch_outputs.stores.directory.escaping import PRIVATE, escape
from batch_outputs.stores.directory.failures import store_error
from batch_outputs.stores.directory.system import Kind, kind_at, kind_of_entry, lstat
from batch_outputs.stores.directory.tree import InTheWayError

_FACTS = os.path.join(PRIVATE, "container.json")


def container_folder(root: str, name: str) -> str:
    """The folder of a container.

    Raises:
        InvalidNameError: the name is not that of one plain folder, alike on all systems.
    """
    if not _is_container_name(name):
        raise InvalidNameError(
            f"{name!r} cannot be the name of a container; use small letters, digits and hyphens.", name=name
        )
    return os.path.join(root, name)


def list_containers(root: str, prefix: str) -> Generator[ContainerProperties]:
    """See `StoreAccount.list_containers`. Folders made by hand count; links and folders with a leading dot do not."""
    with _telling("listed", root):
        for name in _folders(root, prefix):
            status = lstat(os.path.join(root, name))
            if status is not None:
                modified = datetime.fromtimestamp(status.st_mtime, UTC)
                yield ContainerProperties(name, modified, _metadata(os.path.join(root, name)))


def create_container(root: str, name: str, metadata: Mapping[str, str]) -> bool:
    """See `StoreAccount.create_container`. The root is made too; the container appears with its metadata, or not."""
    folder = container_folder(root, name)
    with _telling("created", folder):
        if os.path.lexists(root) and not os.path.isdir(root):
            raise InTheWayError(root)
        os.makedirs(root, exist_ok=True)
        if _exists(folder):
            return False
        draft = os.path.join(root, f"{PRIVATE}-{secrets.token_hex(8)}")
        try:
            os.makedirs(os.path.join(draft, PRIVATE))
            with open(os.path.join(draft, _FACTS), "x", encoding="utf-8") as file:
                json.dump({"metadata": dict(metadata)}, file, indent=1)
            return _put_in_place(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def delete_container(root: str, name: str) -> bool:
    """See `StoreAccount.delete_container`. It is gone at once, and what was in it afterwards."""
    folder = container_folder(root, name)
    with _telling("deleted", folder):
        if not _exists(folder):
            return False
        waste = os.path.join(root, f"{PRIVATE}-{secrets.token_hex(8)}")
        try:
            os.rename(folder, waste)
        except FileNotFoundError:
            return False  # somebody else was faster
        shutil.rmtree(waste)
        return True


def _put_in_place(draft: str, folder: str) -> bool:
    try:
        os.rename(draft, folder)
    except OSError:
        if _exists(folder):  # somebody else was faster
            return False
        raise
    return True


def _exists(folder: str) -> bool:
    kind = kind_at(folder)
    if kind in (Kind.FOLDER, None):
        return kind is Kind.FOLDER
    raise InTheWayError(folder)


def _folders(root: str, prefix: str) -> list[str]:
    try:
        with os.scandir(root) as entries:
            return sorted(
                entry.name
                for entry in entries
                if entry.name.startswith(prefix)
                and _is_container_name(entry.name)
                and kind_of_entry(entry) is Kind.FOLDER
            )
    except FileNotFoundError:
        return []  # nothing has been stored yet


def _metadata(folder: str) -> dict[str, str]:
    """What was said at the creation; nothing for a folder made by hand."""
    if (
        kind_at(os.path.join(folder, PRIVATE)) is not Kind.FOLDER
        or kind_at(os.path.join(folder, _FACTS)) is not Kind.FILE
    ):
        return {}
    try:
        with open(os.path.join(folder, _FACTS), encoding="utf-8") as file:
            return {str(key): str(value) for key, value in json.load(file)["metadata"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # spoilt by hand


def _is_container_name(name: str) -> bool:
    if not name or "/" in name or name.startswith(".") or any("\ud800" <= character <= "\udfff" for character in name):
        return False
    return escape(name) == (name,)


@contextmanager
def _telling(what: str, place: str) -> Iterator[None]:
    try:
        yield
    except (OSError, InTheWayError) as error:
        raise store_error(error, what, place=place) from error
