"""Somebody at a real browser: from the jobs to a file, and what can be done with it there."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from batch_outputs import sync
from batch_outputs.browse import addresses
from support import page as http
from support.browser import Open
from support.peers import needs
from support.pictures import webm
from support.studio import JOB, Studio

pytestmark = needs("chromium")


@pytest.fixture
def tab(studio: Studio, open_on: Open) -> Page:
    """A tab on the page of the studio."""
    return open_on(studio.page).tab


def shown_width(page: Page, name: str) -> int:
    """How wide the picture of this name is in itself, once it is there; 0 if it is broken."""
    picture = page.get_by_role("img", name=name)
    picture.scroll_into_view_if_needed()
    return int(picture.evaluate("picture => picture.decode().then(() => picture.naturalWidth, () => 0)"))


def test_from_the_jobs_to_a_picture(studio: Studio, tab: Page) -> None:
    """Link by link: the jobs, a job, a task with previews, a picture in full, and all the way back by the crumbs.

    The address that lets one in is not in the history, and no page has the token in its address.
    """
    expect(tab.get_by_role("heading", level=1)).to_have_text("Jobs")
    assert tab.url == f"{studio.page.origin}/"
    tab.get_by_role("link", name=JOB, exact=True).click()
    expect(tab.get_by_role("heading", level=1)).to_have_text(JOB)
    tab.get_by_role("link", name="t1", exact=True).click()
    for title in ("Saved output files", "Saved logs", "Previews", "Thumbnails"):
        expect(tab.get_by_role("heading", level=2, name=title, exact=True)).to_be_visible()
    assert shown_width(tab, "thumb-3.png") == 160
    tab.get_by_role("link", name="frames/0001.png", exact=True).click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("frames/0001.png")
    assert shown_width(tab, "frames/0001.png") == 320
    crumbs = tab.get_by_role("navigation", name="Where you are")
    for text in ("t1", JOB, "Jobs"):
        crumbs.get_by_role("link", name=text, exact=True).click()
        assert "token" not in tab.url
    expect(tab.get_by_role("heading", level=1)).to_have_text("Jobs")


def test_jobs_and_tasks_are_found(studio: Studio, tab: Page) -> None:
    """A search among the jobs and one among the tasks leave what has the text; pages of tasks lead on and back."""
    tab.get_by_role("searchbox", name="Search jobs").fill("train")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("link", name="train-2025", exact=True)).to_be_visible()
    expect(tab.get_by_role("link", name=JOB, exact=True)).to_have_count(0)
    tab.goto(studio.page.origin + addresses.job(studio.container))
    tasks = tab.locator("table").filter(has_text="Task").last.get_by_role("rowheader")
    expect(tasks).to_have_count(100)
    tab.get_by_role("link", name="Next", exact=True).click()
    expect(tasks).to_have_count(29)
    tab.get_by_role("link", name="Previous", exact=True).click()
    expect(tasks).to_have_count(100)
    tab.get_by_role("searchbox", name="Search tasks").fill("t12")
    tab.keyboard.press("Enter")
    expect(tasks).to_have_text(["t12", *(f"t12{n}" for n in range(10))])


def test_media_are_shown(studio: Studio, tab: Page) -> None:
    """Sound plays, a table and a tree have their parts, text has its letters, bytes are shown as such."""
    tab.goto(studio.file("sound.wav"))
    audio = tab.locator("audio")
    expect(audio).to_be_visible()
    assert audio.evaluate("it => new Promise(done => { it.oncanplay = () => done(it.duration); it.load(); })") == 1.0
    tab.goto(studio.file("table.csv"))
    expect(tab.get_by_role("columnheader", name="remark")).to_be_visible()
    expect(tab.get_by_role("cell", name="49.5", exact=True)).to_be_visible()
    tab.goto(studio.file("result.json"))
    expect(tab.get_by_role("region", name="The tree")).to_contain_text("render-2026")
    tab.goto(studio.file("notes.txt"))
    expect(tab.get_by_role("region", name="Text")).to_contain_text("Größe: 漢字 😀")
    tab.goto(next(address for name, address in studio.addresses.items() if name.endswith(".dat")))
    expect(tab.get_by_role("main")).to_contain_text("00 01 02 03 04 05 06 07")


@needs("ffmpeg")
def test_a_film_is_played(job: sync.JobOutputStorage, tmp_path: Path, page: http.Page, open_on: Open) -> None:
    """A film comes with its size and length, and can be started anywhere: the browser asks for ranges."""
    job.task("t1").save_bytes("TaskOutput", webm(tmp_path / "film.webm", seconds=3), "film.webm")
    tab = open_on(page).tab
    tab.goto(page.origin + addresses.file(job.container, "t1/$TaskOutput/film.webm"))
    film = tab.locator("video")
    seek = """
        it => new Promise(done => {
          const seek = () => { it.currentTime = 2; };
          it.onseeked = () => done([it.videoWidth, it.currentTime]);
          if (it.readyState) seek(); else it.onloadedmetadata = seek;
        })
        """
    assert film.evaluate(seek) == [160, 2]
    assert film.evaluate("it => it.error") is None


def test_a_document_is_shown(studio: Studio, tab: Page) -> None:
    """The browser's own viewer shows a PDF inside the page."""
    with tab.expect_event("framenavigated", lambda frame: frame.url.startswith("chrome-extension:")) as viewer:
        tab.goto(studio.file("paper.pdf"))
    expect(viewer.value.locator("pdf-viewer")).to_be_visible()
    expect(viewer.value.locator("viewer-toolbar")).to_contain_text("paper.pdf")


def test_a_file_is_kept(studio: Studio, tab: Page) -> None:
    """The button downloads a file under its name, byte for byte."""
    for name in ("frames/0001.png", "big.txt", "notes.txt"):
        tab.goto(studio.file(name))
        with tab.expect_download() as download:
            tab.get_by_role("link", name="Download", exact=True).click()
        assert download.value.suggested_filename == name.rpartition("/")[2]
        assert download.value.path().read_bytes() == studio.files[name]


def test_a_selection_is_kept(studio: Studio, tab: Page) -> None:
    """Two ticked files come as an archive of these two, a whole task as one of all that it has stored."""
    tab.goto(studio.page.origin + addresses.task(studio.container, "t1"))
    picked = ["frames/0002.png", "table.csv"]
    for name in picked:
        tab.get_by_role("checkbox", name=f"Select {name}", exact=True).check()
    archive = kept_archive(tab, "button", "Download selected (zip)")
    assert archive == {f"TaskOutput/{name}": studio.files[name] for name in picked}
    archive = kept_archive(tab, "link", "Download all (zip)")
    assert {name: archive[f"TaskOutput/{name}"] for name in studio.files} == studio.files
    assert archive["TaskLog/stdout.txt"] == b"begin\nend\n"
    assert archive["TaskLog/progress.log"] == b"step 1\nstep 2\n"
    assert len([name for name in archive if name.startswith("TaskPreview/")]) == 5


def kept_archive(tab: Page, role: Literal["button", "link"], name: str) -> dict[str, bytes]:
    """What is in the archive that a click downloads."""
    with tab.expect_download() as download:
        tab.get_by_role(role, name=name, exact=True).first.click()
    assert download.value.suggested_filename.endswith(".zip")
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        return {found: archive.read(found) for found in archive.namelist()}


def test_without_a_mouse(studio: Studio, tab: Page) -> None:
    """With Tab and Enter alone: past the head of the page by the skip link, to a job, a task and a file."""
    tab.keyboard.press("Tab")
    focused = tab.locator(":focus")
    expect(focused).to_have_text("Skip to content")
    expect(focused).to_be_in_viewport()
    tab.keyboard.press("Enter")
    expect(tab.locator("#main")).to_be_focused()
    for name in (JOB, "t1", "table.csv"):
        tab.wait_for_load_state()  # behind the end of what has come so far, Tab leads to no element
        for _ in range(80):
            tab.keyboard.press("Tab")
            if tab.evaluate("document.activeElement.innerText") == name:
                break
        expect(focused).to_have_text(name)
        outline = "it => { const style = getComputedStyle(it); return style.outlineStyle + style.boxShadow; }"
        assert focused.evaluate(outline) != "nonenone", f"nothing shows that {name} has the focus"
        tab.keyboard.press("Enter")
        expect(tab.get_by_role("heading", level=1)).to_contain_text(name)


def test_without_scripts(studio: Studio, open_on: Open) -> None:
    """In a browser that runs no script every page is there, forms work, and a growing log shows what it has."""
    window = open_on(studio.page, java_script_enabled=False)
    window.expect("status of 404")
    tab = window.tab
    for name, address in studio.pages.items():
        answer = tab.goto(address)
        assert answer is not None
        assert answer.status == (404 if name == "error" else 200)
        expect(tab.get_by_role("heading", level=1)).to_be_visible()
    tab.goto(studio.page.origin + addresses.job(studio.container))
    tab.get_by_role("searchbox", name="Search tasks").fill("t1")
    tab.get_by_role("button", name="Search", exact=True).click()
    tab.get_by_role("link", name="t1", exact=True).click()
    tab.get_by_role("link", name="progress.log", exact=True).click()
    expect(tab.get_by_role("region", name="Text")).to_contain_text("step 2")
    tab.goto(studio.file("big.txt"))
    tab.get_by_role("searchbox").fill("line 14321 ")
    tab.get_by_role("button", name="Search all").click()
    tab.get_by_role("link", name=re.compile("line 14321 ")).click()
    expect(tab.get_by_text("line 14321 of a long text")).to_be_visible()
    tab.goto(studio.page.origin + addresses.task(studio.container, "t1"))
    tab.get_by_role("checkbox", name="Select table.csv", exact=True).check()
    assert list(kept_archive(tab, "button", "Download selected (zip)")) == ["TaskOutput/table.csv"]


def test_two_servers_keep_apart(studio: Studio, page: http.Page, open_on: Open) -> None:
    """One browser may look at two servers of this machine in turn: each has a cookie of its own."""
    window = open_on(studio.page)
    window.expect("asked a stranger: " + page.origin)
    second = window.context.new_page()
    second.goto(page.address)
    for _ in range(2):
        for tab, server in ((window.tab, studio.page), (second, page)):
            answer = tab.goto(f"{server.origin}/")
            assert answer is not None
            assert answer.status == 200
            expect(tab.get_by_role("heading", level=1)).to_have_text("Jobs")
    cookies = window.context.cookies()
    assert len({cookie["name"] for cookie in cookies}) == len(cookies) == 2
    assert all(cookie["httpOnly"] and cookie["sameSite"] == "Strict" for cookie in cookies)


def test_outputs_are_deleted(job: sync.JobOutputStorage, start_page: Callable[..., http.Page], open_on: Open) -> None:
    """With `--allow-delete`: what is ticked is named once more, and gone after a second click; the rest stays."""
    task = job.task("t1")
    for name in ("a.txt", "b.txt", "c.txt"):
        task.save_text("TaskOutput", name, name)
    server = start_page("--allow-delete")
    tab = open_on(server).tab
    tab.goto(server.origin + addresses.task(job.container, "t1"))
    for name in ("a.txt", "c.txt"):
        tab.get_by_role("checkbox", name=f"Select {name}", exact=True).check()
    tab.get_by_role("button", name="Delete selected…").click()
    expect(tab.get_by_role("main")).to_contain_text("a.txt")
    expect(tab.get_by_role("main")).to_contain_text("c.txt")
    expect(tab.get_by_role("main")).not_to_contain_text("b.txt")
    assert [output.name for output in task.list_outputs()] == ["a.txt", "b.txt", "c.txt"]
    tab.get_by_role("main").get_by_role("button", name=re.compile("^Delete")).click()
    expect(tab.get_by_role("link", name="b.txt", exact=True)).to_be_visible()
    expect(tab.get_by_role("link", name="a.txt", exact=True)).to_have_count(0)
    assert [output.name for output in task.list_outputs()] == ["b.txt"]


def test_nothing_is_deleted_unasked(job: sync.JobOutputStorage, page: http.Page, open_on: Open) -> None:
    """Without `--allow-delete` no page offers it."""
    job.task("t1").save_text("TaskOutput", "a", "a.txt")
    tab = open_on(page).tab
    for address in (addresses.task(job.container, "t1"), addresses.file(job.container, "t1/$TaskOutput/a.txt")):
        tab.goto(page.origin + address)
        expect(tab.get_by_role("main")).to_contain_text("a.txt")
        expect(tab.get_by_role("button", name=re.compile("Delete"))).to_have_count(0)
