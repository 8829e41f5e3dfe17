"""Checkpoints are stored whole while the program runs, and are there again when it is run anew."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batch_outputs.runner.checkpoints import SETTLE
from batch_outputs.settings import container_target
from batch_outputs.stores import open_store
from support.azurite import Container
from support.command import BATCH_OUTPUTS, TIMEOUT, Desk, wait_until
from support.fault_proxy import FaultProxy
from support.faults import answer_before
from support.in_time import in_time

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs of POSIX")

STORED = "batch-outputs/job-local/task/$TaskIntermediate"

COUNTER = """
import json, os, sys, time
state = {"step": 0, "sum": 0}
if os.path.exists("state.ckpt"):
    state = json.load(open("state.ckpt"))
print("begins at", state["step"], flush=True)
while state["step"] < 60:
    state = {"step": state["step"] + 1, "sum": state["sum"] + state["step"] + 1, "pad": "x" * 50000}
    with open("state.new", "w") as file:
        json.dump(state, file)
    os.replace("state.new", "state.ckpt")
    time.sleep(0.05 if state["step"] % 15 else 1.3)
print("sum", state["sum"], flush=True)
"""

UNSETTLED = """
import os, time
longest, last = 0.0, None
for number in range(1, 9):
    with open("a.ckpt", "a") as file:
        file.write(str(number))
    now = time.monotonic()
    longest, last = max(longest, now - (last or now)), now
    time.sleep(0.3)
longest = max(longest, time.monotonic() - last)
with open("written.new", "w") as file:
    print(longest, file=file)
os.replace("written.new", "written")
input()
"""
"""Writes a file in eight steps, and then says how long it took between two of them at most."""


def stored(container: Container, name: str, kind: str = "TaskIntermediate") -> bytes | None:
    """A checkpoint of task t1 as it is in storage."""
    blob = f"t1/${kind}/{name}"
    if blob not in container.client.list_blob_names():
        return None
    return container.content(blob)


def test_saved_while_the_program_runs(azure: Desk, container: Container) -> None:
    """Each time the file has changed and settled it is stored, over what was stored before."""
    line = (
        "echo 1 >a.ckpt; read go; echo 2 >a.tmp; mv a.tmp a.ckpt; read go; "
        "mkdir -p deep/er; echo 3 >deep/er/b.ckpt; read go"
    )
    with azure.started("run", "--checkpoint", "**/*.ckpt", "--", "sh", "-c", line) as child:
        assert child.stdin
        for name, content in (("a.ckpt", b"1\n"), ("a.ckpt", b"2\n"), ("deep/er/b.ckpt", b"3\n")):
            wait_until(lambda name=name, content=content: stored(container, name) == content)  # type: ignore[misc]
            child.stdin.write(b"go\n")
            child.stdin.flush()
        done = azure.ended(child)
    assert "2 logs (0 B), 2 checkpoints of task t1" in done.summary


def test_a_file_is_stored_only_when_it_has_settled(azure: Desk, container: Container) -> None:
    """A file that is being written for longer than a look takes is not stored half-written."""
    azure.write("writer.py", UNSETTLED)
    for watch in in_time(SETTLE):  # a writer that was held up has had its file settle
        with azure.started("run", "--checkpoint", "Model=a.ckpt", "--", sys.executable, "writer.py") as child:
            seen = set()
            while not (azure.folder / "written").exists():
                seen.add(stored(container, "a.ckpt", "Model"))
            wait_until(lambda: stored(container, "a.ckpt", "Model") == b"12345678")
            child.communicate(b"go\n", timeout=TIMEOUT)
        watch.seconds = float((azure.folder / "written").read_text())
        assert watch.seconds >= SETTLE or seen <= {None, b"12345678"}
        for name in ("written", "a.ckpt"):
            (azure.folder / name).unlink()
        container.client.delete_blob("t1/$Model/a.ckpt")


def test_the_last_one_is_stored_at_the_end(desk: Desk) -> None:
    """What has changed when the program ends is stored, whatever its exit code, settled or not."""
    desk.run("run", "--checkpoint", "*.ckpt", "--", "sh", "-c", "echo last >a.ckpt; exit 3", code=3)
    assert (desk.folder / STORED / "a.ckpt").read_bytes() == b"last\n"
    done = desk.run("run", "--checkpoint", "*.none", "--checkpoint", "*.ckpt", "--", "rm", "a.ckpt")
    assert "No file matches *.none; check the pattern." in done.sentences


def test_killed_at_any_moment_it_goes_on(
    azure: Desk, container: Container, fault_proxy: FaultProxy, seed: int, long_form: bool
) -> None:
    """Killed with its wrapper and put on a fresh node, a program goes on from its last whole checkpoint, to the end."""
    azure.variables["BATCH_OUTPUTS_CONTAINER_URL"] = fault_proxy.through(azure.variables["BATCH_OUTPUTS_CONTAINER_URL"])
    chance = random.Random(seed)  # noqa: S311 - not a secret
    begins: list[int] = []
    for attempt in range(30 if long_form else 8):
        folder = azure.folder / f"node{attempt}"
        folder.mkdir()
        (folder / "counter.py").write_text(COUNTER)
        before = stored(container, "state.ckpt")
        step = json.loads(before)["step"] if before else 0
        command = ["run", "--restore", "*.ckpt", "--checkpoint", "*.ckpt", "--", sys.executable, "counter.py"]
        with subprocess.Popen(
            [*BATCH_OUTPUTS, *command],
            cwd=folder,
            env=azure.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as child:
            assert child.stdout
            begins.append(int(child.stdout.readline().split()[2]))
            assert begins[-1] == step
            if attempt < (28 if long_form else 3):
                time.sleep(chance.uniform(0.2, 4))  # the moment is what is tried
                child.kill()
                _kill_programs_in(folder)
                child.wait()
                fault_proxy.wait_left()  # what it has sent last is stored by now, or never will be
            else:
                assert child.stdout.read() == b"sum 1830\n"  # not by communicate, which passes over what was read ahead
                break
    assert begins == sorted(begins)
    last = stored(container, "state.ckpt")
    assert last
    assert json.loads(last)["sum"] == 1830


def _kill_programs_in(folder: Path) -> None:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd") == str(folder):
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue


def test_restored_as_it_was(desk: Desk) -> None:
    """Content and time come back, below folders as well; what is there already stays; others make room."""
    desk.run("run", "--checkpoint", "c/**/*.bin", "--", "sh", "-c", "mkdir -p c/d; echo 1 >c/d/1.bin; echo 2 >c/2.bin")
    times = {}
    for name in ("c/d/1.bin", "c/2.bin"):
        times[name] = (desk.folder / name).stat().st_mtime_ns
    (desk.folder / "c/d/1.bin").unlink()
    desk.write("c/2.bin", "torn")
    done = desk.run("run", "--restore", "c/**/*.bin", "--", "sh", "-c", "cat c/d/1.bin c/2.bin")
    assert done.out == "1\n2\n"
    assert "restored 2 files (4 B)." in done.sentences
    assert {name: (desk.folder / name).stat().st_mtime_ns for name in times} == times
    inode = (desk.folder / "c/2.bin").stat().st_ino
    desk.run("run", "--restore", "c/2.bin", "--", "true")
    assert (desk.folder / "c/2.bin").stat().st_ino == inode  # it was the very same


def test_what_was_restored_is_not_saved_again(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """A checkpoint that is as it was stored costs no upload; one that the program changes does."""
    azure.run("run", "--checkpoint", "*.ckpt", "--", "sh", "-c", "echo 1 >a.ckpt; echo 2 >b.ckpt")
    url = azure.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    through = {"BATCH_OUTPUTS_CONTAINER_URL": fault_proxy.through(url)}
    options = ["--restore", "*.ckpt", "--checkpoint", "*.ckpt"]
    azure.run("run", *options, "--", "sh", "-c", "echo changed >b.ckpt", variables=through)
    puts = [request.blob for request in fault_proxy.requests if request.operation == "put"]
    assert puts == ["t1/$TaskIntermediate/b.ckpt"]
    assert stored(container, "a.ckpt") == b"1\n"
    assert stored(container, "b.ckpt") == b"changed\n"


def test_only_the_newest(desk: Desk) -> None:
    """--newest takes the latest by the time of the file, for the --restore before it."""
    make = (
        "for i in 1 2 3; do echo $i >s$i.ckpt; touch -d @100000$i s$i.ckpt; done; "
        "touch -d @2000000 s2.ckpt; echo x >x.dat"
    )
    desk.run("run", "--checkpoint", "*.ckpt", "--checkpoint", "Data=*.dat", "--", "sh", "-c", make)
    for path in desk.folder.glob("*.*"):
        path.unlink()
    options = ["--restore", "*.ckpt", "--newest", "1", "--restore", "Data=*"]
    assert desk.run("run", *options, "--", "ls").out.split() == ["batch-outputs", "s2.ckpt", "x.dat"]
    (desk.folder / "s2.ckpt").unlink()
    options[3] = "2"
    assert desk.run("run", *options, "--", "ls").out.split() == ["batch-outputs", "s2.ckpt", "s3.ckpt", "x.dat"]


def test_nothing_to_restore(azure: Desk, desk: Desk) -> None:
    """A first attempt finds nothing, says so, and runs; in the folder too, where there is no container yet."""
    for variables in (azure.variables, {}):
        desk.variables = variables
        done = desk.run("run", "--restore", "*.ckpt", "--restore", "one", "--", "echo", "ran")
        assert done.out == "ran\n"
        assert len([sentence for sentence in done.sentences if "so nothing is restored" in sentence]) == 2


def test_restoring_from_a_store_that_refuses(azure: Desk, container: Container) -> None:
    """What should be restored and cannot be keeps the program from starting, unless with --best-effort."""
    azure.variables["BATCH_OUTPUTS_CONTAINER_URL"] = container.sas_url("w")
    done = azure.run("run", "--restore", "*.ckpt", "--", "touch", "ran", code=125)
    assert "so the program is not started" in done.sentences[-1]
    assert azure.everything == set()
    azure.run("run", "--restore", "*.ckpt", "--best-effort", "--", "touch", "ran", code=0)
    assert (azure.folder / "ran").exists()


def test_asked_to_end_while_restoring(azure: Desk, fault_proxy: FaultProxy) -> None:
    """SIGTERM before the program is there ends the run with 128 + 15, and the program is not started."""
    url = azure.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    azure.variables["BATCH_OUTPUTS_CONTAINER_URL"] = fault_proxy.through(url)
    fault_proxy.fault(answer_before(503), times=None)
    with azure.started("run", "--restore", "*.ckpt", "--", "touch", "ran") as child:
        fault_proxy.wait_fired()
        child.send_signal(signal.SIGTERM)
        done = azure.ended(child, code=128 + signal.SIGTERM)
    assert "is not started" in done.err
    assert azure.everything == set()


def test_an_outage_is_waited_out_before_the_start(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """Storage that does not answer at first delays the program rather than have it begin from nothing."""
    container.client.upload_blob("t1/$TaskIntermediate/a.ckpt", b"saved")
    url = azure.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    through = {"BATCH_OUTPUTS_CONTAINER_URL": fault_proxy.through(url), "BATCH_OUTPUTS_RETRY_SECONDS": "0"}
    fault = fault_proxy.fault(answer_before(503), times=3)
    assert azure.run("run", "--restore", "*.ckpt", "--", "cat", "a.ckpt", variables=through).out == "saved"
    assert fault.fired == 3


def test_an_outage_while_it_runs(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """A checkpoint that cannot be stored at once is stored later; the program notices nothing."""
    url = azure.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    azure.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": fault_proxy.through(url), "BATCH_OUTPUTS_RETRY_SECONDS": "0"}
    fault = fault_proxy.fault(answer_before(503), on="put", times=4)
    with azure.started("run", "--checkpoint", "*.ckpt", "--", "sh", "-c", "echo 1 >a.ckpt; read go") as child:
        wait_until(lambda: stored(container, "a.ckpt") == b"1\n")
        assert fault.fired >= 2
        child.communicate(b"go\n", timeout=TIMEOUT)
        assert child.returncode == 0


def test_a_checkpoint_that_is_lost_is_told(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """If the last checkpoint cannot be stored, a 0 becomes 125, and the file is named."""
    url = azure.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    azure.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": fault_proxy.through(url), "BATCH_OUTPUTS_RETRY_SECONDS": "0"}
    fault_proxy.fault(answer_before(503), on="put", times=None)
    line = ["run", "--checkpoint", "*.ckpt", "--flush-timeout", "1", "--", "sh", "-c", "echo 1 >a.ckpt"]
    done = azure.run(*line, code=125)
    assert "a.ckpt is not saved, as the time for saving was over" in done.err


def test_what_resume_has_saved_is_restored(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """The last checkpoint of a run that had no more time is stored before the next run restores; nothing is lost."""
    url = azure.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    azure.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": fault_proxy.through(url), "BATCH_OUTPUTS_RETRY_SECONDS": "0"}
    options = ["--restore", "*.ckpt", "--checkpoint", "*.ckpt"]
    azure.run("run", *options, "--", "sh", "-c", "echo 1 >a.ckpt")
    fault_proxy.fault(answer_before(503), on="put", times=None)
    azure.run("run", "--flush-timeout", "1", *options, "--", "sh", "-c", "echo 2 >a.ckpt", code=125)
    fault_proxy.clear()
    assert azure.run("run", *options, "--", "cat", "a.ckpt").out == "2\n"
    assert stored(container, "a.ckpt") == b"2\n"


def test_what_was_left_elsewhere_does_not_matter(azure: Desk, container: Container) -> None:
    """A run that was left for another container keeps no other run from restoring."""
    other = container.azurite.new_container()
    azure.run("run", "--checkpoint", "*.ckpt", "--", "sh", "-c", "echo 1 >a.ckpt; cp -r .batch-outputs copy")
    (azure.folder / "copy").rename(azure.folder / ".batch-outputs")
    (record,) = azure.folder.glob(".batch-outputs/*/run.json")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"exit_code": 0, "by_itself": True}))
    elsewhere = {"BATCH_OUTPUTS_CONTAINER_URL": other.sas_url()}
    done = azure.run("run", "--restore", "*.ckpt", "--", "echo", "ran", variables=elsewhere)
    assert done.out == "ran\n"
    assert "What an earlier run left in" in done.err


def test_a_newer_file_is_kept(azure: Desk, container: Container) -> None:
    """A file that is newer than what is stored may be half-written, so it makes room; but it is kept, and named."""
    container.client.upload_blob("t1/$TaskIntermediate/d/a.ckpt", b"stored")
    time.sleep(1.1)  # the service counts in seconds
    azure.write("d/a.ckpt", "newer")
    done = azure.run("run", "--restore", "d/*.ckpt", "--", "cat", "d/a.ckpt")
    assert done.out == "stored"
    kept = azure.folder / ".batch-outputs/replaced/d/a.ckpt"
    assert kept.read_text() == "newer"
    assert f"it is kept as {kept}" in done.err


def test_killed_while_it_writes(azure: Desk, container: Container) -> None:
    """What a program was writing when a signal ended it does not take the place of a whole checkpoint."""
    line = "echo whole >a.ckpt; read go; printf ha >a.ckpt; kill -9 $$"
    with azure.started("run", "--checkpoint", "*.ckpt", "--", "sh", "-c", line) as child:
        wait_until(lambda: stored(container, "a.ckpt") == b"whole\n")
        assert child.stdin
        child.stdin.write(b"go\n")
        done = azure.ended(child, code=128 + signal.SIGKILL)
    assert stored(container, "a.ckpt") == b"whole\n"
    assert "may be half-written, so it is not saved" in done.err


def test_restored_once_though_the_store_falters(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """A restoring that has to be begun anew counts each file and each rule once."""
    for name in ("a.ckpt", "b.ckpt"):
        container.client.upload_blob(f"t1/$TaskIntermediate/{name}", name.encode())
    url = azure.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    through = {"BATCH_OUTPUTS_CONTAINER_URL": fault_proxy.through(url), "BATCH_OUTPUTS_RETRY_SECONDS": "0"}
    fault_proxy.fault(answer_before(503), on="read", times=3)
    options = ["--restore", "none", "--restore", "*.ckpt"]
    done = azure.run("run", *options, "--", "cat", "a.ckpt", "b.ckpt", variables=through)
    assert done.out == "a.ckptb.ckpt"
    assert "restored 2 files (12 B)." in done.sentences
    assert len([sentence for sentence in done.sentences if "so nothing is restored" in sentence]) == 1


def test_in_a_linked_folder(desk: Desk, tmp_path: Path) -> None:
    """A folder of checkpoints may be a link, as to a larger disk, if the pattern names it."""
    (tmp_path / "disk").mkdir()
    (desk.folder / "ckpt").symlink_to(tmp_path / "disk")
    desk.run("run", "--checkpoint", "ckpt/*", "--", "sh", "-c", "echo 1 >ckpt/a")
    (tmp_path / "disk/a").unlink()
    assert desk.run("run", "--restore", "ckpt/*", "--", "cat", "ckpt/a").out == "1\n"


@pytest.mark.parametrize("option", ["--checkpoint", "--restore"])
@pytest.mark.parametrize("pattern", ["/var/*.ckpt", "../*.ckpt", "a/../../b", "$UP/x"])
def test_patterns_that_lead_out_are_refused(desk: Desk, option: str, pattern: str) -> None:
    """What could not be brought back to where it was is refused before the program starts."""
    desk.variables["UP"] = "/var"
    done = desk.run("run", option, pattern, "--", "touch", "ran", code=125)
    assert "leads out of the working directory" in done.err
    assert desk.everything == set()


def test_hostile_names_stay_inside(azure: Desk, container: Container, tmp_path: Path) -> None:
    """Whatever is stored, and whatever links lie in the way, nothing is written outside the working directory."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (azure.folder / "link").symlink_to(outside)
    asyncio.run(_put(container, "../up.ckpt", "a/../../up.ckpt", "/abs.ckpt", "fine.ckpt"))
    azure.run("run", "--restore", "**/*.ckpt", "--", "cat", "fine.ckpt")
    container.client.upload_blob("t1/$TaskIntermediate/link/x.ckpt", b"x")
    done = azure.run("run", "--restore", "**/*.ckpt", "--", "touch", "ran", code=125)
    assert "link is a symbolic link" in done.err
    assert not (azure.folder / "ran").exists()
    assert list(outside.iterdir()) == []
    assert not list(azure.folder.parent.glob("*.ckpt"))


async def _put(container: Container, *names: str) -> None:
    """Store checkpoints under names that no library of the service sends as they are."""
    store = open_store(container_target(container.sas_url()).location(None))
    for name in names:
        await store.put(f"t1/$TaskIntermediate/{name}", b"x")
    await store.aclose()
