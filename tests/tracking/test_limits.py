"""The limits of the service are never hit: blocks of one blob, bytes of one append, lengths beyond 32 bits."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from batch_outputs import TaskOutputStorage
from batch_outputs.log_part import MAX_APPEND, MAX_BLOCKS
from batch_outputs.tracking import TrackingError
from support.azurite import Container, running_azurite
from support.fault_proxy import FaultProxy
from support.faults import Action, Exchange
from support.kill_child import Order, Tracker
from support.watched_log import WatchedLog, blob_name, names

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_secret_shows", "no_thread_is_left")]

MIB = 1024 * 1024
BLOCKS = "x-ms-blob-committed-block-count"


def with_blocks(count: int) -> Action:
    """Have the service say that a blob has so many blocks."""

    async def action(exchange: Exchange) -> None:
        answer = await exchange.forward()
        headers = [(name, str(count) if name.lower() == BLOCKS else value) for name, value in answer.headers]
        await exchange.answer(replace(answer, headers=tuple(headers)))

    return action


class TestBlocks:
    async def test_a_log_resumed_near_the_limit(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, container: Container, log: WatchedLog
    ) -> None:
        """Before a blob is full the log goes on in a second part; both read as one, and nothing is reported."""
        log.path.write_bytes(b"begun\n")
        async with log.follow(faulty):
            pass
        nearly_full = fault_proxy.fault(with_blocks(MAX_BLOCKS - 5), on="properties", blob=log.blob)
        errors: list[TrackingError] = []
        async with log.follow(faulty, on_error=errors.append) as tracked:
            for n in range(12):
                log.append(b"line %d\n" % n)
                await tracked.flush()
        assert nearly_full.fired == 1
        log.check()
        first, second = log.parts()
        assert (second.marks.reason, second.marks.base) == ("limit", len(first.content))
        assert first.content == b"begun\n" + b"".join(b"line %d\n" % n for n in range(5))
        assert await faulty.get_output("TaskLog", log.name).read_bytes() == log.path.read_bytes()
        assert names(container) == ["log.part-2.txt", "log.txt"]
        assert errors == []
        log.append(b"one more attempt\n")  # resumes in the second part
        async with log.follow(faulty):
            pass
        log.check()
        assert len(log.parts()) == 2

    @pytest.mark.long
    async def test_the_real_limit(self, faulty: TaskOutputStorage, container: Container, log: WatchedLog) -> None:
        """Where the service itself has counted nearly 50,000 blocks, the log goes on in time."""
        already = MAX_BLOCKS - 2
        with log.asleep():
            log.path.write_bytes(b"x")
            async with log.follow(faulty):
                pass
            blob = container.client.get_blob_client(log.blob)
            with ThreadPoolExecutor(8) as threads:
                list(threads.map(lambda _: blob.append_block(b"x"), range(already - 1)))
            log.append(b"x" * (already - 1))
            found = blob.get_blob_properties()
            assert found.append_blob_committed_block_count == already
            # As an attempt that was killed has left it: without a word about its end.
            kept = {name: found.metadata[name] for name in ("attempt", "log", "part", "started")}
            blob.set_blob_metadata(kept)
        async with log.follow(faulty) as tracked:
            for n in range(20):
                log.append(b"line %d\n" % n)
                await tracked.flush()
        log.check()
        assert [part.marks.reason for part in log.parts()] == [None, "limit"]
        assert blob.get_blob_properties().append_blob_committed_block_count == MAX_BLOCKS


class TestBytes:
    @pytest.mark.parametrize(
        ("length", "appends"),
        [(0, []), (1, [1]), (MAX_APPEND - 1, [MAX_APPEND - 1]), (MAX_APPEND, [MAX_APPEND]),
         (MAX_APPEND + 1, [MAX_APPEND, 1]), (2 * MAX_APPEND + 1, [MAX_APPEND, MAX_APPEND, 1])],
    )  # fmt: skip
    async def test_of_one_append(
        self, faulty: TaskOutputStorage, fault_proxy: FaultProxy, log: WatchedLog, length: int, appends: list[int]
    ) -> None:
        """An append has at most 4 MiB, and none is empty; the rest follows in the next."""
        log.path.write_bytes(os.urandom(length))
        async with log.follow(faulty) as tracked:
            await tracked.flush()
            assert tracked.bytes_saved == length
        log.check()
        assert [len(request.body) for request in fault_proxy.requests if request.operation == "append"] == appends

    @pytest.mark.long
    def test_beyond_4_gib(self, tmp_path: Path) -> None:
        """A (sparse) file of more than 4 GiB is stored to its end, in fixed memory."""
        size = 4 * 1024 * MIB + 12_345
        path = tmp_path / "log.txt"
        with path.open("wb") as file:
            file.write(b"the beginning\n")
            file.truncate(size - 8)
            file.seek(size - 8)
            file.write(b"the end\n")
        with running_azurite(tmp_path / "azurite.log") as azurite:
            container = azurite.new_container()
            tracker = Tracker(Order(container.sas_url(), str(path), path.name))
            tracker.finish(timeout=600)
            blob = container.client.get_blob_client(blob_name(path.name))
            found = blob.get_blob_properties()
            assert found.size == size
            assert found.metadata["complete"] == "true"
            with path.open("rb") as file:
                assert found.metadata["sha256"] == hashlib.file_digest(file, "sha256").hexdigest()
            assert blob.download_blob(size - 8, 8).readall() == b"the end\n"
            assert blob.download_blob(2**32 - 4, 8).readall() == bytes(8)
            assert tracker.memory <= 150 * MIB
        path.unlink()
