"""Several writers of one log, and strangers: nothing is mixed, nothing of an earlier attempt is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from batch_outputs import TaskOutputStorage
from batch_outputs.errors import ContainerNotFoundError, LogLostError, StoreError
from batch_outputs.tracking import TrackingError
from support.azurite import Container
from support.fault_proxy import FaultProxy
from support.growing import lines, until
from support.kill_child import Order, Tracker
from support.watched_log import Seen, WatchedLog, blob_name, fetch, names

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_secret_shows", "no_thread_is_left")]


def stored(container: Container, name: str) -> Seen:
    found = fetch(container, blob_name(name))
    assert found is not None, name
    return found


class TestTwice:
    async def test_the_same_task_in_two_processes(self, container: Container, tmp_path: Path) -> None:
        """Each process's log is whole: one has the name, the other one of its own; neither has a byte of the other."""
        paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
        for path in paths:
            path.write_bytes(lines(10, path.name))
        trackers = [Tracker(Order(container.sas_url(), str(path), "log.txt")) for path in paths]
        for n in range(20):
            for path in paths:
                with path.open("ab") as file:
                    file.write(lines(5, f"{path.name} {n}"))
            await anyio.sleep(0.05)
        for tracker in trackers:
            await to_thread.run_sync(tracker.finish)
        found = [stored(container, name) for name in names(container)]
        complete = sorted(log.content for log in found if log.marks.complete)
        assert complete == sorted(path.read_bytes() for path in paths)
        for log in found:
            assert any(path.read_bytes().startswith(log.content) for path in paths)

    async def test_the_same_file_in_two_processes(self, container: Container, tmp_path: Path) -> None:
        """Two processes that follow one file store it whole, under the name and perhaps under a second one."""
        path = tmp_path / "log.txt"
        path.write_bytes(lines(10))
        trackers = [Tracker(Order(container.sas_url(), str(path), "log.txt")) for _ in range(2)]
        for n in range(20):
            with path.open("ab") as file:
                file.write(lines(5, str(n)))
            await anyio.sleep(0.05)
        for tracker in trackers:
            await to_thread.run_sync(tracker.finish)
        assert stored(container, "log.txt").content == path.read_bytes()
        for name in names(container):
            log = stored(container, name)
            assert path.read_bytes().startswith(log.content)
            assert log.marks.complete

    @pytest.mark.parametrize("per_node", [True, False], ids=["per node", "not per node"])
    async def test_one_task_id_on_two_nodes(self, container: Container, tmp_path: Path, per_node: bool) -> None:
        """With a folder per node both are whole in theirs; without, the earlier is fenced and never comes back."""
        paths = {node: tmp_path / f"{node}.txt" for node in ("tvm-1", "tvm-2")}
        trackers = {}
        for node, path in paths.items():
            path.write_bytes(lines(10, node))
            environment = {"AZ_BATCH_NODE_ID": node}
            order = Order(container.sas_url(), str(path), "log.txt", per_node=per_node, environment=environment)
            trackers[node] = Tracker(order)
            await until(lambda node=node: trackers[node].saved == paths[node].stat().st_size)  # type: ignore[misc]
        for node, path in paths.items():
            with path.open("ab") as file:
                file.write(lines(10, f"{node} goes on"))
            await until(lambda node=node: trackers[node].saved == paths[node].stat().st_size)  # type: ignore[misc]
        for tracker in trackers.values():
            await to_thread.run_sync(tracker.finish)
        logs = {name: stored(container, name) for name in names(container)}
        by_node = {log.marks.node: log.content for log in logs.values() if log.marks.complete}
        assert by_node == {node: path.read_bytes() for node, path in paths.items()}
        if per_node:
            assert sorted(logs) == ["tvm-1/log.txt", "tvm-2/log.txt"]
        else:
            assert logs["log.txt"].marks.node == "tvm-2"
            assert logs["log.attempt-1.txt"].content == lines(10, "tvm-1")
            assert len(logs) == 3


class TestRequeued:
    @pytest.mark.parametrize("fresh", [True, False], ids=["with a fresh file", "with its file"])
    async def test_after_a_kill(
        self,
        container: Container,
        fault_proxy: FaultProxy,
        tmp_path: Path,
        new_log: Callable[..., WatchedLog],
        fresh: bool,
    ) -> None:
        """A task that is run again after its node died goes on with its file, or keeps what the first attempt had."""
        path = tmp_path / "log.txt"
        path.write_bytes(lines(50, "first"))
        order = Order(fault_proxy.through(container.sas_url()), str(path), "log.txt")
        tracker = Tracker(order)
        await until(lambda: tracker.saved == path.stat().st_size)
        tracker.kill()
        log = new_log(earlier=lines(50, "first") if fresh else None)
        if fresh:
            path.write_bytes(lines(30, "second"))
        else:
            log.acknowledge(tracker.saved)
            log.append(lines(30, "second"))
        tracker = Tracker(order)
        tracker.wait_begun()
        log.append(lines(30, "and more"))
        await to_thread.run_sync(tracker.finish)
        log.check()
        assert names(container) == (["log.attempt-1.txt", "log.txt"] if fresh else ["log.txt"])

    async def test_after_a_log_in_parts(self, faulty: TaskOutputStorage, container: Container, log: WatchedLog) -> None:
        """An earlier attempt's parts are all kept, and read as one under its new name."""
        with log.asleep():
            async with log.follow(faulty) as tracked:
                for n in range(3):
                    log.path.write_bytes(lines(20 - n, f"page {n}"))
                    await tracked.flush()
            earlier = b"".join(lines(20 - n, f"page {n}") for n in range(3))
            assert log.stored() == earlier
            log.path.write_bytes(lines(5, "second attempt"))
            async with log.follow(faulty):
                pass
        assert log.stored() == lines(5, "second attempt")
        kept = faulty.get_output("TaskLog", "log.attempt-1.txt")
        assert await kept.read_bytes() == earlier
        assert (await kept.refresh()).complete
        assert await faulty.get_output("TaskLog", log.name).read_bytes() == lines(5, "second attempt")


class TestStrangers:
    async def test_a_foreign_append(self, faulty: TaskOutputStorage, container: Container, log: WatchedLog) -> None:
        """Bytes that somebody else appends are noticed; our log goes on under a name of its own, whole."""
        errors: list[TrackingError] = []
        log.path.write_bytes(lines(10))
        with log.asleep(for_good=True):
            async with log.follow(faulty, flush_interval=0.1, on_error=errors.append) as tracked:
                await tracked.flush()
                container.client.get_blob_client(log.blob).append_block(b"not ours\n")
                log.append(lines(10, "ours"))
                await until(lambda: tracked.bytes_saved == log.path.stat().st_size)
        assert [type(error.cause) for error in errors] == [LogLostError]
        assert stored(container, log.name).content == lines(10) + b"not ours\n"
        assert not stored(container, log.name).marks.complete
        own = stored(container, tracked.output.name)
        assert own.content == log.path.read_bytes()
        assert own.marks.complete
        assert len(names(container)) == 2

    async def test_a_foreign_append_at_the_end(
        self, faulty: TaskOutputStorage, container: Container, log: WatchedLog
    ) -> None:
        """The same when nothing of ours comes after it: a log with foreign bytes is never marked complete."""
        log.path.write_bytes(lines(10))
        with log.asleep(for_good=True):
            async with log.follow(faulty) as tracked:
                await tracked.flush()
                container.client.get_blob_client(log.blob).append_block(b"not ours\n")
        assert not stored(container, log.name).marks.complete
        own = stored(container, tracked.output.name)
        assert (own.content, own.marks.complete) == (lines(10), True)

    async def test_foreign_metadata(self, faulty: TaskOutputStorage, container: Container, log: WatchedLog) -> None:
        """Metadata that somebody adds while the log grows is kept, also at the end, and stops nothing."""
        errors: list[TrackingError] = []
        blob = container.client.get_blob_client(log.blob)
        log.path.write_bytes(lines(10))
        async with log.follow(faulty, on_error=errors.append) as tracked:
            await tracked.flush()
            blob.set_blob_metadata({**blob.get_blob_properties().metadata, "reviewed": "yes"})
            log.append(lines(10, "more"))
            await tracked.flush()
            log.append(lines(10, "and more"))
            await tracked.flush()
            blob.set_blob_metadata({**blob.get_blob_properties().metadata, "owner": "me"})
        log.check()
        assert stored(container, log.name).metadata.items() >= {"reviewed": "yes", "owner": "me"}.items()
        assert errors == []

    async def test_a_blob_that_is_deleted(
        self, faulty: TaskOutputStorage, container: Container, log: WatchedLog
    ) -> None:
        """A log that is deleted while it grows is told, and made anew from the file's beginning."""
        errors: list[TrackingError] = []
        log.path.write_bytes(lines(10))
        with log.asleep():
            async with log.follow(faulty, flush_interval=0.1, on_error=errors.append) as tracked:
                await tracked.flush()
                container.client.delete_blob(log.blob)
                log.append(lines(10, "more"))
                await until(lambda: tracked.bytes_saved == log.path.stat().st_size)
        assert [type(error.cause) for error in errors] == [LogLostError]
        assert stored(container, log.name).content == log.path.read_bytes()
        assert stored(container, log.name).marks.complete

    async def test_a_container_that_is_deleted_and_made_again(
        self, faulty: TaskOutputStorage, container: Container, log: WatchedLog
    ) -> None:
        """Without a container rounds fail by name; when there is one again, the log is stored from its beginning."""
        errors: list[TrackingError] = []
        log.path.write_bytes(lines(10))
        with log.asleep():
            async with log.follow(faulty, flush_interval=0.1, on_error=errors.append) as tracked:
                await tracked.flush()
                container.client.delete_container()
                log.append(lines(10, "more"))
                await until(lambda: bool(errors))
                container.azurite.new_container(container.name)
                await until(lambda: tracked.bytes_saved == log.path.stat().st_size)
        assert stored(container, log.name).content == log.path.read_bytes()
        assert stored(container, log.name).marks.complete
        assert all(isinstance(error.cause, StoreError) for error in errors)
        assert any(isinstance(error.cause, ContainerNotFoundError | LogLostError) for error in errors)
