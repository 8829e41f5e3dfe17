"""Outputs whose names are meant to do harm: each is listed, opened, downloaded and archived, and none gets anywhere.

The same names, side by side, for the page and for `download`; see `support.hostile`.
"""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from batch_outputs.browse import addresses
from batch_outputs.location import DirectoryAccount, StoreLocation
from support.azurite import Azurite
from support.command import Desk
from support.hostile import NAMES, NAMES_IN_FOLDERS, PREFIX, harm_of, plant
from support.page import Page, serving

STORES = {"folder": {**NAMES, **NAMES_IN_FOLDERS}, "container": NAMES}
CASES = [(store, key) for store, names in STORES.items() for key in names]
OUR_HEADERS = {
    *("accept-ranges", "cache-control", "content-disposition", "content-length", "content-security-policy"),
    *("content-type", "cross-origin-opener-policy", "cross-origin-resource-policy", "date", "etag", "referrer-policy"),
    *("transfer-encoding", "connection", "x-content-type-options", "x-frame-options", "last-modified", "vary"),
}


@dataclass(frozen=True)
class Planted:
    """A page over outputs of one task with hostile names, and what each of them holds."""

    page: Page
    desk: Desk
    container: str
    contents: dict[str, bytes]


@pytest.fixture(scope="module")
def in_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    """All hostile names that a folder can hold, stored once for all tests."""
    folder = tmp_path_factory.mktemp("in-folder") / "desk"
    folder.joinpath("batch-outputs", "job-hostile").mkdir(parents=True)
    location = StoreLocation(DirectoryAccount(folder / "batch-outputs"), "job-hostile")
    with _served(Desk(folder), location, STORES["folder"]) as planted:
        yield planted


@pytest.fixture(scope="module")
def in_container(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    """All hostile names that a blob service can hold, stored once for all tests."""
    folder = tmp_path_factory.mktemp("in-container") / "desk"
    folder.mkdir()
    container = azurite.new_container()
    desk = Desk(folder, {"BATCH_OUTPUTS_CONTAINER_URL": container.sas_url()})
    with _served(desk, container.location(), STORES["container"]) as planted:
        yield planted


@pytest.fixture
def planted(request: pytest.FixtureRequest) -> Planted:
    """The one that a test's parameter names."""
    found: Planted = request.getfixturevalue(f"in_{request.param}")
    return found


@contextmanager
def _served(desk: Desk, location: StoreLocation, names: dict[str, str]) -> Iterator[Planted]:
    contents = {name: f"this is {number}\n".encode() for number, name in enumerate(names.values())}
    plant(location, {PREFIX + name: ("text/plain", content) for name, content in contents.items()})
    with serving(desk) as page:
        yield Planted(page, desk, location.container, contents)


class Markup(HTMLParser):
    """What a page holds that matters here: where its links lead, its scripts, and its event handlers."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.scripts: list[str | None] = []
        self.handlers: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.handlers += [f"<{tag} {name}>" for name in given if name.startswith("on") or name == "style"]
        if tag == "script":
            self.scripts.append(given.get("src"))
        if tag == "a" and given.get("href"):
            self.links.add(given["href"] or "")

    @property
    def is_harmless(self) -> bool:
        """Whether only scripts of ours run."""
        return not self.handlers and all((source or "").startswith("/static/") for source in self.scripts)


each = pytest.mark.parametrize(
    ("planted", "name"),
    [(store, STORES[store][key]) for store, key in CASES],
    ids=map("-".join, CASES),
    indirect=["planted"],
)
each_store = pytest.mark.parametrize("planted", STORES, indirect=True)


@each
def test_a_name_is_opened(planted: Planted, name: str) -> None:
    """The page of the output is there, shows its content, runs nothing of its name, and has our headers only."""
    answer = planted.page.get(addresses.file(planted.container, PREFIX + name))
    assert answer.status == 200, answer.text
    assert planted.contents[name].decode().strip() in answer.text
    assert Markup(answer.text).is_harmless
    assert {header.lower() for header in answer.headers} <= OUR_HEADERS
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", answer.text)


@each
def test_a_name_is_downloaded(planted: Planted, name: str) -> None:
    """The content comes to the byte, to be kept under a name that no system can take for anything but a file."""
    for address in (addresses.download, addresses.raw):
        answer = planted.page.get(address(planted.container, PREFIX + name))
        assert (answer.status, answer.body) == (200, planted.contents[name])
        assert {header.lower() for header in answer.headers} <= OUR_HEADERS
        _, _, kept_as = answer["content-disposition"].partition("filename*=UTF-8''")
        assert kept_as
        assert harm_of(unquote(kept_as)) is None
        assert "/" not in unquote(kept_as)
        assert "sandbox" in answer["content-security-policy"]
        assert answer["x-content-type-options"] == "nosniff"


@each
def test_a_name_is_searched(planted: Planted, name: str) -> None:
    """A search in it finds what is there."""
    answer = planted.page.get(addresses.search(planted.container, PREFIX + name, q="THIS is".lower()))
    assert answer.status == 200, answer.text
    assert "<mark>this is</mark>" in answer.text
    assert Markup(answer.text).is_harmless


@each_store
def test_all_are_listed(planted: Planted) -> None:
    """The task's page and that of the kind link to each of them."""
    pages = [addresses.task(planted.container, "t1"), addresses.kind(planted.container, "t1", "TaskOutput")]
    for address in pages:
        answer = planted.page.get(address)
        assert answer.status == 200
        markup = Markup(answer.text)
        assert markup.is_harmless
        wanted = {addresses.file(planted.container, PREFIX + name) for name in planted.contents}
        assert wanted - markup.links == set()


@each_store
def test_all_are_archived(planted: Planted, tmp_path: Path) -> None:
    """The archive of the task holds all, each under a name of its own that is safe on every system."""
    answer = planted.page.get(addresses.archive(planted.container, task_id="t1"))
    assert answer.status == 200
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert {name: harm for name in names if (harm := harm_of(name))} == {}
        assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(planted.contents)
        assert sorted(map(archive.read, names)) == sorted(planted.contents.values())
        archive.extractall(tmp_path / "out")
    assert found_below(tmp_path) == sorted(planted.contents.values())


@each_store
def test_all_are_downloaded(planted: Planted, tmp_path: Path) -> None:
    """`download` writes each below its target, once, and nothing anywhere else; asked again, it leaves all alone."""
    target = planted.desk.folder.parent / "one" / "two" / "results"
    before = planted.desk.everything
    done = planted.desk.run("download", "--job", planted.container.removeprefix("job-"), "--to", str(target))
    assert done.summary.startswith(f"{len(planted.contents)} files downloaded")
    assert found_below(target) == sorted(planted.contents.values())
    assert found_below(target.parents[1]) == sorted(planted.contents.values())
    assert planted.desk.everything == before
    for planted_at in ("/tmp/batch-outputs-was-here.txt", "/etc/batch-outputs-was-here.txt"):  # noqa: S108
        assert not Path(planted_at).exists()
    assert not list(planted.desk.folder.rglob("owned"))


def found_below(folder: Path) -> list[bytes]:
    """The contents of all files below a folder; there must be no links among them."""
    found = [path for path in folder.rglob("*") if not path.is_dir()]
    assert not [path for path in found if path.is_symlink()]
    return sorted(path.read_bytes() for path in found)
