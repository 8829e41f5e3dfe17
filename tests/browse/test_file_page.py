"""The page of a file and of a search in it: what is stored is shown, and none of it becomes markup."""

from __future__ import annotations

import asyncio
import html
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest

from batch_outputs import sync
from batch_outputs.browse import addresses
from batch_outputs.location import DirectoryAccount, StoreLocation
from batch_outputs.marks import LogMarks
from batch_outputs.stores import open_store
from browse.conftest import Place
from support.command import Desk
from support.hostile import CONTENTS
from support.in_time import in_time
from support.log_writer import LogWriter
from support.memory import MIB, most_memory, needs_proc
from support.page import Page
from support.pictures import png

LOG = "t1/$TaskLog/stdout.txt"


class Seen(HTMLParser):
    """What a browser makes of a page: its elements, the text of its lines, its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.lines: dict[str, str] = {}
        self._texts: list[str] = []
        self._line = ""
        self.feed(text)
        self.close()
        self.text = "".join(self._texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._line = dict(attrs).get("id") or "" if tag == "span" and "data-n" in dict(attrs) else ""

    def handle_endtag(self, tag: str) -> None:
        self._line = ""

    def handle_data(self, data: str) -> None:
        self._texts.append(data)
        if self._line:
            self.lines[self._line] = self.lines.get(self._line, "") + data

    def having(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def link(self, text_or_rel: str) -> str:
        found = [a["href"] for a in self.having("a") if a.get("rel") == text_or_rel]
        assert found, f"no link {text_or_rel}"
        assert found[0]
        return found[0]


def address(name: str, page: str = "file", **query: str | int) -> str:
    more = "".join(f"&{key.rstrip('_')}={quote(str(value), safe='')}" for key, value in query.items())
    return f"/jobs/job-demo/{page}?name={quote(name, safe='')}{more}"


def seen(page: Page, name: str, view: str = "file", **query: str | int) -> Seen:
    answer = page.get(address(name, view, **query))
    assert answer.status == 200, answer.text
    found = Seen(answer.text)
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on") or name == "style"]
    assert {a["src"] for a in found.having("script")} <= {"/static/log.js", "/static/refresh.js"}
    return found


def output(job: sync.JobOutputStorage, name: str, content: bytes | str, content_type: str | None = None) -> str:
    data = content.encode() if isinstance(content, str) else content
    job.task("t1").save_bytes("TaskOutput", data, name, content_type=content_type)
    return f"t1/$TaskOutput/{name}"


def test_head(job: sync.JobOutputStorage, page: Page) -> None:
    """Name, size, type and time stand on the page, with ways to the task, the kind, the neighbours and a download."""
    for name in ("a.txt", "b&<i>.txt", "c.txt"):
        output(job, name, "x" * 1234)
    found = seen(page, "t1/$TaskOutput/b&<i>.txt")
    assert "b&<i>.txt" in found.text
    assert "1.2 kB" in found.text
    assert "1,234 bytes" in [a.get("title") for a in found.having("dd")]
    assert "text/plain" in found.text
    links = [a["href"] for a in found.having("a")]
    assert {"/jobs/job-demo", "/jobs/job-demo/task?id=t1", "/jobs/job-demo/kind?task=t1&kind=TaskOutput"} <= {*links}
    assert "/jobs/job-demo/download?name=t1/$TaskOutput/b%26%3Ci%3E.txt" in links
    assert (found.link("prev"), found.link("next")) == (
        "/jobs/job-demo/file?name=t1/$TaskOutput/a.txt",
        "/jobs/job-demo/file?name=t1/$TaskOutput/c.txt",
    )
    assert not found.having("button") or "Delete" not in found.text


def test_what_is_not_there(job: sync.JobOutputStorage, page: Page) -> None:
    """A name that nothing has, or that is none of an output, gives a page that says so."""
    output(job, "a.txt", "x")
    for name in ("t1/$TaskOutput/nothing", "t1/no-kind/x", "", "$TaskLog"):
        for view in ("file", "search"):
            answer = page.get(address(name, view))
            assert answer.status == 404
            assert "<h1>" in answer.text


def test_each_type(job: sync.JobOutputStorage, page: Page) -> None:
    """Pictures, sound, films, documents, trees, tables, texts and bytes each get what shows them."""
    shows = {
        "a.png": (png(20, 10), "img"),
        "a.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "img"),
        "a.mp4": (b"\0\0\0\x18ftypmp42", "video"),
        "a.mp3": (b"ID3\3", "audio"),
        "a.pdf": (b"%PDF-1.4", "iframe"),
        "a.json": (b'{"a": [1, {"b": null}]}', "details"),
        "a.csv": (b"a,b\n1,2\n", "table"),
        "a.txt": (b"text", "code"),
        "a.bin": (bytes(range(256)), "pre"),
    }
    for name, (content, tag) in shows.items():
        blob = output(job, name, content)
        found = seen(page, blob)
        shown = found.having(tag)
        assert shown, name
        if tag in {"img", "video", "audio", "iframe"}:
            assert shown[0]["src"] == f"/jobs/job-demo/raw?name={blob}"
    assert "The file is empty." in seen(page, output(job, "empty.txt", "")).text


def test_other_ways_to_show(job: sync.JobOutputStorage, page: Page) -> None:
    """A tree or table is to be had as text and as bytes; what cannot be folded is text at once, and says why."""
    tree = output(job, "a.json", '{"a": 1}')
    assert seen(page, tree, view_="text").lines == {"L1": '{"a": 1}\n'}
    assert "7b 22 61 22" in seen(page, tree, view_="bytes").text
    assert seen(page, tree, view_="no such").having("details")
    broken = seen(page, output(job, "broken.json", '{"a": 1,}'))
    assert broken.lines == {"L1": '{"a": 1,}\n'}
    assert "It cannot be folded: line 1, column" in broken.text
    assert "nested too deeply" in seen(page, output(job, "deep.json", "[" * 200_000)).text
    table = seen(page, output(job, "open.csv", 'a,b\n"' + "x," * 200_000))
    assert "It cannot be shown as a table: line 2" in table.text


def test_hostile_contents(job: sync.JobOutputStorage, page: Page) -> None:
    """Whatever a task stores, no element, address or handler of its making gets on our page."""
    for name, (type_, content) in CONTENTS.items():
        blob = output(job, name, content, type_ or None)
        for way in ("", "text", "table", "tree", "bytes"):
            found = seen(page, blob, view_=way)
            ours = [
                a.get(key) or "" for _, a in found.tags for key in ("href", "src", "action", "formaction") if key in a
            ]
            assert all(one.startswith(("/", "#")) for one in ours)
            assert len(found.having("img")) <= (1 if name == "picture.svg" else 0)
            assert not {tag for tag, _ in found.tags} & {"svg", "style", "object", "embed", "foreignobject", "base"}
        text = "".join(seen(page, blob, view_="text").lines.values())
        if "\x1b" not in content:
            assert text.rstrip("\n") == content.rstrip("\n")
        assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", text)


def test_no_text(job: sync.JobOutputStorage, page: Page) -> None:
    """NUL, bytes that are no UTF-8, UTF-16, lone carriage returns and half characters in JSON all give a page."""
    assert seen(page, output(job, "a.txt", b"a\0b\xff\xfe" + b"c" * 100)).lines["L1"] == "ab��" + "c" * 100 + "\n"
    wide = seen(page, output(job, "b.txt", "é\r\n😀".encode("utf-16")))
    assert wide.lines == {"L1": "é\n", "L2": "😀\n"}
    assert seen(page, output(job, "c.txt", b"1%\r2%\r\n")).lines == {"L1": "1%\n2%\n"}
    half = seen(page, output(job, "d.json", b'{"\\ud800": "\\udfff\\u0000"}'))
    assert half.having("details")


def test_windows(job: sync.JobOutputStorage, page: Page) -> None:
    """Of a large text the beginning and the end are shown, and links lead through all of it with exact line numbers."""
    content = "".join(f"line {number}{' ' * 300}\n" for number in range(1, 12_001))
    blob = output(job, "a.txt", content)
    both = seen(page, blob)
    assert both.lines["L1"].rstrip() == "line 1"
    assert [*both.lines.values()][-1].rstrip() == "line 12000"
    assert "left out" in both.text
    assert "the numbers beside the lines of the last part are those of their first bytes" in both.text
    found = seen(page, blob, offset=0, line=1)
    collected = dict(found.lines)
    while "next" in {a.get("rel") for a in found.having("a")}:
        found = Seen(page.get(found.link("next")).text)
        assert not collected.keys() & found.lines.keys()
        collected |= found.lines
    assert "".join(collected.values()) == content
    assert all(text.rstrip() == f"line {anchor[1:]}" for anchor, text in collected.items())
    before = Seen(page.get(found.link("prev").removesuffix("#end")).text)
    assert before.lines.items() <= collected.items()
    middle = seen(page, blob, go="50 %")
    anchor, text = next(iter(middle.lines.items()))
    at = int(anchor.removeprefix("B"))
    assert abs(at - len(content) // 2) < 400
    assert content[at:].startswith(text)
    assert "the numbers beside the lines are those of their first bytes" in middle.text
    near = seen(page, blob, near=content.index("line 10000 "), line=10_000)
    assert near.lines["L10000"].rstrip() == "line 10000"
    assert near.lines["L9999"].rstrip() == "line 9999"


@needs_proc
def test_huge_files(job: sync.JobOutputStorage, page: Page, desk: Desk) -> None:
    """Of 5 GiB the first and the last MiB are shown within seconds and in little memory, and so is any other part."""
    folder = desk.folder / "batch-outputs/job-demo/t1/$TaskOutput"
    folder.mkdir(parents=True)
    with (folder / "huge.txt").open("wb") as file:
        file.write((b"begin".ljust(255) + b"\n") * 8192)
        file.truncate(5 * 1024 * MIB)
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe end\n")
    with (folder / "one-line.txt").open("wb") as file:
        file.write(b"x" * 64 * MIB)
    page.get(address("t1/$TaskOutput/huge.txt"))
    before = most_memory(page.process.pid)
    for watch in in_time(3):  # a second on a machine that is not busy
        with watch:
            found = seen(page, "t1/$TaskOutput/huge.txt")
        assert found.lines["L1"].rstrip() == "begin"
        assert [*found.lines.values()][-1] == "the end\n"
    for name in ("huge.txt", "one-line.txt"):
        for go in ("0", "30%", "99%"):
            seen(page, f"t1/$TaskOutput/{name}", go=go)
    assert most_memory(page.process.pid) - before < 50 * MIB
    one = seen(page, "t1/$TaskOutput/one-line.txt")
    assert {len(text) for text in one.lines.values()} == {MIB + 1}


# Logs


def writer(job: sync.JobOutputStorage, desk: Desk, source: str = "stdout.txt") -> LogWriter:
    store = open_store(StoreLocation(DirectoryAccount(desk.folder / "batch-outputs"), job.container))
    return LogWriter(store, desk.write(source), blob=LOG)


def test_a_growing_log(job: sync.JobOutputStorage, page: Page, desk: Desk) -> None:
    """A log that grows is followed from where its shown text ends; complete, it says how its program ended."""

    async def grow() -> None:
        log = writer(job, desk)
        await log.open()
        await log.write(b"one\ntwo\nthr")
        found = await asyncio.to_thread(seen, page, LOG)
        assert "still growing" in found.text
        (text,) = [a for a in found.having("div") if a.get("id") == "text"]
        follow = text["data-follow"] or ""
        assert re.fullmatch(re.escape(f"/jobs/job-demo/follow?name={LOG}&offset=8&log=") + "[0-9a-f]{16}", follow)
        assert text["data-line"] == "3"
        assert "data-begun" in text
        assert [a["content"] for a in found.having("meta") if a.get("http-equiv") == "refresh"] == ["10"]
        older = await asyncio.to_thread(seen, page, LOG, view_="bytes")
        assert not [a for a in older.having("div") if a.get("id") == "text"]
        await log.write(b"ee\n")
        await log.finish(3)
        found = await asyncio.to_thread(seen, page, LOG)
        assert "exit code 3" in found.text
        assert "complete" in found.text
        assert not [a for a in found.having("div") if "data-follow" in a]
        assert not [a for a in found.having("meta") if a.get("http-equiv") == "refresh"]

    asyncio.run(grow())


def test_parts_and_attempts(job: sync.JobOutputStorage, page: Page, desk: Desk) -> None:
    """A log in parts is shown as one and says how it came to be so; other attempts are linked, in both directions."""

    async def write() -> None:
        first = writer(job, desk)
        await first.open()
        await first.write(b"attempt one\n")
        second = writer(job, desk, "again.txt")
        await second.open()
        await second.write(b"attempt two, part one\n")
        await second.turn_page(b"part two\n")
        await second.finish(0)

    asyncio.run(write())
    found = seen(page, LOG)
    assert found.lines == {"L1": "attempt two, part one\n", "L2": "part two\n"}
    assert "Joined from 2 parts; part 2 began because the file was truncated." in found.text
    earlier = "t1/$TaskLog/stdout.attempt-1.txt"
    assert f"/jobs/job-demo/file?name={earlier}" in [a["href"] for a in found.having("a")]
    old = seen(page, earlier)
    assert old.lines == {"L1": "attempt one\n"}
    assert "This is the log of an earlier attempt; the present one is stdout.txt." in old.text
    assert f"/jobs/job-demo/file?name={LOG}" in [a["href"] for a in old.having("a")]
    part = seen(page, "t1/$TaskLog/stdout.part-2.txt")
    assert part.lines == {"L1": "part two\n"}
    assert "a later part of" in part.text
    assert "attempt" in found.text
    assert "Metadata" in found.text


# Search


def test_search(job: sync.JobOutputStorage, page: Page) -> None:
    """Every line with the text is found in all of the file, marked, and linked to where it stands."""
    content = "".join(f"{number} {'<needle>' if number % 1000 == 0 else 'hay'}\n" for number in range(1, 300_001))
    blob = output(job, "a.txt", content)
    lines: list[int] = []
    links: list[str] = []
    where = address(blob, "search", q="<NEEDLE>".lower())
    for _ in range(100):
        answer = page.get(where)
        found = Seen(answer.text)
        links = [a["href"] or "" for a in found.having("a") if "#L" in (a["href"] or "")]
        lines += [int(link.rpartition("#L")[2]) for link in links]
        assert answer.text.count(f"<mark>{html.escape('<needle>')}</mark>") == len(links)
        if "That is all" in found.text:
            break
        assert "so far: searched up to" in found.text
        where = found.link("next")
    assert lines == list(range(1000, 300_001, 1000))
    window = Seen(page.get(links[0].partition("#")[0]).text)
    assert window.lines[f"L{lines[-len(links)]}"] == f"{lines[-len(links)]} <needle>\n"
    assert "Nothing was found." in seen(page, blob, "search", q="<NEEDLE>").text
    assert "one line" in seen(page, blob, "search", q="a\nb").text
    assert not seen(page, blob, "search").having("ol")[1:]


def test_search_in_a_huge_line(job: sync.JobOutputStorage, page: Page) -> None:
    """What stands deep in a line that is larger than a window is found, and its link shows the place."""
    blob = output(job, "a.txt", "begin\n" + "x" * (3 * MIB) + "needle" + "y" * (3 * MIB) + "\nend\n")
    found = seen(page, blob, "search", q="needle")
    (link,) = [a["href"] or "" for a in found.having("a") if "#L" in (a["href"] or "")]
    assert link.endswith("#L2")
    window = Seen(page.get(link.partition("#")[0]).text)
    assert "needle" in window.lines["L2"]


def test_names_with_line_ends(job: sync.JobOutputStorage, page: Page, desk: Desk) -> None:
    """Forms of a file whose name has line ends find it again, though browsers send these as others."""
    name = "a\nb\r\n.txt"
    store = open_store(StoreLocation(DirectoryAccount(desk.folder / "batch-outputs"), job.container))
    asyncio.run(store.put(f"t1/$TaskOutput/{name}", (b"text".ljust(255) + b"\n") * 8192, content_type="text/plain"))
    found = seen(page, f"t1/$TaskOutput/{name}")
    hidden = [a for a in found.having("input") if a.get("type") == "hidden"]
    assert {a["name"] for a in hidden} == {"quoted"}
    for view in ("search", "file"):
        answer = page.get(f"/jobs/job-demo/{view}?quoted={quote(hidden[0]['value'] or '', safe='')}&q=text&go=50%25")
        assert answer.status == 200
        assert "Saved output files" in answer.text


@pytest.mark.parametrize("place", ["container", "account"], indirect=True)
def test_on_a_service(place: Place, page: Page) -> None:
    """On a blob service ranges are read, neighbours are found and a text is searched as they are in a folder."""
    content = "".join(f"line {number}{' ' * 300}\n" for number in range(1, 12_001))
    blob, _, _ = [output(place.job, name, content) for name in ("b.txt", "a.txt", "c.txt")]
    both = Seen(page.get(addresses.file(place.container, blob)).text)
    assert both.lines["L1"].rstrip() == "line 1"
    assert [*both.lines.values()][-1].rstrip() == "line 12000"
    assert {"prev", "next"} <= {a.get("rel") for a in both.having("a")}
    found = Seen(page.get(addresses.search(place.container, blob, q="line 6000 ")).text)
    (link,) = [a["href"] or "" for a in found.having("a") if "#L6000" in (a["href"] or "")]
    assert Seen(page.get(link.partition("#")[0]).text).lines["L6000"].rstrip() == "line 6000"


def test_metadata(job: sync.JobOutputStorage, page: Page, desk: Desk) -> None:
    """What is kept with an output is told, and none of it becomes markup."""
    path: Path = desk.write("a.txt", json.dumps([1]))
    job.task("t1").save("TaskOutput", path, "a.txt", metadata={"owner": "<b>Jo</b>"})
    found = seen(page, "t1/$TaskOutput/a.txt")
    assert "<b>Jo</b>" in found.text
    assert not found.having("b")


def test_a_log_whose_end_is_not_marked(job: sync.JobOutputStorage, page: Page, desk: Desk) -> None:
    """A log that was silent for long is not loaded anew all the time, and not said to grow; a young one is."""

    async def write() -> None:
        store = open_store(StoreLocation(DirectoryAccount(desk.folder / "batch-outputs"), job.container))
        written = await store.create_append(LOG, metadata=LogMarks(attempt="a", log="l").metadata())
        await store.append(LOG, b"line 1\nline", offset=0, etag=written.etag)

    asyncio.run(write())
    young = seen(page, LOG)
    assert [a for a in young.having("meta") if a.get("http-equiv") == "refresh"]
    assert "while the log grows" in young.text
    path = Path(job.place, LOG)
    os.utime(path, (path.stat().st_mtime - 3600,) * 2)
    dead = seen(page, LOG)
    assert not [a for a in dead.having("meta") if a.get("http-equiv") == "refresh"]
    assert "while the log grows" not in dead.text
    assert "Its end is not marked" in dead.text
    (box,) = [a for a in dead.having("div") if a.get("id") == "text"]
    assert "data-partial" in box
    assert "data-follow" in box


def test_a_text_in_utf_16_is_not_searched(job: sync.JobOutputStorage, page: Page) -> None:
    """Of a file in UTF-16 it is said that it cannot be searched, and not that nothing was found."""
    found = seen(page, output(job, "a.txt", "\ufeffneedle\n".encode("utf-16-le")), "search", q="needle")
    assert "UTF-16" in found.text
    assert "Nothing was found" not in found.text
    assert "0 lines" not in found.text
