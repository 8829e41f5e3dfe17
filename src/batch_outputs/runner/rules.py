"""What `run` is told of files: which to save when, which to keep as checkpoints, which to bring back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias, get_args

from batch_outputs.errors import ConfigurationError
from batch_outputs.kinds import OutputKind, TaskOutputKind, kind_named

When: TypeAlias = Literal["success", "failure", "completion"]
"""After which end of the program files are saved: exit code 0, any other, or either."""

WHENS: tuple[When, ...] = get_args(When)

_RULE = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)=(.+)", re.DOTALL)
_KIND_ALONE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*=")


@dataclass(frozen=True, slots=True)
class SaveRule:
    """Files to save when the program has ended.

    `name` is as the `path` of an upload rule of the Batch service: the whole name for a plain path, and a folder for
    what a pattern leads to. With `required` it is an error if there is no such file.
    """

    kind: OutputKind
    pattern: str
    name: str | None = None
    when: When = "completion"
    required: bool = False

    @classmethod
    def parse(cls, text: str, *, name: str | None = None, when: When = "completion", required: bool = False) -> Self:
        """Read `[KIND=]PATTERN`; a pattern that itself begins like `word=` needs its kind written.

        Raises:
            ConfigurationError: kind or pattern is empty.
        """
        kind, pattern = _kind_and_pattern(text, TaskOutputKind.TASK_OUTPUT, "--save")
        return cls(kind, pattern, name, when, required)

    def is_for(self, exit_code: int | None) -> bool | None:
        """Whether it is for a program that has ended so; None if its end is not known and would decide."""
        if self.when == "completion":
            return True
        return None if exit_code is None else (exit_code == 0) == (self.when == "success")


@dataclass(frozen=True, slots=True)
class CheckpointRule:
    """Files to save each time they have changed and settled, while the program runs."""

    kind: OutputKind
    pattern: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `[KIND=]PATTERN`.

        Raises:
            ConfigurationError: kind or pattern is empty.
        """
        return cls(*_kind_and_pattern(text, TaskOutputKind.TASK_INTERMEDIATE, "--checkpoint"))


@dataclass(frozen=True, slots=True)
class RestoreRule:
    """Stored files to bring back before the program starts; all that match, or the `newest` of them."""

    kind: OutputKind
    pattern: str
    newest: int | None = None

    @classmethod
    def parse(cls, text: str, *, newest: int | None = None) -> Self:
        """Read `[KIND=]PATTERN`.

        Raises:
            ConfigurationError: kind or pattern is empty.
        """
        return cls(*_kind_and_pattern(text, TaskOutputKind.TASK_INTERMEDIATE, "--restore"), newest)


def _kind_and_pattern(text: str, default: OutputKind, option: str) -> tuple[OutputKind, str]:
    if rule := _RULE.fullmatch(text):
        return kind_named(rule[1]), rule[2]
    if not text or text.startswith("=") or _KIND_ALONE.fullmatch(text):
        raise ConfigurationError(f"{option} {text!r} lacks a kind or a pattern; write it as PATTERN or KIND=PATTERN.")
    return default, text
