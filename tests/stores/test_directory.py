"""What is particular to a folder as a store: its layout, hands and links in it, killed and competing processes."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_outputs.errors import (
    AccessDeniedError,
    BlobChangedError,
    BlobExistsError,
    BlobNotFoundError,
    ContainerNotFoundError,
    InvalidNameError,
    SourceError,
    StoreError,
    WrongBlobTypeError,
)
from batch_outputs.location import DirectoryAccount, StoreLocation
from batch_outputs.stores.base import BlobPrefix, BlobProperties, Store, StoreAccount, Written
from batch_outputs.stores.directory import DirectoryStore, DirectoryStoreAccount
from batch_outputs.stores.directory.account import create_container
from batch_outputs.stores.directory.container import PIECE, Container, Writing
from batch_outputs.stores.directory.failures import store_error
from batch_outputs.stores.directory.records import Draft, Records

pytestmark = pytest.mark.anyio
needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")

T = TypeVar("T")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an existing container."""
    create_container(str(tmp_path), "job-x", {})
    return tmp_path / "job-x"


@pytest.fixture
def store(folder: Path) -> DirectoryStore:
    return open_store(folder)


def open_store(folder: Path, *, own_thread: bool = True, case_blind: bool | None = None) -> DirectoryStore:
    location = StoreLocation(DirectoryAccount(folder.parent), folder.name)
    return DirectoryStore(location, own_thread=own_thread, case_blind=case_blind)


def open_container(folder: Path, *, case_blind: bool | None = None) -> Container:
    location = StoreLocation(DirectoryAccount(folder.parent), folder.name)
    return Container(location, str(folder), case_blind=case_blind)


def finish(steps: Writing) -> Written:
    return next(written for written in steps if written is not None)


async def everything(items: AsyncIterator[T]) -> list[T]:
    return [item async for item in items]


async def content(store: Store, name: str, *, etag: str | None = None) -> bytes:
    return b"".join(await everything(store.read(name, etag=etag)))


async def names(store: Store, prefix: str = "") -> list[str]:
    return [blob.name async for blob in store.list(prefix)]


def files_in(folder: Path) -> set[str]:
    """The files that are blobs, relative to the container."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return {path for path in found if not path.startswith(".batch-outputs/")}


class Source:
    """A `Readable` that calls back before each read."""

    def __init__(
        self, size: int, *, before: Iterable[BaseException | None] = (), shown_size: int | None = None
    ) -> None:
        self._size = size
        self._left = size
        self._before = iter(before)
        self.size = size if shown_size is None else shown_size

    def read(self, length: int, /) -> bytes:
        error = next(self._before, None)
        if error is not None:
            raise error
        piece = bytes(min(length, self._left))
        self._left -= len(piece)
        return piece

    def rewind(self) -> None:
        self._left = self._size


def protocol_of_a_store(store: DirectoryStore, account: DirectoryStoreAccount) -> tuple[Store, StoreAccount]:
    """For the type checker: both are what the protocols ask for."""
    return store, account


# Layout


async def test_a_blob_is_a_file_of_its_name(folder: Path, store: DirectoryStore) -> None:
    """What is stored is found by any program, as a file under the name of the blob."""
    await store.put("t1/$TaskOutput/frames/1.png", b"png", content_type="image/png", metadata={"a": "b"})
    assert (folder / "t1" / "$TaskOutput" / "frames" / "1.png").read_bytes() == b"png"
    assert files_in(folder) == {"t1/$TaskOutput/frames/1.png"}


@pytest.mark.parametrize("order", [("a", "a/b"), ("a/b", "a")])
async def test_a_blob_beside_a_folder_of_its_name(order: tuple[str, str], folder: Path, store: DirectoryStore) -> None:
    """`a` and `a/b` live together in whatever order they come, keep their properties, and outlive each other."""
    for name in order:
        await store.put(name, name.encode(), metadata={"name": name.replace("/", "-")})
    assert files_in(folder) == {"a%", "a/b"}
    assert await names(store) == ["a", "a/b"]
    assert await everything(store.list_level()) == [await store.properties("a"), BlobPrefix("a/")]
    for name in order:
        assert await content(store, name) == name.encode()
        assert (await store.properties(name)).metadata == {"name": name.replace("/", "-")}
    await store.delete("a/b")
    assert files_in(folder) == {"a%"}
    assert await content(store, "a") == b"a"
    await store.put("a", b"again")
    assert await names(store) == ["a"]
    assert await content(store, "a") == b"again"


async def test_deleting_removes_empty_folders_but_not_the_container(folder: Path, store: DirectoryStore) -> None:
    """Folders exist for their blobs only; the container stays."""
    await store.put("t1/$TaskOutput/" + "x" * 300, b"")
    await store.put("t1/keep", b"")
    await store.delete("t1/$TaskOutput/" + "x" * 300)
    assert os.listdir(folder / "t1") == ["keep"]
    await store.delete("t1/keep")
    assert os.listdir(folder) == [".batch-outputs"]


async def test_the_private_folder_is_no_name(folder: Path, store: DirectoryStore) -> None:
    """A blob of that name stands elsewhere, and nothing private can be listed, read or deleted as a blob."""
    await store.put(".batch-outputs/lock", b"mine")
    assert await names(store) == [".batch-outputs/lock"]
    assert await content(store, ".batch-outputs/lock") == b"mine"
    assert files_in(folder) == {"%2Ebatch-outputs/lock"}
    with pytest.raises(BlobNotFoundError):
        await store.delete(".batch-outputs/container.json")


async def test_names_that_no_file_can_have_are_refused(store: DirectoryStore) -> None:
    """An empty name and half a surrogate pair give an error that says so, for writing, reading and listing."""
    for name in ("", "a\udcff"):
        with pytest.raises(InvalidNameError):
            await store.put(name, b"")
        with pytest.raises(InvalidNameError):
            await content(store, name)
    with pytest.raises(InvalidNameError):
        await names(store, "a\udcff")


async def test_a_path_too_long_for_the_system_is_an_error(folder: Path, store: DirectoryStore) -> None:
    """The error says what is too long, and what was made on the way shows in no list."""
    with pytest.raises(StoreError, match=r"too long for this system|could not be stored"):
        await store.put("/".join(["x" * 190] * 200), b"")
    assert await everything(store.list_level()) == []


# All names, against a model

SEGMENTS = st.sampled_from(
    [
        *["", "a", "A", "a-b", "aa", "b", ".", "..", "con", "CON", "%", ".batch-outputs"],
        *["é", "E\N{COMBINING ACUTE ACCENT}"],
        *["x" * 200, "X" * 200, "x" * 200 + "!", "x" * 201, "x" * 201 + "!", "X" * 450],
    ]
)
NAMES = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join).filter(bool)
STEPS = st.lists(st.tuples(st.sampled_from(["put", "put", "put", "delete"]), NAMES), max_size=25)


@given(STEPS, NAMES, st.booleans())
@settings(max_examples=60)
def test_any_names_in_any_order(steps: list[tuple[str, str]], prefix: str, case_blind: bool) -> None:
    """After any puts and deletes, blobs, lists and levels are those of a sorted dictionary, also on a blind disk."""
    with tempfile.TemporaryDirectory() as root:
        create_container(root, "c", {})
        container = open_container(Path(root, "c"), case_blind=case_blind)
        model: dict[str, bytes] = {}
        for number, (step, name) in enumerate(steps):
            if step == "put":
                model[name] = str(number).encode()
                finish(container.put(name, model[name], Draft(metadata={"number": str(number)})))
            elif name in model:
                del model[name]
                container.delete(name, etag=None)
            else:
                with pytest.raises(BlobNotFoundError):
                    container.delete(name, etag=None)
        # Read as any system would: what a blind disk needed is understood by all.
        for reader in (container, open_container(Path(root, "c"), case_blind=False)):
            found = {blob.name: b"".join(read_all(reader, blob)) for blob in reader.list("")}
            assert list(found.items()) == sorted(model.items())
            for start in ("", "a", prefix, prefix[: len(prefix) // 2]):
                assert [blob.name for blob in reader.list(start)] == [n for n in sorted(model) if n.startswith(start)]
                assert [item.name for item in reader.list_level(start)] == level(model, start)
        for name in model:
            container.delete(name, etag=None)
        assert os.listdir(Path(root, "c")) == [".batch-outputs"]


def read_all(container: Container, blob: BlobProperties) -> list[bytes]:
    pieces = list(container.read(blob.name, offset=0, length=None, etag=blob.etag))
    assert blob.metadata == {"number": b"".join(pieces).decode()}
    return pieces


def level(model: Iterable[str], prefix: str) -> list[str]:
    found = set()
    for name in model:
        if name.startswith(prefix):
            head, slash, _ = name[len(prefix) :].partition("/")
            found.add(prefix + head + slash)
    return sorted(found)


# A disk blind to case


async def test_names_that_differ_in_case_live_apart_on_a_blind_disk(folder: Path) -> None:
    """The first keeps its name; the next has its letters escaped; each is found as itself, or not at all."""
    store = open_store(folder, case_blind=True)
    await store.put("Logs/out.txt", b"1")
    await store.put("logs/out.txt", b"2")
    await store.put("Logs/OUT.txt", b"3")
    assert files_in(folder) == {"Logs/out.txt", "%6C%6F%67%73/out.txt", "Logs/%4F%55%54.%74%78%74"}
    assert await names(store) == ["Logs/OUT.txt", "Logs/out.txt", "logs/out.txt"]
    with pytest.raises(BlobNotFoundError):
        await store.properties("LOGS/out.txt")
    await store.delete("Logs/out.txt")
    assert await content(store, "Logs/OUT.txt") == b"3"
    with pytest.raises(BlobNotFoundError):
        await store.properties("Logs/out.txt")


async def test_no_mark_meets_another_on_a_blind_disk(folder: Path) -> None:
    """A file that has to make way for a folder does not overwrite the marked file of a name in another case."""
    store = open_store(folder, case_blind=True)
    await store.put("A", b"big")
    await store.put("A/x", b"")
    await store.delete("A/x")
    await store.put("a", b"small")
    await store.put("a/x", b"")
    assert await content(store, "A") == b"big"
    assert await content(store, "a") == b"small"
    assert await names(store) == ["A", "a", "a/x"]


async def test_a_disk_that_sees_case_is_found_out(folder: Path) -> None:
    """Without being told, the store asks the disk, and escapes no letters without need."""
    if (folder.parent / folder.name.upper()).exists():
        pytest.skip("the disk of the temporary folder is blind to case")
    store = open_store(folder)
    await store.put("a", b"")
    await store.put("A", b"")
    assert files_in(folder) == {"a", "A"}


# Hands in the folder


async def test_a_file_dropped_by_hand_is_a_blob(folder: Path, store: DirectoryStore) -> None:
    """It is listed, read, changed, replaced and deleted like any other; nothing is known of it but its data."""
    (folder / "t1").mkdir()
    path = folder / "t1" / "notes.txt"
    path.write_bytes(b"by hand")
    (blob,) = await everything(store.list())
    assert (blob.name, blob.size, blob.content_type, blob.blob_type) == ("t1/notes.txt", 7, None, "block")
    assert blob.last_modified == datetime.fromtimestamp(path.stat().st_mtime, UTC)
    assert await content(store, "t1/notes.txt", etag=blob.etag) == b"by hand"
    written = await store.set_metadata("t1/notes.txt", {"seen": "yes"}, etag=blob.etag)
    assert (await store.properties("t1/notes.txt")).metadata == {"seen": "yes"}
    await store.copy("t1/notes.txt", "t1/copy.txt", etag=written.etag)
    await store.put("t1/notes.txt", b"ours")
    await store.delete("t1/notes.txt")
    assert await names(store) == ["t1/copy.txt"]


async def test_a_container_made_by_hand_is_one(tmp_path: Path) -> None:
    """A plain folder is listed as a container, read without being written to, and can be written to."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").write_bytes(b"a")
    store = open_store(tmp_path / "mine")
    assert await content(store, "a") == b"a"
    assert await names(store) == ["a"]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["a"]
    await store.put("b", b"")
    assert await names(store) == ["a", "b"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not take these names")
async def test_files_whose_names_are_no_escapes_are_left_out(folder: Path, store: DirectoryStore) -> None:
    """What the store would never write is no blob: it is not listed, and it is in nobody's way."""
    for name in ("100%.txt", "a:b", "%6a", "con", "end.", "x%%", "y" * 201, os.fsdecode(b"latin-\xe9")):
        (folder / name).write_bytes(b"")
    assert await names(store) == []
    await store.put("100%.txt", b"ours")
    await store.put("con", b"ours")
    assert await names(store) == ["100%.txt", "con"]


async def test_of_two_files_for_one_name_only_the_one_that_is_read_is_listed(
    folder: Path, store: DirectoryStore
) -> None:
    """By hand, `a` and `a%` can stand side by side: a list names the blob once, and tells its size."""
    (folder / "a%").write_bytes(b"marked")
    (folder / "a").write_bytes(b"bare")
    (folder / "%61").write_bytes(b"letters")
    assert [(blob.name, blob.size) async for blob in store.list()] == [("a", 6)]
    assert await content(store, "a") == b"marked"
    with pytest.raises(StoreError, match="is in the way"):
        await store.put("a/b", b"")


async def test_an_edited_file_loses_what_was_known_of_it(folder: Path, store: DirectoryStore) -> None:
    """Content type, metadata and ETag belong to the data that was stored, and to no other."""
    written = await store.put("a", b"stored", content_type="text/plain", metadata={"sum": "1"})
    (folder / "a").write_bytes(b"edited by hand")
    blob = await store.properties("a")
    assert (blob.size, blob.content_type, blob.metadata) == (14, None, {})
    assert blob.etag != written.etag
    with pytest.raises(BlobChangedError):
        await content(store, "a", etag=written.etag)


def test_of_two_records_that_fit_the_one_of_the_very_file_counts(tmp_path: Path) -> None:
    """While equally long data is replaced within one tick of the clock, the file number tells the two apart."""
    records = Records(str(tmp_path))
    statuses = []
    for name in ("old", "new"):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, ns=(10**18, 10**18))
        statuses.append(os.lstat(tmp_path / name))
    old, new = (Draft(metadata={"n": str(n)}).of(status) for n, status in enumerate(statuses))
    records.save("a", new, old)
    assert [records.fitting("a", status) for status in statuses] == [old, new]


async def test_a_log_cut_short_by_hand_is_no_log(folder: Path, store: DirectoryStore) -> None:
    """A log that has fewer bytes than were recorded is a file like any other."""
    written = await store.create_append("log")
    written = await store.append("log", b"0123456789", offset=0, etag=written.etag)
    written = await store.set_metadata("log", {"complete": "yes"})
    os.truncate(folder / "log", 4)
    blob = await store.properties("log")
    assert (blob.blob_type, blob.metadata) == ("block", {})
    with pytest.raises(WrongBlobTypeError):
        await store.append("log", b"x", offset=4, etag=blob.etag)


async def test_a_copied_folder_keeps_what_is_known(tmp_path: Path, folder: Path, store: DirectoryStore) -> None:
    """A copy that keeps the times of files keeps content types, metadata and finished logs; a log there can go on."""
    await store.put("a", b"data", content_type="text/plain", metadata={"x": "y"})
    log = await store.create_append("log")
    await store.append("log", b"one", offset=0, etag=log.etag)
    await store.set_metadata("log", {"complete": "yes"})
    shutil.copytree(folder, tmp_path / "copy")
    copy = open_store(tmp_path / "copy")
    blobs = await everything(copy.list())
    assert blobs == await everything(store.list())
    written = await copy.append("log", b"two", offset=3, etag=blobs[1].etag)
    blob = await copy.properties("log")
    assert (blob.etag, blob.size, blob.blob_type, blob.metadata) == (written.etag, 6, "append", {"complete": "yes"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"name": "a"}',
        '{"name": "b", "records": []}',
        '{"name": "a", "records": [1]}',
        '{"name": "a", "records": [{"inode": "1"}]}',
        '{"name": "a", "records": [{"metadata": [], "blob_type": "page"}]}',
    ],
)
async def test_spoilt_records_are_ignored(text: str, folder: Path, store: DirectoryStore) -> None:
    """Whatever stands in a side file, the data is there, and the next write sets it right."""
    await store.put("a", b"data", content_type="text/plain")
    (record,) = (folder / ".batch-outputs" / "records").iterdir()
    record.write_text(text)
    assert (await store.properties("a")).content_type is None
    assert await content(store, "a") == b"data"
    await store.put("a", b"data", content_type="text/plain")
    assert (await store.properties("a")).content_type == "text/plain"


# Links and other things that are no files


@needs_links
async def test_links_are_never_followed(tmp_path: Path, folder: Path, store: DirectoryStore) -> None:
    """A link is not listed, read, written through, replaced or deleted, be it a file or a folder on the way."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (folder / "leaf").symlink_to(outside / "secret")
    (folder / "way").symlink_to(outside)
    (folder / "marked").mkdir()
    (folder / "marked%").symlink_to(outside / "secret")
    (folder / "dangling").symlink_to(outside / "nothing")
    assert await everything(store.list()) == await everything(store.list_level()) == []
    for name in ("leaf", "way/secret", "marked", "dangling"):
        with pytest.raises(BlobNotFoundError):
            await store.properties(name)
        with pytest.raises(BlobNotFoundError):
            await content(store, name)
        with pytest.raises(BlobNotFoundError):
            await store.delete(name)
        with pytest.raises(BlobNotFoundError):
            await store.append(name, b"x", offset=0, etag="")
        with pytest.raises(StoreError, match="is in the way"):
            await store.put(name, b"ours")
        with pytest.raises(StoreError, match="is in the way"):
            await store.create_append(name)
    assert (outside / "secret").read_bytes() == b"secret"
    assert os.listdir(outside) == ["secret"]


@needs_links
async def test_links_in_the_private_folder_are_not_followed(
    tmp_path: Path, folder: Path, store: DirectoryStore
) -> None:
    """Neither the private folder nor its parts may lead elsewhere; a planted lock or draft is no way out."""
    (tmp_path / "victim").write_bytes(b"victim")
    await store.put("a", b"1", content_type="text/plain")
    private = folder / ".batch-outputs"
    (private / "records" / "draft").symlink_to(tmp_path / "victim")
    await store.put("a", b"2")
    (private / "lock").unlink()
    (private / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(StoreError):
        await store.put("a", b"3")
    assert (tmp_path / "victim").read_bytes() == b"victim"
    assert await content(store, "a") == b"2"

    (tmp_path / "outside").mkdir()
    private.rename(tmp_path / "moved")
    private.symlink_to(tmp_path / "outside")
    with pytest.raises(StoreError, match="is in the way"):
        await store.put("a", b"4")
    assert os.listdir(tmp_path / "outside") == []


@needs_links
async def test_a_container_that_is_a_link_is_none(tmp_path: Path, folder: Path) -> None:
    """A link beside the containers is not listed, opened or taken for a container; the root may be one."""
    (tmp_path / "other").symlink_to(folder)
    account = DirectoryStoreAccount(DirectoryAccount(tmp_path))
    assert [container.name async for container in account.list_containers()] == ["job-x"]
    with pytest.raises(ContainerNotFoundError):
        await open_store(tmp_path / "other").put("a", b"")
    with pytest.raises(StoreError, match="is in the way"):
        await account.create_container("other")
    root = tmp_path / "root"
    root.symlink_to(tmp_path)
    await open_store(root / "job-x").put("a", b"a")
    assert files_in(folder) == {"a"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs in folders")
async def test_a_pipe_is_no_blob(folder: Path, store: DirectoryStore) -> None:
    """A FIFO holds nobody up: it is not listed, not read, and in the way of a write."""
    if sys.platform != "win32":
        os.mkfifo(folder / "pipe")
    assert await names(store) == []
    with pytest.raises(BlobNotFoundError):
        await content(store, "pipe")
    with pytest.raises(StoreError, match="is in the way"):
        await store.put("pipe", b"")


# Writing


async def test_the_etag_changes_with_every_change(store: DirectoryStore) -> None:
    """The same bytes stored again, metadata, an append, a copy: each has an ETag that was never there before."""
    seen = [
        (await store.put("a", b"same")).etag,
        (await store.put("a", b"same")).etag,
        (await store.set_metadata("a", {})).etag,
        (await store.set_metadata("a", {})).etag,
        (await store.copy("a", "b")).etag,
    ]
    log = await store.create_append("log")
    seen.append(log.etag)
    for offset in range(3):
        log = await store.append("log", b"x", offset=offset, etag=log.etag)
        seen.append(log.etag)
    assert (await store.properties("log")).etag == log.etag
    seen.append((await store.create_append("log", replaces=log.etag)).etag)
    assert len(set(seen)) == len(seen)


async def test_an_append_needs_offset_and_etag(store: DirectoryStore) -> None:
    """With either one stale nothing is appended, and the answer says that the blob has changed."""
    first = await store.create_append("log", metadata={"attempt": "1"})
    second = await store.append("log", b"abc", offset=0, etag=first.etag)
    for offset, etag in ((0, first.etag), (3, first.etag), (0, second.etag), (4, second.etag)):
        with pytest.raises(BlobChangedError):
            await store.append("log", b"x", offset=offset, etag=etag)
    assert await content(store, "log") == b"abc"
    assert (await store.properties("log")).metadata == {"attempt": "1"}
    for data in (b"", bytes(PIECE + 1)):
        with pytest.raises(ValueError, match="1 byte to 4 MiB"):
            await store.append("log", data, offset=3, etag=second.etag)


async def test_files_and_logs_do_not_replace_each_other(store: DirectoryStore) -> None:
    """A put over a log, an append to a file and a create over anything are refused, and change nothing."""
    file = await store.put("file", b"file")
    log = await store.create_append("log")
    with pytest.raises(WrongBlobTypeError):
        await store.put("log", b"x")
    with pytest.raises(WrongBlobTypeError):
        await store.append("file", b"x", offset=4, etag=file.etag)
    for name in ("file", "log"):
        with pytest.raises(BlobExistsError):
            await store.create_append(name)
        with pytest.raises(BlobExistsError):
            await store.copy("file", name)
        with pytest.raises(BlobChangedError):
            await store.create_append(name, replaces="stale")
    with pytest.raises(BlobChangedError):
        await store.create_append("absent", replaces=log.etag)
    assert await names(store) == ["file", "log"]
    assert (await store.properties("log")).etag == log.etag


async def test_a_copy_is_a_blob_of_the_same_type_by_itself(store: DirectoryStore) -> None:
    """A copied log keeps bytes, type, content type and metadata, and both can be appended to without meeting."""
    log = await store.create_append("log", content_type="text/plain", metadata={"attempt": "1"})
    log = await store.append("log", b"one", offset=0, etag=log.etag)
    with pytest.raises(BlobChangedError):
        await store.copy("log", "copy", etag="stale")
    with pytest.raises(BlobNotFoundError):
        await store.copy("absent", "copy")
    copy = await store.copy("log", "copy", etag=log.etag)
    blob = await store.properties("copy")
    assert (blob.blob_type, blob.content_type, blob.metadata) == ("append", "text/plain", {"attempt": "1"})
    await store.append("copy", b"-copy", offset=3, etag=copy.etag)
    await store.append("log", b"-log", offset=3, etag=log.etag)
    assert (await content(store, "copy"), await content(store, "log")) == (b"one-copy", b"one-log")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (Source(3 * PIECE, before=[None, SourceError("changed", path="x")]), SourceError),
        (Source(3 * PIECE, before=[None, OSError(errno.EIO, "broken disk of the source")]), OSError),
        (Source(10, shown_size=11), StoreError),
        (Source(11, shown_size=10), StoreError),
    ],
)
async def test_a_source_that_fails_leaves_what_was_there(
    source: Source, error: type[Exception], folder: Path, store: DirectoryStore
) -> None:
    """Its errors come through as they are; the blob is the one from before, and nothing is left beside."""
    await store.put("a", b"before")
    with pytest.raises(error) as raised:
        await store.put("a", source)
    assert type(raised.value) is error
    assert await content(store, "a") == b"before"
    assert os.listdir(folder / ".batch-outputs" / "drafts") == []


async def test_what_appears_during_a_put_counts(folder: Path, store: DirectoryStore) -> None:
    """A log created under the same name while the content is read stands: the check is made when it matters."""

    class Slow(Source):
        def read(self, length: int, /) -> bytes:
            if self._left == self._size:
                finish(open_container(folder).create_append("a", Draft(), replaces=None))
            return super().read(length)

    with pytest.raises(WrongBlobTypeError):
        await store.put("a", Slow(10))
    assert (await store.properties("a")).blob_type == "append"


async def test_a_large_put_can_be_cancelled(folder: Path) -> None:
    """Cancelled in the middle, a put in worker threads leaves neither blob nor draft."""
    store = open_store(folder, own_thread=False)
    with anyio.CancelScope() as scope:

        class Endless(Source):
            def read(self, length: int, /) -> bytes:
                anyio.from_thread.run_sync(scope.cancel)
                return super().read(length)

        await store.put("a", Endless(40 * PIECE))
    assert scope.cancelled_caught
    assert await names(store) == []
    assert os.listdir(folder / ".batch-outputs" / "drafts") == []


async def test_drafts_of_dead_processes_are_swept(folder: Path) -> None:
    """A draft that nobody has written to for a day goes with a later put; a younger one may be in use."""
    await open_store(folder).put("a", b"")
    drafts = folder / ".batch-outputs" / "drafts"
    for name, age in (("old", 25), ("young", 23)):
        (drafts / name).write_bytes(b"")
        os.utime(drafts / name, (time.time() - age * 3600,) * 2)
    await open_store(folder).put("a", b"")
    assert os.listdir(drafts) == ["young"]


async def test_many_writers_in_one_process(folder: Path) -> None:
    """Coroutines over worker threads, and stores of one folder, exclude each other and do not hold each other up."""
    stores = [open_store(folder, own_thread=False) for _ in range(4)]
    await stores[0].create_append("log")

    async def write(number: int) -> None:
        store = stores[number % 4]
        await store.put(f"{number % 5}/x", str(number).encode())
        while True:
            blob = await store.properties("log")
            try:
                await store.append("log", f"{number}\n".encode(), offset=blob.size, etag=blob.etag)
            except BlobChangedError:
                continue
            return

    async with anyio.create_task_group() as group:
        for number in range(40):
            group.start_soon(write, number)
    assert sorted(map(int, (await content(stores[0], "log")).split())) == list(range(40))


# Reading


async def test_a_blob_comes_in_pieces_of_at_most_4_mib(store: DirectoryStore) -> None:
    """A range of any size is read without ever holding more than some pieces."""
    data = os.urandom(2 * PIECE + 5)
    await store.put("a", data)
    pieces = await everything(store.read("a", offset=1, length=2 * PIECE + 1))
    assert [len(piece) for piece in pieces] == [PIECE, PIECE, 1]
    assert b"".join(pieces) == data[1 : 2 * PIECE + 2]
    assert await everything(store.read("a", offset=len(data))) == []
    assert await everything(store.read("a", offset=5, length=0)) == []


@pytest.mark.parametrize("change", ["put", "delete", "edit", "metadata"])
async def test_a_change_midway_is_noticed(change: str, folder: Path, store: DirectoryStore) -> None:
    """With an ETag, a blob that is replaced, deleted or edited while it is read gives an error and no mixture."""
    written = await store.put("a", bytes(5 * PIECE))
    pieces = store.read("a", etag=written.etag)
    assert len(await anext(pieces)) == PIECE
    if change == "put":
        await store.put("a", bytes(5 * PIECE))
    elif change == "delete":
        await store.delete("a")
    elif change == "edit":
        (folder / "a").write_bytes(b"x" * 5 * PIECE)
    else:
        await store.set_metadata("a", {"x": "y"})
    with pytest.raises(BlobChangedError):
        await everything(pieces)


async def test_a_blob_is_read_as_it_was_opened(store: DirectoryStore) -> None:
    """Without an ETag, a reader goes on with the data that it has opened, though the blob is replaced."""
    await store.put("a", b"a" * 3 * PIECE)
    pieces = store.read("a")
    first = await anext(pieces)
    await store.put("a", b"b")
    assert first + b"".join(await everything(pieces)) == b"a" * 3 * PIECE


async def test_a_file_that_gets_shorter_midway_is_an_error(folder: Path, store: DirectoryStore) -> None:
    """Fewer bytes than the blob had are never a silent end."""
    await store.put("a", bytes(5 * PIECE))
    pieces = store.read("a")
    await anext(pieces)
    os.truncate(folder / "a", PIECE)
    with pytest.raises(StoreError, match="became shorter"):
        await everything(pieces)


async def test_a_list_bears_deletions_meanwhile(store: DirectoryStore) -> None:
    """Blobs that go while a list is read are left out, and the rest comes in order."""
    for number in range(600):
        await store.put(f"{number // 100}/{number:03}", b"")
    listed = store.list()
    first = await anext(listed)
    for number in range(300, 600):
        await store.delete(f"{number // 100}/{number:03}")
    found = [first.name, *(blob.name for blob in await everything(listed))]
    assert found == sorted(found)
    assert set(found) >= {f"{number // 100}/{number:03}" for number in range(300)}


def replace_it(container: Container) -> None:
    finish(container.put("a", b"2", Draft(metadata={"v": "2"})))


def make_it_way(container: Container) -> None:
    finish(container.put("a/b", b"", Draft()))


def replace_it_by_a_log(container: Container) -> None:
    container.delete("a", etag=None)
    finish(container.create_append("a", Draft(metadata={"v": ""}), replaces=None))


def read_with_properties(container: Container) -> None:
    for _ in range(3):
        blob = container.properties("a")
        try:
            data = b"".join(container.read("a", offset=0, length=None, etag=blob.etag))
        except BlobChangedError:
            continue
        assert blob.metadata == {"v": data.decode()}
        return
    raise AssertionError("changed once, refused thrice")


def read_listed(container: Container) -> None:
    (blob,) = (blob for blob in container.list("") if blob.name == "a")
    assert (blob.metadata, blob.size) in [({"v": "1"}, 1), ({"v": "2"}, 1), ({"v": ""}, 0)]


@pytest.mark.parametrize("change", [replace_it, make_it_way, replace_it_by_a_log])
@pytest.mark.parametrize("read", [read_with_properties, read_listed])
def test_a_reader_meets_a_writer_at_every_step(
    read: Callable[[Container], None], change: Callable[[Container], None], tmp_path: Path
) -> None:
    """Whenever between two calls of the system a blob is changed, its reader finds it, and one state of it."""
    step = 1
    while meet(tmp_path / f"c{step}", read, change, step):
        step += 1
    assert step > 4


def meet(folder: Path, read: Callable[[Container], None], change: Callable[[Container], None], step: int) -> bool:
    """Read, with a change right before system call number `step`; whether there were so many."""
    create_container(str(folder.parent), folder.name, {})
    reader, writer = open_container(folder), open_container(folder)
    finish(writer.put("a", b"1", Draft(metadata={"v": "1"})))
    calls = 0

    def hook(_frame: object, event: str, function: object) -> None:
        nonlocal calls
        if event == "c_call" and getattr(function, "__module__", "") in ("posix", "nt"):
            calls += 1
            if calls == step:
                sys.setprofile(None)
                change(writer)

    sys.setprofile(hook)
    try:
        read(reader)
    finally:
        sys.setprofile(None)
    return calls >= step


# Containers


async def test_a_missing_container_is_named_by_every_operation(tmp_path: Path) -> None:
    """Each says that there is no such folder and which command makes one, and none makes it by itself."""
    store = open_store(tmp_path / "root" / "job-x")
    operations: list[Callable[[], Awaitable[object]]] = [
        lambda: store.put("a", b""),
        lambda: store.create_append("a"),
        lambda: store.create_append("a", replaces="x"),
        lambda: store.append("a", b"x", offset=0, etag=""),
        lambda: store.properties("a"),
        lambda: content(store, "a"),
        lambda: everything(store.list()),
        lambda: everything(store.list_level("t1/")),
        lambda: store.set_metadata("a", {}),
        lambda: store.copy("a", "b"),
        lambda: store.delete("a"),
    ]
    for operation in operations:
        with pytest.raises(ContainerNotFoundError, match="batch-outputs prepare JOB") as raised:
            await operation()
        assert str(tmp_path / "root" / "job-x") in str(raised.value)
    assert os.listdir(tmp_path) == []


async def test_containers(tmp_path: Path) -> None:
    """Containers are created once, with their metadata, and listed by name; folders made by hand are among them."""
    account = DirectoryStoreAccount(DirectoryAccount(tmp_path / "some" / "root"))
    assert await everything(account.list_containers()) == []
    assert await account.create_container("job-b", metadata={"jobid": "B"})
    assert not await account.create_container("job-b", metadata={"jobid": "other"})
    for name in ("job-a", ".hidden"):
        (tmp_path / "some" / "root" / name).mkdir()
    (tmp_path / "some" / "root" / "job-file").write_bytes(b"")
    found = await everything(account.list_containers("job-"))
    assert [(container.name, container.metadata) for container in found] == [("job-a", {}), ("job-b", {"jobid": "B"})]
    assert await everything(account.list_containers("fgrp-")) == []
    with pytest.raises(StoreError, match="is in the way"):
        await account.create_container("job-file")
    store = account.open("job-b")
    await store.put("a", b"")
    assert await names(store) == ["a"]
    assert sorted(os.listdir(tmp_path / "some" / "root")) == [".hidden", "job-a", "job-b", "job-file"]
    await store.aclose()
    await account.aclose()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", ".batch-outputs", "con", "a:b", "x" * 300, "\udcff"]
)
async def test_names_that_are_no_plain_folder_are_no_containers(name: str, tmp_path: Path) -> None:
    """No container's name leads out of the root or into something else."""
    account = DirectoryStoreAccount(DirectoryAccount(tmp_path / "root"))
    with pytest.raises(InvalidNameError):
        await account.create_container(name)
    with pytest.raises(InvalidNameError):
        account.open(name)
    assert os.listdir(tmp_path) == []


# What the system refuses


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, StoreError, "the disk is full"),
        (errno.EDQUOT, StoreError, "the disk is full"),
        (errno.EACCES, AccessDeniedError, "Permission denied"),
        (errno.EROFS, AccessDeniedError, "Read-only file system"),
        (errno.ENAMETOOLONG, StoreError, "too long"),
        (errno.EIO, StoreError, "Input/output error"),
    ],
)
def test_refusals_of_the_system_are_sentences(number: int, kind: type[StoreError], words: str) -> None:
    """Each names blob, container and cause, and has the class that callers look for."""
    error = store_error(OSError(number, os.strerror(number)), "stored", place="/data/job-x", blob="t1/a")
    assert type(error) is kind
    assert words in str(error)
    assert "'t1/a' in /data/job-x could not be stored" in str(error)
    assert (error.place, error.blob) == ("/data/job-x", "t1/a")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that nobody may write to")
async def test_a_folder_that_may_not_be_written_to_is_an_error() -> None:
    """A refusal of the real system comes as `AccessDeniedError`, whoever runs the test."""
    with pytest.raises(AccessDeniedError, match="could not be stored"):
        await open_store(Path("/sys/kernel")).put("a", b"")


# Processes

CHILD = """
import random, sys
from pathlib import Path
from batch_outputs.errors import BlobChangedError
from batch_outputs.location import DirectoryAccount, StoreLocation
from batch_outputs.stores.directory.container import Container
from batch_outputs.stores.directory.records import Draft

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
container = Container(StoreLocation(DirectoryAccount(folder.parent), folder.name), str(folder))
chance = random.Random(seed)

def say(number):
    print(number, flush=True)

def put(name, data, metadata):
    return [*container.put(name, data, Draft("text/plain", metadata))][-1]
"""


def run_child(program: str, folder: Path, seed: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD + program, str(folder), str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_midway(program: str, folder: Path, seed: int) -> list[int]:
    """Let a child say some numbers, kill it without notice, and return all that it has said."""
    with run_child(program, folder, seed) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(1 + seed % 7)]
        child.kill()
        said += child.stdout.readlines()
    return [int(number) for number in said if number.endswith("\n")]


PUTS = """
for number in range(1000):
    data = bytes([number % 256]) * chance.randrange(1, 200_000)
    put("t1/x", data, {"number": str(number % 256), "size": str(len(data))})
    say(number)
    if number % 3 == 2:
        put("t1/x/y", b"", {})  # the blob has to make way
        container.delete("t1/x/y", etag=None)
        container.delete("t1/x", etag=None)
"""


def test_a_kill_leaves_a_blob_whole_or_absent(folder: Path) -> None:
    """Whenever a process dies, the blob is one that was put, with its own metadata, or it is not there."""
    found = 0
    for seed in range(12):
        assert kill_midway(PUTS, folder, seed)
        for blob in open_container(folder).list("t1/x"):
            data = b"".join(open_container(folder).read(blob.name, offset=0, length=None, etag=blob.etag))
            if blob.name == "t1/x":
                found += 1
                assert blob.content_type == "text/plain"
                assert data == bytes([int(blob.metadata["number"])]) * int(blob.metadata["size"])
    assert found
    finish(open_container(folder).put("t1/x", b"and on it goes", Draft()))


KILLS = """
import os, signal, sys
from batch_outputs.stores.directory.account import create_container

def work(container, what):
    if what == "put": [*container.put("a", b"2", Draft("text/2", {"v": "2"}))]
    if what == "make way": [*container.put("a/b", b"", Draft())]
    if what == "set_metadata": container.set_metadata("a", {"v": "new"}, etag=None)
    if what == "delete": container.delete("deep/down/blob", etag=None)
    if what == "copy": [*container.copy("log", "copy", etag=None)]
    if what == "append": container.append("log", b"two", offset=3, etag=container.properties("log").etag)
    if what == "replace": [*container.create_append("log", Draft(), replaces=container.properties("log").etag)]

def die_at(step):
    calls = 0
    def hook(frame, event, function):
        nonlocal calls
        if event == "c_call" and function.__module__ == "posix":
            calls += 1
            if calls == step:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.setprofile(hook)

root, what, step, status = str(folder.parent), sys.argv[3], 0, None
while status != 0:
    create_container(root, f"step-{step}", {})
    location = StoreLocation(DirectoryAccount(folder.parent), f"step-{step}")
    container = Container(location, os.path.join(root, f"step-{step}"))
    for name in ("a", "deep/down/blob"):
        [*container.put(name, b"1", Draft("text/1", {"v": "1"}))]
    etag = [*container.create_append("log", Draft("text/plain", {"v": "1"}), replaces=None)][-1].etag
    container.append("log", b"one", offset=0, etag=etag)
    pid = os.fork()
    if pid == 0:
        die_at(step) if step else os._exit(1)  # step 0 is killed before it begins
        work(container, what)
        sys.setprofile(None)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    step += 1
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("what", ["put", "make way", "set_metadata", "delete", "copy", "append", "replace"])
def test_a_kill_at_every_step_leaves_before_or_after(what: str, folder: Path) -> None:
    """Killed before any of its system calls, a change has happened with all that belongs to it, or not at all."""

    def state(step: int) -> list[tuple[object, ...]]:
        container = open_container(folder.parent / f"step-{step}")
        return [
            (
                blob.name,
                blob.content_type,
                blob.metadata,
                blob.blob_type,
                *container.read(blob.name, offset=0, length=None, etag=blob.etag),
            )
            for blob in container.list("")
        ]

    command = [sys.executable, "-c", CHILD + KILLS, str(folder), "0", what]
    subprocess.run(command, check=True, timeout=120)
    steps = len(os.listdir(folder.parent)) - 1
    before, after = state(0), state(steps - 1)
    assert before != after
    states = [state(step) for step in range(steps)]
    assert all(found in (before, after) for found in states)
    assert states == sorted(states, key=lambda found: found == after)
    assert steps > 15
    for step in range(steps):
        finish(open_container(folder.parent / f"step-{step}").put("a", b"on it goes", Draft()))


APPENDS = """
blob = container.properties("log")
size, etag = blob.size, blob.etag
while True:
    data = (bytes(range(251)) * 4000)[size % 251 :][: chance.randrange(1, 1_000_000)]
    etag = container.append("log", data, offset=size, etag=etag).etag
    size += len(data)
    say(size)
"""


def test_a_kill_leaves_a_correct_beginning_of_a_log(folder: Path) -> None:
    """Whenever a process dies, its log is a beginning of what it wrote, no shorter than acknowledged, and goes on."""
    container = open_container(folder)
    finish(container.create_append("log", Draft("text/plain"), replaces=None))
    size = 0
    for seed in range(12):
        acknowledged = kill_midway(APPENDS, folder, seed)
        blob = container.properties("log")
        assert (blob.blob_type, blob.content_type) == ("append", "text/plain")
        assert blob.size >= max(acknowledged) > size
        size = blob.size
    data = b"".join(container.read("log", offset=0, length=None, etag=None))
    assert data == (bytes(range(251)) * (size // 251 + 1))[:size]


COMPETING = """
for number in range(150):
    while True:
        blob = container.properties("log")
        try:
            container.append("log", f"{seed} {number}\\n".encode(), offset=blob.size, etag=blob.etag)
            break
        except BlobChangedError:
            pass
    put("shared", str(seed).encode() * 1000, {"seed": str(seed)})
"""


def test_processes_exclude_each_other(folder: Path) -> None:
    """Two processes that append to one log lose and mix nothing; each finds its own bytes in order."""
    container = open_container(folder)
    finish(container.create_append("log", Draft(), replaces=None))
    with run_child(COMPETING, folder, 1) as one, run_child(COMPETING, folder, 2) as other:
        assert (one.wait(timeout=120), other.wait(timeout=60)) == (0, 0)
    lines = b"".join(container.read("log", offset=0, length=None, etag=None)).decode().splitlines()
    for seed in (1, 2):
        assert [line for line in lines if line.startswith(f"{seed} ")] == [f"{seed} {number}" for number in range(150)]
    assert len(lines) == 300
    shared = container.properties("shared")
    data = b"".join(container.read("shared", offset=0, length=None, etag=shared.etag))
    assert data.decode() == shared.metadata["seed"] * 1000


FULL_DISK = """
import resource
from batch_outputs.errors import StoreError
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))  # the system ends the write in the middle
blob = container.properties("log")
etag = container.append("log", b"a" * 900_000, offset=0, etag=blob.etag).etag
for work in (lambda: container.append("log", b"b" * 200_000, offset=900_000, etag=etag),
             lambda: put("new", bytes(2_000_000), {})):
    try:
        work()
    except StoreError as error:
        assert "could not be" in str(error), error
    else:
        sys.exit("no error")
assert container.properties("log").etag == etag
container.append("log", b"c", offset=900_000, etag=etag)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_write_that_fails_in_the_middle_leaves_nothing(folder: Path) -> None:
    """Where only a part of an append can be written, none of it stays, and the log goes on; a put leaves nothing."""
    container = open_container(folder)
    finish(container.create_append("log", Draft(), replaces=None))
    with run_child(FULL_DISK, folder, 0) as child:
        assert child.wait(timeout=120) == 0
    assert b"".join(container.read("log", offset=0, length=None, etag=None)) == b"a" * 900_000 + b"c"
    assert [blob.name for blob in container.list("")] == ["log"]
    assert os.listdir(folder / ".batch-outputs" / "drafts") == []
