"""`batch_outputs.runner.run` does for Python code what the command does for a shell."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from batch_outputs import runner
from batch_outputs.errors import ConfigurationError
from batch_outputs.runner import CannotStartError, RestoreRule, RunResult, SaveRule, run
from batch_outputs.settings import Target, container_target
from support.azurite import Container
from support.command import Desk, wait_until
from support.fault_proxy import FaultProxy

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="programs of POSIX")]


@pytest.fixture
def target(container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    """An empty container, with the test in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return container_target(container.sas_url())


async def test_what_came_of_it(target: Target, container: Container, tmp_path: Path) -> None:
    """The result has the code, what is stored and what is not, and the times; the streams are stored."""
    line = "echo out; echo err >&2; echo x >made; echo y >keep; sleep 0.2; exit 3"
    result = await run(
        ["sh", "-c", line],
        save=["made", SaveRule.parse("*.none"), SaveRule.parse("gone", required=True)],
        checkpoint=["keep"],
        task_id="t1",
        target=target,
        echo=False,
    )
    assert isinstance(result, RunResult)
    assert result.exit_code == 3
    assert 0.2 <= result.seconds < 60
    assert 0 <= result.seconds_saving < 60
    assert {log.blob_name for log in result.logs} == {"t1/$TaskLog/stdout.txt", "t1/$TaskLog/stderr.txt"}
    assert [saved.blob_name for saved in result.saved] == ["t1/$TaskOutput/made"]
    assert [kept.blob_name for kept in result.checkpoints] == ["t1/$TaskIntermediate/keep"]
    assert [str(error) for error in result.failures] == ["There is no file gone; check the path."]
    assert [str(error) for error in result.unmatched] == ["No file matches *.none; check the pattern."]
    assert result.spool is None
    assert container.content("t1/$TaskLog/stdout.txt") == b"out\n"
    assert sorted(os.listdir(tmp_path)) == ["keep", "made"]
    os.unlink(tmp_path / "keep")
    again = await run(["cat", "keep"], restore=[RestoreRule.parse("*")], task_id="t1", target=target, echo=False)
    assert again.exit_code == 0
    assert [output.name for output in again.restored] == ["keep"]


async def test_echo(target: Target, capfd: pytest.CaptureFixture[str]) -> None:
    """What the program writes comes through on our own streams, unless that is not wanted."""
    await run(["sh", "-c", "echo out; echo err >&2"], task_id="t1", target=target)
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("out\n", "err\n")
    await run(["echo", "out"], task_id="t1", target=target, echo=False)
    assert capfd.readouterr().out == ""


async def test_refused_before_anything_starts(target: Target, tmp_path: Path) -> None:
    """A program that is not there, a bad rule and a missing task are errors, and nothing is left on the disk."""
    with pytest.raises(CannotStartError) as missing:
        await run(["no-such-program"], task_id="t1", target=target)
    assert missing.value.exit_code == 127
    with pytest.raises(ConfigurationError):
        await run(["touch", "ran"], save=["=x"], task_id="t1", target=target)
    with pytest.raises(ConfigurationError):
        await run(["touch", "ran"], target=target)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", [[], [""]])
async def test_no_program(target: Target, command: list[str]) -> None:
    """A command without a program is an error before anything starts."""
    with pytest.raises(ConfigurationError, match="name a program"):
        await run(command, task_id="t1", target=target)
    assert os.listdir() == []


@pytest.mark.parametrize("command", ["ls -l", b"ls"])
async def test_a_text_is_no_command(target: Target, command: Any) -> None:
    """A line for a shell, whose letters would be taken for arguments, is refused with what to write instead."""
    with pytest.raises(TypeError, match=r'\["sh", "-c", line\]'):
        await run(command, task_id="t1", target=target)
    assert os.listdir() == []


async def test_cancelled(target: Target, container: Container) -> None:
    """A run that is cancelled asks the program to end, saves what it left, and is cancelled then."""
    line = "trap 'echo ended; exit 0' TERM; echo ready; touch ready; while :; do sleep 0.02; done"
    task = asyncio.create_task(run(["sh", "-c", line], task_id="t1", target=target, echo=False))
    await asyncio.to_thread(wait_until, Path("ready").exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert container.content("t1/$TaskLog/stdout.txt") == b"ready\nended\n"
    assert os.listdir() == ["ready"]


async def test_cancelled_while_it_saves(target: Target, container: Container, fault_proxy: FaultProxy) -> None:
    """A run that is cancelled when its program has ended saves the rest, and is cancelled then."""
    slow = container_target(fault_proxy.through(container.sas_url()))
    gate = fault_proxy.gate()
    fault_proxy.fault(gate.held, on="put")
    command = ["sh", "-c", "echo words; echo x >made"]
    task = asyncio.create_task(run(command, save=["made"], task_id="t1", target=slow, echo=False))
    await asyncio.to_thread(fault_proxy.wait_fired)
    task.cancel()
    await asyncio.sleep(0)
    gate.release()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert container.content("t1/$TaskLog/stdout.txt") == b"words\n"
    assert container.content("t1/$TaskOutput/made") == b"x\n"
    assert os.listdir() == ["made"]


async def test_signals_are_given_back(target: Target) -> None:
    """While the program runs signals are for it, and afterwards they do what they did before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    line = f"kill -USR1 {os.getpid()}; sleep 60 & wait"
    result = await run(["sh", "-c", line], task_id="t1", target=target, echo=False)
    assert result.exit_code == 128 + signal.SIGUSR1
    assert {number: signal.getsignal(number) for number in before} == before


async def test_several_at_once(target: Target) -> None:
    """Of several runs at once each gets our signals, and when the last has ended they do what they did before."""
    before = signal.getsignal(signal.SIGUSR1)
    line = "trap 'exit 7' USR1; touch $0; while :; do sleep 0.02; done"
    runs = [
        asyncio.create_task(run(["sh", "-c", line, name], task_id=name, target=target, echo=False)) for name in "abc"
    ]
    await asyncio.to_thread(wait_until, lambda: {"a", "b", "c"} <= set(os.listdir()))
    os.kill(os.getpid(), signal.SIGUSR1)
    assert [(await one).exit_code for one in runs] == [7, 7, 7]
    assert signal.getsignal(signal.SIGUSR1) == before


def test_on_another_thread(target: Target, container: Container) -> None:
    """On another thread than the main one it works as well; signals are not taken there."""
    results: list[RunResult] = []
    command = run(["echo", "x"], task_id="t1", target=target, echo=False)
    thread = threading.Thread(target=lambda: results.append(asyncio.run(command)))
    thread.start()
    thread.join()
    assert results[0].exit_code == 0
    assert container.content("t1/$TaskLog/stdout.txt") == b"x\n"


def test_sigterm_to_a_script(azure: Desk, container: Container) -> None:
    """A script that wraps a program ends by SIGTERM as the command does: the program is asked, and all is saved."""
    azure.write(
        "script.py",
        "import asyncio, sys\n"
        "from batch_outputs.runner import run\n"
        "line = \"trap 'echo got it; exit 7' TERM; touch ready; while :; do sleep 0.02; done\"\n"
        "sys.exit(asyncio.run(run(['sh', '-c', line])).exit_code)\n",
    )
    line = f"{sys.executable} script.py & while [ ! -e ready ]; do sleep 0.02; done; kill -TERM $!; wait $!"
    azure.shell(line, code=7)
    assert container.content("t1/$TaskLog/stdout.txt") == b"got it\n"


def test_the_package_says_what_it_has() -> None:
    """`dir` lists the names that are offered, each of them is there, and others are refused as usual."""
    assert dir(runner) == sorted(runner.__all__)
    for name in runner.__all__:
        assert getattr(runner, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = runner.nothing
