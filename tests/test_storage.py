"""Saving, listing and reading the outputs of tasks and jobs, in a folder and on a real blob service."""

# ruff: noqa: ASYNC240 - the tests' own files are small, and nothing else waits for the event loop

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AzureSasCredential
from azure.storage.blob import BlobServiceClient
from azure.storage.blob.aio import BlobServiceClient as AsyncBlobServiceClient

from batch_outputs import (
    JobOutputKind,
    JobOutputStorage,
    OutputFileReference,
    TaskEnvironment,
    TaskOutputKind,
    TaskOutputStorage,
    job_container_name,
)
from batch_outputs.errors import (
    AccessDeniedError,
    BatchOutputsError,
    BlobNotFoundError,
    ConfigurationError,
    ContainerNotFoundError,
    InvalidNameError,
    SourceError,
    SourceNotFoundError,
    StoreError,
    TargetError,
    WrongBlobTypeError,
)
from batch_outputs.job_container import JOB_ID_KEY
from batch_outputs.location import DirectoryAccount
from batch_outputs.saving_all import SaveProgress
from batch_outputs.settings import Target
from support import faults
from support.azurite import ACCOUNT, KEY, Azurite, Container
from support.fault_proxy import FaultProxy

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


@pytest.fixture
async def job(url: str) -> AsyncIterator[JobOutputStorage]:
    """The outputs of a job."""
    async with JobOutputStorage.from_container_url(url) as storage:
        yield storage


@pytest.fixture
def task(job: JobOutputStorage) -> TaskOutputStorage:
    """The outputs of its task t1."""
    return job.task("t1")


@pytest.fixture
def working_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    folder = tmp_path / "wd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


async def listed(storage: TaskOutputStorage | JobOutputStorage, kind: str | None = None) -> list[str]:
    return [output.blob_name async for output in storage.list_outputs(kind)]


class TestSaving:
    async def test_a_file(self, task: TaskOutputStorage, working_dir: Path) -> None:
        """A file is stored under its own path, whole, with its type and what was said about it."""
        (working_dir / "out").mkdir()
        (working_dir / "out" / "frame 1#.png").write_bytes(bytes(range(256)))
        before = datetime.now(UTC) - timedelta(seconds=5)
        saved = await task.save(TaskOutputKind.TASK_OUTPUT, "out/frame 1#.png", metadata={"camera": "left"})
        assert saved.blob_name == "t1/$TaskOutput/out/frame 1#.png"
        assert (saved.kind, saved.name, saved.task_id) == ("TaskOutput", "out/frame 1#.png", "t1")
        found = [output async for output in task.list_outputs()]
        assert [output.blob_name for output in found] == [saved.blob_name]
        for output in (saved, *found, await task.get_output("TaskOutput", "out/frame 1#.png").refresh()):
            assert (output.size, output.content_type, output.complete) == (256, "image/png", True)
            assert output.last_modified is not None
            assert before < output.last_modified < datetime.now(UTC) + timedelta(seconds=5)
            assert await output.read_bytes() == bytes(range(256))

    async def test_names_from_sources(self, task: TaskOutputStorage, working_dir: Path) -> None:
        """Without a name, a relative source is its own; a name that is given counts, and both take paths as objects."""
        (working_dir.parent / "stdout.txt").write_text("out")
        assert (await task.save("TaskLog", Path("..") / "stdout.txt")).blob_name == "t1/$TaskLog/stdout.txt"
        assert (await task.save("TaskLog", "../stdout.txt", "a\\b.log")).blob_name == "t1/$TaskLog/a/b.log"
        with pytest.raises(InvalidNameError, match="which name"):
            await task.save("TaskLog", working_dir.parent / "stdout.txt")

    async def test_absolute_sources_in_a_task(
        self, url: str, working_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In a task, absolute sources below its directories are named by them."""
        monkeypatch.setenv("AZ_BATCH_TASK_DIR", str(working_dir.parent))
        monkeypatch.setenv("AZ_BATCH_TASK_WORKING_DIR", str(working_dir))
        monkeypatch.setenv("AZ_BATCH_NODE_ID", "n1")
        (working_dir / "a.txt").touch()
        (working_dir.parent / "stdout.txt").touch()
        async with TaskOutputStorage.from_container_url(url, "t1") as task:
            assert (await task.save("TaskOutput", working_dir / "a.txt")).name == "a.txt"
            assert (await task.save("TaskOutput", working_dir.parent / "stdout.txt")).name == "stdout.txt"

    @pytest.mark.parametrize("size", [0, 1, 4 * MIB, 9 * MIB + 1])
    async def test_any_size(self, task: TaskOutputStorage, working_dir: Path, size: int) -> None:
        """Nothing, a byte, a whole piece and several pieces are stored as they are."""
        content = os.urandom(size)
        (working_dir / "a.bin").write_bytes(content)
        saved = await task.save("TaskOutput", "a.bin")
        assert saved.size == size
        assert await saved.read_bytes() == content
        assert (await saved.refresh()).size == size

    async def test_text_and_bytes(self, task: TaskOutputStorage) -> None:
        """Text is stored in UTF-8 unless told, bytes as they are; both get the type of their name."""
        text = await task.save_text("TaskOutput", "grün\r\n", "a/report.json")
        assert await text.read_bytes() == "grün\r\n".encode()
        assert (await text.refresh()).content_type == "application/json"
        latin = await task.save_text(
            TaskOutputKind("Notes"), "grün", "b", encoding="latin-1", content_type="text/x-odd"
        )
        assert await latin.read_bytes() == b"gr\xfcn"
        assert await latin.read_text("latin-1") == "grün"
        assert (await latin.refresh()).content_type == "text/x-odd"
        data = await task.save_bytes("TaskOutput", b"\0\xff", "c.bin", metadata={"k": "v"})
        assert await data.read_bytes() == b"\0\xff"
        with pytest.raises(UnicodeEncodeError):
            await task.save_text("TaskOutput", "grün", "d", encoding="ascii")
        assert sorted(await listed(task)) == ["t1/$Notes/b", "t1/$TaskOutput/a/report.json", "t1/$TaskOutput/c.bin"]

    async def test_replaces_an_earlier_save(self, task: TaskOutputStorage) -> None:
        """The last save of a name counts, with its own type and length."""
        await task.save_bytes("TaskOutput", b"first and longer", "a", content_type="text/plain")
        saved = await task.save_bytes("TaskOutput", b"second", "a")
        assert await saved.read_bytes() == b"second"
        assert (await saved.refresh()).content_type == "application/octet-stream"
        assert await listed(task) == ["t1/$TaskOutput/a"]

    async def test_of_a_job(self, job: JobOutputStorage, working_dir: Path) -> None:
        """A job's outputs lie at the top of its container."""
        (working_dir / "merged.txt").write_text("all")
        saved = await job.save(JobOutputKind.JOB_OUTPUT, "merged.txt", "out/merged.txt")
        assert saved.blob_name == "$JobOutput/out/merged.txt"
        assert saved.task_id is None
        assert await listed(job) == await listed(job, "JobOutput") == ["$JobOutput/out/merged.txt"]
        assert job.output_prefix(JobOutputKind.JOB_PREVIEW) == "$JobPreview"

    @pytest.mark.parametrize(
        "name", ["a b#?%41+[*]ü.txt", "a//b", "$x", "x.part-2.txt", " ", "y" * (1024 - len("t1/$TaskOutput/")), ".x"]
    )
    async def test_any_name(self, task: TaskOutputStorage, name: str) -> None:
        """Names that other programs stumble over come back as they were given."""
        saved = await task.save_bytes("TaskOutput", name.encode(), name)
        (found,) = [output async for output in task.list_outputs("TaskOutput")]
        assert found.name == saved.name == name
        assert await task.get_output("TaskOutput", name).read_text() == name


class TestRefusals:
    """What is refused before anything is requested: the container does not even exist."""

    @pytest.fixture
    def task(self, tmp_path: Path) -> TaskOutputStorage:
        return TaskOutputStorage.from_container_url((tmp_path / "nowhere" / "job-x").as_uri(), "t1")

    @pytest.mark.parametrize("kind", ["", "a/b", "a\\b", "a\n", JobOutputKind.JOB_OUTPUT, JobOutputKind("Custom")])
    async def test_kinds(self, task: TaskOutputStorage, kind: str, working_dir: Path) -> None:
        """A kind that is none, or a job's for a task, is refused by every method."""
        (working_dir / "a").touch()
        calls: list[Callable[[], Any]] = [
            lambda: task.save(kind, "a"),
            lambda: task.save_text(kind, "", "a"),
            lambda: task.save_bytes(kind, b"", "a"),
            lambda: task.save_all(kind, "a"),
            lambda: task.save_all(kind, "nothing*"),
            lambda: anext(task.list_outputs(kind)),
        ]
        for call in calls:
            with pytest.raises(InvalidNameError):
                await call()
        for refuse in (
            lambda: task.save_tracked(kind, "a"),
            lambda: task.get_output(kind, "a"),
            lambda: task.output_prefix(kind),
        ):
            with pytest.raises(InvalidNameError):
                refuse()

    async def test_kinds_of_a_task_for_a_job(self, tmp_path: Path) -> None:
        """The other way round, too; as plain text every kind is a custom one."""
        job = JobOutputStorage.from_container_url((tmp_path / "job-x").as_uri())
        with pytest.raises(InvalidNameError, match=r"TaskLog.*JobOutputKind"):
            await job.save_text(TaskOutputKind.TASK_LOG, "", "a")
        assert job.output_prefix("TaskLog") == "$TaskLog"

    @pytest.mark.parametrize(
        "name", ["", "/a", "a/", ".", "..", "../a", "a/../../b", "a/..", "\\a", "z" * 1020, "a\ud800"]
    )
    async def test_names(self, task: TaskOutputStorage, name: str, working_dir: Path) -> None:
        """A name that leads nowhere or out of its kind is refused by every method."""
        (working_dir / "a").touch()
        calls: list[Callable[[], Any]] = [
            lambda: task.save("TaskOutput", "a", name),
            lambda: task.save_text("TaskOutput", "", name),
            lambda: task.save_bytes("TaskOutput", b"", name),
        ]
        for call in calls:
            with pytest.raises(InvalidNameError):
                await call()
        for refuse in (lambda: task.save_tracked("TaskLog", "a", name), lambda: task.get_output("TaskLog", name)):
            with pytest.raises(InvalidNameError):
                refuse()

    @pytest.mark.parametrize("task_id", ["", "a/b", "$a", "..", "a\\b"])
    async def test_task_ids(self, task_id: str, tmp_path: Path) -> None:
        """A task id that cannot lead a blob name is refused by every way in."""
        url = (tmp_path / "job-x").as_uri()
        ways_in: list[Callable[[], Any]] = [
            lambda: TaskOutputStorage.from_container_url(url, task_id),
            lambda: TaskOutputStorage.from_connection_string("UseDevelopmentStorage=true", "j", task_id),
            lambda: JobOutputStorage.from_container_url(url).task(task_id),
        ]
        for refuse in ways_in:
            with pytest.raises(InvalidNameError, match="task id"):
                refuse()

    @pytest.mark.parametrize("job_id", ["", "a/b", "a b"])
    async def test_job_ids(self, job_id: str) -> None:
        """So is what is no job id."""
        with pytest.raises(InvalidNameError, match="job id"):
            JobOutputStorage.from_connection_string("UseDevelopmentStorage=true", job_id)
        with pytest.raises(InvalidNameError, match="job id"):
            TaskOutputStorage.from_connection_string("UseDevelopmentStorage=true", job_id, "t1")

    async def test_sources(self, task: TaskOutputStorage, working_dir: Path) -> None:
        """A missing file and a folder are refused with their path, before the container is looked for."""
        with pytest.raises(SourceNotFoundError, match=r"no file missing\.txt"):
            await task.save("TaskOutput", "missing.txt")
        (working_dir / "folder").mkdir()
        with pytest.raises(SourceError, match="is a folder"):
            await task.save("TaskOutput", "folder")
        with pytest.raises(SourceError, match="folder"):
            async with task.save_tracked("TaskLog", "folder"):
                pytest.fail("a folder is no log")

    @pytest.mark.parametrize("interval", [0, -1, float("nan")])
    async def test_intervals(self, task: TaskOutputStorage, interval: float) -> None:
        """An interval is a time."""
        with pytest.raises(ValueError, match="flush_interval"):
            task.save_tracked("TaskLog", "a", flush_interval=interval)

    async def test_the_container_does_not_come_by_itself(self, task: TaskOutputStorage, working_dir: Path) -> None:
        """What was configured and does not exist is an error that says so, for everything that needs it."""
        (working_dir / "a").touch()
        calls: list[Callable[[], Any]] = [
            lambda: task.save("TaskOutput", "a"),
            lambda: task.save_bytes("TaskOutput", b"", "a"),
            lambda: anext(task.list_outputs()),
            lambda: task.get_output("TaskOutput", "a").refresh(),
            lambda: task.get_output("TaskOutput", "a").read_bytes(),
            lambda: task.save_tracked("TaskLog", "a").__aenter__(),
        ]
        for call in calls:
            with pytest.raises(ContainerNotFoundError, match="job-x"):
                await call()
        assert not (working_dir.parent / "nowhere").exists()


class TestManyAtOnce:
    async def test_files_folders_and_patterns(self, task: TaskOutputStorage, working_dir: Path) -> None:
        """All files meant are stored, the references come in their order, and progress counts up to all of them."""
        for n in range(40):
            (working_dir / f"frame{n:02}.png").write_bytes(b"x" * n)
        (working_dir / "sub").mkdir()
        (working_dir / "sub" / ".hidden").write_text("h")
        (working_dir / "notes.txt").write_text("n")
        progress: list[SaveProgress] = []
        saved = await task.save_all("TaskOutput", "*.png", "sub", Path("notes.txt"), on_progress=progress.append)
        names = [f"frame{n:02}.png" for n in range(40)] + ["sub/.hidden", "notes.txt"]
        assert [output.name for output in saved] == names
        assert [output.name async for output in task.list_outputs("TaskOutput")] == sorted(names)
        for output in saved:
            assert await output.read_bytes() == (working_dir / output.name).read_bytes()
        assert [step.files for step in progress] == list(range(1, 43))
        assert {step.total_files for step in progress} == {42}
        assert progress[-1].size == sum(range(40)) + 2
        assert sorted(step.output.name for step in progress) == sorted(names)

    async def test_below_a_base(self, job: JobOutputStorage, working_dir: Path) -> None:
        """With a base, names are relative to it."""
        (working_dir / "a" / "b").mkdir(parents=True)
        (working_dir / "a" / "b" / "c.txt").touch()
        (saved,) = await job.save_all("JobOutput", "**/*.txt", base=working_dir / "a")
        assert saved.blob_name == "$JobOutput/b/c.txt"

    async def test_nothing_asked_for(self, task: TaskOutputStorage) -> None:
        """No pattern, no file, no error."""
        assert await task.save_all("TaskOutput") == []

    async def test_two_files_with_one_name(self, task: TaskOutputStorage, working_dir: Path) -> None:
        """Two sources with one name are refused before any of them is stored."""
        (working_dir / "a.txt").write_text("inner")
        (working_dir.parent / "a.txt").write_text("outer")
        (working_dir / "b.txt").write_text("b")
        with pytest.raises(InvalidNameError, match=r"a\.txt"):
            await task.save_all("TaskOutput", "b.txt", "a.txt", "../a.txt")
        assert await listed(task) == []

    async def test_all_are_tried(self, task: TaskOutputStorage, working_dir: Path) -> None:
        """Each file that cannot be saved has its error in the group; all others are saved."""
        for name in ("a.txt", "b.txt", "c.txt"):
            (working_dir / name).write_text(name)
        (working_dir / "dangling").symlink_to("nothing")
        async with task.save_tracked("TaskOutput", "b.txt", "log.txt"):
            pass
        (working_dir / "log.txt").write_text("no log")
        fails_for_type = await wrong_type_is_refused(task)
        patterns = ["a.txt", "missing.txt", "dangling", "*.jpg", "log.txt", "c.txt"]
        with pytest.raises(ExceptionGroup, match="could not be saved") as failed:
            await task.save_all("TaskOutput", *patterns)
        reasons = sorted(str(error) for error in failed.value.exceptions)
        assert [type(error) for error in failed.value.exceptions].count(SourceNotFoundError) == 3
        assert len(reasons) == 3 + fails_for_type
        for name in ("missing.txt", "dangling", "*.jpg"):
            assert any(name in reason for reason in reasons)
        assert {"t1/$TaskOutput/a.txt", "t1/$TaskOutput/c.txt"} <= set(await listed(task))

    async def test_a_store_that_refuses(self, container: Container, working_dir: Path) -> None:
        """A credential that may not write gives an error for each file, and none of them holds the SAS."""
        for name in ("a.txt", "b.txt"):
            (working_dir / name).touch()
        async with TaskOutputStorage.from_container_url(container.sas_url("rl"), "t1") as task:
            with pytest.raises(ExceptionGroup) as failed:
                await task.save_all("TaskOutput", "*.txt")
        assert [type(error) for error in failed.value.exceptions] == [AccessDeniedError] * 2
        assert "sig=" not in "".join(f"{error!r}{vars(error)}{error.__cause__!r}" for error in failed.value.exceptions)


async def wrong_type_is_refused(task: TaskOutputStorage) -> bool:
    """Whether this store keeps a file from replacing a log, as Azure and folders do, and Azurite does not."""
    return task.get_output("TaskOutput", "x").url.startswith("file:")


class TestLogs:
    """A tracked log is not replaced by a save that does not ask for it."""

    @pytest.fixture(params=["folder", "azure"])
    def url(self, request: pytest.FixtureRequest, tmp_path: Path, container: Container, fault_proxy: FaultProxy) -> str:
        """As elsewhere, but with a blob service that keeps Azure's rules."""
        if request.param == "folder":
            (tmp_path / "store" / "job-x").mkdir(parents=True)
            return (tmp_path / "store" / "job-x").as_uri()
        fault_proxy.azure_rules(container.azurite.reading_sas)
        return fault_proxy.through(container.sas_url())

    async def test_a_save_over_a_log(self, task: TaskOutputStorage, working_dir: Path) -> None:
        """It is refused with the way out, and leaves the log as it was; with replace_log it takes its place."""
        (working_dir / "a.txt").write_text("line\n")
        async with task.save_tracked("TaskLog", "a.txt"):
            pass
        log = task.get_output("TaskLog", "a.txt")
        saves: list[Callable[..., Any]] = [
            lambda **options: task.save("TaskLog", "a.txt", **options),
            lambda **options: task.save_text("TaskLog", "new", "a.txt", **options),
            lambda **options: task.save_bytes("TaskLog", b"new", "a.txt", **options),
        ]
        for save in saves:
            with pytest.raises(WrongBlobTypeError, match="replace_log=True") as refused:
                await save()
            assert refused.value.blob == "t1/$TaskLog/a.txt"
            assert await log.read_text() == "line\n"
        await saves[0](replace_log=True)
        assert await log.read_text() == "line\n"
        await saves[2](replace_log=True)  # over a file it makes no difference
        assert await log.read_text() == "new"
        await saves[1](replace_log=True)

    async def test_a_log_over_a_save(self, task: TaskOutputStorage, working_dir: Path) -> None:
        """A tracked save under a file's name is refused when it begins, and leaves the file."""
        saved = await task.save_text("TaskLog", "file", "a.txt")
        (working_dir / "a.txt").write_text("line\n")
        with pytest.raises(WrongBlobTypeError, match="choose another name"):
            async with task.save_tracked("TaskLog", "a.txt"):
                pytest.fail("there is a file of that name")
        assert await saved.read_text() == "file"


class TestListing:
    async def test_kinds_and_tasks_stay_apart(self, job: JobOutputStorage) -> None:
        """TaskOutput never shows TaskOutputRaw, t1 never shows t10 or T1, and a task never shows the job's."""
        task_ids = ["t1", "t10", "T1", "t", "t1.x", "t1-x"]
        for task_id in task_ids:
            for kind in ("TaskOutput", "TaskOutputRaw", "taskoutput"):
                await job.task(task_id).save_text(kind, "", f"{task_id}.{kind}")
        await job.save_text("JobOutput", "", "j")
        await job.save_text("JobOutputRaw", "", "j")
        assert await listed(job.task("t1"), "TaskOutput") == ["t1/$TaskOutput/t1.TaskOutput"]
        assert await listed(job.task("t1")) == [
            f"t1/${kind}/t1.{kind}" for kind in ("TaskOutput", "TaskOutputRaw", "taskoutput")
        ]
        assert await listed(job.task("t2")) == await listed(job.task("t1"), "TaskPreview") == []
        assert await listed(job, "JobOutput") == ["$JobOutput/j"]
        assert await listed(job) == ["$JobOutput/j", "$JobOutputRaw/j"]
        assert [task_id async for task_id in job.list_tasks()] == sorted(task_ids, key=lambda id_: f"{id_}/")
        kinds = {type(output.kind) async for output in job.task("t1").list_outputs()}
        assert kinds == {TaskOutputKind}
        assert {type(output.kind) async for output in job.list_outputs()} == {JobOutputKind}

    async def test_what_is_not_ours_is_left_out(self, container: Container) -> None:
        """Blobs that follow another rule, put there by somebody else, keep nobody from listing."""
        for name in (
            "top.txt",
            "t1/plain.txt",
            "t1/sub/$TaskLog/x",
            "t1/$/x",
            "t1/$bad\x85kind/x",
            "/lead",
            "t1/$TaskLog/ok",
        ):
            container.client.upload_blob(name, b"")
        async with JobOutputStorage.from_container_url(container.sas_url()) as job:
            assert await listed(job.task("t1")) == ["t1/$TaskLog/ok"]
            assert await listed(job) == []
            assert [task_id async for task_id in job.list_tasks()] == ["t1"]

    async def test_page_by_page(self, container: Container, fault_proxy: FaultProxy) -> None:
        """A long list is asked for as it is read, not before."""
        async with TaskOutputStorage.from_container_url(fault_proxy.through(container.sas_url()), "t1") as task:
            for n in range(9):
                await task.save_bytes("TaskOutput", b"", f"{n}")
            fault_proxy.fault(faults.small_pages(3), on="list", times=None)
            outputs = task.list_outputs("TaskOutput")

            def pages() -> int:
                return [request.operation for request in fault_proxy.requests].count("list")

            assert pages() == 0
            assert (await anext(outputs)).name == "0"
            assert pages() < 3
            assert [output.name async for output in outputs] == [f"{n}" for n in range(1, 9)]
            assert pages() >= 3


class TestReferences:
    async def test_made_without_a_request(self, container: Container, fault_proxy: FaultProxy) -> None:
        """`get_output`, `task` and all names are had without asking anybody."""
        url = fault_proxy.through(container.sas_url())
        async with JobOutputStorage.from_container_url(url) as job:
            output = job.task("t1").get_output(TaskOutputKind.TASK_LOG, "a/b c.txt")
            assert (output.kind, output.name, output.task_id) == ("TaskLog", "a/b c.txt", "t1")
            assert output.blob_name == "t1/$TaskLog/a/b c.txt"
            assert output.url == f"{url.partition('?')[0]}/t1/$TaskLog/a/b%20c.txt"
            assert (output.size, output.last_modified, output.content_type, output.complete) == (None,) * 4
            assert job.task("t1").output_prefix("TaskLog") == "t1/$TaskLog"
            assert (job.container, job.task("t1").container) == (container.name,) * 2
            for text in (repr(output), repr(job), repr(job.task("t1")), job.place, output.url):
                assert container.name in text
                assert "sig=" not in text
            assert "t1/$TaskLog/a/b c.txt" in repr(output)
        assert fault_proxy.requests == []

    async def test_what_is_missing(self, task: TaskOutputStorage, tmp_path: Path) -> None:
        """Everything that needs the blob says that there is none, by its name."""
        output = task.get_output("TaskOutput", "missing.txt")
        calls: list[Callable[[], Any]] = [
            output.refresh,
            output.read_bytes,
            output.read_text,
            output.delete,
            lambda: anext(output.chunks()),
            lambda: output.download(tmp_path / "missing.txt"),
        ]
        for call in calls:
            with pytest.raises(BlobNotFoundError, match=r"missing\.txt") as refused:
                await call()
            assert refused.value.blob == "t1/$TaskOutput/missing.txt"
        assert not list(tmp_path.glob("*missing*"))
        assert not list(tmp_path.glob("*.part"))

    async def test_reading(self, task: TaskOutputStorage) -> None:
        """The content comes whole, as text, or in pieces from any place."""
        content = os.urandom(5 * MIB)
        output = await task.save_bytes("TaskOutput", content, "a")
        assert await output.read_bytes() == content
        for offset in (0, 1, 4 * MIB, 5 * MIB - 1, 5 * MIB, 6 * MIB):
            pieces = [piece async for piece in output.chunks(offset)]
            assert b"".join(pieces) == content[offset:]
            assert all(0 < len(piece) <= 4 * MIB for piece in pieces)
        with pytest.raises(ValueError, match="offset"):
            await anext(output.chunks(-1))
        text = await task.save_bytes("TaskOutput", b"a\xff", "b")
        assert await text.read_text(errors="replace") == "a\ufffd"
        with pytest.raises(UnicodeDecodeError):
            await text.read_text()

    async def test_downloading(self, task: TaskOutputStorage, working_dir: Path) -> None:
        """A download makes its folders, replaces what was there, gives the length, and leaves nothing beside it."""
        content = os.urandom(5 * MIB)
        output = await task.save_bytes("TaskOutput", content, "a.bin")
        target = working_dir / "new" / "folder" / "a.bin"
        assert await task.get_output("TaskOutput", "a.bin").download(target) == len(content)
        assert target.read_bytes() == content
        await task.save_bytes("TaskOutput", b"short", "a.bin")
        assert await output.download(str(target)) == 5
        assert output.size == 5
        assert target.read_bytes() == b"short"
        assert await output.download("beside.bin") == 5
        assert sorted(path.name for path in working_dir.rglob("*")) == ["a.bin", "beside.bin", "folder", "new"]

    async def test_downloads_that_cannot_be_written(self, task: TaskOutputStorage, working_dir: Path) -> None:
        """A folder, or a file taken for one, is named, and nothing is left behind."""
        output = await task.save_bytes("TaskOutput", b"x", "a")
        (working_dir / "file").touch()
        for target in (working_dir, working_dir / "file" / "a", working_dir / "new" / ""):
            with pytest.raises(TargetError, match=r"wd|file|new"):
                await output.download(f"{target}/" if target.name == "new" else target)
        assert [path.name for path in working_dir.rglob("*")] == ["file"]

    async def test_a_broken_download_leaves_what_was_there(
        self, container: Container, fault_proxy: FaultProxy, working_dir: Path
    ) -> None:
        """A download that the service refuses midway changes nothing."""
        (working_dir / "a").write_bytes(b"old")
        async with TaskOutputStorage.from_container_url(fault_proxy.through(container.sas_url()), "t1") as task:
            output = await task.save_bytes("TaskOutput", b"new" * MIB, "a")
            refused = fault_proxy.fault(faults.answer_before(403), on="read", times=None)
            with pytest.raises(StoreError):
                await output.download("a")
            assert refused.fired
        assert [path.name for path in working_dir.iterdir()] == ["a"]
        assert (working_dir / "a").read_bytes() == b"old"

    async def test_deleting(self, task: TaskOutputStorage) -> None:
        """A deleted output is gone, and only that one."""
        kept = await task.save_bytes("TaskOutput", b"", "a")
        gone = await task.save_bytes("TaskOutput", b"", "b")
        await gone.delete()
        assert await listed(task) == [kept.blob_name]
        with pytest.raises(BlobNotFoundError):
            await gone.refresh()

    async def test_refreshing(self, task: TaskOutputStorage) -> None:
        """`refresh` looks again and gives the reference itself."""
        output = await task.save_bytes("TaskOutput", b"1", "a")
        await task.save_bytes("TaskOutput", b"22", "a", content_type="text/plain")
        assert (output.size, output.content_type) == (1, "application/octet-stream")
        assert await output.refresh() is output
        assert (output.size, output.content_type) == (2, "text/plain")


class TestWaysIn:
    async def saves(self, task: TaskOutputStorage) -> OutputFileReference:
        async with task:
            saved = await task.save_text("TaskOutput", "x", "a")
            assert await saved.read_text() == "x"
        return saved

    def with_container(self, azurite: Azurite) -> str:
        """A job whose container exists."""
        job_id = f"Job_{os.urandom(8).hex()}"
        azurite.new_container(job_container_name(job_id))
        return job_id

    async def test_connection_string(self, azurite: Azurite) -> None:
        """An account's connection string and a job: the container follows from its id."""
        job_id = self.with_container(azurite)
        await self.saves(TaskOutputStorage.from_connection_string(azurite.connection_string, job_id, "t1"))
        async with JobOutputStorage.from_connection_string(azurite.connection_string, job_id.upper()) as job:
            assert [task_id async for task_id in job.list_tasks()] == ["t1"]

    async def test_container_url_with_a_credential(self, container: Container) -> None:
        """A URL without a SAS, and a SAS or key beside it."""
        for credential in (container.sas(), f"?{container.sas()}", KEY, AzureSasCredential(container.sas())):
            await self.saves(TaskOutputStorage.from_container_url(container.url, "t1", credential=credential))

    async def test_environment(self, azurite: Azurite) -> None:
        """Job and task from Batch's variables, the account from any of ours or the Azure CLI's."""
        job_id = self.with_container(azurite)
        batch = {"AZ_BATCH_JOB_ID": job_id, "AZ_BATCH_TASK_ID": "t1", "AZ_BATCH_NODE_ID": "n"}
        account_sas = azurite.container(job_container_name(job_id)).sas()
        ways = [
            {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string},
            {"AZURE_STORAGE_SERVICE_ENDPOINT": azurite.endpoint, "AZURE_STORAGE_KEY": KEY},
            {"AZURE_STORAGE_SERVICE_ENDPOINT": azurite.endpoint, "AZURE_STORAGE_SAS_TOKEN": account_sas},
            {"BATCH_OUTPUTS_ACCOUNT_URL": f"{azurite.endpoint}?{account_sas}"},
            {"BATCH_OUTPUTS_CONTAINER_URL": azurite.container(job_container_name(job_id)).sas_url()},
        ]
        for way in ways:
            saved = await self.saves(TaskOutputStorage.from_env({**batch, **way}))
            assert saved.url == f"{azurite.endpoint}/{job_container_name(job_id)}/t1/$TaskOutput/a"
        by_key = TaskOutputStorage.from_env({**batch, "BATCH_OUTPUTS_ACCOUNT_URL": azurite.endpoint}, credential=KEY)
        await self.saves(by_key)

    @pytest.mark.parametrize("kind", [BlobServiceClient, AsyncBlobServiceClient])
    async def test_service_client(self, azurite: Azurite, kind: Any) -> None:
        """A client of the Azure SDK, blocking or not, with a key or a SAS in any form; the client stays as it is."""
        job_id = self.with_container(azurite)
        sas = azurite.container(job_container_name(job_id)).sas()
        clients = [
            kind.from_connection_string(azurite.connection_string),
            kind(azurite.endpoint, credential=KEY),
            kind(azurite.endpoint, credential=sas),
            kind(f"{azurite.endpoint}?{sas}"),
            kind(azurite.endpoint, credential=AzureSasCredential(sas)),
        ]
        for client in clients:
            await self.saves(TaskOutputStorage.from_service_client(client, job_id, "t1"))
            async with JobOutputStorage.from_service_client(client, job_id) as job:
                assert [task_id async for task_id in job.list_tasks()] == ["t1"]
            if kind is BlobServiceClient:
                client.close()
            else:
                await client.close()

    async def test_no_service_client(self) -> None:
        """Anything else is refused by its type."""
        with pytest.raises(ConfigurationError, match="str is not a BlobServiceClient"):
            JobOutputStorage.from_service_client("https://acct.blob.core.windows.net", "j")

    async def test_an_asynchronous_identity(self) -> None:
        """An asynchronous client whose identity is one too is refused with the blocking class."""
        identity = pytest.importorskip("azure.identity.aio", reason="azure-identity is not installed")
        endpoint = "https://acct.blob.core.windows.net"
        async with (
            identity.DefaultAzureCredential() as credential,
            AsyncBlobServiceClient(endpoint, credential=credential) as client,
        ):
            with pytest.raises(ConfigurationError, match=r"azure\.identity\.DefaultAzureCredential"):
                TaskOutputStorage.from_service_client(client, "j", "t1")

    async def test_creating_the_container(self, azurite: Azurite, tmp_path: Path) -> None:
        """Who submits a job creates its container once; it remembers the job's id, which a hashed name cannot."""
        job_id = f"Job_{os.urandom(8).hex()}"
        async with JobOutputStorage.from_connection_string(azurite.connection_string, job_id) as job:
            assert await job.create_container()
            assert not await job.create_container()
            assert azurite.container(job.container).client.get_container_properties().metadata == {JOB_ID_KEY: job_id}
            await job.save_text("JobOutput", "", "a")
        async with JobOutputStorage.at(Target(DirectoryAccount(tmp_path / "new")), job_id=job_id) as job:
            assert await job.create_container()
            assert not await job.create_container()

    async def test_a_container_sas_may_not_create(self, container: Container) -> None:
        """A SAS of the container is told so."""
        async with JobOutputStorage.from_container_url(container.sas_url()) as job:
            with pytest.raises(BatchOutputsError) as refused:
                await job.create_container()
            assert "sig=" not in f"{refused.value!r}{refused.value.__cause__!r}"

    async def test_wrong_key_and_expired_sas(self, azurite: Azurite, container: Container) -> None:
        """A wrong key, an expired SAS and one with too few rights each give one sentence without the secret."""
        wrong_key = azurite.connection_string.replace(KEY, "d3Jvbmcga2V5")
        expired = container.sas_url(expires_in=timedelta(minutes=-5))
        async with (
            TaskOutputStorage.from_connection_string(wrong_key, "j", "t1") as first,
            TaskOutputStorage.from_container_url(expired, "t1") as second,
            TaskOutputStorage.from_container_url(container.sas_url("r"), "t1") as third,
        ):
            for task in (first, second, third):
                with pytest.raises(AccessDeniedError) as refused:
                    await task.save_text("TaskOutput", "x", "a")
                shown = f"{refused.value!r} {vars(refused.value)} {refused.value.__cause__!r}"
                assert "sig=" not in shown
                assert "d3Jvbmcga2V5" not in shown

    async def test_a_container_that_does_not_exist(self, azurite: Azurite) -> None:
        """It is not created by a save; the error names it."""
        async with TaskOutputStorage.from_connection_string(azurite.connection_string, "job-never-made", "t1") as task:
            with pytest.raises(ContainerNotFoundError, match="job-job-never-made"):
                await task.save_text("TaskOutput", "x", "a")
        assert not azurite.container("job-job-never-made").client.exists()

    async def test_a_closed_storage_opens_again(self, url: str) -> None:
        """Leaving the block gives back connections; the storage itself can be entered once more."""
        task = TaskOutputStorage.from_container_url(url, "t1")
        await self.saves(task)
        await self.saves(task)

    async def test_a_tasks_storage_belongs_to_its_jobs(self, job: JobOutputStorage) -> None:
        """Leaving the block of a task does not close the job it came from."""
        async with job.task("t1") as task:
            saved = await task.save_text("TaskOutput", "x", "a")
        assert await saved.read_text() == "x"


class TestEmbedded:
    async def test_works_with_nothing(self, working_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Away from a node with nothing configured: a folder, announced once, in the layout of the conventions."""
        (working_dir / "frame.png").write_bytes(b"png")
        with caplog.at_level(logging.WARNING, "batch_outputs"):
            async with TaskOutputStorage.from_env({}) as task:
                assert task.task_id == "task"
                assert not (working_dir / "batch-outputs").exists()
                await task.save("TaskOutput", "frame.png")
                async with task.save_tracked("TaskLog", "frame.png"):
                    pass
        folder = working_dir / "batch-outputs" / "job-local"
        assert (folder / "task" / "$TaskOutput" / "frame.png").read_bytes() == b"png"
        assert (folder / "task" / "$TaskLog" / "frame.png").read_bytes() == b"png"
        said = [record.getMessage() for record in caplog.records]
        assert [str(folder) in message for message in said] == [True]

    async def test_task_and_job_agree(self, working_dir: Path) -> None:
        """What a task saved there, its job finds; the container remembers the job's id."""
        async with TaskOutputStorage.from_env({}) as task:
            await task.save_text("TaskOutput", "x", "a")
        async with JobOutputStorage.from_env({}) as job:
            assert [task_id async for task_id in job.list_tasks()] == ["task"]
        from batch_outputs.stores import open_account

        account = open_account(DirectoryAccount(working_dir / "batch-outputs"))
        (container,) = [properties async for properties in account.list_containers()]
        assert container.metadata == {JOB_ID_KEY: "local"}
        await account.aclose()

    async def test_is_not_saved_into_itself(self, working_dir: Path) -> None:
        """Saving the whole current folder leaves out the folder that it is saved in."""
        (working_dir / "a.txt").touch()
        async with TaskOutputStorage.from_env({}) as task:
            for _ in range(2):
                assert [output.name for output in await task.save_all("TaskOutput", ".")] == ["a.txt"]

    @pytest.mark.parametrize("sign", ["AZ_BATCH_NODE_ID", "AZ_BATCH_TASK_DIR"])
    async def test_not_on_a_node(self, working_dir: Path, sign: str) -> None:
        """On a node nothing configured is refused, and nothing is made."""
        for storage in (TaskOutputStorage, JobOutputStorage):
            with pytest.raises(ConfigurationError, match="BATCH_OUTPUTS_CONTAINER_URL"):
                storage.from_env({sign: "x"})
        assert list(working_dir.iterdir()) == []

    async def test_a_start_task_names_its_job_and_task(self, tmp_path: Path) -> None:
        """Where Batch gives no ids, they have to be given."""
        environ = {"AZ_BATCH_NODE_ID": "n1", "BATCH_OUTPUTS_ACCOUNT_URL": tmp_path.as_uri()}
        with pytest.raises(ConfigurationError, match="AZ_BATCH_JOB_ID"):
            JobOutputStorage.from_env(environ)
        with pytest.raises(ConfigurationError, match="AZ_BATCH_TASK_ID"):
            TaskOutputStorage.from_env({**environ, "AZ_BATCH_JOB_ID": "j"})
        target = Target(DirectoryAccount(tmp_path))
        environment = TaskEnvironment.from_environ(environ)
        task = TaskOutputStorage.at(target, job_id="j", task_id="start", environment=environment)
        assert (task.container, task.task_id) == ("job-j", "start")


async def test_account_of_the_emulator_is_known(azurite: Azurite) -> None:
    """The place that people are shown is host and container."""
    job = JobOutputStorage.from_connection_string(azurite.connection_string, "j")
    assert job.place == f"127.0.0.1:{azurite.port}/{ACCOUNT}/job-j"
