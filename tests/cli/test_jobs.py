"""`jobs` and `tasks`: whose outputs are stored."""

from __future__ import annotations

import os
import re
import sys
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from batch_outputs.names import job_container_name
from batch_outputs.sync import JobOutputStorage
from support.azurite import KEY, Azurite, Container
from support.command import Desk, signature
from support.fault_proxy import FaultProxy
from support.terminal import at_terminal

needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
AGES = {"Render_1": 3 * 3600, "render-2": 60, "other": 40 * 86400}


@pytest.fixture
def account(desk: Desk) -> Desk:
    """An account that is a folder, with three jobs of known age."""
    url = desk.variables["BATCH_OUTPUTS_ACCOUNT_URL"] = (desk.folder / "acct").as_uri()
    for job, age in AGES.items():
        with JobOutputStorage.from_account_url(url, job) as storage:
            storage.create_container()
        then = time.time() - age
        os.utime(desk.folder / "acct" / job_container_name(job), times=(then, then))
    return desk


def test_jobs(account: Desk) -> None:
    """Jobs come newest first, with their ids and containers, and a prefix narrows them."""
    done = account.run("jobs")
    assert [line.split()[2:] for line in done.out.splitlines()] == [
        [job, job_container_name(job)] for job in ("render-2", "Render_1", "other")
    ]
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  ", line) for line in done.out.splitlines())
    assert done.sentences == [f"3 jobs in {account.folder}/acct."]
    assert account.run("jobs", "RENDER").out.count("\n") == 2
    assert account.run("jobs", "nobody").out == ""


def test_jobs_json(account: Desk) -> None:
    """An object of --json has the id, the container and the time; they come by the container's name."""
    done = account.run("jobs", "--json")
    assert done.err == ""
    assert [record["container"] for record in done.objects] == sorted(map(job_container_name, AGES))
    assert {record["job"] for record in done.objects} == set(AGES)
    for record in done.objects:
        assert set(record) == {"job", "container", "last_modified"}
        assert record["container"] == job_container_name(record["job"])


@needs_pty
def test_jobs_at_a_terminal(account: Desk) -> None:
    """At a terminal there are headings, and ages in place of times."""
    text = at_terminal(account, "jobs", variables={"NO_COLOR": "1"}).text
    container = job_container_name("Render_1")
    assert text.splitlines()[0] == "CHANGED     JOB       CONTAINER"
    assert "1 min ago   render-2  job-render-2\n" in text
    assert f"3 h ago     Render_1  {container}\n" in text
    assert re.search(r"\d{4}-\d\d-\d\d  other     job-other\n", text)


def test_jobs_of_a_service(desk: Desk, azurite: Azurite) -> None:
    """Of a blob service the jobs are listed with the account's key, and without a container's name in the way."""
    desk.variables["AZURE_STORAGE_CONNECTION_STRING"] = azurite.connection_string
    desk.secrets.append(KEY)
    desk.run("prepare", "Listed_Job")
    azurite.new_container("listed-no-job")
    assert [record["job"] for record in desk.run("jobs", "--json", "listed").objects] == ["Listed_Job"]


def test_jobs_of_one_container(azure: Desk) -> None:
    """With access to one container, that is the job there is; it is not looked up."""
    (record,) = azure.run("jobs", "--json").objects
    assert record["last_modified"] is None
    url = azure.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    assert record["job"] == record["container"]
    assert f"/{record['container']}?" in url
    assert azure.run("jobs").out.split() == ["?", record["job"], record["container"]]


def test_jobs_that_may_not_be_listed(desk: Desk, azurite: Azurite) -> None:
    """A SAS of one container, given for the account, is told that it knows no others, without its signature."""
    sas = azurite.new_container().sas()
    desk.variables["BATCH_OUTPUTS_ACCOUNT_URL"] = f"{azurite.endpoint}?{sas}"
    desk.secrets.append(signature(f"{azurite.endpoint}?{sas}"))
    done = desk.run("jobs", code=125)
    assert "is for one container and knows no others" in done.err
    assert "use an account SAS, the account's key, or an identity" in done.err


def test_nothing_saved_yet(desk: Desk) -> None:
    """Where nothing was ever saved, that is said, with where outputs could be."""
    for command in ("jobs", "tasks"):
        assert "Nothing has been saved here yet" in desk.run(command, code=125).err


def test_tasks(desk: Desk) -> None:
    """Task ids come one a line, by name, for people, pipes and programs alike, and a prefix narrows them."""
    for owner in ("t2/", "t10/", "u/", ""):
        desk.write(f"batch-outputs/job-local/{owner}$Any kind/a", "x")
    done = desk.run("tasks")
    assert done.out == "t10\nt2\nu\n"
    assert done.sentences == [f"3 tasks in {desk.folder}/batch-outputs/job-local."]
    assert desk.run("tasks", "t").out == "t10\nt2\n"
    assert desk.run("tasks", "--json", "t1").objects == [{"task": "t10"}]


def test_tasks_long(desk: Desk) -> None:
    """--long tells outputs, bytes, state and exit code of each task, the code being that of its last attempt."""
    desk.write("a", "12345")
    desk.run("run", "--task", "t1", "--save", "a", "--", "sh", "-c", "echo out; exit 3", code=3)
    desk.run("run", "--task", "t2", "--", "sh", "-c", "echo first; exit 1", code=1)
    desk.run("run", "--task", "t2", "--", "echo", "second")
    desk.run("save", "--task", "t3", "a")
    records = {record.pop("task"): record for record in desk.run("tasks", "--long", "--json").objects}
    assert {task: (of["files"], of["size"], of["state"], of["exit_code"]) for task, of in records.items()} == {
        "t1": (3, 9, "complete", 3),
        "t2": (4, 13, "complete", 0),
        "t3": (1, 5, "complete", None),
    }
    assert all(re.match(r"\d{4}-", record["last_modified"]) for record in records.values())
    lines = [line.split() for line in desk.run("tasks", "-l").out.splitlines()]
    assert [(line[0], line[5:]) for line in lines] == [
        ("3", ["complete", "3", "t1"]),
        ("4", ["complete", "0", "t2"]),
        ("1", ["complete", "t3"]),
    ]
    only = desk.run("tasks", "--long", "--json", "t2").objects
    assert [(record["task"], record["files"], record["exit_code"]) for record in only] == [("t2", 4, 0)]


def test_tasks_long_of_a_prefix(azure: Desk, container: Container, fault_proxy: FaultProxy) -> None:
    """The tasks whose ids begin alike are summed up with one listing, of them alone."""
    for number in range(20):
        container.client.upload_blob(f"t{number}/$TaskOutput/a", b"x")
    container.client.upload_blob("$t1/a", b"x")
    url = azure.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    azure.variables["BATCH_OUTPUTS_CONTAINER_URL"] = fault_proxy.through(url)
    assert [record["task"] for record in azure.run("tasks", "-l", "--json", "t1").objects] == [
        "t1",
        *(f"t1{number}" for number in range(10)),
    ]
    [listing] = fault_proxy.requests
    assert parse_qs(urlsplit(listing.target).query)["prefix"] == ["t1"]
    for nobody in ("t1/$TaskOutput/a", "$t1"):
        assert azure.run("tasks", "-l", nobody).out == ""


def test_a_task_that_runs(desk: Desk) -> None:
    """A task is growing while one of its logs is, and has no exit code then, though an earlier attempt had one."""
    desk.run("run", "--task", "t1", "--", "sh", "-c", "echo first; exit 1", code=1)
    with desk.started("run", "--task", "t1", "--flush-interval", "0.1", "--", "sh", "-c", "echo y; read x") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"y\n"
        while (record := desk.run("tasks", "-l", "--json").objects[0])["state"] != "growing":
            assert child.poll() is None
        assert record["exit_code"] is None
        desk.ended(child, code=None)
