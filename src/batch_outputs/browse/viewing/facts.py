"""What is known of an output, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from batch_outputs.browse.log_marks import marks_of
from batch_outputs.browse.moments import moment_of
from batch_outputs.browse.viewing.family import Family
from batch_outputs.marks import Reason
from batch_outputs.output_state import OutputState
from batch_outputs.outputs import OutputFileReference
from batch_outputs.wording import age_text, counted, printable, size_text, time_text

_REASONS: Mapping[Reason, str] = {
    "truncated": "the file was truncated",
    "replaced": "its name led to another file",
    "rewritten": "the file was changed where it had been saved",
    "limit": "a blob holds no more appends",
}
_STATES: Mapping[OutputState, str] = {
    "complete": "complete",
    "growing": "still growing",
    "continued": "goes on in another part",
    "partial": "partial",
}
_EXPLAINED: Mapping[OutputState, str] = {
    "complete": "The log was saved to its end.",
    "growing": "The log's end is not marked yet, and it changed a short while ago.",
    "continued": "This part is finished, and the log goes on in the next one.",
    "partial": "A correct beginning: the log's end was never marked, and it has not changed for ten minutes or more.",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A term, what is to be said, and perhaps the same more exactly; `id` is for a script that keeps it up to date."""

    term: str
    text: str
    exact: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """How far a log has come: a word for it, what it means, and how its program ended."""

    name: OutputState
    text: str
    explained: str
    exit_code: int | None = None

    @property
    def badge(self) -> str:
        """The class of a badge, beside `badge` itself."""
        return {"complete": "", "growing": " live"}.get(self.name, " warn")


def state_in_words(output: OutputFileReference, state: OutputState) -> State | None:
    """How far a log has come; None for a file, which is always whole."""
    if not output.is_log:
        return None
    marks = marks_of(output)
    return State(state, _STATES[state], _EXPLAINED[state], marks.exit_code if output.complete else None)


def facts_of(output: OutputFileReference, content_type: str, now: datetime) -> list[Fact]:
    """What is to be said of an output that has been looked at."""
    facts = [
        Fact("Size", size_text(output.size), counted(output.size or 0, "byte"), "size"),
        Fact("Type", printable(content_type)),
        Fact("Changed", age_text(output.last_modified, now), time_text(output.last_modified), "changed"),
    ]
    if not output.is_log:
        return facts
    marks = marks_of(output)
    if marks.started:
        begun = moment_of(marks.started)
        facts.append(Fact("Begun", age_text(begun, now), time_text(begun)) if begun else _plain("Begun", marks.started))
    if marks.node:
        facts.append(_plain("Node", marks.node))
    if marks.notice:
        facts.append(_plain("The node's end was announced", marks.notice))
    return facts


def parts_in_words(family: Family) -> str:
    """How a log came to be in parts; nothing if it did not."""
    if not family.parts:
        return ""
    begun = [
        f"part {part.number} began because {_REASONS[part.reason]}" if part.reason else f"part {part.number} follows"
        for part in family.parts
    ]
    return f"Joined from {len(family.parts) + 1} parts; {'; '.join(begun)}."


def _plain(term: str, text: str) -> Fact:
    return Fact(term, printable(text[:200]))
