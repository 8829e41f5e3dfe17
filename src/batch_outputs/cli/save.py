"""`save`: files, folders and patterns, or standard input, into storage."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from typing import IO, TYPE_CHECKING

import click

from batch_outputs.cli.help_page import argument, command, option
from batch_outputs.cli.options import Where, not_empty, run_async, run_blocking, where_options
from batch_outputs.cli.talk import say, say_where, show, talk_to_terminal
from batch_outputs.errors import SourceError, TargetError
from batch_outputs.kinds import OutputKind, kind_named
from batch_outputs.wording import counted, printable, size_text

if TYPE_CHECKING:
    from batch_outputs.saving_all import SaveProgress, SavingAll
    from batch_outputs.storage import JobOutputStorage, TaskOutputStorage

_PIECE = 1024 * 1024


@command("save")
@argument("paths", metavar="PATH...", nargs=-1, required=True, help="Files, folders and patterns; - is standard input.")
@option(
    "--kind",
    default="TaskOutput",
    show_default=True,
    metavar="KIND",
    help="TaskOutput, TaskPreview, TaskLog, TaskIntermediate, or your own; JobOutput and JobPreview are of the job.",
)
@option(
    "--as", "name", metavar="NAME", callback=not_empty, show_default="its path", help="The name to save one file under."
)
@option("--replace-log", is_flag=True, help="Replace a log that has been saved under this name as it grew.")
@where_options()
def save_command(paths: tuple[str, ...], kind: str, name: str | None, replace_log: bool, where: Where) -> None:
    """Save files, folders and patterns.

    \b
    batch-outputs save frame_full_res.jpg
    batch-outputs save --kind TaskPreview 'thumbs/**/*.png'
    batch-outputs save --kind JobOutput --as summary.json merged/summary.json
    generate | batch-outputs save --as report.txt -

    Patterns follow the rules of Batch's upload rules: *, **, ?, [abc], [!abc]. Each file keeps its path as its name,
    and the names of what is saved are printed. A file that is written to meanwhile is read again, and refused if that
    does not end.
    """
    if "-" in paths and (len(paths) > 1 or name is None):
        raise click.UsageError("Standard input (-) is saved alone and needs a name: --as NAME.")
    if (name is not None or replace_log) and len(paths) > 1:
        raise click.UsageError("--as and --replace-log are for one file.")
    parsed = kind_named(kind)
    storage = where.storage_for(parsed)
    with ExitStack() as stack:
        if paths == ("-",):
            # Read before the event loop begins: it would keep Ctrl-C from ending the wait for input.
            import tempfile

            spool = stack.enter_context(tempfile.NamedTemporaryFile())
            _spool_stdin(spool)
            paths = (spool.name,)
        say_where(storage.place, embedded=where.target().embedded)
        if replace_log:
            run_async(_save_one(storage, parsed, paths[0], name, replace_log=True))
        elif name is not None:
            _save_one_quickly(storage, parsed, paths[0], name)
        else:
            _save_all(storage, parsed, paths)


# Saving needs no event loop, whose import takes as long as all the rest, unless something is in the way.


def _save_one_quickly(storage: TaskOutputStorage | JobOutputStorage, kind: OutputKind, path: str, name: str) -> None:
    from batch_outputs.output_storage import close_at_once, save_at_once

    saved = run_blocking(lambda: save_at_once(storage, kind, path, name))
    if saved is None:
        run_async(_save_one(storage, kind, path, name, replace_log=False))
        return
    close_at_once(storage)
    _tell([saved.blob_name], saved.size or 0)


async def _save_one(
    storage: TaskOutputStorage | JobOutputStorage, kind: OutputKind, path: str, name: str | None, *, replace_log: bool
) -> None:
    async with storage:
        saved = await storage.save(kind, path, name, replace_log=replace_log)
        _tell([saved.blob_name], saved.size or 0)


def _save_all(storage: TaskOutputStorage | JobOutputStorage, kind: OutputKind, paths: Sequence[str]) -> None:
    from batch_outputs.output_storage import close_at_once, save_all_at_once

    names: list[str] = []
    size = 0
    bar = click.progressbar(length=1, label="saving", file=sys.stderr) if talk_to_terminal() else None

    def note(progress: SaveProgress) -> None:
        nonlocal size
        if bar is not None:
            bar.length = progress.total_files
            bar.update(1)
        names.append(progress.output.blob_name)
        size = progress.size

    try:
        with bar or nullcontext():
            saving = run_blocking(lambda: save_all_at_once(storage, kind, paths, note))
            if saving.is_done:
                close_at_once(storage)
            else:
                run_async(_save_rest(storage, saving))
            saving.saved()
    finally:
        if names:
            _tell(sorted(names), size)


async def _save_rest(storage: TaskOutputStorage | JobOutputStorage, saving: SavingAll) -> None:
    async with storage:
        await saving.rest()


def _tell(names: Sequence[str], size: int) -> None:
    show("\n".join(map(printable, names)))
    say(f"{counted(len(names), 'file')} saved, {size_text(size)}.")


def _spool_stdin(spool: IO[bytes]) -> None:
    """Standard input goes through a file, so that its length is known and any amount fits."""
    import tempfile

    if sys.stdin is None:
        raise SourceError("Standard input is closed; lead a file or a pipe to it.", path="-")
    try:
        while chunk := sys.stdin.buffer.read(_PIECE):
            spool.write(chunk)
        spool.flush()
    except OSError as error:
        raise TargetError(
            f"Standard input cannot be kept in {tempfile.gettempdir()}: {error.strerror}; make room there, or name "
            "another folder in TMPDIR.",
            path=spool.name,
        ) from error
