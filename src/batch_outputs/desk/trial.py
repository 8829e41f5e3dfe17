"""A try of a job from beginning to end: checked, carried out on nodes of this machine, and told of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import anyio

from batch_outputs.desk import processes
from batch_outputs.desk.environment import base_environment
from batch_outputs.desk.job import Job, Task
from batch_outputs.desk.node import Node
from batch_outputs.desk.running import Runner, Stopper, TaskResult
from batch_outputs.desk.schedule import Schedule, Telling
from batch_outputs.desk.storage import DeskStorage
from batch_outputs.desk.workspace import TryFolder
from batch_outputs.errors import ConfigurationError, TargetError
from batch_outputs.settings import Target


@dataclass(slots=True)
class TrialResult:
    """What came of a try: the tasks in the order of the job, then the preparation and release tasks."""

    tasks: list[TaskResult] = field(default_factory=list)
    around: list[TaskResult] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        """Whether all of it has run and succeeded."""
        return all(result.state == "succeeded" for result in [*self.tasks, *self.around])


class Trial:
    """One try. `stop` may be called on the event loop's thread while it is carried out."""

    def __init__(
        self,
        job: Job,
        folder: TryFolder,
        target: Target,
        *,
        tasks: Sequence[str] = (),
        nodes: int = 1,
        slots: int = 1,
        telling: Telling,
        on_retry: Callable[[Task, TaskResult], object],
    ) -> None:
        """Check what was asked for; nothing is made or run yet.

        Args:
            job: The job.
            folder: Where task directories are made.
            target: Where the job's container is.
            tasks: The ids of the tasks to run, by default all. What the others would have made is taken to be there.
            nodes: How many nodes there are.
            slots: How many slots each of them has.
            telling: Who is told.
            on_retry: Told of a task that is to be run again, with its result so far.

        Raises:
            ConfigurationError: there is no such task.
        """
        known = {task.task_id.lower(): task for task in job.tasks}
        for task_id in tasks:
            if task_id.lower() not in known:
                raise ConfigurationError(f"There is no task {task_id} in the job {job.job_id}; check its id (--task).")
        wanted = {task_id.lower() for task_id in tasks}
        self._job = job
        self._folder = folder
        self._target = target
        self._only = bool(tasks)
        self._tasks = [task for key, task in known.items() if not wanted or key in wanted]
        self._nodes = [Node(folder.path, number, slots) for number in range(1, nodes + 1)]
        self._most_at_once = 2 * nodes * (slots + 1)
        self._telling = telling
        self._on_retry = on_retry
        self._stopper = Stopper()
        self._scope = anyio.CancelScope()

    async def carry_out(self) -> TrialResult:
        """Do it, and say what came of it.

        Raises:
            TargetError: the folder cannot be used.
            StoreError, ConfigurationError: the storage cannot be used, or lacks what tasks are to be given.
        """
        result = TrialResult()
        try:
            with self._scope:
                storage = await self._prepare()
                limiter = anyio.CapacityLimiter(self._most_at_once)
                runner = Runner(self._job, storage, base_environment(), limiter, self._stopper, self._on_retry)
                schedule = Schedule(self._job, self._tasks, self._nodes, runner, self._telling)
                result = TrialResult(list(schedule.results.values()), schedule.around)
                with processes.none_outlives_us(self._folder.path):
                    await schedule.carry_out()
        finally:
            self._folder.close()
        return result

    def stop(self, *, urgently: bool = False) -> None:
        """Have all that runs asked to end, and killed 5 s later or, `urgently`, at once."""
        if urgently:
            self._stopper.urgent.set()
        self._scope.cancel()

    async def _prepare(self) -> DeskStorage:
        around = [task for task in (self._job.preparation, self._job.release) if task is not None]
        await self._check_containers([*self._tasks, *around])
        self._folder.open([task.task_id for task in [*self._tasks, *around]] if self._only else None)
        try:
            for node in self._nodes:
                node.make()
        except OSError as error:
            raise TargetError(
                f"{self._folder.path} cannot be written: {error.strerror}.", path=self._folder.path
            ) from error
        storage = await DeskStorage.prepare(self._target, self._job.job_id)
        await storage.make_groups(_destinations(self._tasks))
        return storage

    async def _check_containers(self, tasks: Sequence[Task]) -> None:
        """See whether the containers, such as file groups, are there or made from which tasks are to get files."""
        storage = DeskStorage(self._target, self._target.location(self._job.job_id), {})
        made = {storage.job_container.container, *storage.groups(_destinations(tasks))}
        wanted = {
            name: resource.place
            for task in tasks
            for resource in task.resource_files
            if (name := resource.auto_storage_container) is not None
        }
        for name, place in wanted.items():
            if name not in made and not await storage.has_container(name):
                raise ConfigurationError(
                    f"{place}: there is no container {storage.container(name).place}; make it first, as batch-outputs "
                    "group upload does for a file group."
                )


def _destinations(tasks: Iterable[Task]) -> list[str | None]:
    return [rule.container_url for task in tasks for rule in task.upload_rules]
