"""Options that belong to the option before them: `--save PATTERN --as NAME --when failure`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from batch_outputs.cli.help_page import Command
from batch_outputs.runner.rules import RestoreRule, SaveRule

_ORDER = "batch_outputs.order"


class OrderedCommand(Command):
    """A command that knows the order of its options: click itself hands over the values of each option together."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note the order, and go on as usual.

        Raises:
            UsageError: with the context that click leaves out where an option lacks its value.
        """
        try:
            _, _, order = self.make_parser(ctx).parse_args(list(args))
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise
        ctx.meta[_ORDER] = [parameter.name for parameter in order]
        return super().parse_args(ctx, args)


def rules_in_order(
    context: click.Context, options: dict[str, Any]
) -> tuple[tuple[SaveRule, ...], tuple[RestoreRule, ...]]:
    """What `--save` and `--restore` say, each with what was said behind it.

    Raises:
        UsageError: an option stands where it belongs to none, or twice.
    """
    values: dict[str, Iterator[Any]] = {
        name: iter(options[name]) for name in ("saves", "names", "whens", "restores", "newests")
    }
    saves: list[dict[str, Any]] = []
    restores: list[dict[str, Any]] = []
    belongs = {
        "names": (saves, "name", "--as", "--save"),
        "whens": (saves, "when", "--when", "--save"),
        "requires": (saves, "required", "--require", "--save"),
        "newests": (restores, "newest", "--newest", "--restore"),
    }
    for option in context.meta[_ORDER]:
        if option == "saves":
            saves.append({"text": next(values[option])})
        elif option == "restores":
            restores.append({"text": next(values[option])})
        elif option in belongs:
            rules, key, name, owner = belongs[option]
            if not rules or key in rules[-1]:
                problem = f"stands twice behind one {owner}" if rules else f"stands before any {owner}"
                raise click.UsageError(f"{name} {problem}; write it once, behind the {owner} that it is for.")
            rules[-1][key] = True if option == "requires" else next(values[option])
    return tuple(SaveRule.parse(**rule) for rule in saves), tuple(RestoreRule.parse(**rule) for rule in restores)
