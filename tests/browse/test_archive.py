"""An archive holds what is stored, under names that are safe everywhere, and never looks whole when it is not."""

from __future__ import annotations

import http.client
import io
import os
import posixpath
import re
import struct
import unicodedata
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from batch_outputs import sync
from batch_outputs.browse import addresses
from batch_outputs.browse.sending.archive import archive
from batch_outputs.browse.sending.archive_names import ArchiveNames
from batch_outputs.errors import BlobChangedError
from batch_outputs.kinds import TaskOutputKind
from batch_outputs.outputs import OutputFileReference
from support.command import Desk
from support.hostile import NAMES, NAMES_IN_FOLDERS
from support.page import Answer, Page

MIB = 1024 * 1024


def opened(answer: Answer) -> dict[str, bytes]:
    """The files in an archive."""
    assert answer.status == 200, answer.text
    assert answer["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.body)) as file:
        assert file.testzip() is None
        return {info.filename: file.read(info) for info in file.infolist()}


def put(job: sync.JobOutputStorage, blob: str, data: bytes) -> None:
    """Store what the library itself would give another name."""
    sync._run(job._storage._container.store.put(blob, data))


@pytest.mark.parametrize("place", ["folder", "container", "account"], indirect=True)
def test_what_is_asked_for_is_in_it(page: Page, job: sync.JobOutputStorage) -> None:
    """A task, a kind, the job's own outputs or a selection: exactly these, as they are stored, wherever they are."""
    task = job.task("t1")
    task.save_text("TaskOutput", "one" * 1000, "a/one.txt")
    task.save_bytes("TaskOutput", bytes(range(256)), "two.bin")
    task.save_text("TaskLog", "log", "stdout.txt")
    job.task("t10").save_text("TaskOutput", "other", "one.txt")
    job.save_text("JobOutput", "sum", "sum.json")
    outputs = {"TaskOutput/a/one.txt": b"one" * 1000, "TaskOutput/two.bin": bytes(range(256))}
    of_task = page.get(addresses.archive(job.container, task_id="t1"))
    assert opened(of_task) == {**outputs, "TaskLog/stdout.txt": b"log"}
    assert of_task["content-disposition"].endswith("-t1.zip")
    assert opened(page.get(addresses.archive(job.container, task_id="t1", kind="TaskOutput"))) == outputs
    assert opened(page.get(addresses.archive(job.container))) == {"JobOutput/sum.json": b"sum"}
    names = ["t10/$TaskOutput/one.txt", "$JobOutput/sum.json", "t10/$TaskOutput/one.txt"]
    selected = page.get(addresses.archive(job.container) + "?" + "&".join(f"name={quote(name)}" for name in names))
    assert opened(selected) == {"t10/TaskOutput/one.txt": b"other", "JobOutput/sum.json": b"sum"}


@pytest.mark.parametrize("place", ["folder", "container"], indirect=True)
def test_many_files(page: Page, job: sync.JobOutputStorage) -> None:
    """Files that are read before it is their turn come in their turn, whole, with large ones between."""
    sizes = [0, 1, 900_000, 70_000, 5 * MIB, 1000, 2 * MIB, *range(100, 112), 1_000_000, 0]
    contents = {f"TaskOutput/{n:02}.bin": os.urandom(size) for n, size in enumerate(sizes)}
    for name, data in contents.items():
        job.task("t1").save_bytes("TaskOutput", data, name.removeprefix("TaskOutput/"))
    files = opened(page.get(addresses.archive(job.container, task_id="t1")))
    assert list(files) == list(contents)
    assert all(files[name] == data for name, data in contents.items())


def test_nothing_to_send(page: Page, job: sync.JobOutputStorage) -> None:
    """Where nothing is stored, a page says so; and so it is for a name that does not exist."""
    for address in (
        addresses.archive(job.container),
        addresses.archive(job.container, task_id="t1"),
        addresses.archive(job.container) + "?name=t1/$TaskOutput/missing",
        addresses.archive(job.container) + "?name=nonsense",
        addresses.archive("job-not-there", task_id="t1"),
        addresses.archive(job.container, task_id="a/b"),
    ):
        assert page.get(address).status == 404, address


def test_nothing_selected(page: Page, job: sync.JobOutputStorage) -> None:
    """A form in which nothing is selected downloads nothing, and not everything; each form says that it is one."""
    job.task("t1").save_text("TaskOutput", "x", "a.txt")
    job.save_text("JobOutput", "x", "a.txt")
    shown = [addresses.job(job.container), addresses.task(job.container, "t1")]
    for address in [*shown, addresses.kind(job.container, "t1", "TaskOutput")]:
        assert page.get(address).text.count('<input type="hidden" name="selection" value="1">') == 1, address
    for rest in ("?selection=1", "?task=t1&selection=1"):
        answer = page.get(addresses.archive(job.container) + rest)
        assert (answer.status, answer["content-type"]) == (400, "text/html; charset=utf-8")
        assert "Nothing was selected" in answer.text
    some = page.get(addresses.archive(job.container) + "?selection=1&task=t1&name=t1/$TaskOutput/a.txt")
    assert opened(some) == {"TaskOutput/a.txt": b"x"}


@pytest.mark.parametrize("place", ["folder", "container"], indirect=True)
def test_logs_are_joined(page: Page, job: sync.JobOutputStorage, tmp_path: Path) -> None:
    """A log in parts is one file; a file that only has the name of a part is a file."""
    log = tmp_path / "log.txt"
    log.write_text("first\n")
    task = job.task("t1")
    with task.save_tracked("TaskLog", log, "log.txt") as tracked:
        tracked.flush()
        log.write_text("anew\n")
        tracked.flush()
    task.save_text("TaskLog", "file", "x.part-2.txt")
    assert "t1/$TaskLog/log.part-2.txt" in [output.blob_name for output in task.list_outputs()]
    content = opened(page.get(addresses.archive(job.container, task_id="t1")))
    assert content == {"TaskLog/log.txt": b"first\nanew\n", "TaskLog/x.part-2.txt": b"file"}


def test_hostile_names(page: Page, job: sync.JobOutputStorage, tmp_path: Path) -> None:
    """Whatever outputs are called, each is in the archive once, inside it, and can be unpacked on every system."""
    names = {**NAMES, **NAMES_IN_FOLDERS}
    contents = {f"t1/$TaskOutput/{name}": f"content of {key}".encode() for key, name in names.items()}
    for blob, data in contents.items():
        put(job, blob, data)
    answer = page.get(addresses.archive(job.container, task_id="t1"))
    files = opened(answer)
    assert sorted(files.values()) == sorted(contents.values())
    folded = [unicodedata.normalize("NFC", name).casefold() for name in files]
    assert len(set(folded)) == len(files)
    for name in files:
        assert not posixpath.isabs(name)
        for segment in name.split("/"):
            assert segment not in {"", ".", ".."}
            assert len(segment.encode("utf-16-le")) <= 2 * 255
            assert not re.search(r'[\x00-\x1f<>:"|?*\\\u202a-\u202e\u2066-\u2069]', segment)
            assert segment[-1] not in ". "
    (tmp_path / "unpacked").mkdir()
    with zipfile.ZipFile(io.BytesIO(answer.body)) as file:
        short = [info for info in file.infolist() if len(info.filename) < 200]
        file.extractall(tmp_path / "unpacked", short)
    assert len([path for path in (tmp_path / "unpacked").rglob("*") if path.is_file()]) == len(short)


def reference(name: str, *, task_id: str | None = "t1") -> OutputFileReference:
    return OutputFileReference(None, task_id, TaskOutputKind("TaskOutput"), name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        (["a.txt", "A.txt", "a (2).txt"], ["a.txt", "A (2).txt", "a (2) (2).txt"]),
        (["caf\u00e9", "cafe\u0301"], ["caf\u00e9", "cafe\u0301 (2)"]),
        (["a", "a/b", "a/c", "A/b"], ["a", "a (2)/b", "a (2)/c", "a (2)/b (2)"]),
        (["b/x", "b"], ["b/x", "b (2)"]),
        (["straße", "STRASSE"], ["straße", "STRASSE (2)"]),
        ([".x", ".X"], [".x", ".X (2)"]),
    ],
)
def test_names_are_distinct(stored: list[str], given: list[str]) -> None:
    """Names that one system or another takes for the same, and files where folders must be, get a number."""
    names = ArchiveNames(with_tasks=False)
    assert [names.name(reference(name)) for name in stored] == [f"TaskOutput/{name}" for name in given]


def test_many_equal_names_take_no_time() -> None:
    """Thousands of names that are equal but for capitals are told apart in no time."""
    names = ArchiveNames(with_tasks=True)
    spelled = ["".join(c.upper() if n >> i & 1 else c for i, c in enumerate("abcdefghijklmn")) for n in range(2**14)]
    assert len({names.name(reference(name)) for name in spelled}) == 2**14


class Content(OutputFileReference):
    """An output that is not stored anywhere."""

    def __init__(
        self, name: str, size: int, *, type_: str | None = None, last_modified: datetime | None = None
    ) -> None:
        super().__init__(None, "t1", TaskOutputKind("TaskOutput"), name)  # type: ignore[arg-type]
        self._size = size
        self._type = type_
        self._changed = last_modified
        self.broken_at: int | None = None

    @property
    def size(self) -> int:
        return self._size

    @property
    def content_type(self) -> str | None:
        return self._type

    @property
    def last_modified(self) -> datetime | None:
        return self._changed

    @property
    def is_log(self) -> bool:
        return False

    async def chunks(
        self, offset: int = 0, length: int | None = None, *, exactly: bool = False
    ) -> AsyncIterator[bytes]:
        assert exactly
        piece = bytes(4 * MIB)
        for begin in range(0, self._size, len(piece)):
            if self.broken_at is not None and begin >= self.broken_at:
                raise BlobChangedError("It was replaced.", place="here")
            yield piece[: self._size - begin]


async def listed(*outputs: Content) -> AsyncIterator[OutputFileReference]:
    for output in outputs:
        yield output


async def written(*outputs: Content) -> bytes:
    return b"".join([piece async for piece in archive(listed(*outputs), ArchiveNames(with_tasks=False))])


@pytest.mark.anyio
async def test_times() -> None:
    """Times are in UTC and exact to the second for those who look, and what a ZIP file cannot say is cut."""
    moments = [datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC), datetime(1960, 1, 1, tzinfo=UTC), None]
    moments += [datetime(2200, 1, 1, tzinfo=UTC)]
    data = await written(*(Content(str(n), 1, last_modified=moment) for n, moment in enumerate(moments)))
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        infos = file.infolist()
    assert [info.date_time[:3] for info in infos] == [(2026, 3, 1), (1980, 1, 1), (1980, 1, 1), (2107, 12, 31)]
    assert moments[0] is not None
    assert struct.unpack("<HHBi", infos[0].extra) == (0x5455, 5, 1, int(moments[0].timestamp()))


@pytest.mark.anyio
async def test_text_is_made_smaller() -> None:
    """Text shrinks; what has been compressed before is not tried, and both can be unpacked while they come."""
    data = await written(Content("a.log", MIB, type_="text/plain"), Content("b.png", MIB, type_="image/png"))
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        text, picture = file.infolist()
        assert file.testzip() is None
    assert text.compress_size < MIB / 50
    assert picture.compress_size == pytest.approx(MIB, rel=0.01)
    assert {text.compress_type, picture.compress_type} == {zipfile.ZIP_DEFLATED}


@pytest.mark.anyio
async def test_a_break_is_raised() -> None:
    """When an output breaks midway the archive ends there, too."""
    broken = Content("broken", 64 * MIB)
    broken.broken_at = 16 * MIB
    with pytest.raises(BlobChangedError):
        await written(Content("a", 100), broken, Content("z", 100))


def test_a_break_cuts_the_connection(page: Page, job: sync.JobOutputStorage) -> None:
    """A browser is told that the archive is not whole: its connection is cut."""
    task = job.task("t1")
    task.save_bytes("TaskOutput", os.urandom(48 * MIB), "large")
    with page.asking(addresses.archive(job.container, task_id="t1")) as response:
        assert response.read(1000)[:4] == b"PK\x03\x04"
        task.save_bytes("TaskOutput", b"small", "large")
        with pytest.raises(http.client.IncompleteRead):
            response.read()


def resident(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def test_memory(page: Page, job: sync.JobOutputStorage, desk: Desk, tmp_path: Path, long_form: bool) -> None:
    """An archive of 5 GiB (300 MiB in the short form) is sent within 200 MiB of memory, and is whole."""
    task = job.task("t1")
    task.save_text("TaskOutput", "small", "a.txt")
    large = desk.folder / "batch-outputs" / job.container / "t1" / "$TaskOutput" / "large.bin"
    size = 5 * 1024 * MIB if long_form else 300 * MIB
    with large.open("wb") as file:
        file.truncate(size)
    target = tmp_path / "t1.zip"
    with page.asking(addresses.archive(job.container, task_id="t1")) as response, target.open("wb") as out:
        while piece := response.read(MIB):
            out.write(piece)
    assert resident(page.process.pid) < 200 * MIB
    with zipfile.ZipFile(target) as archived:
        assert archived.getinfo("TaskOutput/large.bin").file_size == size
        assert archived.read("TaskOutput/a.txt") == b"small"
        assert not long_form or archived.testzip() is None
