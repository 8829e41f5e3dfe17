"""Which files a list of paths, folders and patterns means, and the name that each gets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from batch_outputs.errors import BatchOutputsError, InvalidNameError, SourceError, SourceNotFoundError
from batch_outputs.names import is_text, name_at, name_from_source, output_name
from batch_outputs.patterns import Pattern, has_wildcard

OWN_FOLDER = ".batch-outputs"
"""Where a wrapped program's own output waits; never saved as an output."""

_WINDOWS = os.name == "nt"

Report: TypeAlias = Callable[[SourceError], object]


def pattern_here(text: str, environ: Mapping[str, str] | None = None) -> Pattern:
    """A pattern as this system reads it, with the variables of our environment unless others are given."""
    return Pattern.parse(text, environ=os.environ if environ is None else environ, windows=_WINDOWS)


class Source(NamedTuple):
    """A file to save, and the output name it gets."""

    path: str
    name: str


class Folders(NamedTuple):
    """Where paths are relative to, and the task's directories, below which an absolute path has a name.

    `base` (default: the current directory) is where relative paths and patterns begin. If it was given, every file must
    lie below it, and is named relative to it.
    """

    base: str | None = None
    working_dir: str | None = None
    task_dir: str | None = None
    skip: str | None = None
    """A folder that is never walked into: the one that outputs are stored in."""

    def name(self, path: str) -> str:
        """The output name of a file found at `path`.

        Raises:
            InvalidNameError: the path lies outside all of these.
        """
        if self.base is None:
            return name_from_source(path, working_dir=self.working_dir, task_dir=self.task_dir, windows=_WINDOWS)
        relative = os.path.relpath(os.path.join(self.base, path), self.base)
        if relative.split(os.sep, 1)[0] == os.pardir or os.path.isabs(relative):
            raise InvalidNameError(f"{path} lies outside the base folder {self.base}, so it has no name.", name=path)
        return output_name(Path(relative).as_posix())

    def locate(self, path: str) -> str:
        """The path to open."""
        return os.path.join(self.base, path) if self.base is not None else path


def find_sources(
    specifications: Sequence[str | os.PathLike[str]],
    folders: Folders,
    environ: Mapping[str, str],
    wanted: str | None = None,
) -> tuple[list[Source], list[BatchOutputsError]]:
    """The files meant, in order and each once; and an error for each specification that leads to none, each folder that
    cannot be read, and each file whose name is not text.

    A path that exists is that file, or all files below that folder (dotfiles too); anything else with a wildcard is a
    pattern. `wanted` is the name of a single file, and the folder in which many are named, as `name_at` says.

    Raises:
        InvalidNameError: a specification gives no names, or two files would get the same.
    """

    def name(found: Found) -> str:
        return folders.name(found.path) if wanted is None else name_at(wanted, found.below)

    return find_named(specifications, folders, environ, name)


def find_named(
    specifications: Sequence[str | os.PathLike[str]],
    folders: Folders,
    environ: Mapping[str, str],
    name: Callable[[Found], str],
    *,
    recursive: bool = True,
    way_out: str = "save them in two steps, under names of their own",
) -> tuple[list[Source], list[BatchOutputsError]]:
    """As `find_sources`, with names by a rule of the caller's; of folders, unless `recursive`, only the files in them.

    `way_out` is what to do where two files would get the same name.

    Raises:
        InvalidNameError: a specification gives no names, or two files would get the same.
    """
    sources: dict[str, Source] = {}
    failed: list[BatchOutputsError] = []
    for specification in specifications:
        text = os.fspath(specification)
        problems: list[BatchOutputsError] = []
        here: list[Source] = []
        for found in _files(text, folders, environ, problems.append, recursive=recursive):
            try:
                here.append(Source(folders.locate(found.path), name(found)))
            except InvalidNameError as error:
                if is_text(found.path):
                    raise
                problems.append(error)  # of this one file: the others have names
        failed += problems if here or problems else [nothing_found(text, recursive=recursive)]
        for source in here:
            earlier = sources.setdefault(source.name, source)
            if earlier is not source and os.path.abspath(earlier.path) != os.path.abspath(source.path):
                raise InvalidNameError(
                    f"{earlier.path} and {source.path} would both be saved as {source.name}; {way_out}.",
                    name=source.name,
                )
    return list(sources.values()), failed


def nothing_found(specification: str, *, recursive: bool = True) -> SourceNotFoundError:
    """The error for a path or pattern that leads to no file."""
    if has_wildcard(specification):
        return SourceNotFoundError(f"No file matches {specification}; check the pattern.", path=specification)
    if os.path.isdir(specification):
        way_out = "." if recursive else " by itself; for those in its folders add recursive (--recursive)."
        return SourceNotFoundError(f"The folder {specification} holds no file{way_out}", path=specification)
    return SourceNotFoundError(f"There is no file {specification}; check the path.", path=specification)


class Found(NamedTuple):
    """A file at `path`; `below` is the way to it from the folder before the first wildcard, None for a plain path."""

    path: str
    below: str | None


def _files(
    specification: str, folders: Folders, environ: Mapping[str, str], unreadable: Report, *, recursive: bool
) -> Iterator[Found]:
    located = folders.locate(specification)
    if os.path.isdir(located):
        everything = Pattern("", ("**" if recursive else "*",))
        for segments in _walk(located, everything, folders.skip, unreadable, hidden=True):
            yield Found(os.path.join(specification, *segments), "/".join(segments))
        return
    if os.path.lexists(located):
        yield Found(specification, None)
        return
    pattern = pattern_here(specification, environ)
    if pattern.is_literal:
        if pattern.base != specification:  # a variable was expanded
            yield from _files(pattern.base, folders, {}, unreadable, recursive=recursive)
        return
    top = folders.locate(pattern.base) or os.curdir
    for segments in _walk(top, pattern, folders.skip, unreadable, hidden=False):
        yield Found(os.path.join(pattern.base, *segments), "/".join(segments))


def _walk(
    top: str, pattern: Pattern, skip: str | None, unreadable: Report, *, hidden: bool, below: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """The regular files below `top` that match, sorted by name, as segments. Links to folders are not followed."""
    try:
        with os.scandir(os.path.join(top, *below)) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        folder = os.path.join(top, *below)
        unreadable(SourceError(f"The folder {folder} cannot be read: {error.strerror}.", path=folder))
        return
    for entry in entries:
        path = (*below, entry.name)
        if entry.name == OWN_FOLDER or (skip is not None and os.path.abspath(entry.path) == skip):
            continue
        if entry.is_dir(follow_symlinks=False):
            if (hidden and pattern.segments == ("**",)) or pattern.may_match_below(path):
                yield from _walk(top, pattern, skip, unreadable, hidden=hidden, below=path)
        elif entry.is_file() and (hidden or pattern.matches(path)):
            yield path
