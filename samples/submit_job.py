"""For whoever submits a job: make its container and its tasks, wait for them, and collect what they have stored.

    python submit_job.py --batch-url https://ACCOUNT.REGION.batch.azure.com --pool POOL --job factors 1001 2026

Each task finds the prime factors of one number. The pool's nodes run Linux and have batch-outputs installed, as by the
pool's start task; this program needs `batch-outputs[batch,identity]`. Which storage account is used is said by the
environment, such as BATCH_OUTPUTS_ACCOUNT_URL. After `az login` nothing else is needed for either account.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import timedelta

from azure.batch import BatchClient
from azure.batch.models import (
    BatchAllTasksCompleteMode,
    BatchJobCreateOptions,
    BatchJobUpdateOptions,
    BatchPoolInfo,
    BatchTask,
    BatchTaskConstraints,
    BatchTaskCreateOptions,
    BatchTaskExecutionResult,
    BatchTaskState,
    EnvironmentSetting,
)
from azure.core.exceptions import AzureError

from batch_outputs import TaskOutputKind
from batch_outputs.client import check_upload_rules, output_file
from batch_outputs.client.sync import job_output_storage, task_environment_settings
from batch_outputs.errors import BatchOutputsError, BlobNotFoundError, ConfigurationError
from batch_outputs.local_names import local_path
from batch_outputs.sync import JobOutputStorage

COMMAND = """batch-outputs run --save factors.txt --when success -- sh -c 'factor "$NUMBER" > factors.txt'"""
"""No shell reads the command line of a task, so that it starts one itself where it needs one."""

LONGEST = timedelta(hours=1)
"""How long a task may run."""

ACCESS = timedelta(days=1)
"""How long tasks can save: time in the queue counts, too."""

LAST_LINES = 20


def connect(batch_url: str) -> BatchClient:
    """The Batch account, as whoever is signed in here; on a machine in Azure as its identity."""
    from azure.identity import DefaultAzureCredential

    return BatchClient(endpoint=batch_url, credential=DefaultAzureCredential())


def check_storage(outputs: JobOutputStorage) -> None:
    """Make sure that the nodes can reach where outputs go: with nothing configured it is a folder of this machine."""
    if outputs.container_url.startswith("file:"):
        raise ConfigurationError(
            f"No node can store to {outputs.place}; set BATCH_OUTPUTS_ACCOUNT_URL to https://ACCOUNT.blob.core.windows.net."
        )


def make_tasks(outputs: JobOutputStorage, numbers: Sequence[str]) -> list[BatchTaskCreateOptions]:
    """A task for each number, with what it needs to save its outputs."""
    url = outputs.generate_container_url(ACCESS)
    settings = task_environment_settings(url, max_wall_clock_time=LONGEST)
    return [make_task(str(index), number, url, settings) for index, number in enumerate(numbers, start=1)]


def make_task(task_id: str, number: str, url: str, settings: list[EnvironmentSetting]) -> BatchTaskCreateOptions:
    """The task of a number: `run` keeps log and result, and the service what a failed one has left in its folder."""
    task = BatchTaskCreateOptions(
        id=task_id,
        command_line=COMMAND,
        environment_settings=[*settings, EnvironmentSetting(name="NUMBER", value=number)],
        constraints=BatchTaskConstraints(max_wall_clock_time=LONGEST),
        output_files=[
            output_file("**/*", TaskOutputKind.TASK_INTERMEDIATE, task_id=task_id, container_url=url, when="failure")
        ],
    )
    check_upload_rules(task)
    return task


def submit(batch: BatchClient, job_id: str, pool_id: str, tasks: list[BatchTaskCreateOptions]) -> None:
    """Create the job and its tasks, and let it end by itself when they have, whatever becomes of this program."""
    batch.create_job(BatchJobCreateOptions(id=job_id, pool_info=BatchPoolInfo(pool_id=pool_id)))
    batch.create_tasks(job_id, tasks)
    end_by_itself = BatchJobUpdateOptions(all_tasks_complete_mode=BatchAllTasksCompleteMode.TERMINATE_JOB)
    batch.update_job(job_id, end_by_itself)
    print(f"{len(tasks)} tasks of the job {job_id} are submitted to the pool {pool_id}", flush=True)


def wait(batch: BatchClient, job_id: str, *, seconds: float, interval: float) -> list[BatchTask]:
    """The tasks when all of them have ended, or when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        tasks = list(batch.list_tasks(job_id, select=["id", "state", "executionInfo"]))
        left = sum(not has_ended(task) for task in tasks)
        if not left or time.monotonic() >= deadline:
            return tasks
        print(f"{left} of {len(tasks)} tasks have not ended yet", flush=True)
        time.sleep(min(interval, max(deadline - time.monotonic(), 0)))


def has_ended(task: BatchTask) -> bool:
    """Whether nothing more will become of a task."""
    return task.state == BatchTaskState.COMPLETED


def what_failed(task: BatchTask) -> str | None:
    """Why a task is no success, in words; None if it is one."""
    info = task.execution_info
    if not has_ended(task) or info is None:
        return "has not ended in time"
    if info.result == BatchTaskExecutionResult.SUCCESS:
        return None
    # Without an exit code the task did not get as far as its program: the service says why.
    code = "did not run" if info.exit_code is None else f"failed with exit code {info.exit_code}"
    reason = info.failure_info.message if info.failure_info else None
    return f"{code}: {reason}" if reason else code


def collect(outputs: JobOutputStorage, folder: str) -> int:
    """Fetch all that the job has stored into a folder, and return how many files that are.

    What is there already is left alone, so that this can be repeated.
    """
    count = 0
    for output in outputs.list_all_outputs():
        if (output.part or 1) > 1:
            continue  # a log in parts is fetched as one file, with its first part
        output.fetch(os.path.join(folder, local_path(output.blob_name)))
        count += 1
    return count


def show_end_of_log(outputs: JobOutputStorage, task_id: str) -> None:
    """Print the last lines that a task wrote to stderr, without fetching the rest of it."""
    log = outputs.task(task_id).get_output(TaskOutputKind.TASK_LOG, "stderr.txt")
    try:
        end = b"".join(log.chunks(log.tail_offset(LAST_LINES)))
    except BlobNotFoundError:
        print("  (it has stored no log)")
        return
    for line in end.decode(errors="replace").splitlines():
        print(f"  {line}")


def run_job(chosen: argparse.Namespace) -> bool:
    """All of it, one after the other; whether every task has succeeded."""
    with connect(chosen.batch_url) as batch, job_output_storage(chosen.job) as outputs:
        check_storage(outputs)
        outputs.create_container()
        submit(batch, chosen.job, chosen.pool, make_tasks(outputs, chosen.numbers))
        tasks = wait(batch, chosen.job, seconds=60 * chosen.wait, interval=chosen.interval)
        print(f"{collect(outputs, chosen.to)} files are collected in {chosen.to}")
        failed = [(task.id, reason) for task in tasks if (reason := what_failed(task))]
        for task_id, reason in failed:
            print(f"task {task_id} {reason}")
            show_end_of_log(outputs, task_id)
        print(f"{len(tasks) - len(failed)} of {len(tasks)} tasks have succeeded")
        return not failed


def main() -> int:
    """Read the options, and go; 0 if every task has succeeded, otherwise 1."""
    parser = argparse.ArgumentParser(description="Submit a job to Azure Batch, wait for it, and collect its outputs.")
    parser.add_argument("--batch-url", required=True, help="the Batch account, https://ACCOUNT.REGION.batch.azure.com")
    parser.add_argument("--pool", required=True, help="id of the pool that the tasks run on")
    parser.add_argument("--job", required=True, help="id of the job, which must be a new one")
    parser.add_argument("--to", default="results", help="folder for what is collected (default: %(default)s)")
    parser.add_argument("--wait", type=float, default=60, help="minutes to wait for the tasks (default: %(default)s)")
    parser.add_argument("--interval", type=float, default=10, help="seconds between two looks (default: %(default)s)")
    parser.add_argument("numbers", nargs="+", metavar="NUMBER", help="a number to be factorised, a task for each")
    try:
        return 0 if run_job(parser.parse_args()) else 1
    except BatchOutputsError as error:
        print(error, file=sys.stderr)
    except AzureError as error:
        print("Azure did not do this:", error.message.partition("\n")[0], file=sys.stderr)  # the rest is ids and times
    except KeyboardInterrupt:
        print("no longer waited for; what was submitted goes on", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
