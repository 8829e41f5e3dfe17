"""Storage that fails while a program runs: its code is kept, a 0 tells, and nothing that was written is lost."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from support.azurite import Container
from support.command import TIMEOUT, Desk, signature, wait_until
from support.fault_proxy import FaultProxy
from support.faults import answer_before, cut_after, cut_before, hang

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs of POSIX")

LOG = "t1/$TaskLog/stdout.txt"


@pytest.fixture
def through(azure: Desk, fault_proxy: FaultProxy) -> Desk:
    """The desk whose requests go through the fault proxy, with little patience."""
    url = fault_proxy.through(azure.variables["BATCH_OUTPUTS_CONTAINER_URL"])
    azure.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": url, "BATCH_OUTPUTS_RETRY_SECONDS": "0"}
    return azure


def spooled(desk: Desk) -> bytes:
    """What is left of a run's standard output on the disk."""
    (path,) = desk.folder.glob(".batch-outputs/*/stdout.txt")
    return path.read_bytes()


@pytest.mark.parametrize(("own", "options", "expected"), [(0, [], 125), (0, ["--best-effort"], 0), (3, [], 3)])
@pytest.mark.parametrize("broken", ["container", "permission"])
def test_refused(desk: Desk, container: Container, own: int, options: list[str], expected: int, broken: str) -> None:
    """A store that refuses makes 125 of 0, unless --best-effort; the program's own code is kept; the spool is named."""
    url = container.sas_url("rl") if broken == "permission" else container.azurite.container("job-none").sas_url()
    desk.variables = {"BATCH_OUTPUTS_CONTAINER_URL": url, "AZ_BATCH_TASK_ID": "t1"}
    desk.secrets.append(signature(url))
    line = f"echo output; touch made; exit {own}"
    done = desk.run("run", *options, "--save", "made", "--", "sh", "-c", line, code=expected)
    assert done.out == "output\n"
    assert spooled(desk) == b"output\n"
    (spool,) = desk.folder.glob(".batch-outputs/*")
    assert f"batch-outputs resume saves the program's output, kept in {spool}." in done.sentences
    ends = f"the program ended with {own}"
    verdict = ", and this run ends with 125, as not everything is saved" if expected != own else ""
    assert done.summary == f"saved 0 files (0 B) and 0 logs (0 B) of task t1; {ends}{verdict}."


def test_container_made_meanwhile(desk: Desk, container: Container) -> None:
    """A container that comes to be while the program runs has the whole log in the end."""
    late = container.azurite.container(f"{container.name}-late")
    desk.variables = {"BATCH_OUTPUTS_CONTAINER_URL": late.sas_url(), "AZ_BATCH_TASK_ID": "t1"}
    with desk.started("run", "--", "sh", "-c", "echo one; read go; echo two") as child:
        assert child.stderr is not None
        assert child.stdin is not None
        lines = [child.stderr.readline() for _ in range(3)]
        assert all(b"does not exist" in line for line in lines[1:]), lines
        container.azurite.new_container(late.name)
        child.stdin.write(b"go\n")
        desk.ended(child)
    assert late.content(LOG) == b"one\ntwo\n"
    assert not (desk.folder / ".batch-outputs").exists()


def test_outage_that_passes(through: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """An outage in the middle of the run leaves no trace in the log."""
    with through.started(
        "run", "--flush-interval", "0.1", "--", "sh", "-c", "echo one; read a; echo two; read b"
    ) as child:
        assert child.stdin
        wait_until(lambda: exists(container) and container.content(LOG) == b"one\n")
        with fault_proxy.down():
            child.stdin.write(b"a\n")
            child.stdin.flush()
            wait_until(lambda: "is not saved at present" in read_line(child.stderr))
        child.stdin.write(b"b\n")
        through.ended(child)
    assert container.content(LOG) == b"one\ntwo\n"
    assert container.client.get_blob_client(LOG).get_blob_properties().metadata["complete"] == "true"


def exists(container: Container) -> bool:
    return LOG in [blob.name for blob in container.client.list_blobs()]


def read_line(stream: object) -> str:
    line: bytes = stream.readline()  # type: ignore[attr-defined]  # a pipe of Popen
    assert line
    return line.decode()


@pytest.mark.parametrize(("own", "expected"), [(0, 125), (6, 6)])
def test_outage_to_the_end(
    through: Desk, container: Container, fault_proxy: FaultProxy, own: int, expected: int
) -> None:
    """An outage that lasts is given up after the budget, with what is left and where; the code is right."""
    line = f"echo one; read a; echo two; touch made; exit {own}"
    options = ["--flush-interval", "0.1", "--flush-timeout", "1", "--save", "made"]
    with through.started("run", *options, "--", "sh", "-c", line) as child:
        assert child.stdin
        wait_until(lambda: exists(container) and container.content(LOG) == b"one\n")
        with fault_proxy.down():
            child.stdin.write(b"a\n")
            child.stdin.flush()
            done = through.ended(child, code=expected)
    assert len([sentence for sentence in done.sentences if "stdout.txt is not saved at present" in sentence]) == 1
    assert spooled(through) == b"one\ntwo\n"
    assert container.content(LOG) == b"one\n"
    assert any(
        "4 bytes of" in sentence and "could not be saved to t1/$TaskLog/stdout.txt" in sentence
        for sentence in done.sentences
    )


def test_outage_at_the_end_is_waited_out(through: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """Files to save wait for the store as long as logs do."""
    fault = fault_proxy.fault(answer_before(503), on="put", times=2)
    through.run("run", "--save", "made", "--", "touch", "made")
    assert fault.fired == 2
    assert "t1/$TaskOutput/made" in [blob.name for blob in container.client.list_blobs()]


def test_lost_answers(through: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """Answers that are lost, before or after the service did its part, repeat and lose nothing."""
    faults = [
        fault_proxy.fault(cut_after, on="append", times=2),
        fault_proxy.fault(cut_before, on="append", times=1, after=3),
    ]
    line = "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.3; done"
    through.run("run", "--flush-interval", "0.1", "--", "sh", "-c", line)
    assert faults[0].fired
    assert container.content(LOG) == b"".join(b"line %d\n" % i for i in range(1, 7))


def test_working_directory_that_cannot_be_written(desk: Desk) -> None:
    """Without a place for the program's output it is not started, and the place is named."""
    desk.variables["AZ_BATCH_TASK_WORKING_DIR"] = str(Path(desk.write("file")) / "wd")
    desk.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": (desk.folder / "acct/job-x").as_uri(), "AZ_BATCH_TASK_ID": "t"}
    done = desk.run("run", "--", "touch", "ran", code=125)
    assert "start it where files can be written" in done.err
    assert desk.everything == {"file"}


def test_storage_that_hangs(through: Desk, fault_proxy: FaultProxy) -> None:
    """A service that takes requests and never answers costs no more than the time for saving."""
    fault_proxy.fault(hang, times=None)
    began = time.monotonic()
    options = ["--flush-timeout", "1", "--save", "made"]
    done = through.run("run", *options, "--", "sh", "-c", "echo words; touch made", code=125)
    assert time.monotonic() - began < 45
    assert "gave no answer in time" in done.err
    assert spooled(through) == b"words\n"


def test_files_that_had_no_time(through: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """Files that could not be saved in time are saved by `resume`, also when the logs are complete."""
    fault_proxy.fault(hang, on="put", times=None)
    rules = ["--save", "made", "--checkpoint", "state"]
    line = "echo words; read go; echo x >made; echo y >state"
    options = ["--flush-interval", "0.1", "--flush-timeout", "1"]
    with through.started("run", *options, *rules, "--", "sh", "-c", line) as child:
        wait_until(lambda: exists(container) and container.content(LOG) == b"words\n")
        assert child.stdin
        child.stdin.write(b"go\n")
        done = through.ended(child, code=125)
    assert "not saved, as the time for saving was over" in done.err
    assert container.content(LOG) == b"words\n"
    fault_proxy.clear()
    through.run("resume")
    names = set(container.client.list_blob_names())
    assert {"t1/$TaskOutput/made", "t1/$TaskIntermediate/state"} <= names
    assert not (through.folder / ".batch-outputs").exists()


def test_a_stuck_reader_has_no_more_time_than_saving(desk: Desk) -> None:
    """A reader of our output that takes nothing is waited for as long as saving may take, and no longer."""
    reader, writer = os.pipe()
    line = "yes | head -c 3000000; exit 4"
    with desk.started("run", "--flush-timeout", "1", "--", "sh", "-c", line, stdout=writer) as child:
        os.close(writer)
        began = time.monotonic()
        assert child.wait(timeout=TIMEOUT) == 4
        assert time.monotonic() - began < 25  # readers have 30 s else
    os.close(reader)


def test_earlier_logs_do_not_hold_up_new_ones(through: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """While much is left of an earlier run, the log of a new one is stored all the same, and both are exact."""
    old = b"x" * 4_000_000
    through.write("old", old)
    with fault_proxy.down():
        through.run("run", "--flush-timeout", "0.5", "--", "cat", "old", code=125)
    fault_proxy.bytes_per_second = 250_000
    with through.started("run", "--flush-interval", "0.5", "--", "sh", "-c", "echo new; read go") as child:
        wait_until(lambda: exists(container) and container.content(LOG) == b"new\n")
        fault_proxy.bytes_per_second = None
        child.communicate(b"go\n", timeout=TIMEOUT)
        assert child.returncode == 0
    through.run("resume")
    stored = [container.content(name) for name in container.client.list_blob_names()]
    assert old in stored
    assert all(old.startswith(content) or content == b"new\n" for content in stored)


def test_asked_to_end_when_the_program_has_ended(through: Desk, fault_proxy: FaultProxy) -> None:
    """A signal during the saving shortens that; the program, which ended by itself, was not killed."""
    gate = fault_proxy.gate()
    fault_proxy.fault(gate.held, on="put")
    with through.started("run", "--grace", "0.1", "--save", "made", "--", "touch", "made") as child:
        fault_proxy.wait_fired()
        child.send_signal(signal.SIGTERM)
        wait_until((through.folder / "made").exists)
        gate.release()
        done = through.ended(child)
    assert "was killed" not in done.err
