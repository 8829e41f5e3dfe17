"""Where downloads go: below the target, whatever the blob is called, on both systems."""

from __future__ import annotations

import ntpath
import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_outputs.local_names import local_path

NAMES = st.one_of(
    st.text(min_size=1),
    st.lists(
        st.sampled_from(
            [
                "..",
                ".",
                "",
                "a",
                "x" * 300,
                "你" * 100,
                "😀" * 200,
                "C:",
                "con",
                "NUL.txt",
                "a\\..\\b",
                "...",
                "x. ",
                "com1 .log",
                "\x00",
                "~",
            ]
        ),
        min_size=1,
    ).map("/".join),
)


@pytest.mark.parametrize(
    ("name", "posix", "windows"),
    [
        ("frames/1.png", "frames/1.png", "frames\\1.png"),
        ("t1/$TaskLog/stdout.txt", "t1/$TaskLog/stdout.txt", "t1\\$TaskLog\\stdout.txt"),
        ("../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd", "%2E%2E\\%2E%2E\\etc\\passwd"),
        ("/etc/passwd", "%/etc/passwd", "%\\etc\\passwd"),
        ("a//b", "a/%/b", "a\\%\\b"),
        ("a/./b", "a/%2E/b", "a\\%2E\\b"),
        ("a\\..\\b", "a\\..\\b", "a%5C..%5Cb"),
        ("C:/x", "C:/x", "C%3A\\x"),
        ("nul\x00line\nend", "nul%00line%0Aend", "nul%00line%0Aend"),
        ("NUL.txt", "NUL.txt", "%4EUL.txt"),
        ("dot./space ", "dot./space ", "dot%2E\\space%20"),
        (".../x", ".../x", "..%2E\\x"),
        ("\x9b31m", "%9B31m", "%9B31m"),
        ("so?*<>|\"", "so?*<>|\"", "so%3F%2A%3C%3E%7C%22"),
        ("LONGNA~1.TXT", "LONGNA~1.TXT", "LONGNA%7E1.TXT"),
        (".0123456789abcdef.part", "%2E0123456789abcdef.part", "%2E0123456789abcdef.part"),
        ("a/.0123456789ABCDEF.from.x", "a/%2E0123456789ABCDEF.from.x", "a\\%2E0123456789ABCDEF.from.x"),
        (".gitignore", ".gitignore", ".gitignore"),
    ],
)  # fmt: skip
def test_table(name: str, posix: str, windows: str) -> None:
    """Names stay as they are where they can; what would climb, separate or mean a device is written with %XX."""
    assert local_path(name, windows=False) == posix
    assert local_path(name, windows=True) == windows


@given(NAMES)
def test_stays_below(name: str) -> None:
    """The path is relative, has no drive, and never leads above the folder."""
    for windows, system in ((False, posixpath), (True, ntpath)):
        path = local_path(name, windows=windows)
        assert not system.isabs(path)
        assert not system.splitdrive(path)[0]
        inside = system.normpath(system.join("top", path))
        assert inside.startswith(f"top{system.sep}")
        assert not any(ord(character) < 32 for character in path)
        assert "%" in path or path.replace(system.sep, "/") == name


@pytest.mark.parametrize("end", ["", ".png", ".tar.gz", ".no-extension-is-as-long-as-this", ".ü"])
def test_long_segments(end: str) -> None:
    """A segment that no disk holds is cut, keeps its extension, and stays another than those that begin alike."""
    for character in ("x", "ü", "你", "😀", "\x07"):
        names = [f"{character * 400}{number}{end}" for number in range(3)]
        for windows in (False, True):
            paths = [local_path(f"a/{name}/b", windows=windows) for name in names]
            assert len(set(paths)) == 3
            for path in paths:
                _, segment, _ = path.split("\\" if windows else "/")
                length = len(segment.encode("utf-16-le")) // 2 if windows else len(segment.encode())
                assert 230 < length <= 255
                assert segment.endswith(end[-3:] if end in {".png", ".tar.gz"} else "")
    assert local_path("x" * 255, windows=False) == "x" * 255
    assert local_path("你" * 255, windows=True) == "你" * 255


@given(NAMES)
def test_as_deep_as_the_name(name: str) -> None:
    """Each segment of the name is one of the path, so a folder stays a folder."""
    for windows, separator in ((False, "/"), (True, "\\")):
        segments = local_path(name, windows=windows).split(separator)
        assert len(segments) == name.count("/") + 1
        assert all(segments)
