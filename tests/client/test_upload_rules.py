"""Upload rules of the service: as its REST API has them, and with the names that `run --save` gives."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from azure.batch.models import BatchNodeIdentityReference, BatchTaskCreateOptions, OutputFile
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from batch_outputs import JobOutputKind, TaskOutputKind
from batch_outputs.client import output_file, upload_path
from batch_outputs.errors import ConfigurationError, InvalidNameError
from batch_outputs.kinds import OutputKind
from batch_outputs.names import output_prefix
from batch_outputs.runner import run
from batch_outputs.runner.rules import SaveRule
from batch_outputs.settings import find_target
from batch_outputs.sources import Folders, find_sources
from support.azurite import Container

URL = "https://acct.blob.core.windows.net/job-x"
SAS = f"{URL}?sv=2022-11-02&sr=c&sp=racwl&se=2099-01-01T00%3A00%3A00Z&sig=c2VjcmV0"
IDENTITY = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/uploader"


def destination(rule: OutputFile) -> dict[str, Any]:
    """The container that a rule uploads to, in JSON."""
    found: dict[str, Any] = rule.as_dict()["destination"]["container"]
    return found


class TestAsTheServiceHasThem:
    """What is sent."""

    def test_a_pattern(self) -> None:
        """The names are those of the REST API, with nothing besides."""
        rule = output_file("frames/**/*.png", TaskOutputKind.TASK_PREVIEW, task_id="t1", container_url=SAS)
        assert rule.as_dict() == {
            "filePattern": "frames/**/*.png",
            "destination": {"container": {"containerUrl": SAS, "path": "t1/$TaskPreview/frames"}},
            "uploadOptions": {"uploadCondition": "taskcompletion"},
        }
        task = BatchTaskCreateOptions(id="t1", command_line="x", output_files=[rule]).as_dict()
        assert task["outputFiles"] == [rule.as_dict()]

    def test_everything(self) -> None:
        """Condition, identity and headers are where the REST API wants them; a plain path has its whole name."""
        rule = output_file(
            "../stdout.txt",
            "TaskLog",
            task_id="t1",
            container_url=URL,
            when="failure",
            name="crash/out.txt",
            identity=IDENTITY,
            headers={"Content-Type": "text/plain"},
        )
        assert rule.as_dict() == {
            "filePattern": "../stdout.txt",
            "destination": {
                "container": {
                    "containerUrl": URL,
                    "path": "t1/$TaskLog/crash/out.txt",
                    "identityReference": {"resourceId": IDENTITY},
                    "uploadHeaders": [{"name": "Content-Type", "value": "text/plain"}],
                }
            },
            "uploadOptions": {"uploadCondition": "taskfailure"},
        }
        reference = BatchNodeIdentityReference(resource_id=IDENTITY)
        again = output_file("a", task_id="t1", container_url=URL, identity=reference, when="success")
        assert destination(again)["identityReference"] == {"resourceId": IDENTITY}
        assert again.as_dict()["uploadOptions"] == {"uploadCondition": "tasksuccess"}

    def test_the_text_of_a_rule(self) -> None:
        """Without a kind it is read as `--save` reads it; with one, it is a pattern and nothing else."""
        rule = output_file("TaskLog=../std*.txt", task_id="t1", container_url=SAS)
        assert (rule.file_pattern, destination(rule)["path"]) == ("../std*.txt", "t1/$TaskLog")
        rule = output_file("*.mp4", task_id="t1", container_url=SAS)
        assert (rule.file_pattern, destination(rule)["path"]) == ("*.mp4", "t1/$TaskOutput")
        rule = output_file("JobOutput=all.csv", task_id="t1", container_url=SAS)
        assert (rule.file_pattern, destination(rule)["path"]) == ("all.csv", "$JobOutput/all.csv")
        rule = output_file("a=*.txt", "Thumbnails", task_id="t1", container_url=SAS)
        assert (rule.file_pattern, destination(rule)["path"]) == ("a=*.txt", "t1/$Thumbnails")

    def test_a_folder_to_try_it(self, tmp_path: Path) -> None:
        """On a desk the destination may be a folder."""
        url = (tmp_path / "job-x").as_uri()
        assert destination(output_file("*", task_id="t1", container_url=url))["containerUrl"] == url


class TestRefused:
    """What would only show when the task has ended."""

    @pytest.mark.parametrize(
        ("url", "identity", "sentence"),
        [
            (URL, None, "a container URL with a SAS, or an identity"),
            (SAS, IDENTITY, "brings a SAS, and an identity is given too"),
            (URL, "0f8fad5b-d9cb-469f-a165-70867728950e", "not by its client id"),
            (SAS.replace("racwl", "rl"), None, "allows 'rl', and a task that saves has to write"),
            (SAS.replace("2099", "2020"), None, "expired at 2020-01-01 00:00:00Z"),
            ("https://acct.blob.core.windows.net?sig=abc", None, "one container's name"),
        ],
    )
    def test_access(self, url: str, identity: str | None, sentence: str) -> None:
        """No access, too little, twice, or past; the signature is not shown."""
        with pytest.raises(ConfigurationError, match=sentence) as caught:
            output_file("*", task_id="t1", container_url=url, identity=identity)
        assert "c2VjcmV0" not in str(caught.value)

    @pytest.mark.parametrize(
        ("pattern", "sentence"),
        [
            ("", "lacks a kind or a pattern"),
            ("TaskLog=", "lacks a kind or a pattern"),
            ("TaskLog= ", "is empty"),
            ("frames/", r"names a folder; write frames/\*\*"),
            ("..", "names a folder"),
            ("*/../a.txt", "'..' behind a wildcard"),
        ],
    )
    def test_patterns(self, pattern: str, sentence: str) -> None:
        """Patterns that lead to nothing."""
        with pytest.raises(ConfigurationError, match=sentence):
            output_file(pattern, task_id="t1", container_url=SAS)

    @pytest.mark.parametrize(
        ("pattern", "sentence"),
        [
            ("/mnt/out/*.txt", "absolute path"),
            ("$OUT/*.txt", "depends on a variable"),
            ("out/${RUN}.txt", "depends on a variable"),
            ("$AZ_BATCH_TASK_DIR/**/*.txt", "write it relative to the working directory"),
            ("$AZ_BATCH_TASK_DIR/wd/*.txt", "write it relative to the working directory"),
            ("a/../../b.txt", "leads out of its kind"),
        ],
    )
    def test_files_without_a_name(self, pattern: str, sentence: str) -> None:
        """Where the name is not known before the task runs, one has to be given."""
        with pytest.raises(InvalidNameError, match=sentence):
            output_file(pattern, task_id="t1", container_url=SAS)
        assert upload_path(pattern, "TaskOutput", task_id="t1", name="x").startswith("t1/$TaskOutput/x")

    def test_ids_names_and_conditions(self) -> None:
        """A task id, name, kind or condition that cannot be."""
        with pytest.raises(InvalidNameError, match="not a task id"):
            output_file("*", task_id="a/b", container_url=SAS)
        with pytest.raises(InvalidNameError, match="leads out of its kind"):
            output_file("*", task_id="t1", container_url=SAS, name="../up")
        with pytest.raises(InvalidNameError, match="1,024"):
            output_file("*", task_id="t1", container_url=SAS, name="n" * 1024)
        with pytest.raises(InvalidNameError, match="holds a slash"):
            output_file("*", "Task/Log", task_id="t1", container_url=SAS)
        with pytest.raises(ConfigurationError, match="say success, failure, completion"):
            output_file("*", task_id="t1", container_url=SAS, when="always")  # type: ignore[arg-type]

    @pytest.mark.parametrize("headers", [{"a b": "x"}, {"": "x"}, {"Content-Type": "a\r\nb: c"}, {"x-ms-meta-n": 1}])
    def test_headers(self, headers: dict[str, str]) -> None:
        """Headers that HTTP does not know, among them such as would smuggle in others."""
        with pytest.raises(ConfigurationError, match="cannot be sent; a name has letters"):
            output_file("*", task_id="t1", container_url=SAS, headers=headers)


class TestOnWindows:
    """Rules for nodes that run Windows, made on any system."""

    @pytest.mark.parametrize(
        ("pattern", "path"),
        [
            (r"..\std*.txt", "t1/$TaskOutput"),
            (r"out\deep\*.txt", "t1/$TaskOutput/out/deep"),
            (r"out\a.txt", "t1/$TaskOutput/out/a.txt"),
            (r"%AZ_BATCH_TASK_DIR%\stdout.txt", "t1/$TaskOutput/stdout.txt"),
            (r"%AZ_BATCH_TASK_WORKING_DIR%\out\*", "t1/$TaskOutput/out"),
        ],
    )
    def test_paths(self, pattern: str, path: str) -> None:
        """Backslashes separate."""
        assert upload_path(pattern, "TaskOutput", task_id="t1", windows=True) == path

    def test_elsewhere_backslashes_do_not_separate(self) -> None:
        """On Linux a backslash in a folder's name is a character, which a name of ours has as a slash."""
        assert upload_path(r"out\*.txt", "TaskOutput", task_id="t1") == "t1/$TaskOutput"

    @pytest.mark.parametrize("pattern", [r"C:\out\*.txt", r"\out\a.txt", r"%OUT%\*.txt"])
    def test_files_without_a_name(self, pattern: str) -> None:
        """Drives, roots and variables."""
        with pytest.raises(InvalidNameError):
            upload_path(pattern, "TaskOutput", task_id="t1", windows=True)


def service_names(files: set[str], pattern: str, path: str) -> set[str]:
    """What the service stores, by the rules of its documentation; `files` are relative to the task's directory.

    A pattern without wildcard uploads its one file as `path`. Otherwise `path` is a virtual directory, behind which the
    way from the directory before the first wildcard follows.
    """
    expanded = re.sub(r"\$AZ_BATCH_TASK_WORKING_DIR", "/task/wd", re.sub(r"\$AZ_BATCH_TASK_DIR", "/task", pattern))
    absolute = posixpath.join("/task/wd", expanded)
    segments = absolute.split("/")
    wild = next((i for i, segment in enumerate(segments) if re.search(r"[*?\[]", segment)), None)
    if wild is None:
        return {path} if posixpath.normpath(absolute) in {f"/task/{file}" for file in files} else set()
    base = posixpath.normpath("/".join(segments[:wild]) or "/")
    regex = "".join(map(segment_regex, segments[wild:-1])) + last_regex(segments[-1])
    below = {f"/task/{file}"[len(base) + 1 :] for file in files if f"/task/{file}".startswith(f"{base}/")}
    return {f"{path}/{name}" for name in below if re.fullmatch(regex, name)}


def segment_regex(segment: str) -> str:
    return r"(?:[^/.][^/]*/)*" if segment == "**" else f"{name_regex(segment)}/"


def last_regex(segment: str) -> str:
    return r"(?:[^/.][^/]*/)*[^/.][^/]*" if segment == "**" else name_regex(segment)


def name_regex(segment: str) -> str:
    text = "" if segment.startswith(".") else r"(?!\.)"
    for piece in re.findall(r"\[!?[^\]]+\]|.", segment):
        if len(piece) > 1:
            text += piece.replace("[!", "[^")
        else:
            text += {"*": "[^/]*", "?": "[^/]"}.get(piece, re.escape(piece))
    return text


FOLDERS = st.sampled_from(["", "wd/", "wd/sub/", "wd/sub/deep/", "wd/a/", "wd/.hid/", "wd/sub/.hid/", "other/"])
FILES = st.sampled_from(["stdout.txt", "a.txt", "b.txt", "a.log", ".dot.txt", "x y.txt", "f1.png", "f2.png", "noext"])
TREES = st.sets(st.builds("{}{}".format, FOLDERS, FILES), max_size=12)
STARTS = st.sampled_from(
    ["", "", "", "./", "../", "../wd/", ".././", "sub//", "$AZ_BATCH_TASK_DIR/", "$AZ_BATCH_TASK_WORKING_DIR/"]
)
SEGMENTS = st.sampled_from(
    [
        "*",
        "**",
        "sub",
        "deep",
        "*.txt",
        "?.txt",
        "[ab].txt",
        "[!a]*",
        ".*",
        "f[0-9].png",
        "a.txt",
        "s*",
        "noext",
        "x y*",
    ]
)
PATTERNS = st.builds(lambda start, parts: start + "/".join(parts), STARTS, st.lists(SEGMENTS, min_size=1, max_size=3))
KINDS = st.sampled_from([TaskOutputKind.TASK_LOG, TaskOutputKind("Custom"), JobOutputKind.JOB_OUTPUT])
NAMES = st.sampled_from([None, None, "out", "out/deep", "./out//x", "a.txt"])


@settings(max_examples=150)
@given(files=TREES, pattern=PATTERNS, kind=KINDS, name=NAMES)
def test_the_service_and_run_give_the_same_names(
    files: set[str], pattern: str, kind: OutputKind, name: str | None
) -> None:
    """For any tree and pattern, the service stores each file under the name that `run --save` gives it."""
    rule_text = f"{kind}={pattern}"
    try:
        rule = output_file(rule_text, task_id="t1", container_url=SAS, name=name)
    except InvalidNameError:
        assume(False)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        task_dir = Path(folder).resolve() / "task"
        (task_dir / "wd").mkdir(parents=True)
        for file in files:
            (task_dir / file).parent.mkdir(parents=True, exist_ok=True)
            (task_dir / file).touch()
        os.chdir(task_dir / "wd")
        assume(not Path(expanded(pattern, task_dir)).is_dir())  # `run` takes a folder for all that is in it
        save = SaveRule.parse(rule_text, name=name)
        places = Folders(None, str(task_dir / "wd"), str(task_dir))
        variables = {"AZ_BATCH_TASK_DIR": str(task_dir), "AZ_BATCH_TASK_WORKING_DIR": str(task_dir / "wd")}
        sources, _ = find_sources([save.pattern], places, variables, save.name)
    prefix = output_prefix(None if isinstance(save.kind, JobOutputKind) else "t1", save.kind)
    stored = service_names(files, rule.file_pattern, destination(rule)["path"])
    assert stored == {f"{prefix}/{source.name}" for source in sources}


def expanded(pattern: str, task_dir: Path) -> str:
    text = pattern.replace("$AZ_BATCH_TASK_WORKING_DIR", str(task_dir / "wd"))
    return text.replace("$AZ_BATCH_TASK_DIR", str(task_dir))


@pytest.mark.anyio
async def test_a_run_stores_by_the_text_of_a_rule(
    container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One text, given to both, leads to the same names in storage."""
    task_dir = tmp_path / "task"
    files = {"stdout.txt", "notes.txt", "wd/out/a.txt", "wd/out/deep/b.txt", "wd/final.csv"}
    for file in files:
        (task_dir / file).parent.mkdir(parents=True, exist_ok=True)
        (task_dir / file).touch()
    monkeypatch.chdir(task_dir / "wd")
    texts = [("Notes=../n*.txt", None), ("out/**/*.txt", "texts"), ("JobOutput=final.csv", None)]
    monkeypatch.setenv("AZ_BATCH_TASK_DIR", str(task_dir))
    result = await run(
        ["true"],
        save=[SaveRule.parse(text, name=name) for text, name in texts],
        target=find_target(container_url=container.sas_url()),
        job_id="x",
        task_id="t1",
        echo=False,
    )
    rules = [output_file(text, task_id="t1", container_url=SAS, name=name) for text, name in texts]
    expected = {name for rule in rules for name in service_names(files, rule.file_pattern, destination(rule)["path"])}
    assert {output.blob_name for output in result.saved} == expected
    assert expected == {
        "t1/$Notes/notes.txt",
        "t1/$TaskOutput/texts/a.txt",
        "t1/$TaskOutput/texts/deep/b.txt",
        "$JobOutput/final.csv",
    }
