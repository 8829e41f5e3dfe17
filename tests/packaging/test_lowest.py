"""With the oldest versions that we say will do, what we promise still holds."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.version import Version

from support.installations import ROOT, Distributions, Environment, new_environment

FOR_TESTS = {"hypothesis", "packaging", "pytest", "pytest-xdist"}
"""Of what developers need, that which runs tests."""

CORE = (
    *("test_sync.py", "client/test_upload_rules.py", "runner/test_library.py"),
    *("cli/test_commands.py::test_save_list_cat_download", "browse/test_server.py::test_no_secret_is_told"),
    # What older versions than the lowest have been seen to fail at: of click, starlette and aiohttp.
    "cli/test_bad_input.py::test_wrong_usage_of_run",
    "browse/test_guard.py::test_paths_that_lead_elsewhere",
    "stores/azure/test_azure_secrets.py::test_unanswered",
    "stores/azure/test_azure_bulk.py::test_a_fault_in_one_block[wire-20971520]",
)
TIMEOUT = 300.0


@pytest.fixture(scope="module")
def requirements(built: Distributions) -> list[Requirement]:
    """What the wheel requires, with its extras, and what the tests need."""
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Metadata.from_email(wheel.read(name), validate=True)
    return [
        requirement
        for requirement in metadata.requires_dist or ()
        if 'extra == "dev"' not in str(requirement.marker) or requirement.name in FOR_TESTS
    ]


@pytest.fixture(scope="module")
def lowest(
    built: Distributions, requirements: list[Requirement], tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """A virtual environment with the wheel and the oldest version of each thing that it requires."""
    folder = tmp_path_factory.mktemp("lowest")
    listed = folder / "requirements.txt"
    listed.write_text("".join(f"{one.name}{one.specifier}\n" for one in requirements), encoding="utf-8")
    environment = new_environment(folder / "venv")
    environment.install("--resolution", "lowest-direct", "--requirements", listed)
    environment.install("--no-deps", built.wheel)
    return environment


def test_the_lowest_versions_are_real(lowest: Environment, requirements: list[Requirement]) -> None:
    """Each lower bound is a version that exists and goes together with all the others."""
    installed = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"
    names = [requirement.name for requirement in requirements]
    shown = subprocess.run(
        [lowest.python, "-c", installed, *names], capture_output=True, text=True, check=True, timeout=TIMEOUT
    )
    versions = map(Version, shown.stdout.split())
    bounds = [Version(one.version) for requirement in requirements for one in requirement.specifier]
    assert dict(zip(names, versions, strict=True)) == dict(zip(names, bounds, strict=True))


def test_the_core_works_with_the_lowest_versions(lowest: Environment, tmp_path: Path) -> None:
    """Saving, tracking, listing, reading, `run`, the command, the page and upload rules pass their own tests there."""
    done = subprocess.run(
        [
            *(
                lowest.python,
                "-m",
                "pytest",
                "--quiet",
                "-n0",
                "-p",
                "no:cacheprovider",
                f"--basetemp={tmp_path / 'base'}",
            ),
            *(f"tests/{test}" for test in CORE),
        ],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
