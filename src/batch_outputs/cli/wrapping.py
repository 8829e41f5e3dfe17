"""A run from beginning to end, as its user sees it: what is said, what is returned."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from batch_outputs.cli.codes import FAILURE
from batch_outputs.cli.talk import all_is_said, say, say_where, sentences
from batch_outputs.runner.launch import Run, launch
from batch_outputs.runner.plan import RunPlan
from batch_outputs.runner.program import CannotStartError, Program
from batch_outputs.runner.report import check_report, write_report
from batch_outputs.runner.result import RunResult
from batch_outputs.wording import counted, size_text

if TYPE_CHECKING:
    from batch_outputs.outputs import OutputFileReference

_LISTED = 10
"""How many saved files the summary names."""


class Wrapping:
    """One program, wrapped. With `best_effort` a 0 of the program's stays one, whatever could not be saved."""

    def __init__(self, plan: RunPlan, *, report: str | None, best_effort: bool) -> None:
        if report is not None:
            check_report(report)
        self._plan = plan
        self._report = report
        self._best_effort = best_effort
        self._result = RunResult()
        self._program = Program(grace=plan.grace)
        self._told = 0

    def run(self) -> int:
        """Do it, and return the exit code."""
        self._program.heed_signals()
        if self._plan.restores and (code := self._restore()) is not None:
            return code
        try:
            run = launch(self._plan, self._program)
        except CannotStartError as error:
            say(str(error))
            return error.exit_code
        say_where(self._plan.location.place, embedded=self._plan.target.embedded)
        run.pass_on_output()
        try:
            return self._attend(run)
        except Exception as error:
            # Whatever breaks in us, the program is left to its end, which is what counts.
            for sentence in sentences(error):
                say(f"{sentence} The program runs on; its output is kept in {run.spool.folder}.")
            code = self._program.wait()
            for echo in run.echoes:
                echo.finish()
            return self._our(code)

    def _restore(self) -> int | None:
        """Bring back what is to be there before the program starts; the exit code if it is not to be started."""
        import asyncio

        from batch_outputs.cli.warnings import show_warnings

        show_warnings()
        code = asyncio.run(self._bring_back())
        for missing in self._result.unmatched:
            say(str(missing))
        self._told = len(self._result.unmatched)
        if restored := self._result.restored:
            say(f"restored {counted(len(restored), 'file')} ({_size_of(restored)}).")
        return code

    async def _bring_back(self) -> int | None:
        import asyncio

        from batch_outputs.runner.attend import bring_back

        loop, program = asyncio.get_running_loop(), self._program
        restoring = asyncio.create_task(bring_back(self._plan, self._result))
        program.on_asked_to_end = lambda: loop.call_soon_threadsafe(restoring.cancel)
        if program.asked_by is not None:
            restoring.cancel()
        await asyncio.wait([restoring])
        program.on_asked_to_end = None
        if program.asked_by is not None:
            say("asked to end before the program was started, so it is not started.")
            return 128 + program.asked_by
        if (error := restoring.exception()) is None:
            return None
        for sentence in sentences(error):
            say(sentence)
        verdict = "and the program is started without it" if self._best_effort else "so the program is not started"
        say(f"what was to be restored is not all there, {verdict}.")
        return None if self._best_effort else FAILURE

    def _attend(self, run: Run) -> int:
        import asyncio  # everything heavy comes after the program's start

        from batch_outputs.cli.warnings import show_warnings
        from batch_outputs.runner.attend import attend

        async def work() -> int:
            await attend(run, self._result)
            code = self._conclude()
            if len(asyncio.all_tasks()) > 1:
                _leave(code)  # a request hangs in a thread, and would hold us for as long as that
            return code

        show_warnings()
        return asyncio.run(work())

    def _conclude(self) -> int:
        """Say what came of it, and write the report; the exit code."""
        result = self._result
        code = self._our(result.exit_code) if result.failures else result.exit_code
        if self._report is not None:
            try:
                write_report(self._report, self._plan, result, code, lambda error: list(sentences(error)))
            except Exception as error:
                result.failures.append(error)
                code = self._our(result.exit_code)
        self._summarise(code)
        return code

    def _our(self, code: int) -> int:
        """What to return when something was not saved: a failure of the program's own is never hidden by ours."""
        return FAILURE if code == 0 and not self._best_effort else code

    def _summarise(self, code: int) -> None:
        plan, result = self._plan, self._result
        for missing in result.unmatched[self._told :]:
            say(str(missing))
        # Both streams usually fail for one reason, which is said once.
        for sentence in dict.fromkeys(sentence for failure in result.failures for sentence in sentences(failure)):
            say(sentence)
        if self._program.was_killed:
            say("the program did not end when it was asked to, and was killed.")
        if result.spool is not None:
            complete = [log for log in result.logs if log.complete]
            what = (
                "what is left" if len(complete) == len(plan.logs) else f"the program's output, kept in {result.spool}"
            )
            say(f"batch-outputs resume saves {what}.")
        if result.recovered:
            say(f"finished {counted(len(result.recovered), 'log')} that an earlier run had left.")
        for output in result.saved[:_LISTED]:
            say(f"saved {output.blob_name}, {size_text(output.size)}.")
        if len(result.saved) > _LISTED:
            say(f"saved {counted(len(result.saved) - _LISTED, 'more file')}.")
        files = f"{counted(len(result.saved), 'file')} ({_size_of(result.saved)}) and " if plan.saves else ""
        kept = f", {counted(len(result.checkpoints), 'checkpoint')}" if plan.checkpoints else ""
        verdict = "" if code == result.exit_code else f", and this run ends with {code}, as not everything is saved"
        say(
            f"saved {files}{counted(len(result.logs), 'log')} ({_size_of(result.logs)}){kept} of task {plan.task_id} "
            f"in {result.seconds_saving:.1f} s; the program ended with {result.exit_code} after {result.seconds:.1f} s"
            f"{verdict}."
        )


def _leave(code: int) -> NoReturn:
    all_is_said()  # or nobody listens; and to stdout we write nothing that would have to be flushed
    os._exit(code)


def _size_of(outputs: Sequence[OutputFileReference]) -> str:
    return size_text(sum(output.size or 0 for output in outputs))
