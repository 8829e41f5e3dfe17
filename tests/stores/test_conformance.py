"""What every store does, whatever is behind it: one suite for Azure Blob Storage and for folders, in all modes."""

from __future__ import annotations

import asyncio
import random
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batch_outputs.errors import (
    BlobChangedError,
    BlobExistsError,
    BlobNotFoundError,
    ContainerNotFoundError,
    WrongBlobTypeError,
)
from batch_outputs.location import AzureAccount, StoreLocation
from batch_outputs.settings import container_target
from batch_outputs.stores import open_store
from batch_outputs.stores.base import BlobPrefix, Store, StoreAccount, Written
from support.azurite import Container
from support.fault_proxy import FaultProxy
from support.stores import DIRECTORIES, LOCAL, SERVICES, AzureBackend, Backend, DirectoryBackend

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
Operation: TypeAlias = Callable[[Store, str], Awaitable[object]]


@pytest.fixture(params=[*LOCAL, *SERVICES])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Each kind of store in turn."""
    if request.param in LOCAL:
        return LOCAL[request.param](tmp_path / "outputs")
    container: Container = request.getfixturevalue("container")
    proxy: FaultProxy = request.getfixturevalue("fault_proxy")
    return SERVICES[request.param](container, proxy)


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    """The empty container."""
    store = backend.open()
    yield store
    await store.aclose()


class TornError(Exception):
    """What the source of a put raises in these tests."""


class Source:
    """Content of a put; with `torn`, the read that reaches the end raises."""

    def __init__(self, data: bytes, *, torn: bool = False) -> None:
        self.size = len(data)
        self.torn = TornError("changed while it was read") if torn else None
        self._data = data
        self._at = 0

    def read(self, length: int, /) -> bytes:
        piece = self._data[self._at : self._at + length]
        self._at += len(piece)
        if self.torn and self._at == self.size:
            raise self.torn
        return piece

    def rewind(self) -> None:
        self._at = 0


@cache
def noise(length: int) -> bytes:
    """Bytes in which no part is like another."""
    return random.Random(length).randbytes(length)  # noqa: S311 - content, not a secret


async def content(
    store: Store, name: str, *, offset: int = 0, length: int | None = None, etag: str | None = None
) -> bytes:
    """A blob's bytes; each piece on the way is checked for its size."""
    pieces = [piece async for piece in store.read(name, offset=offset, length=length, etag=etag)]
    assert all(0 < len(piece) <= 4 * MIB for piece in pieces)
    return b"".join(pieces)


async def names(store: Store, prefix: str = "") -> list[str]:
    """The names a list gives."""
    return [blob.name async for blob in store.list(prefix)]


async def level(store: Store, prefix: str = "") -> list[str]:
    """The names that one level gives; those of prefixes end with a slash."""
    entries = [entry async for entry in store.list_level(prefix)]
    assert all(isinstance(entry, BlobPrefix) == entry.name.endswith("/") for entry in entries)
    return [entry.name for entry in entries]


async def log(store: Store, name: str, data: bytes = b"", *, metadata: Mapping[str, str] | None = None) -> str:
    """Create an append blob that holds `data`, and return its ETag."""
    written = await store.create_append(name, content_type="text/plain", metadata=metadata)
    if data:
        written = await store.append(name, data, offset=0, etag=written.etag)
    return written.etag


def assert_no_secret(error: BaseException, backend: Backend) -> None:
    """Neither the text of an error nor that of its causes tells how access is had."""
    told = "".join(traceback.format_exception(error)) + repr(vars(error))
    assert not [secret for secret in backend.secrets if secret in told]


# Names


NAMES = {
    "space": "out put/a b.txt",
    "outer spaces": " lead/ trail ",
    "hash": "a#b",
    "question mark": "a?b=c&d",
    "percent": "100%",
    "percent-encoded": "%41%2F%2e%2e",
    "plus": "a+b",
    "glob": "[x]*{y}!",
    "dollar": "t1/$TaskOutput/x",
    "signs": "a&b=c;d,e@f:g~h^i`j|k<l>m",
    "quotes": 'it\'s "quoted"',
    "latin": "Größe",
    "composed": "caf\u00e9",
    "decomposed": "cafe\u0301",
    "emoji": "frame 😀.png",
    "right to left": "\u05d0\u202e\u05d1",
    "line separator": "a\u2028b",
    "one segment of 1,024": "x" * 1024,
    "one segment of 1,024, not ASCII": "ü" * 1024,
    "deep": "/".join("d" * 250),
    "empty segment": "a//b",
    "leading slash": "/a",
    "trailing slash": "a/",
    "only slashes": "//",
    "trailing dots": "a./b../c...",
    "hidden": ".batch-outputs/.x",
    "reserved": "CON/nul.txt/aux/com1.log/LPT9",
    "drive": "C:/x",
    "tab and line feed": "a\tb\nc",
}
# Azurite reads the source of a copy as a URL, in which these are steps.
NAMES_NOT_COPIED = {
    "dots": "./a/../b/..",
    "dot": ".",
    "dot dot": "..",
}
# Azure, and Azurite with it, makes a slash of a backslash; Azurite's lists lose what XML 1.0 cannot hold.
NAMES_FOR_FOLDERS = {
    "backslash": "a\\b\\..\\c",
    "control characters": "a\x00b\x1b[31m",
    "carriage return": "a\rb",
    "no character": "a\uffff",
}


def each_of(table: dict[str, str]) -> pytest.MarkDecorator:
    """Run a test for each name of a table."""
    return pytest.mark.parametrize("name", table.values(), ids=table.keys())


@each_of(NAMES | NAMES_NOT_COPIED)
async def test_a_name_is_kept(store: Store, name: str) -> None:
    """Whatever the name, each operation takes it literally, and lists give it back as it was."""
    await store.put(name, b"file", metadata={"k": "v"})
    assert await content(store, name) == b"file"
    assert (await store.properties(name)).name == name
    assert await names(store) == await names(store, name) == [name]
    await store.set_metadata(name, {"k": "w"})
    await store.delete(name)
    assert await names(store) == []
    etag = await log(store, name, b"line")
    await store.append(name, b"more", offset=4, etag=etag)
    assert await content(store, name) == b"linemore"


@each_of(NAMES)
async def test_a_name_is_copied(store: Store, name: str) -> None:
    """A copy takes the names of its source and of its target literally."""
    await store.put("file", b"file")
    await store.copy("file", name)
    await store.delete("file")
    await store.copy(name, "copy")
    assert await content(store, "copy") == b"file"
    assert await names(store) == sorted([name, "copy"])


@pytest.mark.parametrize("backend", DIRECTORIES, indirect=True)
@each_of(NAMES_NOT_COPIED | NAMES_FOR_FOLDERS)
async def test_a_name_is_kept_by_folders(store: Store, name: str) -> None:
    """A folder takes literally also what the blob service of the tests does not."""
    await test_a_name_is_copied(store, name)
    await store.delete("copy")
    await store.delete(name)
    await test_a_name_is_kept(store, name)


async def test_names_that_are_close_are_kept_apart(store: Store) -> None:
    """A blob may stand beside others whose names begin like it, or differ in case or composition only."""
    close = [
        "a",
        "a/b",
        "a/b/c",
        "a//b",
        "A",
        "A/b",
        "a/B",
        "a.",
        "a ",
        "caf\u00e9",
        "cafe\u0301",
        "%41",
        "a%2Fb",
        "x",
        "X",
    ]
    for name in close:
        await store.put(name, name.encode())
    assert await names(store) == sorted(close)
    assert [await content(store, name) for name in close] == [name.encode() for name in close]
    for name in close[::2]:
        await store.delete(name)
    assert await names(store) == sorted(close[1::2])
    assert [await content(store, name) for name in close[1::2]] == [name.encode() for name in close[1::2]]


# Atoms that mean something to a file system, a URL or a client, and any other character.
ATOMS = st.sampled_from(
    [
        "a",
        "A",
        "/",
        ".",
        "..",
        " ",
        "%41",
        "%",
        "+",
        "#",
        "?",
        "\\",
        "~",
        "$",
        ":",
        "CON",
        "é",
        "e\u0301",
        "\u00df",
        "*",
    ]
) | st.characters(codec="utf-8")
ANY_NAMES = st.lists(ATOMS, min_size=1, max_size=12).map("".join)
SERVICE_NAMES = ANY_NAMES.filter(
    lambda name: "\\" not in name and not any((c < " " and c not in "\t\n") or c in "\ufffe\uffff" for c in name)
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(names_=st.sets(ANY_NAMES, min_size=1, max_size=8))
@example(names_={"a", "a/", "a/.", "a/..", "a//", "A", "a.", "."})
async def test_any_names_live_side_by_side_in_a_folder(tmp_path: Path, names_: set[str]) -> None:
    """Any set of names is held at once, listed in order, and gone after it is deleted, also on a case-blind disk."""
    for case_blind in (None, True):
        store = DirectoryBackend(tmp_path / uuid.uuid4().hex, case_blind=case_blind).open()
        for name in names_:
            await store.put(name, name.encode())
        assert await names(store) == sorted(names_)
        assert [await content(store, name) for name in names_] == [name.encode() for name in names_]
        for name in names_:
            await store.delete(name)
        assert await names(store) == []
        await store.aclose()


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(name=SERVICE_NAMES)
@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())
async def test_any_name_reaches_the_service(
    container: Container, fault_proxy: FaultProxy, service: Callable[[Container, FaultProxy], Backend], name: str
) -> None:
    """What is put under any name is found there by azure-storage-blob, and listed under that name."""
    store = service(container, fault_proxy).open()
    await store.put(name, name.encode())
    assert name in await names(store, name)
    # The peer would read `..` as a step upwards, but lists what is there.
    assert name in container.client.list_blob_names(name_starts_with=name)
    assert await content(store, name) == name.encode()
    await store.aclose()


# Whole blobs


@pytest.mark.parametrize("size", [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB])
@pytest.mark.parametrize("form", [bytes, Source])
async def test_put_stores_all_bytes(store: Store, size: int, form: Callable[[bytes], bytes | Source]) -> None:
    """Content of any size is stored as it is, from memory and from a source."""
    data = noise(size)
    written = await store.put("x.bin", form(data), content_type="image/png", metadata={"k": "v"})
    blob = await store.properties("x.bin")
    assert (blob.size, blob.etag, blob.content_type, blob.blob_type) == (size, written.etag, "image/png", "block")
    assert dict(blob.metadata) == {"k": "v"}
    assert await content(store, "x.bin") == data


async def test_put_says_when(store: Store) -> None:
    """Written and properties agree on a time with a zone, which is now."""
    written = await store.put("x", b"")
    assert abs(datetime.now(UTC) - written.last_modified) < timedelta(seconds=30)
    assert abs((await store.properties("x")).last_modified - written.last_modified) < timedelta(seconds=1)


async def test_put_replaces(store: Store) -> None:
    """A later put leaves nothing of an earlier one: no bytes, no type, no metadata."""
    await store.put("x", noise(1000), content_type="text/plain", metadata={"old": "1"})
    await store.put("x", b"new", metadata={"new": "2"})
    blob = await store.properties("x")
    assert (blob.size, dict(blob.metadata)) == (3, {"new": "2"})
    assert blob.content_type in (None, "application/octet-stream")
    assert await content(store, "x") == b"new"


@pytest.mark.parametrize("size", [0, 5, 9 * MIB, 20 * MIB])
async def test_a_torn_source_leaves_what_was_there(store: Store, size: int) -> None:
    """When the source says at its end that it is torn, its error comes through and the store is as it was."""
    await store.put("x", b"old", metadata={"k": "v"})
    torn = Source(noise(size), torn=True)
    for name in ("x", "new"):
        with pytest.raises(TornError) as caught:
            await store.put(name, torn)
        assert caught.value is torn.torn
    assert await content(store, "x") == b"old"
    assert await names(store) == ["x"]
    assert dict((await store.properties("x")).metadata) == {"k": "v"}


@pytest.mark.parametrize("size", [3, 20 * MIB])
async def test_put_does_not_replace_a_log(store: Store, size: int) -> None:
    """A put over an append blob is refused, whole or in parts, and the log stays."""
    await log(store, "x.log", b"line")
    with pytest.raises(WrongBlobTypeError):
        await store.put("x.log", Source(noise(size)))
    assert await content(store, "x.log") == b"line"
    assert (await store.properties("x.log")).blob_type == "append"


# Reading


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (0, None),
        (0, 1),
        (3, 4),
        (9, None),
        (9, 1),
        (10, None),
        (10, 1),
        (11, None),
        (11, 5),
        (5, 100),
        (0, 100),
        (3, 0),
    ],
)
async def test_read_a_range(store: Store, offset: int, length: int | None) -> None:
    """A range gives what the blob has in it, and nothing from its end on; with the blob's ETag the same."""
    written = await store.put("x", b"0123456789")
    expected = b"0123456789"[offset : None if length is None else offset + length]
    assert await content(store, "x", offset=offset, length=length) == expected
    assert await content(store, "x", offset=offset, length=length, etag=written.etag) == expected


async def test_read_ranges_of_a_large_blob(store: Store) -> None:
    """Ranges over several pieces are exact at both ends."""
    data = noise(20 * MIB)
    await store.put("x", data)
    for offset, length in [(1, None), (4 * MIB - 1, 2), (4 * MIB, 4 * MIB), (3, 13 * MIB), (20 * MIB - 1, None)]:
        expected = data[offset : None if length is None else offset + length]
        assert await content(store, "x", offset=offset, length=length) == expected


async def test_read_nothing(store: Store) -> None:
    """Empty blobs of both types read as nothing, from the beginning and from beyond."""
    await store.put("file", b"")
    await log(store, "log")
    for name in ("file", "log"):
        assert await content(store, name) == await content(store, name, offset=5) == b""


async def test_read_with_a_stale_etag(store: Store) -> None:
    """A read that names an ETag is refused once the blob has another one."""
    stale = (await store.put("x", b"old")).etag
    await store.put("x", b"new")
    with pytest.raises(BlobChangedError):
        await content(store, "x", etag=stale)


async def test_read_of_a_blob_that_changes_midway(store: Store) -> None:
    """A read that names an ETag gives the version that it began with, whole, or says that it has changed."""
    etag = (await store.put("x", noise(20 * MIB))).etag
    pieces = aiter(store.read("x", etag=etag))
    read = [await anext(pieces)]
    await store.put("x", noise(20 * MIB + 1))
    try:
        read += [piece async for piece in pieces]
    except BlobChangedError:
        assert noise(20 * MIB).startswith(b"".join(read))
    else:
        assert noise(20 * MIB) == b"".join(read)
    with pytest.raises(BlobChangedError):
        await content(store, "x", etag=etag)


async def test_read_left_early(store: Store) -> None:
    """A reader may stop when it has seen enough, and the store goes on."""
    await store.put("x", noise(20 * MIB))
    pieces = store.read("x")
    async for piece in pieces:
        assert noise(20 * MIB).startswith(piece)
        break
    assert await content(store, "x", length=3) == noise(20 * MIB)[:3]


# Appending


async def test_append(store: Store) -> None:
    """Appends at the blob's length and on its ETag follow one another, also the largest ones."""
    pieces = [b"one\n", noise(4 * MIB), b"x"]
    etag, length = await log(store, "x.log", metadata={"attempt": "1"}), 0
    for piece in pieces:
        etag = (await store.append("x.log", piece, offset=length, etag=etag)).etag
        length += len(piece)
    blob = await store.properties("x.log")
    assert (blob.size, blob.etag, blob.blob_type, blob.content_type) == (length, etag, "append", "text/plain")
    assert dict(blob.metadata) == {"attempt": "1"}
    assert await content(store, "x.log") == b"".join(pieces)
    assert await content(store, "x.log", offset=length - 3) == b"".join(pieces)[-3:]


@pytest.mark.parametrize("offset", [0, 3, 5, 1000])
async def test_append_at_a_wrong_offset(store: Store, offset: int) -> None:
    """An append for another length than the blob's is refused, and nothing is appended."""
    etag = await log(store, "x.log", b"line")
    with pytest.raises(BlobChangedError):
        await store.append("x.log", b"more", offset=offset, etag=etag)
    assert await content(store, "x.log") == b"line"
    await store.append("x.log", b"more", offset=4, etag=etag)


async def test_append_with_a_stale_etag(store: Store) -> None:
    """The right offset is not enough: a blob that was created anew takes no append of its former writer."""
    former = await log(store, "x.log")
    await store.create_append("x.log", replaces=former)
    with pytest.raises(BlobChangedError):
        await store.append("x.log", b"late", offset=0, etag=former)
    assert await content(store, "x.log") == b""


async def test_append_to_a_file(store: Store) -> None:
    """A block blob takes no appends."""
    written = await store.put("x", b"file")
    with pytest.raises(WrongBlobTypeError):
        await store.append("x", b"more", offset=4, etag=written.etag)
    assert await content(store, "x") == b"file"


async def test_create_append_only_if_absent(store: Store) -> None:
    """Without `replaces` nothing that is there is touched, of whatever type."""
    await log(store, "x.log", b"line", metadata={"attempt": "1"})
    await store.put("file", b"file")
    for name, there in (("x.log", b"line"), ("file", b"file")):
        with pytest.raises(BlobExistsError):
            await store.create_append(name, metadata={"attempt": "2"})
        assert await content(store, name) == there
    assert dict((await store.properties("x.log")).metadata) == {"attempt": "1"}


async def test_create_append_over_the_one_expected(store: Store) -> None:
    """With `replaces`, exactly the blob of that ETag makes way, for an empty one with its own metadata."""
    etag = await log(store, "x.log", b"line", metadata={"attempt": "1", "node": "a"})
    written = await store.create_append("x.log", metadata={"attempt": "2"}, replaces=etag)
    blob = await store.properties("x.log")
    assert (blob.size, blob.etag, blob.blob_type, dict(blob.metadata)) == (0, written.etag, "append", {"attempt": "2"})
    assert await content(store, "x.log") == b""


async def test_create_append_over_another_than_expected(store: Store) -> None:
    """With `replaces`, a blob that has changed or is gone is a refusal, and stays as it is."""
    stale = await log(store, "x.log")
    current = await store.append("x.log", b"line", offset=0, etag=stale)
    with pytest.raises(BlobChangedError):
        await store.create_append("x.log", replaces=stale)
    assert await content(store, "x.log", etag=current.etag) == b"line"
    await store.delete("x.log")
    with pytest.raises(BlobChangedError):
        await store.create_append("x.log", replaces=current.etag)
    assert await names(store) == []


# Properties and metadata


async def test_etags_change_with_every_change(store: Store) -> None:
    """No two states of a blob have one ETag, not even when they come quickly and look alike; reading changes none."""
    seen = [(await store.put("x", b"same")).etag for _ in range(20)]
    seen += [(await store.set_metadata("x", {"k": "v"})).etag for _ in range(20)]
    await store.delete("x")
    seen.append(await log(store, "x"))
    for offset in range(20):
        seen.append((await store.append("x", b"y", offset=offset, etag=seen[-1])).etag)
    assert len(set(seen)) == len(seen)
    await content(store, "x")
    assert (await store.properties("x")).etag == seen[-1]
    assert [blob.etag async for blob in store.list()] == [seen[-1]]


async def test_metadata_is_replaced(store: Store) -> None:
    """Setting metadata replaces all of it and touches nothing else; the answer's ETag is the new one."""
    await store.put("x", b"file", content_type="text/plain", metadata={"old": "1"})
    written = await store.set_metadata("x", {"new_key": "some text: 'a, b'"})
    blob = await store.properties("x")
    assert (blob.etag, blob.content_type, dict(blob.metadata)) == (
        *(written.etag, "text/plain"),
        {"new_key": "some text: 'a, b'"},
    )
    assert await content(store, "x") == b"file"
    await store.set_metadata("x", {})
    assert dict((await store.properties("x")).metadata) == {}


async def test_metadata_with_an_etag(store: Store) -> None:
    """With an ETag, metadata is set only on the blob that has it."""
    first = await store.put("x", b"file", metadata={"k": "1"})
    second = await store.set_metadata("x", {"k": "2"}, etag=first.etag)
    with pytest.raises(BlobChangedError):
        await store.set_metadata("x", {"k": "3"}, etag=first.etag)
    blob = await store.properties("x")
    assert (blob.etag, dict(blob.metadata)) == (second.etag, {"k": "2"})


async def test_metadata_of_a_log(store: Store) -> None:
    """A log keeps its metadata through appends, and its bytes through new metadata, on one chain of ETags."""
    etag = await log(store, "x.log", b"one", metadata={"attempt": "1"})
    written = await store.set_metadata("x.log", {"attempt": "1", "complete": "true"}, etag=etag)
    with pytest.raises(BlobChangedError):
        await store.append("x.log", b"two", offset=3, etag=etag)
    written = await store.append("x.log", b"two", offset=3, etag=written.etag)
    blob = await store.properties("x.log")
    assert (blob.etag, blob.size, blob.blob_type) == (written.etag, 6, "append")
    assert dict(blob.metadata) == {"attempt": "1", "complete": "true"}
    assert await content(store, "x.log") == b"onetwo"


# Copying and deleting


@pytest.mark.parametrize("blob_type", ["block", "append"])
async def test_copy(store: Store, blob_type: str) -> None:
    """A copy has bytes, type, content type and metadata of its source, and lives on by itself."""
    source, target = "a b#?%41+/ü$'.txt", "c d#?%42+/ö$'.txt"
    if blob_type == "block":
        etag = (await store.put(source, noise(MIB), content_type="text/plain", metadata={"k": "v"})).etag
    else:
        etag = await log(store, source, noise(MIB), metadata={"k": "v"})
    written = await store.copy(source, target, etag=etag)
    copied = await store.properties(target)
    assert (copied.size, copied.etag, copied.content_type) == (MIB, written.etag, "text/plain")
    assert (dict(copied.metadata), copied.blob_type) == ({"k": "v"}, blob_type)
    await store.delete(source)
    assert await content(store, target) == noise(MIB)


async def test_copy_to_a_name_that_is_taken(store: Store) -> None:
    """A copy replaces nothing."""
    await store.put("x", b"source")
    await store.put("y", b"target")
    with pytest.raises(BlobExistsError):
        await store.copy("x", "y")
    with pytest.raises(BlobExistsError):
        await store.copy("x", "x")
    assert (await content(store, "x"), await content(store, "y")) == (b"source", b"target")


async def test_copy_of_a_blob_that_has_changed(store: Store) -> None:
    """A copy that names its source's ETag is refused when the source has another one."""
    stale = (await store.put("x", b"old")).etag
    await store.put("x", b"new")
    with pytest.raises(BlobChangedError):
        await store.copy("x", "y", etag=stale)
    assert await names(store) == ["x"]


async def test_delete(store: Store) -> None:
    """What is deleted is gone, whatever its type, and its name is free for the other type."""
    await store.put("x", b"file")
    await store.delete("x")
    with pytest.raises(BlobNotFoundError):
        await store.properties("x")
    etag = await log(store, "x", b"line")
    await store.delete("x", etag=etag)
    await store.put("x", b"file")
    assert await content(store, "x") == b"file"


async def test_delete_with_a_stale_etag(store: Store) -> None:
    """A delete that names an ETag spares a blob that has another one."""
    stale = (await store.put("x", b"old")).etag
    await store.put("x", b"new")
    with pytest.raises(BlobChangedError):
        await store.delete("x", etag=stale)
    assert await content(store, "x") == b"new"


# Listing


async def test_list_over_pages(backend: Backend, store: Store) -> None:
    """A list of several pages gives every blob once, in the order of the names, with all that is known of it."""
    expected = [f"{i % 7}/{i:04}" for i in range(backend.many)]
    for start in range(0, backend.many, 50):
        await asyncio.gather(
            *(
                store.put(name, name.encode(), content_type="text/plain", metadata={"name": name})
                for name in expected[start : start + 50]
            )
        )
    await log(store, "7.log", b"line", metadata={"name": "7.log"})
    blobs = [blob async for blob in store.list()]
    assert [blob.name for blob in blobs] == sorted([*expected, "7.log"])
    assert {blob.name for blob in blobs if blob.blob_type == "append"} == {"7.log"}
    for blob in blobs:
        assert (blob.content_type, dict(blob.metadata)) == ("text/plain", {"name": blob.name})
        assert blob.size == (4 if blob.name == "7.log" else len(blob.name))
    assert blobs[-1] == await store.properties("7.log")
    assert await level(store) == [*(f"{i}/" for i in range(7)), "7.log"]
    assert await level(store, "3/") == await names(store, "3/") == sorted(n for n in expected if n.startswith("3/"))


async def test_list_level_of_many_folders(backend: Backend, store: Store) -> None:
    """A level of more folders than fit on a page gives each of them once, in order."""
    for start in range(0, backend.many, 50):
        folders = range(start, min(start + 50, backend.many))
        await asyncio.gather(*(store.put(f"t{i:04}/{part}", b"") for i in folders for part in "ab"))
    assert await level(store) == [f"t{i:04}/" for i in range(backend.many)]


async def pages(store: Store, prefix: str, limit: int, *, one_level: bool) -> list[list[str]]:
    """The names of all pages."""
    found, after = [], None
    while True:
        page = await store.list_page(prefix, one_level=one_level, after=after, limit=limit)
        found.append([entry.name for entry in page.entries])
        after = page.after
        if after is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages(store: Store, limit: int) -> None:
    """Pages give each entry once and in order, none more than asked for, and only the last may be empty."""
    everything = ["a", "a b", "a-b/x", "a/1", "a/2", "a/b/3", "b/x", "c/$K/1", "c/$K/2", "c0", "d/x"]
    for name in everything:
        await store.put(name, b"")
    for prefix in ["", "a", "a/", "c/$K/", "nothing"]:
        for one_level in (False, True):
            found = await pages(store, prefix, limit, one_level=one_level)
            whole = await (level if one_level else names)(store, prefix)
            assert [name for page in found for name in page] == whole
            assert all(0 < len(page) <= limit for page in found[:-1])


async def test_a_page_behind_what_was_deleted(store: Store) -> None:
    """The next page begins where the last one ended, also when all that was on that is gone."""
    for name in ["a", "b", "c", "d"]:
        await store.put(name, b"")
    page = await store.list_page(limit=2)
    for name in ["a", "b"]:
        await store.delete(name)
    assert page.after is not None
    following = await store.list_page(after=page.after, limit=2)
    assert [entry.name for entry in following.entries] == ["c", "d"]


async def test_list_by_prefix(store: Store) -> None:
    """A prefix is text, not a folder and not a pattern: it may end inside a segment, and every character is literal."""
    everything = ["a", "a b", "a#", "a%41", "a*", "a/b", "a/bc", "a/bd/e", "aA", "b/[x]", "b/x", "t1/x", "t10/x"]
    for name in everything:
        await store.put(name, b"")
    for prefix in [
        "",
        "a",
        "a ",
        "a#",
        "a%41",
        "a*",
        "a/",
        "a/b",
        "a/bc",
        "a/bd/",
        "aA",
        "A",
        "b/[",
        "t1",
        "t1/",
        "c",
        "/",
    ]:
        assert await names(store, prefix) == sorted(name for name in everything if name.startswith(prefix))


async def test_list_one_level(store: Store) -> None:
    """One level shows blobs, and one prefix for all that lies deeper, also where names hold empty segments."""
    for name in ["a", "a/b", "a/bc", "a/bd/e", "a/bd/f/g", "a-b", "a//c", "b/c/d", "/x", "z"]:
        await store.put(name, b"")
    assert await level(store) == sorted(["/", "a", "a-b", "a/", "b/", "z"])
    assert await level(store, "a") == sorted(["a", "a-b", "a/"])
    assert await level(store, "a/") == sorted(["a//", "a/b", "a/bc", "a/bd/"])
    assert await level(store, "a/b") == sorted(["a/b", "a/bc", "a/bd/"])
    assert await level(store, "a/bd/") == ["a/bd/e", "a/bd/f/"]
    assert await level(store, "a//") == ["a//c"]
    assert await level(store, "/") == ["/x"]
    assert await level(store, "c") == await level(store, "z/") == []


async def test_list_left_early(store: Store) -> None:
    """A list may be left when enough has been seen, and the store goes on."""
    for name in "abcdef":
        await store.put(name, b"")
    listing = store.list()
    assert (await anext(aiter(listing))).name == "a"
    assert await names(store) == list("abcdef")


async def test_list_asks_page_by_page(container: Container, fault_proxy: FaultProxy) -> None:
    """What nobody asks for is not fetched: the first blob of many costs one page, or two with one ahead."""

    def pages() -> int:
        return [request.operation for request in fault_proxy.requests].count("list")

    store = AzureBackend(container, fault_proxy).open()
    for i in range(12):
        await store.put(f"{i:02}", b"")
    async for _ in store.list():
        break
    assert 1 <= pages() <= 2
    before = pages()
    await names(store)
    assert pages() - before >= 4
    await store.aclose()


# What is missing


async def _read(store: Store, name: str) -> bytes:
    return await content(store, name)


async def _read_beyond(store: Store, name: str) -> bytes:
    return await content(store, name, offset=5)


ON_A_BLOB: dict[str, Operation] = {
    "append": lambda store, name: store.append(name, b"x", offset=0, etag='"0x0"'),
    "properties": lambda store, name: store.properties(name),
    "read": _read,
    "read beyond": _read_beyond,
    "set_metadata": lambda store, name: store.set_metadata(name, {"k": "v"}),
    "copy": lambda store, name: store.copy(name, "target"),
    "delete": lambda store, name: store.delete(name),
}
ON_A_CONTAINER: dict[str, Operation] = ON_A_BLOB | {
    "put": lambda store, name: store.put(name, b"x"),
    "put a large source": lambda store, name: store.put(name, Source(noise(20 * MIB))),
    "create_append": lambda store, name: store.create_append(name),
    "list": names,
    "list_level": level,
}


@pytest.mark.parametrize("operation", ON_A_BLOB.values(), ids=ON_A_BLOB.keys())
async def test_missing_blob(backend: Backend, store: Store, operation: Operation) -> None:
    """Whatever needs a blob says which one is not there, and where; nothing comes into being."""
    with pytest.raises(BlobNotFoundError, match="lost") as caught:
        await operation(store, "lost")
    assert (caught.value.blob, caught.value.place) == ("lost", store.location.place)
    assert_no_secret(caught.value, backend)
    assert await names(store) == []


@pytest.mark.parametrize("operation", ON_A_CONTAINER.values(), ids=ON_A_CONTAINER.keys())
async def test_missing_container(backend: Backend, operation: Operation) -> None:
    """Every operation says which container is not there, and creates none."""
    store = backend.open_missing()
    try:
        for _ in range(2):
            with pytest.raises(ContainerNotFoundError, match="job-missing") as caught:
                await operation(store, "x")
            assert caught.value.place == store.location.place
            assert_no_secret(caught.value, backend)
    finally:
        await store.aclose()


async def test_no_secret_is_shown(backend: Backend, store: Store) -> None:
    """Neither a store nor an account shows in its text how access is had."""
    account = backend.open_account()
    told = repr(store) + repr(account) + repr(store.location) + store.location.place + store.location.url
    assert not [secret for secret in backend.secrets if secret in told]
    await account.aclose()


# Many at once


async def test_many_puts_at_once(store: Store) -> None:
    """Fifty puts at once are fifty whole blobs."""
    await asyncio.gather(*(store.put(f"{i}", noise(1000 + i)) for i in range(50)))
    assert len(await names(store)) == 50
    read = await asyncio.gather(*(content(store, f"{i}") for i in range(50)))
    assert read == [noise(1000 + i) for i in range(50)]


async def test_many_puts_of_one_name(store: Store) -> None:
    """Of many puts to one name, one is there in the end, whole, with its own metadata."""
    await asyncio.gather(*(store.put("x", Source(noise(1000 + i)), metadata={"i": f"{i}"}) for i in range(20)))
    blob = await store.properties("x")
    assert await content(store, "x") == noise(1000 + int(blob.metadata["i"]))


async def test_one_of_two_appenders_wins(backend: Backend, store: Store) -> None:
    """Of two appends to one offset, from two stores, one is carried out and the other refused; nothing is mixed."""
    other = backend.open()
    etag, expected = await log(store, "x.log"), b""
    for offset in range(0, 40, 4):
        results = await asyncio.gather(
            store.append("x.log", b"one\n", offset=offset, etag=etag),
            other.append("x.log", b"two\n", offset=offset, etag=etag),
            return_exceptions=True,
        )
        (won,) = (result for result in results if isinstance(result, Written))
        (lost,) = (result for result in results if isinstance(result, BaseException))
        assert isinstance(lost, BlobChangedError)
        etag, expected = won.etag, expected + (b"one\n" if won is results[0] else b"two\n")
    assert await content(store, "x.log") == expected
    await other.aclose()


async def test_one_of_many_creators_wins(backend: Backend, store: Store) -> None:
    """Of several that create one log at once, exactly one has done it."""
    stores = [backend.open() for _ in range(8)]
    results = await asyncio.gather(
        *(creator.create_append("x.log", metadata={"i": f"{i}"}) for i, creator in enumerate(stores)),
        return_exceptions=True,
    )
    (winner,) = (i for i, result in enumerate(results) if isinstance(result, Written))
    assert sum(isinstance(result, BlobExistsError) for result in results) == 7
    assert (await store.properties("x.log")).metadata["i"] == f"{winner}"
    for creator in stores:
        await creator.aclose()


# Accounts


@pytest.fixture
async def account(backend: Backend) -> AsyncIterator[StoreAccount]:
    """The account that the container is in."""
    account = backend.open_account()
    yield account
    await account.aclose()


async def test_account_creates_and_opens_containers(backend: Backend, account: StoreAccount) -> None:
    """A container is created once, keeps its metadata, and opens as a store of the same place."""
    name = f"job-{uuid.uuid4().hex}"
    assert account.account == backend.account
    assert await account.create_container(name, metadata={"batch_outputs_job_id": "My_Job:1"}) is True
    store = account.open(name)
    await store.put("t1/$TaskOutput/x", b"data")
    assert await account.create_container(name, metadata={"other": "1"}) is False
    (found,) = [container async for container in account.list_containers(name)]
    assert (found.name, dict(found.metadata)) == (name, {"batch_outputs_job_id": "My_Job:1"})
    assert abs(datetime.now(UTC) - found.last_modified) < timedelta(seconds=30)
    assert store.location == StoreLocation(backend.account, name)
    assert await content(store, "t1/$TaskOutput/x") == b"data"
    await store.aclose()


async def test_account_deletes_containers(account: StoreAccount) -> None:
    """A container goes with all that is in it, and the others stay."""
    name = f"job-{uuid.uuid4().hex}"
    for other in (name, f"{name}-2"):
        await account.create_container(other)
        store = account.open(other)
        await store.put("t1/$TaskOutput/a/b", b"data")
        await store.aclose()
    assert await account.delete_container(name) is True
    assert await account.delete_container(name) is False
    assert [found.name async for found in account.list_containers(name)] == [f"{name}-2"]


async def test_account_lists_containers(account: StoreAccount) -> None:
    """Containers are listed over several pages, in order, by the beginning of their name."""
    run = f"job-{uuid.uuid4().hex}"
    created = [f"{run}-{i}" for i in range(8)]
    for name in reversed(created):
        await account.create_container(name)
    assert [found.name async for found in account.list_containers(f"{run}-")] == created
    assert [found.name async for found in account.list_containers(f"{run}-3")] == [f"{run}-3"]
    assert [found async for found in account.list_containers(f"{run}-x")] == []


async def test_account_gives_urls_that_open(account: StoreAccount) -> None:
    """The URL of a container that is yet to be created leads to it afterwards, and gives the access it is to give."""
    name = f"job-{uuid.uuid4().hex}"
    url = await account.signed_url(name, permissions="rcwl", expires=datetime.now(UTC) + timedelta(hours=1))
    await account.create_container(name)
    location = container_target(url).location(None)
    assert location.container == name
    if isinstance(location.account, AzureAccount):
        store = open_store(location)
        await store.put("x", b"data")
        assert await content(store, "x") == b"data"
        await store.aclose()


async def test_account_opens_what_is_missing(account: StoreAccount) -> None:
    """Opening makes no request: that a container is missing shows when it is used."""
    store = account.open("job-missing")
    with pytest.raises(ContainerNotFoundError):
        await store.properties("x")
    await store.aclose()
