"""The pages that list: jobs, a job, a task, a kind."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message

from batch_outputs import sync
from batch_outputs.account import OutputAccount
from batch_outputs.browse import addresses
from batch_outputs.browse.app import create_app
from batch_outputs.browse.jobs import Jobs
from batch_outputs.browse.site import Site
from batch_outputs.errors import BlobChangedError
from batch_outputs.location import DirectoryAccount, StoreLocation
from batch_outputs.marks import LogMarks
from batch_outputs.stores import open_store
from support.azurite import Container
from support.command import Desk, wait_until
from support.fault_proxy import FaultProxy
from support.hostile import NAMES, NAMES_IN_FOLDERS, PREFIX, plant
from support.page import Page, serving
from support.pictures import png

VOID = {"br", "hr", "img", "input", "link", "meta"}
MISLEADING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What no page may show as it is: it cannot be seen, or turns around what stands beside it."""


@dataclass
class Row:
    """A row of a list: what it stands for, and its text."""

    key: str
    text: str = ""


class Shown(HTMLParser):
    """What a page holds. Reading it fails where tags do not balance, and at what must stand on no page."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = source
        self.links: list[str] = []
        self.next: str | None = None
        self.previous: str | None = None
        self.sources: list[str] = []
        self.actions: list[str] = []
        self.boxes: list[str] = []
        self.buttons: list[str] = []
        self.rows: list[Row] = []
        self.headings: list[str] = []
        self.tags: list[str] = []
        self.refresh: int | None = None
        self._text: list[str] = []
        self._open: list[str] = []
        self._ids: set[str] = set()
        self.feed(source)
        self.close()
        assert self._open == [], f"not closed: {self._open}"
        assert self.tags.count("main") == self.tags.count("h1") == 1
        levels = [int(heading[1]) for heading in self.headings]
        assert all(level <= before + 1 for before, level in zip([0, *levels], levels, strict=False)), self.headings

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert len(given) == len(attrs), f"an attribute stands twice: {attrs}"
        for name, value in given.items():
            assert not name.startswith("on"), f"{name}={value}"
            assert name != "style", value
            assert name not in {"href", "src", "action"} or value.startswith(("/", "#")), f"{name}={value}"
        self.tags.append(tag)
        if "id" in given:
            assert given["id"] not in self._ids, f"{given['id']} stands twice"
            self._ids.add(given["id"])
        if "data-key" in given:
            self.rows.append(Row(given["data-key"]))
        if given.get("name") in {"name", "quoted"}:
            self.boxes.append(given["value"] if given["name"] == "name" else unquote(given["value"]))
        self._take(tag, given)
        if tag not in VOID:
            assert tag not in {"a", "form", "button"} or tag not in self._open, f"{tag} in {tag}"
            self._open.append(tag)

    def _take(self, tag: str, given: dict[str, str]) -> None:
        if tag == "a":
            self.links.append(given["href"])
            self.next = given["href"] if given.get("rel") == "next" else self.next
            self.previous = given["href"] if given.get("rel") == "prev" else self.previous
        elif tag in {"img", "script"}:
            self.sources.append(given["src"])
        elif tag == "link":
            self.sources.append(given["href"])
        elif tag == "form":
            self.actions.append(given["action"])
        elif tag == "button":
            self.buttons.append("")
            assert given.get("formaction", "/").startswith("/")
        elif tag == "main":
            self.refresh = int(given["data-refresh"]) if "data-refresh" in given else None
        elif tag in {"h1", "h2", "h3"}:
            self.headings.append(f"{tag} ")

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> ends nothing"
        assert self._open[-1] == tag, f"</{tag}> ends {self._open[-1]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        assert not MISLEADING.search(data), repr(data)
        self._text.append(data)
        if {"tr", "li"} & {*self._open} and self.rows:
            self.rows[-1].text += data
        if {"h1", "h2", "h3"} & {*self._open}:
            self.headings[-1] += data
        if "button" in self._open:
            self.buttons[-1] += data

    @property
    def text(self) -> str:
        """All text, in single blanks."""
        return " ".join("".join(self._text).split())

    @property
    def keys(self) -> list[str]:
        """What the rows stand for, in order."""
        return [row.key for row in self.rows]

    def row(self, key: str) -> str:
        """The text of a row, in single blanks."""
        (found,) = [row for row in self.rows if row.key == key]
        return " ".join(found.text.split())

    def section(self, number: int) -> str:
        """A heading's words."""
        return " ".join(self.headings[number].split()[1:])


def see(page: Page, address: str, status: int = 200) -> Shown:
    """What stands at an address."""
    answer = page.get(address)
    assert answer.status == status, answer.text
    assert answer["content-type"] == "text/html; charset=utf-8"
    return Shown(answer.text)


def walk(page: Page, address: str) -> Iterator[Shown]:
    """The pages of a list, by their links."""
    following: str | None = address
    for _ in range(50):
        if following is None:
            return
        seen = see(page, following)
        yield seen
        following = seen.next
    raise AssertionError("the list has no end")


def all_of(page: Page, address: str) -> list[str]:
    """What the rows of all pages of a list stand for."""
    return [key for seen in walk(page, address) for key in seen.keys]


def drop(place: Any, names: list[str], content: bytes = b"x", *, age: float = 0) -> None:
    """Put files into a place that is a folder, by hand: many at once, and as old as is wanted."""
    for name in names:
        path = Path(place.job.place, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if age:
            os.utime(path, (path.stat().st_mtime - age,) * 2)


def put_log(place: Any, name: str, content: bytes, marks: LogMarks, *, ended: bool = False) -> None:
    """Store a log as a tracked save leaves it."""

    async def put() -> None:
        store = open_store(location_of(place))
        try:
            told = LogMarks.from_metadata(marks.metadata() | ({"length": str(len(content))} if ended else {}))
            written = await store.create_append(name, content_type="text/plain", metadata=told.metadata())
            if content:
                await store.append(name, content, offset=0, etag=written.etag)
        finally:
            await store.aclose()

    asyncio.run(put())


def location_of(place: Any) -> StoreLocation:
    """Where a place is, that is a folder."""
    folder = Path(place.job.place)
    return StoreLocation(DirectoryAccount(folder.parent), folder.name)


def fill(place: Any) -> None:
    """A job as tasks leave it."""
    job = place.job
    job.save_bytes("JobOutput", b"film", "movie.mp4")
    job.save_bytes("JobPreview", png(32, 18), "sheet.png")
    task = job.task("frame-1")
    task.save_bytes("TaskOutput", png(64, 36), "frame 1.png")
    task.save_text("TaskOutput", "{}", "scenes/frame.json")
    for number in range(3):
        task.save_bytes("TaskPreview", png(16, 9, seed=number), f"low/{number}.png")
    task.save_bytes("TaskPreview", b"film", "turn.mp4")
    task.save_bytes("TaskIntermediate", b"state", "state.bin")
    task.save_bytes("Metrics", b"step,loss\n", "loss.csv")
    log = "frame-1/$TaskLog"
    first = LogMarks(attempt="a3", log="l3")
    put_log(
        place, f"{log}/stdout.txt", b"12345", LogMarks(attempt="a3", log="l3", complete=True, exit_code=3), ended=True
    )
    put_log(place, f"{log}/stdout.attempt-1.txt", b"1", LogMarks(attempt="a1", log="l1"))
    put_log(
        place,
        f"{log}/stdout.attempt-2.txt",
        b"12",
        LogMarks(attempt="a2", log="l2", complete=True, exit_code=9),
        ended=True,
    )
    put_log(place, f"{log}/solver.log", b"123", first, ended=True)
    put_log(place, f"{log}/solver.part-2.log", b"4567", LogMarks(attempt="a3", log="l3", part=2, reason="truncated"))
    task.save_text("TaskLog", "mine", "solver.part-3.log")  # a file of somebody's own, whatever its name looks like
    job.task("frame-10").save_bytes("TaskOutput", b"x" * 5000, "b.bin")
    job.task("frame-2").save_bytes("TaskOutput", b"x" * 700, "c.bin")
    put_log(
        place,
        "frame-2/$TaskLog/stdout.txt",
        b"ok",
        LogMarks(attempt="b", log="b", complete=True, exit_code=0),
        ended=True,
    )


def test_every_link_leads_somewhere(place: Any, start_page: Callable[..., Page]) -> None:
    """Every page that lists is whole, and whatever it links to, loads or sends its form to is there."""
    fill(place)
    page = start_page("--allow-delete")
    waiting, seen = ["/"], {"/"}
    while waiting:
        address = waiting.pop()
        answer = page.get(address)
        assert answer.status == 200, f"{address}: {answer.text[:500]}"
        path = urlsplit(address).path
        if not (path == "/" or path.endswith((place.container, "/task", "/kind"))):
            continue
        found = Shown(answer.text)
        sent = [action for action in found.actions if not action.endswith("/delete")]
        for further in {address.partition("#")[0] for address in [*found.links, *found.sources, *sent]}:
            if further and further not in seen:
                seen.add(further)
                waiting.append(further)
    assert len(seen) > 60


def test_task_in_the_words_of_the_portal(place: Any, start_page: Callable[..., Page]) -> None:
    """A task's page has a section for each kind: outputs, logs, previews, intermediate files, then custom kinds."""
    fill(place)
    found = see(start_page(), addresses.task(place.container, "frame-1"))
    titles = [" ".join(heading.split()[1:]) for heading in found.headings if heading.startswith("h2")]
    assert titles == ["Saved output files", "Saved logs", "Previews", "Intermediate files", "Metrics"]
    assert found.headings[0].split()[1] == "frame-1"
    assert {addresses.raw(place.container, f"frame-1/$TaskPreview/low/{number}.png") for number in range(3)} <= {
        *found.sources
    }
    assert addresses.raw(place.container, "frame-1/$TaskPreview/turn.mp4") not in found.sources
    assert found.source.count('loading="lazy"') == 3
    assert 'alt="low/0.png"' in found.source
    assert sorted(found.boxes) == sorted(found.keys)
    assert {*found.actions} == {addresses.archive(place.container)}
    assert addresses.archive(place.container, task_id="frame-1") in found.links
    assert "13 files" in found.text


def test_logs_with_their_parts_and_attempts(place: Any, start_page: Callable[..., Page]) -> None:
    """Parts are one line with their sum, earlier attempts stand below their log, each with its state or exit code."""
    fill(place)
    page = start_page()
    found = see(page, addresses.kind(place.container, "frame-1", "TaskLog"))
    log = "frame-1/$TaskLog/"
    assert [key.removeprefix(log) for key in found.keys] == [
        *("solver.log", "solver.part-3.log"),
        *("stdout.txt", "stdout.attempt-1.txt", "stdout.attempt-2.txt"),
    ]
    assert found.row(f"{log}solver.log").startswith("Select solver.log solver.log joined from its parts growing 7 B")
    assert "exit code 3 5 B" in found.row(f"{log}stdout.txt")
    assert "earlier attempt 1 partial 1 B" in found.row(f"{log}stdout.attempt-1.txt")
    assert "earlier attempt 2 exit code 9 2 B" in found.row(f"{log}stdout.attempt-2.txt")
    assert "running" in see(page, addresses.task(place.container, "frame-1")).headings[0]


def test_job_with_its_tasks(place: Any, start_page: Callable[..., Page]) -> None:
    """A job shows its own outputs, its tasks with what they have stored and how they ended, and sums of each kind."""
    fill(place)
    page = start_page()
    found = see(page, addresses.job(place.container))
    assert found.keys == ["$JobOutput/movie.mp4", "$JobPreview/sheet.png", "frame-1", "frame-2", "frame-10"]
    assert addresses.raw(place.container, "$JobPreview/sheet.png") in found.sources
    assert found.row("frame-1").startswith("frame-1 running 13 files")
    assert found.row("frame-2").startswith("frame-2 exit code 0 2 files 702 B")
    assert found.row("frame-10").startswith("frame-10 1 file 5.0 kB")
    assert "3 tasks, 18 files" in found.text
    assert "Saved logs 2 6" in found.text
    assert "Saved output files of the job the job 1 4 B" in found.text
    assert "In all 3 18" in found.text


def test_orders_of_tasks(place: Any, start_page: Callable[..., Page]) -> None:
    """Tasks come by id with numbers as people count, or the newest or largest first; the page says which."""
    drop(place, ["frame-1/$TaskOutput/a", "frame-1/$TaskOutput/b", "frame-1/$TaskOutput/c"], age=3000)
    drop(place, ["frame-10/$TaskOutput/a"], b"x" * 5000, age=2000)
    drop(place, ["frame-2/$TaskOutput/a", "frame-2/$TaskOutput/b"], b"x" * 100, age=1000)
    page = start_page()
    for sort, order in {
        "id": ["1", "2", "10"],
        "-id": ["10", "2", "1"],
        "size": ["10", "2", "1"],
        "files": ["1", "2", "10"],
        "changed": ["2", "10", "1"],
        "nonsense": ["1", "2", "10"],
    }.items():
        found = see(page, addresses.job(place.container, sort=sort))
        assert found.keys == [f"frame-{number}" for number in order], sort
        assert found.source.count('aria-current="true"') == 1


def test_search_for_tasks(place: Any, start_page: Callable[..., Page]) -> None:
    """Ids are found by how they begin or, if that is asked for, by any part of them; nothing found leads on."""
    drop(place, [f"{task}/$TaskOutput/a" for task in ("sim-a", "SIM-b", "other-sim", "x")])
    page = start_page()
    assert see(page, addresses.job(place.container, q="sim")).keys == ["sim-a", "SIM-b"]
    assert see(page, addresses.job(place.container, q="sim", anywhere=1)).keys == ["other-sim", "sim-a", "SIM-b"]
    nothing = see(page, addresses.job(place.container, q="ther"))
    assert nothing.keys == []
    assert "No task has an id that begins with “ther”." in nothing.text
    (further,) = [link for link in nothing.links if "anywhere=1" in link]
    assert see(page, further).keys == ["other-sim"]


TASKS = [f"task-{number:03d}" for number in range(260)]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a job of more outputs than are looked at for one page; nobody changes it."""
    root = tmp_path_factory.mktemp("large")
    for task in TASKS:
        folder = root / "job-large" / task / "$TaskOutput"
        folder.mkdir(parents=True)
        for number in range(20):
            (folder / str(number)).write_bytes(b"x")
    (root / "job-large/task-123/$TaskOutput/big").write_bytes(b"x" * 9999)
    return root


@pytest.fixture
def large_page(large: Path, desk: Desk, start_page: Callable[..., Page]) -> Page:
    """The page of the large job."""
    desk.variables["BATCH_OUTPUTS_ACCOUNT_URL"] = large.as_uri()
    return start_page()


def test_large_job_page_by_page(large_page: Page) -> None:
    """A job of more outputs than are looked at for one page shows each of its tasks once, there and back."""
    first, *others = list(walk(large_page, addresses.job("job-large")))
    assert first.keys + [key for seen in others for key in seen.keys] == TASKS
    assert first.keys == TASKS[:100]
    assert "101 to 200" in others[0].text
    assert others[1].previous is not None
    assert see(large_page, others[1].previous).keys == TASKS[100:200]
    assert others[0].previous == addresses.job("job-large")


def test_large_job_is_sorted_when_asked(large_page: Page) -> None:
    """Sorting a large job looks at all of it in the background, says how far it is, then shows all tasks and sums."""
    address = addresses.job("job-large", sort="size")

    def is_there() -> bool:
        seen = see(large_page, address)
        if not seen.keys:
            assert "Looking at every output of this job" in seen.text
            assert seen.refresh
        return bool(seen.keys)

    wait_until(is_there)
    assert see(large_page, address).keys[0] == "task-123"
    assert sorted(all_of(large_page, address)) == TASKS
    assert "260 tasks, 5,201 files" in see(large_page, address).text
    assert all_of(large_page, addresses.job("job-large", sort="-id")) == TASKS[::-1]


def test_large_job_is_searched(large_page: Page) -> None:
    """In a large job, too, ids are found by how they begin, or by any part of them, each once."""

    def found(q: str, anywhere: int | None = None) -> list[str]:
        return all_of(large_page, addresses.job("job-large", q=q, anywhere=anywhere))

    assert found("task-12") == TASKS[120:130]
    assert found("5", 1) == [task for task in TASKS if "5" in task]
    assert found("task", 1) == TASKS
    assert found("nix", 1) == []
    nothing = see(large_page, addresses.job("job-large", q="Task-12")).text
    assert "begins with “Task-12”; in a job as large as this, capitals count." in nothing
    assert found("Task-12", 1) == TASKS[120:130]


@pytest.mark.parametrize("place", ["folder", "container"], indirect=True)
def test_kind_page_by_page(place: Any, start_page: Callable[..., Page]) -> None:
    """All outputs of a kind are shown once each, a hundred on a page, and pictures alone as a gallery."""
    task = place.job.task("t1")
    for number in range(205):
        task.save_bytes("TaskOutput", b"x", f"{number:03d}.png")
    page = start_page()
    address = addresses.kind(place.container, "t1", "TaskOutput")
    names = [f"t1/$TaskOutput/{number:03d}.png" for number in range(205)]
    assert all_of(page, address) == names
    seen = see(page, address)
    assert seen.keys == names[:100]
    assert addresses.raw(place.container, names[0]) in seen.sources
    assert "1 to 100" in seen.text
    shown = see(page, addresses.task(place.container, "t1"))
    assert shown.keys == names[:100]
    assert "205 files" in shown.text
    assert address in shown.links


def test_task_of_very_many_outputs(place: Any, start_page: Callable[..., Page]) -> None:
    """Of a task with more than one listing holds, each kind is shown with its beginning and the way to all of it."""
    drop(place, [f"t1/$TaskOutput/{number:04d}" for number in range(1100)])
    drop(place, ["t1/$Zoo/a", "t1/$TaskLog/stdout.txt"])
    found = see(start_page(), addresses.task(place.container, "t1"))
    assert [" ".join(heading.split()[1:]) for heading in found.headings[1:]] == [
        "Saved output files",
        "Saved logs",
        "Zoo",
    ]
    assert len(found.keys) == 102
    assert "the first 100" in found.text


def test_jobs_are_listed_and_searched(desk: Desk, start_page: Callable[..., Page]) -> None:
    """All jobs of an account are shown once, the newest first, and found by any part of their ids."""
    root = desk.folder / "batch-outputs"
    for number in range(52):
        with sync.JobOutputStorage.from_account_url(root.as_uri(), f"Night_{number:02d}") as job:
            job.create_container()
    page = start_page()
    found = all_of(page, "/")
    assert len(found) == len({*found}) == 52
    first = see(page, "/")
    assert first.row(found[0]).startswith("Night_51")
    assert len(first.keys) == 50
    assert "52 jobs" in first.text
    assert [seen.split()[0] for seen in (see(page, "/?q=T_1").row(key) for key in see(page, "/?q=T_1").keys)] == [
        f"Night_{number}" for number in range(19, 9, -1)
    ]
    assert "No job has “<b>”" in see(page, "/?q=%3Cb%3E").text
    assert len(see(page, "/?page=99999").keys) == 2
    assert len(see(page, "/?page=nonsense").keys) == 50


@pytest.mark.parametrize("place", ["container"], indirect=True)
def test_one_container_is_one_job(place: Any, start_page: Callable[..., Page]) -> None:
    """With access to one container the first page is its job's, and nothing leads to others."""
    place.job.task("t1").save_text("TaskOutput", "x", "a.txt")
    page = start_page()
    answer = page.get("/")
    assert (answer.status, answer["location"]) == (303, addresses.job(place.container))
    for address in (addresses.job(place.container), addresses.task(place.container, "t1")):
        assert "/" not in see(page, address).links
    assert see(page, "/jobs/job-other", 404).headings


def test_nothing_there(desk: Desk, start_page: Callable[..., Page]) -> None:
    """Where nothing is stored, a page says so and what to do: no job, an empty one, no such task, kind or container."""
    page = start_page()
    empty = see(page, "/")
    assert "batch-outputs run" in empty.text
    assert empty.refresh
    with sync.JobOutputStorage.from_account_url((desk.folder / "batch-outputs").as_uri(), "new") as job:
        job.create_container()
    page = start_page()
    assert see(page, "/").keys == ["job-new"]
    assert "batch-outputs run --job new" in see(page, "/jobs/job-new").text
    missing = see(page, "/jobs/job-new/task?id=t9", 404)
    assert "Nothing is stored of task t9" in missing.text
    assert "/jobs/job-new" in missing.links
    assert "$TaskLog" in see(page, "/jobs/job-new/kind?task=t9&kind=TaskLog", 404).text
    for address in ("/jobs/job-none", "/jobs/job-new/task", "/jobs/job-new/kind", "/jobs/job-new/task?id=a/b"):
        see(page, address, 404)
    for address in ("/jobs/job-new/task?id=%00", "/jobs/job-new/kind?kind=%0A", "/jobs/..%5c", "/jobs/%00/task?id=x"):
        see(page, address, 404)


def test_hostile_names_are_text(place: Any, start_page: Callable[..., Page]) -> None:
    """Names of outputs, kinds and tasks, whatever they hold, are shown as text and lead to what they name."""
    names = [f"{PREFIX}{name}" for name in {**NAMES, **NAMES_IN_FOLDERS}.values()]
    tasks = ["<script>x<script>", "\"'><b>", "a\u202eb", "..x", "%2e%2e", "&lt;", "x" * 200, "{{7*7}}", "\u200b"]
    names += [f"{task}/$<i>Kind\u202e</i>/f" for task in tasks] + ["$\"'><img src=x>/f"]
    plant(location_of(place), dict.fromkeys(names, ("", b"x")))
    page = start_page()
    seen = [
        *walk(page, addresses.job(place.container)),
        *walk(page, addresses.kind(place.container, "t1", "TaskOutput")),
    ]
    seen += [see(page, addresses.task(place.container, task)) for task in ("t1", *tasks)]
    seen.append(see(page, addresses.job(place.container, q="\"'><b>")))
    for found in seen:
        assert {*found.tags} & {"script", "svg", "b", "i", "iframe"} <= {"script"}
        assert all(source.startswith(("/static/", "/jobs/")) for source in found.sources)
        for box in found.boxes:
            file = addresses.file(place.container, box)
            assert file in found.links
            assert parse_qs(urlsplit(file).query, keep_blank_values=True)["name"] == [box]
    assert {*tasks, "t1"} <= {*seen[0].keys}
    assert {key for found in seen for key in found.boxes} == {*names}
    assert "a\\u202eb" in seen[0].text


def test_refreshes_while_something_may_come(place: Any, start_page: Callable[..., Page]) -> None:
    """Pages with what is young or growing refresh themselves, also without script; what is old stays as it is."""
    drop(place, ["old/$TaskOutput/a", "$JobOutput/old"], age=3600)
    page = start_page()
    job, task = addresses.job(place.container), addresses.task(place.container, "old")
    kind = addresses.kind(place.container, "old", "TaskOutput")
    assert [see(page, address).refresh for address in (job, task, kind)] == [None] * 3
    put_log(place, "old/$TaskLog/stdout.txt", b"x", LogMarks(attempt="a", log="l"))
    wait_until(lambda: see(page, job).refresh)
    growing = see(page, task)
    assert growing.refresh
    assert "/static/refresh.js" in growing.sources
    assert f'<noscript><meta http-equiv="refresh" content="{growing.refresh}"></noscript>' in growing.source
    assert see(page, kind).refresh is None


def test_deleting_is_offered_only_where_it_is_allowed(place: Any, start_page: Callable[..., Page]) -> None:
    """Buttons that delete, and the token that they need, stand only on pages of a server that allows it."""
    place.job.task("t1").save_text("TaskOutput", "x", "a.txt")
    for options, count in (((), 0), (("--allow-delete",), 2)):
        page = start_page(*options)
        found = see(page, addresses.task(place.container, "t1"))
        assert len([button for button in found.buttons if button.startswith("Delete")]) == count
        assert found.source.count("form_token") == count
        assert found.source.count('formmethod="post"') == count // 2


def test_address_is_kept_in_pages_of_a_search(desk: Desk, start_page: Callable[..., Page]) -> None:
    """The pages of what was searched for are pages of the same search."""
    root = desk.folder / "batch-outputs"
    for number in range(51):
        (root / f"job-a-{number}").mkdir(parents=True)
        (root / f"job-b-{number}").mkdir(parents=True)
    page = start_page()
    found = all_of(page, f"/?q={quote('a-')}")
    assert sorted(found) == sorted(f"job-a-{number}" for number in range(51))


def test_pages_that_wait_look_again(place: Any, desk: Desk, start_page: Callable[..., Page]) -> None:
    """Where nothing is yet, or a log has no end and was silent for long, a page looks again, if slowly."""
    page = start_page()
    job, task = addresses.job(place.container), addresses.task(place.container, "t1")
    missing, container = see(page, task, 404), see(page, addresses.job("job-none"), 404)
    assert [found.refresh for found in (see(page, "/"), see(page, job), missing, container)] == [30] * 4
    assert f'<noscript><meta http-equiv="refresh" content="{missing.refresh}"></noscript>' in missing.source
    put_log(place, "t1/$TaskLog/stdout.txt", b"x", LogMarks(attempt="a", log="l"))
    path = Path(place.job.place, "t1/$TaskLog/stdout.txt")
    os.utime(path, (path.stat().st_mtime - 3600,) * 2)
    wait_until(lambda: "cut off" in see(page, job).text)
    kind = addresses.kind(place.container, "t1", "TaskLog")
    assert [see(page, address).refresh for address in (job, task, kind)] == [30] * 3
    file = see(page, addresses.file(place.container, "t1/$TaskOutput/none"), 404)
    download = see(page, addresses.download(place.container, "t1/$TaskOutput/none"), 404)
    assert (file.refresh, download.refresh) == (30, None)


def test_storage_that_is_away(desk: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """While the storage does not answer, a page says so and looks again."""
    url = container.sas_url()
    desk.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": fault_proxy.through(url), "BATCH_OUTPUTS_RETRY_SECONDS": "0"}
    with serving(desk) as page, fault_proxy.down():
        found = see(page, addresses.job(container.name), 503)
    assert found.refresh == 30
    assert "data-failed" in found.source


def test_a_job_is_called_the_same_everywhere(desk: Desk, start_page: Callable[..., Page]) -> None:
    """A job whose id its container's name does not tell is called by it, whichever page is opened first."""
    with sync.JobOutputStorage.from_account_url((desk.folder / "batch-outputs").as_uri(), "Night_Run_7") as job:
        job.create_container()
        job.task("t1").save_text("TaskOutput", "x", "a.txt")
        name = job.container
    assert "Night_Run_7" in start_page().get(addresses.job(name)).text
    page = start_page()
    assert "Night_Run_7-t1.zip" in page.get(addresses.archive(name, task_id="t1"))["content-disposition"]
    for address in (addresses.task(name, "t1"), addresses.file(name, "t1/$TaskOutput/a.txt")):
        assert "Night_Run_7" in page.get(address).text


def test_pages_that_fail_keep_the_way_back(place: Any, start_page: Callable[..., Page]) -> None:
    """What fails in a job leads back to it, and to the task; names in its sentence are cut and can be seen."""
    drop(place, ["t1/$TaskOutput/a.txt"])
    page = start_page()
    job, task = addresses.job(place.container), addresses.task(place.container, "t1")
    for address in (
        addresses.file(place.container, "t1/$TaskOutput/missing"),
        addresses.raw(place.container, "t1/$TaskOutput/missing"),
        addresses.archive(place.container, task_id="t1", kind="TaskLog"),
    ):
        assert see(page, address, 404).links[1:4] == ["/", job, task]
    for name in ("nonsense", "", "x" * 900, "t1/$TaskOutput/" + "y" * 900, "\u202ex"):
        for address in (addresses.file(place.container, name), addresses.search(place.container, name, q="x")):
            found = see(page, address, 404)
            assert found.links[1:3] == ["/", job]
            assert len(found.text) < 700, name
            assert "Nothing is not" not in found.text
    assert "/jobs/job-none" not in see(page, addresses.task("job-none", "t1"), 404).links


def test_what_changes_while_it_is_looked_at(place: Any) -> None:
    """What is replaced while a page is made is no failure: it is to be loaded again."""

    async def changed(request: Request) -> Response:
        raise BlobChangedError("x", place="here", blob="t1/$TaskOutput/a.txt")

    app = create_app(Site(Jobs(OutputAccount.from_account_url(Path(place.job.place).parent.as_uri()))))
    app.router.routes.insert(0, Route("/changed", changed))
    told: list[Message] = []

    async def send(message: Message) -> None:
        told.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/changed", "query_string": b"", "headers": [], "root_path": ""}
    asyncio.run(app(scope, receive, send))
    assert told[0]["status"] == 409
    assert b"t1/$TaskOutput/a.txt has changed meanwhile; load the page again." in told[1]["body"]
