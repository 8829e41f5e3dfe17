"""The content of an output is served whole or in ranges, exactly, and never as anything that a browser would run."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from batch_outputs import sync
from batch_outputs.browse import addresses, headers
from batch_outputs.browse.served_types import served_type
from support.command import Desk
from support.page import Answer, Page, serving

PLACES = pytest.mark.parametrize("place", ["folder", "container", "account"], indirect=True)
DATA = bytes(range(256)) * 40
LARGE = 48 * 1024 * 1024


@dataclass(frozen=True)
class Shared:
    """One page of one folder for the tests that get along with each other."""

    page: Page
    job: sync.JobOutputStorage

    def get(self, name: str, **options: Any) -> Answer:
        """The content of an output of task `t1`."""
        return self.page.get(raw(self.job, name), **options)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """The page and its job; each test uses names of its own."""
    folder = tmp_path_factory.mktemp("raw") / "desk"
    folder.mkdir()
    with sync.JobOutputStorage.from_account_url((folder / "batch-outputs").as_uri(), "demo") as job:
        job.create_container()
        with serving(Desk(folder)) as page:
            yield Shared(page, job)


def raw(job: sync.JobOutputStorage, name: str) -> str:
    """The address of the content of an output of task `t1`."""
    return addresses.raw(job.container, f"t1/$TaskOutput/{name}")


def saved(job: sync.JobOutputStorage, name: str, data: bytes, content_type: str | None = None) -> None:
    job.task("t1").save_bytes("TaskOutput", data, name, content_type=content_type)


@PLACES
def test_whole_and_in_ranges(page: Page, job: sync.JobOutputStorage) -> None:
    """Every range gives exactly its bytes, with their place and length, wherever outputs are."""
    saved(job, "a.bin", DATA)
    whole = page.get(raw(job, "a.bin"))
    assert (whole.status, whole.body) == (200, DATA)
    assert whole["content-length"] == str(len(DATA))
    assert whole["accept-ranges"] == "bytes"
    size = len(DATA)
    for given, (first, end) in {
        "bytes=0-0": (0, 1),
        "bytes=100-299": (100, 300),
        "bytes=10000-": (10000, size),
        f"bytes={size - 1}-{size + 100}": (size - 1, size),
        "bytes=-5": (size - 5, size),
        f"bytes=-{size + 100}": (0, size),
        "BYTES=1-2": (1, 3),
    }.items():
        part = page.get(raw(job, "a.bin"), range=given)
        assert (part.status, part.body) == (206, DATA[first:end]), given
        assert part["content-range"] == f"bytes {first}-{end - 1}/{size}"
        assert part["content-length"] == str(end - first)


def test_other_ranges(shared: Shared) -> None:
    """A range behind the end is refused with the length; one that cannot be read, or several, mean all."""
    saved(shared.job, "a.bin", DATA)
    saved(shared.job, "empty", b"")
    for given in (f"bytes={len(DATA)}-", "bytes=99999-100000", "bytes=-0"):
        refused = shared.get("a.bin", range=given)
        assert (refused.status, refused["content-range"], refused.body) == (416, f"bytes */{len(DATA)}", b"")
    for given in ("bytes=5-2", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,4-5", "bytes=٣-4", "bytes=" + "9" * 30):
        assert shared.get("a.bin", range=given.encode("latin-1", "replace").decode("latin-1")).body == DATA, given
    assert shared.get("empty").body == b""
    assert shared.get("empty", range="bytes=0-").status == 416


def test_what_the_browser_has_is_not_sent_again(shared: Shared) -> None:
    """The ETag changes with the content: an unchanged output is not sent, and a range of another is not mixed in."""
    saved(shared.job, "a.bin", DATA)
    address = raw(shared.job, "a.bin")
    first = shared.page.get(address)
    assert first["cache-control"] == "private, no-cache"
    for given in (first["etag"], f'"x", W/{first["etag"]}', "*"):
        unchanged = shared.page.get(address, if_none_match=given)
        assert (unchanged.status, unchanged.body, unchanged["etag"]) == (304, b"", first["etag"])
    assert shared.page.get(address, if_none_match='"x"').status == 200
    assert shared.page.get(address, range="bytes=0-1", if_range=first["etag"]).body == DATA[:2]
    saved(shared.job, "a.bin", DATA[::-1])
    assert shared.page.get(address, if_none_match=first["etag"]).body == DATA[::-1]
    mixed = shared.page.get(address, range="bytes=0-1", if_range=first["etag"])
    assert (mixed.status, mixed.body) == (200, DATA[::-1])
    assert shared.page.get(address, range="bytes=0-1", if_range="Wed, 21 Oct 2015 07:28:00 GMT").status == 200


def test_head(shared: Shared) -> None:
    """HEAD tells what GET would, without the content."""
    saved(shared.job, "a.png", DATA)
    head, get = shared.get("a.png", method="HEAD"), shared.get("a.png")
    assert head.body == b""
    assert head.status == 200
    for name in ("content-length", "content-type", "etag", "accept-ranges", "content-security-policy"):
        assert head[name] == get[name]


@pytest.mark.parametrize(
    ("content_type", "name", "served"),
    [
        ("image/png", "a", "image/png"),
        ("IMAGE/JPEG; q=1", "a", "image/jpeg"),
        (None, "a.webp", "image/webp"),
        ("application/octet-stream", "a.gif", "image/gif"),
        ("image/svg+xml", "a.svg", "image/svg+xml"),
        ("video/mp4", "a.mp4", "video/mp4"),
        ("audio/flac", "a.flac", "audio/flac"),
        ("application/pdf", "a.pdf", "application/pdf"),
        ("text/html", "a.png", "text/plain; charset=utf-8"),
        (None, "a.html", "text/plain; charset=utf-8"),
        ("application/xhtml+xml", "a", "text/plain; charset=utf-8"),
        (None, "a.js", "text/plain; charset=utf-8"),
        ("text/xml", "a.xml", "text/plain; charset=utf-8"),
        ("application/rss+xml", "a", "text/plain; charset=utf-8"),
        ("video/x+xml", "a", "text/plain; charset=utf-8"),
        ("text/css", "a.css", "text/plain; charset=utf-8"),
        ("application/json", "a.json", "text/plain; charset=utf-8"),
        ("application/wasm", "a.wasm", "application/octet-stream"),
        ("multipart/x-mixed-replace", "a.png", "application/octet-stream"),
        ("message/rfc822", "a", "application/octet-stream"),
        ("application/x-shockwave-flash", "a.swf", "application/octet-stream"),
        ("text/plain\r\nx: y", "a", "application/octet-stream"),
        ("nonsense", "a.png", "application/octet-stream"),
    ],
)
def test_no_type_that_runs(content_type: str | None, name: str, served: str) -> None:
    """What a browser might run is sent as text or bytes, by its stored type or, where that says nothing, its name."""
    assert served_type(content_type, name) == served


@pytest.mark.parametrize("way", [addresses.raw, addresses.download])
def test_in_a_sandbox(shared: Shared, way: Callable[[str, str], str]) -> None:
    """Every answer with content of an output forbids scripts, guessing of its type, and frames of others."""
    saved(shared.job, "a.html", b"<script>alert(1)</script>", "text/html")
    address = way(shared.job.container, "t1/$TaskOutput/a.html")
    etag = shared.page.get(address)["etag"]
    for answer in (
        shared.page.get(address),
        shared.page.get(address, method="HEAD"),
        shared.page.get(address, range="bytes=1-2"),
        shared.page.get(address, range="bytes=100-"),
        shared.page.get(address, if_none_match=etag),
    ):
        assert answer["content-security-policy"].startswith("sandbox; default-src 'none'"), answer.status
        assert answer["x-content-type-options"] == "nosniff"
        assert {name: answer[name] for name in headers.BLOB} == dict(headers.BLOB)
        assert answer["cross-origin-resource-policy"] == "same-origin"


NAMES = {
    "a b.txt": "a b.txt",
    "Größe 漢字.png": "Größe 漢字.png",
    "../../etc/passwd": "passwd",
    "x/..": "%2E%2E",
    'say "hi"; filename=evil.exe': "say %22hi%22; filename=evil.exe",
    "line\nbreak\x00.txt": "line%0Abreak%00.txt",
    "photo\u202egnp.exe": "photo_gnp.exe",
    "back\\slash": "back%5Cslash",
    "con": "%63on",
    "ends/": "%",
}


def test_kept_under_a_safe_name(shared: Shared) -> None:
    """A download is offered under the output's own last name, made safe for every system."""
    for number, (name, safe) in enumerate(NAMES.items()):
        blob = f"t1/$TaskOutput/{number}/{name}"
        put(shared.job, blob, name.encode())
        answer = shared.page.get(addresses.download(shared.job.container, blob))
        assert answer.body == name.encode()
        disposition = answer["content-disposition"]
        assert disposition.isascii()
        assert disposition == f"attachment; filename*=UTF-8''{quote(safe, safe='')}"


def put(job: sync.JobOutputStorage, blob: str, data: bytes) -> None:
    """Store what the library itself would give another name."""
    sync._run(job._storage._container.store.put(blob, data))


def cut(page: Page, address: str, change: Callable[[], object]) -> tuple[int, int]:
    """Announced and received bytes of an answer while which something is changed."""
    with page.asking(address) as response:
        announced = int(response.headers["content-length"])
        received = len(response.read(1024))
        change()
        try:
            received += len(response.read())
        except http.client.IncompleteRead as error:
            received += len(error.partial)
        return announced, received


@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_a_change_midway_cuts_the_answer(shared: Shared, change: str) -> None:
    """What is replaced or deleted while it is sent ends short of its length, and is never a mixture."""
    saved(shared.job, "large", b"a" * LARGE)
    output = shared.job.task("t1").get_output("TaskOutput", "large")
    announced, received = cut(
        shared.page,
        raw(shared.job, "large"),
        output.delete if change == "deleted" else lambda: saved(shared.job, "large", b"b" * LARGE),
    )
    assert announced == LARGE
    assert received < announced


def test_an_output_that_is_not_there(shared: Shared) -> None:
    """A page says what is missing, under the headers of a page."""
    for path in (
        raw(shared.job, "missing"),
        f"/jobs/{shared.job.container}/raw",
        f"/jobs/{shared.job.container}/raw?name=x",
        "/jobs/job-y/raw",
    ):
        answer = shared.page.get(path)
        assert answer.status == 404
        assert answer["cache-control"] == "no-store"
        assert answer["content-security-policy"] == headers.PAGE["Content-Security-Policy"]


def test_styles_of_an_svg(shared: Shared) -> None:
    """An SVG keeps its own styles where it is opened by itself, still without scripts and without asking anybody."""
    saved(shared.job, "a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    saved(shared.job, "a.png", b"x")
    policy = shared.get("a.svg")["content-security-policy"].split("; ")
    assert {"sandbox", "default-src 'none'", "style-src 'unsafe-inline'"} <= {*policy}
    assert not [part for part in policy if "script" in part]
    assert "unsafe-inline" not in shared.get("a.png")["content-security-policy"]
