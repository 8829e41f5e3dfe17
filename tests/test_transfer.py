"""Saving and fetching many at once: the quick way may fail at any time, and nothing is lost by that."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batch_outputs import SaveProgress, TaskOutputStorage
from batch_outputs.errors import AccessDeniedError, SourceNotFoundError, StoreUnavailableError
from batch_outputs.failures import Failures
from batch_outputs.fetching_at_once import Fetched
from batch_outputs.fetching_many import Placed, fetch_all
from batch_outputs.outputs import OutputFileReference
from batch_outputs.transfer import Quickly, for_each_listed, for_each_quickly
from support.azurite import Container
from support.command import wait_until
from support.crews import in_one
from support.fault_proxy import FaultProxy
from support.faults import answer_before, flip_answer, half_answer

pytestmark = pytest.mark.anyio

SOON = 10.0
MIB = 1 << 20


@pytest.fixture
async def task(url: str) -> AsyncIterator[TaskOutputStorage]:
    """The outputs of a task, in a folder and on a blob service."""
    async with TaskOutputStorage.from_container_url(url, "t1") as storage:
        yield storage


@pytest.fixture
async def proxied(container: Container, fault_proxy: FaultProxy) -> AsyncIterator[TaskOutputStorage]:
    """The outputs of a task behind the fault proxy."""
    async with TaskOutputStorage.from_container_url(fault_proxy.through(container.sas_url()), "t1") as storage:
        yield storage


def some_files(folder: Path, count: int, size: int = 0) -> dict[str, bytes]:
    """So many files in a new folder, by name."""
    folder.mkdir()
    contents = {f"{number:03}": f"{number}".encode() + bytes(size) for number in range(count)}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, (1, 1))
    return contents


async def stored(task: TaskOutputStorage) -> dict[str, bytes]:
    """What is stored of a task, by name."""
    return {output.name: await output.read_bytes() async for output in task.list_outputs()}


def there(folder: Path) -> dict[str, bytes]:
    """What is in a folder, hidden files too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def crew_threads() -> int:
    """How many threads of crews there are."""
    return sum(thread.name == "batch-outputs-crew" for thread in threading.enumerate())


def if_odd(item: int) -> int | None:
    """A quick way that does half of the work."""
    return item if item % 2 else None


class TestForEach:
    async def test_what_is_left(self) -> None:
        """What the quick way has not done, or failed at, is left for the ordinary one, once, and all else is told."""
        told: list[int] = []

        def work(item: int) -> int | None:
            if item % 5 == 0:
                raise OSError
            return item if item % 5 > 2 else None

        left = await for_each_quickly(range(100), Quickly(in_one(work), lambda item, _: told.append(item)))
        assert sorted(told) == [item for item in range(100) if item % 5 > 2]
        assert sorted(left) == [item for item in range(100) if item % 5 <= 2]

    @pytest.mark.parametrize("ahead", [0, 3, 1000])
    async def test_while_it_is_listed(self, ahead: int) -> None:
        """Each item of a listing is done once, in one way or the other, however few may be listed ahead."""
        quick: Counter[int] = Counter()
        ordinary: Counter[int] = Counter()

        async def listing() -> AsyncIterator[int]:
            for item in range(100):
                yield item

        async def action(item: int) -> None:
            await asyncio.sleep(0)
            ordinary.update([item])

        def note(item: int, result: int) -> None:
            quick.update([item])

        problems = await for_each_listed(listing(), action, ahead=ahead, quickly=Quickly(in_one(if_odd), note))
        assert problems == []
        assert quick == Counter(range(1, 100, 2))
        assert ordinary == Counter(range(0, 100, 2))

    async def test_a_listing_that_fails(self) -> None:
        """When the listing fails what was listed before is done, and its error is among the problems."""
        done: list[int] = []

        async def listing() -> AsyncIterator[int]:
            for item in range(10):
                yield item
            raise ZeroDivisionError

        async def action(item: int) -> None:
            done.append(item)

        def note(item: int, result: int) -> None:
            done.append(item)

        [problem] = await for_each_listed(listing(), action, quickly=Quickly(in_one(if_odd), note))
        assert isinstance(problem, ZeroDivisionError)
        assert sorted(done) == [*range(10)]

    async def test_what_is_hopeless(self) -> None:
        """Once too much has failed, neither way begins anything more, and no thread is left."""
        failures = Failures()
        begun: list[int] = []

        async def listing() -> AsyncIterator[int]:
            for item in range(100_000):
                yield item
                await asyncio.sleep(0)

        async def action(item: int) -> None:
            begun.append(item)
            raise StoreUnavailableError("nobody there", place="x")

        def note(item: int, result: int) -> None:
            raise AssertionError(item)

        quickly = Quickly(in_one(lambda item: if_odd(2 * item)), note)
        await for_each_listed(listing(), action, ahead=1000, failures=failures, quickly=quickly)
        assert failures.are_hopeless
        assert 17 <= len(begun) < 100
        assert crew_threads() == 0


class TestSaveAll:
    async def test_a_callback_that_raises(
        self, task: TaskOutputStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A progress callback that raises is logged, each time; all files are saved, and each is told of once."""
        contents = some_files(tmp_path / "files", 40)
        told: list[SaveProgress] = []

        def note(progress: SaveProgress) -> None:
            told.append(progress)
            raise ZeroDivisionError

        with caplog.at_level(logging.ERROR):
            saved = await task.save_all("TaskOutput", "*", base=tmp_path / "files", on_progress=note)
        assert [output.name for output in saved] == sorted(contents)
        assert await stored(task) == contents
        assert [progress.files for progress in told] == [*range(1, 41)]
        assert {progress.output.name for progress in told} == set(contents)
        assert told[-1].size == sum(map(len, contents.values()))
        assert sum("on_progress" in record.message for record in caplog.records) == 40

    async def test_what_is_said(self, task: TaskOutputStorage, tmp_path: Path) -> None:
        """Of many files those that cannot be saved are said, with the patterns that led to nothing, in one group."""
        contents = some_files(tmp_path / "files", 10)
        with pytest.raises(ExceptionGroup) as caught:
            await task.save_all("TaskOutput", *contents, "missing", base=tmp_path / "files")
        assert [type(error) for error in caught.value.exceptions] == [SourceNotFoundError]
        assert await stored(task) == contents

    async def test_a_refusal_of_all(self, container: Container, tmp_path: Path) -> None:
        """Where nothing may be saved, there is an error for each file, as with few of them."""
        some_files(tmp_path / "files", 6)
        async with TaskOutputStorage.from_container_url(container.sas_url("r"), "t1") as task:
            with pytest.raises(ExceptionGroup) as caught:
                await task.save_all("TaskOutput", "*", base=tmp_path / "files")
        assert [type(error) for error in caught.value.exceptions] == [AccessDeniedError] * 6

    async def test_cancelled(self, proxied: TaskOutputStorage, fault_proxy: FaultProxy, tmp_path: Path) -> None:
        """Cancelled while the service is busy, it ends soon, without a thread, and sends nothing more."""
        some_files(tmp_path / "files", 40)
        fault_proxy.fault(answer_before(503), on="put", times=None)
        saving = asyncio.ensure_future(proxied.save_all("TaskOutput", "*", base=tmp_path / "files"))
        await asyncio.to_thread(fault_proxy.wait_fired, 3)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(saving, 2.0)
        assert crew_threads() == 0
        await asyncio.sleep(0.1)  # what was sent before may not have been seen yet
        sent = len(fault_proxy.requests)
        await asyncio.sleep(0.3)
        assert len(fault_proxy.requests) == sent

    async def test_a_large_one_into_a_folder(self, tmp_path: Path) -> None:
        """Cancelled while a very large file is copied, it ends before the copy does, and leaves no draft of it."""
        (tmp_path / "store").mkdir()
        some_files(tmp_path / "files", 5)
        large = tmp_path / "files" / "large"
        large.touch()
        os.truncate(large, 4 << 30)  # without any content on the disk
        os.utime(large, (1, 1))
        async with TaskOutputStorage.from_container_url((tmp_path / "store").as_uri(), "t1") as task:
            saving = asyncio.ensure_future(task.save_all("TaskOutput", "*", base=tmp_path / "files"))
            await asyncio.to_thread(wait_until, lambda: [*(tmp_path / "store").rglob("drafts/*")])
            saving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(saving, SOON)
        assert [*(tmp_path / "store").rglob("drafts/*")] == []


class TestFetch:
    @pytest.mark.parametrize("size", [1000, 3 * MIB, 20 * MIB])
    async def test_a_callback_that_raises(self, task: TaskOutputStorage, tmp_path: Path, size: int) -> None:
        """What a progress callback raises comes out of the fetch, soon, and the next fetch completes the file."""
        content = os.urandom(size)
        output = await task.save_bytes("TaskOutput", content, "a.bin")
        told: list[int] = []

        def note(more: int) -> None:
            told.append(more)
            if len(told) == 1:
                raise ZeroDivisionError

        target = tmp_path / "target" / "a.bin"
        with pytest.raises(ZeroDivisionError):
            await output.fetch(target, on_bytes=note)
        assert not target.exists()
        assert (await output.fetch(target)).size == size
        assert there(target.parent) == {"a.bin": content}

    @pytest.mark.parametrize("fault", [half_answer, flip_answer, answer_before(503), answer_before(403)])
    async def test_many_with_faults(
        self, proxied: TaskOutputStorage, fault_proxy: FaultProxy, tmp_path: Path, fault: object
    ) -> None:
        """Where the quick way meets torn, wrong and refused answers, each file is there in the end, whole and right."""
        contents = some_files(tmp_path / "files", 30, 3000)
        contents |= {"big": os.urandom(2 * MIB), "bigger": os.urandom(9 * MIB), "empty": b""}
        for name, content in contents.items():
            (tmp_path / "files" / name).write_bytes(content)
        await proxied.save_all("TaskOutput", "*", base=tmp_path / "files")
        faults = [
            fault_proxy.fault(fault, on="read", blob=f"t1/$TaskOutput/{name}", times=1)  # type: ignore[arg-type]
            for name in ("000", "003", "007", "big", "bigger")
            if fault is not flip_answer or name != "bigger"  # what was stored in blocks has no checksum
        ]
        fetched: Counter[str] = Counter()
        folder = tmp_path / "target"

        async def items() -> AsyncIterator[Placed]:
            async for output in proxied.list_outputs():
                yield str(folder / output.name), output

        async def fetch(item: Placed) -> None:
            await item[1].fetch(item[0], refresh=False)
            fetched.update([item[1].name])

        def told(item: Placed, done: Fetched) -> None:
            assert done.size == item[1].size
            fetched.update([item[1].name])

        failures = Failures()
        await fetch_all(items(), fetch, folder=str(folder), told=told, ahead=100, failures=failures)
        if failures:
            # A refusal may be of all; it is said, and the next time it works.
            assert all(isinstance(failure, AccessDeniedError) for failure in failures)
            fault_proxy.clear()
            await fetch_all(items(), fetch, folder=str(folder), told=told, ahead=100, failures=Failures())
        assert there(folder) == contents
        assert set(fetched) == set(contents)
        assert all(one.fired for one in faults)

    async def test_empty_ones(self, proxied: TaskOutputStorage, fault_proxy: FaultProxy, tmp_path: Path) -> None:
        """Files without content are fetched without a request, and are no reason to leave the quick way."""
        (tmp_path / "files").mkdir()
        for number in range(20):
            (tmp_path / "files" / f"empty{number}").touch()
            (tmp_path / "files" / f"full{number}").write_bytes(b"x")
        await proxied.save_all("TaskOutput", "*", base=tmp_path / "files")
        fault_proxy.requests.clear()
        quick: list[str] = []
        slow: list[str] = []

        async def items() -> AsyncIterator[tuple[str, OutputFileReference]]:
            async for output in proxied.list_outputs():
                yield str(tmp_path / "target" / output.name), output

        async def fetch(item: Placed) -> None:
            slow.append(item[1].name)

        await fetch_all(
            items(),
            fetch,
            folder=str(tmp_path / "target"),
            told=lambda item, _: quick.append(item[1].name),
            ahead=100,
            failures=Failures(),
        )
        assert (len(quick), slow) == (40, [])
        assert sum(request.operation == "read" for request in fault_proxy.requests) == 20
