"""Attending a running program: its streams saved and passed on, its files saved when it has ended."""

from __future__ import annotations

import asyncio
import time

from batch_outputs.errors import StoreError
from batch_outputs.runner.budget import Budget
from batch_outputs.runner.checkpoints import Checkpoints
from batch_outputs.runner.launch import Run
from batch_outputs.runner.leftovers import finish_all, save_checkpoints_of
from batch_outputs.runner.listening import listening
from batch_outputs.runner.plan import RunPlan
from batch_outputs.runner.preemption import Notice
from batch_outputs.runner.restore import restore
from batch_outputs.runner.result import RunResult
from batch_outputs.runner.saving import save_by_rules
from batch_outputs.runner.streams import Streams
from batch_outputs.runner.uploads import Uploads
from batch_outputs.storage import JobOutputStorage

_HEAD_START = 5.0
"""Seconds that the logs of earlier runs have before this run's begin: then these have the plain names."""


async def bring_back(plan: RunPlan, result: RunResult) -> None:
    """Before the program starts: restore what the plan names.

    Checkpoints that an earlier run in this place had no time for are stored before.

    Raises:
        ExceptionGroup, BatchOutputsError: something could not be restored.
    """
    async with _storage(plan) as job:
        await save_checkpoints_of(plan.folder, plan.target)
        uploads = Uploads.of(job, job.task(plan.task_id), plan.target, plan.environment)
        await restore(plan, job, uploads, result)


async def attend(run: Run, result: RunResult) -> None:
    """Stay with a started program until it has ended and what it made is stored, or cannot be.

    The spool is removed if all is stored, else it is what is left. Cancelled, the program is asked to end, and what it
    leaves is saved all the same; cancelled again, it is killed, and saving has 5 s.
    """
    try:
        async with _storage(run.plan) as job:
            staying = asyncio.create_task(_Attendance(run, result, job).stay())
            cancelled: asyncio.CancelledError | None = None
            while not staying.done():
                try:
                    await asyncio.shield(staying)
                except asyncio.CancelledError as error:
                    cancelled = error
                    run.program.ask_to_end()
                except Exception:  # noqa: S110 - it is raised from the result below
                    pass
            staying.result()
            if cancelled is not None:
                raise cancelled
    finally:
        run.close()
        run.spool.release()


def _storage(plan: RunPlan) -> JobOutputStorage:
    return JobOutputStorage.at(plan.target, job_id=plan.job_id, environment=plan.environment)


class _Attendance:
    """One run that is attended."""

    def __init__(self, run: Run, result: RunResult, job: JobOutputStorage) -> None:
        task = job.task(run.plan.task_id)
        self._run = run
        self._result = result
        self._ended = asyncio.Event()
        self._budget = Budget(run.plan.flush_timeout)
        self._budget_for_leftovers = Budget(None)
        self._uploads = Uploads.of(job, task, run.plan.target, run.plan.environment)
        self._streams = Streams(run, task, self._budget, result)
        self._checkpoints = Checkpoints(run.plan.checkpoints, self._uploads, result)

    async def stay(self) -> None:
        following = asyncio.create_task(self._follow())
        keeping = asyncio.create_task(self._keep_checkpoints())
        async with listening(self._run, self._asked_to_end, self._announced):
            await self._wait_for_the_end()
            ended = time.monotonic()
            echoing = [asyncio.to_thread(echo.finish, self._is_over) for echo in self._run.echoes]
            await asyncio.gather(self._save_files_in_time(keeping), following, *echoing)
        self._result.seconds_saving = time.monotonic() - ended
        if self._is_all_stored():
            self._run.spool.remove()
        else:
            self._result.spool = self._run.spool.folder

    async def _wait_for_the_end(self) -> None:
        program = self._run.program
        self._result.exit_code = await asyncio.to_thread(program.wait)
        self._result.seconds = time.monotonic() - self._run.began
        self._run.note_end(self._result.exit_code, by_itself=not program.died_by_signal)
        self._ended.set()
        self._budget.begin()
        self._budget_for_leftovers.hurry(_HEAD_START)

    async def _follow(self) -> None:
        """Save the streams, a moment behind those of earlier runs in this place, whose logs may have the same names."""
        leftovers = asyncio.create_task(
            finish_all(self._run.plan.folder, self._run.plan.target, self._budget_for_leftovers, self._result)
        )
        await asyncio.wait([leftovers], timeout=_HEAD_START)
        await asyncio.gather(*(self._streams.follow(stream, self._ended) for stream in self._run.plan.logs))
        await leftovers

    async def _keep_checkpoints(self) -> None:
        if self._run.plan.checkpoints:
            await self._checkpoints.already_stored(self._result.restored)
            await self._checkpoints.keep(self._ended)

    async def _save_files_in_time(self, keeping: asyncio.Task[None]) -> None:
        try:
            await self._budget.spend_on(self._save_files(keeping))
        except TimeoutError:
            self._result.failures += self._uploads.not_in_time()
        except Exception as error:
            self._result.failures.append(error)  # whatever it is, the logs are not to suffer from it

    async def _save_files(self, keeping: asyncio.Task[None]) -> None:
        """When the program has ended: the last checkpoints, then the files by their rules."""
        try:
            await keeping
        except Exception as error:
            self._result.failures.append(error)
        await self._checkpoints.finish(by_itself=not self._run.program.died_by_signal)
        await save_by_rules(self._run.plan.saves, self._result.exit_code, self._uploads, self._result)

    def _is_over(self) -> bool:
        return self._budget.left() <= 0

    def _is_all_stored(self) -> bool:
        """Whether there is nothing left that `resume` could store."""
        return self._streams.all_complete and not any(
            isinstance(failure, StoreError) for failure in self._result.failures
        )

    def _asked_to_end(self) -> None:
        self._budget.asked_to_end(self._run.program.times_asked_to_end)
        self._hurry()

    def _announced(self, notice: Notice) -> None:
        self._result.notice = notice
        self._budget.node_ends_in(notice.seconds_left)
        self._hurry(notice.event)

    def _hurry(self, notice: str | None = None) -> None:
        """The end is near: save what there is."""
        self._budget_for_leftovers.hurry(_HEAD_START)
        self._streams.hurry(notice)
        self._checkpoints.look_now()
