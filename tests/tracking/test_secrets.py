"""Access that ends, is too weak or is renewed while a log is tracked; and no secret in anything that is printed."""

# ruff: noqa: SIM117 - the storage and the tracked save in it are two things, each with a line of its own
# ruff: noqa: PT012 - leaving the block of a tracked save is what raises, so the block stands in pytest.raises

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
import traceback
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import anyio
import pytest

from batch_outputs import TaskOutputStorage
from batch_outputs.errors import AccessDeniedError, LogNotSavedError
from batch_outputs.tracking import TrackingError
from support import faults
from support.azurite import KEY, Container
from support.command import signature
from support.fault_proxy import FaultProxy
from support.growing import lines, until
from support.watched_log import WatchedLog

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_secret_shows", "no_thread_is_left")]

SHORT = timedelta(seconds=5)
"""Times in a SAS are whole seconds, and a log has to be begun before it ends, also on a busy machine."""


def from_file(path: Path) -> TaskOutputStorage:
    return TaskOutputStorage.from_env({"BATCH_OUTPUTS_CONTAINER_URL_FILE": str(path), "AZ_BATCH_TASK_ID": "t1"})


class TestASasThatExpires:
    async def test_and_is_renewed_in_its_file(self, container: Container, log: WatchedLog, tmp_path: Path) -> None:
        """A task that outlives its SAS goes on with the one that somebody has written into the file."""
        sas = tmp_path / "sas-url"
        sas.write_text(container.sas_url(expires_in=SHORT))
        errors: list[TrackingError] = []
        log.path.write_bytes(lines(10))
        async with from_file(sas) as task:
            async with log.follow(task, flush_interval=0.1, on_error=errors.append) as tracked:
                await tracked.flush()
                while not errors:
                    log.append(lines(10, "more"))
                    await anyio.sleep(0.1)
                log.look()
                sas.write_text(container.sas_url())
                await until(lambda: tracked.bytes_saved == log.path.stat().st_size)
        assert {type(error.cause) for error in errors} == {AccessDeniedError}
        assert "expired at" in str(errors[0].cause)
        assert f"write a new one into {sas}" in str(errors[0].cause)
        log.check()

    async def test_and_is_not_renewed(self, container: Container, log: WatchedLog) -> None:
        """The end says soon what is not stored, that the SAS has expired, and when; the bytes stay in the file."""
        log.path.write_bytes(lines(10))
        with pytest.raises(LogNotSavedError, match=r"expired at \d{4}-\d\d-\d\d \d\d:\d\d UTC") as left:
            async with TaskOutputStorage.from_container_url(container.sas_url(expires_in=SHORT), "t1") as task:
                async with log.follow(task) as tracked:
                    await tracked.flush()
                    await anyio.sleep(SHORT.total_seconds() + 1)
                    log.append(lines(10, "too late"))
                    began = time.monotonic()
        assert time.monotonic() - began < 30
        assert (left.value.saved, left.value.pending) == (len(lines(10)), len(lines(10, "too late")))
        assert log.path.read_bytes() == lines(10) + lines(10, "too late")
        assert log.stored() == lines(10)
        log.look()
        assert log.violations == []


class TestASasThatIsTooWeak:
    async def test_without_read(self, container: Container, log: WatchedLog) -> None:
        """As long as no answer is lost, a log is saved and completed without the right to read."""
        log.path.write_bytes(lines(10))
        async with TaskOutputStorage.from_container_url(container.sas_url("acw"), "t1") as task:
            async with log.follow(task) as tracked:
                await tracked.flush()
                log.append(lines(10, "more"))
        log.check()

    async def test_without_read_when_an_answer_is_lost(
        self, container: Container, fault_proxy: FaultProxy, log: WatchedLog
    ) -> None:
        """What cannot be looked at is not guessed: the end names the right that is missing, and nothing is repeated."""
        log.path.write_bytes(lines(10))
        lost = fault_proxy.fault(faults.cut_after, on="append", times=1)
        with pytest.raises(LogNotSavedError, match=r"does not allow to read") as left:
            async with TaskOutputStorage.from_container_url(
                fault_proxy.through(container.sas_url("acw")), "t1"
            ) as task:
                async with log.follow(task):
                    began = time.monotonic()
        assert time.monotonic() - began < 30
        assert lost.fired == 1
        assert (left.value.saved, left.value.pending) == (0, len(lines(10)))
        log.look()
        assert log.violations == []
        assert log.stored() == lines(10)  # it had arrived

    @pytest.mark.parametrize("rights", ["ac", "rac"])
    async def test_without_write(self, container: Container, log: WatchedLog, rights: str) -> None:
        """A log that may not be marked is whole and shows as incomplete; that is reported once, and soon."""
        errors: list[TrackingError] = []
        log.path.write_bytes(lines(10))
        async with TaskOutputStorage.from_container_url(container.sas_url(rights), "t1") as task:
            async with log.follow(task, on_error=errors.append) as tracked:
                await tracked.flush()
                log.append(lines(10, "more"))
                began = time.monotonic()
            assert tracked.output.complete is False
        assert time.monotonic() - began < 30
        assert [type(error.cause) for error in errors] == [AccessDeniedError]
        log.check(complete=False)

    async def test_from_tomorrow_on(self, container: Container, log: WatchedLog) -> None:
        """A clock that is wrong shows as what it is, before any work is done."""
        sas = container.sas(starts_in=timedelta(days=1), expires_in=timedelta(days=2))
        with pytest.raises(AccessDeniedError, match="valid only from"):
            async with TaskOutputStorage.from_container_url(f"{container.url}?{sas}", "t1") as task:
                async with log.follow(task):
                    pytest.fail("it is not valid yet")


PROGRAM = """
    import asyncio, logging, os, sys, traceback
    from batch_outputs import TaskOutputStorage

    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)

    def show(record):
        print(repr(record), record.cause, vars(record.cause), record.cause.__cause__, record.cause.__context__)

    async def main():
        async with TaskOutputStorage.from_env() as task:
            print(repr(task), task.place)
            async with task.save_tracked("TaskLog", "log.txt", flush_interval=0.1, on_error=show) as tracked:
                print(repr(tracked), tracked.output.url, repr(tracked.output))
                tracked.flush_timeout = 0.5
                await asyncio.sleep(0.5)

    try:
        asyncio.run(main(), debug=True)
    except BaseException as error:
        traceback.print_exc(file=sys.stdout)
        print(repr(error), vars(error))
    """


@pytest.mark.parametrize("access", ["url", "file", "key", "refused"])
def test_no_secret_in_any_output(container: Container, fault_proxy: FaultProxy, tmp_path: Path, access: str) -> None:
    """A process that logs everything at DEBUG and prints every error, attribute and cause prints no secret."""
    sas_url = fault_proxy.through(container.sas_url("r" if access == "refused" else "racwdl"))
    environment = {"AZ_BATCH_TASK_ID": "t1", "BATCH_OUTPUTS_RETRY_SECONDS": "0", "PATH": os.environ["PATH"]}
    if access == "file":
        tmp_path.joinpath("url").write_text(sas_url)
        environment["BATCH_OUTPUTS_CONTAINER_URL_FILE"] = str(tmp_path / "url")
    elif access == "key":
        endpoint = fault_proxy.through(container.azurite.endpoint)
        environment |= {
            "AZURE_STORAGE_CONNECTION_STRING": container.azurite.connection_string.replace(
                container.azurite.endpoint, endpoint
            ),
            "AZ_BATCH_JOB_ID": container.name,
        }
        container.azurite.new_container(f"job-{container.name}")
    else:
        environment["BATCH_OUTPUTS_CONTAINER_URL"] = sas_url
    for action in (faults.cut_before, faults.answer_before(503), faults.answer_after(403)):
        fault_proxy.fault(action, on="append")
    fault_proxy.fault(faults.hang, on="append", times=None)
    tmp_path.joinpath("log.txt").write_bytes(lines(10))
    program = textwrap.dedent(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program], cwd=tmp_path, env=environment, capture_output=True, timeout=120,
        check=False,
    )  # fmt: skip
    told = (done.stdout + done.stderr).decode()
    assert "DEBUG" in told
    assert "Error" in told
    hidden = forms(signature(sas_url)) + forms(KEY)
    assert [secret for secret in hidden if secret in told] == []
    if access == "refused":
        assert "does not allow" in told
    else:
        assert fault_proxy.fired


def forms(secret: str) -> list[str]:
    """As it stands, percent-encoded, and encoded twice."""
    once = quote(secret, safe="")
    return [secret, once, quote(once, safe="")]


async def test_no_secret_in_what_hangs_on_an_error(
    container: Container, fault_proxy: FaultProxy, log: WatchedLog, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor in the errors of a tracked save that could not be finished, with all that hangs on them."""
    url = fault_proxy.through(container.sas_url())
    errors: list[TrackingError] = []
    log.path.write_bytes(lines(10))
    with pytest.raises(LogNotSavedError) as left:
        async with TaskOutputStorage.from_container_url(url, "t1") as task:
            async with log.follow(task, flush_interval=0.1, on_error=errors.append) as tracked:
                refused = fault_proxy.fault(faults.answer_before(403), on="append", times=None)
                tracked.flush_timeout = 2.0
                await until(lambda: bool(errors))
    assert refused.fired
    told = "".join(traceback.format_exception(left.value)) + caplog.text + repr(errors)
    chain: list[BaseException | None] = [left.value, *(error.cause for error in errors)]
    while chain:
        if (error := chain.pop()) is not None:
            told += f"{error}{error!r}{vars(error)}{error.args}"
            chain += [error.__cause__, error.__context__]
    assert [form for form in forms(signature(url)) if form in told] == []
