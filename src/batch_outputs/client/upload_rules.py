"""Upload rules of the Batch service (`OutputFile`) that store files under the names of the conventions.

A rule names a file as `batch-outputs run --save` does, so that the two can take each other's place.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from batch_outputs.client.command_lines import WrappedRun, wrapped_runs
from batch_outputs.client.models import check_installed, rest_json
from batch_outputs.errors import ConfigurationError, InvalidNameError
from batch_outputs.kinds import JobOutputKind, OutputKind, TaskOutputKind, kind_named
from batch_outputs.location import DirectoryAccount
from batch_outputs.names import check_blob_name, check_task_id, name_at, name_from_source, output_prefix
from batch_outputs.patterns import Pattern
from batch_outputs.runner.rules import WHENS, SaveRule, When
from batch_outputs.settings import CONTAINER_URL, container_target
from batch_outputs.shared_access import SasTerms
from batch_outputs.wording import printable

if TYPE_CHECKING:
    from azure.batch.models import BatchNodeIdentityReference, OutputFile

_WORKING_DIR = re.compile(r"(?:\$AZ_BATCH_TASK_WORKING_DIR|\$\{AZ_BATCH_TASK_WORKING_DIR\})/+")
_TASK_DIR = re.compile(r"(?:\$AZ_BATCH_TASK_DIR|\$\{AZ_BATCH_TASK_DIR\})/+")
_WORKING_DIR_WINDOWS = re.compile(r"%AZ_BATCH_TASK_WORKING_DIR%[/\\]+", re.IGNORECASE)
_TASK_DIR_WINDOWS = re.compile(r"%AZ_BATCH_TASK_DIR%[/\\]+", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{?\w")
_VARIABLE_WINDOWS = re.compile(r"%[^%]+%")
_DRIVE = re.compile(r"[A-Za-z]:")
_IDENTITY = re.compile(r"/subscriptions/[^/]+/.+", re.IGNORECASE)
_HEADER = re.compile(r"[A-Za-z0-9_-]+")
_PROBE = "x"
"""The name of a file that may lie in a folder, to learn what such files are called."""


def output_file(
    pattern: str,
    kind: OutputKind | str | None = None,
    *,
    task_id: str,
    container_url: str,
    when: When = "completion",
    name: str | None = None,
    identity: str | BatchNodeIdentityReference | None = None,
    headers: Mapping[str, str] | None = None,
    windows: bool = False,
) -> OutputFile:
    """An upload rule that stores what `batch-outputs run --save` would, under the same names.

        output_file("*.mp4", TaskOutputKind.TASK_OUTPUT, task_id="t1", container_url=url)
        output_file("TaskLog=../std*.txt", task_id="t1", container_url=url)

    Args:
        pattern: The files, relative to the task's working directory. Without a `kind` it is the text of a rule, as
            `--save` takes it: `[KIND=]PATTERN`.
        kind: What the files are; any text other than the known kinds is a custom kind of a task.
        task_id: The task's id, exactly as the task is created with it.
        container_url: The URL of the job's container, with a SAS that allows to write unless there is an `identity`. A
            folder's `file:` URL is for trying a task on a desk.
        when: After which end of the task: `success`, `failure` or `completion`.
        name: As `--as`: the whole name for a plain path, and a folder for what a pattern leads to.
        identity: The pool's identity that may write there: its resource id (`/subscriptions/…`), or azure-batch's
            reference to it.
        headers: Sent along with each file, such as `Content-Type`.
        windows: Whether the task's nodes run Windows, where `\\` separates and `%NAME%` is a variable.

    Raises:
        ConfigurationError: azure-batch is not installed, or URL, access, condition or pattern cannot be used.
        InvalidNameError: kind, task id or name cannot be used, or the files have no name by themselves.
    """
    if when not in WHENS:
        raise ConfigurationError(f"{when!r} is no condition of an upload rule; say {', '.join(WHENS)}.")
    if kind is None:
        rule = SaveRule.parse(pattern)
        pattern, kind = rule.pattern, rule.kind
    path = upload_path(pattern, kind, task_id=task_id, name=name, windows=windows)
    reference = _identity_id(identity)
    _check_access(container_url, has_identity=reference is not None)
    _check_headers(headers or {})
    check_installed()
    from azure.batch import models

    container = models.OutputFileBlobContainerDestination(container_url=container_url, path=path)
    if reference is not None:
        container.identity_reference = models.BatchNodeIdentityReference(resource_id=reference)
    if headers:
        container.upload_headers = [
            models.OutputFileUploadHeader(name=key, value=text) for key, text in headers.items()
        ]
    return models.OutputFile(
        file_pattern=pattern,
        destination=models.OutputFileDestination(container=container),
        upload_options=models.OutputFileUploadConfiguration(
            upload_condition=models.OutputFileUploadCondition(f"task{when}")
        ),
    )


def upload_path(
    pattern: str, kind: OutputKind | str, *, task_id: str, name: str | None = None, windows: bool = False
) -> str:
    """The `path` of an upload rule: the whole blob name for a plain path, the virtual directory for a pattern.

    That the way from the folder before the first wildcard follows such a directory is what the service's documentation
    says; it was not verified against the service.

    Raises:
        ConfigurationError: the pattern cannot be that of an upload rule.
        InvalidNameError: kind, task id or name cannot be used, or the files have no name by themselves.
    """
    kind = kind if isinstance(kind, OutputKind) else kind_named(kind)
    prefix = output_prefix(None if isinstance(kind, JobOutputKind) else check_task_id(task_id), kind)
    found = Pattern.parse(pattern, windows=windows)
    _check_pattern(pattern, found, windows=windows)
    if name is not None:
        below = name_at(name, None if found.is_literal else _PROBE)
    else:
        below = _own_name(pattern, found, windows=windows)
    if not found.is_literal:
        below = below[: -len(_PROBE)].rstrip("/")
    return check_blob_name(f"{prefix}/{below}" if below else prefix)


def check_upload_rules(task: object) -> None:
    """Make sure that no upload rule of a task would store a log that the task's own `batch-outputs run` keeps.

    The service uploads block blobs, and on Azure these cannot replace a log that was saved as it grew: the upload, and
    with it the task, would fail at its end. The command line is read through shells as far as it can be; what a script
    in a file does is not known, nor which files of the working directory a pattern will find.

    Args:
        task: An object of azure-batch such as `BatchTaskCreateOptions`, or the JSON of the REST API.

    Raises:
        ConfigurationError: there is such a rule, or this is no task.
    """
    facts = rest_json(task)
    if not facts and not isinstance(task, Mapping):
        raise ConfigurationError(
            f"A {type(task).__name__} says nothing of a task; give azure-batch's object or its JSON of the REST API."
        )
    task_id = str(facts.get("id") or "")
    for run in wrapped_runs(str(facts.get("commandLine") or "")):
        container = run.container_url or _setting(facts, CONTAINER_URL)
        for rule in _mappings(facts.get("outputFiles")):
            destination = _mapping(_mapping(rule.get("destination")).get("container"))
            if not _may_be_one_container(container, destination.get("containerUrl")):
                continue
            pattern = str(rule.get("filePattern") or "")
            for blob_name in _logs(run, task_id):
                if _stores(pattern, str(destination.get("path") or ""), blob_name):
                    raise ConfigurationError(
                        f"The upload rule {pattern} of the task {task_id or '(without id)'} would store {blob_name}, "
                        "which its batch-outputs run keeps as it grows, and the upload would fail: leave out the rule, "
                        f"or narrow it; or have run leave the stream to the rule (--{_stream(blob_name)} direct)."
                    )


def _check_pattern(text: str, pattern: Pattern, *, windows: bool) -> None:
    if not text.strip():
        raise ConfigurationError("The pattern of an upload rule is empty; name a file or a pattern.")
    if ".." in pattern.segments:
        raise ConfigurationError(f"The pattern {text} has '..' behind a wildcard and matches nothing; put it before.")
    plain = text.replace("\\", "/") if windows else text
    if plain.rsplit("/", 1)[-1] in {"", ".", ".."}:
        raise ConfigurationError(f"The pattern {text} names a folder; write {text.rstrip('/')}/** for the files in it.")


def _own_name(text: str, pattern: Pattern, *, windows: bool) -> str:
    """What `run` calls the file, or a probe in the folder before the first wildcard."""
    below_working_dir = (_WORKING_DIR_WINDOWS if windows else _WORKING_DIR).match(text)
    below_task_dir = (_TASK_DIR_WINDOWS if windows else _TASK_DIR).match(text)
    if found := below_working_dir or below_task_dir:
        inner = Pattern.parse(text[found.end() :], windows=windows)
        if below_task_dir and not _is_right_there(inner):
            raise InvalidNameError(
                f"What {text} leads to may lie in the working directory or beside it, and is named otherwise there; "
                "write it relative to the working directory (../…), or give a name.",
                name=text,
            )
        return _own_name(text[found.end() :], inner, windows=windows)
    if (_VARIABLE_WINDOWS if windows else _VARIABLE).search(pattern.base):
        raise InvalidNameError(
            f"The name of what {text} leads to depends on a variable, which the service does not expand in names; "
            "give a name.",
            name=text,
        )
    if pattern.base.startswith("/") or (windows and _DRIVE.match(pattern.base)):
        raise InvalidNameError(
            f"{text} is an absolute path, and where the task's directories are is not known here; "
            "write it relative to the working directory, or give a name.",
            name=text,
        )
    return name_from_source(pattern.base if pattern.is_literal else posixpath.join(pattern.base, _PROBE))


def _is_right_there(pattern: Pattern) -> bool:
    """Whether a pattern leads only to files in the folder that it is relative to."""
    segments = [segment for segment in pattern.base.split("/") if segment not in {"", "."}] + [*pattern.segments]
    return len(segments) == 1 and segments[0] not in {"**", ".."}


def _identity_id(identity: object | None) -> str | None:
    found = identity if identity is None or isinstance(identity, str) else getattr(identity, "resource_id", None)
    if identity is None:
        return None
    if not isinstance(found, str) or not _IDENTITY.fullmatch(found):
        raise ConfigurationError(
            "The identity of an upload rule is named by its resource id, /subscriptions/…/userAssignedIdentities/NAME "
            "(not by its client id); copy it from the identity's page."
        )
    return found


def _check_access(url: str, *, has_identity: bool) -> None:
    """Make sure that the service could upload there."""
    account = container_target(url).account
    terms = SasTerms.of(url)
    if isinstance(account, DirectoryAccount):
        return
    if terms is None:
        if not has_identity:
            raise ConfigurationError(
                "An upload rule needs a container URL with a SAS, or an identity of the pool; "
                "give one (generate_container_url makes a URL with a SAS)."
            )
        return
    if has_identity:
        raise ConfigurationError("The container URL brings a SAS, and an identity is given too; keep one.")
    terms.check_writes()


def _check_headers(headers: Mapping[str, object]) -> None:
    for name, text in headers.items():
        if not _HEADER.fullmatch(name) or not isinstance(text, str) or not text.isprintable():
            raise ConfigurationError(
                f"The upload header {printable(name)} cannot be sent; a name has letters, digits and '-', and a "
                "value is one line of text."
            )


def _logs(run: WrappedRun, task_id: str) -> Iterator[str]:
    """The names of the logs that a run keeps, as far as they are known; not those below a node's id."""
    if run.per_node:
        return
    task = run.task or ""
    if not task or "$" in task or "%" in task:
        task = task_id  # by far the likeliest meaning: AZ_BATCH_TASK_ID
    for stream in run.streams:
        yield f"{output_prefix(task, TaskOutputKind.TASK_LOG)}/{stream}"


def _stores(text: str, path: str, blob_name: str) -> bool:
    """Whether an upload rule stores a blob of this name, whatever the program makes in its working directory.

    A pattern is known to find the task's own `stdout.txt` and `stderr.txt` if it begins in the folder they are in.
    """
    path = path.replace("\\", "/").strip("/")
    for windows in (False, True):
        pattern = Pattern.parse(text, windows=windows)
        if pattern.is_literal:
            if path == blob_name:
                return True
            continue
        inner = _below_task_dir(text, pattern, windows=windows)
        below = blob_name.removeprefix(f"{path}/")
        if inner is not None and below != blob_name and "/" not in below and inner.matches([below]):
            return True
    return False


def _below_task_dir(text: str, pattern: Pattern, *, windows: bool) -> Pattern | None:
    """The pattern relative to the task's directory, if it begins there."""
    if found := (_TASK_DIR_WINDOWS if windows else _TASK_DIR).match(text):
        inner = Pattern.parse(text[found.end() :], windows=windows)
        return inner if inner.base in {"", "."} else None
    return pattern if pattern.base and posixpath.normpath(pattern.base) == ".." else None


def _may_be_one_container(one: str | None, other: object) -> bool:
    """Whether two URLs may mean one container; where one is not known, they may."""
    if not one or not isinstance(other, str):
        return True
    known, wanted = _without_access(one), _without_access(other)
    return known == wanted or bool(_VARIABLE.search(known) or _VARIABLE_WINDOWS.search(known))


def _without_access(url: str) -> str:
    return re.split(r"[?#]", url, maxsplit=1)[0].rstrip("/").lower()


def _setting(facts: Mapping[str, Any], name: str) -> str | None:
    for setting in _mappings(facts.get("environmentSettings")):
        if setting.get("name") == name:
            return str(setting.get("value") or "") or None
    return None


def _mappings(found: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(found, list | tuple):
        yield from filter(None, map(_mapping, found))


def _mapping(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


def _stream(blob_name: str) -> str:
    return posixpath.basename(blob_name).removesuffix(".txt")
