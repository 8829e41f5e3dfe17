"""The sample that submits a job, against a stub of the Batch service whose nodes really run the tasks."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from support.azurite import KEY, Azurite
from support.batch_stub import BatchStub, Job, Json
from support.certificates import self_signed
from support.command import Desk, Done

SAMPLE = Path(__file__).parents[1] / "samples" / "submit_job.py"
TALK = "tasks have not ended yet"

needs_factor = pytest.mark.skipif(shutil.which("factor") is None, reason="factor, the tasks' program, is not installed")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return self_signed(tmp_path, "localhost")


@pytest.fixture
def batch(certificate: tuple[Path, Path], desk: Desk) -> Iterator[BatchStub]:
    """The service, with a node that runs a job as `batch-outputs try` does."""

    def node(job: Json) -> Iterator[tuple[str, int]]:
        desk.write("job.json", json.dumps(job))
        done = desk.run("try", "--slots", "3", "--dir", "node", "--json", "job.json", code=None)
        for record in done.objects:
            yield record["task"], record["exit_code"]

    with BatchStub(certificate, node) as service:
        yield service


@pytest.fixture
def empty_pool(certificate: tuple[Path, Path]) -> Iterator[BatchStub]:
    """The service, with a pool that has no nodes."""
    with BatchStub(certificate) as service:
        yield service


class Submitter:
    """Runs the sample in a folder of its own, with the variables of the storage account and of an identity."""

    def __init__(self, folder: Path, desk: Desk, azurite: Azurite) -> None:
        self.folder = folder
        self.storage = {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string}
        self._desk = desk

    def run(self, batch: BatchStub, *options: str, code: int = 0) -> Done:
        """Run it to its end; `code` is the exit code that it must have."""
        with self.started(batch, *options) as child:
            return self._desk.ended(child, code)

    def ended(self, child: subprocess.Popen[bytes], code: int) -> Done:
        """Wait for a sample that was `started`."""
        return self._desk.ended(child, code)

    @contextmanager
    def started(self, batch: BatchStub, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """The sample under way; killed if it is still there at the end."""
        with subprocess.Popen(
            [sys.executable, str(SAMPLE), "--batch-url", batch.url, "--pool", "linux", "--interval", "0.2", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=self._desk.environment({**batch.variables, **self.storage}),
        ) as child:
            try:
                yield child
            finally:
                child.kill()


@pytest.fixture
def submitter(azurite: Azurite, desk: Desk, tmp_path: Path) -> Submitter:
    """The sample in an empty folder."""
    desk.secrets.append(KEY)
    folder = tmp_path / "submitter"
    folder.mkdir()
    return Submitter(folder, desk, azurite)


def found_in(folder: Path) -> dict[str, bytes]:
    """All files of a folder, by their path in it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def settings_of(job: Job, task_id: str) -> dict[str, str]:
    return {setting["name"]: setting["value"] for setting in job.tasks[task_id]["environmentSettings"]}


@needs_factor
def test_a_job_is_submitted_awaited_and_collected(batch: BatchStub, submitter: Submitter) -> None:
    """Tasks save by what they were given, their outputs are collected, and of the one that fails the log is shown."""
    done = submitter.run(batch, "--job", "submit-whole", "1001", "2026", "many", code=1)
    assert batch.refusals == []
    told = [line for line in done.out.splitlines() if TALK not in line]
    assert told[0] == "3 tasks of the job submit-whole are submitted to the pool linux"
    assert told[1] == "9 files are collected in results"
    assert told[2].startswith("task 3 failed with exit code 1: The task exited with")
    assert "many" in told[3]
    assert told[3].startswith("  factor: ")
    assert told[4:] == ["2 of 3 tasks have succeeded"]
    collected = found_in(submitter.folder / "results")
    logs = {f"{task}/$TaskLog/{stream}.txt" for task in "123" for stream in ("stdout", "stderr")}
    left = "3/$TaskIntermediate/factors.txt"
    assert set(collected) == {"1/$TaskOutput/factors.txt", "2/$TaskOutput/factors.txt", left, *logs}
    assert collected["1/$TaskOutput/factors.txt"] == b"1001: 7 11 13\n"
    assert collected["2/$TaskOutput/factors.txt"] == b"2026: 2 1013\n"
    assert done.err == ""


@needs_factor
def test_what_is_sent(batch: BatchStub, submitter: Submitter, azurite: Azurite) -> None:
    """Jobs and tasks are as the REST API has them, with a container for the job, and its URL with access for tasks."""
    submitter.run(batch, "--job", "submit-sent", "15")
    assert batch.refusals == []
    written = [request for request in batch.requests if not request.startswith("GET ")]
    assert written == ["POST /jobs", "POST /jobs/submit-sent/addtaskcollection", "PATCH /jobs/submit-sent"]
    job = batch.jobs["submit-sent"]
    assert job.facts == {
        "id": "submit-sent",
        "poolInfo": {"poolId": "linux"},
        "onAllTasksComplete": "terminatejob",
    }
    task = job.tasks["1"]
    settings = settings_of(job, "1")
    url = settings["BATCH_OUTPUTS_CONTAINER_URL"]
    assert settings == {"BATCH_OUTPUTS_CONTAINER_URL": url, "NUMBER": "15"}
    assert url.partition("?")[0] == f"{azurite.endpoint}/job-submit-sent"
    assert set(parse_qs(urlsplit(url).query)["sp"][0]) == set("racwl")
    assert task["constraints"] == {"maxWallClockTime": "PT01H00M00S"}
    assert task["commandLine"].startswith("batch-outputs run ")
    container = {"containerUrl": url, "path": "1/$TaskIntermediate"}
    assert task["outputFiles"] == [
        {
            "filePattern": "**/*",
            "destination": {"container": container},
            "uploadOptions": {"uploadCondition": "taskfailure"},
        }
    ]


def test_the_time_is_limited(empty_pool: BatchStub, submitter: Submitter) -> None:
    """On a pool without nodes the sample does not wait for ever, and names each task that has not ended."""
    done = submitter.run(empty_pool, "--job", "submit-late", "--wait", "0.02", "1", "2", "3", code=1)
    told = [line for line in done.out.splitlines() if TALK not in line]
    assert told == [
        "3 tasks of the job submit-late are submitted to the pool linux",
        "0 files are collected in results",
        *(line for task in "123" for line in (f"task {task} has not ended in time", "  (it has stored no log)")),
        "0 of 3 tasks have succeeded",
    ]
    assert f"3 of 3 {TALK}" in done.out
    assert empty_pool.refusals == []


def test_ctrl_c_ends_the_waiting_only(empty_pool: BatchStub, submitter: Submitter) -> None:
    """Whoever does not want to wait any longer is told that the job goes on, and it was made to end by itself."""
    with submitter.started(empty_pool, "--job", "submit-interrupted", "1") as child:
        assert child.stdout is not None
        while TALK.encode() not in child.stdout.readline():
            assert child.poll() is None
        child.send_signal(signal.SIGINT)
        done = submitter.ended(child, 1)
    assert done.err == "no longer waited for; what was submitted goes on\n"
    assert empty_pool.jobs["submit-interrupted"].facts["onAllTasksComplete"] == "terminatejob"


def test_a_job_that_is_there_already_is_left_alone(empty_pool: BatchStub, submitter: Submitter) -> None:
    """The id of an earlier job is refused in one sentence, and that job gets no further tasks."""
    submitter.run(empty_pool, "--job", "submit-twice", "--wait", "0", "1", code=1)
    done = submitter.run(empty_pool, "--job", "submit-twice", "--wait", "0", "1", "2", code=1)
    assert done.err == "Azure did not do this: (JobExists) The specified job already exists.\n"
    assert list(empty_pool.jobs["submit-twice"].tasks) == ["1"]


def test_an_id_that_cannot_be_used_is_refused_before_anything_is_sent(
    empty_pool: BatchStub, submitter: Submitter
) -> None:
    """An id that no job can have ends the sample with a sentence, and the Batch service hears nothing of it."""
    done = submitter.run(empty_pool, "--job", "not/an/id", "1", code=1)
    assert "not/an/id" in done.err
    assert len(done.err.splitlines()) == 1
    assert empty_pool.requests == []


def test_a_folder_of_the_submitter_is_no_place_for_outputs(empty_pool: BatchStub, submitter: Submitter) -> None:
    """With no storage account configured nothing is submitted or made, as nodes would store to their own disks."""
    submitter.storage.clear()
    done = submitter.run(empty_pool, "--job", "submit-folder", "1", code=1)
    assert "BATCH_OUTPUTS_ACCOUNT_URL" in done.err
    assert len(done.err.splitlines()) == 1
    assert empty_pool.requests == []
    assert not any(submitter.folder.iterdir())


def test_the_stub_refuses_what_the_service_would(empty_pool: BatchStub) -> None:
    """A property by the name that Python has for it, another version of the API and a wrong token are not taken."""
    good = {"Authorization": f"Bearer {empty_pool.token}", "Content-Type": "application/json; odata=minimalmetadata"}
    job = {"id": "x", "poolInfo": {"poolId": "linux"}}

    def status(target: str = "/jobs?api-version=2025-06-01", body: object = job, **headers: str) -> int:
        return empty_pool.answer("POST", target, {**good, **headers}, json.dumps(body).encode())[0]

    assert status(body={"id": "x", "pool_info": {"poolId": "linux"}}) == 400
    assert status("/jobs?api-version=2024-07-01.20.0") == 400
    assert status("/jobs") == 400
    assert status("/job?api-version=2025-06-01") == 404
    assert status(Authorization="Bearer other") == 401
    assert status() == 201
    assert status() == 409
