"""A log that grows comes to the browser as it grows, in order, without gaps, and without its control codes."""

from __future__ import annotations

import http.client
import json
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_outputs import sync
from batch_outputs.browse import addresses
from batch_outputs.browse.sending.log_events import Point, _Text
from batch_outputs.browse.sending.streaming import while_client_stays
from batch_outputs.marks import LogMarks
from batch_outputs.terminal_text import TerminalFilter
from support.azurite import Container
from support.command import TIMEOUT, Desk, signature
from support.fault_proxy import FaultProxy
from support.page import Page, serving

LOG = "t1/$TaskLog/log.txt"


@dataclass(frozen=True)
class Event:
    """One event as a browser sees it."""

    name: str
    data: Any
    id: str | None


class Events:
    """The events of an answer, one by one."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response
        self.text = ""
        self.id: str | None = None
        self.last: Event | None = None

    def next(self) -> Event | None:
        """The next event; None at the end."""
        fields: dict[str, str] = {}
        while line := self.response.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "event":
                fields = {}
            if name:
                fields[name] = value
            elif "event" in fields:
                return Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
        return None

    def until(self, name: str) -> Event:
        """The next event of this name, with the text on the way to it in `text`."""
        while (event := self.next()) is not None:
            self.last = event
            if event.name == "text":
                self.text += event.data["text"]
                self.id = event.id
                assert event.id == f"{event.data['offset']}.{event.data['log']}"
            if event.name == name:
                return event
        raise AssertionError(f"no {name}, but {self.last}, and the text {self.text!r}")

    def until_text(self, text: str) -> Event:
        """The event with which so much text has come, and no other."""
        while self.text != text:
            assert text.startswith(self.text), self.text
            self.until("text")
        assert self.last is not None
        return self.last


@contextmanager
def following(page: Page, job: sync.JobOutputStorage, offset: int = 0, **headers: str) -> Iterator[Events]:
    """The events of the log."""
    with page.asking(addresses.follow(job.container, LOG, offset), **headers) as response:
        assert response.status == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        yield Events(response)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The file that is logged to."""
    path = tmp_path / "log.txt"
    path.touch()
    return path


def add(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(text)


@pytest.mark.parametrize("place", ["container"], indirect=True)
def test_it_comes_as_it_grows(page: Page, job: sync.JobOutputStorage, log: Path) -> None:
    """Text comes while it is written, across parts; then the log is complete and the answer has an end."""
    with ExitStack() as stack:
        with job.task("t1").save_tracked("TaskLog", log, "log.txt") as tracked:
            add(log, "first, Größe\n")
            tracked.flush()
            events = stack.enter_context(following(page, job))
            assert events.until_text("first, Größe\n").data["offset"] == len("first, Größe\n".encode())
            add(log, "second \x1b[31mred\x1b[0m\x07 and no end")
            tracked.flush()
            events.until_text("first, Größe\nsecond red and no end")
            log.write_text("new part\n")
            tracked.flush()
            events.until_text("first, Größe\nsecond red and no endnew part\n")
            add(log, "last")
        assert events.until("complete").data == {"exit_code": None}
        assert events.text == "first, Größe\nsecond red and no endnew part\nlast"
        assert events.next() is None


def test_it_goes_on_where_it_was(page: Page, job: sync.JobOutputStorage, desk: Desk) -> None:
    """With the id of the last event it goes on exactly there; with an offset, at the character that it is in."""
    desk.run("run", "--job", "demo", "--task", "t1", "--", "sh", "-c", "printf 'one\\ntwö\\nthree\\n'; exit 3", code=3)
    blob = "t1/$TaskLog/stdout.txt"
    address = addresses.follow(job.container, blob, 0)
    with page.asking(address) as response:
        events = Events(response)
        assert events.until("complete").data == {"exit_code": 3}
        assert events.text == "one\ntwö\nthree\n"
        assert events.id is not None
        point = Point.parse(events.id)
    assert point is not None
    with page.asking(address, last_event_id=f"4.{point.log}") as response:
        events = Events(response)
        events.until("complete")
        assert events.text == "twö\nthree\n"
    with page.asking(addresses.follow(job.container, blob, 7)) as response:  # within ö
        events = Events(response)
        events.until("complete")
        assert events.text == "\nthree\n"


def begin_log(job: sync.JobOutputStorage, text: str, attempt: str) -> None:
    """Store a log that grows, in place of one that may be there."""
    store = job._storage._container.store
    replaces = next((output.etag for output in job.list_all_outputs() if output.blob_name == LOG), None)
    marks = LogMarks(attempt=attempt, log=attempt).metadata()
    written = sync._run(store.create_append(LOG, metadata=marks, replaces=replaces))
    sync._run(store.append(LOG, text.encode(), offset=0, etag=written.etag))


def test_begun_anew_and_gone(page: Page, job: sync.JobOutputStorage) -> None:
    """Another log of the name is told, and comes from its beginning, live and when asked for again; so is its end."""
    begin_log(job, "first attempt\n", "a1")
    with following(page, job) as events:
        id_ = events.until_text("first attempt\n").id
        begin_log(job, "second attempt, longer\n", "a2")
        assert events.until("begun-anew").id == "0."
        events.text = ""
        events.until_text("second attempt, longer\n")
        assert id_ is not None
        with following(page, job, last_event_id=id_) as late:
            assert late.until("begun-anew").id == "0."
            assert late.text == ""
            late.until_text("second attempt, longer\n")
        job.output_at(LOG).delete()
        events.until("gone")
        assert events.next() is None
    with following(page, job, 5) as events:
        events.until("gone")


def test_much_at_once(page: Page, job: sync.JobOutputStorage) -> None:
    """A long log comes in moderate pieces that end where characters do."""
    line = "Größe " * 10 + "\n"
    text = line * 50_000
    job.task("t1").save_text("TaskLog", text, "log.txt")
    with following(page, job) as events:
        longest = 0
        while (event := events.next()) is not None and event.name == "text":
            assert "\ufffd" not in event.data["text"]
            longest = max(longest, len(event.data["text"].encode()))
            events.text += event.data["text"]
        assert event is not None
        assert event.name == "complete"
    assert events.text == text
    assert longest <= 64 * 1024 + len(line.encode())


def test_an_outage(azurite: Any, desk: Desk, container: Container, fault_proxy: FaultProxy, log: Path) -> None:
    """An outage and its end are told, and no text is lost."""
    url = container.sas_url()
    desk.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": fault_proxy.through(url), "BATCH_OUTPUTS_RETRY_SECONDS": "0"}
    with sync.JobOutputStorage.from_container_url(url) as job, serving(desk) as page:
        add(log, "before\n")
        with job.task("t1").save_tracked("TaskLog", log, "log.txt") as tracked:
            tracked.flush()
            with following(page, job) as events:
                events.until_text("before\n")
                with fault_proxy.down(), following(page, job, last_event_id=events.id or "") as late:
                    assert events.until("outage").data["sentence"]
                    assert late.until("outage").data["sentence"]
                    add(log, "meanwhile\n")
                    tracked.flush()
                events.until("recovery")
                events.until_text("before\nmeanwhile\n")


def test_access_that_the_storage_refuses(desk: Desk, container: Container) -> None:
    """Where the storage does not let a log be read, that is told as the end, and not tried again and again."""
    url = container.sas_url("l")
    desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = url
    desk.secrets.append(signature(url))
    with sync.JobOutputStorage.from_container_url(container.sas_url()) as job, serving(desk) as page:
        begin_log(job, "text\n", "a1")
        for offset in (0, 3):
            with following(page, job, offset) as events:
                assert container.name in events.until("refused").data["sentence"]
                assert events.next() is None


def test_it_ends_with_the_server(desk: Desk, log: Path) -> None:
    """A log that nobody completes does not keep the server from ending."""
    with sync.JobOutputStorage.from_account_url((desk.folder / "batch-outputs").as_uri(), "demo") as job:
        job.create_container()
        add(log, "text\n")
        with job.task("t1").save_tracked("TaskLog", log, "log.txt") as tracked:
            tracked.flush()
            with serving(desk) as page, following(page, job) as events:
                events.until_text("text\n")
                page.process.send_signal(signal.SIGINT)
                began = time.monotonic()
                assert page.process.wait(timeout=TIMEOUT) == 0
                assert time.monotonic() - began < 15
                with pytest.raises(http.client.IncompleteRead):
                    events.response.read()


def test_head_and_missing_names(page: Page, job: sync.JobOutputStorage) -> None:
    """HEAD is answered without following; what is no name of an output is a page."""
    assert page.get(addresses.follow(job.container, LOG, 0), method="HEAD").body == b""
    assert page.get(f"/jobs/{job.container}/follow").status == 404


@pytest.mark.anyio
async def test_work_ends_with_the_client() -> None:
    """When a browser goes away, what was done for it is ended."""
    ended = anyio.Event()

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    with anyio.fail_after(TIMEOUT):
        await while_client_stays(receive, work)
    assert ended.is_set()


@pytest.mark.anyio
async def test_what_goes_wrong_comes_through() -> None:
    """What is raised while a browser waits is raised as it is."""

    async def fails() -> None:
        raise ValueError("so")

    async def never() -> dict[str, str]:
        await anyio.sleep_forever()
        raise AssertionError

    receive: Callable[[], Awaitable[dict[str, str]]] = never
    with pytest.raises(ValueError, match="so"):
        await while_client_stays(receive, fails)


@given(
    pieces=st.lists(
        st.one_of(
            st.sampled_from([b"\x1b", b"[", b"31m", b"]0;t\x07", b"\n", b"\xc3", b"\xb6", b"\xe4\xbd", b"\xa0", b"ab"]),
            st.binary(max_size=5),
        ),
        max_size=20,
    )
)
def test_every_offset_is_a_place_to_go_on(pieces: list[bytes]) -> None:
    """Whoever goes on at an offset that came with text gets what is left of the text, and all of it."""
    data = b"".join(pieces)
    clean = TerminalFilter(colours=False)
    whole = clean.feed(data) + clean.feed(b"", last=True)
    text = _Text(0)
    told = ""
    for piece in pieces:
        told += text.feed(piece)
        rest = TerminalFilter(colours=False)
        assert told + rest.feed(data[text.offset :]) + rest.feed(b"", last=True) == whole
    assert told + text.feed(b"", last=True) == whole
    assert text.offset == len(data)
