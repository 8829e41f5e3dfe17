"""What a run is to do, checked before the program starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from batch_outputs.environment import TaskEnvironment
from batch_outputs.errors import ConfigurationError, InvalidNameError
from batch_outputs.kinds import OutputKind, TaskOutputKind, kind_named
from batch_outputs.location import StoreLocation
from batch_outputs.names import check_task_id, name_from_source
from batch_outputs.patterns import Pattern
from batch_outputs.runner.program import Program
from batch_outputs.settings import Target, current_folder

FLUSH_INTERVAL = 15.0
FLUSH_TIMEOUT = 600.0
FLUSH_TIMEOUT_AFTER_SIGNAL = 20.0

_RULE = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)=(.+)", re.DOTALL)
_KIND_ALONE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*=")


@dataclass(frozen=True, slots=True)
class SaveRule:
    """Files to save when the program has ended: `[KIND=]PATTERN`."""

    kind: OutputKind
    pattern: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `[KIND=]PATTERN`; a pattern that itself begins like `word=` needs its kind written.

        Raises:
            ConfigurationError: kind or pattern is empty.
        """
        if rule := _RULE.fullmatch(text):
            return cls(kind_named(rule[1]), rule[2])
        if not text or text.startswith("=") or _KIND_ALONE.fullmatch(text):
            raise ConfigurationError(f"--save {text!r} lacks a kind or a pattern; write it as PATTERN or KIND=PATTERN.")
        return cls(TaskOutputKind.TASK_OUTPUT, text)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A program and where its outputs go."""

    command: tuple[str, ...]
    target: Target
    job_id: str | None
    task_id: str
    environment: TaskEnvironment
    rules: tuple[SaveRule, ...] = ()
    flush_interval: float = FLUSH_INTERVAL
    flush_timeout: float = FLUSH_TIMEOUT
    best_effort: bool = False

    @classmethod
    def make(
        cls,
        command: Sequence[str],
        target: Target,
        *,
        job: str | None,
        task: str | None,
        environ: Mapping[str, str] | None = None,
        saves: Sequence[str] = (),
        flush_interval: float = FLUSH_INTERVAL,
        flush_timeout: float = FLUSH_TIMEOUT,
        best_effort: bool = False,
    ) -> Self:
        """Check everything that can be checked without a request.

        Raises:
            ConfigurationError: job or task is not known, or a rule is malformed.
            InvalidNameError: an id or kind cannot be used.
        """
        environment = TaskEnvironment.from_environ(environ)
        # Away from a node the current directory is what a task's working directory is there.
        working_dir = environment.working_dir or current_folder()
        environment = replace(environment, working_dir=working_dir)
        plan = cls(
            tuple(command),
            target,
            job or environment.job_id,
            check_task_id(target.task(task or environment.task_id)),
            environment,
            tuple(map(SaveRule.parse, saves)),
            flush_interval,
            flush_timeout,
            best_effort,
        )
        _ = plan.location
        for rule in plan.rules:
            plan.check_named(rule)
        return plan

    def check_named(self, rule: SaveRule) -> None:
        """Make sure, before the program has worked for hours, that files which match a rule will have names.

        Raises:
            ConfigurationError: the pattern is an absolute path outside the task's directories.
        """
        windows = os.name == "nt"
        pattern = Pattern.parse(rule.pattern, environ=os.environ, windows=windows)
        somewhere = pattern.base if pattern.is_literal else os.path.join(pattern.base, "file")
        directories = self.environment.working_dir, self.environment.task_dir
        try:
            name_from_source(somewhere, working_dir=directories[0], task_dir=directories[1], windows=windows)
        except InvalidNameError:
            raise ConfigurationError(
                f"--save {rule.pattern} lies outside the task's directories, so its files have no name in storage; "
                "let the program write below its working directory."
            ) from None

    def patience(self, program: Program) -> float:
        """Seconds without progress, from now on, after which saving is given up; fewer when we were asked to end."""
        return min(self.flush_timeout, FLUSH_TIMEOUT_AFTER_SIGNAL) if program.asked_to_end else self.flush_timeout

    @property
    def location(self) -> StoreLocation:
        """The container that outputs go to."""
        return self.target.location(self.job_id)
