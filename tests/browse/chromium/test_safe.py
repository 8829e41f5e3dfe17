"""What a task has stored to do harm, and what another site tries, in a real browser: nothing runs, nobody is asked."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Error, Page, expect

from batch_outputs import sync
from batch_outputs.browse import addresses
from batch_outputs.location import DirectoryAccount, StoreLocation
from browse.conftest import Place
from support import page as http
from support.browser import Open, wait_at
from support.command import Desk
from support.hostile import CONTENTS, NAMES, NAMES_IN_FOLDERS, PREFIX, Canary, listening_canary, plant
from support.page import serving
from support.peers import needs
from support.pictures import pdf

pytestmark = needs("chromium")


@pytest.fixture
def canary() -> Iterator[Canary]:
    """A server that nobody is to ask."""
    with listening_canary() as canary:
        yield canary


def location_of(place: Place, desk: Desk) -> StoreLocation:
    """Where the outputs of a place in a folder are."""
    return StoreLocation(DirectoryAccount(desk.folder / "batch-outputs"), place.container)


def visit(tab: Page, address: str) -> None:
    """Open an address; what comes may be a page or a download."""
    try:
        tab.goto(address)
    except Error as error:
        if "Download is starting" not in error.message:
            raise


def test_no_content_runs(place: Place, desk: Desk, page: http.Page, open_on: Open, canary: Canary) -> None:
    """HTML, SVG, scripts, styles and what passes itself off as something else: shown as such, and it does nothing.

    On its own page, and opened directly: no script runs, and nothing is loaded from anywhere.
    """
    contents = {name: text.replace("CANARY", canary.address).encode() for name, (_, text) in CONTENTS.items()}
    blobs = {PREFIX + name: (CONTENTS[name][0], content) for name, content in contents.items()}
    plant(location_of(place, desk), blobs)
    window = open_on(page)
    window.expect("asked a stranger: " + canary.address)  # it wants to, and is not let: the canary tells
    window.expect("Blocked script execution in .* because the document's frame is sandboxed")
    window.expect("violates the following Content Security Policy directive")
    window.expect("was loaded over an insecure connection|Refused to")
    tab = window.tab
    for blob in blobs:
        for address in (addresses.file(place.container, blob), addresses.raw(place.container, blob)):
            visit(tab, page.origin + address)
            tab.wait_for_load_state("load")
            assert tab.title() != "owned", address
            assert tab.url.startswith(f"{page.origin}/"), address
    visit(tab, page.origin + addresses.task(place.container, "t1"))
    assert canary.asked == []


def test_styles_of_an_svg_that_is_opened_directly(job: sync.JobOutputStorage, page: http.Page, open_on: Open) -> None:
    """An SVG in full size looks like the one on its page: its own styles are its looks."""
    square = "<rect width='9' height='9' style='stroke: #0000ff'/>"
    svg = f"<svg xmlns='http://www.w3.org/2000/svg'><style>rect {{ fill: #ff0000 }}</style>{square}</svg>"
    job.task("t1").save_text("TaskOutput", svg, "a.svg")
    tab = open_on(page).tab
    tab.goto(page.origin + addresses.file(job.container, "t1/$TaskOutput/a.svg"))
    tab.get_by_role("link", name="a.svg").last.click()
    styles = tab.locator("rect").evaluate("it => [getComputedStyle(it).fill, getComputedStyle(it).stroke]")
    assert styles == ["rgb(255, 0, 0)", "rgb(0, 0, 255)"]


def test_no_document_asks_anybody(job: sync.JobOutputStorage, page: http.Page, open_on: Open, canary: Canary) -> None:
    """A PDF that is to send, load or open something when it is shown does not get to anybody."""
    actions = {
        "address": "/S /URI /URI ({0}/uri)",
        "form": "/S /SubmitForm /F << /FS /URL /F ({0}/form) >>",
        "script": "/S /JavaScript /JS (try {{ this.submitForm('{0}/f') }} finally {{ app.launchURL('{0}/u', true) }})",
    }
    tab = open_on(page).tab
    for name, action in actions.items():
        job.task("t1").save_bytes("TaskOutput", pdf("Hello", action=action.format(canary.address)), f"{name}.pdf")
        with tab.expect_event("framenavigated", lambda frame: frame.url.startswith("chrome-extension:")) as viewer:
            tab.goto(page.origin + addresses.file(job.container, f"t1/$TaskOutput/{name}.pdf"))
        expect(viewer.value.locator("viewer-toolbar")).to_contain_text(f"{name}.pdf")
        assert len(tab.context.pages) == 1
    assert canary.asked == []


def test_no_name_runs(place: Place, desk: Desk, page: http.Page, open_on: Open) -> None:
    """Names that hold markup, line ends and marks of direction: all can be ticked, and all are in the archive."""
    names = [*NAMES.values(), *NAMES_IN_FOLDERS.values()]
    plant(location_of(place, desk), {PREFIX + name: ("text/plain", name.encode()) for name in names})
    tab = open_on(page).tab
    tab.goto(page.origin + addresses.kind(place.container, "t1", "TaskOutput"))
    expect(tab.get_by_role("rowheader")).to_have_count(len(names))
    assert tab.title() != "owned"
    tab.get_by_role("checkbox", name="Select all").check()
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download selected (zip)").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert sorted(map(archive.read, archive.namelist())) == sorted(name.encode() for name in names)
    for name in (name for name in names if "owned" in name or "\n" in name):
        tab.goto(page.origin + addresses.file(place.container, PREFIX + name))
        assert tab.title() != "owned"
        expect(tab.get_by_role("heading", level=1)).to_be_visible()


def test_another_site_gets_nothing(job: sync.JobOutputStorage, desk: Desk, open_on: Open, canary: Canary) -> None:
    """A page of another server on this machine, to whose requests the browser adds our cookie, is refused each time."""
    job.task("t1").save_text("TaskOutput", "mine", "a.txt")
    with serving(desk, "--allow-delete") as page:
        file = page.origin + addresses.raw(job.container, "t1/$TaskOutput/a.txt")
        window = open_on(page)
        window.expect("asked a stranger: " + canary.address)
        window.expect("status of 403|ERR_FAILED|ERR_BLOCKED|blocked by CORS policy|Framing .* violates")
        tab = window.tab
        tab.goto(canary.address)
        heard = Heard(window.context.new_cdp_session(tab), page.origin)
        read = tab.evaluate(
            """async ([home, file, remove]) => {
              const sent = { mode: "no-cors", credentials: "include" };
              const body = new URLSearchParams({ task: "t1", form_token: "x" });
              const read = [];
              const note = async (answer) => read.push(await answer.text());
              await fetch(home, sent).then(note, () => 0);
              await fetch(file, { credentials: "include" }).then(note, () => 0);
              await fetch(remove, { ...sent, method: "POST", body }).then(note, () => 0);
              const load = (kind, src) => new Promise((done) => {
                document.body.append(Object.assign(document.createElement(kind), { src, onload: done, onerror: done }));
              });
              await Promise.all([load("img", file), load("script", file)]);
              return read.filter((text) => text);
            }""",
            [f"{page.origin}/", file, page.origin + addresses.delete(job.container)],
        )
        assert read == []
        wait_at(tab, lambda: len(heard.statuses) == 5)
        assert heard.statuses == [403] * 5
        framed = "src => document.body.append(Object.assign(document.createElement('iframe'), { src }))"
        tab.evaluate(framed, f"{page.origin}/")
        wait_at(tab, lambda: tab.frames[-1].url.startswith("chrome-error:"))
        assert [output.name for output in job.task("t1").list_outputs()] == ["a.txt"]


class Heard:
    """The answers of one server from now on, also those that the browser keeps from the page."""

    def __init__(self, session: CDPSession, origin: str) -> None:
        self._origin = origin
        self._asked: dict[str, str] = {}
        self._told: dict[str, int] = {}
        session.send("Network.enable")
        session.on("Network.requestWillBeSent", self._note_request)
        session.on("Network.responseReceivedExtraInfo", self._note_answer)

    @property
    def statuses(self) -> list[int]:
        """The status of each."""
        return [told for key, told in self._told.items() if self._asked.get(key, "").startswith(self._origin)]

    def _note_request(self, told: dict[str, Any]) -> None:
        self._asked[told["requestId"]] = told["request"]["url"]

    def _note_answer(self, told: dict[str, Any]) -> None:
        self._told[told["requestId"]] = told["statusCode"]  # it may come before the other
