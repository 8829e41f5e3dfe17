"""Bad input: one sentence that names the thing, the cause and the next step; nothing half-written, no secret shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from support.azurite import ACCOUNT, KEY, Azurite, Container
from support.command import Desk, Done, signature
from support.ports import quiet_port

ON_NODE = {"AZ_BATCH_POOL_ID": "pool", "AZ_BATCH_NODE_ID": "node"}
WRONG_KEY = "d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXkgd3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXkgd3Jvbg=="
SAS_URL = "https://acct.blob.core.windows.net/job-x?sv=2021-12-02&sr=c&sig=c2VjcmV0%2Bsecret%3D"


TALK = ("saving to", "nothing says where outputs go", "0 files saved")


def said(done: Done, *parts: str) -> str:
    """The one sentence of a failure, which must hold these parts."""
    sentences = [sentence for sentence in done.sentences if not sentence.startswith(TALK)]
    assert len(sentences) == 1, done.err
    for part in parts:
        assert part in sentences[0], sentences[0]
    assert sentences[0].endswith("."), sentences[0]
    assert done.stdout == b""
    return sentences[0]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["save", "missing.txt"], ["There is no file missing.txt", "check the path"]),
        (["save", "--as", "x", "missing.txt"], ["There is no file missing.txt", "check the path"]),
        (["save", "*.nothing"], ["No file matches *.nothing", "check the pattern"]),
        (["save", "--as", "x", "folder"], ["folder is a folder", "name a file in it"]),
        (["save", "--as", "folder/", "a.txt"], ["folder/", "add the name of a file"]),
        (["save", "/etc/hostname"], ["/etc/hostname", "say under which name"]),
        (["save", "--as", "a/../../b", "a.txt"], ["a/../../b", "leads out of its kind"]),
        (["save", "--as", "/abs", "a.txt"], ["/abs", "begins with a slash"]),
        (["save", "--as", "x" * 1100, "a.txt"], ["1,024", "shorter name"]),
        (["save", "--kind", "", "a.txt"], ["kind is empty", "name one"]),
        (["save", "--kind", "a/b", "a.txt"], ["a/b", "slash"]),
        (["save", "--task", "$t", "a.txt"], ["$t", "is not a task id"]),
        (["save", "--task", "a/b", "a.txt"], ["a/b", "is not a task id"]),
        (["save", "--job", "a b", "a.txt"], ["a b", "is not a job id"]),
        (["list", "--job", "nobody"], ["Nothing has been saved here yet", "BATCH_OUTPUTS_CONTAINER_URL"]),
        (["cat", "a.txt"], ["Nothing has been saved here yet", "BATCH_OUTPUTS_CONTAINER_URL"]),
        (["container", "no job"], ["no job", "is not a job id"]),
        (["save", "--container-url", "https://acct.blob.core.windows.net", "a.txt"], ["container URL", "CONTAINER"]),
        (["save", "--container-url", "https://a.example/x/y", "a.txt"], ["should end in one container's name"]),
        (["save", "--container-url", "acct/job-x", "a.txt"], ["is not a URL of a store"]),
        (["save", "--container-url", "https://:x/y", "a.txt"], ["is not a URL of a store"]),
        (["save", "--account-url", "https://a.example/x", "a.txt"], ["has a path", "--container-url"]),
        (["save", "--account-url", "file://host/x", "a.txt"], ["three slashes"]),
        (["run", "--save", "=x", "--", "touch", "ran"], ["--save '=x'", "KIND=PATTERN"]),
        (["run", "--save", "TaskOutput=", "--", "touch", "ran"], ["--save 'TaskOutput='", "KIND=PATTERN"]),
        (["run", "--task", "a/b", "--", "touch", "ran"], ["a/b", "is not a task id"]),
        (["run", "--container-url", "x:y", "--", "touch", "ran"], ["is not a URL of a store"]),
    ],
)
def test_refused_with_a_sentence(desk: Desk, arguments: list[str], parts: list[str]) -> None:
    """Names, kinds, paths and URLs that cannot be used end with 125 and one sentence, and nothing comes of them."""
    desk.write("a.txt", "x")
    desk.write("folder/b.txt", "x")
    said(desk.run(*arguments, code=125), *parts)
    assert not [name for name in desk.everything - {"a.txt", "folder/b.txt"} if "/.batch-outputs/" not in name]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["Usage:"]),
        (["nonsense"], ["No such command 'nonsense'"]),
        (["list", "--nonsense"], ["No such option"]),
        (["save"], ["Missing argument 'PATH...'"]),
        (["cat"], ["Missing argument 'NAME'"]),
        (["container", ""], ["''", "is not a job id"]),
        (["save", "-"], ["--as NAME"]),
        (["save", "--as", "x", "a", "b"], ["for one file"]),
        (["save", "--as", "", "a.txt"], ["--as", "it is empty"]),
        (["list", "--job", ""], ["--job", "it is empty"]),
        (["list", "--task", ""], ["--task", "it is empty"]),
        (["list", "--kind", ""], ["--kind", "it is empty"]),
        (["download", "--to", ""], ["--to", "it is empty"]),
        (["list", "--container-url", ""], ["--container-url", "it is empty"]),
        (["prepare", ""], ["it is empty"]),
    ],
)
def test_wrong_usage(desk: Desk, arguments: list[str], parts: list[str]) -> None:
    """Wrong usage ends with 2, says what is wrong and where help is, and does nothing."""
    done = desk.run(*arguments, code=125 if "container" in arguments else 2)
    for part in parts:
        assert part in done.err
    assert done.stdout == b""
    assert desk.everything == set()


@pytest.mark.parametrize(
    "options", [["--nonsense"], ["--flush-interval", "0"], ["--flush-interval", "x"], ["--flush-timeout", "-1"], []]
)
def test_wrong_usage_of_run(desk: Desk, options: list[str]) -> None:
    """Of `run` wrong usage ends with 125: the codes below are the program's; and the program is not started."""
    command = ["--", "touch", "ran"] if options else []
    assert "Try 'batch-outputs run --help'" in desk.run("run", *options, *command, code=125).err
    assert desk.everything == set()


@pytest.mark.parametrize(
    ("command", "option", "url"),
    [
        (["list"], "--container-url", SAS_URL),
        (["save"], "--account-url", SAS_URL),
        (["run"], "--container-url", SAS_URL.replace("sig=", "sig%3D")),
        (["run"], "--account-url", SAS_URL),
        (["prepare"], "--account-url", "https://user:c2VjcmV0@a.example/x"),
    ],
)
def test_secret_on_the_command_line(desk: Desk, option: str, url: str, command: list[str]) -> None:
    """A SAS or password on the command line is refused with the variable to use instead, and not repeated."""
    desk.secrets += ["c2VjcmV0+secret=", "c2VjcmV0"]
    rest = {"run": ["--", "touch", "ran"], "save": ["a.txt"]}.get(command[0], [])
    done = desk.run(*command, option, url, *rest, code=125 if command == ["run"] else 2)
    assert f"BATCH_OUTPUTS_{option[2:].replace('-', '_').upper()}" in done.err
    assert desk.everything == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["cat", SAS_URL],
        ["save", SAS_URL],
        ["container", "x", SAS_URL],
        ["save", "--kind", SAS_URL, "x"],
        ["run", "--save", SAS_URL, "--", "true"],
        ["run", "--nonsense", SAS_URL],
        ["download", SAS_URL],
        [SAS_URL],
    ],
)
def test_secret_in_a_wrong_place(desk: Desk, arguments: list[str]) -> None:
    """A SAS typed where it does not belong is repeated by no message."""
    desk.secrets += ["c2VjcmV0+secret=", "c2VjcmV0"]
    desk.run(*arguments, code=None)


@pytest.mark.parametrize("command", [["save", "a.txt"], ["list"], ["cat", "a.txt"], ["run", "--", "touch", "ran"]])
def test_on_a_node_without_storage(desk: Desk, command: list[str]) -> None:
    """On a node, in a start task too, nothing is done until it is said where outputs go; what to set is listed."""
    desk.write("a.txt", "x")
    desk.variables |= ON_NODE
    said(desk.run(*command, code=125), "BATCH_OUTPUTS_CONTAINER_URL", "AZURE_STORAGE_CONNECTION_STRING")
    assert desk.everything == {"a.txt"}


def test_start_task_without_job_and_task(desk: Desk, azurite: Azurite, container: Container) -> None:
    """A start task has neither job nor task: `run` names what is missing before the program starts."""
    desk.variables |= ON_NODE | {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string}
    desk.secrets.append(KEY)
    said(desk.run("run", "--task", "start", "--", "touch", "ran", code=125), "No job is named", "--job")
    said(desk.run("run", "--job", "j", "--", "touch", "ran", code=125), "No task is named", "--task")
    desk.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": container.sas_url()}
    said(desk.run("run", "--", "touch", "ran", code=125), "No task is named", "--task")
    assert desk.everything == set()
    desk.run("run", "--task", "start", "--", "touch", "ran")
    assert desk.everything == {"ran"}


MALFORMED = {
    "no URL": ("BATCH_OUTPUTS_CONTAINER_URL", "job-x?sig=c2VjcmV0", ["is not a URL of a store"]),
    "no container": (
        "BATCH_OUTPUTS_CONTAINER_URL",
        "https://a.example?sig=c2VjcmV0",
        ["BATCH_OUTPUTS_CONTAINER_URL", "one container's name"],
    ),
    "bad container": (
        "BATCH_OUTPUTS_CONTAINER_URL",
        "https://a.example/A_b?sig=c2VjcmV0",
        ["A_b", "3 to 63 lower-case"],
    ),
    "bad port": ("BATCH_OUTPUTS_ACCOUNT_URL", "https://a.example:port", ["is not a URL of a store"]),
    "no such file": ("BATCH_OUTPUTS_CONTAINER_URL_FILE", "/no/such/file", ["/no/such/file", "cannot be read"]),
    "no key": ("AZURE_STORAGE_CONNECTION_STRING", "AccountName=x", ["neither AccountName with AccountKey"]),
    "bad key": ("AZURE_STORAGE_CONNECTION_STRING", "AccountName=x;AccountKey=c2VjcmV0!", ["is not an account key"]),
    "not a number": ("BATCH_OUTPUTS_RETRY_SECONDS", "soon", ["BATCH_OUTPUTS_RETRY_SECONDS", "number of seconds"]),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_variable(azure: Desk, case: str) -> None:
    """A malformed variable is named with what is wrong, without what follows the ? of a URL."""
    variable, value, parts = MALFORMED[case]
    azure.write("a.txt", "x")
    if variable != "BATCH_OUTPUTS_RETRY_SECONDS":
        azure.variables = {"AZ_BATCH_TASK_ID": "t1"}
    azure.variables[variable] = value
    azure.secrets.append("c2VjcmV0")
    said(azure.run("save", "a.txt", code=125), *parts)


Change = Callable[[Container], dict[str, str]]
REFUSED: dict[str, tuple[Change, list[str]]] = {
    "expired SAS": (
        lambda container: {"BATCH_OUTPUTS_CONTAINER_URL": container.sas_url(expires_in=timedelta(minutes=-5))},
        ["expired at", "get a new one"],
    ),
    "SAS that only reads": (
        lambda container: {"BATCH_OUTPUTS_CONTAINER_URL": container.sas_url("rl")},
        ["does not allow to", "get one with"],
    ),
    "SAS that was changed": (
        lambda container: {"BATCH_OUTPUTS_CONTAINER_URL": container.sas_url().replace("sp=racwdl", "sp=racwdlx")},
        ["is not accepted"],
    ),
    "container that does not exist": (
        lambda container: {"BATCH_OUTPUTS_CONTAINER_URL": container.azurite.container("job-none").sas_url()},
        ["job-none does not exist", "prepare"],
    ),
    "wrong key": (
        lambda container: {
            "AZURE_STORAGE_CONNECTION_STRING": container.azurite.connection_string.replace(KEY, WRONG_KEY),
            "AZ_BATCH_JOB_ID": "j",
        },
        [f"key of the account {ACCOUNT} is not accepted", "copy it again"],
    ),
    "unreachable port": (
        lambda container: {
            "BATCH_OUTPUTS_CONTAINER_URL": container.sas_url().replace(str(container.azurite.port), str(quiet_port()))
        },
        ["refused the connection", "check host and port"],
    ),
    "unknown host": (
        lambda container: {"BATCH_OUTPUTS_CONTAINER_URL": f"https://no-such-host.invalid/job-x?{container.sas()}"},
        ["no-such-host.invalid"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_store_that_refuses(desk: Desk, container: Container, case: str) -> None:
    """What a store refuses, or a host that is not there, is one sentence for save, and fails no program of `run`."""
    change, parts = REFUSED[case]
    variables = change(container)
    desk.variables |= {"AZ_BATCH_TASK_ID": "t1", "BATCH_OUTPUTS_RETRY_SECONDS": "0"} | variables
    url = variables.get("BATCH_OUTPUTS_CONTAINER_URL")
    desk.secrets += [KEY, WRONG_KEY, *([signature(url)] if url else [])]
    desk.write("a.txt", "x")
    said(desk.run("save", "a.txt", code=125), *parts)
    limit = "3" if case in {"unreachable port", "unknown host"} else "60"  # which those last; a refusal is told at once
    run = desk.run("run", "--flush-timeout", limit, "--", "sh", "-c", "echo x; exit 3", code=3)
    assert run.out == "x\n"
    assert any(all(part in sentence for part in parts) for sentence in run.sentences), run.err
    assert not list(container.client.list_blobs())


def test_reading_what_is_not_there(azure: Desk) -> None:
    """An unknown task, output or pattern is named, with where to look."""
    azure.write("a.txt", "x")
    azure.run("save", "a.txt")
    said(azure.run("list", "--task", "T1", code=125), "Nothing is stored of task T1", "check its id")
    said(azure.run("download", "--task", "T1", code=125), "Nothing is stored of task T1", "check its id")
    said(azure.run("cat", "b.txt", code=125), "no output b.txt of task t1", "batch-outputs list")
    said(azure.run("download", "--to", "t", "b.*", code=125), "batch-outputs list shows what there is")
    assert azure.run("list", "--task", "t1", "--kind", "TaskLog").out == ""
    assert azure.everything == {"a.txt"}


def test_reading_with_a_sas_that_only_writes(azure: Desk, container: Container) -> None:
    """A SAS without list or read is refused with the permission that is missing."""
    url = container.sas_url("w")
    azure.variables["BATCH_OUTPUTS_CONTAINER_URL"] = url
    azure.secrets.append(signature(url))
    azure.write("a.txt", "x")
    azure.run("save", "a.txt")
    said(azure.run("list", code=125), "does not allow to list (l)", "get one with 'l'")
    assert "does not allow to" in azure.run("cat", "a.txt", code=125).err


def test_two_sources_of_one_name(desk: Desk) -> None:
    """Two files that would become one output are refused before anything is stored."""
    desk.write("a/x.txt", "1")
    desk.write("x.txt", "2")
    (desk.folder / "a/sub").mkdir()
    child = desk.folder / "a"
    desk.folder = child
    said(desk.run("save", "../x.txt", "x.txt", code=125), "would both be saved as x.txt")
    assert desk.everything == {"x.txt"}


def test_some_of_many(desk: Desk) -> None:
    """Of many paths those that can be saved are; each other has its sentence."""
    desk.write("a.txt", "x")
    done = desk.run("save", "a.txt", "missing.txt", "*.none", code=125)
    assert done.out == "task/$TaskOutput/a.txt\n"
    assert done.sentences[1:] == [
        "1 file saved, 1 B.",
        "There is no file missing.txt; check the path.",
        "No file matches *.none; check the pattern.",
    ]


def test_a_job_that_is_not_the_containers(desk: Desk, container: Container) -> None:
    """A job named beside another job's container is refused; its outputs are not mixed up with that job's."""
    desk.write("a.txt", "a")
    desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = container.sas_url().replace(container.name, "job-render")
    for command in (["list", "--job", "other"], ["save", "--job", "other", "--task", "t", "a.txt"]):
        refused = desk.run(*command, code=125)
        assert "job-other" in refused.err
        assert "job-render is configured" in refused.err


def test_something_in_the_way_of_the_folder(desk: Desk) -> None:
    """A file where the embedded folder should be is named."""
    desk.write("batch-outputs", "a file")
    desk.write("a.txt", "a")
    refused = desk.run("save", "a.txt", code=125)
    assert str(desk.folder / "batch-outputs") in refused.err
    assert (desk.folder / "batch-outputs").read_text() == "a file"
