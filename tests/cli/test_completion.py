"""`completion`: real shells complete our commands and options."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from support.command import Desk

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shells of POSIX")

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
HEAVY = {"azure", "aiohttp", "asyncio", "anyio", "watchfiles"}


def completed(desk: Desk, typed: str) -> str:
    """What stands on the line of an interactive bash after a TAB."""
    import pty

    desk.write("rc", f"{desk.run('completion', 'bash').out}\nPS1='ready> '\nbind 'set bell-style none'\n")
    master, slave = pty.openpty()
    shell = subprocess.Popen(
        ["bash", "--noprofile", "--rcfile", "rc", "-i"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=desk.folder,
        env=desk.environment({"TERM": "dumb"}),
        start_new_session=True,
    )
    os.close(slave)
    try:
        read_until(master, "ready> $")
        os.write(master, f"{typed}\t".encode())
        # The next words are typed at once, so that what TAB has added stands before them.
        os.write(master, b"#end\n")
        return read_until(master, r"#end\r?\n").rpartition("#end")[0]
    finally:
        shell.kill()
        shell.wait()
        os.close(master)


def read_until(terminal: int, pattern: str) -> str:
    text, deadline = "", time.monotonic() + 60
    while not re.search(pattern, text):
        assert time.monotonic() < deadline, text
        text += os.read(terminal, 4096).decode()
    return text


@needs_bash
@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("batch-outputs li", "batch-outputs list "),
        ("batch-outputs list --newer", "batch-outputs list --newer-than "),
        ("batch-outputs list --kind TaskL", "batch-outputs list --kind TaskLog "),
        ("batch-outputs delete --contai", "batch-outputs delete --container"),
        ("batch-outputs completion f", "batch-outputs completion fish "),
        ("batch-outputs download --to store/ru", "batch-outputs download --to store/runs/"),
    ],
)
def test_bash(desk: Desk, typed: str, line: str) -> None:
    """An interactive bash that has read the script completes commands, options, kinds and folders at a TAB."""
    desk.write("store/runs/1")
    desk.write("store/rubbish.txt")
    assert completed(desk, typed) == line


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(desk: Desk, shell: str) -> None:
    """There is a script for each shell, which asks the command itself; SHELL says which one is meant."""
    script = desk.run("completion", shell).out
    assert f"_BATCH_OUTPUTS_COMPLETE={shell}_complete" in script
    assert desk.run("completion", variables={"SHELL": f"/usr/bin/{shell}"}).out == script
    if shutil.which(shell):
        subprocess.run([shell, "-n", "-c", script], check=True)


def test_unknown_shells(desk: Desk) -> None:
    """A shell that is not known is refused, with those that are."""
    assert "name one of bash, zsh, fish" in desk.run("completion", variables={"SHELL": "/bin/tcsh"}, code=2).err
    assert "name one of bash, zsh, fish" in desk.run("completion", code=2).err
    assert "'bash', 'zsh', 'fish'" in desk.run("completion", "powershell", code=2).err


@pytest.mark.parametrize("words", ["batch-outputs ", "batch-outputs list --kind ", "batch-outputs delete --o"])
def test_completion_is_light(desk: Desk, words: str) -> None:
    """What is run at each TAB imports nothing heavy."""
    program = (
        "import sys, json, atexit; atexit.register(lambda: print(json.dumps(list(sys.modules))));"
        "from batch_outputs.cli import main; main()"
    )
    asked = {"_BATCH_OUTPUTS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, cwd=desk.folder, env=desk.environment(asked)
    )
    *shown, modules = done.stdout.decode().splitlines()
    assert shown
    assert not HEAVY & {name.partition(".")[0] for name in json.loads(modules)}


def test_kinds_are_completed(desk: Desk) -> None:
    """All kinds of the conventions are offered, and those that begin as what was typed, in small letters too."""

    def offered(word: str) -> list[str]:
        words = {"COMP_WORDS": f"batch-outputs list --kind {word}", "COMP_CWORD": "3"}
        done = desk.run(variables={"_BATCH_OUTPUTS_COMPLETE": "bash_complete", **words})
        return [line.partition(",")[2] for line in done.out.splitlines() if line]

    assert len(offered("")) == 6
    assert offered("jobp") == ["JobPreview"]
    assert offered("own") == []
