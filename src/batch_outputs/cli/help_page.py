"""Help pages: what a command takes, below headings that say what it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])

_FEW = 8
"""Options that are read at a glance, and need no headings."""
_WIDEST_TERM = 31
"""Columns; what a longer one means begins on the next line."""
_REST = "Other"


class Decorator(Protocol):
    """Gives a command something, and returns what it was given."""

    def __call__(self, command: F, /) -> F:
        """The command."""
        ...


class Entry(NamedTuple):
    """One thing that a page explains: how it is written, what it means, and what else is to be known, in few words."""

    term: str
    meaning: str
    notes: Sequence[str] = ()

    @property
    def text(self) -> str:
        """What stands beside the term."""
        return f"{self.meaning}  [{'; '.join(self.notes)}]" if self.notes else self.meaning


class Section(NamedTuple):
    """What stands below one heading."""

    heading: str
    entries: Sequence[Entry]


class Argument(click.Argument):
    """An argument that says what it is."""

    def __init__(self, names: Sequence[str], *, help: str, **attributes: Any) -> None:  # noqa: A002 - as of options
        super().__init__(names, **attributes)
        self.help: str | None = help  # not by click: not every version of it knows this

    def entry(self, context: click.Context) -> Entry:
        """What a page says of it."""
        default = self.default if isinstance(self.default, str) and self.default else None
        return Entry(
            self.make_metavar(context).removeprefix("-- "),
            self.help or "",
            [] if default is None else [f"default: {default}"],
        )


class Option(click.Option):
    """An option with its place on the page.

    Its default is shown where `show_default` says so: as it is, or in the words given.
    """

    def __init__(self, *arguments: Any, heading: str | None = None, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.heading = heading

    @property
    def default_text(self) -> str | None:
        """What holds where the option is not given; None if nothing has to be said."""
        if not self.show_default:
            return None
        if isinstance(self.show_default, str):
            return self.show_default
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)

    def entry(self, context: click.Context) -> Entry:
        """What a page says of it."""
        term, _ = super().get_help_record(context) or ("", "")
        notes = [
            f"default: {self.default_text}" if self.default_text is not None else None,
            None if self.count else _limits(self.type),
            "may be repeated" if self.multiple else None,
        ]
        return Entry(term, self.help or "", [note for note in notes if note is not None])

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """How it is written, and what it means."""
        entry = self.entry(ctx)
        return None if self.hidden else (entry.term, entry.text)


class Command(click.Command):
    """A command whose page has its arguments and options in sections."""

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Nothing: they are a section like others."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        write_sections(formatter, sections_of(self, ctx))


class Group(click.Group):
    """A group of such commands, which stand in the order in which they were made."""

    command_class: type[click.Command] | None = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(self.commands)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write which commands there are, and what else is to be known."""
        for block in (*self.overview(), sections_of(self, ctx)):
            write_sections(formatter, block)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin so, each with its whole sentence, and options."""
        from click.shell_completion import CompletionItem

        commands = [entry for section in self.overview()[0] for entry in section.entries]
        found = [
            CompletionItem(entry.term, help=entry.meaning) for entry in commands if entry.term.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]  # a group's would load all commands

    def overview(self) -> list[list[Section]]:
        """What stands above the options, in blocks of sections that are aligned with each other; first the commands."""
        longest = 1000  # no sentence is cut
        commands = [Entry(name, one.get_short_help_str(longest)) for name, one in self.commands.items()]
        return [[Section("Commands", commands)]]


def command(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command; see `click.command`."""
    return click.command(name, cls=Command, **attributes)


def option(*names: str, **attributes: Any) -> Decorator:
    """Give a command an option; see `Option` and `click.option`."""
    return click.option(*names, cls=Option, **attributes)


def options_under(heading: str) -> Callable[..., Decorator]:
    """An `option` whose options stand below a heading, where a page is long enough for headings."""
    return partial(option, heading=heading)


def argument(name: str, **attributes: Any) -> Decorator:
    """Give a command an argument; see `Argument` and `click.argument`."""
    return click.argument(name, cls=Argument, **attributes)


def sections_of(command: click.Command, context: click.Context) -> list[Section]:
    """The arguments and options of a command; a heading stands where the first of its options does."""
    parameters = command.get_params(context)
    arguments = [parameter.entry(context) for parameter in parameters if isinstance(parameter, Argument)]
    options = list(_options(parameters, context))
    headed: dict[str, list[Entry]] = {}
    for heading, entry in options:
        headed.setdefault(heading if len(options) > _FEW else "Options", []).append(entry)
    sections = [Section("Arguments", arguments)] if arguments else []
    return sections + [Section(heading, entries) for heading, entries in headed.items()]


def write_sections(formatter: click.HelpFormatter, sections: Sequence[Section]) -> None:
    """Write sections, with what the terms mean one below the other in all of them."""
    widths = [len(entry.term) for section in sections for entry in section.entries]
    width = max((width for width in widths if width <= _WIDEST_TERM), default=0)
    for section in sections:
        with formatter.section(section.heading):
            formatter.write_dl([(entry.term.ljust(width), entry.text) for entry in section.entries], col_max=width)


def _options(parameters: Sequence[click.Parameter], context: click.Context) -> Iterator[tuple[str, Entry]]:
    for parameter in parameters:
        if isinstance(parameter, Option):
            if not parameter.hidden:
                yield parameter.heading or _REST, parameter.entry(context)
        elif isinstance(parameter, click.Option) and (record := parameter.get_help_record(context)):
            yield _REST, Entry(*record)  # --help is click's own


def _limits(of: click.ParamType[Any]) -> str | None:
    """Between which numbers a value has to be, in words."""
    if not isinstance(of, click.IntRange | click.FloatRange):
        return None
    if of.min is not None and of.max is not None:
        return f"{of.min:g} to {of.max:g}"
    if of.min is None or of.max is not None:
        return None
    if of.min_open:
        return f"more than {of.min:g}"
    return f"{of.min:g} or more" if of.min else None  # that a time is not negative goes without saying
