"""A job's file is checked whole, and each mistake is one sentence with its place."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from batch_outputs.desk.job import Job
from batch_outputs.desk.job_file import check_job, read_document
from batch_outputs.errors import ConfigurationError


def task(task_id: object = "t1", **properties: object) -> dict[str, object]:
    return {"id": task_id, "commandLine": "true", **properties}


def job(*tasks: Mapping[str, object], **properties: object) -> dict[str, Any]:
    return {"id": "demo", "tasks": list(tasks), **properties}


def problems(document: Mapping[str, Any], path: str = "job.json", slots: int = 2) -> list[str]:
    with pytest.raises(ExceptionGroup) as caught:
        check_job(document, path, slots=slots)
    assert all(isinstance(error, ConfigurationError) for error in caught.value.exceptions)
    return [str(error) for error in caught.value.exceptions]


def resource(**properties: object) -> dict[str, Any]:
    return job(task(resourceFiles=[properties]))


CONTAINER = "https://a.blob.core.windows.net/ccc"
RANGE = {"taskIdRanges": [{"start": 1, "end": 3}]}
UPLOAD = {"filePattern": "*", "destination": {"container": {"containerUrl": CONTAINER}}}


@pytest.mark.parametrize(
    ("document", "parts"),
    [
        (job(), ["job.json: there are no tasks"]),
        ({"tasks": {}}, ["tasks", "should be a list and is an object"]),
        ({"tasks": [3]}, ["tasks[0]", "should be an object and is the number 3"]),
        (job({"commandLine": "true"}), ["tasks[0]: id is missing"]),
        (job({"id": "t1"}), ["tasks[0] (t1): commandLine is missing"]),
        (job(task(7)), ["tasks[0].id", "should be a text and is the number 7"]),
        (job(task("a b")), ["tasks[0].id", "'a b' is no task id"]),
        (job(task("x" * 65)), ["tasks[0].id", "at most 64"]),
        (job(task("../up")), ["is no task id"]),
        (job(task("a"), task("A")), ["tasks[1] (A)", "the id A is taken"]),
        (job(task("jobpreparation"), jobPreparationTask={"commandLine": "true"}), ["jobpreparation is taken"]),
        (job(task(dependson={})), ["tasks[0] (t1).dependson", "dependsOn is meant"]),
        (
            job(task(constraints={"maxWallclockTime": "PT1S"})),
            ["constraints.maxWallclockTime", "maxWallClockTime is meant"],
        ),
        (resource(httpUrl="https://a/b", filePath="a", filemode="0700"), ["resourceFiles[0].filemode", "fileMode is"]),
        (
            job(task(outputFiles=[{"filePattern": "*", "uploadOptions": {"uploadcondition": "taskFailure"}}])),
            ["outputFiles[0].uploadOptions.uploadcondition", "uploadCondition is meant"],
        ),
        (
            job(task(outputFiles=[{"filePattern": "*", "destination": {"autoStorage": {"fileGroup": "x"}}}])),
            ["outputFiles[0].destination.autoStorage", "only a template has it"],
        ),
        (job(task(), onTaskFailures="noaction"), ["onTaskFailures", "onTaskFailure is meant"]),
        (job(task(), onTaskFailure="stop"), ["onTaskFailure", "noaction, performexitoptionsjobaction"]),
        (job(task(), id="a b"), ["id", "is not a job id"]),
        (job(task(), maxParallelTasks=0), ["maxParallelTasks", "no task would ever run"]),
        (job(task(commandLine="echo 'a")), ["commandLine", "cannot be read"]),
        (job(task(commandLine=" ")), ["commandLine", "is empty"]),
        (job(task(commandLine="''")), ["commandLine", "names no program"]),
        (job(task(requiredSlots=3)), ["requiredSlots", "needs 3 slots and a node has 2", "--slots"]),
        (job(task(requiredSlots=0)), ["requiredSlots", "from 1"]),
        (job(task(requiredSlots=True)), ["requiredSlots", "whole number and is true"]),
        (job(task(multiInstanceSettings={})), ["multi-instance"]),
        (job(task(constraints={"maxWallClockTime": "10m"})), ["maxWallClockTime", "'10m' is no duration", "PT10M"]),
        (job(task(constraints={"maxWallClockTime": "PT"})), ["is no duration"]),
        (job(task(constraints={"maxWallClockTime": "PT0S"})), ["no time at all"]),
        (job(task(constraints={"maxTaskRetryCount": -2})), ["maxTaskRetryCount", "from -1"]),
        (job(task(environmentSettings=[{"name": "A=B", "value": ""}])), ["environmentSettings[0].name", "'A=B'"]),
        (job(task(environmentSettings=[{"name": "AZ_BATCH_TASK_ID", "value": "x"}])), ["for the service to set"]),
        (job(task(environmentSettings=[{"name": "A"}, {"name": "A"}])), ["environmentSettings[1].name", "set twice"]),
        (job(task(environmentSettings=[{"name": "A", "value": 1}])), ["value", "quotation marks"]),
        (job(task(), commonEnvironmentSettings=[{"value": "x"}]), ["commonEnvironmentSettings[0]: name is missing"]),
        (job(task("a"), task("b", dependsOn={"taskIds": ["a"]})), ["usesTaskDependencies", "should be true"]),
        (job(task(dependsOn={"taskIds": ["t2"]}), usesTaskDependencies=True), ["taskIds[0]", "no task t2"]),
        (job(task(dependsOn={"taskIds": [2]}), usesTaskDependencies=True), ["taskIds[0]", "is the number 2"]),
        (
            job(task("1"), task("2"), task("4", dependsOn=RANGE), usesTaskDependencies=True),
            ["taskIdRanges[0]", "no task 3"],
        ),
        (
            job(task(dependsOn={"taskIdRanges": [{"start": 3, "end": 1}]}), usesTaskDependencies=True),
            ["ends at 1, before its start 3"],
        ),
        (
            job(
                task("a", dependsOn={"taskIds": ["b"]}),
                task("b", dependsOn={"taskIds": ["A"]}),
                usesTaskDependencies=True,
            ),
            ["job.json: tasks: they wait for each other in a circle, a → b → a"],
        ),
        (job(task(dependsOn={"taskIds": ["t1"]}), usesTaskDependencies=True), ["in a circle, t1 → t1"]),
        (job(task(), jobReleaseTask={"commandLine": "true"}), ["jobReleaseTask", "needs a preparation task"]),
        (job(task(), jobPreparationTask={}), ["jobPreparationTask: commandLine is missing"]),
        (job(task(), jobPreparationTask={"commandLine": "true", "outputFiles": [UPLOAD]}), ["no upload rules"]),
        (
            job(task(exitConditions={"default": {"jobAction": "terminate"}})),
            ["exitConditions.default.jobAction", "onTaskFailure"],
        ),
        (job(task(exitConditions={"default": {"dependencyAction": "go"}})), ["dependencyAction", "satisfy, block"]),
        (job(task(exitConditions={"exitCodes": [{}]})), ["exitCodes[0]: code is missing"]),
        (job(task(exitConditions={"exitCodeRanges": [{"start": 5, "end": 4}]})), ["exitCodeRanges[0]", "swap them"]),
        (resource(filePath="a"), ["resourceFiles[0]", "none is there"]),
        (resource(httpUrl="https://a/b", storageContainerUrl=CONTAINER, filePath="a"), ["only one", "are there"]),
        (resource(httpUrl="https://a/b"), ["filePath is missing"]),
        (resource(httpUrl="b.txt", filePath="a"), ["httpUrl", "'b.txt' is not a URL"]),
        (
            resource(storageContainerUrl="https://a.blob.core.windows.net/C"),
            ["storageContainerUrl", "names the container 'C'"],
        ),
        (resource(storageContainerUrl=f"{CONTAINER}?sv=1&sp=r&sig=x"), ["allows 'r', and 'r' and 'l' is needed"]),
        (resource(httpUrl="https://a/b?sv=1&se=2020-01-01&sig=x", filePath="a"), ["httpUrl", "expired at 2020-01-01"]),
        (resource(httpUrl="https://a/b", filePath="../a"), ["filePath", "leads out"]),
        (resource(httpUrl="https://a/b", filePath="/a"), ["filePath", "leads out"]),
        (resource(httpUrl="https://a/b", filePath="a/"), ["ends like a folder"]),
        (resource(httpUrl="https://a/b", filePath="a/."), ["ends like a folder"]),
        (
            job(task(outputFiles=[{"filePattern": "*", "destination": {"container": {"path": "../a"}}}])),
            ["outputFiles[0].destination.container.path", "leads out"],
        ),
        (resource(httpUrl="https://a/b", filePath="a", fileMode="rwx"), ["fileMode", "'rwx'"]),
        (resource(httpUrl="https://a/b", filePath="a", blobPrefix="x"), ["blobPrefix", "container only"]),
        (resource(httpUrl="file:nothing.txt", filePath="a"), ["httpUrl: there is no file", "nothing.txt"]),
        (resource(storageContainerUrl="file:nothing"), ["storageContainerUrl: there is no folder", "nothing"]),
        (job(task(outputFiles=[{"filePattern": ""}])), ["outputFiles[0].filePattern", "is empty"]),
        (
            job(task(outputFiles=[{**UPLOAD, "uploadOptions": {"uploadCondition": "always"}}])),
            ["uploadCondition", "tasksuccess"],
        ),
        (
            job(
                task(
                    commandLine="batch-outputs run -- true",
                    outputFiles=[{"filePattern": "../std*.txt", "destination": {"container": {"path": "t1/$TaskLog"}}}],
                )
            ),
            ["outputFiles", "t1/$TaskLog/stdout.txt", "leave out the rule"],
        ),
    ],
)
def test_each_mistake_is_a_sentence_with_its_place(document: dict[str, Any], parts: list[str]) -> None:
    """One sentence a mistake, that names the file, the place, the cause and what to do."""
    (sentence,) = problems(document)
    assert sentence.startswith("job.json: "), sentence
    assert sentence.endswith("."), sentence
    for part in parts:
        assert part in sentence, sentence


def test_all_mistakes_are_told_at_once() -> None:
    """Whoever corrects a job need not try it once for each mistake."""
    waiting = task("f", dependsOn={"taskIds": ["f"]})
    document = job(task("a b"), task("c", requiredSlots=9), task("d", dependsOn={"taskIds": ["e"]}), waiting)
    told = problems(document)
    assert len(told) == 5
    for part in ("tasks[0].id", "tasks[1] (c).requiredSlots", "no task e", "usesTaskDependencies", "f → f"):
        assert sum(part in sentence for sentence in told) == 1, part


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{", ["job.json:1:2", "no JSON"]),
        ("[]", ["should be a JSON object"]),
        ("[" * 100_000, ["no JSON"]),
    ],
)
def test_what_is_no_job(tmp_path: Path, text: str, parts: list[str]) -> None:
    """A file that holds no JSON object is refused with the place where it ends to be one."""
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_document(str(tmp_path / "job.json"))
    for part in parts:
        assert part in str(caught.value)


def test_a_secret_in_a_url_is_not_told(tmp_path: Path) -> None:
    """A URL that cannot be used is shown without its SAS, and no plain value of a job shows one."""
    sas = "sv=2021&sig=very-secret"
    document = job(task(resourceFiles=[{"httpUrl": f"htp://a/b?{sas}", "filePath": "a"}]))
    assert "very-secret" not in problems(document)[0]
    good = job(
        task(
            resourceFiles=[{"httpUrl": f"https://a/b?{sas}", "filePath": "a"}],
            environmentSettings=[{"name": "BATCH_OUTPUTS_CONTAINER_URL", "value": f"https://a/b?{sas}"}],
            outputFiles=[{"filePattern": "*", "destination": {"container": {"containerUrl": f"{CONTAINER}?{sas}"}}}],
        )
    )
    assert "very-secret" not in repr(check_job(good, "job.json", slots=1))


def test_what_a_job_says(tmp_path: Path) -> None:
    """Ids are compared without case, ranges and retries resolved, and relative URLs begin at the file's folder."""
    (tmp_path / "a b.py").write_text("")
    document = job(
        task("1", constraints={"maxTaskRetryCount": 2, "maxWallClockTime": "P1DT1H1M1.5S"}),
        task("2", resourceFiles=[{"httpUrl": "file:a%20b.py", "filePath": "x.py"}, {"storageContainerUrl": "file:."}]),
        task("Merge", dependsOn={"taskIds": ["MERGE-ALL"], "taskIdRanges": [{"start": 1, "end": 2}]}),
        task("merge-all", constraints={"maxWallClockTime": "P10675199DT2H48M5.4775807S"}, exitConditions=None),
        usesTaskDependencies=True,
        constraints={"maxTaskRetryCount": 1},
        onAllTasksComplete="noaction",
    )
    read: Job = check_job(document, str(tmp_path / "job.json"), slots=1)
    first, second, merge, last = read.tasks
    assert (first.max_retries, first.max_wall_clock_time) == (2, 90061.5)
    assert (second.max_retries, last.max_wall_clock_time) == (1, None)
    assert merge.depends_on == ("merge-all", "1", "2")
    assert [file.http_url or file.container_url for file in second.resource_files] == [
        (tmp_path / "a b.py").as_uri(),
        tmp_path.as_uri(),
    ]
    assert read.notes == ()


def test_what_the_desk_does_otherwise_is_noted(tmp_path: Path) -> None:
    """Shell signs without a shell, container images, identities and unknown properties are told of."""
    document = job(
        task("a", commandLine="echo $HOME > out.txt", containerSettings={"imageName": "x"}),
        task("b", commandLine="/bin/sh -c 'echo $HOME > out.txt'"),
        etag="1",
        jobManagerTask={},
    )
    notes = check_job(document, "job.json", slots=1).notes
    assert len(notes) == 4
    if os.name != "nt":
        assert any("tasks[0] (a).commandLine has $HOME" in note for note in notes)
    assert not any("(b)" in note for note in notes)


def test_models_of_azure_batch_are_understood() -> None:
    """What azure-batch's models give as JSON is read as it stands."""
    models = pytest.importorskip("azure.batch.models")
    made = models.BatchTaskCreateOptions(
        id="t1",
        command_line="true",
        exit_conditions=models.ExitConditions(
            exit_codes=[models.ExitCodeMapping(code=3, exit_options=models.ExitOptions(dependency_action="satisfy"))]
        ),
        constraints=models.BatchTaskConstraints(max_task_retry_count=1, max_wall_clock_time="PT5M"),
        environment_settings=[models.EnvironmentSetting(name="A", value="b")],
        output_files=[
            models.OutputFile(
                file_pattern="*.txt",
                destination=models.OutputFileDestination(
                    container=models.OutputFileBlobContainerDestination(container_url=CONTAINER, path="p")
                ),
                upload_options=models.OutputFileUploadConfiguration(upload_condition="tasksuccess"),
            )
        ],
    )
    (read,) = check_job(json.loads(json.dumps(job(made.as_dict()))), "job.json", slots=1).tasks
    assert read.exit_conditions.codes[3].dependency_action == "satisfy"
    assert (read.max_retries, read.max_wall_clock_time, dict(read.environment)) == (1, 300.0, {"A": "b"})
    assert (read.upload_rules[0].when, read.upload_rules[0].path) == ("success", "p")
