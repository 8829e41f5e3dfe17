"""Patterns match what the Batch service's upload rules match, rule by rule, and as a slow and obvious matcher does."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_outputs.patterns import Pattern, has_wildcard


def matches(pattern: str, path: str, *, windows: bool = False) -> bool:
    """Whether a file matches; both are relative to the same folder."""
    parsed = Pattern.parse(pattern, windows=windows)
    if parsed.is_literal:
        return parsed.base == path
    base = f"{parsed.base}/" if parsed.base else ""
    if windows and not path.lower().startswith(base.lower()):
        return False
    if not windows and not path.startswith(base):
        return False
    return parsed.matches(path[len(base) :].split("/"))


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        # `*` stays within a name.
        ("*.txt", ["a.txt", " .txt", "a.b.txt", "ü.txt", "a\n.txt"], ["a.txtx", "d/a.txt", ".txt", "txt", "a.TXT"]),
        ("*", ["a", "a.txt", "a b"], ["d/a", ".a"]),
        ("a*b*c", ["abc", "a--b--c", "abbcc"], ["ab", "abcd", "a/bc"]),
        ("out/*", ["out/a"], ["a", "out", "out/d/a", "outx/a", "out/.a"]),
        ("*/a", ["d/a"], ["a", "d/e/a", ".d/a"]),
        # `**` stands for any folders, none too.
        ("**", ["a", "d/a", "d/e/a"], [".a", "d/.a", ".d/a"]),
        ("**/*.txt", ["a.txt", "d/a.txt", "d/e/a.txt"], ["a.png", ".d/a.txt", "d/.e/a.txt", "d/.a.txt"]),
        ("d/**", ["d/a", "d/e/a"], ["d", "a", "e/a", "d/.e/a"]),
        ("d/**/a", ["d/a", "d/x/a", "d/x/y/a"], ["a", "d/xa", "d/a/b"]),
        ("**/d/**/a", ["d/a", "x/d/a", "x/d/y/a", "d/d/a"], ["a", "x/a", "d/b"]),
        ("**/**/a", ["a", "d/a", "d/e/f/a"], ["b"]),
        ("d*/**", ["d/a", "dx/a", "dx/e/a"], ["d", "dx", "x/a", "dx/.a"]),
        ("d**e", ["de", "dxe", "dxxe"], ["d/e", "dx/e"]),
        # `?` is one character.
        ("?.txt", ["a.txt", "ü.txt", "😀.txt"], [".txt", "ab.txt", "/.txt"]),
        ("??", ["ab"], ["a", "abc", ".a"]),
        # Sets.
        ("[abc]", ["a", "b", "c"], ["d", "ab", "A", ""]),
        ("[a-c]1", ["a1", "b1", "c1"], ["d1", "-1", "B1"]),
        ("[a-c0-9_]", ["b", "7", "_"], ["-", "d"]),
        ("[!abc]", ["d", "!", "ü"], ["a", "b", "dd", "."]),
        ("[!a-c]x", ["dx", "-x"], ["ax", ".x"]),
        ("[]]", ["]"], ["[", "[]]"]),
        ("[]a]", ["]", "a"], ["b"]),
        ("[!]]", ["a"], ["]"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("[-a]", ["a", "-"], ["b"]),
        ("[c-a]", [], ["a", "b", "c", "-"]),
        ("[a!]", ["a", "!"], ["b"]),
        ("[^a]", ["^", "a"], ["b"]),
        (r"[\d]", ["\\", "d"], ["1"]),
        ("[&&~~||a]", ["&", "~", "|", "a"], ["b"]),
        ("[*]", ["*"], ["a", "**"]),
        ("[?]", ["?"], ["a"]),
        ("[[]a]", ["[a]"], ["a", "[a"]),
        ("frame[0-9][0-9].png", ["frame07.png"], ["frame7.png", "frame077.png"]),
        ("a[b", ["a[b"], ["ab", "a[bc"]),
        ("a[", ["a["], ["a"]),
        ("a[]", ["a[]"], ["a"]),
        ("a[!]", ["a[!]"], ["ax"]),
        # Dotfiles need a dot that is written.
        (".*", [".a", ".txt"], ["a", "a.b"]),
        (".*/*", [".d/a"], ["d/a", ".d/.a"]),
        ("**/.*", [".a", "d/.a"], ["a", ".d/.a"]),
        ("**/.d/*", [".d/a", "x/.d/a"], ["d/a"]),
        ("?a", ["ba"], [".a"]),
        ("[.]a", [], [".a", "a"]),
        ("[!b]a", ["ca"], [".a"]),
        # Without a wildcard: the path itself.
        ("a.txt", ["a.txt"], ["aXtxt", "d/a.txt"]),
        ("d/{a,b}+$", ["d/{a,b}+$"], ["d/a"]),
        # Redundant slashes and dots.
        ("d//*", ["d/a"], ["d/e/a"]),
        ("*/./a", ["d/a"], ["a"]),
    ],
)
def test_each_rule(pattern: str, yes: list[str], no: list[str]) -> None:
    """A pattern matches these paths and not those."""
    found = Pattern.parse(pattern)
    base = found.base.rstrip("/")
    pattern = "/".join([*([base] if base else []), *found.segments])
    assert [path for path in yes if not matches(pattern, path)] == []
    assert [path for path in no if matches(pattern, path)] == []


@pytest.mark.parametrize(
    ("pattern", "base", "segments"),
    [
        ("a/b/*.txt", "a/b", ("*.txt",)),
        ("../*.log", "..", ("*.log",)),
        ("../stdout.txt", "../stdout.txt", ()),
        ("/a/b?/c", "/a", ("b?", "c")),
        ("/*", "/", ("*",)),
        ("/", "/", ()),
        ("**/x", "", ("**", "x")),
        ("a/[b]/../c", "a", ("[b]", "..", "c")),
        ("", "", ()),
    ],
)
def test_is_cut_where_wildcards_begin(pattern: str, base: str, segments: tuple[str, ...]) -> None:
    """The folder before the first wildcard is a path, not a pattern."""
    assert Pattern.parse(pattern) == Pattern(base, segments)
    assert Pattern.parse(pattern).is_literal == (not segments) == (not has_wildcard(pattern))


class TestVariables:
    ENVIRON: ClassVar = {"AZ_BATCH_TASK_ID": "t1", "DIR": "/data/x", "EMPTY": "", "PATTERN": "*.txt", "A B": "c"}

    @pytest.mark.parametrize(
        ("text", "meaning"),
        [
            ("$DIR/*.txt", "/data/x/*.txt"),
            ("${DIR}y/*", "/data/xy/*"),
            ("out/$AZ_BATCH_TASK_ID/*", "out/t1/*"),
            ("$DIRx/*", "$DIRx/*"),
            ("$UNKNOWN/a", "$UNKNOWN/a"),
            ("a$EMPTY/b", "a/b"),
            ("$PATTERN", "*.txt"),
            ("$$DIR", "$/data/x"),
            ("%DIR%/a", "%DIR%/a"),
            ("$", "$"),
            ("${}", "${}"),
        ],
    )
    def test_on_linux(self, text: str, meaning: str) -> None:
        """`$VAR` and `${VAR}` are replaced; what is not set stays as it is written."""
        assert Pattern.parse(text, environ=self.ENVIRON) == Pattern.parse(meaning)

    @pytest.mark.parametrize(
        ("text", "meaning"),
        [
            ("%DIR%\\*.txt", "/data/x/*.txt"),
            ("%A B%/*", "c/*"),
            ("%UNKNOWN%/a", "%UNKNOWN%/a"),
            ("$DIR/a", "$DIR/a"),
            ("100%/%AZ_BATCH_TASK_ID%", "100%/%AZ_BATCH_TASK_ID%"),
        ],
    )
    def test_on_windows(self, text: str, meaning: str) -> None:
        """`%VAR%` is replaced."""
        assert Pattern.parse(text, environ=self.ENVIRON, windows=True) == Pattern.parse(meaning, windows=True)


class TestWindows:
    def test_backslashes_separate_and_case_does_not_matter(self) -> None:
        """On Windows `\\` separates and names compare without case."""
        assert matches("Out\\*.TXT", "out/a.txt", windows=True)
        assert not matches("out\\*.txt", "out/d/a.txt", windows=True)

    def test_a_drive_is_no_current_folder(self) -> None:
        """`C:\\*` means the root of the drive, which `C:` alone would not."""
        assert Pattern.parse("C:\\*.txt", windows=True).base == "C:/"
        assert Pattern.parse("C:\\x\\*.txt", windows=True).base == "C:/x"

    def test_on_linux_a_backslash_is_a_character(self) -> None:
        """Elsewhere a backslash belongs to the name."""
        assert matches("a\\*", "a\\b")
        assert not matches("a\\*", "a/b")


# The slow and obvious matcher: every way to cut, tried in turn.


def slow_match(pattern: list[str], path: list[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        if len(pattern) == 1:
            return bool(path) and not any(name.startswith(".") for name in path)
        return slow_match(pattern[1:], path) or (
            bool(path) and not path[0].startswith(".") and slow_match(pattern, path[1:])
        )
    if not path or (path[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return slow_match_name(pattern[0], path[0]) and slow_match(pattern[1:], path[1:])


def slow_match_name(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(slow_match_name(pattern[1:], name[i:]) for i in range(len(name) + 1))
    if pattern[0] == "[" and (end := pattern.find("]", 3 if pattern[1:2] == "!" else 2)) > 0:
        negated = pattern[1] == "!"
        members = pattern[2:end] if negated else pattern[1:end]
        return bool(name) and slow_in_set(members, name[0]) != negated and slow_match_name(pattern[end + 1 :], name[1:])
    return bool(name) and pattern[0] in ("?", name[0]) and slow_match_name(pattern[1:], name[1:])


def slow_in_set(members: str, char: str) -> bool:
    while members:
        if len(members) > 2 and members[1] == "-":
            if members[0] <= char <= members[2]:
                return True
            members = members[3:]
        else:
            if members[0] == char:
                return True
            members = members[1:]
    return False


names = st.text("ab.-]!", min_size=1, max_size=4).filter(lambda name: name not in {".", ".."})
wild_names = st.text("ab.*?[]!-", min_size=1, max_size=5).filter(lambda name: name not in {".", ".."})
wild_paths = st.lists(st.just("**") | st.just("*") | wild_names, min_size=1, max_size=4)


@given(wild_paths, st.lists(names, min_size=1, max_size=4))
@settings(max_examples=400)
def test_agrees_with_the_slow_matcher(pattern: list[str], path: list[str]) -> None:
    """Whatever the pattern and the path, the answer is that of trying every way."""
    assert Pattern("", tuple(pattern)).matches(path) == slow_match(pattern, path)


@given(wild_paths, st.lists(names, min_size=2, max_size=4))
@settings(max_examples=400)
def test_no_folder_of_a_match_is_left_out(pattern: list[str], path: list[str]) -> None:
    """A walk that enters only folders that may hold a match finds every match."""
    parsed = Pattern("", tuple(pattern))
    if parsed.matches(path):
        assert all(parsed.may_match_below(path[:depth]) for depth in range(len(path)))


def test_folders_that_cannot_match_are_not_entered() -> None:
    """A walk need not enter what lies beside or below the pattern."""
    pattern = Pattern("", ("a*", "x"))
    assert pattern.may_match_below(["ab"])
    assert not pattern.may_match_below(["b"])
    assert not pattern.may_match_below(["ab", "x"])


def test_many_folder_wildcards_stay_fast() -> None:
    """Thirty `**` against thirty folders take no time to speak of, though the ways to cut them are countless."""
    assert not Pattern("", ("**", "a") * 30).matches(["a"] * 59 + ["b"])
