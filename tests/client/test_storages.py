"""Jobs and tasks of azure-batch lead to their outputs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from azure.batch.models import BatchJob, BatchJobCreateOptions, BatchPoolInfo, BatchTask, BatchTaskCreateOptions

from batch_outputs import sync
from batch_outputs.client import job_output_storage, task_output_storage
from batch_outputs.client import sync as client_sync
from batch_outputs.errors import ConfigurationError, InvalidNameError

pytestmark = pytest.mark.anyio

JOBS = [
    BatchJobCreateOptions(id="My_Job", pool_info=BatchPoolInfo(pool_id="p")),
    BatchJob({"id": "My_Job", "state": "active"}),
    {"id": "My_Job", "poolInfo": {}},
    "My_Job",
]
TASKS = [BatchTaskCreateOptions(id="t1", command_line="x"), BatchTask({"id": "t1"}), {"id": "t1"}, "t1"]


@pytest.mark.parametrize(("job", "task"), list(zip(JOBS, TASKS, strict=True)))
async def test_what_stands_for_a_job_and_a_task(tmp_path: Path, job: object, task: object) -> None:
    """azure-batch's objects for making and those it returns, JSON of the REST API, and plain ids."""
    async with job_output_storage(job, account_url=tmp_path.as_uri()) as outputs:
        assert outputs.container == sync.job_container_name("My_Job")
    async with task_output_storage(job, task, account_url=tmp_path.as_uri()) as of_task:
        assert (of_task.container, of_task.task_id) == (outputs.container, "t1")


async def test_where_outputs_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an account, a container, a connection string, or else the environment."""
    container = (tmp_path / "job-render").as_uri()
    text = "AccountName=acct;AccountKey=a2V5"
    assert job_output_storage("render", container_url=container).container_url == container
    assert job_output_storage("render", connection_string=text).place == "acct.blob.core.windows.net/job-render"
    monkeypatch.setenv("BATCH_OUTPUTS_ACCOUNT_URL", tmp_path.as_uri())
    assert job_output_storage("render").container_url == container
    assert task_output_storage("render", "t1").container_url == container


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"account_url": "file:///a", "container_url": "file:///a/job-x"}, "more than once"),
        ({"connection_string": "AccountName=acct;AccountKey=a2V5", "credential": "a2V5"}, "keep one"),
        ({"container_url": "file:///a/job-other"}, "job-other is configured"),
    ],
)
def test_where_outputs_cannot_be(options: dict[str, str], sentence: str) -> None:
    """What contradicts itself is refused."""
    with pytest.raises(ConfigurationError, match=sentence):
        job_output_storage("render", **options)


def test_without_an_id(tmp_path: Path) -> None:
    """What has no id stands for no job and no task."""
    for nothing in ({}, object(), "", BatchTaskCreateOptions({"commandLine": "x"})):
        with pytest.raises(ConfigurationError, match="give the job's id"):
            job_output_storage(nothing, account_url=tmp_path.as_uri())
    with pytest.raises(ConfigurationError, match="give the task's id"):
        task_output_storage("render", {"commandLine": "x"}, account_url=tmp_path.as_uri())
    with pytest.raises(InvalidNameError, match="not a task id"):
        task_output_storage("render", "a/b", account_url=tmp_path.as_uri())


def test_blocking(tmp_path: Path) -> None:
    """The same without an event loop."""
    with client_sync.job_output_storage(JOBS[0], account_url=tmp_path.as_uri()) as job:
        assert job.create_container()
    with client_sync.task_output_storage(JOBS[0], TASKS[0], account_url=tmp_path.as_uri()) as task:
        assert task.save_text("TaskOutput", "text", "a.txt").read_text() == "text"


def test_without_azure_batch() -> None:
    """Where azure-batch is not installed, what makes its models says how to get it; ids and outputs do without."""
    program = """
import sys
sys.modules["azure.batch"] = None
from batch_outputs.client import check_upload_rules, job_output_storage, output_file
job_output_storage({"id": "render"}, account_url="file:///a")
check_upload_rules({"id": "t1", "commandLine": "batch-outputs run -- x"})
output_file("*", task_id="t1", container_url="file:///a/job-x")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "batch_outputs.errors.ConfigurationError: This makes models of azure-batch, which is not installed; install it "
        "with pip install 'batch-outputs[batch]'."
    )
