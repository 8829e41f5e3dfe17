"""Paths, folders and patterns lead to files, each with one name, or to an error that names them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from batch_outputs.errors import InvalidNameError, SourceError, SourceNotFoundError
from batch_outputs.sources import OWN_FOLDER, Folders, Source, find_sources

FILES = [
    *("frame1.png", "frame2.png", "notes.txt", ".hidden.txt", "[odd].txt"),
    *("out/a.txt", "out/b.png", "out/deep/c.txt", "out/.d/e.txt", "out/.f.txt"),
    f"{OWN_FOLDER}/run/stdout",
]
HERE = Folders()


@pytest.fixture
def task_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task's directory, with the current one below it as Batch has it."""
    for name in FILES:
        path = tmp_path / "wd" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "wd" / "empty").mkdir()
    (tmp_path / "stdout.txt").touch()
    monkeypatch.chdir(tmp_path / "wd")
    return tmp_path


def names(
    *specifications: str | os.PathLike[str], folders: Folders = HERE, environ: Mapping[str, str] | None = None
) -> list[str]:
    """The names of the files meant, in order; nothing may be missing, and each source can be opened."""
    sources, failed = find_sources(specifications, folders, environ or {})
    assert failed == []
    assert all(os.path.isfile(source.path) for source in sources)
    return [source.name for source in sources]


@pytest.mark.usefixtures("task_dir")
class TestWhatIsMeant:
    @pytest.mark.parametrize(
        ("specifications", "expected"),
        [
            (["notes.txt"], ["notes.txt"]),
            (["./notes.txt"], ["notes.txt"]),
            ([".hidden.txt"], [".hidden.txt"]),
            (["../stdout.txt"], ["stdout.txt"]),
            (["*.txt"], ["[odd].txt", "notes.txt"]),
            (["*.png", "*.txt"], ["frame1.png", "frame2.png", "[odd].txt", "notes.txt"]),
            (["frame[12].png"], ["frame1.png", "frame2.png"]),
            (["**/*.txt"], ["[odd].txt", "notes.txt", "out/a.txt", "out/deep/c.txt"]),
            (["out/**"], ["out/a.txt", "out/b.png", "out/deep/c.txt"]),
            (["out"], ["out/.d/e.txt", "out/.f.txt", "out/a.txt", "out/b.png", "out/deep/c.txt"]),
            (["out/"], ["out/.d/e.txt", "out/.f.txt", "out/a.txt", "out/b.png", "out/deep/c.txt"]),
            (["../*.txt"], ["stdout.txt"]),
            (["../wd/*.png"], ["wd/frame1.png", "wd/frame2.png"]),
            (["$KIND.txt"], ["notes.txt"]),
            (["$FOLDER/*.txt"], ["out/a.txt"]),
            (["$FOLDER"], ["out/.d/e.txt", "out/.f.txt", "out/a.txt", "out/b.png", "out/deep/c.txt"]),
            ([".*"], [".hidden.txt"]),
            # A name that exists is that file, whatever characters it has.
            (["[odd].txt"], ["[odd].txt"]),
            # Each file once, where it was meant first.
            (["notes.txt", "*.txt", "./notes.txt"], ["notes.txt", "[odd].txt"]),
        ],
    )
    def test_below_the_current_folder(self, specifications: Sequence[str], expected: Sequence[str]) -> None:
        """Files, folders and patterns are relative to the current folder, and so are names."""
        assert names(*specifications, environ={"KIND": "notes", "FOLDER": "out"}) == list(expected)

    def test_a_whole_folder_without_our_own(self) -> None:
        """Everything in a folder is meant, dotfiles too, except for what waits to be saved by other means."""
        assert names(".") == sorted(set(FILES) - {f"{OWN_FOLDER}/run/stdout"}, key=lambda name: name.split("/"))

    def test_not_the_folder_outputs_are_stored_in(self, task_dir: Path) -> None:
        """A store below the folder that is saved is not saved into itself."""
        folders = Folders(skip=str(task_dir / "wd" / "out"))
        assert names("**/*.txt", folders=folders) == ["[odd].txt", "notes.txt"]
        assert "out/a.txt" not in names(".", folders=folders)

    def test_absolute_paths(self, task_dir: Path) -> None:
        """Absolute paths and patterns are named below the task's directories, and nowhere else."""
        folders = Folders(working_dir=str(task_dir / "wd"), task_dir=str(task_dir))
        assert names(task_dir / "wd" / "*.png", folders=folders) == ["frame1.png", "frame2.png"]
        assert names(task_dir / "stdout.txt", task_dir / "wd" / "out" / "deep", folders=folders) == [
            "stdout.txt",
            "out/deep/c.txt",
        ]
        with pytest.raises(InvalidNameError, match="which name"):
            names(task_dir / "stdout.txt")

    def test_below_a_base(self, task_dir: Path) -> None:
        """With a base, paths and names are relative to it, wherever the current folder is."""
        for base in ("out", str(task_dir / "wd" / "out"), "./out/"):
            assert names("**/*.txt", folders=Folders(base)) == ["a.txt", "deep/c.txt"]
            assert names(".", folders=Folders(base)) == [".d/e.txt", ".f.txt", "a.txt", "b.png", "deep/c.txt"]
            assert names("deep/../a.txt", folders=Folders(base)) == ["a.txt"]
            assert names(task_dir / "wd" / "out" / "a.txt", folders=Folders(base)) == ["a.txt"]
            for outside in ("../notes.txt", str(task_dir / "stdout.txt")):
                with pytest.raises(InvalidNameError, match="outside the base"):
                    names(outside, folders=Folders(base))


@pytest.mark.usefixtures("task_dir")
class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("specification", "reason"),
        [
            ("missing.txt", "no file missing.txt"),
            ("missing/*.txt", "No file matches"),
            ("*.jpg", "No file matches"),
            ("notes.txt/*", "No file matches"),
            ("empty", "folder empty holds no file"),
            ("empty/*", "No file matches"),
            ("$UNKNOWN/x", "no file"),
        ],
    )
    def test_what_leads_nowhere(self, specification: str, reason: str) -> None:
        """A path or pattern without a file is named; the others are found all the same."""
        sources, failed = find_sources(["notes.txt", specification, "out/b.png"], Folders(), {})
        assert [source.name for source in sources] == ["notes.txt", "out/b.png"]
        (error,) = failed
        assert isinstance(error, SourceNotFoundError)
        assert reason in str(error)
        assert error.path == specification

    def test_two_files_with_one_name(self, task_dir: Path) -> None:
        """Of two files that would get one name neither is taken."""
        (task_dir / "notes.txt").touch()
        with pytest.raises(InvalidNameError, match=r"both be saved as notes\.txt") as refused:
            find_sources(["notes.txt", "../notes.txt"], Folders(), {})
        assert refused.value.name == "notes.txt"

    @pytest.mark.skipif(os.name == "nt", reason="this is about the limits and permissions of POSIX systems")
    def test_an_unreadable_folder_hides_nothing_else(self, task_dir: Path) -> None:
        """A folder that cannot be listed gives one error, and the files beside it are found."""
        deep = task_dir / "wd" / "out" / "deep"
        if os.geteuid() == 0:
            # Root may read everything, so what cannot be read is a path too long for the system.
            fd = os.open(deep, os.O_RDONLY)
            try:
                for _ in range(5000 // 200):
                    os.mkdir("x" * 200, dir_fd=fd)
                    inner = os.open("x" * 200, os.O_RDONLY, dir_fd=fd)
                    os.close(fd)
                    fd = inner
            finally:
                os.close(fd)
        else:
            deep.chmod(0)
        try:
            sources, failed = find_sources(["out"], Folders(), {})
            assert {"out/a.txt", "out/b.png"} <= {source.name for source in sources}
            (error,) = failed
            assert isinstance(error, SourceError)
            assert not isinstance(error, SourceNotFoundError)
            assert "cannot be read" in str(error)
        finally:
            deep.chmod(0o700)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
class TestLinks:
    def test_links_to_folders_are_not_walked_into(self, task_dir: Path) -> None:
        """A link to a folder above does not lead round and round; a link to a file is that file."""
        (task_dir / "wd" / "out" / "up").symlink_to("..")
        (task_dir / "wd" / "out" / "link.txt").symlink_to("../notes.txt")
        assert names("out/**") == ["out/a.txt", "out/b.png", "out/deep/c.txt", "out/link.txt"]

    def test_a_link_that_is_named_is_followed(self, task_dir: Path) -> None:
        """Who names a link to a folder means the files in it."""
        (task_dir / "wd" / "link").symlink_to("out")
        assert names("link/*.txt", "link/deep") == ["link/a.txt", "link/deep/c.txt"]

    def test_pipes_in_a_folder_are_no_files(self, task_dir: Path) -> None:
        """What is not a file is left out of a folder; named, it is found, and refused when it is opened."""
        os.mkfifo(task_dir / "wd" / "out" / "pipe")
        assert "out/pipe" not in names("out")
        assert find_sources(["out/pipe"], Folders(), {}) == ([Source("out/pipe", "out/pipe")], [])
