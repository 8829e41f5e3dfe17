"""The page for those who come from .NET has every name of that library, and names none of ours that is not there."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

import batch_outputs
from batch_outputs import sync
from support.tables import Row, tables_of

PAGE = Path(__file__).parents[1] / "docs" / "porting-from-dotnet.md"
COLUMNS = (".NET", "here", "what differs")
TABLES = tables_of(PAGE)
ROWS = [row for table in TABLES for row in table.rows]

DOTNET = {
    "TaskOutputStorage": [
        "new TaskOutputStorage(jobOutputContainerUri, taskId)",
        "new TaskOutputStorage(blobClient, jobId, taskId)",
        "SaveAsync(kind, relativePath)",
        "SaveAsync(kind, sourcePath, destinationRelativePath)",
        "SaveTextAsync(kind, text, destinationRelativePath)",
        "SaveTrackedAsync(relativePath)",
        "SaveTrackedAsync(kind, sourcePath, destinationRelativePath, flushInterval)",
        "ListOutputs(kind)",
        "GetOutput(kind, filePath)",
        "GetOutputStoragePath(kind)",
    ],
    "JobOutputStorage": [
        "new JobOutputStorage(jobOutputContainerUri)",
        "new JobOutputStorage(blobClient, jobId)",
        "SaveAsync(kind, relativePath)",
        "SaveAsync(kind, sourcePath, destinationRelativePath)",
        "ListOutputs(kind)",
        "GetOutput(kind, filePath)",
        "GetOutputStoragePath(kind)",
    ],
    "ITrackedSaveOperation": ["FlushError", "Dispose()"],
    "OutputFileReference": [
        "FilePath",
        "Uri",
        "BlobClient",
        "DownloadToFileAsync(path)",
        "DownloadToStreamAsync(target)",
        "DownloadToByteArrayAsync(target, index)",
        "OpenReadAsync()",
        "DeleteAsync(deleteOptions)",
    ],
    "TaskOutputKind": [
        "TaskOutput",
        "TaskPreview",
        "TaskLog",
        "TaskIntermediate",
        "Custom(text)",
        "ToString()",
        "Equals(other)",
        "GetHashCode()",
    ],
    "JobOutputKind": ["JobOutput", "JobPreview", "Custom(text)", "ToString()", "Equals(other)", "GetHashCode()"],
    "CloudJobExtensions": [
        "OutputStorage(job, blobClient)",
        "PrepareOutputStorageAsync(job, blobClient)",
        "GetOutputStorageContainerUrl(job, blobClient)",
        "GetOutputStorageContainerUrl(job, blobClient, expiryTime)",
        "OutputStorageContainerName(job)",
        "GetOutputStoragePath(job, kind)",
    ],
    "CloudTaskExtensions": ["OutputStorage(task, blobClient)", "GetOutputStoragePath(task, kind)"],
}
"""All that is public in the .NET library, its classes and overloads, without cancellation tokens."""

OTHERS = {"Uri", "GetEnvironmentVariable", "FromSeconds", "FromDays", "WriteLine"}
"""What the programs in C# call besides."""


def test_no_name_of_dotnet_is_missing() -> None:
    """Each class has a table, with each of its members once and nothing that it does not have."""
    assert {table.columns for table in TABLES} == {COLUMNS}
    told = {table.heading: [name for row in table.rows for name in row.codes(".NET")] for table in TABLES}
    assert told == DOTNET


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"line-{row.line}")
def test_every_name_of_ours_is_there(row: Row) -> None:
    """What stands beside a name of .NET exists under that name, blocking too, and takes the arguments shown."""
    names = row.codes("here")
    assert names or row["here"] == "none"
    for name in names:
        path, call, arguments = name.removesuffix(")").partition("(")
        found = resolve(path)
        if call:
            wanted = {argument for argument in arguments.split(", ") if argument}
            assert wanted <= set(inspect.signature(found).parameters), name  # type: ignore[arg-type] # fails by itself


def resolve(path: str) -> object:
    """What a name of the page stands for: in `batch_outputs`, or in the module that it says."""
    module, _, rest = path.rpartition("batch_outputs.client.")
    home = importlib.import_module("batch_outputs.client") if module or path != rest else batch_outputs
    found: object = home
    for part in rest.split("."):
        found = getattr(found, part)
    blocking: object = importlib.import_module("batch_outputs.client.sync") if home is not batch_outputs else sync
    if hasattr(blocking, rest.split(".", maxsplit=1)[0]):  # pure functions are not there a second time
        for part in rest.split("."):
            blocking = getattr(blocking, part)
    return found


def test_the_prose_names_what_there_is() -> None:
    """Names of ours in the running text and in what differs exist, too."""
    ours = [batch_outputs, *(getattr(batch_outputs, name) for name in batch_outputs.__all__)]
    ours += [importlib.import_module(f"batch_outputs.{name}") for name in ("errors", "client")]
    parameters = set(inspect.signature(batch_outputs.TaskOutputStorage.save_tracked).parameters)
    text = re.sub(r"^```.*?^```", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    snake = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)(?:\([a-z_]*\))?`", text)) - {"batch_outputs"}
    assert snake
    for name in snake - parameters:
        assert any(hasattr(owner, name) for owner in ours), name
    for name in set(re.findall(r"`([A-Z][A-Za-z]+Error)`", text)) - set(DOTNET["ITrackedSaveOperation"]):
        assert any(hasattr(owner, name) for owner in ours), name


def test_the_programs_in_csharp_call_what_there_is() -> None:
    """The programs in C#, which no test can run, call members of the .NET library, and little else."""
    programs = "\n".join(
        re.findall(r"^```csharp\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    )
    called = set(re.findall(r"(?:\.|\bnew )([A-Z]\w+)\(", programs))
    members = {re.sub(r"\(.*|new ", "", name) for names in DOTNET.values() for name in names}
    assert called <= members | OTHERS
    assert {"SaveTrackedAsync", "SaveAsync", "PrepareOutputStorageAsync", "DownloadToFileAsync"} <= called
    kinds = re.findall(r"(TaskOutputKind|JobOutputKind)\.(\w+)", programs)
    assert kinds
    assert all(member in DOTNET[sort] for sort, member in kinds)
