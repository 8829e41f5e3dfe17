"""Running one task on a node: its files brought, its process run and run again, its upload rules applied."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import anyio
from anyio import CapacityLimiter, to_thread

from batch_outputs.desk import processes
from batch_outputs.desk.command_line import split
from batch_outputs.desk.environment import task_environment
from batch_outputs.desk.graph import Outcome
from batch_outputs.desk.job import UNLIMITED, Job, Task
from batch_outputs.desk.node import Node
from batch_outputs.desk.resources import fetch_resources
from batch_outputs.desk.storage import DeskStorage
from batch_outputs.desk.uploads import upload
from batch_outputs.desk.workspace import Workspace
from batch_outputs.errors import BatchOutputsError

GRACE = 5.0
"""Seconds between asking a task to end and killing it."""

State: TypeAlias = Literal["succeeded", "failed", "stopped", "blocked", "not run"]


@dataclass(slots=True)
class TaskResult:
    """What came of a task."""

    task_id: str
    state: State = "not run"
    exit_code: int | None = None
    retries: int = 0
    seconds: float = 0.0
    node: str | None = None
    directory: str | None = None
    why: list[str] = field(default_factory=list)
    """Sentences about what went wrong."""
    uploaded: list[str] = field(default_factory=list)
    last_lines: list[str] = field(default_factory=list)
    outcome: Outcome | None = None


@dataclass(slots=True)
class Stopper:
    """How patiently processes are ended: asked first, unless it is `urgent`."""

    urgent: anyio.Event = field(default_factory=anyio.Event)


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs the tasks of a job; `limiter` lets as many wait for their processes at once as there can be."""

    job: Job
    storage: DeskStorage
    base: Mapping[str, str]
    limiter: CapacityLimiter
    stopper: Stopper
    on_retry: Callable[[Task, TaskResult], object]

    async def run(self, task: Task, node: Node, result: TaskResult) -> None:
        """Run a task to its end. Cancelled, its processes are ended and it counts as stopped."""
        workspace = node.workspace(task.task_id)
        result.node, result.directory = node.node_id, workspace.directory
        began = time.monotonic()
        try:
            result.outcome = await self._run(task, node, workspace, result)
            result.state = "succeeded" if result.outcome.succeeded else "failed"
        except anyio.get_cancelled_exc_class():
            result.state = "stopped"
            raise
        finally:
            result.seconds = time.monotonic() - began
            if result.state == "failed" and result.exit_code is not None:
                result.last_lines = workspace.last_lines(10)

    async def _run(self, task: Task, node: Node, workspace: Workspace, result: TaskResult) -> Outcome:
        environ = task_environment(self.job, task, node, workspace, self.storage.variables, self.base)
        try:
            workspace.make()
            await fetch_resources(task.resource_files, workspace.working, self.storage)
        except (BatchOutputsError, OSError) as error:
            result.why.append(str(error))
            return Outcome(None, "pre-processing")
        timed_out = False
        while True:
            try:
                result.exit_code, timed_out = await self._attempt(task, workspace, environ)
            except (OSError, ValueError) as error:
                result.why.append(_cannot_start(task, error))
                return Outcome(None, "pre-processing")
            again = task.max_retries == UNLIMITED or result.retries < task.max_retries
            if result.exit_code == 0 or timed_out or not again:
                break
            self.on_retry(task, result)
            result.retries += 1
            if task.max_retries == UNLIMITED:
                await anyio.sleep(min(1.0, 0.05 * result.retries))
        if timed_out:
            result.why.append(
                f"it was ended after {task.max_wall_clock_time:g} s, its maxWallClockTime; "
                f"its exit code is {result.exit_code}."
            )
        uploaded = await upload(
            task.upload_rules, None if timed_out else result.exit_code, workspace.working, environ, self.storage
        )
        result.uploaded = uploaded.blobs
        result.why += [str(error) for error in uploaded.failures]
        result.why += [f"no file matches {pattern} of an upload rule." for pattern in uploaded.unmatched]
        if timed_out:
            return Outcome(result.exit_code, "timeout")
        return Outcome(result.exit_code, "upload" if uploaded.failures else None)

    async def _attempt(self, task: Task, workspace: Workspace, environ: Mapping[str, str]) -> tuple[int, bool]:
        """Run the process once; its exit code, and whether its time was over.

        Its output files begin anew, as with a program whose output a shell sends to a file.

        Raises:
            OSError, ValueError: it cannot be started.
        """
        with open(workspace.stdout, "wb") as stdout, open(workspace.stderr, "wb") as stderr:  # noqa: ASYNC230
            process = processes.start(split(task.command_line), workspace.working, environ, stdout, stderr)
        try:
            with anyio.move_on_after(task.max_wall_clock_time) as scope:
                return await self._wait(process), False
            await self._end(process, workspace)
            return await self._wait(process), scope.cancelled_caught
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._end(process, workspace)
            raise
        finally:
            processes.kill(process, workspace.directory)  # what it has left running in the background

    async def _wait(self, process: subprocess.Popen[bytes]) -> int:
        code = await to_thread.run_sync(process.wait, abandon_on_cancel=True, limiter=self.limiter)
        return 128 - code if code < 0 else code

    async def _end(self, process: subprocess.Popen[bytes], workspace: Workspace) -> None:
        """Ask a process to end, and kill it and all that belongs to it when that has not helped in time."""
        if not self.stopper.urgent.is_set():
            processes.ask_to_end(process)
            with anyio.move_on_after(GRACE):
                async with anyio.create_task_group() as group:
                    group.start_soon(self._cancel_when_urgent, group.cancel_scope)
                    await self._wait(process)
                    group.cancel_scope.cancel()
        processes.kill(process, workspace.directory)
        with anyio.move_on_after(GRACE):
            await self._wait(process)

    async def _cancel_when_urgent(self, scope: anyio.CancelScope) -> None:
        await self.stopper.urgent.wait()
        scope.cancel()


def _cannot_start(task: Task, error: OSError | ValueError) -> str:
    words = split(task.command_line)
    program = words if isinstance(words, str) else words[0]
    if isinstance(error, FileNotFoundError):
        return f"{program} was not found; command lines run without a shell, so name a program on the PATH."
    reason = error.strerror if isinstance(error, OSError) else error
    return f"{program} cannot be run: {reason}; is it a program, or a script with a #! line, and executable?"
