"""Attending a running program: its streams saved and passed on, its files saved, its node watched."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from batch_outputs.runner import leftovers
from batch_outputs.runner.budget import Budget
from batch_outputs.runner.checkpoints import Checkpoints
from batch_outputs.runner.launch import Run
from batch_outputs.runner.leftovers import Leftover
from batch_outputs.runner.plan import RunPlan
from batch_outputs.runner.preemption import Notice, PreemptionWatch
from batch_outputs.runner.restore import restore
from batch_outputs.runner.result import RunResult
from batch_outputs.runner.saving import save_by_rules
from batch_outputs.runner.streams import Streams
from batch_outputs.runner.uploads import Uploads, store_folder
from batch_outputs.settings import metadata_url
from batch_outputs.sources import Folders
from batch_outputs.storage import JobOutputStorage

logger = logging.getLogger("batch_outputs.runner")

_FOR_LEFTOVERS = 5.0
"""Seconds for what earlier runs have left, once this run's own output is to be saved."""


async def bring_back(plan: RunPlan, result: RunResult) -> None:
    """Before the program starts: restore what the plan names.

    Raises:
        ExceptionGroup, BatchOutputsError: something could not be restored.
    """
    async with _storage(plan) as job:
        await restore(plan, job, _uploads(plan, job), result)


async def attend(run: Run, result: RunResult) -> None:
    """Stay with a started program until it has ended and what it made is stored, or cannot be.

    The spool is removed if the logs are complete in storage, else it is what is left of them. Cancelled, the program is
    asked to end, and what it leaves is saved all the same.
    """
    async with _storage(run.plan) as job:
        await _Attendance(run, result, job).stay()


def _storage(plan: RunPlan) -> JobOutputStorage:
    return JobOutputStorage.at(plan.target, job_id=plan.job_id, environment=plan.environment)


def _uploads(plan: RunPlan, job: JobOutputStorage) -> Uploads:
    environment = plan.environment
    skip = store_folder(plan.target, plan.job_id)
    return Uploads(job, job.task(plan.task_id), Folders(None, environment.working_dir, environment.task_dir, skip=skip))


class _Attendance:
    """One run that is attended."""

    def __init__(self, run: Run, result: RunResult, job: JobOutputStorage) -> None:
        self._run = run
        self._plan = run.plan
        self._result = result
        self._ended = asyncio.Event()
        self._budget = Budget(run.plan.flush_timeout)
        self._budget_for_leftovers = Budget(None)
        self._uploads = _uploads(run.plan, job)
        self._streams = Streams(run.plan, run.spool, job.task(run.plan.task_id), self._budget, result)
        self._checkpoints = Checkpoints(run.plan.checkpoints, self._uploads, result)

    async def stay(self) -> None:
        following = asyncio.create_task(self._follow())
        keeping = asyncio.create_task(self._keep_checkpoints())
        with self._listening():
            cancelled = await self._wait_for_the_end()
            ended = time.monotonic()
            echoing = [asyncio.to_thread(echo.finish) for echo in self._run.echoes]
            in_time, *_ = await asyncio.gather(self._budget.spend_on(self._save_files(keeping)), following, *echoing)
        if not in_time:
            self._result.failures += self._uploads.not_in_time()
        self._result.seconds_saving = time.monotonic() - ended
        if self._streams.all_complete:
            self._run.spool.remove()
        else:
            self._result.spool = self._run.spool.folder
            self._run.spool.release()
        if cancelled is not None:
            raise cancelled

    async def _wait_for_the_end(self) -> asyncio.CancelledError | None:
        """Wait for the program. A cancellation asks it to end, and counts when all is done."""
        began = time.monotonic()
        end = asyncio.ensure_future(asyncio.to_thread(self._run.program.wait))
        cancelled: asyncio.CancelledError | None = None
        while not end.done():
            try:
                await asyncio.shield(end)
            except asyncio.CancelledError as error:
                cancelled = error
                self._run.program.ask_to_end()
        self._result.exit_code = end.result()
        self._result.seconds = time.monotonic() - began
        self._run.note_end(self._result.exit_code)
        self._ended.set()
        self._budget.begin()
        self._budget_for_leftovers.hurry(_FOR_LEFTOVERS)
        return cancelled

    async def _follow(self) -> None:
        """Save the streams, behind those of earlier runs in this place: a log of theirs may have the same name."""
        try:
            await self._finish_leftovers()
        except Exception as error:
            logger.warning("What earlier runs left in %s is not looked after: %s", self._plan.folder, error)
        await asyncio.gather(*(self._streams.follow(stream, self._ended) for stream in self._plan.logs))

    async def _finish_leftovers(self) -> None:
        self._budget_for_leftovers.begin()
        for leftover in await asyncio.to_thread(leftovers.take, self._plan.folder):
            if isinstance(leftover, Leftover):
                past = RunResult()
                await leftovers.finish(leftover, self._plan.target, self._budget_for_leftovers, past, files=False)
                self._result.recovered += past.recovered
                for failure in past.failures:
                    logger.warning("What an earlier run left in %s is not saved: %s", leftover.spool.folder, failure)
            else:
                logger.warning("%s", leftover)

    async def _keep_checkpoints(self) -> None:
        if self._plan.checkpoints:
            await self._checkpoints.already_stored(self._result.restored)
            await self._checkpoints.keep(self._ended)

    async def _save_files(self, keeping: asyncio.Task[None]) -> None:
        """When the program has ended: the last checkpoints, and the files by their rules."""

        async def last_checkpoints() -> None:
            await keeping
            await self._checkpoints.finish()

        saving = save_by_rules(self._plan.saves, self._result.exit_code, self._uploads, self._result)
        for outcome in await asyncio.gather(last_checkpoints(), saving, return_exceptions=True):
            if isinstance(outcome, Exception):
                self._result.failures.append(outcome)  # whatever it is, the logs are not to suffer from it

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """While the block runs, signals to end and the announcement of the node's end are heeded."""
        loop = asyncio.get_running_loop()
        watch = PreemptionWatch(metadata_url(), lambda notice: _in_loop(loop, self._announced, notice))
        self._run.program.on_asked_to_end = lambda: _in_loop(loop, self._asked_to_end)
        if self._run.program.times_asked_to_end:
            self._asked_to_end()
        if self._plan.watches_preemption:
            watch.start()
        try:
            yield
        finally:
            self._run.program.on_asked_to_end = None
            watch.stop()

    def _asked_to_end(self) -> None:
        self._hurry(self._run.program.times_asked_to_end)

    def _announced(self, notice: Notice) -> None:
        self._result.notice = notice
        when = f", not before {notice.not_before}" if notice.not_before else ""
        logger.warning("This node is to end (%s%s); all that is there is saved now.", notice.event, when)
        self._hurry(notice=notice.event)
        if self._plan.preempt_signal is not None:
            self._run.program.send(self._plan.preempt_signal)

    def _hurry(self, times: int = 1, notice: str | None = None) -> None:
        """The end is near: save what there is, and take little time once the program has ended."""
        self._budget.asked_to_end(times)
        self._budget_for_leftovers.hurry(_FOR_LEFTOVERS)
        self._streams.hurry(notice)
        self._checkpoints.look_now()


def _in_loop(loop: asyncio.AbstractEventLoop, action: Callable[..., object], *arguments: object) -> None:
    with contextlib.suppress(RuntimeError):  # all is over, and the loop closed
        loop.call_soon_threadsafe(action, *arguments)
