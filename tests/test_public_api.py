"""What `import batch_outputs` gives, and how little it takes."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import batch_outputs
from batch_outputs import client, errors, runner, sync
from batch_outputs.client import sync as client_sync
from batch_outputs.client import templates
from support.signatures import Signatures, public_signatures, used_signatures

TYPED_USES = Path(__file__).parent / "typing" / "api.py"
LAZY = [batch_outputs, client, templates, runner]
PUBLIC = [*LAZY, sync, client_sync]
HEAVY = {
    *("aiofiles", "aiohttp", "anyio", "asyncio", "azure", "click", "http", "ssl", "urllib.request"),
    "watchfiles",
}


def loaded_by(statement: str) -> set[str]:
    """The heavy modules that a statement imports in a fresh interpreter."""
    program = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    return HEAVY.intersection(modules)


def unexported(module: ModuleType) -> set[str]:
    """The public classes and functions that a module defines and does not export."""
    defined = {
        name
        for name, value in vars(module).items()
        if isinstance(value, type | FunctionType) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    return defined - set(module.__all__)


def names_for_checkers(source: str) -> dict[str, str]:
    """What a package imports for type checkers only: by name, the module that it is from."""
    blocks = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    imports = [line for block in blocks for line in block.body if isinstance(line, ast.ImportFrom)]
    return {alias.name: line.module or "" for line in imports for alias in line.names}


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_all_is_complete_and_sorted(module: ModuleType) -> None:
    """`__all__` is sorted, each name in it exists and is documented, and no class or function is left out of it."""
    names = module.__all__
    assert list(names) == sorted(names)
    for name in names:
        assert getattr(module, name).__doc__, name
    assert unexported(module) == set()


@pytest.mark.parametrize("package", LAZY, ids=lambda package: package.__name__)
def test_a_type_checker_sees_what_is_fetched(package: ModuleType) -> None:
    """Names that are fetched when first used are for a type checker the same ones, from the same modules."""
    assert package.__file__
    seen = names_for_checkers(Path(package.__file__).read_text(encoding="utf-8"))
    assert seen == {name: f"{package.__name__}.{home}" for name, home in package._HOMES.items()}
    at_once = {name for name in package.__all__ if getattr(package, name).__module__ == "batch_outputs.names"}
    assert set(package.__all__) - set(seen) <= at_once  # what comes with the package itself
    assert set(seen) <= set(package.__all__)


def test_an_incomplete_module_is_noticed() -> None:
    """A class and a function that `__all__` lacks are named, and what is imported or private is not."""
    module = ModuleType("made_up")
    program = "from pathlib import Path\nclass A: pass\nclass _B: pass\ndef c(): pass\nclass D: pass\n__all__ = ['D']"
    exec(program, vars(module))  # noqa: S102 - a module that is in no file
    assert unexported(module) == {"A", "c"}
    source = "if TYPE_CHECKING:\n    from a.b import C, D\n    from e import F\nimport g\nfrom h import I"
    assert names_for_checkers(source) == {"C": "a.b", "D": "a.b", "F": "e"}


def unused(source: str) -> Signatures:
    """Public signatures, and parameters of them, that the source for the type checker does not use."""
    spec = importlib.util.spec_from_file_location("typed_uses", TYPED_USES)
    assert spec
    assert spec.loader
    names = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(names)
    used = used_signatures(source, vars(names))
    public = public_signatures(PUBLIC)
    return {
        name: parameters - used.get(name, frozenset())
        for name, parameters in public.items()
        if name not in used or parameters - used[name]
    }


def test_the_type_checker_sees_every_signature() -> None:
    """Of everything public, each function, method, property, field and parameter stands in `typing/api.py`."""
    assert unused(TYPED_USES.read_text(encoding="utf-8")) == {}


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        (
            '    assert_type(await output.read_text("utf-8", errors="replace"), str)\n',
            {"batch_outputs.outputs.OutputFileReference.read_text": {"encoding", "errors"}},
        ),
        ("    assert_type(outputs.task_id, str)\n", {"batch_outputs.storage.TaskOutputStorage.task_id": set()}),
        (", on_outage=print", {"batch_outputs.outputs.OutputFileReference.follow": {"on_outage"}}),
        ('    assert_type(job_container_name("job"), str)\n', {"batch_outputs.names.job_container_name": {"job_id"}}),
    ],
)
def test_a_missing_line_is_noticed(line: str, missing: dict[str, set[str]]) -> None:
    """A method, a property, a parameter and a function that `typing/api.py` lacks are named."""
    source = TYPED_USES.read_text(encoding="utf-8")
    assert line in source
    assert unused(source.replace(line, "", 1)) == missing


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
    assert loaded_by(program) & {"azure", "aiohttp"} == set()


def test_the_error_tree() -> None:
    """Every error of ours is a `BatchOutputsError`, is documented, and stands in the tree of the module's docstring."""
    tree = errors.__doc__ or ""
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert len(classes) >= 15
    for error in classes:
        assert issubclass(error, errors.BatchOutputsError)
        assert error.__doc__
        assert error.__name__ in tree
