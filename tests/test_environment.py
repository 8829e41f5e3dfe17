"""`TaskEnvironment` is what Batch tells a task, read once and never guessed."""

from __future__ import annotations

import dataclasses

import pytest

from batch_outputs import TaskEnvironment
from batch_outputs.environment import on_node

TEXTS = {
    "AZ_BATCH_JOB_ID": "job_id",
    "AZ_BATCH_TASK_ID": "task_id",
    "AZ_BATCH_TASK_DIR": "task_dir",
    "AZ_BATCH_TASK_WORKING_DIR": "working_dir",
    "AZ_BATCH_ACCOUNT_NAME": "account_name",
    "AZ_BATCH_ACCOUNT_URL": "account_url",
    "AZ_BATCH_POOL_ID": "pool_id",
    "AZ_BATCH_NODE_ID": "node_id",
    "AZ_BATCH_NODE_ROOT_DIR": "node_root_dir",
    "AZ_BATCH_NODE_SHARED_DIR": "node_shared_dir",
    "AZ_BATCH_NODE_STARTUP_DIR": "node_startup_dir",
    "AZ_BATCH_NODE_MOUNTS_DIR": "node_mounts_dir",
    "AZ_BATCH_JOB_PREP_DIR": "job_prep_dir",
    "AZ_BATCH_JOB_PREP_WORKING_DIR": "job_prep_working_dir",
    "AZ_BATCH_TASK_SHARED_DIR": "task_shared_dir",
    "AZ_BATCH_MASTER_NODE": "master_node",
}
OTHERS: list[tuple[str, str, str, object]] = [
    ("AZ_BATCH_NODE_IS_DEDICATED", "false", "is_dedicated", False),
    ("AZ_BATCH_NODE_IS_DEDICATED", "True", "is_dedicated", True),
    ("AZ_BATCH_IS_CURRENT_NODE_MASTER", "false", "is_current_node_master", False),
    ("AZ_BATCH_IS_CURRENT_NODE_MASTER", "TRUE", "is_current_node_master", True),
    ("AZ_BATCH_HOST_LIST", "10.0.0.4,10.0.0.5", "host_list", ("10.0.0.4", "10.0.0.5")),
    ("AZ_BATCH_NODE_LIST", "10.0.0.4;10.0.0.5;", "node_list", ("10.0.0.4", "10.0.0.5")),
    ("AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES", "1000000", "reserved_ephemeral_disk_space_bytes", 1000000),
    ("AZ_BATCH_APP_PACKAGE_blender#2.7", "/apps/blender", "app_packages", {"blender#2.7": "/apps/blender"}),
]
ODDITIES = [
    ("AZ_BATCH_NODE_IS_DEDICATED", "perhaps"),
    ("AZ_BATCH_IS_CURRENT_NODE_MASTER", "1"),
    ("AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES", "12 GB"),
    ("AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES", "²"),
    ("AZ_BATCH_HOST_LIST", " , "),
    ("AZ_BATCH_APP_PACKAGE_x", ""),
    ("AZ_BATCH_JOB_ID", ""),
]


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"), [*((name, "a b", field, "a b") for name, field in TEXTS.items()), *OTHERS]
)
def test_each_variable_has_its_field(variable: str, text: str, field: str, value: object) -> None:
    """Each variable of Batch is found in one field, and in no other."""
    assert TaskEnvironment.from_environ({variable: text}) == dataclasses.replace(TaskEnvironment(), **{field: value})  # type: ignore[arg-type] # one field at a time, by name


def test_every_field_is_tested() -> None:
    """The tables above name every field."""
    named = {*TEXTS.values(), *(field for _, _, field, _ in OTHERS)}
    assert named == {field.name for field in dataclasses.fields(TaskEnvironment)}


@pytest.mark.parametrize(("variable", "text"), ODDITIES)
def test_oddities_count_as_not_set(variable: str, text: str) -> None:
    """What the service would not set does not keep a task from saving."""
    assert TaskEnvironment.from_environ({variable: text}) == TaskEnvironment()


def test_reads_this_process_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument, the environment of the process counts."""
    monkeypatch.setenv("AZ_BATCH_TASK_ID", "task-7")
    assert TaskEnvironment.from_environ().task_id == "task-7"


def test_reads_no_token() -> None:
    """The authentication token is neither kept nor shown, nor is anything else that is not asked for by name."""
    environ = {
        "AZ_BATCH_AUTHENTICATION_TOKEN": "s3cret",
        "AZ_BATCH_SOFTWARE_ENTITLEMENT_TOKEN": "s3cret",
        "X": "s3cret",
    }
    assert TaskEnvironment.from_environ(environ) == TaskEnvironment()


@pytest.mark.parametrize(
    "variable",
    ["AZ_BATCH_NODE_ID", "AZ_BATCH_POOL_ID", "AZ_BATCH_TASK_DIR", "AZ_BATCH_JOB_ID", "AZ_BATCH_TASK_ID"],
)
def test_a_node_is_known_by_any_sign(variable: str) -> None:
    """Any of five variables tells that this is a node; an empty one does not."""
    assert on_node({variable: "x"})
    assert not on_node({variable: "", "AZ_BATCH_ACCOUNT_NAME": "x"})
