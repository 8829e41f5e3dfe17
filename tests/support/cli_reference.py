"""The reference of the command line, docs/cli.md, made from the help of all commands.

    cd tests && python -m support.cli_reference --into ../docs/cli.md

What is typed becomes code by its looks: options, patterns, paths, variables, and what stands for values.
"""

from __future__ import annotations

import argparse
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from batch_outputs.cli.app import cli
from batch_outputs.cli.help_page import Entry, Group, Section, sections_of

WIDTH = 120
COMMENT = "<!-- Made from the command's help, by tests/support/cli_reference.py. -->"
INTRODUCTION = """\
What `batch-outputs --help` and the help of its commands say, on one page. At a terminal, `batch-outputs COMMAND --help`
or `-h` shows what is said here of a command, and `batch-outputs --version` the version.
"""
COMMANDS = "|".join(cli.list_commands(click.Context(cli)))
CODE = re.compile(
    rf"""
    \{{"[^}}]*\}}+                   # JSON
    | pip\ install\ [^ ]+\]'      # how an extra is installed
    | batch-outputs\ (?:{COMMANDS})(?!\w)(?:\ --[a-z-]+)?
    | --[a-z-]+\ [A-Z]+(?![a-z])    # an option with its value
    | \S+
    """,
    re.VERBOSE,
)
PUNCTUATION = re.compile(r"([(\"]*)(.*?)([).,;:\"]*)", re.DOTALL)
TYPED = re.compile(
    r"""
    --?[a-z][a-z-]*(?:\ [A-Z]+)?               # an option
    | -|\?                                     # standard input, and a wildcard
    | .*[$*\[\]{}=_|/].*                       # a path, a pattern, a variable, a key of JSON
    | '.*'
    | \..+                                     # a name with a dot before it
    | (?:Task|Job)(?:Output|Preview|Log|Intermediate)
    | batch-outputs\ .+
    | pip\ install\ .+
    """,
    re.VERBOSE | re.DOTALL,
)
ORDINARY = {"URL"}
"""What stands for a value, but is a word as well."""
UNBREAKABLE = "\0"
"""Stands for a blank in code until lines are broken."""


def page() -> str:
    """All of the page, in Markdown."""
    commands, *others = cli.overview()
    further = [section for block in others for section in block]
    parts = ["# The command line", COMMENT, INTRODUCTION.strip(), *contents(commands, further)]
    context = click.Context(cli, info_name="batch-outputs")
    for name in cli.list_commands(context):
        parts += of_command(child(cli, name, context), 2)
    for section in further:
        parts += [
            f"## {section.heading}",
            table("code" if section.entries[0].term == "0" else "variable", section, set()),
        ]
    return "\n\n".join(parts) + "\n"


def contents(commands: Sequence[Section], further: Sequence[Section]) -> Iterator[str]:
    """Which commands there are, with links to them and to what comes behind them."""
    for section in commands:
        yield from links(section, "batch-outputs")
    yield "Behind the commands:"
    yield "\n".join(f"- [{section.heading}](#{anchor(section.heading)})" for section in further)


def of_command(context: click.Context, level: int) -> Iterator[str]:
    """The section of a command, and of the commands below it."""
    command = context.command
    sections = sections_of(command, context)
    terms = " ".join(entry.term for section in sections for entry in section.entries)
    names = set(re.findall(r"[A-Z][\w.]+", terms)) - ORDINARY
    yield f"{'#' * level} {context.command_path}"
    sentence, *paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    yield prose(sentence, names)
    yield code(f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}")
    for paragraph in paragraphs:
        if paragraph.startswith("\b"):
            yield "Examples:"
            yield code(paragraph.removeprefix("\b\n"))
        else:
            yield prose(paragraph, names)
    if isinstance(command, Group):
        (block,) = command.overview()
        for section in block:
            yield from links(section, context.command_path)
    for section in sections:
        told = Section(section.heading, [entry for entry in section.entries if "--help" not in entry.term])
        if told.entries:
            yield f"**{section.heading}**"
            yield table("argument" if section.heading == "Arguments" else "option", told, names)
    if isinstance(command, Group):
        for name in command.list_commands(context):
            yield from of_command(child(command, name, context), level + 1)


def links(section: Section, path: str) -> Iterator[str]:
    """A section of commands, each with a link to what is said of it."""
    yield f"**{section.heading}**"
    rows = [[f"[`{entry.term}`](#{anchor(f'{path} {entry.term}')})", entry.meaning] for entry in section.entries]
    yield "\n".join(map(row_of, [["command", "what it does"], ["---", "---"], *rows]))


def child(group: click.Group, name: str, context: click.Context) -> click.Context:
    """The context of a command of a group."""
    command = group.get_command(context, name)
    assert command is not None
    return click.Context(command, info_name=name, parent=context)


def table(what: str, section: Section, names: set[str]) -> str:
    """The entries of a section, each of them a `what`, as a table."""
    rows = [[as_term(entry.term), *meaning_and_default(entry, names)] for entry in section.entries]
    head = [what, "what it means", "default"]
    if not any(default for _, _, default in rows):
        rows, head = [row[:2] for row in rows], head[:2]
    return "\n".join(map(row_of, [head, ["---"] * len(head), *rows]))


def row_of(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def as_term(term: str) -> str:
    """What is typed is code; what is said instead of it is not."""
    return term if re.fullmatch(r"[a-z]+(,? [a-z]+)*", term) else f"`{term}`"


def meaning_and_default(entry: Entry, names: set[str]) -> tuple[str, str]:
    """What stands in the second and in the third column."""
    defaults = [note.removeprefix("default: ") for note in entry.notes if note.startswith("default: ")]
    others = [note for note in entry.notes if not note.startswith("default: ")]
    behind = f" {'; '.join(others).capitalize()}." if others else ""
    return marked(f"{entry.meaning}{behind}", names), ", ".join(as_default(text, names) for text in defaults)


def as_default(text: str, names: set[str]) -> str:
    return marked(text, names) if " " in text or text in {"none", "all", "any"} else f"`{text}`"


def prose(text: str, names: set[str]) -> str:
    """A paragraph, with what is typed as code."""
    protected = re.sub(
        r"`[^`]*`", lambda found: found[0].replace(" ", UNBREAKABLE), marked(" ".join(text.split()), names)
    )
    lines = textwrap.fill(protected, WIDTH, break_long_words=False, break_on_hyphens=False)
    return lines.replace(UNBREAKABLE, " ")


def marked(text: str, names: set[str]) -> str:
    """Text with what is typed as code, so that nothing is left that Markdown would take for its own."""

    def word(found: re.Match[str]) -> str:
        parts = PUNCTUATION.fullmatch(found[0])
        assert parts is not None
        before, inner, behind = parts.groups()
        if inner in names or TYPED.fullmatch(inner):
            return f"{before}`{inner}`{behind}"
        return re.sub(r"([\\`*_<>\[\]#])", r"\\\1", found[0])

    return CODE.sub(word, text)


def code(text: str) -> str:
    return textwrap.indent(text, "    ")


def anchor(title: str) -> str:
    """The anchor of a heading, as code forges make it."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def main() -> None:
    """Print the page, or write it to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, metavar="FILE", help="the file to write it to")
    into = parser.parse_args().into
    if into is None:
        print(page(), end="")
    else:
        into.write_text(page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
