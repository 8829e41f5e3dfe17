"""One line for each public signature, for the type checker; it is never run.

`assert_type` says what a caller may rely on. mypy checks this file with `--strict`, and `test_public_api.py` that
nothing public is left out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, assert_type

from azure.batch.models import BatchNodeIdentityReference, BatchTaskCreateOptions, EnvironmentSetting, OutputFile

from batch_outputs import (
    BatchOutputsError,
    Fetched,
    JobOutputKind,
    JobOutputStorage,
    OutputAccount,
    OutputFileReference,
    OutputPage,
    SaveProgress,
    StoredJob,
    TaskEnvironment,
    TaskOutputKind,
    TaskOutputStorage,
    TaskPage,
    TrackedSave,
    TrackingError,
    job_container_name,
    sync,
)
from batch_outputs.client import (
    FileGroup,
    GroupDeletion,
    GroupFile,
    GroupProgress,
    GroupTransfer,
    StoredGroup,
    check_upload_rules,
    file_group_container_name,
    job_output_storage,
    list_file_groups,
    output_file,
    task_environment_settings,
    task_output_storage,
    upload_path,
)
from batch_outputs.client import sync as client_sync
from batch_outputs.client.templates import (
    Container,
    Expansion,
    Parameter,
    StoredContainers,
    Template,
    TemplateContainers,
    read_parameters,
    to_models,
)
from batch_outputs.client.templates.document import Node
from batch_outputs.kinds import OutputKind
from batch_outputs.runner import (
    CannotStartError,
    CheckpointRule,
    Notice,
    RestoreRule,
    RunResult,
    SaveRule,
    run,
)
from batch_outputs.settings import find_target


def rules() -> None:
    """What does no I/O."""
    assert_type(job_container_name("job"), str)
    assert_type(TaskOutputKind.TASK_OUTPUT, TaskOutputKind)
    assert_type(TaskOutputKind.TASK_PREVIEW, TaskOutputKind)
    assert_type(TaskOutputKind.TASK_LOG, TaskOutputKind)
    assert_type(TaskOutputKind.TASK_INTERMEDIATE, TaskOutputKind)
    assert_type(TaskOutputKind("Thumbnails"), TaskOutputKind)
    assert_type(JobOutputKind.JOB_OUTPUT, JobOutputKind)
    assert_type(JobOutputKind.JOB_PREVIEW, JobOutputKind)
    assert_type(TaskEnvironment.from_environ(), TaskEnvironment)
    assert_type(TaskEnvironment.from_environ({"AZ_BATCH_TASK_ID": "t1"}).task_id, str | None)
    error: Exception = BatchOutputsError("a sentence")
    text: str = TaskOutputKind.TASK_LOG
    del error, text


def environment(environment: TaskEnvironment) -> None:
    """What a node tells a task."""
    assert_type(environment.job_id, str | None)
    assert_type(environment.task_id, str | None)
    assert_type(environment.task_dir, str | None)
    assert_type(environment.working_dir, str | None)
    assert_type(environment.account_name, str | None)
    assert_type(environment.account_url, str | None)
    assert_type(environment.pool_id, str | None)
    assert_type(environment.node_id, str | None)
    assert_type(environment.is_dedicated, bool | None)
    assert_type(environment.node_root_dir, str | None)
    assert_type(environment.node_shared_dir, str | None)
    assert_type(environment.node_startup_dir, str | None)
    assert_type(environment.node_mounts_dir, str | None)
    assert_type(environment.job_prep_dir, str | None)
    assert_type(environment.job_prep_working_dir, str | None)
    assert_type(environment.task_shared_dir, str | None)
    assert_type(environment.is_current_node_master, bool | None)
    assert_type(environment.host_list, tuple[str, ...])
    assert_type(environment.node_list, tuple[str, ...])
    assert_type(environment.master_node, str | None)
    assert_type(environment.reserved_ephemeral_disk_space_bytes, int | None)
    assert_type(environment.app_packages, Mapping[str, str])


def ways_in(client: object, credential: object, environment: TaskEnvironment) -> None:
    """The constructors."""
    target = find_target()
    assert_type(TaskOutputStorage.at(target, job_id="job", task_id="t1", environment=environment), TaskOutputStorage)
    assert_type(JobOutputStorage.at(target, job_id="job", environment=environment), JobOutputStorage)
    assert_type(TaskOutputStorage.from_env(), TaskOutputStorage)
    assert_type(TaskOutputStorage.from_env({"A": "b"}, credential=credential), TaskOutputStorage)
    assert_type(TaskOutputStorage.from_container_url("url", "t1", credential=credential), TaskOutputStorage)
    assert_type(TaskOutputStorage.from_account_url("url", "job", "t1", credential=client), TaskOutputStorage)
    assert_type(TaskOutputStorage.from_connection_string("text", "job", "t1"), TaskOutputStorage)
    assert_type(TaskOutputStorage.from_service_client(client, "job", "t1"), TaskOutputStorage)
    assert_type(JobOutputStorage.from_env({"A": "b"}, credential=credential), JobOutputStorage)
    assert_type(JobOutputStorage.from_container_url("url", credential=credential), JobOutputStorage)
    assert_type(JobOutputStorage.from_account_url("url", "job", credential=client), JobOutputStorage)
    assert_type(JobOutputStorage.from_connection_string("text", "job"), JobOutputStorage)
    assert_type(JobOutputStorage.from_service_client(client, "job"), JobOutputStorage)


def on_progress(progress: SaveProgress) -> None:
    """A callback of `save_all`."""
    assert_type(progress.output, OutputFileReference)
    assert_type(progress.files, int)
    assert_type(progress.total_files, int)
    assert_type(progress.size, int)


def on_error(error: TrackingError) -> None:
    """A callback of `save_tracked`."""
    assert_type(error.path, str)
    assert_type(error.blob, str)
    assert_type(error.offset, int)
    assert_type(error.pending, int)
    assert_type(error.cause, BatchOutputsError)
    assert_type(error.attempts, int)


async def task(outputs: TaskOutputStorage) -> None:
    """What a task does."""
    async with outputs as entered:
        assert_type(entered, TaskOutputStorage)
    log, path = TaskOutputKind.TASK_LOG, Path("a")
    assert_type(outputs.task_id, str)
    assert_type(outputs.container, str)
    assert_type(outputs.place, str)
    assert_type(await outputs.save(log, path), OutputFileReference)
    await outputs.save("TaskOutput", "a", "b", content_type="a/b", metadata={"k": "v"}, replace_log=True)
    assert_type(await outputs.save_text(log, "text", "name"), OutputFileReference)
    await outputs.save_text(log, "text", "name", encoding="utf-8", content_type="a/b", metadata={}, replace_log=True)
    assert_type(await outputs.save_bytes(log, b"data", "name"), OutputFileReference)
    await outputs.save_bytes(log, b"data", "name", content_type="a/b", metadata={}, replace_log=True)
    assert_type(await outputs.save_all(log, "*", path, base=path, on_progress=on_progress), list[OutputFileReference])
    await outputs.save_all(log, "*", name="folder")
    assert_type(outputs.save_tracked(log, path), AbstractAsyncContextManager[TrackedSave, bool | None])
    async with outputs.save_tracked(
        log, path, "name", flush_interval=1, settle=0, per_node=True, attempt="a1", opened=0, on_error=on_error
    ) as tracked:
        assert_type(tracked, TrackedSave)
        assert_type(await tracked.flush(), None)
        assert_type(tracked.hurry("Preempt"), None)
        assert_type(tracked.end_within(20), None)
        assert_type(tracked.bytes_saved, int)
        assert_type(tracked.interval, float)
        assert_type(tracked.output, OutputFileReference)
        assert_type(tracked.exit_code, int | None)
        assert_type(tracked.flush_timeout, float)
        tracked.exit_code, tracked.flush_timeout = 1, 20
    assert_type(outputs.list_outputs(), AsyncIterator[OutputFileReference])
    assert_type(outputs.list_outputs(log), AsyncIterator[OutputFileReference])
    page = await outputs.page_of_outputs(log, after="t1/$TaskLog/a", limit=10)
    assert_type(page, OutputPage)
    assert_type(page.outputs, tuple[OutputFileReference, ...])
    assert_type(page.after, str | None)
    assert_type(outputs.list_kinds(), AsyncIterator[str])
    assert_type(outputs.get_output(log, "name"), OutputFileReference)
    assert_type(outputs.output_prefix(log), str)
    assert_type(await outputs.aclose(), None)


async def job(outputs: JobOutputStorage) -> None:
    """What only a job's storage does."""
    assert_type(outputs.task("t1"), TaskOutputStorage)
    assert_type(outputs.output_at("t1/$TaskOutput/a"), OutputFileReference)
    assert_type(outputs.list_tasks("t"), AsyncIterator[str])
    assert_type(outputs.list_all_outputs("t"), AsyncIterator[OutputFileReference])
    page = await outputs.page_of_tasks("t", after="t1", limit=10)
    assert_type(page, TaskPage)
    assert_type(page.tasks, tuple[str, ...])
    assert_type(page.after, str | None)
    assert_type(await outputs.create_container(), bool)
    assert_type(outputs.container_url, str)
    assert_type(await outputs.generate_container_url(timedelta(days=1), permissions="rl"), str)
    assert_type(await outputs.generate_container_url(expiry=datetime.now(UTC)), str)


async def file_group(group: FileGroup) -> None:
    """`FileGroup` and the groups there are."""
    assert_type(file_group_container_name("data"), str)
    assert_type(FileGroup.at(find_target(), "data"), FileGroup)
    assert_type(FileGroup.from_env("data", {"A": "b"}, credential=None), FileGroup)
    assert_type(FileGroup.from_account_url("file:///tmp/a", "data", credential=None), FileGroup)
    assert_type(FileGroup.from_connection_string("…", "data"), FileGroup)
    assert_type((group.group, group.container, group.place, group.url), tuple[str, str, str, str])
    assert_type(await group.exists(), bool)
    assert_type(await group.create_container(), bool)
    uploaded = await group.upload("a", Path("b"), recursive=True, flatten=True, remote_path="c", on_progress=progressed)
    assert_type(uploaded, GroupTransfer)
    assert_type((uploaded.moved, uploaded.unchanged, uploaded.size), tuple[tuple[str, ...], tuple[str, ...], int])
    assert_type(await group.download(Path("out"), "*.png", on_progress=progressed), GroupTransfer)
    assert_type(group.list("*.png"), AsyncIterator[GroupFile])
    gone = await group.delete("*.png", until=datetime.now(UTC), on_progress=progressed)
    assert_type(gone, GroupDeletion)
    assert_type((gone.files, gone.size), tuple[int, int])
    assert_type(await group.delete_container(), None)
    async for file in group.list():
        assert_type(file, GroupFile)
        assert_type((file.name, file.size, file.last_modified), tuple[str, int, datetime])
        assert_type((file.content_type, file.source_modified), tuple[str | None, datetime | None])
    async for stored in list_file_groups(find_target(), prefix="d"):
        assert_type(stored, StoredGroup)
        assert_type((stored.group, stored.container, stored.last_modified), tuple[str, str, datetime | None])
    async with group as entered:
        assert_type(entered, FileGroup)
    assert_type(await group.aclose(), None)


def file_group_blocking(group: client_sync.FileGroup) -> None:
    """The same, blocking."""
    assert_type(client_sync.FileGroup.at(find_target(), "data"), client_sync.FileGroup)
    assert_type(client_sync.FileGroup.from_env("data", {"A": "b"}, credential=None), client_sync.FileGroup)
    assert_type(client_sync.FileGroup.from_account_url("url", "data", credential=None), client_sync.FileGroup)
    assert_type(client_sync.FileGroup.from_connection_string("…", "data"), client_sync.FileGroup)
    assert_type((group.group, group.container, group.place, group.url), tuple[str, str, str, str])
    assert_type(group.exists(), bool)
    assert_type(group.create_container(), bool)
    uploaded = group.upload("a", Path("b"), recursive=True, flatten=True, remote_path="c", on_progress=progressed)
    assert_type(uploaded, GroupTransfer)
    assert_type(group.download(Path("out"), "*.png", on_progress=progressed), GroupTransfer)
    assert_type(group.list("*.png"), Iterator[GroupFile])
    assert_type(group.delete("*.png", until=datetime.now(UTC), on_progress=progressed), GroupDeletion)
    assert_type(group.delete_container(), None)
    assert_type(client_sync.list_file_groups(find_target(), prefix="d"), Iterator[StoredGroup])
    with group as entered:
        assert_type(entered, client_sync.FileGroup)
    assert_type(group.close(), None)


async def template(template: Template, containers: TemplateContainers, parameter: Parameter, node: Node) -> None:
    """Templates of jobs."""
    assert_type(Template.read(Path("render.json")), Template)
    assert_type(Template.parse("{}", file="render.json"), Template)
    assert_type(template.parameters, Mapping[str, Parameter])
    assert_type(parameter.value(node), Node)
    values = read_parameters("values.json", {"frames": "100"}, template=template)
    assert_type(values, dict[str, object])
    expansion = template.expand(values)
    assert_type(expansion, Expansion)
    assert_type(expansion.job, dict[str, Any])
    assert_type((expansion.count, expansion.needs_containers), tuple[int | None, bool])
    assert_type(expansion.tasks(containers), AsyncIterator[dict[str, Any]])
    assert_type(client_sync.template_tasks(expansion, containers), Iterator[dict[str, Any]])
    assert_type(to_models([task async for task in expansion.tasks()]), list[BatchTaskCreateOptions])
    stored = StoredContainers(find_target(), sas=True, expiry=timedelta(days=1), create_groups=True)
    assert_type(stored, StoredContainers)
    expansion.tasks(stored)
    container = Container(url="file:///tmp/c")
    assert_type(container, Container)
    assert_type((container.group, container.url), tuple[str | None, str | None])
    assert_type(stored.list_names(Container(group="data"), ""), AsyncIterator[str])
    assert_type(await stored.container_url(container, "r"), str)
    assert_type(stored.signed, int)
    assert_type(containers.list_names(container, ""), AsyncIterator[str])
    assert_type(await containers.container_url(container, "w"), str)


def progressed(progress: GroupProgress) -> None:
    """What `on_progress` is called with."""
    assert_type((progress.name, progress.files, progress.total_files), tuple[str, int, int | None])
    assert_type((progress.unchanged, progress.size), tuple[bool, int])


async def account(jobs: OutputAccount) -> None:
    """Where jobs are found."""
    async with jobs as entered:
        assert_type(entered, OutputAccount)
    assert_type(OutputAccount.from_env({"A": "b"}, credential=None), OutputAccount)
    assert_type(OutputAccount.from_account_url("url", credential=None), OutputAccount)
    assert_type(OutputAccount.from_connection_string("text"), OutputAccount)
    assert_type(OutputAccount.at(find_target()), OutputAccount)
    assert_type(jobs.only_container, str | None)
    assert_type(jobs.place, str)
    assert_type(jobs.list_jobs("r"), AsyncIterator[StoredJob])
    assert_type(jobs.job("render"), JobOutputStorage)
    assert_type(jobs.container("job-render"), JobOutputStorage)
    assert_type(await jobs.delete_container("job-render"), None)
    assert_type(await jobs.aclose(), None)
    async for job in jobs.list_jobs():
        assert_type(job, StoredJob)
        assert_type(job.container, str)
        assert_type(job.job_id, str | None)
        assert_type(job.last_modified, datetime | None)
        assert_type(job.name, str)


async def reference(output: OutputFileReference) -> None:
    """An output."""
    assert_type(output.kind, OutputKind)
    assert_type(output.name, str)
    assert_type(output.task_id, str | None)
    assert_type(output.blob_name, str)
    assert_type(output.url, str)
    assert_type(output.size, int | None)
    assert_type(output.last_modified, datetime | None)
    assert_type(output.content_type, str | None)
    assert_type(output.metadata, Mapping[str, str] | None)
    assert_type(output.complete, bool | None)
    assert_type(output.is_log, bool | None)
    assert_type(output.part, int | None)
    assert_type(await output.refresh(), OutputFileReference)
    assert_type(output.etag, str | None)
    assert_type(output.chunks(1, length=2, exactly=True), AsyncIterator[bytes])
    assert_type(output.follow(1, interval=2, on_outage=print, on_recovery=list), AsyncIterator[bytes])
    assert_type(await output.tail_offset(10), int)
    assert_type(await output.read_bytes(), bytes)
    assert_type(await output.read_text("utf-8", errors="replace"), str)
    assert_type(await output.download(Path("a")), int)
    fetched = await output.fetch(Path("a"), refresh=False, check=False, on_bytes=print)
    assert_type(fetched, Fetched)
    assert_type((fetched.size, fetched.unchanged, fetched.resumed_at), tuple[int, bool, int])
    assert_type(fetched.checked, Literal["sha256", "md5", "length"])
    assert_type(await output.delete(), None)


def on_progress_blocking(progress: sync.SaveProgress) -> None:
    """A callback of `save_all`."""
    assert_type(progress.output, sync.OutputFileReference)
    assert_type(progress.files, int)
    assert_type(progress.total_files, int)
    assert_type(progress.size, int)


def ways_in_blocking(client: object, environment: TaskEnvironment) -> None:
    """The constructors, blocking."""
    at = sync.TaskOutputStorage.at(find_target(), job_id="job", task_id="t1", environment=environment)
    assert_type(at, sync.TaskOutputStorage)
    assert_type(sync.TaskOutputStorage.from_env({"A": "b"}, credential=client), sync.TaskOutputStorage)
    assert_type(sync.TaskOutputStorage.from_container_url("url", "t1", credential=client), sync.TaskOutputStorage)
    assert_type(sync.TaskOutputStorage.from_account_url("url", "job", "t1", credential=client), sync.TaskOutputStorage)
    assert_type(sync.TaskOutputStorage.from_connection_string("text", "job", "t1"), sync.TaskOutputStorage)
    assert_type(sync.TaskOutputStorage.from_service_client(client, "job", "t1"), sync.TaskOutputStorage)
    assert_type(sync.JobOutputStorage.at(find_target(), job_id="job", environment=environment), sync.JobOutputStorage)
    assert_type(sync.JobOutputStorage.from_env({"A": "b"}, credential=client), sync.JobOutputStorage)
    assert_type(sync.JobOutputStorage.from_container_url("url", credential=client), sync.JobOutputStorage)
    assert_type(sync.JobOutputStorage.from_account_url("url", "job", credential=client), sync.JobOutputStorage)
    assert_type(sync.JobOutputStorage.from_connection_string("text", "job"), sync.JobOutputStorage)
    assert_type(sync.JobOutputStorage.from_service_client(client, "job"), sync.JobOutputStorage)


def blocking(outputs: sync.TaskOutputStorage) -> None:
    """What a task does, blocking."""
    log, path = sync.TaskOutputKind.TASK_LOG, Path("a")
    with outputs as entered:
        assert_type(entered, sync.TaskOutputStorage)
    assert_type(outputs.task_id, str)
    assert_type(outputs.container, str)
    assert_type(outputs.place, str)
    output = outputs.save("TaskOutput", "a", "b", content_type="a/b", metadata={"k": "v"}, replace_log=True)
    assert_type(output, sync.OutputFileReference)
    assert_type(outputs.save_text(log, "text", "name", encoding="utf-8"), sync.OutputFileReference)
    outputs.save_text(log, "text", "name", content_type="a/b", metadata={}, replace_log=True)
    assert_type(outputs.save_bytes(log, b"data", "name"), sync.OutputFileReference)
    outputs.save_bytes(log, b"data", "name", content_type="a/b", metadata={}, replace_log=True)
    saved = outputs.save_all(log, "*", path, base=path, on_progress=on_progress_blocking)
    assert_type(saved, list[sync.OutputFileReference])
    outputs.save_all(log, "*", name="folder")
    assert_type(outputs.save_tracked(log, path), AbstractContextManager[sync.TrackedSave, bool | None])
    with outputs.save_tracked(
        log, path, "name", flush_interval=1, settle=0, per_node=True, attempt="a1", opened=0, on_error=on_error
    ) as tracked:
        assert_type(tracked, sync.TrackedSave)
        assert_type(tracked.flush(), None)
        assert_type(tracked.hurry("Preempt"), None)
        assert_type(tracked.end_within(20), None)
        assert_type(tracked.bytes_saved, int)
        assert_type(tracked.interval, float)
        assert_type(tracked.output, sync.OutputFileReference)
        assert_type(tracked.exit_code, int | None)
        assert_type(tracked.flush_timeout, float)
        tracked.exit_code, tracked.flush_timeout = 1, 20
    assert_type(outputs.list_outputs(log), Iterator[sync.OutputFileReference])
    page = outputs.page_of_outputs(log, after="a", limit=10)
    assert_type(page, sync.OutputPage)
    assert_type(page.outputs, tuple[sync.OutputFileReference, ...])
    assert_type(page.after, str | None)
    assert_type(outputs.list_kinds(), Iterator[str])
    assert_type(outputs.get_output(log, "name"), sync.OutputFileReference)
    assert_type(outputs.output_prefix(log), str)
    assert_type(outputs.close(), None)


def blocking_job(outputs: sync.JobOutputStorage) -> None:
    """What only a job's storage does, blocking."""
    assert_type(outputs.task("t1"), sync.TaskOutputStorage)
    assert_type(outputs.output_at("t1/$TaskOutput/a"), sync.OutputFileReference)
    assert_type(outputs.list_tasks("t"), Iterator[str])
    assert_type(outputs.list_all_outputs("t"), Iterator[sync.OutputFileReference])
    assert_type(outputs.page_of_tasks("t", after="t1", limit=10), TaskPage)
    assert_type(outputs.create_container(), bool)
    assert_type(outputs.container_url, str)
    assert_type(outputs.generate_container_url(timedelta(days=1), permissions="rl"), str)
    assert_type(outputs.generate_container_url(expiry=datetime.now(UTC)), str)


def blocking_reference(output: sync.OutputFileReference) -> None:
    """An output, blocking."""
    assert_type(output.kind, OutputKind)
    assert_type(output.name, str)
    assert_type(output.task_id, str | None)
    assert_type(output.blob_name, str)
    assert_type(output.url, str)
    assert_type(output.size, int | None)
    assert_type(output.last_modified, datetime | None)
    assert_type(output.content_type, str | None)
    assert_type(output.metadata, Mapping[str, str] | None)
    assert_type(output.complete, bool | None)
    assert_type(output.is_log, bool | None)
    assert_type(output.part, int | None)
    assert_type(output.refresh(), sync.OutputFileReference)
    assert_type(output.etag, str | None)
    assert_type(output.chunks(1, length=2, exactly=True), Iterator[bytes])
    assert_type(output.follow(1, interval=2, on_outage=print, on_recovery=list), Iterator[bytes])
    assert_type(output.tail_offset(10), int)
    assert_type(output.read_bytes(), bytes)
    assert_type(output.read_text("utf-8", errors="replace"), str)
    assert_type(output.download(Path("a")), int)
    assert_type(output.fetch(Path("a"), refresh=False, check=False, on_bytes=print), sync.Fetched)
    assert_type(output.delete(), None)


def blocking_account(jobs: sync.OutputAccount) -> None:
    """Where jobs are found, blocking."""
    with jobs as entered:
        assert_type(entered, sync.OutputAccount)
    assert_type(sync.OutputAccount.from_env({"A": "b"}, credential=None), sync.OutputAccount)
    assert_type(sync.OutputAccount.from_account_url("url", credential=None), sync.OutputAccount)
    assert_type(sync.OutputAccount.from_connection_string("text"), sync.OutputAccount)
    assert_type(sync.OutputAccount.at(find_target()), sync.OutputAccount)
    assert_type(jobs.only_container, str | None)
    assert_type(jobs.place, str)
    assert_type(jobs.list_jobs("r"), Iterator[StoredJob])
    assert_type(jobs.job("render"), sync.JobOutputStorage)
    assert_type(jobs.container("job-render"), sync.JobOutputStorage)
    assert_type(jobs.delete_container("job-render"), None)
    assert_type(jobs.close(), None)


def rules_of_files(exit_code: int | None) -> None:
    """What `run` is told of files."""
    save = SaveRule.parse("*", name="folder", when="failure", required=True)
    assert_type(save, SaveRule)
    assert_type((save.kind, save.pattern, save.name), tuple[OutputKind, str, str | None])
    assert_type((save.when, save.required), tuple[Literal["success", "failure", "completion"], bool])
    assert_type(save.is_for(exit_code), bool | None)
    checkpoint = CheckpointRule.parse("*")
    assert_type(checkpoint, CheckpointRule)
    assert_type((checkpoint.kind, checkpoint.pattern), tuple[OutputKind, str])
    restore = RestoreRule.parse("*", newest=1)
    assert_type(restore, RestoreRule)
    assert_type((restore.kind, restore.pattern, restore.newest), tuple[OutputKind, str, int | None])


async def wrapped(notice: Notice) -> None:
    """A program that is run."""
    assert_type((notice.event, notice.not_before, notice.seconds_left), tuple[str, str, float])
    result = await run(
        ["true"],
        save=["*", SaveRule.parse("*", name="folder", when="failure", required=True)],
        checkpoint=["*", CheckpointRule.parse("*")],
        restore=["*", RestoreRule.parse("*", newest=1)],
        job_id="job",
        task_id="t1",
        target=find_target(),
        echo=False,
        per_node=True,
        flush_interval=1,
        flush_timeout=1,
        grace=1,
        watch_preemption=True,
        preempt_signal=10,
    )
    assert_type(result, RunResult)
    assert_type(result.exit_code, int)
    assert_type(result.seconds, float)
    assert_type(result.seconds_saving, float)
    assert_type(result.logs, list[OutputFileReference])
    assert_type(result.saved, list[OutputFileReference])
    assert_type(result.checkpoints, list[OutputFileReference])
    assert_type(result.restored, list[OutputFileReference])
    assert_type(result.recovered, list[OutputFileReference])
    assert_type(result.failures, list[Exception])
    assert_type(result.unmatched, list[Exception])
    assert_type(result.notice, Notice | None)
    assert_type(result.spool, str | None)
    assert_type(CannotStartError("", exit_code=127).exit_code, int)


async def submitted(client_job: object, client_task: object) -> None:
    """What those who submit jobs use."""
    with_access = job_output_storage(
        client_job, account_url="url", container_url="url", connection_string="text", credential=None
    )
    assert_type(with_access, JobOutputStorage)
    of_task = task_output_storage(
        client_job, client_task, account_url="url", container_url="url", connection_string="text", credential=None
    )
    assert_type(of_task, TaskOutputStorage)
    settings = await task_environment_settings(
        with_access,
        sas=True,
        expiry=timedelta(days=1),
        permissions="rw",
        max_wall_clock_time=timedelta(days=1),
        on_warning=print,
    )
    assert_type(settings, list[EnvironmentSetting])
    assert_type(await task_environment_settings("url", identity_client_id="id"), list[EnvironmentSetting])
    assert_type(output_file("TaskLog=*", task_id="t1", container_url="url"), OutputFile)
    output_file(
        "*",
        TaskOutputKind.TASK_LOG,
        task_id="t1",
        container_url="url",
        when="failure",
        name="name",
        identity=BatchNodeIdentityReference(resource_id="id"),
        headers={"Content-Type": "text/plain"},
        windows=True,
    )
    assert_type(upload_path("*", "TaskLog", task_id="t1", name="name", windows=True), str)
    assert_type(check_upload_rules(client_task), None)


def submitted_blocking(client_job: object, client_task: object) -> None:
    """The same, blocking."""
    job = client_sync.job_output_storage(
        client_job, account_url="url", container_url="url", connection_string="text", credential=None
    )
    assert_type(job, sync.JobOutputStorage)
    of_task = client_sync.task_output_storage(
        client_job, client_task, account_url="url", container_url="url", connection_string="text", credential=None
    )
    assert_type(of_task, sync.TaskOutputStorage)
    settings = client_sync.task_environment_settings(
        job,
        sas=True,
        expiry=timedelta(days=1),
        permissions="rw",
        max_wall_clock_time=timedelta(days=1),
        on_warning=print,
    )
    assert_type(settings, list[EnvironmentSetting])
    assert_type(client_sync.task_environment_settings("url", identity_client_id="id"), list[EnvironmentSetting])
