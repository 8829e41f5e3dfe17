"""Whole templates: the job and the tasks that come of them, and what is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from batch_outputs.client.templates import Container, Expansion, Template, to_models
from batch_outputs.errors import TemplateError

pytestmark = pytest.mark.anyio

DATA = Path(__file__).parent / "data"
COLLECTION = {"type": "taskCollection", "tasks": [{"id": "a", "commandLine": "a"}]}


@dataclass
class Listed:
    """Containers with these files; their URLs say what they were asked for."""

    names: list[str] = field(default_factory=list)
    asked: list[tuple[Container, str]] = field(default_factory=list)

    async def list_names(self, container: Container, prefix: str) -> AsyncIterator[str]:
        self.asked.append((container, prefix))
        for name in self.names:
            yield name

    async def container_url(self, container: Container, permissions: str) -> str:
        self.asked.append((container, permissions))
        return f"https://a/{container.group or 'other'}?sp={permissions}&sig=S"


async def tasks_of(expansion: Expansion, containers: Listed | None = None) -> list[dict[str, Any]]:
    return [task async for task in expansion.tasks(containers)]


def expand(job: object, **members: object) -> Expansion:
    return Template.parse(json.dumps({**members, "job": job}), "t.json").expand()


def refused(job: object, **members: object) -> str:
    with pytest.raises(TemplateError) as caught:
        expand(job, **members)
    return str(caught.value)


def doubling(first: object, step: object) -> dict[str, object]:
    """Forty variables that are each made from the one before; where `{0}` is, that one is named."""
    steps = [json.loads(json.dumps(step).replace("{0}", f"variables('v{n}')")) for n in range(40)]
    return {"variables": {f"v{n}": value for n, value in enumerate([first, *steps])}}


async def test_a_template_of_a_task_per_file() -> None:
    """The videos of a group become tasks that read by URL and write to another group."""
    expansion = Template.read(DATA / "ffmpeg.json").expand({"inputGroup": "Videos"})
    assert expansion.job == {"id": "ffmpeg-428x240", "poolInfo": {"poolId": "video"}}
    assert expansion.count is None
    containers = Listed(["raw/a b.mov", "raw/c.d.mov"])
    first, second = await tasks_of(expansion, containers)
    assert first == {
        "id": "0",
        "displayName": "raw/a b.mov",
        "commandLine": "ffmpeg -i a b.mov -y -s 428x240 a b_428x240.mp4",
        "resourceFiles": [{"httpUrl": "https://a/Videos/raw/a%20b.mov?sp=r&sig=S", "filePath": "a b.mov"}],
        "outputFiles": [
            {
                "filePattern": "a b_428x240.mp4",
                "destination": {
                    "container": {"containerUrl": "https://a/Videos-small?sp=w&sig=S", "path": "a b_428x240.mp4"}
                },
                "uploadOptions": {"uploadCondition": "tasksuccess"},
            }
        ],
    }
    assert second["id"] == "1"
    assert second["outputFiles"][0]["filePattern"] == "c.d_428x240.mp4"
    assert containers.asked[0] == (Container(group="Videos"), "raw/")


async def test_a_template_of_a_sweep_with_merge_task() -> None:
    """Frames and tiles become tasks, the merge task depends on all of them, and the job says that tasks depend."""
    expansion = Template.read(DATA / "blender.json").expand({"scene": "a.blend", "end": 2, "gpu": True})
    assert expansion.job == {
        "id": "render-1-2",
        "displayName": "movie [draft]",
        "poolInfo": {"poolId": "render"},
        "jobPreparationTask": {
            "commandLine": "unpack",
            "resourceFiles": [{"autoStorageContainerName": "fgrp-scenes", "blobPrefix": "a.blend"}],
        },
        "usesTaskDependencies": True,
    }
    assert expansion.count == 5
    tasks = await tasks_of(expansion, Listed())
    assert [task["id"] for task in tasks] == ["0", "1", "2", "3", "merge"]
    assert tasks[2] == {
        "id": "2",
        "commandLine": "blender -b a.blend --gpu true -o frame_{0} -f 2 --tile 1",
        "requiredSlots": 2,
        "environmentSettings": [{"name": "FRAME", "value": "000002"}],
        "outputFiles": [
            {
                "filePattern": "frame_*.png",
                "destination": {"container": {"containerUrl": "https://a/frames?sp=w&sig=S", "path": "0002/1"}},
                "uploadOptions": {"uploadCondition": "taskcompletion"},
            }
        ],
    }
    assert tasks[-1]["displayName"] == "movie of {0}"
    assert tasks[-1]["dependsOn"] == {"taskIdRanges": [{"start": 0, "end": 3}]}


async def test_tasks_become_models_of_azure_batch() -> None:
    """Each task of the real templates is what azure-batch's models hold and send."""
    containers = Listed(["x/a.mov"])
    videos = Template.read(DATA / "ffmpeg.json").expand({"inputGroup": "g"})
    frames = Template.read(DATA / "blender.json").expand({"scene": "abc", "end": 3})
    for tasks in (await tasks_of(videos, containers), await tasks_of(frames, containers)):
        models = to_models(tasks)
        assert [model.as_dict() for model in models] == tasks
        assert models[0].command_line == tasks[0]["commandLine"]
        assert models[0].output_files is not None
        container = models[0].output_files[0].destination.container
        assert container is not None
        assert container.container_url.endswith("sp=w&sig=S")
    merge = to_models([task async for task in frames.tasks(containers)])[-1]
    assert merge.depends_on is not None
    assert merge.depends_on.task_id_ranges is not None
    assert merge.depends_on.task_id_ranges[0].end == 5


async def test_sources_of_resource_files_become_what_the_service_knows() -> None:
    """A group is named as the linked account's container, a container and a file by their URLs; others stay."""
    files = [
        {"source": {"fileGroup": "g"}, "filePath": "in"},
        {"source": {"containerUrl": "https://a/c?sig=S", "prefix": "p"}},
        {"source": {"url": "https://a/c/x"}, "filePath": "x", "fileMode": "0755"},
        {"httpUrl": "https://a/c/y", "filePath": "y"},
    ]
    task = {"id": "a", "commandLine": "a", "resourceFiles": files}
    (made,) = await tasks_of(expand({"taskFactory": {"type": "taskCollection", "tasks": [task]}}))
    assert made["resourceFiles"] == [
        {"autoStorageContainerName": "fgrp-g", "filePath": "in"},
        {"storageContainerUrl": "https://a/c?sig=S", "blobPrefix": "p"},
        {"httpUrl": "https://a/c/x", "filePath": "x", "fileMode": "0755"},
        {"httpUrl": "https://a/c/y", "filePath": "y"},
    ]


async def test_a_whole_factory_may_come_from_a_parameter() -> None:
    """An object may stand for any part of the job; a mistake in it is pointed at where it is written."""
    text = (
        '{"parameters": {"sets": {"type": "object"}},\n "job": {"taskFactory": {"type": "parametricSweep",'
        ' "parameterSets": "[parameters(\'sets\')]", "repeatTask": {"commandLine": "{0}"}}}}'
    )
    template = Template.parse(text)
    assert len(await tasks_of(template.expand({"sets": [{"start": 1, "end": 3}]}))) == 3
    with pytest.raises(TemplateError, match=r"^the parameters given \(sets\[0\].step\): the step is 0"):
        template.expand({"sets": [{"start": 1, "end": 3, "step": 0}]})


async def test_templates_come_in_three_shapes() -> None:
    """A job with properties, a job without, and what belongs to an application, give the same."""
    rest = {"id": "j", "taskFactory": COLLECTION}
    for document in (
        {"job": {"type": "t", "apiVersion": "v", "properties": rest}},
        {"job": rest},
        {"templateMetadata": {"description": "d"}, "variables": {"x": 1}, **rest},
    ):
        expansion = Template.parse(json.dumps(document)).expand()
        assert expansion.job == {"id": "j"}
        assert await tasks_of(expansion) == COLLECTION["tasks"]


async def test_a_job_whose_tasks_depend_says_so() -> None:
    """The service refuses dependencies in a job that does not say it uses them; of the others it is not said."""
    tasks = [{"id": "a", "commandLine": "a"}, {"id": "b", "commandLine": "b", "dependsOn": {"taskIds": ["a"]}}]
    assert expand({"taskFactory": {"type": "taskCollection", "tasks": tasks}}).job == {"usesTaskDependencies": True}
    assert expand({"taskFactory": {"type": "taskCollection", "tasks": tasks[:1]}}).job == {}


async def test_tasks_are_fresh_each_time() -> None:
    """Changing a task or the job that was handed out changes no other."""
    expansion = expand({"id": "j", "metadata": [], "taskFactory": COLLECTION})
    (task,) = await tasks_of(expansion)
    task["commandLine"] = "changed"
    expansion.job["metadata"].append(1)
    assert await tasks_of(expansion) == COLLECTION["tasks"]
    assert expansion.job == {"id": "j", "metadata": []}


async def test_variables_are_made_from_one_another() -> None:
    """In any order, with parts of objects, and each worked out once."""
    variables = {"c": "[variables('b').x[1]]", "b": {"x": ["no", "[concat(variables('a'), '!')]"]}, "a": "hi"}
    assert expand({"id": "[variables('c')]", "taskFactory": COLLECTION}, variables=variables).job["id"] == "hi!"


@pytest.mark.parametrize(
    ("job", "members", "sentence"),
    [
        ({"id": "[variables('x')]"}, {}, "t.json:1:16 (job.id): the template has no variable x; there are none."),
        ({"id": "[parameters('x')]"}, {}, "(job.id): the template has no parameter x; there are none."),
        ({"id": "j"}, {}, "(job): the job has no taskFactory, so that there are no tasks; add one."),
        ([], {}, "(job): the job is an array; make it an object, {…}."),
        ({"properties": 5}, {}, "(job.properties): the job is a whole number; make it an object"),
        ({}, {"variables": []}, "(variables): variables is an array; make it an object"),
        ({}, {"parameters": {"x": 5}}, "(parameters.x): the definition of the parameter x is a whole number"),
        (
            {"taskFactory": COLLECTION},
            {"variables": {"a": "[variables('b')]", "b": ["x[variables('c')]"], "c": "[variables('a')]"}},
            "(variables.c): a → b → c → a is a circle, so that none has a value; break it.",
        ),
        (
            {"taskFactory": COLLECTION},
            {"variables": {"a": "[variables('a')]"}},
            "(variables.a): a → a is a circle",
        ),
        (
            {"taskFactory": COLLECTION},
            {"variables": {f"v{n}": f"[variables('v{n + 1}')]" for n in range(99)}},
            "more than 50 variables are each made from the next; use fewer.",
        ),
        (
            {"taskFactory": COLLECTION},
            doubling("x", "[concat({0}, {0})]"),
            "the text becomes longer than 1,000,000 characters",
        ),
        ({"taskFactory": COLLECTION}, doubling("x", "[{0}][{0}]"), "the text becomes longer than 1,000,000 characters"),
        (
            {"taskFactory": COLLECTION},
            doubling([0], "[concat({0}, {0})]"),
            "this becomes more than 4,000,000 values; check what it is made from.",
        ),
        (
            {"taskFactory": COLLECTION},
            doubling({}, {"a": "[{0}]", "b": "[{0}]"}),
            "this becomes more than 4,000,000 values; check what it is made from.",
        ),
        (
            {"taskFactory": COLLECTION},
            doubling({}, {"a": {"b": {"c": "[{0}]"}}}),
            "the value becomes nested more than 100 levels deep; check what it is made from.",
        ),
        (
            {
                "usesTaskDependencies": False,
                "taskFactory": {
                    "type": "parametricSweep",
                    "parameterSets": [{"start": 1, "end": 2}],
                    "repeatTask": {"commandLine": "c"},
                    "mergeTask": {"commandLine": "m"},
                },
            },
            {},
            "(job.usesTaskDependencies): tasks of the job depend on others; make it true, or leave it out.",
        ),
        (
            {"jobPreparationTask": {"resourceFiles": [{"source": {"fileGroup": "a b"}}]}, "taskFactory": COLLECTION},
            {},
            "(job.jobPreparationTask.resourceFiles[0].source.fileGroup): 'a b' cannot be a file group",
        ),
        (
            {
                "jobManagerTask": {"outputFiles": [{"destination": {"autoStorage": {"fileGroup": "g"}}}]},
                "taskFactory": COLLECTION,
            },
            {},
            "destination.autoStorage): autoStorage is for tasks of the taskFactory; name a container here.",
        ),
    ],
)
async def test_mistakes_in_a_template(job: object, members: dict[str, object], sentence: str) -> None:
    """Every mistake is one sentence that begins with file, line and column, and has the way to the value."""
    message = refused(job, **members)
    assert message.startswith("t.json:1:")
    assert sentence in message
    assert "\n" not in message


async def test_what_is_no_template_is_refused() -> None:
    """A document without a job says so."""
    with pytest.raises(TemplateError, match=r"^t:1:1: this is no template of a job: it has no job; add one"):
        Template.parse("{}", "t").expand()
    with pytest.raises(TemplateError, match=r"^t:1:1: a template is an array; make it an object"):
        Template.parse("[]", "t")


def per_file(**source: object) -> dict[str, object]:
    return {"taskFactory": {"type": "taskPerFile", "source": source, "repeatTask": {"commandLine": "c"}}}


def to_group(group: str) -> dict[str, object]:
    output = {
        "filePattern": "*",
        "destination": {"autoStorage": {"fileGroup": group}},
        "uploadOptions": {"uploadCondition": "taskcompletion"},
    }
    return {
        "taskFactory": {"type": "taskCollection", "tasks": [{"id": "a", "commandLine": "a", "outputFiles": [output]}]}
    }


@pytest.mark.parametrize(
    ("job", "containers", "sentence"),
    [
        (per_file(fileGroup="g"), None, "source.fileGroup): tasks are made per file, which needs access to storage;"),
        (per_file(fileGroup="g"), Listed(), "source): the file group g has no file, so that there are no tasks;"),
        (
            per_file(containerUrl="https://a/c?sig=S", prefix="x/"),
            Listed(),
            "source): the container has no file whose name begins with x/, so that there are no tasks;",
        ),
        (per_file(fileGroup="-"), Listed(), "source.fileGroup): '-' cannot be a file group;"),
        (per_file(fileGroup="g"), Listed([""] * 1_000_001), "source): this makes more than 1,000,000 tasks; divide"),
        (to_group("g"), None, "autoStorage.fileGroup): output files go to this file group, which needs access"),
        (to_group("a b"), Listed(), "autoStorage.fileGroup): 'a b' cannot be a file group;"),
    ],
    ids=[
        "no access",
        "no file",
        "none with the prefix",
        "no group",
        "too many",
        "no access to write",
        "no group to write",
    ],
)
async def test_what_shows_only_with_storage(job: object, containers: Listed | None, sentence: str) -> None:
    """Without files, or access that is needed, no task is made; the place is the source's or the group's."""
    expansion = expand(job)
    assert expansion.needs_containers
    with pytest.raises(TemplateError) as caught:
        await tasks_of(expansion, containers)
    assert sentence in str(caught.value)
    assert "sig=S" not in str(caught.value)


async def test_a_long_expansion_can_be_interrupted() -> None:
    """Making tasks gives way to what else is to be done, such as to end it."""
    sweep = {"type": "parametricSweep", "parameterSets": [{"start": 1, "end": 5000}]}
    expansion = expand({"taskFactory": {**sweep, "repeatTask": {"commandLine": "{0}"}}})
    last = -1
    with anyio.CancelScope() as scope:
        async for task in expansion.tasks():
            last = int(task["id"])
            scope.cancel()
    assert last < 4999


async def test_a_container_keeps_its_secret() -> None:
    """What shows a container, such as a log of its `repr`, does not show the SAS of its URL."""
    assert "S3" not in repr(Container(url="https://a.blob.core.windows.net/c?sig=S3"))
