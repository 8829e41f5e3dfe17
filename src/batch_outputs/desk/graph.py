"""Which task may run: dependencies, and what the end of a task means for those that wait for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from batch_outputs.desk.job import DependencyAction, ExitConditions, ExitOptions, JobAction


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task has ended: its exit code if it was started, and what went wrong besides."""

    exit_code: int | None
    trouble: Literal["pre-processing", "upload", "timeout"] | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the service would call it a success."""
        return self.exit_code == 0 and self.trouble is None


def options_for(conditions: ExitConditions, outcome: Outcome) -> ExitOptions:
    """The options that hold for an end. An exit code that is listed decides before an upload that failed."""
    code = outcome.exit_code
    if code is not None:
        if code in conditions.codes:
            return conditions.codes[code]
        for start, end, options in conditions.ranges:
            if start <= code <= end:
                return options
    special = {"pre-processing": conditions.pre_processing_error, "upload": conditions.file_upload_error}
    chosen = special.get(outcome.trouble or "")
    if chosen is None and not outcome.succeeded:
        chosen = conditions.default
    return chosen or ExitOptions()


def dependency_action(conditions: ExitConditions, outcome: Outcome) -> DependencyAction:
    """Whether tasks that depend on one that has ended so may run."""
    usual: DependencyAction = "satisfy" if outcome.succeeded else "block"
    return options_for(conditions, outcome).dependency_action or usual


def job_action(conditions: ExitConditions, outcome: Outcome) -> JobAction:
    """What becomes of a job that performs the actions of its tasks' exit options."""
    usual: JobAction = "none" if outcome.succeeded else "terminate"
    return options_for(conditions, outcome).job_action or usual


class Graph:
    """Tasks that wait for others, by id."""

    def __init__(self, depends_on: Mapping[str, Iterable[str]]) -> None:
        """All ids, in the order in which they are to run where nothing else decides; each with what it waits for."""
        self._waits_for = {task: set(others) for task, others in depends_on.items()}
        self._awaited_by: dict[str, list[str]] = {task: [] for task in self._waits_for}
        for task, others in self._waits_for.items():
            for other in others:
                self._awaited_by[other].append(task)

    def ready(self) -> list[str]:
        """The tasks that wait for nothing, in order."""
        return [task for task, others in self._waits_for.items() if not others]

    def satisfied(self, task: str) -> list[str]:
        """Tasks that depend on this one need not wait for it any more; those that now wait for nothing."""
        free = []
        for waiting in self._awaited_by[task]:
            if task in self._waits_for[waiting]:
                self._waits_for[waiting].discard(task)
                if not self._waits_for[waiting]:
                    free.append(waiting)
        return free

    def blocking(self, task: str) -> list[str]:
        """What a task still waits for, by name."""
        return sorted(self._waits_for[task])

    def cycle(self) -> Sequence[str] | None:
        """Tasks of which each waits for the next and the last for the first; None if there are none such."""
        done: set[str] = set()
        for first in self._waits_for:
            path: dict[str, None] = {}
            pending = [(first, iter(sorted(self._waits_for[first])))] if first not in done else []
            path.update(dict.fromkeys([first]) if pending else {})
            while pending:
                task, others = pending[-1]
                other = next((one for one in others if one not in done), None)
                if other is None:
                    pending.pop()
                    path.pop(task)
                    done.add(task)
                elif other in path:
                    way = list(path)
                    return way[way.index(other) :]
                else:
                    path[other] = None
                    pending.append((other, iter(sorted(self._waits_for[other]))))
        return None
