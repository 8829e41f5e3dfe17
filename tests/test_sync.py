"""The blocking face is the asynchronous library: the same methods, parameters and defaults, and the same outcomes."""

# ruff: noqa: PT012 - leaving the block of a tracked save is what raises, so the block stands in pytest.raises

from __future__ import annotations

import inspect
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pytest

import batch_outputs
from batch_outputs import JobOutputKind, TaskOutputKind, client, sync, tracking
from batch_outputs.client import sync as client_sync
from batch_outputs.errors import BlobNotFoundError, InvalidNameError, SourceNotFoundError
from batch_outputs.location import DirectoryAccount
from batch_outputs.settings import Target
from support import faults
from support.azurite import Azurite, Container
from support.fault_proxy import FaultProxy

CLASSES = ["JobOutputStorage", "OutputAccount", "OutputFileReference", "TaskOutputStorage", "TrackedSave"]
RECORDS = ["OutputPage", "SaveProgress"]
RENAMED = {"aclose": "close"}
PAIRS = [
    *((getattr(sync, name), getattr(batch_outputs, name)) for name in CLASSES),
    (client_sync.FileGroup, client.FileGroup),
]
FUNCTIONS = ["job_output_storage", "list_file_groups", "task_environment_settings", "task_output_storage"]
IN_BLOCKING = {
    "AsyncIterator": "Iterator",
    "AbstractAsyncContextManager": "AbstractContextManager",
    **dict.fromkeys(["async_outputs.", "async_storage.", "async_tracking.", "output_storage.", "sync."], ""),
}


@pytest.fixture
def job(url: str) -> Iterator[sync.JobOutputStorage]:
    """The outputs of a job."""
    with sync.JobOutputStorage.from_container_url(url) as storage:
        yield storage


@pytest.fixture
def working_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    folder = tmp_path / "wd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def public(kind: type) -> dict[str, Any]:
    """The public attributes of a class, under the names of the blocking face."""
    return {
        RENAMED.get(name, name): inspect.getattr_static(kind, name) for name in dir(kind) if not name.startswith("_")
    }


def parameters(attribute: Any) -> list[tuple[str, ...]]:
    """Names, kinds, defaults and types of a method's parameters, and the type of what it returns.

    Types are as the blocking face has them. A property says that it is one.
    """
    if isinstance(attribute, property):
        of_getter = parameters(attribute.fget)
        return [("settable" if attribute.fset else "property",), *of_getter]
    function = getattr(attribute, "__func__", attribute)
    signature = inspect.signature(function)
    return [
        *((p.name, p.kind.name, repr(p.default), blocking(p.annotation)) for p in signature.parameters.values()),
        ("return", blocking(signature.return_annotation)),
    ]


def blocking(annotation: object) -> str:
    """An annotation of either face, in the words of the blocking one."""
    annotation = str(annotation)
    for word, replaced in IN_BLOCKING.items():
        annotation = re.sub(rf"\b{re.escape(word)}", replaced, annotation)
    return annotation


def differences(blocking: type, original: type) -> list[str]:
    """The public methods and properties that two classes do not have alike."""
    one, other = public(blocking), public(original)
    alike = {
        name
        for name in one.keys() & other.keys()
        if parameters(one[name]) == parameters(other[name])
        and isinstance(one[name], classmethod) == isinstance(other[name], classmethod)
    }
    return sorted((one.keys() | other.keys()) - alike)


class MadeUpOriginal(Protocol):
    def same(self, a: int = 1) -> AsyncIterator[str]: ...
    def missing(self) -> None: ...
    def parameter(self, a: int) -> None: ...
    def default(self, a: int = 1) -> None: ...
    def annotation(self, a: int) -> None: ...
    def result(self) -> int: ...
    @property
    def setter(self) -> int: ...
    async def aclose(self) -> None: ...


class MadeUpBlocking(Protocol):
    def same(self, a: int = 1) -> Iterator[str]: ...
    def more(self) -> None: ...
    def parameter(self, b: int) -> None: ...
    def default(self, a: int = 2) -> None: ...
    def annotation(self, a: str) -> None: ...
    def result(self) -> str: ...
    @property
    def setter(self) -> int: ...
    @setter.setter
    def setter(self, value: int) -> None: ...
    def close(self) -> None: ...


class TestFaces:
    def test_same_names(self) -> None:
        """Both faces export the same names; what does no I/O is the very same object."""
        assert sync.__all__ == batch_outputs.__all__
        for name in set(sync.__all__) - {*CLASSES, *RECORDS}:
            assert getattr(sync, name) is getattr(batch_outputs, name)

    def test_same_names_of_the_client(self) -> None:
        """Of the client's names, those that make requests or give outputs are in the blocking face, and no others."""
        waits = {name for name in client.__all__ if inspect.iscoroutinefunction(getattr(client, name))}
        lists = {name for name in client.__all__ if inspect.isasyncgenfunction(getattr(client, name))}
        gives_outputs = {"FileGroup", "job_output_storage", "task_output_storage"}
        assert set(client_sync.__all__) == waits | lists | gives_outputs | {"template_tasks"}

    @pytest.mark.parametrize(("blocking", "original"), PAIRS)
    def test_same_methods(self, blocking: type, original: type) -> None:
        """Each class has the same public methods and properties, with the same parameters, defaults and types."""
        assert differences(blocking, original) == []

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_same_functions_of_the_client(self, name: str) -> None:
        """Each function of the client has the same parameters, defaults and types."""
        assert parameters(getattr(client_sync, name)) == parameters(getattr(client, name))

    def test_a_difference_is_noticed(self) -> None:
        """A method that one face lacks, and another parameter, default, type or result, are differences."""

        expected = ["annotation", "default", "missing", "more", "parameter", "result", "setter"]
        assert differences(MadeUpBlocking, MadeUpOriginal) == expected

    @pytest.mark.parametrize(("kind", "_"), PAIRS)
    def test_documented(self, kind: type, _: type) -> None:
        """Every public method of the blocking face says what it does."""
        assert kind.__doc__
        assert [method for method in public(kind) if not getattr(kind, method).__doc__] == []

    @pytest.mark.parametrize("name", RECORDS)
    def test_same_fields(self, name: str) -> None:
        """Each record has the same fields."""
        assert getattr(sync, name).__slots__ == getattr(batch_outputs, name).__slots__


def test_every_method(job: sync.JobOutputStorage, working_dir: Path) -> None:
    """Saving, listing, reading, tracking, all without an event loop."""
    (working_dir / "frame.png").write_bytes(b"png")
    (working_dir / "b.txt").write_bytes(b"b")
    task = job.task("t1")
    saved = task.save(TaskOutputKind.TASK_OUTPUT, "frame.png", metadata={"k": "v"})
    assert isinstance(saved, sync.OutputFileReference)
    assert (saved.kind, saved.name, saved.task_id) == ("TaskOutput", "frame.png", "t1")
    assert (saved.size, saved.content_type, saved.complete) == (3, "image/png", True)
    assert saved.blob_name == "t1/$TaskOutput/frame.png"
    assert saved.url.endswith("/t1/$TaskOutput/frame.png")
    assert saved.last_modified is not None
    assert saved.read_bytes() == b"png"
    assert saved.read_text() == "png"
    assert list(saved.chunks(1)) == [b"ng"]
    assert saved.download(working_dir / "copy.png") == 3
    assert (working_dir / "copy.png").read_bytes() == b"png"
    assert saved.refresh() is saved
    assert task.save_text("TaskOutput", "grün", "a.txt").read_text() == "grün"
    assert task.save_bytes("TaskOutput", b"x", "x.bin", replace_log=True).size == 1
    progress: list[sync.SaveProgress] = []
    many = task.save_all("TaskPreview", "*.png", "b.txt", on_progress=progress.append)
    assert [output.name for output in many] == ["copy.png", "frame.png", "b.txt"]
    assert [step.files for step in progress] == [1, 2, 3]
    assert all(isinstance(step.output, sync.OutputFileReference) for step in progress)
    errors: list[tracking.TrackingError] = []
    with task.save_tracked("TaskLog", "log.txt", flush_interval=30, on_error=errors.append) as tracked:
        (working_dir / "log.txt").write_bytes(b"line\n")
        tracked.flush()
        assert tracked.bytes_saved == 5
        assert tracked.interval == 30
        assert tracked.output.read_bytes() == b"line\n"
        tracked.exit_code = 7
        tracked.flush_timeout = 50
        assert (tracked.exit_code, tracked.flush_timeout) == (7, 50)
    assert tracked.output.complete
    assert [output.name for output in task.list_outputs("TaskOutput")] == ["a.txt", "frame.png", "x.bin"]
    assert len(list(task.list_outputs())) == 7
    assert task.get_output("TaskOutput", "a.txt").size is None
    assert task.output_prefix("TaskLog") == "t1/$TaskLog"
    job.save_text(JobOutputKind.JOB_OUTPUT, "all", "merged.txt")
    assert [output.blob_name for output in job.list_outputs()] == ["$JobOutput/merged.txt"]
    assert list(job.list_tasks()) == ["t1"]
    assert job.create_container.__doc__
    assert task.task_id == "t1"
    assert task.container == job.container
    for thing in (job, task, saved):
        assert "sig=" not in repr(thing)
    saved.delete()
    with pytest.raises(BlobNotFoundError):
        saved.refresh()


def test_ways_in(azurite: Azurite, tmp_path: Path) -> None:
    """All constructors are there, and a job's container can be created."""
    job_id = f"job{os.urandom(8).hex()}"
    with sync.JobOutputStorage.from_connection_string(azurite.connection_string, job_id) as job:
        assert job.create_container()
        assert not job.create_container()
    with sync.TaskOutputStorage.from_connection_string(azurite.connection_string, job_id, "t1") as task:
        task.save_text("TaskOutput", "x", "a")
    with sync.JobOutputStorage.from_service_client(azurite.service, job_id) as job:
        assert list(job.list_tasks()) == ["t1"]
    with sync.TaskOutputStorage.from_service_client(azurite.service, job_id, "t1") as task:
        assert [output.name for output in task.list_outputs()] == ["a"]
    environ = {"BATCH_OUTPUTS_ACCOUNT_URL": tmp_path.as_uri(), "AZ_BATCH_JOB_ID": "j", "AZ_BATCH_TASK_ID": "t2"}
    with sync.JobOutputStorage.from_env(environ) as job, sync.TaskOutputStorage.from_env(environ) as task:
        job.create_container()
        assert task.save_text("TaskOutput", "x", "a").task_id == "t2"
    target = Target(DirectoryAccount(tmp_path))
    with sync.TaskOutputStorage.at(target, job_id="j", task_id="t2") as task:
        assert len(list(task.list_outputs())) == 1
    with sync.JobOutputStorage.at(target, job_id="j") as job:
        assert list(job.list_tasks()) == ["t2"]


def test_an_account(tmp_path: Path) -> None:
    """The jobs of an account, and pages of what they hold, without an event loop."""
    with sync.OutputAccount.from_account_url(tmp_path.as_uri()) as account:
        with account.job("Render") as job:
            job.create_container()
            for number in range(3):
                job.task(f"t{number}").save_text("TaskOutput", "x", "a")
            page = job.page_of_tasks(limit=2)
            assert page.tasks == ("t0", "t1")
            assert job.page_of_tasks(after=page.after).tasks == ("t2",)
            outputs = job.task("t0").page_of_outputs()
            assert [output.read_bytes() for output in outputs.outputs] == [b"x"]
            assert list(job.list_tasks("t2")) == ["t2"]
        assert [found.container for found in account.list_jobs()] == ["job-render"]
        with account.container("job-render") as job:
            assert len(list(job.list_all_outputs())) == 3
        assert account.only_container is None
        assert account.place == str(tmp_path)
        account.delete_container("job-render")
        assert list(account.list_jobs()) == []
        for thing in (account, sync.OutputAccount.at(Target(DirectoryAccount(tmp_path)))):
            thing.close()
    assert sync.OutputAccount.from_env({"BATCH_OUTPUTS_CONTAINER_URL": f"{tmp_path.as_uri()}/job-x"}).only_container


def test_errors_come_through(job: sync.JobOutputStorage, working_dir: Path) -> None:
    """What the asynchronous library raises is raised here, as it is."""
    with pytest.raises(InvalidNameError):
        job.save_text(TaskOutputKind.TASK_LOG, "", "a")
    with pytest.raises(SourceNotFoundError):
        job.save("JobOutput", "missing")
    with pytest.raises(ExceptionGroup):
        job.save_all("JobOutput", "missing*")
    with pytest.raises(InvalidNameError):
        list(job.list_outputs("a/b"))


def test_an_error_in_a_tracked_block(job: sync.JobOutputStorage, working_dir: Path) -> None:
    """It comes out as it was, after the rest was saved."""
    error = RuntimeError("the task failed")
    with pytest.raises(RuntimeError) as raised, job.task("t1").save_tracked("TaskLog", "log.txt"):
        (working_dir / "log.txt").write_text("last words")
        raise error
    assert raised.value is error
    assert job.task("t1").get_output("TaskLog", "log.txt").read_text() == "last words"


def test_a_list_that_is_not_read_to_its_end(job: sync.JobOutputStorage) -> None:
    """A list, or a blob read in pieces, can be left in the middle."""
    task = job.task("t1")
    for n in range(3):
        task.save_text("TaskOutput", "x" * n, f"{n}")
    for output in task.list_outputs():
        assert output.name == "0"
        break
    for chunk in task.get_output("TaskOutput", "2").chunks():
        assert chunk == b"xx"
        break
    assert len(list(task.list_outputs())) == 3


def test_several_threads(job: sync.JobOutputStorage) -> None:
    """One storage can be used from many threads at once."""

    def work(n: int) -> str:
        output = job.task(f"t{n % 4}").save_text("TaskOutput", f"{n}", f"{n}")
        return output.read_text()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(40))) == [f"{n}" for n in range(40)]
    assert len([output for task_id in job.list_tasks() for output in job.task(task_id).list_outputs()]) == 40


def test_inside_a_running_event_loop(job: sync.JobOutputStorage) -> None:
    """Code that is called from a coroutine may use it too; it blocks, as it says."""
    import asyncio

    async def main() -> str:
        return job.save_text("JobOutput", "x", "a").read_text()

    assert asyncio.run(main()) == "x"


def test_a_callback_that_would_wait_for_itself(
    job: sync.JobOutputStorage, working_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A progress callback that uses the storage gets an error in place of an endless wait; the file is saved."""
    (working_dir / "a").write_text("a")
    [saved] = job.save_all("JobOutput", "a", on_progress=lambda progress: progress.output.read_bytes())
    assert saved.read_text() == "a"
    [record] = [record for record in caplog.records if "on_progress" in record.getMessage()]
    assert record.exc_info is not None
    assert record.exc_info[0] is RuntimeError


PROGRAM = """
import os, sys, signal
from batch_outputs import sync

with sync.TaskOutputStorage.from_container_url(os.environ["URL"], "t1") as outputs:
    try:
        with outputs.save_tracked("TaskLog", "log.txt"):
            with open("log.txt", "w") as log:
                log.write("interrupted\\n")
            print("ready", flush=True)
            {wait}
    except KeyboardInterrupt:
        sys.exit(42)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this sends a signal of POSIX systems")
@pytest.mark.parametrize("wait", ["signal.pause()", "outputs.save_text('TaskOutput', 'x', 'a')"])
def test_keyboard_interrupt(container: Container, fault_proxy: FaultProxy, tmp_path: Path, wait: str) -> None:
    """Ctrl-C ends what is waited for at once, the tracked save is finished, and the interrupt goes on its way."""
    hanging = fault_proxy.fault(faults.hang, on="put", times=None)
    url = fault_proxy.through(container.sas_url())
    command = [sys.executable, "-c", PROGRAM.format(wait=wait)]
    environ = {**os.environ, "URL": url, "BATCH_OUTPUTS_BULK": "0"}
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        if "save_text" in wait:
            fault_proxy.wait_fired()
        program.send_signal(signal.SIGINT)
        assert program.wait(60) == 42
    assert hanging.fired == ("save_text" in wait)
    with sync.TaskOutputStorage.from_container_url(container.sas_url(), "t1") as outputs:
        (output,) = outputs.list_outputs()
        assert (output.read_text(), output.complete) == ("interrupted\n", True)


def test_at_interpreter_exit(url: str, tmp_path: Path) -> None:
    """Lists and blocks that were never finished do not keep the interpreter from ending, nor make it speak."""
    program = """
import os
from batch_outputs import sync
outputs = sync.TaskOutputStorage.from_container_url(os.environ["URL"], "t1")
for n in range(3):
    outputs.save_text("TaskOutput", "x", str(n))
listing = outputs.list_outputs()
next(listing)
chunks = outputs.get_output("TaskOutput", "1").chunks()
next(chunks)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "URL": url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
def test_in_a_forked_child(job: sync.JobOutputStorage, url: str, tmp_path: Path) -> None:
    """A child that was forked while the library was in use opens its own storage and works."""
    job.save_text("JobOutput", "parent", "a")
    program = """
import os
from batch_outputs import sync
with sync.JobOutputStorage.from_container_url(os.environ["URL"]) as job:
    job.save_text("JobOutput", "parent", "b")
    child = os.fork()
    if child == 0:
        own = sync.JobOutputStorage.from_container_url(os.environ["URL"])
        own.save_text("JobOutput", "child", "c")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "URL": url}, cwd=tmp_path, timeout=120, check=True
    )
    assert [output.name for output in job.list_outputs()] == ["a", "b", "c"]


def test_one_background_thread() -> None:
    """However many storages there are, one thread serves them."""
    time.sleep(0)
    assert [thread.name for thread in threading.enumerate()].count("batch-outputs-sync") <= 1
