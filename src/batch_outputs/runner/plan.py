"""What a run is to do, checked before the program starts."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from batch_outputs.environment import TaskEnvironment, log_folder
from batch_outputs.errors import ConfigurationError, InvalidNameError
from batch_outputs.kinds import TaskOutputKind
from batch_outputs.location import StoreLocation
from batch_outputs.names import OutputName, check_blob_name, check_task_id, name_at, name_from_source
from batch_outputs.runner.defaults import FLUSH_INTERVAL, GRACE, STREAMS
from batch_outputs.runner.rules import CheckpointRule, RestoreRule, SaveRule
from batch_outputs.settings import Target, current_folder, metadata_url
from batch_outputs.sources import pattern_here

_WINDOWS = os.name == "nt"


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A program, what is to be kept of it, and where that goes.

    `direct` names streams that are the program's to write to as they are, and of which no log is kept. `per_node` says
    whether logs are stored below the node's id (None: in subtasks of a multi-instance task). `watch_preemption` None
    means on a spot node. Times are in seconds; `flush_timeout` None means as long as bytes move.
    """

    command: tuple[str, ...]
    target: Target
    job_id: str | None
    task_id: str
    environment: TaskEnvironment
    saves: tuple[SaveRule, ...] = ()
    checkpoints: tuple[CheckpointRule, ...] = ()
    restores: tuple[RestoreRule, ...] = ()
    direct: frozenset[str] = frozenset()
    per_node: bool | None = None
    flush_interval: float = FLUSH_INTERVAL
    flush_timeout: float | None = None
    grace: float = GRACE
    spool: str | None = None
    watch_preemption: bool | None = None
    preempt_signal: int | None = None
    attempt: str = field(default_factory=lambda: secrets.token_hex(8))
    """The random id by which this run's logs are told from those of any other."""

    def __post_init__(self) -> None:
        """Check everything that can be checked without a request.

        Raises:
            ConfigurationError: no program is named, job or task is not known, a node's id is needed and not known, or a
                pattern leads to files that would have no name, or could not be brought back.
            InvalidNameError: an id, kind or name cannot be used.
        """
        if not any(self.command[:1]):
            raise ConfigurationError(
                "The program's name is empty; name a program, and check the variable it comes from."
            )
        check_task_id(self.task_id)
        _ = self.location, self.logs
        for save in self.saves:
            _check_names(save, self.environment)
        for pattern, option in [
            *((rule.pattern, "--checkpoint") for rule in self.checkpoints),
            *((rule.pattern, "--restore") for rule in self.restores),
        ]:
            _check_inside(pattern, option)
        metadata_url()

    @classmethod
    def make(
        cls,
        command: Sequence[str],
        target: Target,
        *,
        job: str | None = None,
        task: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """The plan of a program, with the defaults; job and task are by default those of the environment.

        Raises:
            ConfigurationError: job or task is not known.
            InvalidNameError: an id cannot be used.
        """
        environment = TaskEnvironment.from_environ(environ)
        # Away from a node the current directory is what a task's working directory is there.
        environment = replace(environment, working_dir=environment.working_dir or current_folder())
        task_id = target.task(task or environment.task_id)
        return cls(tuple(command), target, job or environment.job_id, task_id, environment)

    @property
    def location(self) -> StoreLocation:
        """The container that outputs go to."""
        return self.target.location(self.job_id)

    @property
    def folder(self) -> str:
        """Where the spool is made: a folder of its own, or the task's working directory."""
        return self.spool or self.environment.working_dir or current_folder()

    @property
    def logs(self) -> dict[str, OutputName]:
        """The output that each stream becomes, by the stream's file name."""
        below = log_folder(self.environment, self.per_node)
        return {
            stream: OutputName(self.task_id, TaskOutputKind.TASK_LOG, f"{below}{stream}")
            for stream in STREAMS
            if stream not in self.direct
        }

    @property
    def watches_preemption(self) -> bool:
        """Whether to listen for the end of the node."""
        return self.environment.is_dedicated is False if self.watch_preemption is None else self.watch_preemption


def _check_names(rule: SaveRule, environment: TaskEnvironment) -> None:
    """Make sure, before the program has worked for hours, that files which match a rule will have names."""
    pattern = pattern_here(rule.pattern)
    if rule.name is not None:
        name = name_at(rule.name, None if pattern.is_literal else "file")
        check_blob_name(OutputName("", rule.kind, name).blob_name)
        return
    somewhere = pattern.base if pattern.is_literal else os.path.join(pattern.base, "file")
    directories = environment.working_dir, environment.task_dir
    try:
        name_from_source(somewhere, working_dir=directories[0], task_dir=directories[1], windows=_WINDOWS)
    except InvalidNameError:
        raise ConfigurationError(
            f"--save {rule.pattern} lies outside the task's directories, so its files have no name in storage; "
            "give them one (--as), or let the program write below its working directory."
        ) from None


def _check_inside(pattern_text: str, option: str) -> None:
    """A checkpoint is brought back to where its name says, so it has to lie where its name says."""
    base = pattern_here(pattern_text).base
    if os.path.isabs(base) or os.pardir in base.replace("\\", "/").split("/"):
        raise ConfigurationError(
            f"{option} {pattern_text} leads out of the working directory, and could not be brought back there; "
            "write it relative to the working directory, without '..'."
        )
