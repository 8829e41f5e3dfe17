"""File groups for code without an event loop: the same names, methods, parameters and defaults, blocking."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Self

from batch_outputs.background import LISTED_AT_ONCE, iterate, like, run
from batch_outputs.client import file_groups
from batch_outputs.client.file_groups import GroupFile, StoredGroup
from batch_outputs.client.group_work import GroupDeletion, GroupTransfer, OnProgress
from batch_outputs.settings import Target, account_target, connection_string_target, find_target

_Original = file_groups.FileGroup


class FileGroup:
    __doc__ = (_Original.__doc__ or "").replace("async with", "with")

    def __init__(self, target: Target, group: str) -> None:
        self._original = _Original(target, group)

    @classmethod
    @like(_Original.at)
    def at(cls, target: Target, group: str) -> Self:
        return cls(target, group)

    @classmethod
    @like(_Original.from_env)
    def from_env(
        cls, group: str, environ: Mapping[str, str] | None = None, *, credential: object | None = None
    ) -> Self:
        return cls(find_target(environ, credential=credential), group)

    @classmethod
    @like(_Original.from_account_url)
    def from_account_url(cls, url: str, group: str, *, credential: object | None = None) -> Self:
        return cls(account_target(url, credential=credential), group)

    @classmethod
    @like(_Original.from_connection_string)
    def from_connection_string(cls, conn_str: str, group: str) -> Self:
        return cls(connection_string_target(conn_str), group)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._original)

    @like(_Original.aclose)
    def close(self) -> None:
        run(self._original.aclose())

    @property
    @like(_Original.group)
    def group(self) -> str:
        return self._original.group

    @property
    @like(_Original.container)
    def container(self) -> str:
        return self._original.container

    @property
    @like(_Original.place)
    def place(self) -> str:
        return self._original.place

    @property
    @like(_Original.url)
    def url(self) -> str:
        return self._original.url

    @like(_Original.exists)
    def exists(self) -> bool:
        return run(self._original.exists())

    @like(_Original.create_container)
    def create_container(self) -> bool:
        return run(self._original.create_container())

    @like(_Original.upload)
    def upload(
        self,
        *sources: str | os.PathLike[str],
        recursive: bool = False,
        flatten: bool = False,
        remote_path: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> GroupTransfer:
        return run(
            self._original.upload(
                *sources, recursive=recursive, flatten=flatten, remote_path=remote_path, on_progress=on_progress
            )
        )

    @like(_Original.download)
    def download(
        self, folder: str | os.PathLike[str], *patterns: str, on_progress: OnProgress | None = None
    ) -> GroupTransfer:
        return run(self._original.download(folder, *patterns, on_progress=on_progress))

    @like(_Original.list)
    def list(self, *patterns: str) -> Iterator[GroupFile]:
        return iterate(self._original.list(*patterns), LISTED_AT_ONCE)

    @like(_Original.delete)
    def delete(
        self, *patterns: str, until: datetime | None = None, on_progress: OnProgress | None = None
    ) -> GroupDeletion:
        return run(self._original.delete(*patterns, until=until, on_progress=on_progress))

    @like(_Original.delete_container)
    def delete_container(self) -> None:
        run(self._original.delete_container())


@like(file_groups.list_file_groups)
def list_file_groups(target: Target | None = None, *, prefix: str = "") -> Iterator[StoredGroup]:
    return iterate(file_groups.list_file_groups(target, prefix=prefix), LISTED_AT_ONCE)
