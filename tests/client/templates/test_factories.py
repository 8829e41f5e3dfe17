"""Task factories: which tasks they make, and every mistake with its place."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_outputs.client.templates.document import parse
from batch_outputs.client.templates.factories import Collection, PerFile, Sweep, TaskFactory, task_factory
from batch_outputs.client.templates.placeholders import File
from batch_outputs.client.templates.tasks import MEMBERS
from batch_outputs.errors import TemplateError

OUTPUT = {
    "filePattern": "*",
    "destination": {"container": {"containerUrl": "u"}},
    "uploadOptions": {"uploadCondition": "taskcompletion"},
}


def factory(**members: object) -> TaskFactory:
    return task_factory(parse(json.dumps(members), "t.json", path="job.taskFactory"))


def tasks_of(made: TaskFactory, *files: File) -> list[Any]:
    return [task.plain for task in (made.tasks(files) if isinstance(made, PerFile) else made.tasks())]


def sweep(command: str, *sets: tuple[int, ...], **members: object) -> list[Any]:
    named = [dict(zip(("start", "end", "step"), numbers, strict=False)) for numbers in sets]
    made = factory(type="parametricSweep", parameterSets=named, repeatTask={"commandLine": command}, **members)
    assert isinstance(made, Sweep)
    tasks = tasks_of(made)
    assert made.count == len(tasks)
    return tasks


def per_file(task: dict[str, object], *files: File) -> list[Any]:
    return tasks_of(factory(type="taskPerFile", source={"fileGroup": "g"}, repeatTask=task), *files)


def refused(**members: object) -> str:
    with pytest.raises(TemplateError) as caught:
        factory(**members)
    assert str(caught.value).startswith("t.json:1:")
    return str(caught.value)


def test_a_sweep_counts_inclusively_up_and_down() -> None:
    """Both ends are among the numbers where steps lead to them, and ids count from 0."""
    assert sweep("c {0}", (1, 3)) == [{"id": str(n), "commandLine": f"c {n + 1}"} for n in range(3)]
    for numbers, expected in (
        ((0, 10, 5), [0, 5, 10]),
        ((0, 9, 5), [0, 5]),
        ((3, -3, -2), [3, 1, -1, -3]),
        ((7, 7), [7]),
        ((7, 7, -4), [7]),
    ):
        assert [task["commandLine"] for task in sweep("{0}", numbers)] == list(map(str, expected))


@given(
    st.lists(
        st.tuples(st.integers(-9, 9), st.integers(0, 6), st.sampled_from([-3, -2, -1, 1, 2, 3])), min_size=1, max_size=3
    )
)
def test_sets_make_their_product_and_the_first_changes_most_slowly(sets: list[tuple[int, int, int]]) -> None:
    """Every combination has a task, in the order of nested loops."""
    ends = [(start, start + distance * (1 if step > 0 else -1), step) for start, distance, step in sets]
    loops = [
        [
            n
            for n in range(-40, 40)[:: 1 if step > 0 else -1]
            if (n - start) % step == 0 and min(start, end) <= n <= max(start, end)
        ]
        for start, end, step in ends
    ]
    command = " ".join(f"{{{i}}}" for i in range(len(sets)))
    tasks = sweep(command, *ends)
    assert [task["commandLine"] for task in tasks] == [" ".join(map(str, v)) for v in itertools.product(*loops)]
    assert [task["id"] for task in tasks] == [str(n) for n in range(len(tasks))]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{0:4}|{1:1}|{1}", "0012|3|3"),
        ("{0:9}", "000000012"),
        ("{{0}}", "{0}"),
        ("{{{0}}}", "{12}"),
        ("{{{{{1}", "{{3"),
        ("awk '{{print $1}}'", "awk '{print $1}'"),
        ("plain", "plain"),
    ],
)
def test_what_stands_in_braces(text: str, filled: str) -> None:
    """Numbers are filled in, padded where asked, and doubled braces are braces."""
    assert sweep(text, (12, 12), (3, 3))[0]["commandLine"] == filled


@given(text=st.text(min_size=1), start=st.integers(0, 10**6))
def test_any_text_can_be_escaped(text: str, start: int) -> None:
    """With its braces doubled, a text stands for itself beside a number."""
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert sweep(f"{doubled}{{0}}{doubled}", (start, start))[0]["commandLine"] == f"{text}{start}{text}"


def test_what_is_replaced_and_what_is_not() -> None:
    """Command, display name, files and environment are filled in everywhere; all else stays, and the merge task."""
    task = {
        "commandLine": "{0}",
        "displayName": "{0}",
        "resourceFiles": [
            {"httpUrl": "h{0}", "filePath": "f{0}", "fileMode": "{0}"},
            {"source": {"fileGroup": "g{0}", "prefix": "p{0}"}},
            {"storageContainerUrl": "s{0}", "blobPrefix": "b{0}"},
        ],
        "environmentSettings": [{"name": "N{0}", "value": "v{0}"}],
        "outputFiles": [
            {
                "filePattern": "o{0}",
                "destination": {"container": {"containerUrl": "c{0}", "path": "p{0}", "uploadHeaders": "{0}"}},
                "uploadOptions": {"uploadCondition": "taskfailure"},
            },
            {
                "filePattern": "o",
                "destination": {"autoStorage": {"fileGroup": "g{0}", "path": "p{0}"}},
                "uploadOptions": {"uploadCondition": "taskFailure"},
            },
        ],
        "constraints": {"maxWallClockTime": "{0}"},
        "userIdentity": {"username": "{0}"},
    }
    made = factory(
        type="parametricSweep",
        parameterSets=[{"start": 8, "end": 8}],
        repeatTask=task,
        mergeTask={"commandLine": "{0} {x"},
    )
    text = json.dumps(task)
    for kept in ('"fileMode": "{0}"', '"uploadHeaders": "{0}"', '"maxWallClockTime": "{0}"', '"username": "{0}"'):
        text = text.replace(kept, kept.replace("{0}", "KEPT"))
    expected = json.loads(text.replace("{0}", "8").replace("KEPT", "{0}"))
    merge = {"id": "merge", "commandLine": "{0} {x", "dependsOn": {"taskIdRanges": [{"start": 0, "end": 0}]}}
    assert tasks_of(made) == [{"id": "0", **expected}, merge]


def test_the_merge_task_depends_on_the_whole_range() -> None:
    """Its range ends at the last task, and a sweep's count has it in."""
    tasks = sweep("{0}{1}", (1, 3), (1, 4), mergeTask={"commandLine": "m", "displayName": "all"})
    assert tasks[-1] == {
        "id": "merge",
        "dependsOn": {"taskIdRanges": [{"start": 0, "end": 11}]},
        "commandLine": "m",
        "displayName": "all",
    }
    assert len(tasks) == 13


def test_a_task_per_file_knows_its_file() -> None:
    """URL, path, name and name without extension are filled in as they are, braces and all."""
    files = [File("https://a/c/x/a%20b.tar.gz?sig=1", "x/a b.tar.gz"), File("u", ".profile"), File("v", "{url}")]
    tasks = per_file({"commandLine": "{url}|{filePath}|{fileName}|{fileNameWithoutExtension}|{{url}}"}, *files)
    assert tasks == [
        {"id": "0", "commandLine": "https://a/c/x/a%20b.tar.gz?sig=1|x/a b.tar.gz|a b.tar.gz|a b.tar|{url}"},
        {"id": "1", "commandLine": "u|.profile|.profile|.profile|{url}"},
        {"id": "2", "commandLine": "v|{url}|{url}|{url}|{url}"},
    ]


def test_a_collection_is_taken_as_it_stands() -> None:
    """Its tasks keep their ids, dependencies and braces."""
    tasks = [{"id": "a", "commandLine": "{0}"}, {"id": "b", "commandLine": "x", "dependsOn": {"taskIds": ["a"]}}]
    made = factory(type="taskCollection", tasks=tasks)
    assert isinstance(made, Collection)
    assert made.count == 2
    assert tasks_of(made) == tasks


def test_a_million_tasks_are_made_one_by_one_and_more_not_at_all() -> None:
    """The limit is looked at before anything is made, however large the sets."""
    million = {"start": 1, "end": 1_000_000}
    made = factory(type="parametricSweep", parameterSets=[million], repeatTask={"commandLine": "{0}"})
    assert isinstance(made, Sweep)
    assert next(made.tasks()).plain == {"id": "0", "commandLine": "1"}
    for sets in (
        [{"start": 0, "end": 1_000_000}],
        [{"start": 1, "end": 10**30}],
        [million, {"start": 1, "end": 2}],
        [{"start": 1, "end": 101}] * 3,
    ):
        assert "(job.taskFactory.parameterSets): this makes more than 1,000,000 tasks; divide" in refused(
            type="parametricSweep", parameterSets=sets, repeatTask={"commandLine": "c"}
        )


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        ({"start": 1, "end": 2, "step": 0}, ".step): the step is 0"),
        ({"start": 1, "end": 2, "step": -1}, ".step): a step of -1 leads from 1 away from 2; turn its sign"),
        ({"start": 2, "end": 1}, "[0]): a step of 1 leads from 2 away from 1"),
        ({"start": 1}, "[0]): the parameter set has no end; add it."),
        ({"start": "1", "end": 2}, ".start): start is a text; give it a whole number."),
        ({"start": 1, "end": 2.5}, ".end): end is a fraction; give it a whole number."),
        ({"start": 1, "end": 2, "stop": 1}, ".stop): a parameter set has no stop; it has start, end and step."),
        (5, "[0]): a parameter set is a whole number; make it an object, {…}."),
    ],
)
def test_mistakes_in_a_parameter_set(one: object, sentence: str) -> None:
    """What no numbers can come from is pointed at."""
    message = refused(type="parametricSweep", parameterSets=[one], repeatTask={"commandLine": "c"})
    assert "(job.taskFactory.parameterSets[0]" in message
    assert sentence in message


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{1}", "{1} is there no parameter set for; the last one is {0}."),
        ("{0:0}", "{0:0} asks for 0 digits; ask for 1 to 9."),
        ("{0:10}", "{0:10} asks for 10 digits"),
        ("{0:4}", "{0:4} asks for digits, and its parameter set has negative numbers; use {0}."),
        ("{x}", "{x} is no number of a parameter set; write {{ and }} for braces."),
        ("{0", "a brace, {, stands alone; write {{ for a brace."),
        ("0}", "a brace, }, stands alone; write }} for a brace."),
        ("{}", "{} is no number"),
    ],
)
def test_mistakes_in_braces(text: str, sentence: str) -> None:
    """A brace that means nothing is refused before a task is made, with the text's place."""
    for task, path in (
        ({"commandLine": text}, "commandLine"),
        ({"commandLine": "c", "environmentSettings": [{"name": "N", "value": text}]}, "environmentSettings[0].value"),
        ({"commandLine": "c", "outputFiles": [{**OUTPUT, "filePattern": text}]}, "outputFiles[0].filePattern"),
    ):
        message = refused(type="parametricSweep", parameterSets=[{"start": -1, "end": 5}], repeatTask=task)
        assert f"(job.taskFactory.repeatTask.{path}): {sentence}" in message


def task_with(**members: object) -> dict[str, object]:
    return {"commandLine": "c", **members}


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ([], "): the repeatTask is an array; make it an object"),
        ({}, "): the repeatTask has no commandLine; add it."),
        ({"commandLine": ""}, ".commandLine): the commandLine is empty; give it a text."),
        ({"commandline": "c"}, ".commandline): a task has no commandline; did you mean commandLine?"),
        (task_with(id="x"), ".id): the repeatTask may have no id, which is for its factory to set; remove it."),
        (task_with(dependsOn={}), ".dependsOn): the repeatTask may have no dependsOn"),
        (
            task_with(environmentSettings={}),
            ".environmentSettings): environmentSettings is an object; make it an array",
        ),
        (task_with(environmentSettings=[{}]), ".environmentSettings[0]): an environment setting needs a name; add it."),
        (
            task_with(environmentSettings=[{"name": "N", "value": 5}]),
            ".environmentSettings[0].value): the value of an environment setting is a whole number; make it a text, as",
        ),
        (task_with(outputFiles=[{}]), ".outputFiles[0]): an output file needs a filePattern"),
        (task_with(outputFiles=[{"filePattern": "*"}]), ".outputFiles[0]): the output file has no destination"),
        (
            task_with(outputFiles=[{**OUTPUT, "destination": {}}]),
            ".outputFiles[0].destination): the destination needs container or autoStorage; add it.",
        ),
        (
            task_with(outputFiles=[{**OUTPUT, "destination": {"container": {}, "autoStorage": {}}}]),
            ".destination): the destination needs container or autoStorage; keep one of them.",
        ),
        (
            task_with(outputFiles=[{**OUTPUT, "destination": {"container": {}}}]),
            ".destination.container): the container needs a containerUrl",
        ),
        (
            task_with(outputFiles=[{**OUTPUT, "destination": {"autoStorage": {"group": "g"}}}]),
            ".autoStorage.group): autoStorage has no group; there are fileGroup, path.",
        ),
        (
            task_with(outputFiles=[{**OUTPUT, "uploadOptions": {"uploadCondition": "always"}}]),
            ".uploadCondition): this is no uploadCondition; use one of tasksuccess, taskfailure, taskcompletion.",
        ),
        (
            task_with(outputFiles=[{key: OUTPUT[key] for key in ("filePattern", "destination")}]),
            ".outputFiles[0]): the output file has no uploadOptions; add",
        ),
        (
            task_with(resourceFiles=[{"source": {}}]),
            ".resourceFiles[0].source): the source needs fileGroup or containerUrl or url; add it.",
        ),
        (
            task_with(resourceFiles=[{"source": {"url": "u", "prefix": "p"}}]),
            ".source.prefix): a prefix chooses among the files of a group or container; remove it beside url.",
        ),
        (
            task_with(resourceFiles=[{"source": {"url": "u"}, "httpUrl": "u"}]),
            ".httpUrl): a resource file has a source or httpUrl; remove one of them.",
        ),
    ],
)
def test_mistakes_in_a_task(task: object, sentence: str) -> None:
    """What the service would refuse, or take for something else, is refused with its place; of merge tasks, too."""
    sets = [{"start": 1, "end": 2}]
    message = refused(type="parametricSweep", parameterSets=sets, repeatTask=task)
    assert "(job.taskFactory.repeatTask" in message
    assert sentence in message
    merge = refused(type="parametricSweep", parameterSets=sets, repeatTask={"commandLine": "c"}, mergeTask=task)
    assert sentence.replace("repeatTask", "mergeTask") in merge


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        (
            {},
            "(job.taskFactory): the taskFactory has no type; add one of taskCollection, parametricSweep, taskPerFile.",
        ),
        ({"type": "sweep"}, "(job.taskFactory.type): there is no task factory sweep;"),
        ({"type": "parametricSweep"}, "(job.taskFactory): the parametricSweep has no parameterSets; add it."),
        (
            {"type": "parametricSweep", "parameterSet": []},
            "(job.taskFactory.parameterSet): a parametricSweep has no parameterSet; did you mean parameterSets?",
        ),
        ({"type": "taskCollection", "tasks": []}, "(job.taskFactory.tasks): there are no tasks; add some."),
        ({"type": "taskCollection", "tasks": [{"commandLine": "c"}]}, "tasks[0]): the task has no id; add one."),
        (
            {"type": "taskCollection", "tasks": [{"id": "a b", "commandLine": "c"}]},
            "tasks[0].id): this is not a task id",
        ),
        (
            {"type": "taskCollection", "tasks": [{"id": i, "commandLine": "c"} for i in ("a", "b", "A")]},
            "(job.taskFactory.tasks[2].id): a task before has the id A, too;",
        ),
        (
            {"type": "parametricSweep", "parameterSets": [], "repeatTask": {"commandLine": "c"}},
            "(job.taskFactory.parameterSets): there is no parameter set; add one with start and end.",
        ),
        (
            {"type": "taskPerFile", "source": {}, "repeatTask": {"commandLine": "c"}},
            "(job.taskFactory.source): the source needs a fileGroup or a containerUrl; add one.",
        ),
        (
            {
                "type": "taskPerFile",
                "source": {"fileGroup": "g", "containerUrl": "u"},
                "repeatTask": {"commandLine": "c"},
            },
            "the source needs a fileGroup or a containerUrl; keep one.",
        ),
        (
            {"type": "taskPerFile", "source": {"group": "g"}, "repeatTask": {"commandLine": "c"}},
            "(job.taskFactory.source.group): a source has no group;",
        ),
        (
            {"type": "taskPerFile", "source": {"fileGroup": 5}, "repeatTask": {"commandLine": "c"}},
            "(job.taskFactory.source.fileGroup): the fileGroup is a whole number; give it a text.",
        ),
        (
            {"type": "taskPerFile", "source": {"fileGroup": "g"}, "repeatTask": {"commandLine": "{filename}"}},
            "repeatTask.commandLine): {filename} is nothing of a file; did you mean fileName? For braces write",
        ),
    ],
)
def test_mistakes_in_a_factory(members: dict[str, object], sentence: str) -> None:
    """A factory that cannot make tasks is refused with the place of the mistake."""
    assert sentence in refused(**members)


def test_the_members_of_a_task_are_those_of_azure_batch() -> None:
    """What a task may have is exactly what azure-batch's model sends."""
    from azure.batch.models import BatchTaskCreateOptions

    fields = BatchTaskCreateOptions({})._attr_to_rest_field.values()
    assert {field._rest_name for field in fields} == MEMBERS
