"""What `import batch_outputs` gives, and how little it takes."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import ModuleType

import pytest

import batch_outputs
from batch_outputs import errors, sync

HEAVY = {
    *("aiofiles", "aiohttp", "anyio", "asyncio", "azure", "click", "http", "obstore", "ssl", "urllib.request"),
    "watchfiles",
}


def loaded_by(statement: str) -> set[str]:
    """The heavy modules that a statement imports in a fresh interpreter."""
    program = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    return HEAVY.intersection(modules)


@pytest.mark.parametrize("module", [batch_outputs, sync])
def test_all_is_complete_and_sorted(module: ModuleType) -> None:
    """`__all__` is sorted, each name in it exists, and no public name is missing from it."""
    names = module.__all__
    assert list(names) == sorted(names)
    for name in names:
        assert getattr(module, name).__doc__, name
    for name in set(vars(module)) - set(names):
        value = getattr(module, name)
        # Of what has no underscore, only modules, imports and what belongs to a signature may be left out.
        ours = inspect.isclass(value) and value.__module__ == module.__name__
        assert name.startswith("_") or not ours, name


def test_the_package_says_what_it_has() -> None:
    """`dir` lists the names, `from … import *` brings them, and others are refused as usual."""
    assert dir(batch_outputs) == batch_outputs.__all__
    starred: dict[str, object] = {}
    exec("from batch_outputs import *", starred)  # noqa: S102 - the statement is the test
    assert set(batch_outputs.__all__) <= set(starred)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = batch_outputs.Nothing


@pytest.mark.parametrize(
    "statement",
    [
        "import batch_outputs",
        "import batch_outputs.errors",
        "import batch_outputs.kinds",
        "import batch_outputs.names",
        "import batch_outputs.environment",
        "import batch_outputs.patterns",
        "import batch_outputs.location",
        "import batch_outputs.settings",
        "import batch_outputs.marks",
        "from batch_outputs import TaskOutputKind, TaskEnvironment, job_container_name, BatchOutputsError",
    ],
)
def test_the_rules_import_nothing_heavy(statement: str) -> None:
    """The package and its pure rules bring no event loop, HTTP client or SDK: a program is started before those."""
    assert loaded_by(statement) == set()


def test_a_folder_needs_no_cloud() -> None:
    """The library itself, used with a folder, never imports the Azure SDK or an HTTP client."""
    program = """
import pathlib, tempfile
from batch_outputs import sync
with tempfile.TemporaryDirectory() as folder:
    url = pathlib.Path(folder).as_uri() + "/job-x"
    with sync.JobOutputStorage.from_env({"BATCH_OUTPUTS_CONTAINER_URL": url}) as job:
        job.create_container()
        job.save_text("JobOutput", "x", "a").read_text()
"""
    assert loaded_by(program) & {"azure", "aiohttp", "obstore"} == set()


def test_the_error_tree() -> None:
    """Every error of ours is a `BatchOutputsError`, is documented, and stands in the tree of the module's docstring."""
    tree = errors.__doc__ or ""
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert len(classes) >= 15
    for error in classes:
        assert issubclass(error, errors.BatchOutputsError)
        assert error.__doc__
        assert error.__name__ in tree
