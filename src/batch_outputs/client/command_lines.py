"""Command lines of tasks: whether one wraps a program in `batch-outputs run`, and what that keeps.

A command line is read as far as it can be without running it: through shells (`/bin/sh -c "…"`, `cmd /c …`) and what
stands before a program (`exec`, `env`, `python -m`). What a script does that it calls is not known.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

RUN_FLAGS = frozenset(
    {
        *("--require", "--best-effort", "--per-node", "--watch-preemption", "--no-watch-preemption"),
        *("--help", "-h"),
    }
)
"""The options of `run` that take no value."""

RUN_OPTIONS = frozenset(
    {
        *("--save", "--as", "--when", "--checkpoint", "--restore", "--newest", "--report", "--flush-interval"),
        *("--flush-timeout", "--grace", "--stdout", "--stderr", "--spool", "--preempt-signal"),
        *("--job", "--task", "--container-url", "--account-url"),
    }
)
"""The options of `run` that take a value."""

_OURS = re.compile(r"(?:.*[/\\])?batch-outputs(?:\.exe)?", re.IGNORECASE | re.DOTALL)
_SHELL = re.compile(r"(?:.*[/\\])?(?:(?:ba|da|z|k|a)?sh|cmd|powershell|pwsh)(?:\.exe)?", re.IGNORECASE | re.DOTALL)
_WINDOWS = re.compile(r"\s*\"?(?:[A-Za-z]:\\|%|(?:[^\"\s]*\\)?(?:cmd|powershell)(?:\.exe)?[\"\s])", re.IGNORECASE)
_PUNCTUATION = ";&|()<>\n"
_SAYS_ONLY = {"echo", "printf", "rem", ":"}


@dataclass(frozen=True, slots=True)
class WrappedRun:
    """What one `batch-outputs run` of a command line is told; None where it is not."""

    streams: tuple[str, ...]
    """The files that its logs are named by, `stdout.txt` and `stderr.txt` unless these are `direct`."""
    per_node: bool
    task: str | None = None
    container_url: str | None = field(default=None, repr=False)


def wrapped_runs(command_line: str) -> list[WrappedRun]:
    """Every `batch-outputs run` that a command line starts, as far as that can be seen."""
    windows = _WINDOWS.match(command_line) is not None
    return [_read_options(arguments) for arguments in _runs(command_line, windows=windows)]


def _runs(command_line: str, *, windows: bool) -> Iterator[Sequence[str]]:
    """What stands behind each `batch-outputs run`."""
    for words in _simple_commands(_words(command_line, windows=windows)):
        if words[0].lower() in _SAYS_ONLY:
            continue
        in_shell = False
        for index, word in enumerate(words):
            is_ours = bool(_OURS.fullmatch(word)) or (word == "batch_outputs" and words[index - 1 : index] == ["-m"])
            if is_ours and words[index + 1 : index + 2] == ["run"]:
                yield words[index + 2 :]
                break
            if in_shell and len(word.split()) > 1:
                yield from _runs(word, windows=windows)
            in_shell = in_shell or bool(_SHELL.fullmatch(word))


def _words(command_line: str, *, windows: bool) -> list[str]:
    lexer = shlex.shlex(command_line, posix=True, punctuation_chars=_PUNCTUATION)
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    if windows:
        lexer.escape, lexer.quotes = "", '"'
    try:
        return list(lexer)
    except ValueError:
        return re.sub("[\"']", " ", command_line).split()  # a quotation that is not closed


def _simple_commands(words: Sequence[str]) -> Iterator[list[str]]:
    """The words, cut where one command of a shell ends and another begins."""
    current: list[str] = []
    for word in words:
        if word and not word.strip(_PUNCTUATION):
            if current:
                yield current
            current = []
        else:
            current.append(word)
    if current:
        yield current


def _read_options(arguments: Sequence[str]) -> WrappedRun:
    """The options that stand before the program, as the command itself reads them."""
    values: dict[str, str] = {}
    flags = set()
    rest = iter(arguments)
    for word in rest:
        name, equals, value = word.partition("=")
        if name in RUN_OPTIONS:
            values[name] = value if equals else next(rest, "")
        elif word in RUN_FLAGS:
            flags.add(word)
        else:
            break  # `--`, or the program
    return WrappedRun(
        tuple(f"{stream}.txt" for stream in ("stdout", "stderr") if values.get(f"--{stream}") != "direct"),
        "--per-node" in flags,
        values.get("--task"),
        values.get("--container-url"),
    )
