"""The blocking face of file groups is equal to the asynchronous one, and works without an event loop."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from batch_outputs import client
from batch_outputs.client import sync
from batch_outputs.location import DirectoryAccount
from batch_outputs.settings import Target

RENAMED = {"aclose": "close"}


def public(kind: type) -> dict[str, Any]:
    """The public attributes of a class, under the names of the blocking face."""
    return {
        RENAMED.get(name, name): inspect.getattr_static(kind, name) for name in dir(kind) if not name.startswith("_")
    }


def parameters(attribute: Any) -> list[tuple[str, Any, Any]]:
    """Names, kinds and defaults of the parameters of a method; of a property, what it is."""
    if isinstance(attribute, property):
        return [("property", None, None)]
    function = getattr(attribute, "__func__", attribute)
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def test_same_methods() -> None:
    """Both faces have the same public methods, documented, with the same parameters and defaults."""
    blocking, original = public(sync.FileGroup), public(client.FileGroup)
    assert blocking.keys() == original.keys()
    for name in blocking:
        assert parameters(blocking[name]) == parameters(original[name]), name
        assert isinstance(blocking[name], classmethod) == isinstance(original[name], classmethod), name
        assert getattr(sync.FileGroup, name).__doc__
    assert parameters(sync.list_file_groups) == parameters(client.list_file_groups)


def test_every_method(tmp_path: Path) -> None:
    """A group is made, filled, listed, fetched, emptied and deleted, all without an event loop."""
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    target = Target(DirectoryAccount(tmp_path / "account"))
    told: list[client.GroupProgress] = []
    with sync.FileGroup.at(target, "Data") as group:
        assert (group.group, group.container, group.exists()) == ("Data", "fgrp-data", False)
        assert group.place in repr(group)
        assert group.url == (tmp_path / "account/fgrp-data").as_uri()
        assert group.create_container()
        assert group.upload(tmp_path / "*.txt", remote_path="x", on_progress=told.append).moved == (
            "x/a.txt",
            "x/b.txt",
        )
        assert [one.files for one in told] == [1, 2]
        assert [file.name for file in group.list("x")] == ["x/a.txt", "x/b.txt"]
        assert group.download(tmp_path / "copy").moved == ("x/a.txt", "x/b.txt")
        assert group.delete("x/a.txt").files == 1
        assert [found.group for found in sync.list_file_groups(target)] == ["Data"]
        group.delete_container()
    url = (tmp_path / "account").as_uri()
    for made in (
        sync.FileGroup(target, "Data"),
        sync.FileGroup.from_account_url(url, "Data"),
        sync.FileGroup.from_env("Data", {"BATCH_OUTPUTS_ACCOUNT_URL": url}),
    ):
        with made:
            assert not made.exists()
    string = "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=a2V5;EndpointSuffix=core.windows.net"
    assert sync.FileGroup.from_connection_string(string, "Data").url == "https://acct.blob.core.windows.net/fgrp-data"
