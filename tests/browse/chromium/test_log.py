"""Somebody who reads logs: one that grows meanwhile, and a long one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from batch_outputs import sync
from batch_outputs.browse import addresses
from batch_outputs.marks import LogMarks
from support import page as http
from support.browser import Open, wait_at
from support.command import Desk, wait_until
from support.peers import needs
from support.ports import quiet_port
from support.studio import BIG_LINES, Studio

pytestmark = needs("chromium")

LOG = "t1/$TaskLog/stdout.txt"
ECHO = "import sys\nfor line in sys.stdin:\n    print(line, end='', flush=True)\nsys.exit(3)\n"


class Program:
    """A program under `batch-outputs run` that prints what it is told, and ends with 3."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child

    def says(self, *lines: str) -> None:
        """Have it print lines."""
        assert self.child.stdin
        self.child.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.child.stdin.flush()


@pytest.fixture
def program(desk: Desk, job: sync.JobOutputStorage) -> Iterator[Program]:
    """The program in the task `t1` of the job; its first line is stored."""
    command = ("run", "--job", "demo", "--task", "t1", "--flush-interval", "0.2", "--", sys.executable, "-c", ECHO)
    with desk.started(*command) as child:
        program = Program(child)
        program.says("line 1")
        wait_until(lambda: [output.size for output in job.task("t1").list_outputs("TaskLog") if output.size])
        yield program


@pytest.fixture
def tab(program: Program, job: sync.JobOutputStorage, page: http.Page, open_on: Open) -> Page:
    """A tab on the page of the program's log; what is set in its window goes away when it is loaded anew."""
    tab = open_on(page).tab
    tab.goto(page.origin + addresses.file(job.container, LOG))
    expect(text_of(tab)).to_contain_text("line 1")
    tab.evaluate("() => { window.isTheSame = true }")
    return tab


def text_of(tab: Page) -> Locator:
    """Where the text is shown."""
    return tab.get_by_role("region", name="Text")


def lines_of(tab: Page) -> list[str]:
    """The lines that are there, also those that are out of sight."""
    spans = text_of(tab).locator("pre .block > span")
    return [str(text).rstrip("\n") for text in spans.evaluate_all("all => all.map(it => it.textContent)")]


def is_at_end(tab: Page) -> bool:
    """Whether the end of the text is in sight."""
    return bool(text_of(tab).evaluate("it => it.scrollHeight - it.scrollTop - it.clientHeight < 50"))


def test_a_log_is_followed(desk: Desk, program: Program, tab: Page) -> None:
    """New lines of a program that runs appear by themselves, and its exit code once it has ended, without a reload.

    No line is missing or there twice, each has its number, and escape sequences do nothing.
    """
    for number in (2, 4):
        program.says(f"line {number}", f"line {number + 1}")
        expect(text_of(tab)).to_contain_text(f"line {number + 1}")
    program.says("\x1b[31mred\x1b[0m <b>bold</b>", *(f"line {number}" for number in range(7, 2001)))
    expect(text_of(tab)).to_contain_text("line 2000")
    expect(tab.get_by_text("complete", exact=True)).to_have_count(0)
    desk.ended(program.child, code=3)
    expect(tab.get_by_text("complete", exact=True)).to_be_visible()
    expect(tab.get_by_text("exit code 3", exact=True)).to_be_visible()
    expected = [f"line {number}" for number in range(1, 2001)]
    expected[5] = "red <b>bold</b>"
    assert lines_of(tab) == expected
    expect(tab.locator("#L2000")).to_contain_text("line 2000")
    assert tab.evaluate("() => window.isTheSame")


def test_the_end_stays_in_sight_while_it_is_wanted(program: Program, tab: Page) -> None:
    """Who is at the end of a growing log stays there; who has gone up stays there, until they jump to the end."""
    program.says(*(f"line {number}" for number in range(2, 200)))
    expect(text_of(tab)).to_contain_text("line 199")
    tab.get_by_role("button", name="Jump to end", exact=True).click()
    program.says(*(f"line {number}" for number in range(200, 400)))
    expect(text_of(tab)).to_contain_text("line 399")
    wait_at(tab, lambda: is_at_end(tab))
    text_of(tab).evaluate("it => { it.scrollTop = 0 }")
    expect(tab.locator("#L1")).to_be_in_viewport()
    program.says(*(f"line {number}" for number in range(400, 420)))
    expect(text_of(tab)).to_contain_text("line 419")
    expect(tab.locator("#L1")).to_be_in_viewport()
    tab.get_by_role("button", name=re.compile(r"20 new lines")).click()
    expect(tab.locator("#L419")).to_be_in_viewport()
    wait_at(tab, lambda: is_at_end(tab))


def test_a_log_is_held_and_wrapped(program: Program, tab: Page) -> None:
    """Paused, nothing new is shown until it goes on, and then all of it; wrapped, a long line ends at the edge."""
    pause = tab.get_by_role("button", name="Pause", exact=True)
    pause.click()
    expect(pause).to_have_attribute("aria-pressed", "true")
    program.says("line 2", "x" * 5000)
    expect(tab.get_by_role("status").filter(has_text="Paused; 2 new lines waiting")).to_be_visible()
    assert lines_of(tab) == ["line 1"]
    pause.click()
    expect(text_of(tab)).to_contain_text("line 2")
    assert lines_of(tab) == ["line 1", "line 2", "x" * 5000]
    overflow = "it => it.scrollWidth - it.clientWidth"
    assert text_of(tab).evaluate(overflow) > 1000
    wrap = tab.get_by_role("button", name="Wrap", exact=True)
    wrap.click()
    expect(wrap).to_have_attribute("aria-pressed", "true")
    assert text_of(tab).evaluate(overflow) <= 1
    tab.reload()
    expect(wrap).to_have_attribute("aria-pressed", "true")


def test_another_attempt_is_noticed(desk: Desk, program: Program, tab: Page, tmp_path: Path) -> None:
    """When a node is lost and another runs the task again, the page says that the log began anew, and leads to it.

    The earlier attempt's log is a click away from there.
    """
    program.child.kill()  # its log stays as it is
    another = Desk(tmp_path / "another", {"BATCH_OUTPUTS_ACCOUNT_URL": (desk.folder / "batch-outputs").as_uri()})
    another.folder.mkdir()
    another.run("run", "--job", "demo", "--task", "t1", "--", "echo", "the second time")
    expect(tab.get_by_role("status").filter(has_text="Another attempt has begun this log anew")).to_be_visible()
    expect(text_of(tab)).to_contain_text("line 1")
    tab.get_by_role("link", name="Show it").click()
    expect(text_of(tab)).to_contain_text("the second time")
    tab.get_by_role("link", name="stdout.attempt-1.txt").click()
    expect(text_of(tab)).to_contain_text("line 1")


def test_another_run_of_the_server(job: sync.JobOutputStorage, desk: Desk, open_on: Open) -> None:
    """Who follows a log when the server is started anew is told to open its new address, and not left waiting."""
    begin_log(job, b"line 1\n")
    with ExitStack() as stack:
        first = stack.enter_context(http.serving(desk, "--port", str(quiet_port())))
        window = open_on(first)
        window.expect("Failed to load resource|ERR_|EventSource")
        tab = window.tab
        tab.goto(first.origin + addresses.file(job.container, LOG))
        expect(tab.get_by_role("status").filter(has_text="Following the log")).to_be_visible()
        stack.close()
        expect(tab.get_by_role("status").filter(has_text="The connection is lost")).to_be_visible()
        stack.enter_context(http.serving(desk, "--port", str(first.port)))
        expect(tab.get_by_role("status").filter(has_text="open the address that batch-outputs")).to_be_visible()


def test_a_silent_log_wakes(job: sync.JobOutputStorage, page: http.Page, open_on: Open) -> None:
    """A log that was silent for long is said to have no end, and to grow as soon as something comes."""
    append = begin_log(job, b"line 1\nline")
    path = Path(job.place, LOG)
    os.utime(path, (path.stat().st_mtime - 3600,) * 2)
    tab = open_on(page).tab
    tab.goto(page.origin + addresses.file(job.container, LOG))
    expect(tab.get_by_role("status").filter(has_text="what still comes is shown")).to_be_visible()
    expect(tab.locator("#state")).to_have_text("partial")
    expect(tab.locator("#changed")).to_have_text("1 h ago")
    append(b" 2\n")
    expect(text_of(tab)).to_contain_text("line 2")
    expect(tab.locator("#state")).to_have_text("still growing")
    expect(tab.locator("#changed")).to_have_text("just now")
    expect(tab.get_by_role("status").filter(has_text="Following the log as it grows")).to_be_visible()


def begin_log(job: sync.JobOutputStorage, text: bytes) -> Callable[[bytes], None]:
    """Store a log that has no end; what is given adds to it."""
    store = job._storage._container.store
    etag = sync._run(store.create_append(LOG, metadata=LogMarks(attempt="a", log="l").metadata())).etag
    sync._run(store.append(LOG, text, offset=0, etag=etag))

    def append(more: bytes) -> None:
        log = job.output_at(LOG).refresh()
        assert log.size is not None
        assert log.etag is not None
        sync._run(store.append(LOG, more, offset=log.size, etag=log.etag))

    return append


def test_a_long_text_is_gone_through(studio: Studio, open_on: Open) -> None:
    """Of a text of several megabytes its beginning and its end are shown, and any part of it is a few clicks away."""
    tab = open_on(studio.page).tab
    tab.goto(studio.file("big.txt"))
    lines = tab.locator("#lines .block > span")
    first, last = (re.compile(f"^line {number} of") for number in (0, BIG_LINES - 1))
    expect(lines.first).to_have_text(first)
    expect(lines.last).to_have_text(last)
    tab.get_by_role("textbox", name="Go to").fill("50 %")
    tab.get_by_role("button", name="Go", exact=True).click()
    expect(lines.first).to_have_text(re.compile(r"^line 100\d\d of"))
    tab.get_by_role("link", name="Later", exact=True).first.click()
    expect(lines.first).to_have_text(re.compile(r"^line 158\d\d of"))
    tab.get_by_role("link", name="End", exact=True).first.click()
    expect(lines.last).to_have_text(last)
    expect(lines.last).to_be_in_viewport()
    tab.get_by_role("link", name="Beginning", exact=True).first.click()
    expect(lines.first).to_have_text(first)
    expect(lines.first).to_be_in_viewport()


def test_a_long_text_is_searched(studio: Studio, open_on: Open) -> None:
    """What is shown is searched at once, and all of a text by the server: a line far from what is shown is found.

    It leads to that line, by its number.
    """
    tab = open_on(studio.page).tab
    tab.goto(studio.file("big.txt"))
    search = tab.get_by_role("searchbox")
    search.fill("line 12 ")
    expect(tab.get_by_role("status").filter(has_text="1 shown")).to_be_visible()
    search.fill("LINE 10234 of")
    expect(tab.get_by_role("status").filter(has_text="not in what is shown")).to_be_visible()
    search.fill("line 10234 of")
    tab.get_by_role("button", name="Search all").click()
    found = tab.get_by_role("link", name=re.compile("10,?235.*line 10234 of"))
    expect(found).to_have_count(1)
    expect(found.locator("mark")).to_have_text("line 10234 of")
    found.click()
    expect(tab.locator("#L10235")).to_be_in_viewport()
    expect(tab.locator("#L10235")).to_contain_text("line 10234 of a long text")
