"""`try`: a job run at the desk as a Batch node would run it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from batch_outputs.cli.codes import INTERRUPTED
from batch_outputs.cli.help_page import argument, command, options_under
from batch_outputs.cli.options import Where, not_empty, run_async, stored_option, where_options
from batch_outputs.cli.table import Cell, Column, Table, width_of
from batch_outputs.cli.talk import all_is_said, say, say_without_waiting, show
from batch_outputs.cli.template import parameter_options
from batch_outputs.wording import counted

if TYPE_CHECKING:
    from batch_outputs.desk.job import Job, Task
    from batch_outputs.desk.node import Node
    from batch_outputs.desk.running import TaskResult
    from batch_outputs.desk.trial import Trial, TrialResult
    from batch_outputs.settings import Target

JOB_FAILED = 1
"""The job was run, and not all of its tasks have succeeded."""

_TIME_TO_END = 15.0
"""Seconds after a signal: processes get 5 s to end by themselves, and what they stored is closed."""

_COLOURS = {"succeeded": "green", "failed": "red", "stopped": "yellow", "blocked": "yellow", "not run": "yellow"}


_job_option = options_under("The job")
_node_option = options_under("The nodes")
_showing_option = options_under("How results are shown")


@command("try")
@argument(
    "job_file",
    metavar="JOB.json",
    callback=not_empty,
    help='A job as the Batch REST API takes it, with its tasks in a list "tasks"; or a job template.',
)
@_job_option(
    "--task",
    "tasks",
    multiple=True,
    metavar="ID",
    show_default="all tasks",
    help="Only this task, whatever it depends on.",
)
@parameter_options(_job_option)
@_node_option(
    "--nodes", type=click.IntRange(1, 100), default=1, show_default=True, metavar="N", help="How many nodes there are."
)
@_node_option(
    "--slots",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    metavar="N",
    help="How many task slots each node has.",
)
@_node_option(
    "--dir",
    "folder",
    metavar="DIR",
    callback=not_empty,
    show_default="./batch-try/JOB",
    help="The folder in which the tasks' directories are made and kept.",
)
@_showing_option("--json", "as_json", is_flag=True, help="One JSON object a task.")
@stored_option("--own-storage", is_flag=True, help="Store where the variables of this shell say, not in a folder.")
@where_options(job=False, task=False, place_default="the folder ./batch-outputs")
def try_command(
    job_file: str,
    parameters: str | None,
    values: dict[str, str],
    nodes: int,
    slots: int,
    folder: str | None,
    tasks: tuple[str, ...],
    own_storage: bool,
    as_json: bool,
    where: Where,
) -> int:
    """Run a job on this machine as Batch nodes would.

    \b
    batch-outputs try job.json
    batch-outputs try --nodes 2 --slots 4 job.json
    batch-outputs try --task merge job.json

    All of the job is checked before anything runs. Tasks get the AZ_BATCH_… variables, those of the job and a few such
    as PATH; they store to the folder ./batch-outputs unless the job or an option says otherwise.

    An object of --json has task, state (succeeded, failed, stopped, blocked or not run), exit_code, retries, seconds,
    node, directory, why and uploaded.

    The exit code is 0 if every task has succeeded, 1 if the job has run and one has not, and 125 if it could not be
    tried.
    """
    job, target = _read(job_file, parameters, values, slots, _target(where, own_storage=own_storage))
    place = folder or os.path.join("batch-try", job.job_id.replace(":", "-"))
    return _Try(job, target, place, nodes=nodes, slots=slots, tasks=tasks, as_json=as_json).run()


def _target(where: Where, *, own_storage: bool) -> Target:
    from batch_outputs.desk.storage import folder_beside

    if own_storage or where.container_url or where.account_url:
        return where.target()
    return folder_beside()


def _read(path: str, parameters: str | None, values: dict[str, str], slots: int, target: Target) -> tuple[Job, Target]:
    """The job of a file, checked."""
    from batch_outputs.desk.job_file import check_job, is_template, read_document
    from batch_outputs.location import DirectoryAccount

    document = read_document(path)
    if is_template(document):
        document = run_async(_expanded(path, parameters, values, target))
    elif parameters is not None or values:
        option = "--parameter" if values else "--parameters"
        raise click.UsageError(f"{path} is a job and no template, so it has no parameters; leave out {option}.")
    own = str(target.account.root.absolute()) if isinstance(target.account, DirectoryAccount) else None
    return check_job(document, path, slots=slots, own_folder=own), target


async def _expanded(path: str, parameters: str | None, values: dict[str, str], target: Target) -> dict[str, Any]:
    """The job that a template makes."""
    from batch_outputs.client.templates import StoredContainers, Template, read_parameters

    template = Template.read(path)
    expansion = template.expand(read_parameters(parameters, values, template=template))
    containers = StoredContainers(target, sas=False) if expansion.needs_containers else None
    return {**expansion.job, "tasks": [task async for task in expansion.tasks(containers)]}


class _Try:
    """One try, as its user sees it."""

    def __init__(
        self, job: Job, target: Target, folder: str, *, nodes: int, slots: int, tasks: tuple[str, ...], as_json: bool
    ) -> None:
        from batch_outputs.desk.workspace import TryFolder

        self._job = job
        self._target = target
        self._folder = TryFolder(folder)
        self._nodes = nodes
        self._slots = slots
        self._tasks = tasks
        self._as_json = as_json
        self._signals: list[int] = []

    def run(self) -> int:
        import anyio

        from batch_outputs.cli.warnings import show_warnings

        say_without_waiting()  # tasks are to be looked after, whoever reads us
        show_warnings()
        result = anyio.run(self._carry_out)
        return self._conclude(result)

    async def _carry_out(self) -> TrialResult:
        import asyncio

        from batch_outputs.desk.schedule import Telling
        from batch_outputs.desk.trial import Trial

        trial = Trial(
            self._job,
            self._folder,
            self._target,
            tasks=self._tasks,
            nodes=self._nodes,
            slots=self._slots,
            telling=Telling(self._started, self._ended, say),
            on_retry=self._again,
        )
        for note in self._job.notes:
            say(f"{note}.")
        loop = asyncio.get_running_loop()
        with _signals(lambda signum: loop.call_soon_threadsafe(self._stop, trial, signum)):
            return await trial.carry_out()

    def _stop(self, trial: Trial, signum: int) -> None:
        self._signals.append(signum)
        if len(self._signals) == 1:
            say("ending the tasks that run; once more kills them at once.")
            timer = threading.Timer(_TIME_TO_END, _leave, [self._code_of_signal])
            timer.daemon = True
            timer.start()
        trial.stop(urgently=len(self._signals) > 1)

    @property
    def _code_of_signal(self) -> int:
        return INTERRUPTED if self._signals[0] == signal.SIGINT else 128 + self._signals[0]

    # What happens

    def _started(self, task: Task, node: Node) -> None:
        say(f"task {task.task_id} started on {node.node_id}.")

    def _ended(self, task: Task, result: TaskResult) -> None:
        code = "" if result.exit_code is None else f" with {result.exit_code}"
        state = {"succeeded": "succeeded", "stopped": "was stopped"}.get(result.state, f"failed{code}")
        again = f", retried {counted(result.retries, 'time')}" if result.retries else ""
        uploaded = f", {counted(len(result.uploaded), 'file')} uploaded" if result.uploaded else ""
        say(f"task {task.task_id} {state} on {result.node} after {result.seconds:.1f} s{again}{uploaded}.")
        for sentence in result.why:
            say(f"task {task.task_id}: {sentence}")

    def _again(self, task: Task, result: TaskResult) -> None:
        most = "" if task.max_retries < 0 else f" of {task.max_retries}"
        say(f"task {task.task_id} ended with {result.exit_code} and is run again, {result.retries + 1}{most}.")

    # What came of it

    def _conclude(self, result: TrialResult) -> int:
        everything = [*result.tasks, *result.around]
        for one in result.tasks:
            if one.node is None:
                for sentence in one.why:
                    say(f"task {one.task_id} was not run: {sentence}")
        for one in everything:
            if one.last_lines:
                say(f"the last lines of task {one.task_id}:")
                for line in one.last_lines:
                    say(f"  {line}")
        if self._as_json:
            for one in everything:
                show(json.dumps(_record(one)))
        else:
            _show_table(everything)
        succeeded = sum(one.state == "succeeded" for one in result.tasks)
        say(
            f"{succeeded:,} of {counted(len(result.tasks), 'task')} of the job {self._job.job_id} succeeded; "
            f"their directories are in {self._folder.path}, what they stored is in {self._target.place}."
        )
        if self._signals:
            left = sum(one.outcome is None for one in result.tasks)
            say(f"interrupted; {counted(left, 'task')} did not come to an end.")
            return self._code_of_signal
        return 0 if result.succeeded else JOB_FAILED


def _leave(code: int) -> NoReturn:
    """End at once: a request that hangs in a thread would hold us, and all processes have ended by now."""
    say("interrupted.")
    all_is_said()
    os._exit(code)


def _show_table(results: list[TaskResult]) -> None:
    table = Table(
        Column("TASK", width_of("TASK", (one.task_id for one in results), at_most=40)),
        Column("STATE", 9),
        Column("EXIT", 4, right=True),
        Column("RETRIES", 7, right=True),
        Column("SECONDS", 8, right=True),
        Column("NODE"),
        headed=True,
    )
    for one in results:
        table.row(
            one.task_id,
            Cell(one.state, _COLOURS[one.state]),
            "" if one.exit_code is None else str(one.exit_code),
            str(one.retries) if one.retries else "",
            "" if one.node is None else f"{one.seconds:.1f}",
            one.node or "",
        )


def _record(result: TaskResult) -> dict[str, object]:
    return {
        "task": result.task_id,
        "state": result.state,
        "exit_code": result.exit_code,
        "retries": result.retries,
        "seconds": round(result.seconds, 3),
        "node": result.node,
        "directory": result.directory,
        "why": result.why,
        "uploaded": result.uploaded,
    }


@contextmanager
def _signals(heard: Callable[[int], object]) -> Iterator[None]:
    """Have the signals that ask us to end handed on: tasks, in groups of their own, do not get them from a terminal."""

    def handle(signum: int, _: FrameType | None) -> None:
        heard(signum)

    others = (getattr(signal, name, None) for name in ("SIGHUP", "SIGBREAK"))  # each on one system only
    wanted = [signal.SIGINT, signal.SIGTERM, *filter(None, others)]
    had = {}
    for signum in wanted:
        if signal.getsignal(signum) is not signal.SIG_IGN:
            had[signum] = signal.signal(signum, handle)
    try:
        yield
    finally:
        for signum, handler in had.items():
            signal.signal(signum, handler)
