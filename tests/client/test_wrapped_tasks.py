"""A task that is wrapped in `run` may have no upload rule for a log that `run` keeps."""

from __future__ import annotations

import click
import pytest
from azure.batch.models import BatchTaskCreateOptions, EnvironmentSetting

from batch_outputs.cli.run import run_command
from batch_outputs.client import check_upload_rules, output_file
from batch_outputs.client.command_lines import RUN_FLAGS, RUN_OPTIONS, WrappedRun, wrapped_runs
from batch_outputs.errors import ConfigurationError

URL = "https://acct.blob.core.windows.net/job-x"
SAS = f"{URL}?sp=rw&sig=c2VjcmV0"
BOTH = ("stdout.txt", "stderr.txt")


def test_the_options_are_those_of_the_command() -> None:
    """Which options of `run` take a value is known here as it is there."""
    options = [parameter for parameter in run_command.params if isinstance(parameter, click.Option)]
    flags = {name for option in options if option.is_flag or option.count for name in spellings(option)}
    assert flags | {"--help", "-h"} == RUN_FLAGS
    assert {name for option in options for name in spellings(option)} - flags == RUN_OPTIONS


def spellings(option: click.Option) -> list[str]:
    return [*option.opts, *option.secondary_opts]


@pytest.mark.parametrize(
    "line",
    [
        "batch-outputs run -- python train.py",
        "batch-outputs run python train.py --stdout direct",
        "/opt/venv/bin/batch-outputs run --save '*.mp4' --when success -- ffmpeg",
        "python3 -m batch_outputs run -- x",
        '/bin/sh -c "batch-outputs run -- x"',
        "/bin/bash -lc 'set -e; pip install batch-outputs && exec batch-outputs run -- x >log 2>&1'",
        "sh -c 'cd sub\nFOO=1 timeout 60 batch-outputs run -- x'",
        """bash -c 'sh -c "batch-outputs run -- x"'""",
        "docker run --rm image batch-outputs run -- x",
        r"cmd /c C:\venv\Scripts\batch-outputs.exe run -- x",
        r'cmd.exe /c "set A=it' + "'" + r's & batch-outputs run -- x"',
        'powershell -Command "batch-outputs run -- x"',
        "sh -c 'batch-outputs run --save \"it is -- x",
    ],
)
def test_a_run_is_found(line: str) -> None:
    """Through shells and what stands before a program, on both systems, and where a quotation is not closed."""
    assert wrapped_runs(line) == [WrappedRun(BOTH, per_node=False)]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "python train.py",
        "batch-outputs save out.txt",
        "batch-outputs track ../stdout.txt",
        "/bin/sh -c 'echo batch-outputs run'",
        "echo 'sh -c batch-outputs run'",
        "my-batch-outputs run -- x",
        "python train.py 'batch-outputs run -- x'",
    ],
)
def test_no_run_is_found(line: str) -> None:
    """Other programs, other commands, and what is only talked about."""
    assert wrapped_runs(line) == []


def test_what_a_run_is_told() -> None:
    """Options that stand before the program count, in both spellings; values are not taken for options."""
    line = "batch-outputs run --save --per-node --stdout direct --stderr=log --task t2 --require -- x --per-node"
    assert wrapped_runs(line) == [WrappedRun(("stderr.txt",), per_node=False, task="t2")]
    line = "batch-outputs run --per-node --container-url https://a/b --stderr=direct x"
    assert wrapped_runs(line) == [WrappedRun(("stdout.txt",), per_node=True, container_url="https://a/b")]
    assert len(wrapped_runs("sh -c 'batch-outputs run a; batch-outputs run b'")) == 2


def refused(line: str, rule: str, *, name: str | None = None, **facts: object) -> str | None:
    """The sentence by which a task with this command line and upload rule is refused."""
    json = {"id": "t1", "commandLine": line, **facts}
    json["outputFiles"] = [output_file(rule, task_id="t1", container_url=SAS, name=name).as_dict()]
    try:
        check_upload_rules(json)
    except ConfigurationError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("rule", "name", "log"),
    [
        ("TaskLog=../std*.txt", None, "stdout.txt"),
        ("TaskLog=../**", None, "stdout.txt"),
        ("TaskLog=../**/*.txt", None, "stdout.txt"),
        ("TaskLog=../stderr.txt", None, "stderr.txt"),
        ("TaskLog=$AZ_BATCH_TASK_DIR/std*.txt", None, "stdout.txt"),
        ("TaskLog=program.log", "stdout.txt", "stdout.txt"),
    ],
)
def test_a_rule_for_a_log_that_run_keeps(rule: str, name: str | None, log: str) -> None:
    """It is refused with the way out: patterns that find it, and other files under its name."""
    sentence = refused("batch-outputs run -- x", rule, name=name)
    pattern = rule.partition("=")[2]
    assert sentence == (
        f"The upload rule {pattern} of the task t1 would store t1/$TaskLog/{log}, which its batch-outputs run keeps as "
        "it grows, and the upload would fail: leave out the rule, or narrow it; or have run leave the stream to the "
        f"rule (--{log.removesuffix('.txt')} direct)."
    )


@pytest.mark.parametrize(
    ("line", "rule", "name"),
    [
        ("python train.py", "TaskLog=../std*.txt", None),
        ("batch-outputs run -- x", "*.mp4", None),
        ("batch-outputs run -- x", "../std*.txt", None),
        ("batch-outputs run -- x", "TaskLog=../std*.txt", "agent"),
        ("batch-outputs run -- x", "TaskLog=logs/**", None),
        ("batch-outputs run -- x", "TaskLog=*.txt", None),
        ("batch-outputs run -- x", "TaskLog=../fileupload*.txt", None),
        ("batch-outputs run --stdout direct -- x", "TaskLog=../stdout.txt", None),
        ("batch-outputs run --stdout direct --stderr direct -- x", "TaskLog=../std*.txt", None),
        ("batch-outputs run --per-node -- x", "TaskLog=../std*.txt", None),
        ("batch-outputs run --task other -- x", "TaskLog=../std*.txt", None),
        (f"batch-outputs run --container-url {URL}2 -- x", "TaskLog=../std*.txt", None),
    ],
)
def test_rules_that_may_stay(line: str, rule: str, name: str | None) -> None:
    """No wrapper, another name, a stream that is left alone, logs per node, another task or container."""
    assert refused(line, rule, name=name) is None


def test_a_task_named_by_its_variable() -> None:
    """A task or container that a variable names is taken for the task's own."""
    line = """sh -c 'batch-outputs run --task "$AZ_BATCH_TASK_ID" --container-url "$URL" -- x'"""
    assert refused(line, "TaskLog=../std*.txt")


@pytest.mark.parametrize(("container", "is_refused"), [("job-x", True), ("job-y", False)])
def test_the_container_of_the_environment_settings(container: str, is_refused: bool) -> None:
    """Where both containers are known, only one and the same is a clash; a SAS makes no difference."""
    value = f"https://acct.blob.core.windows.net/{container}?sp=rw&sig=b3RoZXI%3D"
    settings = [{"name": "OTHER"}, {"name": "BATCH_OUTPUTS_CONTAINER_URL", "value": value}]
    sentence = refused("batch-outputs run -- x", "TaskLog=../std*.txt", environmentSettings=settings)
    assert bool(sentence) is is_refused
    assert "sig=" not in (sentence or "")


def test_objects_of_azure_batch() -> None:
    """The models are checked like their JSON."""
    task = BatchTaskCreateOptions(
        id="t1",
        command_line="batch-outputs run -- x",
        environment_settings=[EnvironmentSetting(name="BATCH_OUTPUTS_CONTAINER_URL", value=SAS)],
        output_files=[output_file("TaskLog=../std*.txt", task_id="t1", container_url=SAS)],
    )
    with pytest.raises(ConfigurationError, match=r"would store t1/\$TaskLog/stdout\.txt"):
        check_upload_rules(task)
    task.command_line = "x"
    check_upload_rules(task)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"outputFiles": None, "commandLine": None},
        {
            "commandLine": "batch-outputs run x",
            "outputFiles": [None, {}, {"destination": None}, {"filePattern": "../*"}],
        },
        {"commandLine": "batch-outputs run x", "environmentSettings": "no list", "outputFiles": {}},
    ],
)
def test_json_that_is_not_whole(facts: dict[str, object]) -> None:
    """What is missing or of another type is somebody else's to refuse."""
    check_upload_rules(facts)


@pytest.mark.parametrize("task", ["t1", None, 5])
def test_what_is_no_task(task: object) -> None:
    """Nothing is said to be right with something else, such as a task's id."""
    with pytest.raises(ConfigurationError, match=f"A {type(task).__name__} says nothing of a task; give azure-batch's"):
        check_upload_rules(task)


def test_rules_in_other_spellings() -> None:
    """Backslashes, a slash at the end and a Windows pattern lead to the same names."""
    for pattern, path in ((r"..\std*.txt", "t1\\$TaskLog"), (r"%AZ_BATCH_TASK_DIR%\*", "t1/$TaskLog/")):
        container = {"containerUrl": SAS, "path": path}
        rules = [{"filePattern": pattern, "destination": {"container": container}}]
        with pytest.raises(ConfigurationError, match="would store"):
            check_upload_rules({"id": "t1", "commandLine": "cmd /c batch-outputs run -- x", "outputFiles": rules})
