"""Patterns of files, by the rules of the Batch service's upload rules (`OutputFile.filePattern`).

`*` matches within a name, `**` any folders, `?` one character, `[abc]`, `[a-c]` and `[!abc]` one of a set. A name that
begins with a dot is matched only by a pattern that writes the dot. A wildcard in brackets (`[*]`) means itself.
Environment variables are expanded first: `$VAR` on Linux, `%VAR%` on Windows. `\\` separates on Windows only.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Self

_WILDCARD = re.compile(r"[*?\[]")
_LINUX_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_WINDOWS_VARIABLE = re.compile(r"%([^%]+)%")


class Pattern(NamedTuple):
    """A pattern, cut where its wildcards begin.

    `base` is the folder before the first wildcard (empty: where the pattern is relative to); `segments` are matched
    against the path below it. Without a wildcard, `segments` is empty and `base` is the path itself.
    """

    base: str
    segments: tuple[str, ...]
    ignore_case: bool = False

    @classmethod
    def parse(cls, text: str, *, environ: Mapping[str, str] | None = None, windows: bool = False) -> Self:
        """Read a pattern; variables that `environ` does not have stay as they are written."""
        expanded = _expand(text, environ or {}, windows=windows)
        if windows:
            expanded = expanded.replace("\\", "/")
        head, wild = _cut(expanded, windows=windows)
        return cls(head, wild, ignore_case=windows)

    @property
    def is_literal(self) -> bool:
        """Whether the pattern is a plain path."""
        return not self.segments

    def matches(self, path: Sequence[str]) -> bool:
        """Whether a file matches, its path given as segments below `base`."""
        return self._match(tuple(path), self.segments, partly=False)

    def matches_name(self, name: str) -> bool:
        """Whether a file matches, its name given with `/` and relative to where the pattern is."""
        base = posixpath.normpath(self.base) if self.base else ""
        below = "" if base in {"", "."} else f"{base}/"
        return name.startswith(below) and self.matches(name.removeprefix(below).split("/"))

    def may_match_below(self, folder: Sequence[str]) -> bool:
        """Whether a file in or below this folder (segments below `base`) could match."""
        return self._match(tuple(folder), self.segments, partly=True)

    def _match(self, path: tuple[str, ...], pattern: tuple[str, ...], *, partly: bool) -> bool:
        if pattern[-1:] == ("**",):
            pattern = (*pattern, "*")  # a closing `**` stands for the files below, however deep, and not for none
        # The positions in the pattern that the path read so far can have reached, as in a finite automaton: patterns
        # with many `**` stay fast.
        reached = _skip_folders({0}, pattern)
        for segment in path:
            advanced = set()
            for position in reached:
                if position == len(pattern):
                    continue
                if pattern[position] == "**":
                    if not segment.startswith("."):
                        advanced.add(position)
                elif self._matches_segment(segment, pattern[position]):
                    advanced.add(position + 1)
            reached = _skip_folders(advanced, pattern)
        if partly:
            return any(position < len(pattern) for position in reached)
        return len(pattern) in reached

    def _matches_segment(self, name: str, pattern: str) -> bool:
        if name.startswith(".") and not pattern.startswith("."):
            return False
        return _segment_regex(pattern, self.ignore_case).fullmatch(name) is not None


def has_wildcard(text: str) -> bool:
    """Whether the text has a wildcard character."""
    return _WILDCARD.search(text) is not None


def _expand(text: str, environ: Mapping[str, str], *, windows: bool) -> str:
    variable = _WINDOWS_VARIABLE if windows else _LINUX_VARIABLE

    def value(match: re.Match[str]) -> str:
        name = next(filter(None, match.groups()))
        return environ.get(name, match.group())

    return variable.sub(value, text)


def _cut(text: str, *, windows: bool) -> tuple[str, tuple[str, ...]]:
    if not has_wildcard(text):
        return text, ()
    segments = text.split("/")
    first = next(i for i, segment in enumerate(segments) if has_wildcard(segment))
    base = "/".join(segments[:first])
    if first == 1 and (not base or (windows and base.endswith(":"))):
        base += "/"  # the root; `C:` alone would be the drive's current folder
    return base, tuple(segment for segment in segments[first:] if segment not in {"", "."})


def _skip_folders(positions: set[int], pattern: tuple[str, ...]) -> set[int]:
    """Add the positions behind each `**` reached, since it also stands for no folder at all."""
    closed = set(positions)
    for position in positions:
        following = position
        while following < len(pattern) and pattern[following] == "**":
            following += 1
            closed.add(following)
    return closed


@lru_cache(maxsize=512)
def _segment_regex(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    parts: list[str] = []
    i = 0
    while i < len(pattern):
        char = pattern[i]
        closing = _set_end(pattern, i) if char == "[" else -1
        if char == "*":
            parts.append(".*")
        elif char == "?":
            parts.append(".")
        elif closing > 0:
            parts.append(_set_regex(pattern[i + 1 : closing]))
            i = closing
        else:
            parts.append(re.escape(char))
        i += 1
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _set_end(pattern: str, start: int) -> int:
    """Where the `]` of a set is; a `]` right behind `[` or `[!` is a member. -1 without one: the `[` means itself."""
    first = start + 2 if pattern[start + 1 : start + 2] == "!" else start + 1
    return pattern.find("]", first + 1)


def _set_regex(content: str) -> str:
    negated = content.startswith("!")
    members = content[1:] if negated else content
    pieces: list[str] = []
    i = 0
    while i < len(members):
        if i + 2 < len(members) and members[i + 1] == "-":
            low, high = members[i], members[i + 2]
            if low <= high:
                pieces.append(f"{re.escape(low)}-{re.escape(high)}")
            i += 3
        else:
            pieces.append(re.escape(members[i]))
            i += 1
    if not pieces:
        return "." if negated else r"(?!)"
    return f"[{'^' if negated else ''}{''.join(pieces)}]"
