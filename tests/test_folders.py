"""Files that have no name until they are whole: in their place all at once, and never by a link."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from batch_outputs.folders import Folders
from batch_outputs.part_file import PartFile
from support.command import Desk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no files without a name")

SECOND = 10**9


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A folder to write into, which is not there yet."""
    return tmp_path / "target"


def made(folders: Folders, path: Path, content: bytes = b"x") -> bool:
    """Make a file, if there is a quick way."""
    with folders.new_file(str(path)) as file:
        if file is None:
            return False
        file.write(content)
        file.put_in_place(SECOND)
    return True


def names(folder: Path) -> list[str]:
    """All that is in a folder and those below it, hidden or not."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def open_files() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def test_whole_or_not_at_all(target: Path) -> None:
    """A file appears with all its content and its time; one that is given up leaves nothing, and nothing stays open."""
    before = open_files()
    with Folders(str(target)) as folders:
        for path in ("a", "b", "sub/c", "sub/deep/d", "e"):
            with folders.new_file(str(target / path)) as file:
                assert file is not None
                assert file.write(b"1234") == 4
                assert file.write(b"5678") == 4
                assert not (target / path).exists()
                file.put_in_place(5 * SECOND + 100)
            assert (target / path).read_bytes() == b"12345678"
            assert (target / path).stat().st_mtime_ns == 5 * SECOND + 100
        with folders.new_file(str(target / "given up")) as file:
            assert file is not None
            file.write(b"1")
        with pytest.raises(ValueError, match="broken off"), folders.new_file(str(target / "f")) as file:
            raise ValueError("broken off")
    assert names(target) == ["a", "b", "e", "sub/c", "sub/deep/d"]
    assert open_files() == before


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o000])
def test_permissions(target: Path, umask: int) -> None:
    """A file has the permissions that any new file gets."""
    usual = os.umask(umask)
    try:
        with Folders(str(target)) as folders:
            assert made(folders, target / "a")
        (target / "b").write_bytes(b"x")
    finally:
        os.umask(usual)
    assert (target / "a").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (target / "a").stat().st_mode == (target / "b").stat().st_mode


def test_what_is_there_already(target: Path) -> None:
    """What has the name, or is left of an earlier fetch, is left to the careful way; beside it files are made."""
    target.mkdir()
    (target / "file").write_bytes(b"before")
    (target / "link").symlink_to("nowhere")
    (target / "folder").mkdir()
    part = PartFile(str(target / "begun"), "source")
    part.wrote(part.write(b"begun"))
    part.close(keep=True)
    with Folders(str(target)) as folders:
        assert not any(made(folders, target / name) for name in ("file", "link", "folder", "begun"))
        assert made(folders, target / "new")
        with folders.new_file(str(target / "late")) as file:
            assert file is not None
            (target / "late").write_bytes(b"was quicker")
            with pytest.raises(FileExistsError):
                file.put_in_place(0)
    assert (target / "file").read_bytes() == b"before"
    assert (target / "late").read_bytes() == b"was quicker"
    assert len(names(target)) == 6


def test_links_on_the_way(target: Path, tmp_path: Path) -> None:
    """No link below the root is followed, and one planted behind our back leads nowhere; the root may be one."""
    outside = tmp_path / "outside"
    outside.mkdir()
    target.mkdir()
    (target / "link").symlink_to(outside)
    (tmp_path / "root").symlink_to(target)
    with Folders(str(tmp_path / "root")) as folders:
        for path in ("link/a", "link/sub/a"):
            with pytest.raises(OSError, match=r"link|director"):
                made(folders, tmp_path / "root" / path)
        with pytest.raises(NotADirectoryError):
            made(folders, outside / "a")
        assert made(folders, tmp_path / "root" / "sub/a")
        (target / "sub").rename(target / "moved")
        (target / "sub").symlink_to(outside)
        assert made(folders, tmp_path / "root" / "sub/b")
    assert names(outside) == []
    assert names(target / "moved") == ["a", "b"]


WITHOUT = """
import errno, os, sys
from batch_outputs.cli import main

def refuse(event, arguments):
    if event == "{event}" and {case}:
        os.write(1, b"!")
        raise OSError(errno.EOPNOTSUPP, "not on this disk")

sys.addaudithook(refuse)
main()
"""


@pytest.mark.parametrize(
    ("event", "case"), [("open", "(arguments[2] or 0) & os.O_TMPFILE == os.O_TMPFILE"), ("os.link", "True")]
)
def test_a_disk_that_has_none(desk: Desk, event: str, case: str) -> None:
    """Where the disk has no files without a name, all come in the way that every disk knows."""
    contents = {f"{number:02}": b"%d" % number for number in range(50)}
    for name, content in contents.items():
        desk.write(f"many/{name}", content)
    desk.run("save", "many")
    command = ("download", "--task", "task", "--kind", "TaskOutput", "--to", "target")
    program = WITHOUT.format(event=event, case=case)
    child = [sys.executable, "-c", program, *command]
    done = subprocess.run(child, cwd=desk.folder, env=desk.environment(), check=True, stdout=subprocess.PIPE)
    assert 0 < done.stdout.count(b"!") < len(contents)  # it was tried, and not again and again
    assert {path.name: path.read_bytes() for path in (desk.folder / "target/many").iterdir()} == contents
