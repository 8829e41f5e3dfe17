"""A crew without an event loop: each work is done and told once, and nothing of it is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator

import pytest

from batch_outputs.crew import Crew, work_off
from batch_outputs.stop import Stop
from support.crews import in_one

NAME = "batch-outputs-crew"
PATIENCE = 30.0


def threads_there() -> int:
    """How many threads of crews there are."""
    return sum(thread.name == NAME for thread in threading.enumerate())


@pytest.mark.parametrize("count", [0, 1, 2, 5000])
def test_each_is_told_once(count: int) -> None:
    """However many items there are, each is told once, with its own result, in the caller's thread; none is left."""
    told: list[tuple[int, int | None]] = []
    tellers: set[str] = set()

    def note(item: int, result: int | None) -> None:
        tellers.add(threading.current_thread().name)
        told.append((item, result))

    def work(item: int) -> int | None:
        if item % 3 == 0:
            raise RuntimeError
        return item * item

    work_off(range(count), in_one(work), note, Stop())
    assert sorted(told) == sorted((item, None if item % 3 == 0 else item * item) for item in range(count))
    assert tellers <= {threading.current_thread().name}
    assert threads_there() == 0


def test_told_meanwhile() -> None:
    """What is done is told while others are still worked on."""
    is_told = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert is_told.wait(PATIENCE)
        return item

    work_off(range(5), in_one(work), lambda item, _: is_told.set() if item == 4 else None, Stop())


def test_grows_with_slow_works() -> None:
    """Where each work waits for long there are more threads, but no more than 32."""
    most = 0

    def work(item: int) -> int:
        nonlocal most
        time.sleep(0.05)
        most = max(most, threads_there())
        return item

    work_off(range(300), in_one(work), lambda *_: None, Stop())
    assert most == 32


@pytest.mark.parametrize(("size", "are_many"), [(0, True), (20 * 1024 * 1024, False)])
def test_few_threads_where_much_is_moved(size: int, *, are_many: bool) -> None:
    """Where a work takes long because it moves many bytes, more threads are of no use, and there are few."""
    threads: set[int] = set()

    def work(item: int) -> Generator[int, None, int]:
        threads.add(threading.get_ident())
        yield size
        time.sleep(0.02)
        return item

    crew = Crew[int, int](work, lambda: None)
    for item in range(100):
        crew.give(item)
    crew.end()
    crew.join()
    assert len(crew.outcomes) == 100
    assert (len(threads) > 8) == are_many


def test_begins_the_next_meanwhile() -> None:
    """Where a work waits for somebody else the thread begins the next one; all are finished, as they were begun."""
    steps: list[tuple[str, int]] = []
    are_given = threading.Event()

    def items() -> Generator[int]:
        yield from range(4)
        are_given.set()

    def work(item: int) -> Generator[int, None, int]:
        assert are_given.wait(PATIENCE)
        steps.append(("begun", item))
        yield 0
        steps.append(("finished", item))
        return item

    told: list[int] = []
    work_off(items(), work, lambda item, _: told.append(item), Stop())
    assert steps[:3] == [("begun", 0), ("begun", 1), ("finished", 0)]
    assert [item for step, item in steps if step == "finished"] == [0, 1, 2, 3]
    assert sorted(told) == [0, 1, 2, 3]


def test_one_that_hangs() -> None:
    """A work that takes for ever holds up no other, the first one neither."""
    are_done = threading.Event()
    done: list[int] = []

    def work(item: int) -> int:
        if item in {0, 1}:
            assert are_done.wait(PATIENCE)
        done.append(item)
        if len(done) == 98:
            are_done.set()
        return item

    work_off(range(100), in_one(work), lambda *_: None, Stop())
    assert sorted(done) == list(range(100))


def test_an_error_of_who_is_told() -> None:
    """What the one who is told raises comes out, works under way are told to stop, and no other is begun."""
    stop = Stop()
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 1:
            assert stop.wait(PATIENCE)
        return item

    def note(item: int, result: int | None) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work_off([1, 0, *range(2, 100_000)], in_one(work), note, stop)
    assert len(begun) < 100_000
    assert threads_there() == 0


PROGRAM = """
from batch_outputs.crew import Crew, work_off
from batch_outputs.stop import Stop
stop = Stop()
begun, ended = [], []
def work(item):
    begun.append(item)
    if len(begun) == 2:
        print("begun", flush=True)
    stop.wait()
    ended.append(item)
    yield 0
try:
    work_off(range(100), work, lambda *_: None, stop)
except KeyboardInterrupt:
    print("interrupted", 2 <= len(begun) < 100 and sorted(begun) == sorted(ended), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a process of ours cannot be interrupted alone")
def test_interrupted() -> None:
    """Ctrl-C tells the works under way to stop, and comes out when no thread works on."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        os.kill(child.pid, signal.SIGINT)
        assert child.stdout.read() == "interrupted True\n"
