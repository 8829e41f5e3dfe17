"""`download`: many outputs into a local folder."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from batch_outputs.cli.options import Where, not_empty, run_async, where_options
from batch_outputs.cli.talk import counted, say, size_text, talk_to_terminal
from batch_outputs.errors import TargetError
from batch_outputs.local_names import local_path

if TYPE_CHECKING:
    from batch_outputs.outputs import OutputFileReference


@click.command("download")
@click.argument("patterns", metavar="[PATTERN...]", nargs=-1)
@click.option("--kind", callback=not_empty, help="Only outputs of this kind.")
@click.option(
    "--to", "folder", default=".", show_default=True, metavar="DIR", callback=not_empty, help="Where to write."
)
@where_options(task_help="Only outputs of this task.")
def download_command(patterns: tuple[str, ...], kind: str | None, folder: str, where: Where) -> None:
    """Download outputs of a job, or of one task.

    \b
    batch-outputs download --job render-2026 --to results
    batch-outputs download --job render-2026 --task t1 --kind TaskOutput --to frames '**/*.png'

    Below DIR the blob names are mirrored (t1/$TaskOutput/frames/1.png), or just the names (frames/1.png) when one task
    and one kind are asked for. Each file appears whole or not at all, and never outside DIR.
    """
    run_async(_download(patterns, kind, folder, where))


async def _download(patterns: tuple[str, ...], kind: str | None, folder: str, where: Where) -> None:
    from batch_outputs.errors import BlobNotFoundError
    from batch_outputs.selection import check_task_has_outputs, select
    from batch_outputs.transfer import for_each, refuse_links

    async with where.job_to_read() as job:
        wanted = [output async for output in select(job, task=where.task, kind=kind, patterns=patterns)]
        if not wanted:
            if where.task is not None:
                await check_task_has_outputs(job, where.task)
            raise BlobNotFoundError(
                f"Nothing in {job.place} is what was asked for; batch-outputs list shows what there is.",
                place=job.place,
            )
        paths, problems = _paths(wanted, folder, names_only=where.task is not None and kind is not None)
        size = 0

        with click.progressbar(
            length=len(paths), label="downloading", file=sys.stderr, hidden=not talk_to_terminal()
        ) as bar:

            async def fetch(item: tuple[str, OutputFileReference]) -> None:
                nonlocal size
                path, output = item
                refuse_links(folder, path)
                length = await output.download(path)
                size += length  # after the wait: others have added theirs meanwhile
                bar.update(1)

            results = await for_each(paths.items(), fetch)
        failed = [*problems, *(result for result in results if isinstance(result, Exception))]
        say(f"{counted(len(wanted) - len(failed), 'file')} downloaded to {folder}, {size_text(size)}.")
        if failed:
            raise ExceptionGroup("some could not be downloaded", failed)


def _paths(
    outputs: Sequence[OutputFileReference], folder: str, *, names_only: bool
) -> tuple[dict[str, OutputFileReference], list[TargetError]]:
    """The local path of each output, and an error for each that cannot be beside another."""
    wanted = [
        (os.path.join(folder, local_path(output.name if names_only else output.blob_name)), output)
        for output in outputs
    ]
    folders = {_same_on_disk(parent) for path, _ in wanted for parent in _parents(path)}
    paths: dict[str, OutputFileReference] = {}
    taken: dict[str, str] = {}
    problems: list[TargetError] = []
    for path, output in wanted:
        if _same_on_disk(path) in folders:
            other = "the folder of others"
        else:
            other = taken.setdefault(_same_on_disk(path), output.blob_name)
        if other == output.blob_name:
            paths[path] = output
        else:
            problems.append(
                TargetError(
                    f"{output.blob_name} and {other} would both be {path}; fetch one of them with batch-outputs cat.",
                    path=path,
                )
            )
    return paths, problems


def _parents(path: str) -> Iterable[str]:
    while (parent := os.path.dirname(path)) not in {path, ""}:
        yield parent
        path = parent


def _same_on_disk(path: str) -> str:
    """A text that is the same for paths which lead to one file; disks of Windows and macOS mostly ignore case."""
    if sys.platform in {"win32", "darwin"}:
        return unicodedata.normalize("NFC", os.path.normcase(path)).casefold()
    return path
