"""Names of the Batch File Conventions: containers of jobs and file groups, blobs of outputs, names from source paths.

The rules are those that the Azure portal, Batch Explorer and Microsoft's .NET library follow, to the byte. Everything
here is pure: text in, text out, nothing looked up.
"""

from __future__ import annotations

import hashlib
import ntpath
import posixpath
import re
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from batch_outputs.errors import InvalidNameError
from batch_outputs.kinds import can_be_folder

MAX_BLOB_NAME = 1024
"""Longest blob name in characters (a limit of Azure Blob Storage)."""

GROUP_PREFIX = "fgrp-"
"""What the name of every file group's container begins with."""

_LONGEST_GROUP = 63 - len(GROUP_PREFIX)
_PLAIN_ID = re.compile(r"[a-z0-9][a-z0-9-]*")
_KEPT = re.compile(r"\.attempt-[^./]+")
_JOB_ID = re.compile(r"[A-Za-z0-9_:-]+")


def job_container_name(job_id: str) -> str:
    """The name of the container that holds a job's outputs.

    `job-<id>` where the lower-cased id can stand in a container name, else `job-<beginning of id>-<SHA-1 of id>` (Batch
    File Conventions). Ids that differ only in case share a container, as they do in Batch.

    Raises:
        InvalidNameError: the id is empty or has characters other than letters, digits, `-`, `_` and the `:` of a job
            that a schedule made.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise InvalidNameError(
            f"{job_id!r} is not a job id; an id consists of letters, digits, '-', '_' and, in a schedule's jobs, ':'.",
            name=job_id,
        )
    job = job_id.lower()
    if len(job) <= 59 and _PLAIN_ID.fullmatch(job) and "--" not in job and not job.endswith("-"):
        return f"job-{job}"
    text = re.sub(r"[:_-]+", "-", job).strip("-")[:15].strip("-") or "job"
    # SHA-1 is the rule of the conventions; nothing depends on its strength.
    return f"job-{text}-{hashlib.sha1(job.encode(), usedforsecurity=False).hexdigest()}"


def file_group_container_name(group: str) -> str:
    """The name of the container that holds a file group, `fgrp-…` (the rule of the Azure CLI's Batch extension).

    `data` → `fgrp-data`. A name that the rule has to change, or of more than 58 characters, is followed by the SHA-1 of
    the lower-cased group. Groups that differ only in case share a container.

    Raises:
        InvalidNameError: the group holds other characters than letters, digits, `-` and `_`, begins with `-` or `_`, is
            empty, or would get a container that cannot be.
    """
    lowered = group.lower()
    text = re.sub(r"[_-]+", "-", lowered).rstrip("-")
    if not _PLAIN_ID.fullmatch(text):
        raise InvalidNameError(
            f"{group!r} cannot be a file group; a name begins with a letter or digit, and has letters, digits, '-' and "
            "'_' behind it.",
            name=group,
        )
    if text != lowered or len(text) > _LONGEST_GROUP:
        digest = hashlib.sha1(lowered.encode(), usedforsecurity=False).hexdigest()  # the rule, as for jobs
        if len(f"{text}-{digest}") > _LONGEST_GROUP:
            text = text[:15]  # the rule takes no hyphen away here, and containers have no two side by side
        text = f"{text}-{digest}"
    if "--" in text:
        raise InvalidNameError(
            f"The file group {group!r} would be in the container {GROUP_PREFIX}{text}, and no container can be called "
            "that; choose a name of at most 58 letters, digits and single hyphens.",
            name=group,
        )
    return f"{GROUP_PREFIX}{text}"


class OutputName(NamedTuple):
    """What a blob name says: whose output it is (`task_id` is None for the job's own), its kind and its name."""

    task_id: str | None
    kind: str
    name: str

    @property
    def blob_name(self) -> str:
        """The blob name, `[<task id>/]$<kind>/<name>`."""
        return f"{output_prefix(self.task_id, self.kind)}/{self.name}"


def output_prefix(task_id: str | None, kind: str) -> str:
    """The folder of a kind in its container, without a `/` at the end: `t1/$TaskLog`, or `$JobOutput` for the job."""
    return f"${kind}" if task_id is None else f"{task_id}/${kind}"


def parse_blob_name(blob_name: str) -> OutputName | None:
    """Read a blob name of the conventions; None for a blob that follows another rule."""
    owner, slash, rest = blob_name.partition("/")
    if owner.startswith("$"):
        task_id, kind, name = None, owner, rest
    else:
        kind, slash, name = rest.partition("/")
        task_id = owner
    if not slash or not name or not kind.startswith("$") or not can_be_folder(kind[1:]):
        return None
    if task_id is not None and not is_task_id(task_id):
        return None
    return OutputName(task_id, kind[1:], name)


def check_task_id(task_id: str) -> str:
    """Return the task id if it can lead a blob name.

    Raises:
        InvalidNameError: it is empty, holds a slash, a backslash, a control character or what is not Unicode, begins
            with `$`, or is `.` or `..`.
    """
    if not task_id:
        raise InvalidNameError("The task id is empty; name the task.", name=task_id)
    if not is_task_id(task_id):
        raise InvalidNameError(
            f"{task_id!r} is not a task id; an id consists of letters, digits, '-' and '_'.", name=task_id
        )
    return task_id


def output_name(text: str) -> str:
    """The name of an output as it is stored: `\\` as `/`, without `.` segments, `..` resolved.

    Raises:
        InvalidNameError: the name is empty, absolute, ends in `/`, climbs out of its kind, or is not Unicode text.
    """
    if not text:
        raise InvalidNameError("The name of an output is empty; give it one.", name=text)
    name = text.replace("\\", "/")
    if name.startswith("/"):
        raise InvalidNameError(
            f"The output name {text!r} begins with a slash; names are relative to their kind.", name=text
        )
    if name.rsplit("/", 1)[-1] in {"", ".", ".."}:
        raise InvalidNameError(f"The output name {text!r} ends like a folder; add the name of a file.", name=text)
    kept: list[str] = []
    for segment in name.split("/"):
        if segment == "..":
            if not kept:
                raise InvalidNameError(
                    f"The output name {text!r} leads out of its kind; leave out the leading '..'.", name=text
                )
            kept.pop()
        elif segment != "." and (segment or kept):  # `.//a` is `a`, and not the absolute `/a`
            kept.append(segment)
    if not is_text(text):
        raise InvalidNameError(
            f"The output name {text!r} is not Unicode text, as blob names must be; save it under another name.",
            name=text,
        )
    return "/".join(kept)


def check_blob_name(blob_name: str) -> str:
    """Return the blob name if the service can hold it.

    Raises:
        InvalidNameError: it is longer than 1,024 characters (UTF-16 units, as the service counts).
    """
    length = len(blob_name.encode("utf-16-le")) // 2
    if length > MAX_BLOB_NAME:
        raise InvalidNameError(
            f"The blob name {blob_name[:60]!r}… has {length:,} characters, the service takes {MAX_BLOB_NAME:,}; "
            "save it under a shorter name.",
            name=blob_name,
        )
    return blob_name


def beside(blob_name: str, mark: str) -> str:
    """A name beside this one, the mark before its extension: `t1/$TaskLog/stdout.txt` → `…/stdout.attempt-1.txt`."""
    folder, slash, name = blob_name.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    if not stem:
        stem, dot, extension = name, "", ""
    return f"{folder}{slash}{stem}.{mark}{dot}{extension}"


def is_of_earlier_attempt(name: str) -> bool:
    """Whether a log of this name was kept aside when a later attempt of its task began it anew (`….attempt-1.txt`)."""
    return _KEPT.search(name) is not None


def name_from_source(
    source: str, *, working_dir: str | None = None, task_dir: str | None = None, windows: bool = False
) -> str:
    """The output name that a source path gets when none is given.

    A relative path keeps its folders and loses leading `..` (`../stdout.txt` is `stdout.txt`). An absolute path below
    the task's working directory, or else its task directory, is named relative to it.

    Raises:
        InvalidNameError: the path is absolute and below neither, or gives no usable name.
    """
    if not (PureWindowsPath(source).anchor if windows else source.startswith("/")):
        relative = PureWindowsPath(source).as_posix() if windows else _tidied(source)
        return output_name(_without_leading_dots(relative, source))
    path: PurePath = PureWindowsPath(ntpath.normpath(source)) if windows else PurePosixPath(posixpath.normpath(source))
    for base in filter(None, (working_dir, task_dir)):
        if path.is_relative_to(base):
            return output_name(path.relative_to(base).as_posix())
    raise InvalidNameError(
        f"{source} is an absolute path outside the task's directories; say under which name to save it.", name=source
    )


def name_at(path: str, below: str | None) -> str:
    """The output name by an upload rule with a `path`, as the Batch service is understood to give it.

    For a plain file (`below` is None) the path is the whole name. For what a pattern or folder leads to it is a virtual
    folder, and `below`, the way from the folder before the pattern's first wildcard, follows. The service's
    documentation says so; it was not verified against the service.

    Raises:
        InvalidNameError: the name cannot be used.
    """
    if below is None:
        return output_name(path)
    folder = path.rstrip("/")
    return output_name(f"{folder}/{below}" if folder else below)


def is_task_id(text: str) -> bool:
    """Whether a text can lead a blob name as a task's id."""
    return can_be_folder(text) and not text.startswith("$") and text not in {".", ".."}


def _tidied(path: str) -> str:
    """What `PurePosixPath` makes of a relative path, in a fraction of its time: this is done for each of many files."""
    return "/".join(segment for segment in path.split("/") if segment not in {"", "."}) or "."


def _without_leading_dots(path: str, source: str) -> str:
    segments = path.replace("\\", "/").split("/")
    while segments and segments[0] in {".", ".."}:
        segments.pop(0)
    if not segments:
        raise InvalidNameError(f"{source!r} names a folder; name a file in it.", name=source)
    return "/".join(segments)


def is_text(name: str) -> bool:
    """Whether a name is Unicode text; the file names of Linux need not be."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
