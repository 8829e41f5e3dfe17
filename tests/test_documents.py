"""The documents say what is true: their programs run, their output is what comes, their links and names lead somewhere.

The rule for blocks, by the word behind the fence:

- `python` blocks are run as scripts and `sh` blocks by `sh`. Those of one document run one after the other in one empty
  folder, on the embedded default, so that a later one finds what an earlier one made.
- `console` blocks are run too, each command behind a `$`; what follows it is what it prints to stdout, where any number
  stands for any other.
- `sh` blocks that install something (they call pip) and `powershell` blocks are only read: options, extras and files
  that they name must exist.
- `csharp` blocks are only read, too: they show how something is done with another library, and what they call is held
  against that library's names where its page is tested.
- Any other word is refused, so that no block goes unseen.

Every command line of ours, run or only mentioned, is held against the command's own options.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import pytest

from batch_outputs.cli.app import cli

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "batch_outputs"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*DOCUMENTS, ROOT / "CHANGELOG.md", ROOT / "samples" / "README.md"]
READS_VARIABLES = [
    SOURCES / "settings.py",
    SOURCES / "environment.py",
    SOURCES / "cli" / "__init__.py",
    *(SOURCES / "stores" / "azure").glob("*.py"),
]

BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
VARIABLE = re.compile(r"\b(?:AZ_BATCH|AZURE|BATCH_OUTPUTS)_[A-Z_]*[A-Z]\b")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
OURS = re.compile(r"\bbatch-outputs ([a-z]+)((?:(?! -- |\|).)*)")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
READ_ONLY = {"powershell", "csharp"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    language: str
    text: str
    line: int

    @property
    def is_run(self) -> bool:
        """Whether it is run, or only read."""
        return self.language not in READ_ONLY and not re.search(r"\bpip\b", self.text)


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def blocks(document: Path) -> list[Block]:
    text = text_of(document)
    return [Block(found[1], found[2], text.count("\n", 0, found.start()) + 1) for found in BLOCK.finditer(text)]


def prose(document: Path) -> str:
    """The document without its blocks."""
    return BLOCK.sub("", text_of(document))


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def run(command: list[str], folder: Path) -> str:
    """Run a command as at a desk with this virtual environment and nothing configured; return its stdout."""
    ours = ("AZURE_", "BATCH_OUTPUTS_", "AZ_BATCH_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), environment.get("PATH", os.defpath)])
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{command[-1]}\nended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def shape(output: str) -> str:
    """What a command prints, with each number as `#` and blanks run together."""
    return re.sub(r" +", " ", NUMBER.sub("#", output)).strip()


@pytest.mark.skipif(shutil.which("sh") is None, reason="sh is not installed")
@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_the_blocks_run_and_print_what_they_show(document: Path, tmp_path: Path) -> None:
    """A reader who copies the blocks one after the other gets what the document shows."""
    for block in blocks(document):
        if not block.is_run:
            continue
        if block.language == "python":
            run([sys.executable, "-W", "error", "-c", block.text], tmp_path)
        elif block.language == "sh":
            run(["sh", "-euc", block.text], tmp_path)
        else:
            for part in block.text.removeprefix("$ ").split("\n$ "):
                command, _, expected = part.partition("\n")
                printed = run(["sh", "-euc", command], tmp_path)
                assert shape(printed) == shape(expected), f"{name_of(document)}:{block.line}: {command}\n{printed}"


@pytest.mark.parametrize("document", PAGES, ids=name_of)
def test_every_block_is_of_a_language_that_is_looked_at(document: Path) -> None:
    """No block escapes the tests by the word behind its fence, and no fence is left open."""
    assert {block.language for block in blocks(document)} <= {"python", "sh", "console", *READ_ONLY}
    assert "```" not in prose(document)


@pytest.mark.parametrize("document", PAGES, ids=name_of)
def test_every_command_of_ours_has_the_options_shown(document: Path) -> None:
    """Subcommands and options exist, in blocks and in running text."""
    inline = INLINE.findall(prose(document))
    for name, rest in OURS.findall("\n".join([*(block.text for block in blocks(document)), *inline])):
        command = subcommand(name, rest)
        unknown = set(OPTION.findall(rest)) - options(command)
        assert not unknown, f"batch-outputs {name} has no {', '.join(sorted(unknown))}"
    known = set().union(*map(options, all_commands(cli)))
    of_ours = [code for code in inline if not code.startswith(("az ", "pip ", "python -m benchmarks"))]
    mentioned = {option for code in of_ours for option in OPTION.findall(code)}
    assert mentioned <= known


def subcommand(name: str, rest: str) -> click.Command:
    """The command of this name or, of a group of commands, the one that the next word names."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, f"there is no command batch-outputs {name}"
    if isinstance(command, click.Group) and (word := re.match(r" ([a-z]+)", rest)):
        name = f"{name} {word[1]}"
        command = command.get_command(click.Context(command), word[1])
        assert command is not None, f"there is no command batch-outputs {name}"
    return command


def all_commands(command: click.Command) -> Iterator[click.Command]:
    """A command and, if it is a group, all below it."""
    yield command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            below = command.get_command(click.Context(command), name)
            assert below is not None
            yield from all_commands(below)


def options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}


def test_what_is_only_read_names_things_that_exist() -> None:
    """The set-up commands, which no test can run, call pip and venv with options they have, and name real files."""
    unrun = [block for document in PAGES for block in blocks(document) if not block.is_run]
    skipped = [block.text for block in unrun if block.language != "csharp"]
    assert len(skipped) == 4, "pip install, the same with an extra, and the two commands in two spellings"
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    for text in skipped:
        for command in re.split(r"&&|;|\n", text):
            module = re.search(r"\b(venv|pip|pytest)\b", command.replace(".venv", ""))
            for option in OPTION.findall(command):
                assert module
                assert option in help_of(module[1]), command
        for extra in re.findall(r"(?:\.|batch-outputs)\[(\w+)\]", text):
            assert extra in project["optional-dependencies"]
        for path in re.findall(r"samples[\\/]\w+\.py", text):
            assert (ROOT / path.replace("\\", "/")).is_file()
    assert f"pip install {project['name']}\n" in skipped[0]


@cache
def help_of(module: str) -> str:
    # As in the commands themselves: the machine's Python has pip, a virtual environment may have been made without.
    python = shutil.which("python3") or sys.executable
    return subprocess.run([python, "-m", module, "--help"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("document", PAGES, ids=name_of)
def test_every_variable_is_one_that_is_read(document: Path) -> None:
    """Each environment variable that a document names stands in the code that reads variables."""
    code = "\n".join(text_of(path) for path in READS_VARIABLES)
    for variable in sorted(set(VARIABLE.findall(text_of(document)))):
        # The code puts two kinds of names together from parts: `…_URL_FILE`, and `AZ_BATCH_…`.
        name = variable.removesuffix("_FILE").removeprefix("AZ_BATCH_")
        assert f'"{name}"' in code, f"{variable} is not read by anything"


@pytest.mark.parametrize("document", PAGES, ids=name_of)
def test_every_local_link_leads_somewhere(document: Path) -> None:
    """Links to files lead to files, and links to headings to headings."""
    for target in LINK.findall(text_of(document)):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        page = document if not path else document.parent / path
        assert page.is_file(), target
        if heading:
            assert heading in {anchor(title) for title in HEADING.findall(prose(page))}, target


def anchor(title: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def test_the_changelog_opens_with_what_is_unreleased() -> None:
    """Whoever reads the changelog finds what is to come first, under one of the usual headings."""
    titles = re.findall(r"^##+ (.+)$", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert titles[0] == "[Unreleased]"
    assert set(titles[1:]) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"} | {
        title for title in titles if re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", title)
    }
