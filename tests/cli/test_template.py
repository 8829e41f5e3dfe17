"""`template expand`: what it prints, where the secrets are, and that a mistake prints nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.azurite import KEY, Azurite
from support.command import Desk

SWEEP = """{
  "parameters": {
    "frames": {"type": "int", "maxValue": 99},
    "size": {"type": "object", "defaultValue": {"w": 640}}
  },
  "job": {
    "properties": {
      "taskFactory": {
        "type": "parametricSweep",
        "parameterSets": [{"start": 1, "end": "[parameters('frames')]"}],
        "repeatTask": {"commandLine": "rénder -w [parameters('size').w] {0:4}"}
      }
    }
  }
}"""
TO_GROUP = """{"job": {"taskFactory": {"type": "taskPerFile", "source": {"fileGroup": "in"}, "repeatTask": {
  "commandLine": "{url}", "outputFiles": [{"filePattern": "*", "destination": {"autoStorage": {"fileGroup": "out"}},
  "uploadOptions": {"uploadCondition": "taskcompletion"}}]}}}}"""


@pytest.fixture
def furnished(desk: Desk) -> Desk:
    """A desk with two templates, values for the first, and a file for the second."""
    desk.write("sweep.json", SWEEP)
    desk.write("group.json", TO_GROUP)
    desk.write("values.json", '{"frames": {"value": 2}}')
    desk.write("a.txt", "content")
    return desk


def test_tasks_are_printed_as_one_array_or_one_a_line(furnished: Desk) -> None:
    """The two forms hold the same tasks; nothing else is on stdout, and no storage is touched."""
    done = furnished.run("template", "expand", "sweep.json", "--parameters", "values.json")
    tasks = json.loads(done.out)
    assert tasks == [{"id": str(n), "commandLine": f"rénder -w 640 000{n + 1}"} for n in range(2)]
    assert done.sentences == ["2 tasks in sweep.json."]
    lines = furnished.run("template", "expand", "sweep.json", "--json", "--parameters", "values.json")
    assert lines.objects == tasks
    assert "batch-outputs" not in {path.split("/")[0] for path in furnished.everything}


def test_typed_values_stand_above_the_file_s(furnished: Desk) -> None:
    """A value of --parameter is read as its parameter's type asks."""
    done = furnished.run(
        *("template", "expand", "sweep.json", "--parameters", "values.json"),
        *("--parameter", "frames=1", "--parameter", 'size={"w": 8}'),
    )
    assert json.loads(done.out) == [{"id": "0", "commandLine": "rénder -w 8 0001"}]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "sweep.json:3:15 (parameters.frames): the parameter frames has neither a value nor a defaultValue; "),
        (["--parameter", "frames=x"], '--parameter frames: the parameter frames is "x"; give it a whole number.'),
        (["--parameter", "frames=100"], "--parameter frames: the parameter frames is 100; give it at most 99."),
        (["--parameter", "frames=0"], "(job.properties.taskFactory.parameterSets[0]): a step of 1 leads from 1 away"),
        (["--parameter", "frame=1"], "the template has no parameter frame; did you mean frames?"),
        (["--parameters", "none.json"], "none.json cannot be read: No such file or directory; check the name"),
        (["--parameters", "a.txt"], "a.txt:1:1: this is not JSON: a value should stand here; "),
    ],
)
def test_a_mistake_is_one_sentence_and_prints_nothing(furnished: Desk, arguments: list[str], sentence: str) -> None:
    """The sentence names the place; stdout stays empty."""
    done = furnished.run("template", "expand", "sweep.json", *arguments, code=125)
    assert len(done.sentences) == 1
    assert sentence in done.sentences[0]
    assert done.out == ""


@pytest.mark.parametrize("value", ["frames", "=1", "frames=1 --parameter frames=2"])
def test_wrong_usage_is_told(furnished: Desk, value: str) -> None:
    """A value without a name, and a name given twice, are wrong usage."""
    arguments = [part for text in value.split(" --parameter ") for part in ("--parameter", text)]
    done = furnished.run("template", "expand", "sweep.json", *arguments, code=2)
    assert "NAME=VALUE" in done.err or "given twice" in done.err


def test_groups_of_a_folder_have_plain_urls(furnished: Desk) -> None:
    """With nothing configured, file groups are those of the embedded folder, and no URL is a secret."""
    furnished.run("group", "upload", "in", "a.txt")
    done = furnished.run("template", "expand", "group.json", "--json")
    (task,) = done.objects
    assert Path(task["commandLine"].removeprefix("file://")).read_text() == "content"
    assert task["outputFiles"][0]["destination"]["container"]["containerUrl"].endswith("/batch-outputs/fgrp-out")
    assert done.sentences == ["1 task in group.json."]
    assert not (furnished.folder / "batch-outputs" / "fgrp-out").exists()
    furnished.run("template", "expand", "group.json", "--create-groups")
    assert (furnished.folder / "batch-outputs" / "fgrp-out").is_dir()


def test_a_missing_group_prints_nothing(furnished: Desk) -> None:
    """The sentence names the place of the group in the template and what to do."""
    done = furnished.run("template", "expand", "group.json", code=125)
    (sentence,) = done.sentences
    assert sentence.startswith("group.json:1:73 (job.taskFactory.source.fileGroup): the file group in does not exist; ")
    assert sentence.endswith("upload its files first, as with batch-outputs group upload.")
    assert done.out == ""


def test_secrets_are_printed_where_they_are_asked_for_only(furnished: Desk, azurite: Azurite) -> None:
    """URLs have a SAS, which is said; with --no-sas none has, and the account's key never shows."""
    furnished.variables["AZURE_STORAGE_CONNECTION_STRING"] = azurite.connection_string
    furnished.secrets.append(KEY)
    furnished.run("group", "upload", "in", "a.txt")
    signed = furnished.run("template", "expand", "group.json", "--json", "--expiry", "2h")
    assert signed.out.count("sig=") == 2
    assert "sig=" not in signed.err
    assert signed.sentences[-1].startswith("URLs among what was printed let whoever has them in until 20")
    plain = furnished.run("template", "expand", "group.json", "--json", "--no-sas")
    assert "sig=" not in plain.out
    assert plain.sentences == ["1 task in group.json."]


def test_an_expiry_that_no_sas_can_have(furnished: Desk) -> None:
    """It is refused before anything is asked of storage."""
    done = furnished.run("template", "expand", "group.json", "--expiry", "60w", "--create-groups", code=2)
    assert "more than a year ahead" in " ".join(done.err.split())
    assert not (furnished.folder / "batch-outputs").exists()
