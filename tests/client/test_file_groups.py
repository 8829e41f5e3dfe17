"""File groups: uploaded under the right names, once, downloaded into the folder only, listed and deleted."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from batch_outputs.client import FileGroup, GroupProgress, file_group_container_name, list_file_groups
from batch_outputs.client.group_uploads import Upload
from batch_outputs.client.group_work import Work
from batch_outputs.errors import (
    AccessDeniedError,
    BlobNotFoundError,
    ConfigurationError,
    ContainerNotFoundError,
    InvalidNameError,
    SourceError,
    SourceNotFoundError,
)
from batch_outputs.settings import Target, container_target
from batch_outputs.sources import Source
from support.azurite import Azurite
from support.memory_store import MemoryAccount

pytestmark = pytest.mark.anyio

FILES = ("data/top.csv", "data/a/1.png", "data/a/2.png", "data/b/1.png", "data/b/deep/.hidden", "other/top.csv")
UNREACHABLE = "https://acct.blob.invalid"


@pytest.fixture
def group_name() -> str:
    """A group that no other test knows, and whose name the rule has to change."""
    return f"G_{uuid.uuid4().hex[:12]}"


@pytest.fixture(params=["folder", "azure"])
async def group(request: pytest.FixtureRequest, tmp_path: Path, group_name: str) -> AsyncIterator[FileGroup]:
    """A group that is not there yet: in a folder, then in an account of a blob service."""
    if request.param == "folder":
        opened = FileGroup.from_account_url((tmp_path / "account").as_uri(), group_name)
    else:
        azurite: Azurite = request.getfixturevalue("azurite")
        opened = FileGroup.from_connection_string(azurite.connection_string, group_name)
    async with opened:
        yield opened


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with files to upload; each holds its own path."""
    folder = tmp_path / "here"
    for name in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.chdir(folder)
    return folder


async def names(group: FileGroup, *patterns: str) -> list[str]:
    return [file.name async for file in group.list(*patterns)]


def modified(path: Path) -> str:
    """A file's time of modification as the CLI's extension wrote it."""
    return str(os.path.getmtime(path))


def everything(folder: Path) -> dict[str, str]:
    """The files below a folder, with what is in them."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("sources", "options", "expected"),
    [
        (["data"], {}, {"top.csv"}),
        (["data/"], {"recursive": True}, {"top.csv", "a/1.png", "a/2.png", "b/1.png", "b/deep/.hidden"}),
        (["data/a/1.png", "other/top.csv"], {}, {"1.png", "top.csv"}),
        (["data/**/*.png"], {}, {"a/1.png", "a/2.png", "b/1.png"}),
        (["data/[ab]/1.png"], {}, {"a/1.png", "b/1.png"}),
        (["data/a/*.png", "other"], {"remote_path": "/x/y/"}, {"x/y/1.png", "x/y/2.png", "x/y/top.csv"}),
        (["data/a"], {"recursive": True, "flatten": True, "remote_path": "x"}, {"x/1.png", "x/2.png"}),
        (["data/**/2.png", "other/**"], {"flatten": True}, {"2.png", "top.csv"}),
    ],
)
async def test_names(group: FileGroup, sources: list[str], options: dict[str, object], expected: set[str]) -> None:
    """Names are relative to the folder or to the one before the first wildcard, and the group makes itself."""
    assert not await group.exists()
    done = await group.upload(*sources, **options)  # type: ignore[arg-type]
    assert set(done.moved) == expected == set(await names(group))
    assert await group.exists()


async def test_what_is_unchanged_is_left_alone(group: FileGroup, here: Path) -> None:
    """A file goes again when its time or its length differs, and only then; progress tells which."""
    told: list[GroupProgress] = []
    await group.upload("data/a")
    before = {file.name: file.last_modified async for file in group.list()}
    os.utime(here / "data/a/1.png", (1_600_000_000, 1_600_000_000.25))
    second = await group.upload("data/a", "data/top.csv", on_progress=told.append)
    assert (second.moved, second.unchanged) == (("1.png", "top.csv"), ("2.png",))
    assert second.size == len("data/a/1.png") + len("data/top.csv")
    assert {(one.name, one.unchanged) for one in told} == {("1.png", False), ("top.csv", False), ("2.png", True)}
    assert [(one.files, one.total_files) for one in told] == [(1, 3), (2, 3), (3, 3)]
    (here / "data/a/1.png").write_text("of another length")
    os.utime(here / "data/a/1.png", (1_600_000_000, 1_600_000_000.25))
    assert (await group.upload("data/a")).moved == ("1.png",)
    after = {file.name: file async for file in group.list()}
    assert after["2.png"].last_modified == before["2.png"]
    assert after["1.png"].source_modified == datetime.fromtimestamp(1_600_000_000.25, UTC)
    assert after["1.png"].content_type == "image/png"


async def test_time_as_the_azure_cli_keeps_it(azurite: Azurite, here: Path, group_name: str) -> None:
    """The metadata is `lastmodified`, the time as Python writes it, and what the CLI has uploaded is left alone."""
    path = here / "data/top.csv"
    container = azurite.new_container(file_group_container_name(group_name)).client
    kept = {"lastmodified": modified(path)}
    container.upload_blob("top.csv", path.read_bytes(), metadata=kept)
    async with FileGroup.from_connection_string(azurite.connection_string, group_name) as group:
        assert (await group.upload("data", "data/a/1.png")).moved == ("1.png",)
    metadata = container.get_blob_client("1.png").get_blob_properties().metadata
    assert metadata == {"lastmodified": modified(here / "data/a/1.png")}


async def test_many(group: FileGroup, here: Path) -> None:
    """Of many files all are uploaded, and none of them a second time."""
    for number in range(120):
        (here / f"data/a/{number:03}.txt").write_text(str(number))
    assert len((await group.upload("data/a/*.txt")).moved) == 120
    (here / "data/a/060.txt").write_text("changed")
    again = await group.upload("data/a/*.txt")
    assert (again.moved, len(again.unchanged)) == (("060.txt",), 119)


@pytest.mark.parametrize("number", [1, 60])
async def test_a_group_larger_than_what_is_listed(here: Path, number: int) -> None:
    """In a group too large to be listed for a few files, those are looked at one by one, and still left alone."""
    account = MemoryAccount("fgrp-x")
    store = account.open("fgrp-x")
    for other in range(11_000):
        await store.put(f"m{other:05}", b"")
    paths = [here / f"{place}{index:02}" for place in "az" for index in range(number)]
    for path in paths:
        path.write_text("x")

    async def upload() -> tuple[int, int]:
        work = Work()
        uploading = Upload(store, work)
        await uploading.look(None, len(paths))
        for path in paths:
            await uploading.put(Source(str(path), path.name))
        return len(work.transfer.moved), len(work.transfer.unchanged)

    assert await upload() == (2 * number, 0)
    assert await upload() == (0, 2 * number)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("sources", "options", "error", "part"),
    [
        (["data"], {"recursive": True, "flatten": True}, InvalidNameError, "--flatten"),
        (["data/top.csv", "other/top.csv"], {}, InvalidNameError, "saved as top.csv; upload one of them below"),
        (["data/nothing.txt", "data/top.csv"], {}, SourceNotFoundError, "There is no file data/nothing.txt"),
        (["data/b/deep", "data/*.gif"], {}, SourceNotFoundError, r"No file matches data/\*.gif"),
        (["."], {}, SourceNotFoundError, "--recursive"),
        (["data"], {"remote_path": "../up"}, InvalidNameError, "no folder of a group"),
        (["data"], {"remote_path": "a//b"}, InvalidNameError, "no folder of a group"),
        (["data"], {"remote_path": "x" * 1020}, InvalidNameError, "1,024"),
        ([], {}, ValueError, "no source"),
    ],
)
async def test_nothing_half_done(
    sources: Sequence[str], options: dict[str, object], error: type[Exception], part: str
) -> None:
    """What cannot be uploaded as a whole is refused before any request: here, each of them would fail."""
    async with FileGroup.from_account_url(UNREACHABLE, "data", credential="sig=none&sv=1&se=2&sp=rw") as group:
        with pytest.raises(error, match=part):
            await group.upload(*sources, **options)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "win32", reason="links are for administrators")
async def test_one_that_fails(group: FileGroup, here: Path) -> None:
    """A file that cannot be read is named, and all others are uploaded."""
    (here / "data/a/0.png").symlink_to("nowhere")
    with pytest.raises(ExceptionGroup) as failed:
        await group.upload("data/a/0.png", "data/a")
    assert [type(error) for error in failed.value.exceptions] == [SourceError]
    assert await names(group) == ["1.png", "2.png"]


async def test_the_store_in_the_folder_is_not_uploaded(here: Path, group_name: str) -> None:
    """Uploading the folder that the groups themselves lie in does not upload the groups."""
    async with FileGroup.from_account_url((here / "account").as_uri(), group_name) as group:
        await group.upload(".", recursive=True)
        again = await group.upload(".", recursive=True)
        assert (again.moved, set(again.unchanged)) == ((), set(FILES))


@pytest.mark.usefixtures("here")
class TestDownloads:
    async def test_a_round_trip(self, group: FileGroup, tmp_path: Path) -> None:
        """What was uploaded comes down as it was, and a second time is left alone."""
        await group.upload("data", recursive=True)
        first = await group.download(tmp_path / "copy")
        assert everything(tmp_path / "copy") == everything(Path("data"))
        assert len(first.moved) == 5
        again = await group.download(tmp_path / "copy")
        assert (again.moved, again.unchanged) == ((), first.moved)

    @pytest.mark.parametrize(
        ("patterns", "expected"),
        [
            (["a"], {"a/1.png", "a/2.png"}),
            (["a/*.png", "top.csv"], {"a/1.png", "a/2.png", "top.csv"}),
            (["./b/**"], {"b/1.png"}),
            (["**/1.png"], {"a/1.png", "b/1.png"}),
            (["b/deep/.hidden"], {"b/deep/.hidden"}),
        ],
    )
    async def test_patterns(self, group: FileGroup, tmp_path: Path, patterns: list[str], expected: set[str]) -> None:
        """Only what matches comes down, and the same is listed."""
        await group.upload("data", recursive=True)
        told: list[GroupProgress] = []
        done = await group.download(tmp_path / "copy", *patterns, on_progress=told.append)
        assert set(everything(tmp_path / "copy")) == expected == set(done.moved) == set(await names(group, *patterns))
        assert {one.name for one in told} == expected
        assert told[-1].total_files in {None, len(expected)}

    async def test_what_is_not_there(self, group: FileGroup, tmp_path: Path) -> None:
        """A group that is missing, and a pattern that nothing matches, are named; an empty group is no error."""
        with pytest.raises(ContainerNotFoundError, match=f"no file group {group.group}"):
            await group.download(tmp_path / "copy")
        assert await group.create_container()
        assert not await group.create_container()
        assert (await group.download(tmp_path / "copy")).moved == ()
        with pytest.raises(BlobNotFoundError, match="Nothing in the file group"):
            await group.download(tmp_path / "copy", "*.png")
        assert not (tmp_path / "copy").exists()

    @pytest.mark.skipif(sys.platform == "win32", reason="names as POSIX has them")
    async def test_hostile_names(self, azurite: Azurite, tmp_path: Path, group_name: str) -> None:
        """Whatever files of a group are called, they come down inside the folder or are refused."""
        container = azurite.new_container(file_group_container_name(group_name))
        hostile = {"../../up": "%2E%2E/%2E%2E/up", "/etc/x": "%/etc/x", "a//b": "a/%/b", "line\nend": "line%0Aend"}
        for name in (*hostile, "link/x", "both", "both/x"):
            url = f"{container.url}/{quote(name, safe='')}?{container.sas()}"
            headers = {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2021-12-02"}
            with urlopen(Request(url, name.encode(), headers, method="PUT")) as answer:  # noqa: ASYNC210, S310
                assert answer.status == 201
        folder, outside = tmp_path / "in/copy", tmp_path / "outside"
        folder.mkdir(parents=True)
        outside.mkdir()
        (folder / "link").symlink_to(outside)
        async with FileGroup.from_connection_string(azurite.connection_string, group_name) as group:
            with pytest.raises(ExceptionGroup) as failed:
                await group.download(folder)
        problems = sorted(str(error) for error in failed.value.exceptions)
        assert len(problems) == 2
        assert "is a symbolic link" in problems[0]
        assert problems[1].startswith("both is a file and also the folder of others, and")
        assert everything(folder) == {**{path: name for name, path in hostile.items()}, "both/x": "both/x"}
        assert list(outside.iterdir()) == []
        assert {*os.listdir(tmp_path)} == {"here", "in", "outside"}


@pytest.mark.usefixtures("here")
async def test_deletion(group: FileGroup) -> None:
    """What matches goes and nothing else, unless it was stored anew since; then the whole group."""
    await group.upload("data", recursive=True)
    longest = max([file.last_modified async for file in group.list()])
    assert (await group.delete("a", until=datetime(2020, 1, 1, tzinfo=UTC))).files == 0
    done = await group.delete("a", "**/.hidden", until=longest)
    assert (done.files, done.size) == (3, 2 * len("data/a/1.png") + len("data/b/deep/.hidden"))
    assert await names(group) == ["b/1.png", "top.csv"]
    with pytest.raises(ValueError, match="delete_container"):
        await group.delete()
    await group.delete_container()
    assert not await group.exists()
    for missing in (group.delete_container(), group.delete("a")):
        with pytest.raises(ContainerNotFoundError, match="no file group"):
            await missing


async def test_which_groups_there_are(azurite: Azurite, tmp_path: Path) -> None:
    """Groups are listed under the names they were given, those made by others under what leads to their container."""
    run = uuid.uuid4().hex[:8]
    for account in (Target(azurite.account), FileGroup.from_account_url(tmp_path.as_uri(), "x")._target):
        given = {f"{run}_A", f"{run}-plain"}
        for name in given:
            async with FileGroup.at(account, name) as group:
                await group.create_container()
        found = {group.container: group.group async for group in list_file_groups(account, prefix=run)}
        assert set(found.values()) == given
        assert all(file_group_container_name(name) == container for container, name in found.items())
    azurite.service.create_container(f"fgrp-{run}-cli")
    listed = [group.group async for group in list_file_groups(Target(azurite.account), prefix=f"{run}-c")]
    assert listed == [f"{run}-cli"]


@pytest.mark.usefixtures("here")
async def test_access_to_one_container(azurite: Azurite, group_name: str, tmp_path: Path) -> None:
    """A SAS of a group's container serves this group once it is there, and no other; a refusal is said once."""
    container = azurite.container(file_group_container_name(group_name))
    target = container_target(container.sas_url())
    with pytest.raises(ConfigurationError, match="configure the account"):
        FileGroup.at(target, "other")
    with pytest.raises(ConfigurationError, match="configure the account"):
        _ = [group async for group in list_file_groups(target)]
    async with FileGroup.at(target, group_name) as group:
        with pytest.raises(AccessDeniedError, match="account SAS"):
            await group.upload("data")
        azurite.new_container(container.name)
        await group.upload("data", recursive=True)
        assert len((await group.download(tmp_path / "copy")).moved) == 5
    async with FileGroup.at(container_target(container.sas_url("rl")), group_name) as group:
        with pytest.raises(ExceptionGroup) as failed:
            await group.upload("data", recursive=True, remote_path="new")
        assert [type(error) for error in failed.value.exceptions] == [AccessDeniedError]
