"""The command `try`: what a task finds, what its user is told, and that nothing is left when it ends."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from batch_outputs.names import file_group_container_name, job_container_name
from support.azurite import KEY, Azurite
from support.command import Desk, Done, wait_until
from support.jobs import depends, is_gone, job, task, upload

JOB_FAILED = 1


def write_job(desk: Desk, *tasks: dict[str, object], **properties: object) -> None:
    desk.write("job.json", json.dumps(job(*tasks, **properties)))


def attempt(desk: Desk, *options: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """Try the job; what came of each task."""
    return by_task(desk.run("try", "--json", *options, "job.json", code=code))


def by_task(done: Done) -> dict[str, dict[str, Any]]:
    return {record["task"]: record for record in done.objects}


def stdout_of(record: dict[str, Any]) -> str:
    return Path(record["directory"], "stdout.txt").read_text()


def test_a_task_finds_what_a_node_gives(desk: Desk) -> None:
    """A task has its directories, the variables of Batch and of the job, and none of the desk's own settings."""
    desk.variables |= {
        "AZURE_STORAGE_CONNECTION_STRING": "AccountName=x;AccountKey=c2VjcmV0",
        "AZURE_CLIENT_ID": "mine",
        "BATCH_OUTPUTS_DEBUG": "1",
        "AZ_BATCH_APP_PACKAGE_X": "/x",
        "SOMETHING_ELSE": "y",
    }
    common = {"name": "COMMON", "value": "job"}, {"name": "BOTH", "value": "job"}
    own = {"environmentSettings": [{"name": "BOTH", "value": "the task's"}, {"name": "EMPTY"}]}
    show = "import json, os; print(json.dumps([dict(os.environ), os.getcwd()]))"
    write_job(
        desk,
        {"id": "t1", "commandLine": f'python -c "{show}"', **own},
        commonEnvironmentSettings=list(common),
        poolInfo={"poolId": "pool-7"},
    )
    record = attempt(desk)["t1"]
    found, folder = json.loads(stdout_of(record))
    root = desk.folder / "batch-try" / "demo" / "node-1"
    assert Path(folder).resolve() == (root / "tasks" / "t1" / "wd").resolve()
    batch = {name.removeprefix("AZ_BATCH_"): value for name, value in found.items() if name.startswith("AZ_BATCH_")}
    assert (batch["JOB_ID"], batch["TASK_ID"], batch["POOL_ID"], batch["NODE_ID"]) == ("demo", "t1", "pool-7", "node-1")
    assert batch["TASK_DIR"] == record["directory"] == str(root / "tasks" / "t1")
    assert batch["TASK_WORKING_DIR"] == str(root / "tasks" / "t1" / "wd")
    for name in ("NODE_ROOT_DIR", "NODE_SHARED_DIR", "NODE_STARTUP_DIR", "NODE_MOUNTS_DIR"):
        assert os.path.isdir(batch[name]), name
    assert (batch["NODE_IS_DEDICATED"], batch["IS_CURRENT_NODE_MASTER"]) == ("true", "true")
    assert {name: found.get(name) for name in ("COMMON", "BOTH", "EMPTY")} == {
        "COMMON": "job",
        "BOTH": "the task's",
        "EMPTY": "",
    }
    strange = {name for name in found if name.startswith(("AZURE_", "BATCH_OUTPUTS_")) or name == "SOMETHING_ELSE"}
    assert strange == {"BATCH_OUTPUTS_ACCOUNT_URL"}
    assert "APP_PACKAGE_X" not in batch
    assert found["BATCH_OUTPUTS_ACCOUNT_URL"] == (desk.folder / "batch-outputs").as_uri()


def test_what_tasks_store_is_found_at_the_desk(desk: Desk) -> None:
    """A wrapped task stores to the desk's folder, and a later one reads what it stored."""
    write_job(
        desk,
        {"id": "make", "commandLine": "batch-outputs run --save '*.txt' -- sh -c 'echo log; echo text > a.txt'"},
        task("read", "batch-outputs cat --task make a.txt", **depends("make")),
    )
    assert stdout_of(attempt(desk)["read"]) == "text\n"
    assert set(desk.outputs("--job", "demo")) == {
        "make/$TaskLog/stderr.txt",
        "make/$TaskLog/stdout.txt",
        "make/$TaskOutput/a.txt",
    }


def test_no_shell_reads_a_command_line(desk: Desk) -> None:
    """Signs of a shell go to the program as they stand, and the desk tells of it."""
    write_job(desk, {"id": "t1", "commandLine": "echo $HOME 'a  b' > out.txt"})
    done = desk.run("try", "job.json")
    assert "has >, which goes to the program as it stands" in done.err
    assert (desk.folder / "batch-try/demo/node-1/tasks/t1/stdout.txt").read_text() == "$HOME a  b > out.txt\n"


def test_resource_files(desk: Desk) -> None:
    """Files, folders and file groups are brought to where the job wants them, with their modes, before the start."""
    desk.write("tool.sh", "#!/bin/sh\ncat in/one.txt in/group/a.txt deep/b.txt\n")
    desk.write("folder/one.txt", "one\n")
    desk.write("folder/other.log", "no\n")
    desk.write("data/group/a.txt", "a\n")
    desk.write("data/deep/b.txt", "b\n")
    desk.run("group", "upload", "Movie", "data", "--recursive")
    group = file_group_container_name("Movie")
    files = [
        {"httpUrl": "file:tool.sh", "filePath": "bin/tool"},
        {"httpUrl": "file:tool.sh", "filePath": "bin/plain", "fileMode": "0640"},
        {"storageContainerUrl": "file:folder", "blobPrefix": "one", "filePath": "in"},
        {"autoStorageContainerName": group, "blobPrefix": "group/", "filePath": "in"},
        {"autoStorageContainerName": group, "blobPrefix": "deep/"},
    ]
    write_job(desk, {"id": "t1", "commandLine": "./bin/tool", "resourceFiles": files})
    record = attempt(desk)["t1"]
    assert stdout_of(record) == "one\na\nb\n"
    working = Path(record["directory"], "wd")
    assert not (working / "in" / "other.log").exists()
    assert (working / "bin" / "tool").stat().st_mode & 0o777 == 0o770
    assert (working / "bin" / "plain").stat().st_mode & 0o777 == 0o640


def test_the_time_of_a_task_is_limited(desk: Desk) -> None:
    """At its max wall clock time a task is ended with all that it has started, wrapped programs too."""
    program = "echo began; echo $$ > pid; exec sleep 60"
    records: dict[str, dict[str, Any]] = {}
    for seconds in (3, 9, 27):  # on a busy machine a program may not have begun by then
        limit = {"constraints": {"maxWallClockTime": f"PT{seconds}S", "maxTaskRetryCount": 3}}
        write_job(
            desk,
            task("plain", f"sh -c '{program}' & wait", **limit),
            {"id": "wrapped", "commandLine": f"batch-outputs run -- sh -c '{program}'", **limit},
        )
        records = attempt(desk, "--slots", "2", code=JOB_FAILED)
        if all(Path(record["directory"], "wd", "pid").exists() for record in records.values()):
            break
    for record in records.values():
        assert (record["state"], record["retries"]) == ("failed", 0)
        assert "maxWallClockTime" in record["why"][0]
        assert is_gone(int(Path(record["directory"], "wd", "pid").read_text()))
    assert desk.run("cat", "--job", "demo", "--task", "wrapped", "stdout.txt").out == "began\n"


def test_the_last_lines_of_a_failure_are_shown(desk: Desk) -> None:
    """Why a task has failed is seen at once, without the signature of a SAS, and the table tells of all tasks."""
    write_job(desk, task("t1", "echo 'https://a/b?sv=1&sig=c2VjcmV0' >&2; echo 'it broke' >&2; exit 9"), task("t2"))
    done = desk.run("try", "job.json", code=JOB_FAILED)
    assert "  it broke" in done.sentences
    assert "c2VjcmV0" not in done.err
    assert [line.split()[:3] for line in done.out.splitlines()[1:]] == [["t1", "failed", "9"], ["t2", "succeeded", "0"]]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_try_leaves_nothing_behind(desk: Desk, signum: signal.Signals) -> None:
    """Ctrl-C ends all groups, also a program that does not listen, and says what was left."""
    write_job(
        desk,
        task("deaf", "trap '' TERM; echo $$ > pid; while :; do sleep 0.1; done"),
        {"id": "wrapped", "commandLine": "batch-outputs run -- sh -c 'echo $$ > pid; exec sleep 60'"},
        task("failing", "exit 3"),
        task("later", **depends("deaf")),
    )
    pids = [desk.folder / f"batch-try/demo/node-1/tasks/{name}/wd/pid" for name in ("deaf", "wrapped")]
    with desk.started("try", "--json", "--slots", "3", "job.json") as child:
        assert child.stderr is not None
        assert any(b"failing failed" in line for line in iter(child.stderr.readline, b""))
        wait_until(lambda: all(path.exists() and path.read_text().strip() for path in pids))
        child.send_signal(signum)
        assert any(b"once more kills" in line for line in iter(child.stderr.readline, b""))
        child.send_signal(signum)
        done = desk.ended(child, 130 if signum == signal.SIGINT else 128 + signum)
    assert all(is_gone(int(path.read_text())) for path in pids)
    assert {name: record["state"] for name, record in by_task(done).items()} == {
        "deaf": "stopped",
        "wrapped": "stopped",
        "failing": "failed",
        "later": "not run",
    }
    assert done.sentences[-1] == "interrupted; 3 tasks did not come to an end."


def test_a_try_that_is_killed_leaves_nothing_behind(desk: Desk) -> None:
    """When the desk itself is killed, its tasks do not run on, unseen, beside the next try."""
    write_job(desk, task("t1", "(echo $$ > pid; exec sleep 60) & wait"))
    pid = desk.folder / "batch-try/demo/node-1/tasks/t1/wd/pid"
    with desk.started("try", "job.json") as child:
        wait_until(lambda: pid.exists() and bool(pid.read_text().strip()))
        child.kill()
        child.wait()
        assert is_gone(int(pid.read_text()))


def test_a_template_is_tried_as_its_tasks(desk: Desk) -> None:
    """A template with parameters runs like the job it stands for, with output files to a file group and from there."""
    template = {
        "parameters": {"frames": {"type": "int"}},
        "job": {
            "type": "Microsoft.Batch/batchAccounts/jobs",
            "properties": {
                "id": "sweep",
                "taskFactory": {
                    "type": "parametricSweep",
                    "parameterSets": [{"start": 1, "end": "[parameters('frames')]"}],
                    "repeatTask": {
                        "commandLine": "touch {0:3}.png",
                        "outputFiles": [
                            {
                                "filePattern": "*.png",
                                "destination": {"autoStorage": {"fileGroup": "frames"}},
                                "uploadOptions": {"uploadCondition": "taskSuccess"},
                            }
                        ],
                    },
                    "mergeTask": {
                        "commandLine": "test -e 003.png",
                        "resourceFiles": [{"autoStorageContainerName": file_group_container_name("frames")}],
                    },
                },
            },
        },
    }
    desk.write("job.json", json.dumps(template))
    desk.write("values.json", '{"frames": {"value": 9}}')
    records = attempt(desk, "--parameters", "values.json", "--parameter", "frames=3")
    assert set(records) == {"0", "1", "2", "merge"}
    listed = desk.run("group", "list", "frames").out
    assert all(name in listed for name in ("001.png", "002.png", "003.png"))


@pytest.mark.parametrize(
    ("options", "document", "parts"),
    [
        ([], "{", ["job.json:1:2", "no JSON"]),
        ([], {"tasks": [task("a", dependsOn={"taskIds": ["x"]})], "usesTaskDependencies": True}, ["no task x"]),
        ([], {"tasks": [task("a", resourceFiles=[{"httpUrl": "file:x", "filePath": "x"}])]}, ["there is no file"]),
        (
            [],
            {"tasks": [task("a", resourceFiles=[{"autoStorageContainerName": "fgrp-x"}])]},
            ["resourceFiles[0]", "no container", "group upload"],
        ),
        (["--task", "b"], {"tasks": [task("a")]}, ["no task b", "--task"]),
        (["--dir", "mine"], {"tasks": [task("a")]}, ["mine holds files", "--dir"]),
        (["--dir", "job.json"], {"tasks": [task("a")]}, ["job.json", "Not a directory"]),
        ([], {"job": {"properties": {"id": "x"}}}, ["taskFactory"]),
    ],
)
def test_bad_input_changes_nothing(desk: Desk, options: list[str], document: object, parts: list[str]) -> None:
    """What cannot be tried is refused in one sentence, before a task runs or anything is written."""
    desk.write("mine/precious.txt", "x")
    desk.write("job.json", document if isinstance(document, str) else json.dumps({"id": "demo", **document}))  # type: ignore[dict-item]
    done = desk.run("try", *options, "job.json", code=125)
    (sentence,) = done.sentences
    for part in parts:
        assert part in sentence, sentence
    assert done.stdout == b""
    assert desk.everything == {"job.json", "mine/precious.txt"}


def test_two_tries_do_not_share_a_folder(desk: Desk) -> None:
    """A second try of a folder that one is under way in is refused, and the first goes on."""
    write_job(desk, task("t1", "touch began; until test -e go; do sleep 0.01; done"))
    working = desk.folder / "batch-try/demo/node-1/tasks/t1/wd"
    with desk.started("try", "job.json") as child:
        wait_until((working / "began").exists)
        assert "Another try uses the folder" in desk.run("try", "job.json", code=125).err
        (working / "go").touch()
        desk.ended(child)


def test_a_job_on_a_storage_account(desk: Desk, azurite: Azurite) -> None:
    """With the desk's own storage the job's container is made there, tasks get a SAS for it, and nobody sees it."""
    desk.variables["AZURE_STORAGE_CONNECTION_STRING"] = azurite.connection_string
    desk.secrets.append(KEY)
    data = azurite.new_container()
    data.client.upload_blob("in/a b.txt", b"from afar\n")
    files = [
        {"httpUrl": f"{data.url}/in/a%20b.txt?{data.sas('r')}", "filePath": "one.txt"},
        {"httpUrl": f"{data.url}/in/a%20b.txt", "filePath": "two.txt"},
        {"storageContainerUrl": data.sas_url("rl"), "filePath": "three"},
        {"autoStorageContainerName": data.name, "filePath": "four"},
    ]
    write_job(
        desk,
        task(
            "t1",
            "batch-outputs run --save '*.txt' -- cat one.txt two.txt 'three/in/a b.txt' 'four/in/a b.txt'; "
            "env | grep -c AccountKey",
            resourceFiles=files,
            outputFiles=[
                upload("one.txt", "t1/$TaskOutput/again.txt"),
                upload("one.txt", "mine.txt", url=data.sas_url("rcw")),
            ],
            exitConditions={"exitCodes": [{"code": 1, "exitOptions": {"dependencyAction": "satisfy"}}]},
        ),
        task("t2", "echo x > x; batch-outputs save --task t1 --kind TaskLog --as l.txt x", **depends("t1")),
        id="try-on-azure",
    )
    records = attempt(desk, "--own-storage", code=JOB_FAILED)
    assert records["t1"]["exit_code"] == 1, "grep has found no key"
    assert records["t2"]["state"] == "succeeded"
    assert stdout_of(records["t1"]) == "from afar\n" * 4 + "0\n"
    container = azurite.container(job_container_name("try-on-azure"))
    names = {blob.name for blob in container.client.list_blobs()}
    assert names == {
        "t1/$TaskLog/l.txt",
        "t1/$TaskLog/stderr.txt",
        "t1/$TaskLog/stdout.txt",
        *(f"t1/$TaskOutput/{name}.txt" for name in ("one", "two", "again")),
    }
    assert data.content("mine.txt") == b"from afar\n"
    assert not (desk.folder / "batch-outputs").exists()


def test_an_upload_to_azure_never_replaces_a_log(azure: Desk) -> None:
    """The service refuses a block blob over a tracked log, and so does the desk where an emulator would not."""
    write_job(
        azure,
        task(
            "t1",
            "echo x > x; eval 'batch-outputs run -- echo tracked'",
            outputFiles=[upload("x", "t1/$TaskLog/stdout.txt")],
        ),
        id="x",
    )
    record = attempt(azure, "--own-storage", code=JOB_FAILED)["t1"]
    assert "leave out the upload rule" in record["why"][0]
    assert azure.run("cat", "stdout.txt").out == "tracked\n"
