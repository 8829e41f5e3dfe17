"""The order of things: tasks on free slots of the nodes, a preparation task before them and a release task after."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from batch_outputs.desk.graph import Graph, Outcome, dependency_action, job_action
from batch_outputs.desk.job import Job, Task
from batch_outputs.desk.node import Node
from batch_outputs.desk.running import Runner, TaskResult


@dataclass(slots=True)
class Telling:
    """Who is told what happens, as it does."""

    started: Callable[[Task, Node], object]
    ended: Callable[[Task, TaskResult], object]
    job_ends: Callable[[str], object]


class Schedule:
    """One try of a job. `results` are those of its tasks, by id, in the order of the job."""

    def __init__(
        self, job: Job, tasks: Sequence[Task], nodes: Sequence[Node], runner: Runner, telling: Telling
    ) -> None:
        chosen = {task.task_id for task in tasks}
        self.results: dict[str, TaskResult] = {task.task_id: TaskResult(task.task_id) for task in tasks}
        self.around: list[TaskResult] = []
        """Those of the preparation and release tasks."""
        self._job = job
        self._tasks = {task.task_id: task for task in tasks}
        self._order = {task.task_id: index for index, task in enumerate(tasks)}
        self._nodes = nodes
        self._runner = runner
        self._telling = telling
        # Tasks that are not to run are taken to have run before.
        self._graph = Graph({task.task_id: chosen.intersection(task.depends_on) for task in tasks})
        self._waiting = dict.fromkeys(self._graph.ready())
        self._running = 0
        self._most = job.max_parallel_tasks if job.max_parallel_tasks > 0 else math.inf
        self._preparing = {node.node_id: anyio.Lock() for node in nodes}
        self._prepared: dict[str, bool] = {}
        self._ending: str | None = None

    async def carry_out(self) -> None:
        """Run all that can run, and the release tasks. Cancelled, what runs is ended and nothing else is begun."""
        with anyio.move_on_after(self._job.max_wall_clock_time) as limit:
            async with anyio.create_task_group() as group:
                self._fill(group)
        if limit.cancelled_caught:
            self._telling.job_ends("the job's maxWallClockTime is over, so its tasks are ended.")
        self._name_the_rest()
        if self._job.release is not None:
            async with anyio.create_task_group() as group:
                for node in self._nodes:
                    if node.node_id in self._prepared:
                        group.start_soon(self._run_around, self._job.release, node)

    def _fill(self, group: TaskGroup) -> None:
        """Start what may run and has room, in order; a node with more free slots comes first."""
        starting = []
        for task_id in self._waiting:
            node = max((node for node in self._nodes if node.is_eligible), key=lambda one: one.free, default=None)
            if node is None or node.free < 1 or self._ending is not None or self._running >= self._most:
                break
            task = self._tasks[task_id]
            if node.free >= task.required_slots:
                node.free -= task.required_slots
                self._running += 1
                starting.append(task_id)
                group.start_soon(self._run_one, task, node, group)
        for task_id in starting:
            del self._waiting[task_id]

    async def _run_one(self, task: Task, node: Node, group: TaskGroup) -> None:
        result = self.results[task.task_id]
        try:
            if await self._prepare(node, group):
                self._telling.started(task, node)
                await self._runner.run(task, node, result)
            else:
                self._waiting = {task.task_id: None, **self._waiting}
        finally:
            node.free += task.required_slots
            self._running -= 1
            if result.state == "stopped":
                self._telling.ended(task, result)
        if result.outcome is not None:
            self._telling.ended(task, result)
            self._conclude(task, result.outcome, group)
        self._fill(group)

    def _conclude(self, task: Task, outcome: Outcome, group: TaskGroup) -> None:
        satisfies = dependency_action(task.exit_conditions, outcome) == "satisfy"
        if satisfies and (free := self._graph.satisfied(task.task_id)):
            self._waiting = dict.fromkeys(sorted([*self._waiting, *free], key=self._order.__getitem__))
        action = job_action(task.exit_conditions, outcome) if self._job.performs_job_actions else "none"
        if action != "none" and self._ending is None:
            self._ending = f"task {task.task_id} has the job {'terminated' if action == 'terminate' else 'disabled'}"
            self._telling.job_ends(f"{self._ending}, so the tasks that run are ended.")
            group.cancel_scope.cancel()

    # Preparation and release

    async def _prepare(self, node: Node, group: TaskGroup) -> bool:
        """Have the preparation task run on a node, once; whether tasks may run there."""
        preparation = self._job.preparation
        if preparation is None:
            return True
        if not self._job.waits_for_preparation:
            if node.node_id not in self._prepared:
                self._prepared[node.node_id] = True
                group.start_soon(self._run_around, preparation, node)
            return True
        async with self._preparing[node.node_id]:
            if node.node_id not in self._prepared:
                self._prepared[node.node_id] = False
                self._prepared[node.node_id] = await self._run_around(preparation, node)
        node.is_eligible = self._prepared[node.node_id]
        return node.is_eligible

    async def _run_around(self, task: Task, node: Node) -> bool:
        result = TaskResult(task.task_id)
        self.around.append(result)
        self._telling.started(task, node)
        try:
            await self._runner.run(task, node, result)
        finally:
            self._telling.ended(task, result)
        return result.state == "succeeded"

    def _name_the_rest(self) -> None:
        """Say of each task that has not run why."""
        for task_id, result in self.results.items():
            if result.node is not None:
                continue
            if blocking := self._graph.blocking(task_id):
                ended_badly = [one for one in blocking if self.results[one].outcome is not None]
                result.state = "blocked"
                result.why.append(f"it depends on {', '.join((ended_badly or blocking)[:5])}.")
            elif self._ending is not None:
                result.why.append(f"{self._ending}.")
            elif not any(node.is_eligible for node in self._nodes):
                result.why.append("the preparation task failed on every node.")
            else:
                result.why.append("the job was ended before.")
