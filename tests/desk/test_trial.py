"""Jobs run on nodes of this machine: real processes and folders, without the command around them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from batch_outputs.errors import TargetError
from support.jobs import attempt, depends, is_gone, job, sh, stored, task, upload

RETRIES = {"constraints": {"maxTaskRetryCount": 2}}


def test_dependencies_and_their_actions(tmp_path: Path) -> None:
    """Tasks run behind those they depend on; one behind a failure only if the failure's exit options satisfy it."""
    satisfied = {"exitCodes": [{"code": 3, "exitOptions": {"dependencyAction": "satisfy"}}]}
    note = "echo $AZ_BATCH_TASK_ID >> $AZ_BATCH_NODE_SHARED_DIR/order"
    range_of_ids = {"taskIdRanges": [{"start": 1, "end": 2}]}
    tried = attempt(
        tmp_path,
        job(
            task("last", f"{note}; cat $AZ_BATCH_NODE_SHARED_DIR/order", dependsOn=range_of_ids),
            task("2", note, **depends("1")),
            task("1", note),
            task("tolerated", "exit 3", exitConditions=satisfied),
            task("broken", "exit 4", exitConditions=satisfied),
            task("after-tolerated", **depends("tolerated")),
            task("after-broken", **depends("broken")),
            task("after-that", **depends("after-broken")),
        ),
        slots=4,
    )
    assert tried.stdout("last") == "1\n2\nlast\n"
    assert tried.states == {
        **dict.fromkeys(["last", "2", "1", "after-tolerated"], "succeeded"),
        **dict.fromkeys(["tolerated", "broken"], "failed"),
        **dict.fromkeys(["after-broken", "after-that"], "blocked"),
    }
    assert tried["after-broken"].why == ["it depends on broken."]
    assert not tried.result.succeeded


@pytest.mark.parametrize("action", ["terminate", "disable"])
def test_a_task_can_end_its_job(tmp_path: Path, action: str) -> None:
    """Where exit options are performed, a failure ends what runs and lets nothing else begin; the release task runs."""
    runs = "$AZ_BATCH_NODE_SHARED_DIR/runs"
    conditions = {"exitCodes": [{"code": 5, "exitOptions": {"jobAction": action}}]}
    tried = attempt(
        tmp_path,
        job(
            task("long", f"touch {runs}; exec sleep 60"),
            task("broken", f"until test -e {runs}; do sleep 0.01; done; exit 5", exitConditions=conditions),
            task("later"),
            task("behind", **depends("long")),
            onTaskFailure="performExitOptionsJobAction",
            jobPreparationTask={"commandLine": "true"},
            jobReleaseTask={"commandLine": "true"},
        ),
        slots=2,
    )
    assert tried.states == {
        "long": "stopped",
        "broken": "failed",
        "later": "not run",
        "behind": "blocked",
        "jobpreparation": "succeeded",
        "jobrelease": "succeeded",
    }
    assert "task broken has the job" in tried["later"].why[0]


def test_the_time_of_a_job_is_limited(tmp_path: Path) -> None:
    """At the job's max wall clock time all of its tasks are ended, and the release task still runs."""
    constraints = {"maxWallClockTime": "PT2S"}
    around: dict[str, object] = {name: {"commandLine": "true"} for name in ("jobPreparationTask", "jobReleaseTask")}
    tried = attempt(tmp_path, job(task("a", "exec sleep 60"), task("b"), constraints=constraints, **around))
    if tried.states["a"] == "not run":  # on a busy machine no task had begun by then
        constraints["maxWallClockTime"] = "PT15S"
        tried = attempt(tmp_path, job(task("a", "exec sleep 60"), task("b"), constraints=constraints, **around))
    assert (tried.states["a"], tried.states["b"], tried.states["jobrelease"]) == ("stopped", "not run", "succeeded")


def test_slots_and_nodes(tmp_path: Path) -> None:
    """Tasks run beside each other on as many nodes and slots as there are, a wide one with the slots it needs."""
    there = "$AZ_BATCH_NODE_ROOT_DIR/.."
    meet = f"cd {there}; touch $AZ_BATCH_TASK_ID; until test -e a -a -e b -a -e c; do sleep 0.01; done"
    document = job(task("a", meet, requiredSlots=2), task("b", meet), task("c", meet), task("d"))
    tried = attempt(tmp_path, document, nodes=2, slots=2)
    assert [tried[name].node for name in ("a", "b", "c")] == ["node-1", "node-2", "node-2"]
    assert tried.result.succeeded


def test_only_so_many_at_once(tmp_path: Path) -> None:
    """maxParallelTasks holds whatever slots there are."""
    alone = "cd $AZ_BATCH_NODE_SHARED_DIR; mkdir busy && sleep 0.05 && rmdir busy"
    document = job(*(task(str(number), alone) for number in range(4)), maxParallelTasks=1)
    assert attempt(tmp_path, document, slots=4).result.succeeded


def test_preparation_and_release(tmp_path: Path) -> None:
    """The preparation task runs once on each node, before its first task, and the release task at the end of each."""
    note = "echo {} $AZ_BATCH_NODE_ID >> $AZ_BATCH_NODE_ROOT_DIR/../notes"
    check = "test -e $AZ_BATCH_JOB_PREP_WORKING_DIR/made"
    tried = attempt(
        tmp_path,
        job(
            *(task(str(number), f"{check}; {note.format('task')}") for number in range(4)),
            jobPreparationTask={"commandLine": sh(f"touch made; {note.format('prepare')}")},
            jobReleaseTask={"commandLine": sh(note.format("release")), "id": "the-end"},
        ),
        nodes=3,
    )
    assert tried.result.succeeded
    lines = (tmp_path / "try" / "notes").read_text().splitlines()
    for node in ("node-1", "node-2", "node-3"):
        here = [line.split()[0] for line in lines if line.endswith(node)]
        assert here[0] == "prepare"
        assert here[-1] == "release"
        assert set(here[1:-1]) == {"task"}
    assert [result.task_id for result in tried.all].count("jobpreparation") == 3
    assert [result.task_id for result in tried.all].count("the-end") == 3


def test_nothing_runs_where_preparation_failed(tmp_path: Path) -> None:
    """Tasks go to nodes whose preparation succeeded, and nowhere if there is none."""
    document = job(task("a"), task("b"), jobPreparationTask={"commandLine": sh("test $AZ_BATCH_NODE_ID = node-2")})
    tried = attempt(tmp_path, document, nodes=2)
    assert {tried[name].node for name in ("a", "b")} == {"node-2"}
    alone = attempt(tmp_path, document)
    assert (alone.states["a"], alone["a"].why) == ("not run", ["the preparation task failed on every node."])


def test_preparation_may_not_be_waited_for(tmp_path: Path) -> None:
    """Without waitForSuccess tasks begin beside the preparation task, whatever becomes of it."""
    runs = "$AZ_BATCH_NODE_SHARED_DIR/runs"
    preparation = sh(f"until test -e {runs}; do sleep 0.01; done; exit 1")
    document = job(task("a", f"touch {runs}"), jobPreparationTask={"commandLine": preparation, "waitForSuccess": False})
    assert attempt(tmp_path, document).states == {"a": "succeeded", "jobpreparation": "failed"}


def test_a_task_is_retried_in_its_directory(tmp_path: Path) -> None:
    """A task that fails is run again where it finds what it left, with its output begun anew."""
    count = "echo x >> tries; cat tries; test $(wc -l < tries) = 3"
    tried = attempt(tmp_path, job(task("t1", count, **RETRIES), task("t2", count), task("t3", "exit 1", **RETRIES)))
    found = [(result.state, result.retries, result.exit_code) for result in tried.all]
    assert found == [("succeeded", 2, 0), ("failed", 0, 1), ("failed", 2, 1)]
    assert tried.stdout("t1") == "x\nx\nx\n"


def test_what_a_task_leaves_running_is_ended(tmp_path: Path) -> None:
    """A process that a task has left in the background does not outlive it."""
    assert is_gone(int(attempt(tmp_path, job(task("t1", "sleep 60 & echo $!"))).stdout("t1")))


def test_a_daemon_does_not_outlive_its_task(tmp_path: Path) -> None:
    """A process that has left its task's session is known by its environment, and ended too."""
    script = "setsid sh -c 'echo $$ > pid; exec sleep 60' & until test -s pid; do sleep 0.01; done; cat pid"
    assert is_gone(int(attempt(tmp_path, job(task("t1", script))).stdout("t1")))


def test_of_a_long_line_its_beginning_is_shown(tmp_path: Path) -> None:
    """Of a failure whose output has no line ends, such as a binary file, only so much is shown."""
    (line,) = attempt(tmp_path, job(task("t1", "printf %9999d 1; exit 1")))["t1"].last_lines
    assert len(line) < 1000
    assert line.endswith("…")


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """A command line that cannot be started fails its task before it ran, which the exit conditions may pardon."""
    pardon = {"exitConditions": {"preProcessingError": {"dependencyAction": "satisfy"}}}
    tried = attempt(
        tmp_path,
        job(
            {"id": "t1", "commandLine": "no-such-program x", **pardon, **RETRIES},
            {"id": "t2", "commandLine": "/", **depends("t1")},
        ),
    )
    assert [(result.state, result.exit_code, result.retries) for result in tried.all] == [("failed", None, 0)] * 2
    assert "no-such-program was not found; command lines run without a shell" in tried["t1"].why[0]
    assert "/ cannot be run: Permission denied" in tried["t2"].why[0]


def test_a_resource_that_cannot_be_had(tmp_path: Path) -> None:
    """A task whose files cannot all be brought is not started."""
    (tmp_path / "empty").mkdir()
    file = {"httpUrl": "http://127.0.0.1:9/x?sv=1&sig=c2VjcmV0", "filePath": "x"}
    tried = attempt(
        tmp_path,
        job(
            task("t1", "touch ran", resourceFiles=[file]),
            task("t2", "touch ran", resourceFiles=[{"storageContainerUrl": "file:empty"}]),
        ),
    )
    assert [(result.state, result.exit_code) for result in tried.all] == [("failed", None)] * 2
    assert "'http://127.0.0.1:9/x' cannot be fetched" in tried["t1"].why[0]
    assert "c2VjcmV0" not in str(tried.result)
    assert "holds no blob" in tried["t2"].why[0]
    assert not [*tmp_path.rglob("ran")]


def test_a_job_that_says_where_outputs_go_is_obeyed(tmp_path: Path) -> None:
    """Storage that the job sets reaches the task, and the desk's does not stand beside it."""
    settings = [{"name": "AZURE_STORAGE_ACCOUNT", "value": "theirs"}]
    shown = "env | grep -e ^BATCH_OUTPUTS -e ^AZURE"
    tried = attempt(tmp_path, job(task("t1", shown, environmentSettings=settings), task("t2", shown)))
    assert tried.stdout("t1") == "AZURE_STORAGE_ACCOUNT=theirs\n"
    assert tried.stdout("t2") == f"BATCH_OUTPUTS_ACCOUNT_URL={(tmp_path / 'account').as_uri()}\n"


def test_upload_rules_are_applied_when_a_task_ends(tmp_path: Path) -> None:
    """Files are stored by pattern, path and condition."""
    make = "mkdir -p out/deep; echo 1 > out/a.txt; echo 2 > out/deep/b.txt; echo 3 > c.log; echo said; exit $CODE"
    rules = [
        upload("out/**", "{}/$TaskOutput/out", "tasksuccess"),
        upload("../std*.txt", "{}/$TaskLog"),
        upload("c.log", "{}/$TaskOutput/failure.log", "taskfailure"),
        upload("$AZ_BATCH_TASK_WORKING_DIR/*.log", "{}/$TaskIntermediate", "tasksuccess"),
        upload("nothing-*", "{}/$TaskOutput"),
    ]
    made = []
    for name, code in (("good", "0"), ("bad", "1")):
        own = [upload_for(rule, name) for rule in rules]
        made.append(task(name, make, environmentSettings=[{"name": "CODE", "value": code}], outputFiles=own))
    tried = attempt(tmp_path, job(*made))
    good = {
        "good/$TaskIntermediate/c.log": b"3\n",
        "good/$TaskLog/stderr.txt": b"",
        "good/$TaskLog/stdout.txt": b"said\n",
        "good/$TaskOutput/out/a.txt": b"1\n",
        "good/$TaskOutput/out/deep/b.txt": b"2\n",
    }
    bad = {
        "bad/$TaskLog/stderr.txt": b"",
        "bad/$TaskLog/stdout.txt": b"said\n",
        "bad/$TaskOutput/failure.log": b"3\n",
    }
    assert stored(tmp_path) == good | bad
    assert tried["good"].uploaded == sorted(good)
    assert tried["good"].state == "succeeded"
    assert tried["good"].why == ["no file matches nothing-* of an upload rule."]


def upload_for(rule: dict[str, object], name: str) -> dict[str, object]:
    """The rule with a task's name for each pair of braces."""
    made: dict[str, object] = json.loads(json.dumps(rule).replace("{}", name))
    return made


def test_a_rule_without_a_path_stores_at_the_top(tmp_path: Path) -> None:
    """Without a path a blob has the file's name, or the way to it from the folder before the first wildcard."""
    rules = [upload("out/a.txt", None), upload("out/deep/*", None)]
    make = "mkdir -p out/deep; touch out/a.txt out/deep/b.txt"
    assert attempt(tmp_path, job(task("t1", make, outputFiles=rules))).result.succeeded
    assert set(stored(tmp_path)) == {"a.txt", "b.txt"}


def test_a_failed_upload_fails_its_task(tmp_path: Path) -> None:
    """Without its container an upload fails the task, and those behind it wait, unless the exit conditions say so."""
    rule = [upload("a.txt", "a.txt", url=(tmp_path / "nowhere" / "job-x").as_uri())]
    pardon = {"exitConditions": {"fileUploadError": {"dependencyAction": "satisfy"}}}
    tried = attempt(
        tmp_path,
        job(
            task("t1", "touch a.txt", outputFiles=rule),
            task("t2", "touch a.txt", outputFiles=rule, **pardon),
            task("t3", **depends("t1")),
            task("t4", **depends("t2")),
        ),
    )
    assert [*tried.states.values()] == ["failed", "failed", "blocked", "succeeded"]
    assert tried["t1"].exit_code == 0
    assert "nowhere" in tried["t1"].why[0]


def test_an_upload_never_replaces_a_log(tmp_path: Path) -> None:
    """What a task has tracked under a name stays, whatever its upload rule says, and the sentence tells the way out."""
    script = "echo x > x.log; eval 'batch-outputs run -- echo tracked'"
    tried = attempt(tmp_path, job(task("t1", script, outputFiles=[upload("x.log", "t1/$TaskLog/stdout.txt")])))
    assert "cannot replace; leave out the upload rule" in tried["t1"].why[0]
    assert stored(tmp_path)["t1/$TaskLog/stdout.txt"] == b"tracked\n"


def test_one_task_alone(tmp_path: Path) -> None:
    """A chosen task runs although it depends on others, and what they left before is still there."""
    document = job(task("a", "touch made"), task("b", "test ! -e again && touch again", **depends("a")))
    attempt(tmp_path, document)
    made = tmp_path / "try" / "node-1" / "tasks" / "a" / "wd" / "made"
    before = made.stat().st_mtime_ns
    assert attempt(tmp_path, document, only=("B",)).states == {"b": "succeeded"}
    assert made.stat().st_mtime_ns == before


def test_a_try_begins_with_clean_directories(tmp_path: Path) -> None:
    """A second try finds nothing of the first in its nodes' directories."""
    document = job(task("t1", "test ! -e left -a ! -e $AZ_BATCH_NODE_SHARED_DIR/left; echo $?; touch left"))
    for _ in range(2):
        assert attempt(tmp_path, document).stdout("t1") == "0\n"


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_folder_is_cleaned_without_following_links(tmp_path: Path) -> None:
    """What tasks have linked to is left alone when the next try begins."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "x").write_text("x")
    document = job(task("t1", f"ln -s {precious} here"))
    attempt(tmp_path, document)
    attempt(tmp_path, document)
    assert (precious / "x").read_text() == "x"


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    """A folder that holds something and was not made by a try is refused, as is a file."""
    (tmp_path / "try" / "node-1").mkdir(parents=True)
    with pytest.raises(TargetError, match="name an empty one"):
        attempt(tmp_path, job(task("t1")))
    assert [*(tmp_path / "try").iterdir()] == [tmp_path / "try" / "node-1"]
