"""Where the tests are run on the wheel, all of them are: nothing else is imported, neither here nor in children."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import batch_outputs
from support.command import Desk
from support.installations import DIST, ROOT, Distributions

pytestmark = pytest.mark.skipif(DIST not in os.environ, reason=f"{DIST} names no wheel that would be installed")
SHOW = "import batch_outputs; print(batch_outputs.__file__)"


@pytest.fixture
def site_packages() -> Path:
    """Where installed packages are."""
    return Path(sysconfig.get_path("purelib"))


@pytest.fixture
def installed(site_packages: Path) -> Path:
    """The file that an import of the package should load."""
    return site_packages / "batch_outputs" / "__init__.py"


def test_the_tests_import_what_is_installed(installed: Path) -> None:
    """The package that this process has imported is not the one in the tree."""
    assert Path(batch_outputs.__file__ or "") == installed
    assert not installed.is_relative_to(ROOT)


def test_what_is_installed_is_the_wheel(built: Distributions, site_packages: Path) -> None:
    """Each file of the wheel is there as it is in it, and beside them there is none of the package."""
    with zipfile.ZipFile(built.wheel) as wheel:
        package = {name: wheel.read(name) for name in wheel.namelist() if not name.endswith(".dist-info/RECORD")}
    assert [name for name, content in package.items() if (site_packages / name).read_bytes() != content] == []
    there = {path for path in (site_packages / "batch_outputs").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {path.relative_to(site_packages).as_posix() for path in there} == {
        name for name in package if name.startswith("batch_outputs/")
    }


@pytest.mark.parametrize("folder", ["root", "tests", "elsewhere"])
def test_children_import_what_is_installed(folder: str, tmp_path: Path, installed: Path) -> None:
    """A Python that a test starts, wherever that is, imports the same."""
    where = {"root": ROOT, "tests": ROOT / "tests", "elsewhere": tmp_path}[folder]
    shown = subprocess.run([sys.executable, "-c", SHOW], cwd=where, capture_output=True, text=True, check=True).stdout
    assert Path(shown.strip()) == installed


def test_the_command_is_the_installed_one(desk: Desk, installed: Path) -> None:
    """So do the command as the tests run it and, on the path of a shell, `batch-outputs` and `python`."""
    show = desk.shell(f'python -c "{SHOW}"').out
    assert Path(show.strip()) == installed
    command = Path(desk.shell("command -v batch-outputs").out.strip())
    assert command.parent == Path(sys.executable).parent
    assert str(Path(sys.executable).parent) in command.read_text(encoding="utf-8").splitlines()[0]
