"""The page over a job of 100,000 blobs in 10,000 tasks: quick to show a page, and small however much is looked at."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html import unescape

import pytest

from batch_outputs.browse import addresses
from support.big_container import BigJob
from support.command import TIMEOUT, Desk
from support.memory import MIB, most_memory, needs_proc
from support.page import Page, serving

PROMISED = 2.0
"""Seconds within which the first page of a job comes."""
ROOM = 15.0
"""So many times that, for a machine that is busy; `benchmarks/browse_big.py` measures what it takes."""
MEMORY = 200 * MIB


@pytest.fixture
def page(desk: Desk, big: BigJob) -> Iterator[Page]:
    """The page of the account that the big job is in."""
    desk.variables["AZURE_STORAGE_CONNECTION_STRING"] = big.container.azurite.connection_string
    with serving(desk) as page:
        yield page


def tasks_on(text: str) -> list[str]:
    """The tasks that a page links to, in its order."""
    return re.findall(r'href="/jobs/[^/"]+/task\?id=(task-\d+)"', text)


def shown(page: Page, address: str) -> str:
    """A page that must be there."""
    answer = page.get(address)
    assert answer.status == 200, answer.text
    return answer.text


def following(text: str) -> str:
    """Where the link to the next page leads."""
    found = re.search(r'href="([^"]+)" rel="next"', text)
    assert found
    return unescape(found[1])


def test_the_first_page_comes_soon(page: Page, big: BigJob) -> None:
    """The job's first page has the first hundred tasks and takes few requests; nobody has asked for the job before."""
    before, began = big.pages_asked_for, time.monotonic()
    text = shown(page, addresses.job(big.container.name))
    took, asked = time.monotonic() - began, big.pages_asked_for - before
    assert tasks_on(text) == [big.task(number) for number in range(100)]
    assert asked <= 4, "of the twenty that all outputs fill"
    assert took < PROMISED * ROOM


@needs_proc
def test_memory_stays_small(page: Page, big: BigJob) -> None:
    """Jobs, pages of tasks, a task, searches, the whole job sorted and counted: less than 200 MiB in the end."""
    container = big.container.name
    assert addresses.job(container) in shown(page, addresses.JOBS)
    text = shown(page, addresses.job(container))
    for number in range(1, 4):
        text = shown(page, following(text))
        assert tasks_on(text)[0] == big.task(100 * number)
    text = shown(page, addresses.task(container, big.task(5000)))
    assert text.count("<img ") == 8
    assert tasks_on(shown(page, addresses.job(container, q="task-0999"))) == [big.task(n) for n in range(9990, 10_000)]
    text = shown(page, addresses.job(container, q="9999", anywhere="1"))
    while not (found := tasks_on(text)):  # on a busy machine it has not come so far
        text = shown(page, following(text))
    assert found == [big.task(9999)]

    counted = addresses.job(container, sort="changed")
    deadline = time.monotonic() + 2 * TIMEOUT
    while not tasks_on(text := shown(page, counted)):
        assert "so far" in text
        assert time.monotonic() < deadline
        time.sleep(0.5)  # as a browser that refreshes the page
    assert tasks_on(text) == [big.task(number) for number in range(9999, 9899, -1)]
    for kind, count in (("TaskLog", 20_000), ("TaskOutput", 60_000), ("TaskPreview", 20_000)):
        assert big.sums[kind][1] == count
        assert f"{count:,}" in text
    assert tasks_on(shown(page, addresses.job(container, sort="-id")))[0] == big.task(9999)
    memory = most_memory(page.process.pid)
    print(f"most memory: {memory / MIB:.0f} MiB")
    assert memory < MEMORY
