"""The source distribution holds all that the project is made of, and the wheel the package and nothing else."""

from __future__ import annotations

import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from email import message_from_bytes
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement

from support.installations import ROOT, Distributions, uv

FOLDERS = ("benchmarks", "docs", "samples", "src", "tests")
FILES = (".gitignore", "CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml")
MADE = "PKG-INFO"
"""What the build adds to the source distribution."""
JUNK = ("__pycache__", "node_modules", ".*_cache", ".hypothesis", "*.py[co]")


@pytest.fixture(scope="module")
def sdist(built: Distributions) -> dict[str, bytes]:
    """The files of the source distribution, without the folder that holds them all."""
    with tarfile.open(built.sdist) as archive:
        found = {}
        for member in archive.getmembers():
            assert member.isfile(), member.name
            content = archive.extractfile(member)
            assert content is not None
            folder, _, name = member.name.partition("/")
            assert folder == built.sdist.name.removesuffix(".tar.gz")
            found[name] = content.read()
    return found


@pytest.fixture(scope="module")
def wheel(built: Distributions) -> dict[str, bytes]:
    """The files of the wheel."""
    return files_of(built.wheel)


@pytest.fixture(scope="module")
def about(wheel: Mapping[str, bytes]) -> dict[str, bytes]:
    """What the wheel holds about the package."""
    return {
        PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix(): content
        for name, content in wheel.items()
        if ".dist-info/" in name
    }


def files_of(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files_below(folder: Path) -> dict[str, bytes]:
    """The files of a folder of the tree, without what tools leave there."""
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    kept = [name for name in names if not any(fnmatch(part, junk) for part in name.parts for junk in JUNK)]
    return {name.as_posix(): (folder / name).read_bytes() for name in kept}


def test_the_source_distribution_is_the_tree(sdist: Mapping[str, bytes]) -> None:
    """Package, tests, documents, samples and benchmarks are in it, byte for byte; nothing that was left lying about."""
    tree = {
        **{f"{folder}/{name}": content for folder in FOLDERS for name, content in files_below(ROOT / folder).items()},
        **{name: (ROOT / name).read_bytes() for name in FILES},
    }
    assert sorted(sdist) == sorted([*tree, MADE])
    assert [name for name in tree if sdist[name] != tree[name]] == []


def test_the_wheel_holds_the_package_only(wheel: Mapping[str, bytes]) -> None:
    """What is below `src` is in it, with its types, templates and page; beside that, only what is about the package."""
    package = files_below(ROOT / "src")
    assert {name: content for name, content in wheel.items() if ".dist-info/" not in name} == package
    for needed in ("py.typed", "browse/templates/base.html", "browse/static/style.css"):
        assert f"batch_outputs/{needed}" in package
    assert {name.partition("/")[0] for name in wheel} == {"batch_outputs", f"batch_outputs-{version()}.dist-info"}


def test_the_tree_makes_the_same_wheel(built: Distributions, tmp_path: Path) -> None:
    """Whoever builds a wheel from the tree gets, to the byte, the one that came from the source distribution."""
    uv("build", "--wheel", "--out-dir", tmp_path)
    (again,) = tmp_path.glob("*.whl")
    assert again.name == built.wheel.name
    assert again.read_bytes() == built.wheel.read_bytes()


def test_what_the_wheel_says_of_itself(about: Mapping[str, bytes]) -> None:
    """Its metadata is valid by the rules of the index, with the whole README, the licence and the command."""
    assert set(about) == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    assert about["licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert about["entry_points.txt"].decode().split() == [
        *("[console_scripts]", "batch-outputs", "=", "batch_outputs.cli:main")
    ]
    assert b"Tag: py3-none-any\n" in about["WHEEL"]
    metadata = Metadata.from_email(about["METADATA"], validate=True)
    assert (metadata.name, str(metadata.version)) == ("batch-outputs", version())
    assert metadata.description_content_type == "text/markdown"
    assert message_from_bytes(about["METADATA"]).get_payload(decode=True) == (ROOT / "README.md").read_bytes()
    assert metadata.license_expression == "MIT"
    assert metadata.license_files == ["LICENSE"]


def test_requirements_have_a_lowest_version(about: Mapping[str, bytes]) -> None:
    """Each thing that a user's installation needs says from which version on, and forbids no later one."""
    metadata = Metadata.from_email(about["METADATA"], validate=True)
    assert metadata.provides_extra == ["batch", "browse", "dev", "identity"]
    needed = [requirement for requirement in metadata.requires_dist or () if not is_of_dev(requirement)]
    assert len(needed) > 8
    for requirement in needed:
        assert [one.operator for one in requirement.specifier] == [">="], requirement


def is_of_dev(requirement: Requirement) -> bool:
    return 'extra == "dev"' in str(requirement.marker)


def version() -> str:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project: str = tomllib.loads(text)["project"]["version"]
    return project
