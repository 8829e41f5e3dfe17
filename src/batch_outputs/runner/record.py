"""What is written down of a run beside its spool, so that another process can finish it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from batch_outputs.environment import TaskEnvironment
from batch_outputs.errors import BatchOutputsError, TargetError
from batch_outputs.files import write_whole
from batch_outputs.kinds import kind_named
from batch_outputs.names import OutputName, check_task_id, parse_blob_name
from batch_outputs.runner.defaults import STREAMS
from batch_outputs.runner.plan import RunPlan
from batch_outputs.runner.process import OtherProcess, somebody_has_open, start_of
from batch_outputs.runner.rules import WHENS, CheckpointRule, SaveRule
from batch_outputs.runner.spool import Spool
from batch_outputs.settings import current_folder

_VERSION = 1
_OPTIONAL_TEXTS = ("job_id", "working_dir", "task_dir", "node_id", "started")
_PATHS = ("folder", "working_dir", "task_dir")


class RecordError(BatchOutputsError):
    """A record that cannot be read, or is none of ours."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run, as much of it as is needed to finish it. There is no secret in it.

    `container_url` is without a SAS. `pid` is the program's, with what tells it from others of that number; None before
    it was started, or if we were killed in that moment. `exit_code` is None until the program has ended.
    """

    container_url: str
    embedded: bool
    """Whether it goes to the folder that is used when nothing is configured, which is made as it is needed."""
    job_id: str | None
    task_id: str
    attempt: str
    logs: dict[str, str]
    """The blob that each stream goes to, by the stream's file name."""
    saves: tuple[SaveRule, ...]
    checkpoints: tuple[CheckpointRule, ...]
    folder: str
    """The current directory of the run, which patterns are relative to."""
    working_dir: str | None
    task_dir: str | None
    node_id: str | None
    pid: int | None = None
    started: str | None = None
    exit_code: int | None = None
    by_itself: bool = False
    """Whether the program is known to have ended by itself, and not by a signal: its files are as it left them."""

    @classmethod
    def of(cls, plan: RunPlan) -> Self:
        """The record of a run that is about to begin."""
        return cls(
            container_url=plan.location.url,
            embedded=plan.target.embedded,
            job_id=plan.job_id,
            task_id=plan.task_id,
            attempt=plan.attempt,
            logs={stream: output.blob_name for stream, output in plan.logs.items()},
            saves=plan.saves,
            checkpoints=plan.checkpoints,
            folder=current_folder(),
            working_dir=plan.environment.working_dir,
            task_dir=plan.environment.task_dir,
            node_id=plan.environment.node_id,
        )

    def of_process(self, pid: int) -> Self:
        """The same with the program that was started."""
        return replace(self, pid=pid, started=start_of(pid))

    def of_end(self, exit_code: int, *, by_itself: bool) -> Self:
        """The same once the program has ended."""
        return replace(self, exit_code=exit_code, by_itself=by_itself)

    @property
    def environment(self) -> TaskEnvironment:
        """The part of the run's environment that names depend on."""
        return TaskEnvironment(working_dir=self.working_dir, task_dir=self.task_dir, node_id=self.node_id)

    def output(self, stream: str) -> OutputName:
        """The output that a stream goes to."""
        name = parse_blob_name(self.logs[stream])
        if name is None or name.task_id != self.task_id:
            raise ValueError(f"{self.logs[stream]!r} is not the name of a log of {self.task_id}")
        return name

    def write(self, spool: Spool) -> None:
        """Write it down, whole or not at all.

        Raises:
            TargetError: that is not possible.
        """
        try:
            write_whole(spool.record, json.dumps({"version": _VERSION, **asdict(self)}).encode(), mode=0o600)
        except OSError as error:
            raise TargetError(f"{spool.record} cannot be written: {error.strerror}.", path=spool.record) from error

    @classmethod
    def read(cls, spool: Spool) -> Self:
        """What is written down beside a spool.

        Raises:
            RecordError: it cannot be read, or is of another version.
        """
        try:
            with open(spool.record, encoding="utf-8") as file:
                fields = json.load(file)
            version = fields.pop("version")
            if version != _VERSION:
                raise RecordError(f"{spool.record} is of version {version}; finish it with the release that wrote it.")
            record = cls(
                **{
                    **fields,
                    "saves": tuple(map(_save_rule, fields["saves"])),
                    "checkpoints": tuple(map(_checkpoint_rule, fields["checkpoints"])),
                }
            )
            record.check()
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise RecordError(
                f"{spool.record} cannot be read ({error}); what the program wrote is beside it: save that by "
                "batch-outputs save, and remove the folder."
            ) from error
        return record

    def check(self) -> None:
        """Make sure that all of it is what it should be: it may have been anybody who wrote it.

        Raises:
            ValueError: it is not.
        """
        for name in ("container_url", "task_id", "attempt", "folder", *_OPTIONAL_TEXTS):
            value: object = getattr(self, name)
            if value is None and name in _OPTIONAL_TEXTS:
                continue
            if not isinstance(value, str) or not value or "\0" in value or not (name in _PATHS or value.isprintable()):
                raise ValueError(f"{name} is {value!r}")
        for name, least in (("pid", 1), ("exit_code", 0)):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < least):
                raise ValueError(f"{name} is {value!r}")
        for name in ("embedded", "by_itself"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name} is {getattr(self, name)!r}")
        if type(self.logs) is not dict or not self.logs.keys() <= set(STREAMS):
            raise ValueError(f"logs are {self.logs!r}")
        check_task_id(self.task_id)
        for stream in self.logs:
            self.output(stream)

    def program_lives(self, spool: Spool) -> bool:
        """Whether the program still runs, and may still write."""
        if self.exit_code is not None:
            return False
        if self.pid is not None:
            return not OtherProcess(self.pid, self.started).has_ended()
        # We were killed after its start, and before that was written down; or it was never started.
        return any(somebody_has_open(spool.path(stream)) for stream in self.logs)


def _save_rule(fields: dict[str, Any]) -> SaveRule:
    rule = SaveRule(kind_named(fields.pop("kind")), **fields)
    texts = [rule.pattern] if rule.name is None else [rule.pattern, rule.name]
    if rule.when not in WHENS or not all(isinstance(text, str) for text in texts) or type(rule.required) is not bool:
        raise ValueError(f"{rule!r} is no rule")
    return rule


def _checkpoint_rule(fields: dict[str, Any]) -> CheckpointRule:
    rule = CheckpointRule(kind_named(fields.pop("kind")), **fields)
    if not isinstance(rule.pattern, str):
        raise TypeError(f"{rule!r} is no rule")
    return rule
