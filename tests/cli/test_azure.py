"""The commands against a blob service, by every way to name it and to be let in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from batch_outputs.names import job_container_name
from support.azurite import ACCOUNT, KEY, Azurite, Container
from support.command import Desk, signature

WAYS = ("connection string", "account and key", "account and SAS", "account URL with SAS", "account URL in a file")


def way_in(way: str, azurite: Azurite, desk: Desk) -> dict[str, str]:
    """The variables of one way into the account."""
    permission = AccountSasPermissions(read=True, write=True, create=True, list=True, delete=True, add=True)
    types = ResourceTypes(service=True, container=True, object=True)
    expiry = datetime.now(UTC) + timedelta(hours=1)
    sas = generate_account_sas(ACCOUNT, KEY, resource_types=types, permission=permission, expiry=expiry)
    url = f"{azurite.endpoint}?{sas}"
    desk.secrets += [KEY, signature(url)]
    return {
        "connection string": {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string},
        "account and key": {
            "AZURE_STORAGE_ACCOUNT": ACCOUNT,
            "AZURE_STORAGE_KEY": KEY,
            "AZURE_STORAGE_SERVICE_ENDPOINT": azurite.endpoint,
        },
        "account and SAS": {
            "AZURE_STORAGE_ACCOUNT": ACCOUNT,
            "AZURE_STORAGE_SAS_TOKEN": f"?{sas}",
            "AZURE_STORAGE_SERVICE_ENDPOINT": azurite.endpoint,
        },
        "account URL with SAS": {"BATCH_OUTPUTS_ACCOUNT_URL": url},
        "account URL in a file": {"BATCH_OUTPUTS_ACCOUNT_URL_FILE": str(desk.write("secret/url", f"{url}\n"))},
    }[way]


@pytest.mark.parametrize("way", WAYS)
def test_ways_into_an_account(desk: Desk, azurite: Azurite, way: str) -> None:
    """A job's container is made, written and read by each way into an account."""
    desk.variables |= way_in(way, azurite, desk) | {"AZ_BATCH_JOB_ID": f"way-{WAYS.index(way)}"}
    desk.run("prepare")
    desk.write("a.txt", "x")
    desk.run("run", "--task", "t1", "--save", "a.txt", "--", "echo", "logged")
    assert set(desk.outputs()) == {"t1/$TaskLog/stderr.txt", "t1/$TaskLog/stdout.txt", "t1/$TaskOutput/a.txt"}


def test_whole_way(desk: Desk, azurite: Azurite) -> None:
    """prepare, run, save, list, cat and download work in a job's container of an account."""
    job = "Whole_Way"
    desk.variables |= way_in("account and SAS", azurite, desk) | {"AZ_BATCH_JOB_ID": job, "AZ_BATCH_TASK_ID": "t1"}
    assert desk.run("prepare").out == f"{job_container_name(job)}\n"
    assert "was there already" in desk.run("prepare").err
    desk.write("a b.png", b"\x89PNG")
    ran = desk.run("run", "--save", "*.png", "--", "sh", "-c", "echo out; echo err >&2; exit 7", code=7)
    assert ran.sentences[0] == f"saving to 127.0.0.1:{azurite.port}/{ACCOUNT}/{job_container_name(job)}."
    desk.run("save", "--kind", "TaskPreview", "a b.png")
    container = azurite.container(job_container_name(job))
    blobs = {blob.name: blob for blob in container.client.list_blobs()}
    assert set(blobs) == {
        "t1/$TaskLog/stdout.txt",
        "t1/$TaskLog/stderr.txt",
        "t1/$TaskOutput/a b.png",
        "t1/$TaskPreview/a b.png",
    }
    assert blobs["t1/$TaskOutput/a b.png"].content_settings.content_type == "image/png"
    assert {record["complete"] for record in desk.outputs().values()} == {True}
    assert desk.run("cat", "stdout.txt").out == "out\n"
    desk.run("download", "--to", "back")
    assert (desk.folder / "back/t1/$TaskPreview/a b.png").read_bytes() == b"\x89PNG"


def test_container_url(azure: Desk, container: Container) -> None:
    """A container URL with a SAS is enough, without a job; the log carries length, checksum and exit code."""
    azure.write("a.txt", "x")
    azure.run("run", "--save", "a.txt", "--", "sh", "-c", "echo logged; exit 5", code=5)
    log = container.client.get_blob_client("t1/$TaskLog/stdout.txt").get_blob_properties()
    assert log.blob_type == "AppendBlob"
    assert log.metadata["exit_code"] == "5"
    assert log.metadata["complete"] == "true"
    assert log.metadata["length"] == "7"
    assert container.content("t1/$TaskOutput/a.txt") == b"x"


def test_url_in_a_file_is_read_again(desk: Desk, container: Container) -> None:
    """A SAS that was renewed in its file is used by the next command, whose option needs none on the command line."""
    expired = container.sas_url(expires_in=timedelta(minutes=-1))
    file = desk.write("secret/url", expired)
    desk.variables |= {"BATCH_OUTPUTS_CONTAINER_URL_FILE": str(file), "AZ_BATCH_TASK_ID": "t1"}
    desk.secrets.append(signature(expired))
    desk.write("a.txt", "x")
    refused = desk.run("save", "a.txt", code=125)
    assert re.search(r"expired at .* UTC; write a new one into .*secret/url\.", refused.err)
    file.write_text(container.sas_url())
    desk.run("save", "a.txt")


def test_container_url_needs_no_job_but_a_task(azure: Desk) -> None:
    """Reading a container needs neither job nor task; saving needs the task."""
    del azure.variables["AZ_BATCH_TASK_ID"]
    azure.run("list")
    azure.write("a.txt", "x")
    assert "No task is named" in azure.run("save", "a.txt", code=125).err
    azure.run("save", "--task", "t2", "a.txt")
    assert azure.run("cat", "--task", "t2", "a.txt").out == "x"


def test_earlier_attempt_is_kept(azure: Desk) -> None:
    """A task that is run again keeps its earlier attempt's log under a name of its own."""
    azure.run("run", "--", "echo", "first")
    azure.run("run", "--", "echo", "second")
    assert azure.run("cat", "stdout.txt").out == "second\n"
    assert azure.run("cat", "stdout.attempt-1.txt").out == "first\n"
