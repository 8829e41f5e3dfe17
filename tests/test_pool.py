"""A pool of threads: what it takes is done once, and what it does not take is never done."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import CancelledError

import pytest

from batch_outputs.pool import NoThreadError, Pool
from support.memory import needs_proc

PATIENCE = 30.0


def test_as_its_parent() -> None:
    """Results and errors come as from any pool."""
    with Pool(2) as pool:
        assert pool.submit(lambda: 3).result(PATIENCE) == 3
        assert isinstance(pool.submit(int, "x").exception(PATIENCE), ValueError)
        assert list(pool.map(str, range(5))) == ["0", "1", "2", "3", "4"]


def test_shut_down() -> None:
    """What has not begun when it is shut down is cancelled, and nobody waits for it for ever; nothing more is taken."""
    goes_on = threading.Event()
    pool = Pool(1)
    running = pool.submit(goes_on.wait, PATIENCE)
    waiting = pool.submit(int)
    pool.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(CancelledError):
        waiting.result(PATIENCE)
    with pytest.raises(NoThreadError):
        pool.submit(int)
    goes_on.set()
    assert running.result(PATIENCE)


WITHOUT_THREADS = """
import resource, threading
from batch_outputs.crew import work_off
from batch_outputs.pool import NoThreadError, Pool
from batch_outputs.stop import Stop

def no_more_threads():
    threading.stack_size(1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 29, -1))

goes_on, done = threading.Event(), []
pool = Pool(2)
first = pool.submit(goes_on.wait)
no_more_threads()
try:
    pool.submit(done.append, "lost")
except NoThreadError:
    print("refused")
goes_on.set()
first.result()
pool.submit(done.append, "by the first one").result()
print(*done)

def work(item):
    yield
    return item

told = {}
work_off(range(3), work, told.__setitem__, Stop())
print(told)
"""


@needs_proc
def test_when_there_are_no_more_threads() -> None:
    """What cannot be given a thread is refused, and is not done by another one later; a crew leaves all of it."""
    command = [sys.executable, "-c", WITHOUT_THREADS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stdout.splitlines() == ["refused", "by the first one", "{0: None, 1: None, 2: None}"], done.stderr
