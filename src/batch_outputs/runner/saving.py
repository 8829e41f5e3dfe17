"""The files that rules name, saved when the program has ended."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from batch_outputs.errors import SourceNotFoundError
from batch_outputs.outputs import OutputFileReference
from batch_outputs.runner.result import RunResult
from batch_outputs.runner.rules import SaveRule
from batch_outputs.runner.uploads import Uploads
from batch_outputs.sources import Source

logger: logging.Logger = logging.getLogger("batch_outputs.runner")


async def save_by_rules(rules: Sequence[SaveRule], exit_code: int | None, uploads: Uploads, result: RunResult) -> None:
    """Save what each rule names that is for this end of the program. All are tried, whatever becomes of one."""
    for rule in rules:
        wanted = rule.is_for(exit_code)
        if wanted is None:
            logger.warning("It is not known how the program ended, so %s (--when %s) is left.", rule.pattern, rule.when)
        if wanted:
            result.failures += await _save(rule, uploads, result)


async def _save(rule: SaveRule, uploads: Uploads, result: RunResult) -> list[Exception]:
    failures: list[Exception] = []
    begin = len(result.saved)

    def done(_: Source, output: OutputFileReference) -> None:
        result.saved.append(output)  # at once: there may be no time for all of them

    try:
        sources, problems = await uploads.find(rule.pattern, rule.name)
    except Exception as error:
        return [error]
    for problem in problems:
        missing = isinstance(problem, SourceNotFoundError) and not rule.required
        (result.unmatched if missing else failures).append(problem)
    failures += await uploads.save(rule.kind, sources, done)
    place = {source.name: index for index, source in enumerate(sources)}
    result.saved[begin:] = sorted(result.saved[begin:], key=lambda output: place.get(output.name, 0))
    return failures
