"""Whenever the wrapper is killed or asked to end, what the program had written is stored, to the byte."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest

from support.azurite import Container
from support.command import BATCH_OUTPUTS, TIMEOUT, Desk, wait_until
from support.fault_proxy import FaultProxy
from support.runs import logs, program_is_there, spool_is_open

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")

WRITER = """
import os, sys, time
own = os.open("own.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in range(150):
    line = b"line %d of attempt %s\\n" % (number, sys.argv[1].encode())
    os.write(own, line)
    os.write(1, line)
    time.sleep(0.008)
open("ended", "w").close()
"""

# When its program has ended, a run has 5 s for what an earlier one has left, which a busy machine may not be done in.
UNTIL_FINISHED = "tries=600; while [ $(ls .batch-outputs | wc -l) -gt 1 -a $((tries -= 1)) -gt 0 ]; do sleep 0.1; done"
"""Waits until only its own run's folder is there, for a minute at most."""

TIME_FOR_SAVING = {1: 20.0, 2: 5.0}
"""Seconds that a run has for saving when it was asked to end so many times."""


def interrupted(desk: Desk, attempt: int, after: float, signals: Sequence[int]) -> tuple[int, bytes, float]:
    """Send signals to a run at some moment.

    Its exit code, what its program had written at its end, and the seconds from the signals to the run's end.
    """
    for name in ("own.txt", "ended"):
        (desk.folder / name).unlink(missing_ok=True)
    desk.write("writer.py", WRITER)
    with subprocess.Popen(
        [*BATCH_OUTPUTS, "run", "--flush-interval", "0.1", "--", sys.executable, "writer.py", f"{attempt}"],
        cwd=desk.folder,
        env=desk.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as child:
        time.sleep(after)  # the moment is what is tried
        asked = time.monotonic()
        for signum in signals:
            child.send_signal(signum)
        code = child.wait(timeout=TIMEOUT)
        took = time.monotonic() - asked
    wait_until(lambda: not program_is_there(desk))
    wait_until(lambda: not spool_is_open(desk))  # on a busy machine what has been killed may take a while to go
    own = desk.folder / "own.txt"
    return code, own.read_bytes() if own.exists() else b"", took


def remove_what_never_began(desk: Desk) -> None:
    """Take away the folder of a run that was killed while it was made: it may be of one that is about to begin."""
    for spool in desk.folder.glob(".batch-outputs/*"):
        if not (spool / "run.json").exists():
            shutil.rmtree(spool)
    with contextlib.suppress(OSError):
        (desk.folder / ".batch-outputs").rmdir()


@pytest.mark.parametrize("finisher", ["resume", "run"])
def test_killed(azure: Desk, container: Container, long_form: bool, seed: int, finisher: str) -> None:
    """Wherever the wrapper is killed, the program ends by itself, and then its log is completed to the byte."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    for attempt in range(60 if long_form else 7):
        _, written, _ = interrupted(azure, attempt, chance.uniform(0.0, 2.6), [signal.SIGKILL])
        assert written.count(b"\n") in {0, 150}
        remove_what_never_began(azure)
        finished = azure.run(*(["run", "--", "sh", "-c", UNTIL_FINISHED] if finisher == "run" else ["resume"]))
        assert not (azure.folder / ".batch-outputs").exists(), finished.stderr
        check(logs(container), attempt, written)


@pytest.mark.parametrize("times", [1, 2])
def test_asked_to_end(azure: Desk, container: Container, long_form: bool, seed: int, times: int) -> None:
    """Wherever SIGTERM comes, once or twice, it reaches the program, and all that this had written then is stored."""
    chance = random.Random(seed)  # noqa: S311 - not a secret
    for attempt in range(60 if long_form else 6):
        code, written, took = interrupted(azure, attempt, chance.uniform(0.0, 2.4), [signal.SIGTERM] * times)
        # Of SIGTERM (or the SIGKILL behind a second one), we or the program; or it came when all was over.
        assert code in {0, -signal.SIGTERM, 128 + signal.SIGTERM, 128 + signal.SIGKILL}, (attempt, code)
        if (azure.folder / ".batch-outputs").exists():
            assert took >= TIME_FOR_SAVING[times], "it gave up before its time was over"
            azure.run("resume")
        check(logs(container), attempt, written)


def check(stored: dict[str, bytes], attempt: int, written: bytes) -> None:
    """Hold that an attempt's log is there once and is what its program had written.

    A program that is killed between its two writes has a line in its own file that it never printed.
    """
    own_words = f"attempt {attempt}\n".encode()
    found = [content for content in stored.values() if own_words in content]
    assert len(found) <= 1, attempt
    printed = found[0] if found else b""
    assert written.startswith(printed), attempt
    assert written[len(printed) :].count(b"\n") <= 1, attempt


def test_a_second_signal_shortens_the_end(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """While storage does not answer, a second signal leaves 5 s; the spool is kept, and a 0 becomes 125."""
    url = azure.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    azure.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": fault_proxy.through(url), "BATCH_OUTPUTS_RETRY_SECONDS": "0"}
    line = "trap 'echo last words; touch ended; exit 0' TERM; touch ready; while :; do sleep 0.02; done"
    with azure.started("run", "--", "sh", "-c", line) as child:
        wait_until((azure.folder / "ready").exists)
        with fault_proxy.down():
            child.send_signal(signal.SIGTERM)
            wait_until((azure.folder / "ended").exists)
            wait_until(lambda: not program_is_there(azure))
            began = time.monotonic()
            child.send_signal(signal.SIGTERM)
            done = azure.ended(child, code=125)
            assert time.monotonic() - began < 15
    assert "11 bytes of" in done.err
    azure.run("resume")
    assert logs(container)["stdout.txt"] == b"last words\n"
