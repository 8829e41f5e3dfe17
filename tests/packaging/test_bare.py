"""An installation without extras and without packages for developers: what it does, and what it says it lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.azurite import Container
from support.command import TIMEOUT, Desk, Done
from support.installations import Distributions, Environment, new_environment

FAILED = 125
NEEDS_BATCH = (
    "This makes models of azure-batch, which is not installed; install it with pip install 'batch-outputs[batch]'."
)

SAVE_TRACKED = """
import os
from batch_outputs.sync import TaskOutputKind, TaskOutputStorage

with TaskOutputStorage.from_container_url(os.environ["URL"], "t1") as outputs:
    with outputs.save_tracked(TaskOutputKind.TASK_LOG, "progress.log"), open("progress.log", "w") as log:
        print("step 1 of 1", file=log)
    outputs.save_all(TaskOutputKind.TASK_OUTPUT, "*.csv")
    for output in outputs.list_outputs():
        print(output.blob_name, output.refresh().complete, output.read_text(), end="")
"""

IMPORT_ALL = """
import importlib, pkgutil
import batch_outputs

for module in pkgutil.walk_packages(batch_outputs.__path__, "batch_outputs."):
    if module.name.startswith("batch_outputs.browse.") or module.name == "batch_outputs.__main__":
        continue
    importlib.import_module(module.name)
    print(module.name)
"""

WITHOUT_BATCH = """
import asyncio
from batch_outputs.client import job_output_storage, output_file, task_environment_settings
from batch_outputs.client.templates import to_models
from batch_outputs.client import sync
from batch_outputs.errors import ConfigurationError

URL = "https://acct.blob.core.windows.net/job-x?sv=2021-12-02&sr=c&sp=rw&sig=c2VjcmV0"
for use in (
    lambda: asyncio.run(task_environment_settings(URL)),
    lambda: sync.task_environment_settings(URL),
    lambda: output_file("*", task_id="t1", container_url=URL),
    lambda: to_models([{"id": "t1"}]),
):
    try:
        use()
    except ConfigurationError as error:
        print(error)
print(job_output_storage({"id": "job"}, account_url="file:///tmp/a").container)
"""


@pytest.fixture(scope="module")
def bare(built: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A virtual environment with the wheel and what it cannot do without."""
    environment = new_environment(tmp_path_factory.mktemp("bare") / "venv")
    environment.install(built.wheel)
    return environment


@pytest.fixture
def program(bare: Environment, desk: Desk) -> Program:
    return Program(bare, desk)


class Program:
    """Runs the bare environment's programs at a desk."""

    def __init__(self, environment: Environment, desk: Desk) -> None:
        self._environment = environment
        self._desk = desk

    def python(self, *arguments: str, code: int = 0, **variables: str) -> Done:
        """Run Python with every warning as an error."""
        return self._run([str(self._environment.python), "-W", "error", *arguments], code, variables)

    def command(self, *arguments: str, code: int = 0, **variables: str) -> Done:
        """Run the command."""
        return self._run([str(self._environment.programs / "batch-outputs"), *arguments], code, variables)

    def _run(self, command: list[str], code: int, variables: dict[str, str]) -> Done:
        variables = self._desk.environment(variables)
        path = os.pathsep.join([str(self._environment.programs), variables["PATH"]])
        done = subprocess.run(
            command,
            cwd=self._desk.folder,
            env={**variables, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
        return self._desk.checked(Done(done.returncode, done.stdout, done.stderr), code)


def ended_process() -> int:
    """The number of a process that has ended just now."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    return child.pid


def test_it_holds_no_extra(program: Program) -> None:
    """The packages of the extras, and those for developers, are really not there; the types are."""
    look = "import importlib.util as i; print([n for n in {!r} if i.find_spec(n)])"
    absent = ["azure.identity", "azure.batch", "jinja2", "starlette", "uvicorn", "pytest", "mypy", "pip"]
    assert program.python("-c", look.format(absent)).out == "[]\n"
    typed = "import batch_outputs, pathlib; print(pathlib.Path(batch_outputs.__file__).with_name('py.typed').exists())"
    assert program.python("-c", typed).out == "True\n"


def test_every_module_can_be_imported(program: Program) -> None:
    """Nothing but the page needs an extra to be imported."""
    imported = program.python("-c", IMPORT_ALL).out.split()
    assert {"batch_outputs.sync", "batch_outputs.cli.browse", "batch_outputs.client.sync"} <= set(imported)
    assert "batch_outputs.client.templates.expand" in imported


def test_help_is_shown(program: Program) -> None:
    """Each command shows its page, also those that need an extra."""
    overview = program.command("--help").out
    for command in ("run", "save", "list", "browse", "template", "try", "prepare"):
        assert f"  {command} " in overview
        assert f"Usage: batch-outputs {command}" in program.command(command, "--help").out
    assert program.command("--version").out.strip()


@pytest.mark.parametrize("place", ["folder", "service"])
def test_outputs_are_saved_and_read(place: str, program: Program, desk: Desk, request: pytest.FixtureRequest) -> None:
    """`run`, `save`, `track`, `list`, `cat` and `download` do their work, in a folder and in a storage account."""
    if place == "service":
        container: Container = request.getfixturevalue("container")
        desk.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": container.sas_url(), "AZ_BATCH_TASK_ID": "task"}
    desk.write("a.csv", "1,2\n")
    program.command("run", "--save", "*.csv", "--", "python", "-c", "print('hello')")
    program.command("save", "--kind", "TaskPreview", "a.csv")
    program.command("track", "--until-exit", str(ended_process()), "a.csv")
    listed = [json.loads(line)["blob"] for line in program.command("list", "--json").out.splitlines()]
    assert sorted(listed) == [
        "task/$TaskLog/a.csv",
        "task/$TaskLog/stderr.txt",
        "task/$TaskLog/stdout.txt",
        "task/$TaskOutput/a.csv",
        "task/$TaskPreview/a.csv",
    ]
    assert program.command("cat", "stdout.txt").out.splitlines() == ["hello"]
    program.command("download", "--to", "got")
    assert len(list((desk.folder / "got").rglob("*.csv"))) == 3


def test_a_log_is_tracked(program: Program, desk: Desk, url: str) -> None:
    """The blocking library tracks a log and saves files, in a folder and in a storage account."""
    desk.write("a.csv", "1,2\n")
    done = program.python("-c", SAVE_TRACKED, URL=url)
    assert done.out.splitlines() == ["t1/$TaskLog/progress.log True step 1 of 1", "t1/$TaskOutput/a.csv True 1,2"]


def test_a_job_is_tried(program: Program, desk: Desk) -> None:
    """A job file needs no azure-batch: it is read and run as it is."""
    task = {"id": "1", "commandLine": "batch-outputs run -- python -c \"print('hello')\""}
    desk.write("job.json", json.dumps({"id": "hello", "tasks": [task]}))
    program.command("try", "job.json")
    assert program.command("cat", "--job", "hello", "--task", "1", "stdout.txt").out.split() == ["hello"]


def test_the_page_says_what_it_needs(program: Program) -> None:
    """Without the page's packages `browse` names one and says how to get all."""
    (sentence,) = program.command("browse", "--no-open", code=FAILED).sentences
    assert sentence == (
        "The page needs jinja2, which is not installed; install it with pip install 'batch-outputs[browse]'."
    )


@pytest.mark.parametrize("on_node", [False, True])
def test_an_identity_says_what_it_needs(program: Program, on_node: bool) -> None:
    """Without azure-identity a URL without a SAS is refused before any request, with what to install."""
    variables = {"AZ_BATCH_NODE_ID": "node", "AZ_BATCH_POOL_ID": "pool"} if on_node else {}
    url = "https://acct.blob.core.windows.net/job-x"
    (sentence,) = program.command("list", "--container-url", url, code=FAILED, **variables).sentences
    assert sentence == (
        "A URL without a SAS or key needs azure-identity; install it with pip install 'batch-outputs[identity]', "
        "or give a SAS."
    )


def test_models_say_what_they_need(program: Program) -> None:
    """Without azure-batch what makes its models says how to get it, and what makes none works."""
    *sentences, container = program.python("-c", WITHOUT_BATCH).out.splitlines()
    assert sentences == [NEEDS_BATCH] * 4
    assert container == "job-job"


def test_extras_go_by_the_names_that_are_told(built: Distributions, tmp_path: Path) -> None:
    """What these sentences say to install gives what was lacking."""
    full = new_environment(tmp_path / "venv")
    full.install(f"{built.wheel}[batch,browse,identity]")
    look = "import azure.batch.models, azure.identity, jinja2, starlette, uvicorn, batch_outputs.browse.server"
    subprocess.run([full.python, "-W", "error", "-c", look], cwd=tmp_path, check=True, timeout=TIMEOUT)
