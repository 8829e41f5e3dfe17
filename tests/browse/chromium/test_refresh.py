"""Pages that refresh themselves leave alone what the reader has done."""

from __future__ import annotations

import shutil
from contextlib import suppress

from playwright.sync_api import Error, expect
from playwright.sync_api import Page as Tab

from batch_outputs import sync
from batch_outputs.browse import addresses
from support.browser import Open, wait_at
from support.command import wait_until
from support.page import Page
from support.peers import needs
from support.pictures import png

pytestmark = needs("chromium")


def refresh(tab: Tab) -> None:
    """Have the page refresh itself now, as it does when it comes into sight again."""
    tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_refresh_keeps_ticks_focus_and_pictures(job: sync.JobOutputStorage, page: Page, open_on: Open) -> None:
    """What is new appears by itself; ticked boxes, the focus and pictures that are loaded stay as they are."""
    task = job.task("t1")
    task.save_bytes("TaskPreview", png(40, 30), "a.png")
    task.save_text("TaskOutput", "x", "b.txt")
    task.save_text("TaskOutput", "x", "d.txt")
    tab = open_on(page).tab
    tab.goto(page.origin + addresses.task(job.container, "t1"))
    box = tab.get_by_role("checkbox", name="Select b.txt")
    box.check()
    tab.get_by_role("link", name="d.txt", exact=True).focus()
    tab.evaluate("document.querySelector('img').mine = document.querySelector('main').mine = true")
    task.save_text("TaskOutput", "x", "a.txt")
    task.save_text("TaskOutput", "x", "c.txt")
    task.save_text("Metrics", "x", "e.txt")
    expect(tab.get_by_role("link", name="e.txt", exact=True)).to_be_visible()
    names = tab.locator("section").first.locator("tbody th").all_inner_texts()
    assert [name.strip() for name in names] == ["a.txt", "b.txt", "c.txt", "d.txt"]
    expect(box).to_be_checked()
    assert tab.locator("input[name=name]:checked").count() == 1
    expect(tab.get_by_role("link", name="d.txt", exact=True)).to_be_focused()
    assert tab.evaluate("document.querySelector('img').mine && document.querySelector('main').mine")
    everything = tab.get_by_role("checkbox", name="Select all").first
    assert everything.evaluate("box => box.indeterminate")
    everything.check()
    assert tab.locator("input[name=name]:checked").count() == 4
    expect(tab.get_by_role("button", name="Download selected")).to_be_visible()
    task.get_output("TaskOutput", "b.txt").delete()
    refresh(tab)
    expect(tab.get_by_role("link", name="b.txt", exact=True)).to_have_count(0)
    assert tab.locator("input[name=name]:checked").count() == 3


def test_refresh_of_a_job(job: sync.JobOutputStorage, page: Page, open_on: Open) -> None:
    """A job's tasks appear by themselves, while the sums that were opened stay open and a search half typed stays."""
    job.task("t1").save_text("TaskOutput", "x", "a.txt")
    tab = open_on(page).tab
    tab.goto(page.origin + addresses.job(job.container))
    tab.get_by_text("What is stored, by kind").click()
    tab.get_by_role("searchbox").fill("half")
    job.task("t0").save_text("TaskOutput", "x", "a.txt")

    def has_come() -> bool:
        refresh(tab)  # more than once: the server remembers for a moment what it has counted
        return tab.get_by_role("link", name="t0").is_visible()

    wait_until(has_come)
    expect(tab.get_by_role("row", name="In all 2 2")).to_be_visible()
    expect(tab.get_by_role("searchbox")).to_have_value("half")


def test_refresh_when_the_server_is_away(job: sync.JobOutputStorage, page: Page, open_on: Open) -> None:
    """While the server does not answer the page stays, says so, and goes on when it does."""
    job.task("t1").save_text("TaskOutput", "x", "a.txt")
    window = open_on(page)
    window.expect("ERR_FAILED|ERR_INTERNET_DISCONNECTED|Failed to load")
    tab = window.tab
    tab.goto(page.origin + addresses.task(job.container, "t1"))

    tab.route("**/task?*", lambda route: route.abort())
    refresh(tab)
    notice = tab.get_by_role("status")
    expect(notice).to_contain_text("cannot be refreshed")
    expect(tab.get_by_role("link", name="a.txt", exact=True)).to_be_visible()
    tab.unroute("**/task?*")
    job.task("t1").save_text("TaskOutput", "x", "b.txt")
    refresh(tab)
    expect(tab.get_by_role("link", name="b.txt", exact=True)).to_be_visible()
    expect(notice).to_have_text("")


def test_refresh_that_fails_says_why(job: sync.JobOutputStorage, page: Page, open_on: Open) -> None:
    """What the storage says stands in the notice, and the page stays; only who is not known is sent to the address."""
    job.task("t1").save_text("TaskOutput", "x", "a.txt")
    window = open_on(page)
    window.expect("Failed to load resource")
    tab = window.tab
    tab.goto(page.origin + addresses.task(job.container, "t1"))
    shutil.rmtree(job.place)
    refresh(tab)
    notice = tab.locator(".refreshing")
    expect(notice).to_contain_text(job.container)
    expect(notice).to_contain_text("it is tried again")
    expect(tab.get_by_role("link", name="a.txt", exact=True)).to_be_visible()
    window.context.clear_cookies()
    refresh(tab)
    expect(notice).to_contain_text("The server does not know this browser any more")


def test_page_of_what_is_missing_becomes_that_of_what_has_come(
    job: sync.JobOutputStorage, page: Page, open_on: Open
) -> None:
    """A page that says that there is nothing becomes by itself the page of what has come, with its scripts."""
    window = open_on(page)
    window.expect("Failed to load resource")
    tab = window.tab
    tab.goto(page.origin + addresses.task(job.container, "t1"))
    expect(tab.get_by_text("Nothing is stored of task t1")).to_be_visible()
    with tab.expect_response(lambda answer: "/task?" in answer.url):
        refresh(tab)
    expect(tab.locator(".refreshing")).to_have_text("")
    job.task("t1").save_text("TaskOutput", "x", "a.txt")

    everything = tab.get_by_role("checkbox", name="Select all")

    def has_come() -> bool:
        with suppress(Error):  # it may be loaded anew right now
            refresh(tab)  # more than once: a page that is still being asked for is not asked for again
            return everything.count() == 1
        return False

    wait_at(tab, has_come)
    expect(everything).to_be_attached()


def test_enter_on_an_empty_selection(job: sync.JobOutputStorage, page: Page, open_on: Open) -> None:
    """Enter on a box that is not ticked downloads nothing, and says so."""
    job.task("t1").save_text("TaskOutput", "x", "a.txt")
    window = open_on(page)
    window.expect("Failed to load resource.*400")
    tab = window.tab
    tab.goto(page.origin + addresses.task(job.container, "t1"))
    tab.get_by_role("checkbox", name="Select a.txt").press("Enter")
    expect(tab.get_by_role("alert")).to_contain_text("Nothing was selected")
    tab.get_by_role("link", name="Back to t1").click()
    expect(tab.get_by_role("link", name="a.txt", exact=True)).to_be_visible()
