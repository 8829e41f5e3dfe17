"""What a killed wrapper has left is finished by `resume`, or by the next run in its place: exactly, and once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.azurite import Container
from support.command import TIMEOUT, Desk, wait_until
from support.fault_proxy import FaultProxy
from support.faults import hang
from support.runs import logs, marks, program_is_there

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs of POSIX")

LIVES = "echo $$ >pid; echo before; while [ ! -e go ]; do sleep 0.05; done; echo after; touch ended"


def spools(desk: Desk) -> list[Path]:
    return sorted(desk.folder.glob(".batch-outputs/*"))


def change_record(spool: Path, **fields: Any) -> None:
    """Change what is written down of a run."""
    path = spool / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@contextmanager
def killed(desk: Desk, *options: str, line: str = LIVES) -> Iterator[None]:
    """A wrapper that was killed; its program runs on within the block and has ended behind it."""
    with desk.started("run", *options, "--", "sh", "-c", line) as child:
        wait_until((desk.folder / "pid").exists)
        wait_until(lambda: spools(desk) and json.loads((spools(desk)[0] / "run.json").read_text())["pid"])
        child.kill()
        child.wait(timeout=TIMEOUT)
    yield
    desk.write("go")
    wait_until(lambda: not program_is_there(desk))
    assert (desk.folder / "ended").exists()


def test_resume_completes_the_logs(azure: Desk, container: Container) -> None:
    """The rest of a killed wrapper's logs is stored and marked complete, and nothing is left on the disk."""
    with killed(azure):
        pass
    done = azure.run("resume")
    assert logs(container) == {"stdout.txt": b"before\nafter\n", "stderr.txt": b""}
    assert marks(container)["complete"] == "true"
    assert "exit_code" not in marks(container)  # nobody was there to learn it
    assert done.sentences[-1] == "finished 2 logs (13 B) and saved 0 files (0 B)."
    assert not (azure.folder / ".batch-outputs").exists()
    assert "nothing to resume" in azure.run("resume").err


def test_a_program_that_lives_is_left_alone(azure: Desk, container: Container) -> None:
    """Neither `resume` nor another run touches what is still written to; both say so."""
    with killed(azure):
        assert "still runs and writes to" in azure.run("resume", code=125).err
        done = azure.run("run", "--", "echo", "another")
        assert "still runs and writes to" in done.err
        assert logs(container)["stdout.txt"] == b"another\n"
    azure.run("resume")
    (first,) = (
        name for name in logs(container) if name.startswith("stdout.attempt-") and name != "stdout.attempt-1.txt"
    )
    assert logs(container)[first] == b"before\nafter\n"
    assert logs(container)["stdout.txt"] == b"another\n"
    assert marks(container, first)["complete"] == "true"


def test_the_next_run_finishes_first(azure: Desk, container: Container) -> None:
    """The next run completes the dead one's log, keeps it as that of an earlier attempt, and has the plain name."""
    with killed(azure):
        pass
    done = azure.run("run", "--", "echo", "second")
    assert "finished 2 logs that an earlier run had left." in done.sentences
    assert logs(container)["stdout.attempt-1.txt"] == b"before\nafter\n"
    assert marks(container, "stdout.attempt-1.txt")["complete"] == "true"
    assert logs(container)["stdout.txt"] == b"second\n"
    assert marks(container)["exit_code"] == "0"
    assert spools(azure) == []


def test_killed_before_the_process_was_written_down(azure: Desk, container: Container) -> None:
    """A program whose process id was not noted any more is told from one that has ended by the files it has open."""
    with killed(azure):
        (spool,) = spools(azure)
        change_record(spool, pid=None, started=None)
        assert "still runs" in azure.run("resume", code=125).err
    azure.run("resume")
    assert logs(container)["stdout.txt"] == b"before\nafter\n"


def test_another_process_of_that_number(azure: Desk, container: Container) -> None:
    """A process that has the program's number by chance, as after a reboot, is not taken for it."""
    with killed(azure):
        pass
    (spool,) = spools(azure)
    change_record(spool, pid=os.getpid())
    azure.run("resume")
    assert logs(container)["stdout.txt"] == b"before\nafter\n"


def test_killed_when_all_was_done(azure: Desk, container: Container) -> None:
    """A spool whose logs are complete already is removed, and nothing is stored a second time."""
    azure.run("run", "--", "sh", "-c", "echo all; cp -r .batch-outputs copy; exit 3", code=3)
    shutil.move(azure.folder / "copy", azure.folder / ".batch-outputs")
    before = logs(container)
    azure.run("resume")
    assert logs(container) == before == {"stdout.txt": b"all\n", "stderr.txt": b""}
    assert marks(container)["exit_code"] == "3"
    assert not (azure.folder / ".batch-outputs").exists()


def test_what_a_run_had_no_time_for(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """A run that gave up leaves its spool with the exit code; `resume` stores the rest and the files by their rules."""
    url = azure.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    through = {"BATCH_OUTPUTS_CONTAINER_URL": fault_proxy.through(url), "BATCH_OUTPUTS_RETRY_SECONDS": "0"}
    line = "echo words; echo a >made; echo b >only.bad; exit 0"
    rules = ["--save", "made", "--as", "as/asked", "--when", "success", "--save", "*.bad", "--when", "failure"]
    with fault_proxy.down():
        azure.run("run", "--flush-timeout", "0.5", *rules, "--", "sh", "-c", line, code=125, variables=through)
    assert logs(container) == {}
    # It is finished where it is configured to go: a proxy is another place.
    assert "something else is configured" in azure.run("resume", code=125).err
    azure.run("resume", variables=through)
    assert logs(container)["stdout.txt"] == b"words\n"
    assert marks(container)["exit_code"] == "0"
    files = [name for name in container.client.list_blob_names() if "$TaskOutput" in name]
    assert files == ["t1/$TaskOutput/as/asked"]


def test_files_after_an_end_that_nobody_saw(azure: Desk, container: Container) -> None:
    """Without the exit code files for either end are saved, and those for one of them are named and left."""
    with killed(azure, "--save", "ended", "--save", "pid", "--when", "success"):
        pass
    done = azure.run("resume")
    assert "It is not known how the program ended, so pid (--when success) is left." in done.sentences
    files = [name for name in container.client.list_blob_names() if "$TaskOutput" in name]
    assert files == ["t1/$TaskOutput/ended"]


def test_killed_while_finishing(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """A `resume` that is killed itself is finished by the next one."""
    url = azure.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    azure.variables["BATCH_OUTPUTS_CONTAINER_URL"] = fault_proxy.through(url)
    with killed(azure):
        pass
    fault_proxy.fault(hang, on="append")
    with azure.started("resume") as child:
        fault_proxy.wait_fired()
        child.kill()
    azure.run("resume")
    assert logs(container)["stdout.txt"] == b"before\nafter\n"
    assert sorted(logs(container)) == ["stderr.txt", "stdout.txt"]


def test_two_at_once(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """While one process finishes a run, another leaves it alone."""
    url = azure.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    azure.variables["BATCH_OUTPUTS_CONTAINER_URL"] = fault_proxy.through(url)
    with killed(azure):
        pass
    gate = fault_proxy.gate()
    fault_proxy.fault(gate.held, on="append")
    with azure.started("resume") as child:
        fault_proxy.wait_fired()
        assert "nothing to resume" in azure.run("resume").err
        gate.release()
        azure.ended(child)
    assert logs(container) == {"stdout.txt": b"before\nafter\n", "stderr.txt": b""}


def test_spool_elsewhere(azure: Desk, container: Container, tmp_path: Path) -> None:
    """With --spool the output waits in another folder, from which `resume` takes it."""
    elsewhere = tmp_path / "disk"
    elsewhere.mkdir()
    with azure.started("run", "--spool", str(elsewhere), "--", "sh", "-c", LIVES) as child:
        wait_until((azure.folder / "pid").exists)
        assert spools(azure) == []
        assert len(list(elsewhere.glob(".batch-outputs/*/stdout.txt"))) == 1
        child.kill()
    azure.write("go")
    wait_until(lambda: not program_is_there(azure))
    assert "nothing to resume" in azure.run("resume").err
    azure.run("resume", str(elsewhere))
    assert logs(container)["stdout.txt"] == b"before\nafter\n"
    assert list(elsewhere.iterdir()) == []


def test_spool_that_is_rubbish(azure: Desk, container: Container) -> None:
    """What cannot be read is named with the way out, is not touched, and does not keep the next run from its work."""
    good = _record(azure)
    records = ["", "{", "[]", "{}", '{"version": 2}', "\x00\x00", "[" * 100_000]
    wrong: list[dict[str, Any]] = [
        *({"pid": pid} for pid in ("12", 1.5, 0, -1, True)),
        {"folder": None},
        {"folder": "a\0b"},
        {"container_url": 5},
        {"task_id": "a/b"},
        {"attempt": "a\nb"},
        {"attempt": None},
        {"exit_code": "0"},
        {"logs": {"../../secret.txt": "t1/$TaskLog/leak.txt"}},
        {"logs": {"stdout.txt": "t2/$TaskLog/stdout.txt"}},
        {"logs": ["stdout.txt"]},
        {"saves": [{"kind": "TaskOutput", "pattern": 5, "name": None, "when": "success", "required": False}]},
        {"saves": [{"kind": "TaskOutput", "pattern": "a", "name": None, "when": "never", "required": False}]},
        {"checkpoints": [{"kind": "a/b", "pattern": "x"}]},
        {"embedded": "yes"},
        {"by_itself": 1},
        {"more": 1},
    ]
    records += [json.dumps(good | fields) for fields in wrong]
    azure.write("secret.txt", "secret")
    for number, text in enumerate(records):
        azure.write(f".batch-outputs/{number:02}/run.json", text)
        azure.write(f".batch-outputs/{number:02}/stdout.txt", "words")
    done = azure.run("resume", code=125)
    assert len(done.sentences) == len(records), done.err
    assert sum("cannot be read" in sentence for sentence in done.sentences) == len(records) - 1
    assert sum("is of version 2" in sentence for sentence in done.sentences) == 1
    azure.run("run", "--", "echo", "fine")
    assert logs(container)["stdout.txt"] == b"fine\n"
    assert len(list(azure.folder.glob(".batch-outputs/*/stdout.txt"))) == len(records)


def _record(desk: Desk) -> dict[str, Any]:
    """What is written down of a run that can be finished."""
    desk.run("run", "--", "sh", "-c", "cp .batch-outputs/*/run.json ../good.json")
    record: dict[str, Any] = json.loads((desk.folder.parent / "good.json").read_text())
    return record


def test_a_record_that_leads_elsewhere(azure: Desk, container: Container) -> None:
    """No credential is sent to a place that only a record names."""
    with killed(azure):
        pass
    (spool,) = spools(azure)
    change_record(spool, container_url="http://127.0.0.1:9/account/job-x")
    done = azure.run("resume", code=125)
    assert "go to 127.0.0.1:9/account/job-x, and something else is configured" in done.err
    assert logs(container).keys() <= {"stdout.txt", "stderr.txt"}
    assert (spool / "stdout.txt").read_bytes() == b"before\nafter\n"


def test_spools_of_runs_that_never_began(azure: Desk) -> None:
    """An empty spool is of a run that is about to begin, or after an hour of one that never did, and then removed."""
    young, old = (azure.folder / ".batch-outputs" / name for name in ("a", "b"))
    for folder in (young, old):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 4000,) * 2)
    azure.run("resume")
    assert young.exists()
    assert not old.exists()


def test_from_another_folder(desk: Desk, tmp_path: Path) -> None:
    """A run whose outputs go to a folder is resumed from anywhere, by naming its directory."""
    with killed(desk, "--save", "ended"):
        pass
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = Desk(elsewhere)
    other.run("resume", str(desk.folder))
    stored = desk.folder / "batch-outputs/job-local/task"
    assert (stored / "$TaskLog/stdout.txt").read_bytes() == b"before\nafter\n"
    assert (stored / "$TaskOutput/ended").exists()
    assert "There is no folder no-such" in other.run("resume", "no-such", code=125).err


def test_sigstop_and_sigcont(azure: Desk, container: Container) -> None:
    """A wrapper that stands still for a while loses nothing: the program writes to its file meanwhile."""
    line = "echo one; read a; echo two; touch written; read b"
    with azure.started("run", "--flush-interval", "0.1", "--", "sh", "-c", line) as child:
        assert child.stdin
        wait_until(lambda: logs(container).get("stdout.txt") == b"one\n")
        child.send_signal(signal.SIGSTOP)
        child.stdin.write(b"a\n")
        child.stdin.flush()
        wait_until((azure.folder / "written").exists)
        assert logs(container)["stdout.txt"] == b"one\n"
        child.send_signal(signal.SIGCONT)
        wait_until(lambda: logs(container)["stdout.txt"] == b"one\ntwo\n")
        child.stdin.write(b"b\n")
        azure.ended(child)


def test_whose_folder_is_gone(azure: Desk, container: Container, tmp_path: Path) -> None:
    """Logs are finished though the directory of the run is gone; files of another one are not taken for its own."""
    elsewhere = tmp_path / "disk"
    elsewhere.mkdir()
    line = "echo words; touch made ended; kill -9 $PPID; exit 0"
    azure.run("run", "--spool", str(elsewhere), "--save", "made", "--", "sh", "-c", line, code=-signal.SIGKILL)
    wait_until(lambda: not program_is_there(azure))
    shutil.move(azure.folder, tmp_path / "moved")
    other = Desk(elsewhere, azure.variables, azure.secrets)
    other.write("made", "by somebody else")
    done = other.run("resume", code=125)
    assert "is gone, and with it the files that the run was to save" in done.err
    assert logs(container)["stdout.txt"] == b"words\n"
    assert not [name for name in container.client.list_blob_names() if "$TaskOutput" in name]


def test_a_run_without_logs(azure: Desk) -> None:
    """A killed run of which nothing is left to be saved is no failure."""
    line = "kill -9 $PPID; touch ended"
    direct = ["--stdout", "direct", "--stderr", "direct"]
    azure.run("run", *direct, "--", "sh", "-c", line, code=-signal.SIGKILL)
    wait_until(lambda: not program_is_there(azure))
    azure.run("resume")
    assert not (azure.folder / ".batch-outputs").exists()
