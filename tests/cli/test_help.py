"""Help pages explain everything, teach by invocations that work, and come fast."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping

import click
import pytest

from batch_outputs.cli.app import cli
from batch_outputs.cli.help_page import Argument, Option, sections_of
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
PAGES = (*COMMANDS, "browse")
TEMPLATE = """{"parameters": {"frames": {"type": "int"}}, "job": {"taskFactory": {
    "type": "parametricSweep", "parameterSets": [{"start": 1, "end": "[parameters('frames')]"}],
    "repeatTask": {"commandLine": "render {0}"}}}}"""
HEAVY = {"azure", "aiohttp", "asyncio", "anyio", "aiofiles", "watchfiles", "importlib.metadata"}
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
    assert "..." not in overview.split("COMMAND [ARGS]...")[1]
    for command in PAGES:
        first, *_ = command.split()
        assert f"  {first} " in overview
        assert max(map(len, desk.run(*command.split(), "-h").out.splitlines())) <= 100


def context_of(command: str) -> click.Context:
    context = click.Context(cli, info_name="batch-outputs")
    for name in command.split():
        group = context.command
        assert isinstance(group, click.Group)
        child = group.get_command(context, name)
        assert child is not None
        context = click.Context(child, info_name=name, parent=context)
    return context


def test_all_commands_have_a_page() -> None:
    """No command is missing in this module."""
    groups: list[tuple[str, click.Group]] = [("", cli)]
    names = set()
    for path, group in groups:
        for name in group.list_commands(context_of(path)):
            command = context_of(f"{path} {name}").command
            names.add(f"{path} {name}".strip())
            if isinstance(command, click.Group):
                groups.append((name, command))
    assert names == set(PAGES)


def test_the_overview_says_what_the_pages_say() -> None:
    """What the overview says of a command is how its page begins."""
    (commands, *_) = cli.overview()
    for entry in (entry for section in commands for entry in section.entries):
        page = context_of(entry.term).command.help or ""
        assert page.startswith(entry.meaning.removesuffix("."))
        assert entry.meaning.endswith(".")


@pytest.mark.parametrize("command", PAGES)
def test_everything_is_explained(command: str) -> None:
    """Each argument and option has a sentence, and each option that takes one value says what holds without it."""
    for parameter in context_of(command).command.params:
        assert isinstance(parameter, Argument | Option)
        assert (parameter.help or "").endswith((".", ")")), parameter.name
        if isinstance(parameter, Option) and not (parameter.is_flag or parameter.count or parameter.multiple):
            assert parameter.default_text, parameter.name


@pytest.mark.parametrize("command", PAGES)
def test_long_pages_have_headings(command: str) -> None:
    """More than eight options stand below headings, each heading once; a few stand together."""
    context = context_of(command)
    options = [parameter for parameter in context.command.get_params(context) if isinstance(parameter, click.Option)]
    headings = [section.heading for section in sections_of(context.command, context)]
    assert len(headings) == len({*headings})
    if len(options) > 8:
        assert len({*headings} - {"Arguments", "Other"}) >= 3
        assert "Options" not in headings
    else:
        assert {*headings} <= {"Arguments", "Options"}


def test_a_page_at_a_terminal(desk: Desk) -> None:
    """Options stand below their headings, with their defaults, limits and meanings one below the other."""
    page = desk.run("try", "--help").out
    nodes = page[page.index("The nodes:\n") :].split("\n\n")[0]
    assert nodes.splitlines()[:2] == [
        "The nodes:",
        "  --nodes N               How many nodes there are.  [default: 1; 1 to 100]",
    ]
    assert {
        line.index(meaning) for line in page.splitlines() for meaning in ("How many", "Show this") if meaning in line
    } == {26}


def test_a_word_that_is_nearly_a_command(desk: Desk) -> None:
    """A command that does not exist is refused with the one that was most likely meant."""
    assert "No such command 'dowload'. Did you mean 'download'?" in desk.run("dowload", code=2).err
    assert "No such option" in desk.run("--dowload", code=2).err


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
    loaded = modules_loaded(desk, *arguments)
    assert not {name for name in loaded if name in HEAVY or name.partition(".")[0] in HEAVY}


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["--help"], {}),
        ([], {"_BATCH_OUTPUTS_COMPLETE": "zsh_complete", "COMP_WORDS": "batch-outputs ", "COMP_CWORD": "1"}),
    ],
    ids=["help", "completion"],
)
def test_commands_are_named_without_being_loaded(desk: Desk, arguments: list[str], variables: dict[str, str]) -> None:
    """The overview, and completion of a command's name, load none of the commands, and so nothing of the library."""
    ours = {name for name in modules_loaded(desk, *arguments, variables=variables) if name.startswith("batch_outputs.")}
    names = ("", ".app", ".codes", ".help_page", ".talk", ".voice")
    assert ours == {
        f"batch_outputs.{name}" for name in ("errors", "lazy", "wording", *(f"cli{name}" for name in names))
    }


def modules_loaded(desk: Desk, *arguments: str, variables: Mapping[str, str] | None = None) -> set[str]:
    """The modules that the command has loaded when it ends."""
    program = f"{SHOW_MODULES} sys.argv[1:] = {[*arguments]!r}; from batch_outputs.cli import main; main()"
    shown = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        cwd=desk.folder,
        env=desk.environment(variables),
    )
    return {*json.loads(shown.stdout.splitlines()[-1])}
