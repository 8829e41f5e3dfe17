"""Which task may run, as pure rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_outputs.desk.graph import Graph, Outcome, dependency_action, job_action
from batch_outputs.desk.job import ExitConditions, ExitOptions

SATISFY, BLOCK = ExitOptions(dependency_action="satisfy"), ExitOptions(dependency_action="block")


@given(st.lists(st.sets(st.integers(0, 30), max_size=5), max_size=30))
def test_every_task_runs_once_and_after_those_it_waits_for(wishes: list[set[int]]) -> None:
    """Without circles, satisfying one task after the other frees all, each once and none too early."""
    waits = {str(i): {str(j) for j in others if j < i} for i, others in enumerate(wishes)}
    graph = Graph(waits)
    assert graph.cycle() is None
    done: list[str] = []
    ready = graph.ready()
    while ready:
        task = ready.pop()
        assert waits[task] <= set(done)
        done.append(task)
        ready += graph.satisfied(task)
    assert sorted(done) == sorted(waits)


@given(st.lists(st.sets(st.integers(0, 12), max_size=3), min_size=1, max_size=12))
def test_a_circle_is_found_where_there_is_one(wishes: list[set[int]]) -> None:
    """What is called a circle is one, and where none is found all tasks can run."""
    waits = {str(i): {str(j) for j in others if j < len(wishes)} for i, others in enumerate(wishes)}
    circle = Graph(waits).cycle()
    if circle is not None:
        for task, following in zip(circle, [*circle[1:], circle[0]], strict=True):
            assert following in waits[task]
        return
    graph = Graph(waits)
    ready, done = graph.ready(), 0
    while ready:
        done += 1
        ready += graph.satisfied(ready.pop())
    assert done == len(waits)


def test_long_chains_and_wide_fans_are_no_burden() -> None:
    """A chain of 20,000 tasks is looked through without recursion, and one that bites its tail is noticed."""
    length = 20_000
    chain = {str(i): [str(i - 1)] if i else [] for i in range(length)}
    assert Graph(chain).cycle() is None
    circle = Graph({**chain, "0": [str(length - 1)]}).cycle()
    assert circle is not None
    assert len(circle) == length


@pytest.mark.parametrize(
    ("conditions", "outcome", "expected"),
    [
        (ExitConditions(), Outcome(0), "satisfy"),
        (ExitConditions(), Outcome(1), "block"),
        (ExitConditions(), Outcome(0, "upload"), "block"),
        (ExitConditions(), Outcome(None, "pre-processing"), "block"),
        (ExitConditions({1: SATISFY}), Outcome(1), "satisfy"),
        (ExitConditions({1: SATISFY}), Outcome(2), "block"),
        (ExitConditions({0: BLOCK}), Outcome(0), "block"),
        (ExitConditions(ranges=((2, 4, SATISFY),)), Outcome(4), "satisfy"),
        (ExitConditions(ranges=((2, 4, SATISFY),)), Outcome(5), "block"),
        (ExitConditions(default=SATISFY), Outcome(9), "satisfy"),
        (ExitConditions(default=BLOCK), Outcome(0), "satisfy"),
        (ExitConditions({1: BLOCK}, default=SATISFY), Outcome(1), "block"),
        (ExitConditions(default=SATISFY), Outcome(None, "pre-processing"), "satisfy"),
        (ExitConditions(pre_processing_error=BLOCK, default=SATISFY), Outcome(None, "pre-processing"), "block"),
        (ExitConditions(file_upload_error=SATISFY), Outcome(0, "upload"), "satisfy"),
        (ExitConditions({0: BLOCK}, file_upload_error=SATISFY), Outcome(0, "upload"), "block"),
        (ExitConditions(default=SATISFY), Outcome(143, "timeout"), "satisfy"),
    ],
)
def test_what_an_end_means_for_dependents(conditions: ExitConditions, outcome: Outcome, expected: str) -> None:
    """Exit codes that are listed come first, then the error's own options, then the default, which is not for 0."""
    assert dependency_action(conditions, outcome) == expected


def test_what_an_end_means_for_the_job() -> None:
    """A job that performs exit options is terminated by any failure unless they say otherwise."""
    assert job_action(ExitConditions(), Outcome(0)) == "none"
    assert job_action(ExitConditions(), Outcome(1)) == "terminate"
    assert job_action(ExitConditions(default=ExitOptions("none")), Outcome(1)) == "none"
    assert job_action(ExitConditions({3: ExitOptions("disable")}), Outcome(3)) == "disable"
