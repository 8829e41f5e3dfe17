"""Help pages teach by invocations that work, and come fast."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from support.command import Desk

COMMANDS = (
    *("run", "resume", "save", "track"),
    *("list", "tasks", "jobs", "cat", "tail", "download"),
    *("prepare", "container", "url", "completion"),
    *("group upload", "group list", "group download", "group delete", "group"),
    *("template expand", "template"),
    "try",
    "delete",  # the last one: it deletes what the others show
)
TEMPLATE = """{"parameters": {"frames": {"type": "int"}}, "job": {"taskFactory": {
    "type": "parametricSweep", "parameterSets": [{"start": 1, "end": "[parameters('frames')]"}],
    "repeatTask": {"commandLine": "render {0}"}}}}"""
HEAVY = {"azure", "aiohttp", "obstore", "asyncio", "anyio", "aiofiles", "watchfiles", "importlib.metadata"}
SHOW_MODULES = "import sys, json, atexit; atexit.register(lambda: print(json.dumps(list(sys.modules))));"


def invocations(page: str) -> list[str]:
    """The lines of a help page that are commands."""
    lines = (line.strip() for line in page.splitlines() if line.startswith("  "))
    return [line for line in lines if re.match(r"(generate \| |render & )?batch-outputs ", line)]


@pytest.fixture
def furnished(desk: Desk) -> Desk:
    """A desk with the files and programs that the pages speak of, and outputs of the jobs they name."""
    for name in (
        "frame_full_res.jpg",
        "thumbs/1.png",
        "merged/summary.json",
        "in.mov",
        "summary.json",
        "out/render.log",
        "task-1/wd/notes.txt",
        "data/a/1.png",
    ):
        desk.write(name, name)
    desk.write("train.py", "print('trained')")
    desk.write("job.json", '{"id": "tried", "tasks": [{"id": "merge", "commandLine": "true"}]}')
    desk.write("values.json", '{"frames": {"value": 3}}')
    desk.write("render.json", TEMPLATE)
    programs = {
        "ffmpeg": "cp in.mov out.mp4",
        "generate": "echo report",
        "render": "echo log >>render.log",
        "python": f'exec {sys.executable} "$@"',
    }
    for name, body in programs.items():
        desk.write(f"bin/{name}", f"#!/bin/sh\n{body}\n").chmod(0o755)
    for job in ("render", "render-2026"):
        where = ["--job", job, "--task", "t1"]
        desk.run("run", *where, "--", "echo", "log")
        desk.run("save", *where, "--as", "frames/0001.png", "thumbs/1.png")
        desk.run("save", "--job", job, "--kind", "JobOutput", "summary.json")
    return desk


def test_every_invocation_of_the_pages_works(furnished: Desk) -> None:
    """What a help page shows can be typed in as it stands and succeeds."""
    account = (furnished.folder / "account").as_uri()
    for command in ("", *COMMANDS):
        lines = invocations(furnished.run(*command.split(), "--help").out)
        assert lines, f"{command} shows no invocation"
        for line in lines:
            typed = line.replace("https://acct.blob.core.windows.net", account)
            furnished.shell(f"PATH=$PWD/bin:$PATH; {typed}")


def test_pages_fit_a_terminal(desk: Desk) -> None:
    """No line of a page is wider than 100 columns, and the overview fits 80 and cuts no sentence short."""
    overview = desk.run("--help").out
    assert max(map(len, overview.splitlines())) <= 80
    assert "..." not in overview.split("Commands:")[1]
    for command in COMMANDS:
        first, *_ = command.split()
        assert f"  {first} " in overview
        assert max(map(len, desk.run(*command.split(), "-h").out.splitlines())) <= 100


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["container", "job-1"],
        ["completion", "bash"],
        *(
            [*command.split(), "--help"]
            for command in ("run", "save", "track", "list", "jobs", "delete", "group list", "template expand")
        ),
    ],
)
def test_light_commands_import_nothing_heavy(desk: Desk, arguments: list[str]) -> None:
    """Help, `container` and `completion` come without azure, an HTTP client, an event loop or package metadata."""
    program = f"{SHOW_MODULES} sys.argv[1:] = {arguments!r}; from batch_outputs.cli import main; main()"
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, cwd=desk.folder, env=desk.environment()
    )
    loaded = {*json.loads(shown.stdout.splitlines()[-1])}
    assert not {name for name in loaded if name in HEAVY or name.partition(".")[0] in HEAVY}
