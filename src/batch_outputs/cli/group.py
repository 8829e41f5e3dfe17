"""`group`: file groups, which tasks read, uploaded, downloaded, listed and deleted."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import click

from batch_outputs.cli.codes import FAILURE
from batch_outputs.cli.help_page import Group, argument, option
from batch_outputs.cli.options import Where, not_empty, run_async, where_options
from batch_outputs.cli.table import Column, Table, changed_column, when_text, width_of
from batch_outputs.cli.talk import say, say_where, show, somebody_to_ask, talk_to_terminal
from batch_outputs.wording import counted, printable, size_text

if TYPE_CHECKING:
    from batch_outputs.client import FileGroup, GroupFile, GroupProgress, StoredGroup

_NAMED = 10
_WIDEST_NAME = 40
_where = where_options(job=False, task=False, container=False)


def _none_empty(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        not_empty(context, parameter, value)
    return values


_group_argument = argument("group", metavar="GROUP", help="The name of the group, without fgrp-.")
_patterns_argument = argument(
    "patterns",
    metavar="[PATTERN...]",
    nargs=-1,
    callback=_none_empty,
    help="Only files of the group with these names, or whose names match.",
)


@click.group("group", cls=Group)
def group_command() -> None:
    """Keep files that tasks read, in file groups.

    \b
    batch-outputs group upload frames --recursive data/
    batch-outputs group list frames
    batch-outputs group download frames --to copy
    batch-outputs group delete frames --yes

    A group is a container of its own, fgrp-GROUP, in the storage account that is configured: the one that job templates
    mean by fileGroup. Needs an account key, an account SAS or an identity.
    """


@group_command.command("upload")
@_group_argument
@argument(
    "sources",
    metavar="PATTERN...",
    nargs=-1,
    required=True,
    callback=_none_empty,
    help="Files, folders and patterns on this machine.",
)
@option("-r", "--recursive", is_flag=True, help="Of folders everything below them, not only the files in them.")
@option("--flatten", is_flag=True, help="Name the files without their folders.")
@option(
    "--remote-path",
    metavar="FOLDER",
    callback=not_empty,
    show_default="the group itself",
    help="The folder in the group to upload the files into.",
)
@_where
def upload_command(
    group: str, sources: tuple[str, ...], recursive: bool, flatten: bool, remote_path: str | None, where: Where
) -> None:
    """Upload files, folders and patterns into a group.

    \b
    batch-outputs group upload frames 'data/**/*.png'
    batch-outputs group upload frames --recursive data/
    batch-outputs group upload frames --flatten --remote-path shots data/a/*.png

    The group is made if it is missing. A file that is there with the same length and time of modification is left
    alone; the names of the others are printed. Names are relative to the folder given, or to the folder before a
    pattern's first wildcard. Two files with one name are refused, and then nothing is uploaded.
    """
    run_async(_upload(group, sources, where, recursive=recursive, flatten=flatten, remote_path=remote_path))


async def _upload(
    name: str, sources: tuple[str, ...], where: Where, *, recursive: bool, flatten: bool, remote_path: str | None
) -> None:
    from batch_outputs.client import FileGroup

    async with FileGroup.at(where.target(), name) as group:
        say_where(group.place, embedded=where.target().embedded)
        with _Counting("uploaded", "uploading") as counting:
            await group.upload(
                *sources, recursive=recursive, flatten=flatten, remote_path=remote_path, on_progress=counting.note
            )


@group_command.command("download")
@_group_argument
@_patterns_argument
@option(
    "--to",
    "folder",
    default=".",
    show_default=True,
    metavar="DIR",
    callback=not_empty,
    help="The folder to write to; it is made if it is missing.",
)
@_where
def download_command(group: str, patterns: tuple[str, ...], folder: str, where: Where) -> None:
    """Download a group, or the files of it that match.

    \b
    batch-outputs group download frames --to copy
    batch-outputs group download frames --to copy 'shots/**' data.csv

    Each file appears whole or not at all, and never outside DIR. What is there unchanged is left alone, and of a large
    file that was cut short only the rest is read. The names of the others are printed.
    """
    run_async(_download(group, patterns, folder, where))


async def _download(name: str, patterns: tuple[str, ...], folder: str, where: Where) -> None:
    from batch_outputs.client import FileGroup

    async with FileGroup.at(where.target_to_read(), name) as group:
        with _Counting(f"downloaded to {folder}", "downloading") as counting:
            await group.download(folder, *patterns, on_progress=counting.note)


@group_command.command("list")
@argument("group", metavar="[GROUP]", required=False, callback=not_empty, help="The name of a group, without fgrp-.")
@option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@_where
def list_command(group: str | None, as_json: bool, where: Where) -> None:
    """List the files of a group, or the groups there are.

    \b
    batch-outputs group list
    batch-outputs group list frames
    batch-outputs group list frames --json

    An object of --json has group, container and last_modified or, of a file, name, size (bytes), last_modified,
    content_type and source_modified: when the file that was uploaded had last been changed.
    """
    run_async(_list_groups(where, as_json=as_json) if group is None else _list_files(group, where, as_json=as_json))


async def _list_groups(where: Where, *, as_json: bool) -> None:
    from batch_outputs.client import list_file_groups

    target = where.target_to_read()
    groups = list_file_groups(target)
    if as_json:
        async for group in groups:
            show(json.dumps(_group_record(group)))
        return
    found = [group async for group in groups]
    table = Table(
        changed_column(),
        Column("GROUP", width_of("GROUP", (group.group for group in found), at_most=_WIDEST_NAME)),
        Column("CONTAINER"),
    )
    now = datetime.now(UTC)
    for group in found:
        table.row(when_text(group.last_modified, now), group.group, group.container)
    say(f"{counted(len(found), 'file group')} in {target.place}.")


async def _list_files(name: str, where: Where, *, as_json: bool) -> None:
    from batch_outputs.client import FileGroup

    table = Table(Column("SIZE", 9, right=True), changed_column(), Column("NAME"))
    files = size = 0
    async with FileGroup.at(where.target_to_read(), name) as group:
        async for file in group.list():
            files += 1
            size += file.size
            if as_json:
                show(json.dumps(_file_record(file)))
            else:
                table.row(size_text(file.size), when_text(file.last_modified, datetime.now(UTC)), file.name)
        if not as_json:
            say(f"{counted(files, 'file')}, {size_text(size)}, in {group.place}.")


@group_command.command("delete")
@_group_argument
@_patterns_argument
@option("-n", "--dry-run", is_flag=True, help="Only show what would be deleted.")
@option("-y", "--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
@_where
def delete_command(group: str, patterns: tuple[str, ...], dry_run: bool, yes: bool, where: Where) -> int:
    """Delete files of a group, or the whole group.

    \b
    batch-outputs group delete frames --dry-run 'shots/**'
    batch-outputs group delete frames --yes 'shots/**'
    batch-outputs group delete frames --yes

    Without a pattern the group's container goes with all that is in it. At a terminal you are asked first, with names,
    count and bytes.
    """
    if not (yes or dry_run or somebody_to_ask()):
        raise click.UsageError(
            "There is no terminal to ask at; add --yes to delete, or --dry-run to see what would be."
        )
    until = None
    if dry_run or not yes:
        # What is asked is asked outside of any event loop, so that Ctrl-C ends it at once.
        seen = run_async(_look(group, patterns, where, showing=dry_run))
        if dry_run:
            say(f"{seen.what} would be deleted.")
            return 0
        if patterns and not seen.files:
            return _nothing(group)
        if not seen.is_agreed_to():
            say("nothing was deleted.")
            return FAILURE
        until = seen.newest
    return run_async(_delete(group, patterns, where, until))


class _Seen:
    """What would be deleted."""

    def __init__(self, group: FileGroup, *, whole: bool) -> None:
        self.files = 0
        self.newest: datetime | None = None
        self._size = 0
        self._names: list[str] = []
        self._group = group.group
        self._place = group.place
        self._whole = whole

    def add(self, file: GroupFile) -> None:
        self.files += 1
        self._size += file.size
        if len(self._names) < _NAMED:
            self._names.append(file.name)
        self.newest = max(filter(None, [self.newest, file.last_modified]))

    @property
    def what(self) -> str:
        """All of it, for a sentence."""
        amount = f"{counted(self.files, 'file')}, {size_text(self._size)},"
        if self._whole:
            return f"the file group {self._group} ({self._place}) with {amount}"
        return f"{amount} of the file group {self._group} ({self._place})"

    def is_agreed_to(self) -> bool:
        """Show it, and ask."""
        for name in self._names:
            say(f"  {name}")
        if self.files > len(self._names):
            say(f"  and {counted(self.files - len(self._names), 'more file')}")
        return click.confirm(printable(f"Delete {self.what.removesuffix(',')}?"), err=True)


async def _look(name: str, patterns: tuple[str, ...], where: Where, *, showing: bool) -> _Seen:
    from batch_outputs.client import FileGroup

    async with FileGroup.at(where.target_to_read(), name) as group:
        seen = _Seen(group, whole=not patterns)
        async for file in group.list(*patterns):
            seen.add(file)
            if showing:
                show(printable(file.name))
        return seen


async def _delete(name: str, patterns: tuple[str, ...], where: Where, until: datetime | None) -> int:
    from batch_outputs.client import FileGroup

    async with FileGroup.at(where.target_to_read(), name) as group:
        if not patterns:
            await group.delete_container()
            say(f"the file group {name} ({group.place}) was deleted with all that was in it.")
            return 0
        with _Counting(f"deleted from {group.place}", "deleting", showing=False) as counting:
            gone = await group.delete(*patterns, until=until, on_progress=counting.note)
    return 0 if gone.files else _nothing(name)


def _nothing(group: str) -> int:
    say(f"nothing in the file group {group} is what was asked for, so nothing was deleted.")
    return 0


class _Counting:
    """Shows a bar while files are moved, and in the end, also when it is broken off, which and how many were."""

    def __init__(self, verb: str, label: str, *, showing: bool = True) -> None:
        self._verb = verb
        self._label = label
        self._showing = showing
        self._names: list[str] = []
        self._unchanged = 0
        self._size = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        bar = click.progressbar(length=1, label=self._label, file=sys.stderr, hidden=not talk_to_terminal())
        bar.length = None  # it is known when all is listed
        self._bar = self._stack.enter_context(bar)
        return self

    def note(self, progress: GroupProgress) -> None:
        """One more file."""
        if progress.unchanged:
            self._unchanged += 1
        else:
            self._names.append(progress.name)
        self._size = progress.size
        self._bar.length = progress.total_files
        self._bar.update(1)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stack.close()
        if self._showing:
            for name in sorted(self._names):
                show(printable(name))
        if self._unchanged and not self._names and kind is None:
            say(f"nothing is new: {counted(self._unchanged, 'file')} {_were(self._unchanged)} there unchanged.")
        elif self._names or (kind is None and self._showing):
            more = f" ({self._unchanged:,} more {_were(self._unchanged)} there unchanged)" if self._unchanged else ""
            say(f"{counted(len(self._names), 'file')} {self._verb}, {size_text(self._size)}{more}.")
        if kind is not None and not issubclass(kind, Exception):
            say("Run the same command again to go on from here.")


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _group_record(group: StoredGroup) -> dict[str, object]:
    return {"group": group.group, "container": group.container, "last_modified": _iso(group.last_modified)}


def _file_record(file: GroupFile) -> dict[str, object]:
    return {
        "name": file.name,
        "size": file.size,
        "last_modified": _iso(file.last_modified),
        "content_type": file.content_type,
        "source_modified": _iso(file.source_modified),
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
