"""The page on the conventions is true, row by row: what it says is what the code does, and other clients see."""

from __future__ import annotations

import hashlib
import posixpath
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batch_outputs import JobOutputKind, TaskEnvironment, TaskOutputKind
from batch_outputs.client import output_file, upload_path
from batch_outputs.client.group_uploads import MODIFIED_KEY
from batch_outputs.client.sync import FileGroup
from batch_outputs.content_types import guess_content_type
from batch_outputs.errors import InvalidNameError, WrongBlobTypeError
from batch_outputs.job_container import JOB_ID_KEY
from batch_outputs.kinds import OutputKind
from batch_outputs.location import AzureAccount, StoreLocation, TokenAccess
from batch_outputs.log_parts import part_name
from batch_outputs.marks import LogMarks
from batch_outputs.names import (
    MAX_BLOB_NAME,
    OutputName,
    beside,
    check_blob_name,
    file_group_container_name,
    is_of_earlier_attempt,
    is_task_id,
    job_container_name,
    name_from_source,
    output_name,
    output_prefix,
    parse_blob_name,
)
from batch_outputs.patterns import Pattern
from batch_outputs.runner.rules import SaveRule
from batch_outputs.settings import find_target
from batch_outputs.sync import JobOutputStorage, TaskOutputStorage
from support.azurite import Azurite, Container
from support.fault_proxy import FaultProxy
from support.tables import Row, tables_of

PAGE = Path(__file__).parents[1] / "docs" / "conventions.md"
TABLES = {table.heading: table for table in tables_of(PAGE)}
ROWS = [row for table in TABLES.values() for row in table.rows]

ERROR = "an error"
DIRECTORIES = {"Linux": ("/mnt/t1/wd", "/mnt/t1"), "Windows": ("D:\\t1\\wd", "D:\\t1")}
TYPES = {"block blob": "BlockBlob", "append blob": "AppendBlob"}
REPLACES, KEEPS = "replaces the first", "goes on behind the first, or keeps it under another name"
KEYS = "Metadata of a log"
VARIABLES = "Variables that say where to"

Check = Callable[[Row], None]
CHECKS: dict[tuple[str, tuple[str, ...]], Check] = {}


def checks(heading: str, *columns: str) -> Callable[[Check], Check]:
    """What is decorated holds a row of the table below this heading against the code."""

    def note(check: Check) -> Check:
        CHECKS[heading, columns] = check
        return check

    return note


def gives(row: Row, column: str, function: Callable[[], str]) -> None:
    """The cell has what a function gives, or says that it is an error."""
    if row[column] == ERROR:
        with pytest.raises(InvalidNameError):
            function()
    else:
        assert function() == row.code(column)


def rows_of(heading: str) -> tuple[Row, ...]:
    return TABLES[heading].rows


def test_every_table_is_looked_at() -> None:
    """No table, and no column of one, is on the page that the tests do not know, and no heading has two tables."""
    assert [(table.heading, table.columns) for table in tables_of(PAGE)] == list(CHECKS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"line-{row.line}")
def test_every_row_is_true(row: Row) -> None:
    """What a row says is what the code does."""
    CHECKS[row.heading, tuple(row.cells)](row)


@checks("The container of a job", "job id", "container", "rule")
def container_of_a_job(row: Row) -> None:
    job_id = row.code("job id")
    gives(row, "container", lambda: job_container_name(job_id))
    reasons = {
        "59 characters": len(job_id) == 59,
        "60 characters": len(job_id) == 60,
        "has `_`": "_" in job_id,
        "has `--`": "--" in job_id,
        "ends with `-`": job_id.endswith("-"),
        "a job that a schedule made": ":" in job_id,
        "nothing is left": not re.search("[a-z0-9]", job_id, re.IGNORECASE),
        "an id has letters, digits, `-`, `_` and `:` only": row["container"] == ERROR,
    }
    rule, _, reason = row["rule"].rpartition(": ") if row["rule"][:1] in "23" else ("", "", row["rule"])
    if row["container"] != ERROR:
        assert (rule or reason) == ("2" if row.code("container") == f"job-{job_id.lower()}" else "3")
    assert reason == "2" or reasons[reason]


@checks("A hashed name step by step", "step", "`my-_EVEN_MORE_-terrific-job`")
def hashed_name(row: Row) -> None:
    # Done here as the page tells it, without the code, so that it is enough to do it by.
    title = tuple(row.cells)[1]
    job_id = title.strip("`")
    lower = job_id.lower()
    digest = hashlib.sha1(lower.encode(), usedforsecurity=False).hexdigest()
    runs = re.sub("[:_-]+", "-", lower)
    cut = runs.strip("-")[:15].strip("-")
    steps = {
        "in lower case": lower,
        "its SHA-1": digest,
        "each run one hyphen": runs,
        "cut and trimmed": cut,
        "the container": f"job-{cut}-{digest}",
    }
    assert row.code(title) == steps[row["step"]]
    assert steps["the container"] == job_container_name(job_id)


@checks("Blob names", "kind", "in Python", "whose", "example")
def blob_name(row: Row) -> None:
    kind = kind_in_python(row.code("in Python"))
    assert kind == row.code("kind")
    assert isinstance(kind, JobOutputKind if row.one_of("whose", "task", "job") == "job" else TaskOutputKind)
    found = parse_blob_name(row.code("example"))
    assert found is not None
    assert found == OutputName(found.task_id, kind, found.name)
    assert (found.task_id is None) == (row["whose"] == "job")
    assert found.blob_name == row.code("example")


def kind_in_python(text: str) -> OutputKind:
    """The kind that an expression of the page gives: a constant, or one made of a text."""
    found = re.fullmatch(r'(TaskOutputKind|JobOutputKind)(?:\.([A-Z_]+)|\("(\w+)"\))', text)
    assert found, text
    sort: type[OutputKind] = {"TaskOutputKind": TaskOutputKind, "JobOutputKind": JobOutputKind}[found[1]]
    kind = getattr(sort, found[2]) if found[2] else sort(found[3])
    assert isinstance(kind, OutputKind)
    return kind


def test_all_usual_kinds_are_there() -> None:
    """The table has every kind that the code has a name for."""
    constants = {
        f"{sort.__name__}.{name}" for sort in (TaskOutputKind, JobOutputKind) for name in vars(sort) if name.isupper()
    }
    assert constants <= {row.code("in Python") for row in rows_of("Blob names")}


@checks("Names read back", "blob name", "task", "kind", "name")
def name_read_back(row: Row) -> None:
    found = parse_blob_name(row.code("blob name"))
    if found is None:
        assert (row["task"], row["kind"], row["name"]) == ("no output", "", "")
        return
    assert (found.kind, found.name) == (row.code("kind"), row.code("name"))
    assert row["task"] == ("the job" if found.task_id is None else f"`{found.task_id}`")


@checks("Text that is allowed", "text", "as a task id", "as a kind")
def allowed_text(row: Row) -> None:
    text = row.code("text")
    assert is_task_id(text) == (row.one_of("as a task id", "yes", "no") == "yes")
    if row.one_of("as a kind", "yes", "no") == "yes":
        assert TaskOutputKind(text) == text
    else:
        with pytest.raises(InvalidNameError):
            TaskOutputKind(text)


@checks("Longest", "what", "characters")
def longest(row: Row) -> None:
    figure = int(row["characters"].replace(",", ""))
    if row["what"] == "a blob name, counted in UTF-16":
        assert figure == MAX_BLOB_NAME
        assert check_blob_name("😀" * (figure // 2))
        with pytest.raises(InvalidNameError):
            check_blob_name("😀" * (figure // 2) + "x")
    else:
        # Ids of all lengths, of which some are hashed.
        names = {length: job_container_name("a" * length) for length in range(1, 65)}
        lengths = {
            "a container's name": max(map(len, names.values())),
            "a job id that rule 2 leaves as it is": max(
                length for length, name in names.items() if name == f"job-{'a' * length}"
            ),
        }
        assert figure == lengths[row["what"]]


@checks("How a path becomes a name", "path", "on", "name")
def path_as_a_name(row: Row) -> None:
    system = row.one_of("on", *DIRECTORIES)
    working_dir, task_dir = DIRECTORIES[system]
    for directory in (working_dir, task_dir):
        assert f"`{directory}`" in PAGE.read_text(encoding="utf-8")
    gives(
        row,
        "name",
        lambda: name_from_source(
            row.code("path"), working_dir=working_dir, task_dir=task_dir, windows=system == "Windows"
        ),
    )


@checks("A name that is given", "name", "stored as")
def given_name(row: Row) -> None:
    gives(row, "stored as", lambda: output_name(row.code("name")))


@checks("In a URL", "blob name", "end of its URL")
def blob_url(row: Row) -> None:
    location = StoreLocation(AzureAccount("https://acct.blob.core.windows.net", TokenAccess()), "job-x")
    assert location.blob_url(row.code("blob name")) == location.url + row.code("end of its URL")


@checks("Types of blobs", "saved by", "type", "a second save of that name")
def blob_type(row: Row) -> None:
    assert hasattr(TaskOutputStorage, row.code("saved by"))  # what comes of it is seen below
    row.one_of("type", *TYPES)
    row.one_of("a second save of that name", REPLACES, KEEPS)


def test_types_of_blobs(container: Container, fault_proxy: FaultProxy, tmp_path: Path) -> None:
    """What each way of saving stores is of the type that the page says, for other clients too, as is a second save."""
    file = tmp_path / "a.txt"
    fault_proxy.azure_rules(container.azurite.reading_sas)  # Azurite itself lets one type replace the other

    def save(outputs: TaskOutputStorage, method: str, content: str) -> None:
        file.write_text(content, encoding="utf-8")
        if method == "save_text":
            outputs.save_text("TaskLog", content, method)
        elif method == "save_bytes":
            outputs.save_bytes("TaskLog", content.encode(), method)
        elif method == "save_all":
            outputs.save_all("TaskLog", file, name=method)
        elif method == "save_tracked":
            with outputs.save_tracked("TaskLog", file, method):
                pass
        else:
            getattr(outputs, method)("TaskLog", file, method)

    with TaskOutputStorage.from_container_url(fault_proxy.through(container.sas_url()), "t1") as outputs:
        for row in rows_of("Types of blobs"):
            method = row.code("saved by")
            name = f"t1/$TaskLog/{method}"
            for content in ("first", "another"):
                save(outputs, method, content)
            assert container.client.get_blob_client(name).get_blob_properties().blob_type == TYPES[row["type"]]
            assert container.content(name) == b"another"
            kept = container.client.get_blob_client(beside(name, "attempt-1")).exists()
            assert kept == (row["a second save of that name"] == KEEPS)
        with pytest.raises(WrongBlobTypeError):
            outputs.save("TaskLog", file, "save_tracked")
        outputs.save("TaskLog", file, "save_tracked", replace_log=True)
        with pytest.raises(WrongBlobTypeError), outputs.save_tracked("TaskLog", file, "save"):
            pass


@checks("Content types", "name", "content type")
def content_type(row: Row) -> None:
    assert guess_content_type(row.code("name")) == row.code("content type")


@checks("Logs", "what", "file", "stored as")
def log_name(row: Row) -> None:
    file, stored = row.code("file"), row.code("stored as")
    names = {
        "the log, or its first part": file,
        "its second part": part_name(file, 2),
        "the same without an extension": part_name(file, 2),
        "the log of an earlier attempt": beside(file, "attempt-1"),
        "the log on one of several nodes": f"tvm-1/{file}",
    }
    assert stored == names[row["what"]]
    assert is_of_earlier_attempt(stored) == ("attempt-1" in stored)
    assert guess_content_type(stored) == guess_content_type(file)


@checks(KEYS, "key", "example", "stands on", "meaning")
def log_mark(row: Row) -> None:
    key, example = row.code("key"), row.code("example")
    assert LogMarks.from_metadata({key: example}).metadata()[key] == example
    row.one_of("stands on", *STANDS_ON)


STANDS_ON = {
    "every part": {1, 2},
    "later parts": {2},
    "parts begun for `limit`": set(),
    "finished parts": {1, 2},
    "finished parts, the first one last": {1, 2},
    "the first part of a complete log": {1},
    "first and last part of a complete log": {1, 2},
    "first part": {1},
}
"""On which of two parts, the second begun since the file was truncated, of a log that has ended."""


@pytest.fixture(scope="module")
def log(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Container, str]]:
    """A container with a log of two parts that has ended, and the name below which it is."""
    container = azurite.new_container()
    file = tmp_path_factory.mktemp("log") / "stdout.txt"
    file.write_bytes(b"before\n")
    environ = {
        "BATCH_OUTPUTS_CONTAINER_URL": container.sas_url(),
        "AZ_BATCH_TASK_ID": "t1",
        "AZ_BATCH_NODE_ID": "tvm-1",
        "AZ_BATCH_IS_CURRENT_NODE_MASTER": "false",
    }
    with TaskOutputStorage.from_env(environ) as outputs:
        with outputs.save_tracked("TaskLog", file, "stdout.txt") as tracked:
            tracked.flush()
            file.write_bytes(b"new\n")
            tracked.flush()
            tracked.hurry("Preempt")
            tracked.flush()
            tracked.exit_code = 0
        yield container, "t1/$TaskLog/tvm-1/stdout.txt"


def test_metadata_of_a_log(log: tuple[Container, str]) -> None:
    """Each key stands on the parts that the page names, and no other key stands on any; other clients read the same."""
    container, first = log
    names = [first, part_name(first, 2)]
    parts = [container.client.get_blob_client(name).get_blob_properties() for name in names]
    found = {
        key: {number for number, part in enumerate(parts, 1) if key in part.metadata}
        for key in {key for part in parts for key in part.metadata}
    }
    told = {row.code("key"): STANDS_ON[row["stands on"]] for row in rows_of(KEYS)}
    assert found == {key: parts for key, parts in told.items() if parts}
    examples = {row.code("key"): row.code("example") for row in rows_of(KEYS)}
    for key, value in parts[1].metadata.items():
        assert shape(value) == shape(examples[key])
    for name, part in zip(names, parts, strict=True):
        content = container.content(name)
        assert part.metadata["length"] == str(len(content))
        assert part.metadata["sha256"] == hashlib.sha256(content).hexdigest()


def shape(text: str) -> str:
    """A value, with each digit, hexadecimal ones too, as a 0."""
    return re.sub("[0-9a-f]", "0", text)


def test_all_marks_are_told() -> None:
    """The table has every key that the code may write."""
    marks = LogMarks(
        *("a", "l", "n", 2, 1, "limit", "s"), complete=True, length=0, sha256="h", parts=2, exit_code=0, notice="n"
    )
    assert set(marks.metadata()) == {row.code("key") for row in rows_of(KEYS)}


@checks("Variables of Batch", "variable", "example", "`TaskEnvironment`", "what for")
def batch_variable(row: Row) -> None:
    example = row.code("example")
    value = getattr(TaskEnvironment.from_environ({row.code("variable"): example}), row.code("`TaskEnvironment`"))
    assert value == {"true": True, "false": False}.get(example, example)


@checks(VARIABLES, "variable", "example", "container of the job `render`")
def storage_variable(row: Row) -> None:
    target = find_target({row.code("variable"): row.code("example")})
    assert target.location("render").url == row.code("container of the job `render`")


def test_the_first_variable_decides() -> None:
    """Each variable of the table weighs more than all below it."""
    rows = rows_of(VARIABLES)
    for index, row in enumerate(rows):
        environ = {below.code("variable"): below.code("example") for below in rows[index:]}
        assert find_target(environ).location("render").url == row.code("container of the job `render`")


@checks("What other tools show", "where", "which blobs", "example")
def other_tool(row: Row) -> None:
    example = row.code("example")
    found = parse_blob_name(example)
    assert found is not None
    task_folder = output_prefix("<task id>", "").removesuffix("$")
    # As Microsoft's documentation of the portal and the source of Batch Explorer say.
    expected = {
        "Azure portal, Saved output files of a task": [f"{task_folder}${TaskOutputKind.TASK_OUTPUT}/"],
        "Azure portal, Saved logs of a task": [f"{task_folder}${TaskOutputKind.TASK_LOG}/"],
        "Batch Explorer, Persisted output of a task": [task_folder],
        "Batch Explorer, shown as a log up to 10,000,000 bytes": [".txt", ".log"],
        "Batch Explorer, shown as a picture": [".png", ".jpg", ".jpeg", ".gif"],
    }[row["where"]]
    assert row["which blobs"] == ", ".join(f"`{text}`" for text in expected)
    ends = tuple(text.replace("<task id>", str(found.task_id)) for text in expected)
    assert example.startswith(ends) or example.endswith(ends)


@checks("Upload rules of the Batch service", "`[KIND=]PATTERN`", "`path` of the rule", "file", "stored as")
def upload_rule(row: Row) -> None:
    rule = SaveRule.parse(row.code("`[KIND=]PATTERN`"))
    path, file, stored = row.code("`path` of the rule"), row.code("file"), row.code("stored as")
    assert upload_path(rule.pattern, rule.kind, task_id="t1") == path
    pattern = Pattern.parse(rule.pattern)
    if pattern.is_literal:
        assert (file, stored) == (rule.pattern, path)
    else:
        below = posixpath.relpath(file, pattern.base or ".")
        assert pattern.matches(below.split("/"))
        assert stored == f"{path}/{below}"
    # What `run --save` stores it as.
    task_id = None if isinstance(rule.kind, JobOutputKind) else "t1"
    assert stored == OutputName(task_id, rule.kind, name_from_source(file)).blob_name


@checks("When a rule applies", "`when=`", "`uploadCondition`")
def upload_condition(row: Row) -> None:
    rule = output_file("a", task_id="t1", container_url="file:///x/job-x", when=row.code("`when=`"))  # type: ignore[arg-type] # one of its words
    assert rule.as_dict()["uploadOptions"]["uploadCondition"] == row.code("`uploadCondition`")


@checks("File groups", "group", "container")
def file_group(row: Row) -> None:
    gives(row, "container", lambda: file_group_container_name(row.code("group")))


def test_other_metadata(azurite: Azurite, tmp_path: Path) -> None:
    """A job's container has its id, and a file of a group its time of modification, where the page says."""
    text = PAGE.read_text(encoding="utf-8")
    job_id = f"Render_{uuid.uuid4().hex}"
    with JobOutputStorage.from_connection_string(azurite.connection_string, job_id) as job:
        job.create_container()
        container = azurite.container(job.container)
    assert f"`{JOB_ID_KEY}`" in text
    assert container.client.get_container_properties().metadata == {JOB_ID_KEY: job_id}

    source = tmp_path / "a.txt"
    source.write_text("a", encoding="utf-8")
    group_name = f"data-{uuid.uuid4().hex}"
    with FileGroup.from_connection_string(azurite.connection_string, group_name) as group:
        group.upload(source)
    blob = azurite.container(f"fgrp-{group_name}").client.get_blob_client("a.txt")
    assert f"`{MODIFIED_KEY}`" in text
    assert blob.get_blob_properties().metadata == {MODIFIED_KEY: str(source.stat().st_mtime)}


def test_what_other_tools_leave(container: Container, tmp_path: Path) -> None:
    """Kinds that begin alike are kept apart, and a log without marks is never complete, but can be gone on with."""
    client = container.client
    for name in ("t1/$TaskOutput/a.txt", "t1/$TaskOutputRaw/b.txt"):
        client.upload_blob(name, b"content")
    log = client.get_blob_client("t1/$TaskLog/stdout.txt")
    log.create_append_blob()
    log.append_block(b"first\n")
    file = tmp_path / "stdout.txt"
    file.write_bytes(b"first\nsecond\n")
    with JobOutputStorage.from_container_url(container.sas_url()) as job:
        task = job.task("t1")
        assert [output.name for output in task.list_outputs(TaskOutputKind.TASK_OUTPUT)] == ["a.txt"]
        [stored] = task.list_outputs(TaskOutputKind.TASK_LOG)
        assert (stored.complete, stored.is_log) == (False, True)
        with task.save_tracked(TaskOutputKind.TASK_LOG, file, "stdout.txt"):
            pass  # goes on behind it
        assert [log.name for log in task.list_outputs(TaskOutputKind.TASK_LOG)] == ["stdout.txt"]
        assert stored.refresh().complete
        assert stored.read_bytes() == file.read_bytes()
