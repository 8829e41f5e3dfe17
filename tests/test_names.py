"""Names follow the Batch File Conventions to the byte, and say by themselves what they are the names of."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from batch_outputs import JobOutputKind, TaskOutputKind, job_container_name
from batch_outputs.errors import InvalidNameError
from batch_outputs.names import (
    MAX_BLOB_NAME,
    OutputName,
    beside,
    check_blob_name,
    check_task_id,
    file_group_container_name,
    is_of_earlier_attempt,
    name_from_source,
    output_name,
    output_prefix,
    parse_blob_name,
)

CONTAINER_NAME = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*", re.DOTALL)

job_ids = st.text("abzABZ019-_:", min_size=1, max_size=64)
text = st.text(st.characters(exclude_categories=["Cs"]))
task_ids = text.filter(
    lambda id_: id_ and id_[0] != "$" and id_ not in {".", ".."} and not re.search(r"[/\\\x00-\x1f\x7f-\x9f]", id_)
)
kinds = text.filter(lambda kind: kind and not re.search(r"[/\\\x00-\x1f\x7f-\x9f]", kind))
paths = st.lists(st.sampled_from(["a", "ü.png", ".", "..", "", " ", "$TaskLog", "a\\b", ".x", "\\", "%41"])).map(
    "/".join
)


class TestContainerNames:
    @pytest.mark.parametrize(
        ("job_id", "container"),
        [
            ("MyTerrificJob", "job-myterrificjob"),
            ("job-15", "job-job-15"),
            ("my-_EVEN_MORE_-terrific-job", "job-my-even-more-te-68b05a7d8aa6aa65b9a6892c667a6c406a16ad65"),
            ("job:my-job-1", "job-job-my-job-1-fdddfdd04eab0771edb90374860d2736481d162d"),
            ("---", "job-job-58b63e273b964039d6ef432a415df3f177c818e5"),
            ("a", "job-a"),
            ("7", "job-7"),
            ("a" * 59, "job-" + "a" * 59),
            ("a" * 60, "job-" + "a" * 15 + "-13d956033d9af449bfe2c4ef78c17c20469c4bf1"),
            ("a--b", "job-a-b-73823f1b838f847d425f8ef4719d48c8815453b3"),
            ("a-", "job-a-d5054dde373c6fa7edd0add2cee51f40ab57b535"),
        ],
    )
    def test_follows_the_table(self, job_id: str, container: str) -> None:
        """A job id gives the container that the portal and the .NET library look in."""
        assert job_container_name(job_id) == container

    @given(job_ids)
    def test_is_always_a_container_name(self, job_id: str) -> None:
        """Whatever Batch allows as a job id gives a name that the service takes, and the same in any case."""
        container = job_container_name(job_id)
        assert CONTAINER_NAME.fullmatch(container)
        assert container == job_container_name(job_id.upper()) == job_container_name(job_id.lower())

    @given(st.sets(job_ids.map(str.lower), min_size=2, max_size=8))
    def test_keeps_jobs_apart(self, ids: set[str]) -> None:
        """Two jobs never share a container."""
        assert len({job_container_name(job_id) for job_id in ids}) == len(ids)

    @pytest.mark.parametrize("job_id", ["", "a b", "a/b", "ä", "a\n", "a.b", "$a", "\u212a"])
    def test_refuses_what_is_no_job_id(self, job_id: str) -> None:
        """Other text is refused by name, the empty one too."""
        with pytest.raises(InvalidNameError, match="not a job id") as refused:
            job_container_name(job_id)
        assert refused.value.name == job_id


class TestFileGroupContainerName:
    @pytest.mark.parametrize(
        ("group", "container"),
        [
            ("data", "fgrp-data"),
            ("Data", "fgrp-data"),
            ("7", "fgrp-7"),
            ("a-b", "fgrp-a-b"),
            ("data__test--", "fgrp-data-test-6640b0b7acfec6867ab146c9cf185206b5f0bdcb"),
            ("DATA__test--", "fgrp-data-test-6640b0b7acfec6867ab146c9cf185206b5f0bdcb"),
            ("a" * 58, "fgrp-" + "a" * 58),
            ("a" * 59, "fgrp-" + "a" * 15 + "-dbc8b8f59ff85a2b1448ed873484b14bf0507246"),
        ],
    )
    def test_follows_the_rule(self, group: str, container: str) -> None:
        """A group gives the container that the Azure CLI's extension and job templates mean."""
        assert file_group_container_name(group) == container

    @given(st.from_regex(r"[A-Za-z0-9_-]{1,70}", fullmatch=True))
    def test_is_a_container_name_or_refused(self, group: str) -> None:
        """The name is one that the service takes, the same in any case, and leads to itself when used as a group."""
        container = None
        with suppress(InvalidNameError):
            container = file_group_container_name(group)
        assume(container is not None)
        assert container
        assert CONTAINER_NAME.fullmatch(container)
        assert container == file_group_container_name(group.upper())
        assert container == file_group_container_name(container.removeprefix("fgrp-"))

    @pytest.mark.parametrize("group", ["", "a b", "a/b", "ä", "a\n", "a.b", "$a", "_a", "-a", "---"])
    def test_refuses_what_is_no_group(self, group: str) -> None:
        """What the rule makes no name of is refused by name."""
        with pytest.raises(InvalidNameError, match="cannot be a file group") as refused:
            file_group_container_name(group)
        assert refused.value.name == group

    @pytest.mark.parametrize("group", ["a" * 14 + "_" + "b" * 30, "A" * 14 + "-" + "b" * 44])
    def test_refuses_what_would_be_no_container(self, group: str) -> None:
        """Where the rule itself leads to two hyphens side by side, the sentence says which container that would be."""
        with pytest.raises(InvalidNameError, match=r"fgrp-aaaaaaaaaaaaaa--[0-9a-f]{40}, and no container"):
            file_group_container_name(group)


class TestBlobNames:
    @pytest.mark.parametrize(
        ("output", "blob_name"),
        [
            (OutputName(None, "JobOutput", "out/mergeresults.txt"), "$JobOutput/out/mergeresults.txt"),
            (OutputName("analysis-309", "TaskLog", "analytics.log"), "analysis-309/$TaskLog/analytics.log"),
            (OutputName("Task", "Thumbnails", "$a/$b"), "Task/$Thumbnails/$a/$b"),
            (OutputName("t", "$x", "/y"), "t/$$x//y"),
        ],
    )
    def test_reads_back(self, output: OutputName, blob_name: str) -> None:
        """A blob name holds task, kind and name as they are, and gives them back."""
        assert output.blob_name == blob_name
        assert parse_blob_name(blob_name) == output

    @given(st.none() | task_ids, kinds, text.filter(bool))
    def test_round_trip(self, task_id: str | None, kind: str, name: str) -> None:
        """Every task id, kind and name that is allowed comes back from the blob name."""
        if task_id is not None:
            assert check_task_id(task_id) == task_id
        for sort in (TaskOutputKind, JobOutputKind):
            assert sort(kind) == kind
        output = OutputName(task_id, kind, name)
        assert parse_blob_name(output.blob_name) == output
        assert output.blob_name.startswith(f"{output_prefix(task_id, kind)}/")

    @pytest.mark.parametrize(
        "blob_name",
        [
            *(
                "",
                "/",
                "$",
                "$/",
                "$/x",
                "$JobOutput",
                "$JobOutput/",
                "a",
                "a/",
                "a/b",
                "a/b/c",
                "a/$/x",
                "a/$k",
                "a/$k/",
            ),
            *("/$k/x", "a//$k/x", "a/b/$k/x"),
            *("a/$k\\l/x", "a/$k\n/x", "$\x7f/x"),  # no kind has such a name
        ],
    )
    def test_is_not_one_of_ours(self, blob_name: str) -> None:
        """A blob that follows another rule is not taken for an output."""
        assert parse_blob_name(blob_name) is None

    @pytest.mark.parametrize(
        ("length", "fits"), [(MAX_BLOB_NAME, True), (MAX_BLOB_NAME + 1, False), (3 * MAX_BLOB_NAME, False)]
    )
    def test_knows_the_longest(self, length: int, fits: bool) -> None:
        """1,024 characters are taken and one more is not; a character beyond the 65,536th counts as two."""
        for name in ("x" * length, "ü" * length, "😀" * (length // 2) + "x" * (length % 2)):
            if fits:
                assert check_blob_name(name) == name
            else:
                with pytest.raises(InvalidNameError, match="1,024"):
                    check_blob_name(name)

    @pytest.mark.parametrize("task_id", ["", "a/b", "a\\b", "$a", ".", "..", "a\nb", "\0", "a\udcff"])
    def test_refuses_what_is_no_task_id(self, task_id: str) -> None:
        """A task id that would be read back as something else is refused."""
        with pytest.raises(InvalidNameError, match="task id") as refused:
            check_task_id(task_id)
        assert refused.value.name == task_id

    @pytest.mark.parametrize(
        ("name", "marked"),
        [
            ("t1/$TaskLog/stdout.txt", "t1/$TaskLog/stdout.attempt-1.txt"),
            ("t1/$TaskLog/a.b/stdout", "t1/$TaskLog/a.b/stdout.attempt-1"),
            ("t1/$TaskLog/a.tar.gz", "t1/$TaskLog/a.tar.attempt-1.gz"),
            ("t1/$TaskLog/.hidden", "t1/$TaskLog/.hidden.attempt-1"),
            ("x", "x.attempt-1"),
        ],
    )
    def test_marks_keep_the_extension(self, name: str, marked: str) -> None:
        """A mark stands before the extension, by which viewers choose how to show a file."""
        assert beside(name, "attempt-1") == marked


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("stdout.attempt-1.txt", True),
        ("a/log.attempt-f00d", True),
        ("stdout.txt", False),
        ("attempt-1.txt", False),
        ("a.attempt-/b", False),
    ],
)
def test_logs_of_earlier_attempts(name: str, is_one: bool) -> None:
    """A log that was kept aside is known by its name."""
    assert is_of_earlier_attempt(name) == is_one
    assert is_of_earlier_attempt(beside(name, "attempt-2"))


class TestOutputNames:
    @pytest.mark.parametrize(
        ("given_name", "stored"),
        [
            ("a.txt", "a.txt"),
            ("a/b.txt", "a/b.txt"),
            ("a\\b.txt", "a/b.txt"),
            ("./a", "a"),
            ("a/./b", "a/b"),
            ("a/../b", "b"),
            ("a/b/../../c", "c"),
            ("a//b", "a//b"),
            (".hidden", ".hidden"),
            ("...", "..."),
            (" ", " "),
            ("a b#?%41+[*]ü$", "a b#?%41+[*]ü$"),
            (".//a", "a"),
            ("a/..//b", "b"),
        ],
    )
    def test_follows_the_table(self, given_name: str, stored: str) -> None:
        """A name keeps its folders, with `/`, and loses what a path may do without."""
        assert output_name(given_name) == stored

    @pytest.mark.parametrize(
        "name",
        [
            *("", "/", "/a", "\\a", "a/", "a\\", ".", "..", "a/.", "a/..", "../a", "a/../../b", "a/../..", "./../a"),
            *(".//../a", "\udcff", "a/\ud800"),
        ],
    )
    def test_refuses_what_has_no_place(self, name: str) -> None:
        """A name that is empty, absolute, a folder's, not Unicode or climbs out of its kind is refused."""
        with pytest.raises(InvalidNameError) as refused:
            output_name(name)
        assert refused.value.name == name
        str(refused.value).encode()  # can be printed

    @given(paths)
    @example("a/..//b")
    def test_is_settled_at_once(self, path: str) -> None:
        """A stored name is its own name, is relative, and leads nowhere else."""
        try:
            name = output_name(path)
        except InvalidNameError:
            return
        assert output_name(name) == name
        assert name
        assert not name.startswith("/")
        assert "\\" not in name
        assert not {".", ".."} & set(name.split("/"))


class TestNamesFromSources:
    @pytest.mark.parametrize(
        ("source", "name"),
        [
            ("a.txt", "a.txt"),
            ("./a.txt", "a.txt"),
            ("out/a.txt", "out/a.txt"),
            ("out//a.txt", "out/a.txt"),
            ("../stdout.txt", "stdout.txt"),
            ("../../../x", "x"),
            ("./.././../x/y", "x/y"),
            ("a\\b", "a/b"),
            ("..\\stdout.txt", "stdout.txt"),
            ("/task/wd/out/a.txt", "out/a.txt"),
            ("/task/stdout.txt", "stdout.txt"),
            ("/task/wd/../stdout.txt", "stdout.txt"),
            ("/task/./wd//a", "a"),
            ("/task/wdx/a", "wdx/a"),
        ],
    )
    def test_on_linux(self, source: str, name: str) -> None:
        """A relative source keeps its folders without leading `..`; an absolute one is below the task's directories."""
        assert name_from_source(source, working_dir="/task/wd", task_dir="/task") == name

    @pytest.mark.parametrize(
        ("source", "name"),
        [
            ("..\\stdout.txt", "stdout.txt"),
            ("out\\a.txt", "out/a.txt"),
            ("D:\\Batch\\Task\\wd\\out\\a.txt", "out/a.txt"),
            ("d:/batch/task/stdout.txt", "stdout.txt"),
            ("D:\\batch\\task\\wd\\..\\stdout.txt", "stdout.txt"),
        ],
    )
    def test_on_windows(self, source: str, name: str) -> None:
        """The same with backslashes and drives, whose case does not matter."""
        assert (
            name_from_source(source, working_dir="D:\\batch\\task\\wd", task_dir="D:\\batch\\task", windows=True)
            == name
        )

    @pytest.mark.parametrize("source", ["/etc/passwd", "/task/wd/../../etc/passwd", "/taskx/a", "/", "/task/wd/../.."])
    def test_absolute_elsewhere_needs_a_name(self, source: str) -> None:
        """An absolute source outside the task's directories has no name of its own."""
        with pytest.raises(InvalidNameError, match="which name"):
            name_from_source(source, working_dir="/task/wd", task_dir="/task")
        with pytest.raises(InvalidNameError, match="which name"):
            name_from_source(source)

    @pytest.mark.parametrize("source", ["C:\\x\\a.txt", "\\a.txt", "C:a.txt", "\\\\server\\share\\a.txt"])
    def test_absolute_elsewhere_on_windows(self, source: str) -> None:
        """So do other drives, the root of the current one, another drive's folder, and shares."""
        with pytest.raises(InvalidNameError, match="which name"):
            name_from_source(source, working_dir="D:\\task\\wd", task_dir="D:\\task", windows=True)

    @pytest.mark.parametrize(
        "source", ["", ".", "..", "../..", "a/..", "a/../../b", "/task", "/task/wd", "/task/wd/x/.."]
    )
    def test_refuses_folders_and_climbers(self, source: str) -> None:
        """A path that can only be a folder, or climbs out by a detour, gives no name."""
        with pytest.raises(InvalidNameError):
            name_from_source(source, working_dir="/task/wd", task_dir="/task")
