"""Results as tables of Markdown, which can be read in a terminal and put into a document."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.metrics import METRICS
from benchmarks.results import CaseResult
from benchmarks.verdicts import Verdict


def case_tables(result: CaseResult, judged: Sequence[Verdict], what: str) -> str:
    """A case: its rows, what failed, and how ours compares."""
    metrics = result.metrics
    rows = [
        [row, *(METRICS[metric].shown(values) if (values := result.values(row, metric)) else "" for metric in metrics)]
        for row in result.roles
        if row not in result.failures
    ]
    parts = [f"## {result.title}: {what}"]
    if metrics:
        parts.append(_table(["", *(METRICS[metric].title for metric in metrics)], rows))
        parts.append(f"The machine's load average was {result.load:.1f} before.")
    else:
        parts.append("No round was asked for that counts.")
    parts += [f"{row} FAILED: {sentence}" for row, sentence in result.failures.items()]
    if judged:
        parts.append(verdict_table([(None, verdict) for verdict in judged]))
    return "\n\n".join(parts)


def verdict_table(judged: Sequence[tuple[str | None, Verdict]]) -> str:
    """Our numbers against the best others and their limits, with the case in front if there are several."""
    named = any(title is not None for title, _ in judged)
    head = ["", "ours", "best other", "ratio (of each round)", "limit", ""]
    return _table(
        [*(["case"] if named else []), *head], [[*([title] if title else []), *_cells(v)] for title, v in judged]
    )


def _cells(verdict: Verdict) -> list[str]:
    metric = METRICS[verdict.metric]
    ratio = ""
    if verdict.ratio is not None:
        ratio = f"{verdict.ratio:.2f}"
        if len(verdict.ratios) > 1:
            ratio += f" ({min(verdict.ratios):.2f} to {max(verdict.ratios):.2f})"
    best = "" if verdict.theirs is None else f"{verdict.theirs:,.{metric.digits}f} {verdict.best}"
    limit = "" if verdict.limit is None else verdict.limit.shown
    ours = f"{verdict.ours:,.{metric.digits}f}"
    if verdict.limit and verdict.limit.ours:  # one of several
        ours += f" {verdict.row}"
    return [metric.title, ours, best, ratio, limit, verdict.word]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return "\n".join([line(head), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows)])
